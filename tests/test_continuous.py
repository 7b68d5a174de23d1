"""Recordings that were never cut into trials: pieces, their splits, every format, and what is said of mistakes."""

import itertools
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import lfadsx
from lfadsx.data.fold_datasets import all_trials, fold_dataset, stratified_folds
from lfadsx.data.pieces import groups_of, lay_pieces, runs_of
from lfadsx.recordings import cut, read_matlab, read_neo, read_nwb, read_phy, read_pynapple, read_spikeinterface
from lfadsx.recordings.csv_folder import read_csv
from lfadsx.recordings.spike_times import read_spike_times

PIECE = {"length": 1.0, "overlap": 0.2}


@pytest.fixture(scope="module")
def formats(recordings):
    folder = recordings / "formats"
    if not folder.is_dir():
        pytest.skip(f"needs the small recording in several formats, which is not at {folder}")
    return folder


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


def pieces_of(data):
    """First bin, bins and split of every piece, in order of time."""
    rows = [
        (int(first), int(n), name)
        for name, split in data.splits.items()
        for first, n in zip(split.first_bin, split.target_length, strict=True)
    ]
    return sorted(rows)


def check_pieces(data, counts, observed, bin_width=0.01, begin=0.0):
    """Pieces hold the counts of their bins, cover every observed bin and no other, and splits share no bin."""
    owner = np.full(len(counts), "", "<U5")
    for first, n, name in pieces_of(data):
        assert observed[first : first + n].all()
        assert np.isin(owner[first : first + n], ["", name]).all()
        owner[first : first + n] = name
    np.testing.assert_array_equal(owner != "", observed)
    for split in data.splits.values():
        for values, first, n in zip(split.targets["spikes"], split.first_bin, split.target_length, strict=True):
            np.testing.assert_array_equal(values[:n], counts[first : first + n])
            assert not values[n:].any()
        np.testing.assert_allclose(split.start_time, begin + split.first_bin * bin_width, rtol=0, atol=1e-9)


def loop_of_pieces(first, stop, length, overlap):
    """The grid of pieces of one run, with a last piece that ends where the run ends."""
    if stop - first <= length:
        return [(first, stop - first)]
    starts = list(range(first, stop - length + 1, length - overlap))
    starts += [stop - length] if starts[-1] + length < stop else []
    return [(start, length) for start in starts]


@pytest.mark.parametrize("length, overlap", [(2, 0), (2, 1), (10, 3), (10, 9), (50, 49), (64, 1)])
def test_pieces_lie_on_a_grid_and_the_last_one_ends_with_its_run(length, overlap):
    runs = np.array([[0, 5], [7, 17], [20, 21], [30, 130], [131, 131 + length]])
    pieces = lay_pieces(runs, length, overlap)
    expected = [one for run in runs.tolist() for one in loop_of_pieces(*run, length, overlap)]
    assert list(zip(pieces.first_bin.tolist(), pieces.n_bins.tolist(), strict=True)) == expected


def test_runs_are_those_of_a_loop():
    seen = np.random.default_rng(0).random(200) < 0.7
    loop, at = [], 0
    for value, group in itertools.groupby(seen.tolist()):
        n = len(list(group))
        loop += [[at, at + n]] if value else []
        at += n
    assert runs_of(seen).tolist() == loop and runs_of(np.zeros(3, bool)).shape == (0, 2)


def test_the_benchmark_recording_from_an_array(formats, truth):
    with np.load(formats / "continuous" / "binned.npz") as file:
        counts, observed, names = file["counts"], file["observed"], [str(unit) for unit in file["unit_id"]]
    data = lfadsx.from_continuous(counts, bin_width=0.01, observed=observed, channel_names=names, **PIECE)
    check_pieces(data, truth["continuous_counts"], truth["continuous_observed"])
    assert data.channel_names()["session"] == tuple(map(str, truth["unit_id"]))
    assert data.time == lfadsx.TimeAxis(0.01, 0.0, "piece start")
    runs = runs_of(observed)
    grid = lay_pieces(runs, 100, 20).first_bin
    # The plain grid loses the last 38 and 64 bins of the two runs; here a piece more in each run holds them.
    assert np.setdiff1d(truth["chop_first_bin"], grid).size == 0
    assert np.setdiff1d(grid, truth["chop_first_bin"]).tolist() == [7718, 10233]
    said = next(finding.sentence for finding in data.findings if finding.name == "pieces")
    assert "A plain grid would give 123 pieces and leave out 102 bins" in said and "0 bins are left out." in said
    share = {
        name: split.n_trials / sum(s.n_trials for s in data.splits.values()) for name, split in data.splits.items()
    }
    assert share["train"] == pytest.approx(0.7, abs=0.1) and share["test"] == pytest.approx(0.15, abs=0.05)


def read_pynapple_objects(formats):
    nap = pytest.importorskip("pynapple")
    group, recorded = (nap.load_file(formats / "pynapple" / f"{name}.npz") for name in ("spikes", "recorded"))
    return read_pynapple(group, observed=recorded)


def read_nwb_of_a_laboratory(formats):
    pytest.importorskip("pynwb")
    return read_nwb(formats / "nwb" / "session.nwb")


def read_nix(formats):
    pytest.importorskip("nixio")
    return read_neo(formats / "nix" / "session.nix", observed=read_csv(formats / "csv").observed)


def read_sorting_without_trials(formats):
    own = read_phy(formats / "phy")
    spikes = dict(zip(own.unit_id.tolist(), own.spikes, strict=True))
    sorting = SimpleNamespace(
        unit_ids=own.unit_id,
        sampling_frequency=own.clock_hz,
        get_num_segments=lambda: 1,
        get_unit_spike_train=lambda unit_id, **_: spikes[unit_id],
    )
    return read_spikeinterface(sorting, observed=own.observed, event_times="samples")


READERS = {
    "nix": read_nix,
    "spikeinterface": read_sorting_without_trials,
    "csv": lambda formats: read_csv(formats / "csv"),
    "nwb": read_nwb_of_a_laboratory,
    "phy": lambda formats: read_phy(formats / "phy"),
    "pynapple npz": lambda formats: read_pynapple(formats / "pynapple"),
    "pynapple": read_pynapple_objects,
}


@pytest.mark.parametrize("form", READERS)
def test_spike_times_of_every_format_give_the_counts_of_the_benchmark(form, formats, truth):
    data = cut(READERS[form](formats), chop=1.0, overlap=0.2)
    check_pieces(data, truth["continuous_counts"], truth["continuous_observed"])
    assert data.sessions[0].names("spikes") == tuple(map(str, truth["unit_id"]))


def test_a_file_of_counts_gives_the_same_pieces_as_an_array(formats, truth):
    path = formats / "continuous" / "binned.npz"
    data = lfadsx.from_array_file(path, map="counts=counts,observed=observed", chop=1.0, overlap=0.2)
    check_pieces(data, truth["continuous_counts"], truth["continuous_observed"])
    assert data.areas()["binned"] == tuple(truth["unit_area"])
    wide = lfadsx.from_array_file(path, chop=1.0, bin_width=0.02)
    assert wide.bin_width == 0.02
    first = wide.train.first_bin[0]
    pairs = truth["continuous_counts"][2 * first : 2 * first + 100].reshape(50, 2, -1).sum(1)
    np.testing.assert_array_equal(wide.train.targets["spikes"][0], pairs)


def test_formats_without_trials(formats, truth, tmp_path):
    for name in ("spikes", "units", "recorded"):
        (tmp_path / f"{name}.csv").write_bytes((formats / "csv" / f"{name}.csv").read_bytes())
    data = lfadsx.from_csv(tmp_path, chop=1.0, overlap=0.2)
    check_pieces(data, truth["continuous_counts"], truth["continuous_observed"])
    with pytest.raises(lfadsx.DataError, match="table of trials trials.csv. Add it. Give `chop`"):
        lfadsx.from_csv(tmp_path)
    phy = tmp_path / "phy"
    phy.mkdir()
    for file in (formats / "phy").iterdir():
        if file.name != "events.csv":
            (phy / file.name).write_bytes(file.read_bytes())
    check_pieces(lfadsx.from_phy(phy, chop=1.0), truth["continuous_counts"], truth["continuous_observed"])
    with pytest.raises(lfadsx.DataError, match="table of events events.csv"):
        lfadsx.from_phy(phy, align="go_cue")


def test_bins_are_counted_from_time_0_and_the_first_observed_bin_is_the_first():
    spikes = [np.array([5.001, 5.005, 5.035, 5.049]), np.array([5.02])]
    recording = read_spike_times(spikes, observed=[[5.004, 5.052], [5.052, 6.0]])
    data = cut(recording, bin_width=0.01, chop=0.1, overlap=0.0)
    split = next(split for split in data.splits.values() if 0 in split.first_bin)
    row = int(np.argmin(split.first_bin))
    # The bin from 5.00 s touches the gap before 5.004 s; the spike at 5.02 s is on an edge.
    assert split.start_time[row] == pytest.approx(5.01)
    assert np.flatnonzero(split.targets["spikes"][row][:, 0]).tolist() == [2, 3]
    assert np.flatnonzero(split.targets["spikes"][row][:, 1]).tolist() == [1]
    samples = [np.round(times * 30000).astype(int) for times in (*spikes, np.array([5.059]))]
    unknown = cut(read_spike_times(samples, clock_hz=30000), bin_width=0.01, chop=0.02, split=(0.5, 0.5, 0.0))
    assert any(
        "taken to run from the first to the last spike, 5.001 to 5.059 s" in f.sentence for f in unknown.findings
    )
    assert sorted(np.concatenate([s.start_time for s in unknown.splits.values()])) == pytest.approx([5.01, 5.03])


def test_long_trials_are_cut_into_pieces_of_their_split(formats, truth):
    recording = read_csv(formats / "csv")
    trials, data = cut(recording, align="start"), cut(recording, align="start", chop=0.5, overlap=0.1)
    for name, split in data.splits.items():
        whole = trials.splits[name]
        assert set(split.trial_id) == set(whole.trial_id) and split.condition is None
        for row in range(whole.n_trials):
            own = np.flatnonzero(split.trial_id == whole.trial_id[row])
            n = int(whole.target_length[row])
            expected = loop_of_pieces(0, n, 50, 10)
            found = list(zip(split.first_bin[own].tolist(), split.target_length[own].tolist(), strict=True))
            assert found == expected and len(set(split.piece_of[own])) == 1
            for piece, (first, length) in zip(own, found, strict=True):
                values = whole.targets["spikes"][row, first : first + length]
                np.testing.assert_array_equal(split.targets["spikes"][piece, :length], values)
                assert split.start_time[piece] == pytest.approx(whole.start_time[row] + 0.01 * first)
    alone = read_matlab(formats / "matlab" / "session_v5.mat")  # holds the spikes of each trial only
    assert set(cut(alone, chop=0.5).train.trial_id) == set(cut(alone).train.trial_id)


def counts_of(n_bins, n_channels=4, seed=0):
    return np.random.default_rng(seed).poisson(0.4, (n_bins, n_channels))


@pytest.mark.parametrize("by", ["block", "time"])
@pytest.mark.parametrize("length, overlap", [(20, 4), (20, 19), (7, 0)])
def test_splits_share_no_bin(by, length, overlap):
    counts, observed = counts_of(1500), np.ones(1500, bool)
    observed[[200, 201, 640, 900]] = False
    data = lfadsx.from_continuous(counts, length=length, overlap=overlap, observed=observed, split_by=by)
    owner = np.full(1500, "", "<U5")
    for first, n, name in pieces_of(data):
        assert observed[first : first + n].all() and np.isin(owner[first : first + n], ["", name]).all()
        owner[first : first + n] = name
    np.testing.assert_array_equal(owner != "", observed)
    if by == "time":
        assert "".join(name[1] for name, _ in itertools.groupby(owner[observed])) == "rae"
    assert data.bin_width is None and data.train.start_time is None


def test_the_user_names_the_split_of_each_bin():
    counts, names = counts_of(300), np.repeat(["train", "valid", "", "train", "test"], [100, 60, 20, 80, 40])
    data = lfadsx.from_continuous(counts, length=20, split=names)
    assert {name: (split.first_bin.min(), split.first_bin.max()) for name, split in data.splits.items()} == {
        "train": (0, 240),
        "valid": (100, 140),
        "test": (260, 280),
    }
    for first, n, name in pieces_of(data):
        assert set(names[first : first + n]) == {name}


def test_further_arrays_follow_their_bins():
    counts, bins = counts_of(400), np.arange(400.0)
    entries = np.random.default_rng(1).random(counts.shape) < 0.9
    entries[150] = False
    data = lfadsx.from_continuous(
        counts,
        length=30,
        observed=entries,
        behaviour=bins,
        known_inputs=np.stack([bins, -bins], axis=1),
        truth=counts + 0.5,
        truth_unit="counts per bin",
        other_targets={"emg": bins[:, None] / 7},
        held_out=1,
    )
    for split in data.splits.values():
        for row, (first, n) in enumerate(zip(split.first_bin, split.target_length, strict=True)):
            own = slice(first, first + n)
            assert not first <= 150 < first + n
            np.testing.assert_array_equal(split.behaviour[row, :n, 0], bins[own])
            np.testing.assert_array_equal(split.known_inputs[row, :n, 1], -bins[own])
            np.testing.assert_allclose(split.truth[row, :n], counts[own] + 0.5)
            np.testing.assert_allclose(split.targets["emg"][row, :n, 0], bins[own] / 7, rtol=1e-6)
            np.testing.assert_array_equal(split.target_observed["spikes"][row, :n], entries[own])
    assert data.held_out()["session"].tolist() == [3]


def test_real_values_and_bins_without_any_value():
    values = np.random.default_rng(0).normal(size=(300, 3))
    values[[40, 41, 200]] = np.nan
    data = lfadsx.from_continuous(values, length=20, overlap=5)
    assert data.groups["spikes"].kind == "real" and data.train.encoder_observed is None
    assert not any(first <= gap < first + n for first, n, _ in pieces_of(data) for gap in (40, 41, 200))
    values[7, 1] = np.nan
    with pytest.raises(lfadsx.DataError, match="Use --missing"):
        lfadsx.from_continuous(values, length=20)
    assert not lfadsx.from_continuous(values, length=20, missing=True).train.encoder_observed.all()


def test_encoder_and_targets_are_one_array_without_copies():
    data = lfadsx.from_continuous(counts_of(500).astype(np.int64), length=20)
    for split in data.splits.values():
        assert split.encoder_input is split.targets["spikes"] and split.encoder_input.dtype == np.uint8
    assert np.shares_memory(data.train.encoder_input.base, data.test.encoder_input.base)
    hidden = lfadsx.from_continuous(counts_of(500), length=20, held_out=1)
    assert hidden.train.encoder_input.shape[2] == 3


def test_short_runs_become_short_pieces_or_are_left_out():
    observed = np.ones(400, bool)
    observed[[100, 103, 120]] = False  # runs of 2 and of 16 bins
    data = lfadsx.from_continuous(counts_of(400), length=20, observed=observed)
    assert (104, 16) in [one[:2] for one in pieces_of(data)] and min(n for _, n, _ in pieces_of(data)) == 16
    said = [finding.sentence for finding in data.findings if finding.name == "short runs"]
    assert said == ["2 of 397 observed bins are left out, because they are in runs shorter than 0.2 of a piece."]


def test_pieces_survive_files_selection_and_wider_bins(tmp_path):
    data = lfadsx.from_continuous(counts_of(600), bin_width=0.01, length=0.2, overlap=0.04, start_time=50.0)
    lfadsx.data.write_dataset(tmp_path / "day.h5", data)
    again = lfadsx.read(tmp_path / "day.h5")
    for name, split in data.splits.items():
        for field in ("first_bin", "piece_of", "start_time", "row", "encoder_input"):
            np.testing.assert_array_equal(getattr(again.splits[name], field), getattr(split, field))
    part = data.select(window=(0.05, None)).valid
    np.testing.assert_array_equal(part.first_bin, data.valid.first_bin + 5)
    np.testing.assert_allclose(part.start_time, data.valid.start_time + 0.05)
    wide = data.rebin(4).train
    np.testing.assert_array_equal(wide.first_bin, data.train.first_bin // 4)
    odd = data.rebin(3)
    assert odd.train.first_bin is None and any(finding.name == "pieces off the grid" for finding in odd.findings)
    trials = lfadsx.from_arrays(np.ones((8, 20, 4), int), bin_width=0.01, event="piece start", session="other")
    both = lfadsx.concatenate(data, trials).train
    np.testing.assert_array_equal(both.first_bin[both.session == 0], data.train.first_bin)
    assert not both.first_bin[both.session == 1].any() and len(set(both.piece_of[both.session == 1])) == 6


def test_folds_keep_pieces_together_that_share_bins():
    data = lfadsx.from_continuous(counts_of(2000), length=20, overlap=12)
    trials = all_trials(data)
    np.testing.assert_array_equal(trials.first_bin, np.sort(trials.first_bin))
    group, fold = groups_of(trials), stratified_folds(trials, 4)
    bins = [set(range(first, first + n)) for first, n in zip(trials.first_bin, trials.target_length, strict=True)]
    for a, b in itertools.pairwise(range(trials.n_trials)):
        assert (group[a] == group[b]) == bool(bins[a] & bins[b])
    own = fold_dataset(data, trials, fold == 1)
    sets = [
        set().union(*(range(f, f + n) for f, n in zip(split.first_bin, split.target_length, strict=True)))
        for split in own.splits.values()
    ]
    assert not any(a & b for a, b in itertools.combinations(sets, 2)) and set(fold) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "given, said",
    [
        ({"length": 1}, "at least two bins, got 1 bins"),
        ({"length": np.nan}, "length of pieces must be a finite number of bins"),
        (
            {"length": 20, "overlap": 20},
            "overlap of pieces must be at least 0 and shorter than a piece of 20 bins, got 20",
        ),
        ({"length": 20, "bin_width": 0.01, "overlap": 30}, "shorter than a piece of 20 s, got 30 s"),
        ({"length": 400}, "'session' must be long enough for 3 splits that share no bin, but its 600 observed bins"),
        ({"length": 20, "observed": np.zeros(600, bool)}, "longest run of observed bins has 0"),
        ({"length": 20, "observed": np.ones(599, bool)}, "'observed' has 599 bins and 'counts' has 600"),
        ({"length": 20, "observed": np.ones((600, 3), bool)}, "'observed' must have the shape"),
        ({"length": 20, "observed": np.full(600, 2)}, "must be True where an entry is observed"),
        ({"length": 20, "split": (0.5, 0.6, 0.1)}, "`split` must hold the shares"),
        ({"length": 20, "split": ["train"] * 600}, "but none is 'valid'"),
        ({"length": 20, "split": ["train", "vaild"] * 300}, "An entry of 'split' must be one of"),
        ({"length": 20, "split_by": "trials"}, "`split_by` must be one of"),
        ({"length": 20, "behaviour": np.ones((300, 2))}, "'behaviour' has 300 bins and 'counts' has 600"),
    ],
)
def test_mistakes_in_arrays(given, said):
    with pytest.raises(lfadsx.DataError, match=said):
        lfadsx.from_continuous(counts_of(600), **given)


def test_more_mistakes():
    with pytest.raises(lfadsx.DataError, match="more channels than bins. Transpose"):
        lfadsx.from_continuous(counts_of(600).T, length=20)
    with pytest.raises(lfadsx.DataError, match=r"must have the axes \(bin, channel\)"):
        lfadsx.from_continuous(np.ones((4, 5, 6)), length=2)
    recording = read_spike_times([np.arange(0, 30, 0.1)], {"cue": np.arange(1.0, 29.0)}, observed=[[0, 30]])
    for given, said in (
        ({"overlap": 0.1}, "`overlap` needs `chop`"),
        ({"chop": 1.0, "condition": "cue"}, "`condition` names a column of trials"),
        ({"chop": 1.0, "split": "cue"}, "`split` names a column of trials"),
        ({"chop": 1.0, "interval": "cue"}, "`interval` must end at the event"),
        ({"chop": 0.005}, "at least two bins"),
    ):
        with pytest.raises(lfadsx.DataError, match=said):
            cut(recording, **given)
    with pytest.raises(lfadsx.DataError, match="`trials` must hold the times of an event, got None.*Give `chop`"):
        lfadsx.from_spike_times([np.arange(0, 30, 0.1)])


def test_a_data_file_without_trials_names_the_command_that_reads_it(tmp_path, monkeypatch):
    from lfadsx.cli import main

    monkeypatch.chdir(tmp_path)
    with h5py.File("day.h5", "w") as file:
        file["train_data"] = counts_of(1000)
    with pytest.raises(lfadsx.DataError, match="like a recording that was never cut into trials") as error:
        lfadsx.read("day.h5")
    command = str(error.value).split("Cut it into pieces with `lfadsx ")[1].split("`")[0].split()
    assert command[0] == "prepare" and main(command) == 0
    data = lfadsx.read("pieces.h5")
    check_pieces(data, counts_of(1000), np.ones(1000, bool))

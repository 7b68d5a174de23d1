"""One small recording in users' formats, read by every reader, against a correct import."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import lfadsx
from lfadsx.recordings import cut, read_csv, read_phy, read_spike_times
from lfadsx.recordings.binning import count_spikes
from lfadsx.recordings.windows import Windows

CUE = dict(align="go_cue", window=(-0.25, 0.45))


@pytest.fixture(scope="module")
def formats(recordings):
    folder = recordings / "formats"
    if not folder.is_dir():
        pytest.skip(f"needs the small recording in several formats, which is not at {folder}")
    return folder


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


def in_memory(formats):
    """The recording of the Phy folder, with everything that its other forms hold, as arrays in samples."""
    phy, csv = read_phy(formats / "phy"), read_csv(formats / "csv")
    return read_spike_times(
        dict(zip(phy.unit_id.tolist(), phy.spikes, strict=True)),
        phy.trials,
        clock_hz=phy.clock_hz,
        observed=phy.observed,
        events=phy.events,
        unit_columns={"area": phy.unit_columns["area"]},
        signals=csv.signals,
    )


READERS = {
    "csv": lambda formats: read_csv(formats / "csv"),
    "phy": lambda formats: read_phy(formats / "phy"),
    "arrays in samples": in_memory,
    "arrays in seconds": lambda formats: in_memory(formats).in_seconds(),
}


@pytest.fixture(scope="module", params=list(READERS))
def recording(request, formats):
    return READERS[request.param](formats)


def together(data, field):
    """An array of all splits, in the order of the input, with the trial ids."""
    splits = list(data.splits.values())
    order = np.argsort(np.concatenate([split.row for split in splits]))
    values = [split.targets["spikes"] if field == "counts" else getattr(split, field) for split in splits]
    return np.concatenate(values)[order]


def source(data):
    return data.source[data.sessions[0].name]


def test_windows_at_the_go_cue(recording, truth):
    data = cut(recording, **CUE)
    np.testing.assert_array_equal(together(data, "trial_id"), truth["trial_id"])
    np.testing.assert_array_equal(together(data, "counts"), truth["counts"])
    np.testing.assert_array_equal(together(data, "condition"), truth["condition"])
    assert data.sessions[0].names("spikes") == tuple(map(str, truth["unit_id"]))
    assert (data.time.event, data.time.start, data.bin_width) == ("go_cue", -0.25, 0.01)
    dropped = {int(i): str(why) for i, why in zip(truth["all_trial_id"], truth["dropped_because"], strict=True) if why}
    assert source(data)["dropped"] == dropped
    areas = dict(zip(map(str, truth["unit_id"]), truth["unit_area"].tolist(), strict=True))
    assert source(data)["area"] == areas


def test_bins_that_do_not_divide_the_window(recording, truth):
    data = cut(recording, **CUE, bin_width=0.03)
    np.testing.assert_array_equal(together(data, "counts"), truth["counts_30ms"])


def test_whole_trials(recording, truth):
    data = cut(recording)
    np.testing.assert_array_equal(together(data, "trial_id"), truth["whole_trial_id"])
    np.testing.assert_array_equal(together(data, "target_length"), truth["whole_length"])
    np.testing.assert_array_equal(together(data, "counts"), truth["whole_counts"])


def test_means_of_a_signal(formats, truth):
    for recording in (read_csv(formats / "csv"), in_memory(formats)):
        data = cut(recording, **CUE, behaviour="hand_velocity", behaviour_lag=0.1)
        velocity = together(data, "behaviour")
        assert np.isnan(velocity[..., 0]).sum() == 89
        np.testing.assert_allclose(velocity, truth["velocity"], atol=1e-6)
        assert data.behaviour_name == "hand_velocity" and data.behaviour_lag == 0.1


def test_the_recording_as_a_whole(recording, truth):
    """Bins from 0 on, as of a recording that was never cut into trials."""
    ticks = recording.clock_hz is not None
    width = 300 if ticks else 0.01
    whole = Windows(np.zeros(1, int), np.zeros(1, int if ticks else float), np.array([10333]), width)
    np.testing.assert_array_equal(count_spikes(recording, whole), truth["continuous_counts"])


def test_windows_that_overlap_share_spikes_and_a_split(recording):
    for by in ("condition", "time"):
        for seed in range(5):
            data = cut(recording, **CUE, split_by=by, seed=seed)
            of = {int(i): name for name, split in data.splits.items() for i in split.trial_id}
            assert of[44] == of[45]


def test_splits_in_blocks_of_time(recording):
    data = cut(recording, **CUE, split_by="time")
    ids = [split.trial_id for split in data.splits.values()]
    assert [len(own) for own in ids] == [37, 8, 8]
    assert ids[0].max() < ids[1].min() and ids[1].max() < ids[2].min()


def test_units_by_area_rate_and_held_out(formats, truth):
    recording = read_csv(formats / "csv")
    data = cut(recording, **CUE, areas="PMd", min_rate=0.5, held_out=0.25)
    kept = truth["unit_id"][(truth["unit_area"] == "PMd") & (truth["counts"].sum((0, 1)) > 0.5 * 53 * 0.7)]
    assert data.sessions[0].names("spikes") == tuple(map(str, kept))
    assert len(data.held_out()["csv"]) == round(0.25 * len(kept))
    notes = [finding.sentence for finding in data.findings if finding.name == "units dropped"]
    assert len(notes) == 2 and "12 of 20 units are left out, their areas were not asked for" in notes[0]
    held_out = cut(recording, **CUE, held_out=10).held_out()["csv"]
    assert np.bincount(truth["unit_area"][held_out] == "M1").tolist() == [4, 6]  # of 8 and of 12


def test_nothing_odd_is_found_but_what_is_there(formats):
    names = [finding.name for finding in lfadsx.from_csv(formats / "csv", **CUE).findings]
    assert names == ["trials dropped", "silent neurons"]
    names = [finding.name for finding in lfadsx.from_phy(formats / "phy", **CUE).findings]
    assert names == ["units dropped", "trials dropped", "silent neurons"]


def test_phy_labels(formats):
    data = lfadsx.from_phy(formats / "phy", **CUE)
    note = data.findings[0].sentence
    assert "5 of 25 clusters, with 2600 spikes, are left out" in note
    assert "20 good, 2 mua, 2 noise, 1 unsorted" in note
    assert read_phy(formats / "phy", labels=("good", "mua")).n_units == 22
    assert read_phy(formats / "phy", labels=("mua",), label_column="KSLabel").n_units == 5
    assert read_phy(formats / "phy", labels=None).n_units == 25


def test_the_source_names_the_files(formats):
    files = source(lfadsx.from_csv(formats / "csv", **CUE))["files"]
    assert [Path(file["file"]).stem for file in files] == ["spikes", "trials", "units", "recorded", "hand_velocity"]
    assert all(len(file["sha256"]) == 64 for file in files)


def test_the_summary_fits_a_screen(recording):
    lines = repr(recording).splitlines()
    assert len(lines) <= 20 and max(map(len, lines)) < 160
    assert "20 units, 60 trials" in lines[0]
    assert "go_cue (2 missing)" in repr(recording) and "M1:" in repr(recording)
    assert "silent:        45" in repr(recording)


def test_spike_times_of_hippocampus(recordings):
    """Real spike times without trials, cut at the times at which the animal runs past the middle of the track."""
    held = np.load(recordings / "nelpy_hippocampus" / "linear_track.npz")
    x, t = held["pos_x"].astype(float), held["pos_t"]
    middle = 300
    passes = np.flatnonzero((x[:-1] < middle) & (x[1:] >= middle))
    data = lfadsx.from_spike_times(
        held["spike_times"],
        {"pass": t[passes]},
        align="pass",
        window=(-1.0, 1.0),
        bin_width=0.05,
        unit_of_spike=held["unit"],
        signals={"position": (t, np.stack([x, held["pos_y"]], axis=1))},
        behaviour="position",
        split_by="time",
    )
    split = data.train
    row, own = 3, t[passes[split.trial_id[3]]]
    for unit in np.unique(held["unit"]):
        times = held["spike_times"][held["unit"] == unit]
        place = data.sessions[0].names("spikes").index(str(unit))
        assert split.targets["spikes"][row, :, place].sum() == ((times >= own - 1) & (times < own + 1)).sum()
    assert split.behaviour.shape == (split.n_trials, 40, 2)
    assert {finding.level for finding in data.findings if finding.name != "silent neurons"} <= {"note"}


def test_samples_of_a_clock_that_bins_do_not_divide(formats, truth):
    recording = in_memory(formats)
    counts = together(cut(recording, **CUE, bin_width=0.00333), "counts")
    assert counts.shape[1] == 210
    seconds = together(cut(recording.in_seconds(), **CUE, bin_width=0.00333), "counts")
    np.testing.assert_array_equal(counts, seconds)


def test_spikes_of_each_trial_only(formats, truth):
    """Windows must lie inside their trials, and times may count from the start of each trial."""
    whole = in_memory(formats).in_seconds()
    start, stop = whole.times("start"), whole.times("stop")
    trials = [
        [times[(times >= a) & (times < b)] - a for times in whole.spikes] for a, b in zip(start, stop, strict=True)
    ]
    table = {name: whole.times(name) - start for name in whole.events} | {"trial_id": whole.trials["trial_id"]}
    recording = read_spike_times(trials, table, events=whole.events)
    recording = dataclasses.replace(recording, unit_id=whole.unit_id)
    # The trials' clocks do not refer to the recording, so only the trials show its gaps and ends.
    data = cut(recording, **CUE)
    kept = np.isin(together(data, "trial_id"), truth["cut_trial_id"])
    np.testing.assert_array_equal(together(data, "counts")[kept], truth["cut_counts"])
    why = dict(zip(truth["all_trial_id"].tolist(), truth["cut_dropped_because"].tolist(), strict=True))
    assert {trial: why[trial] for trial in source(data)["dropped"] if "trial" in why[trial]} == {
        trial: reason for trial, reason in source(data)["dropped"].items() if "trial" in why[trial]
    }

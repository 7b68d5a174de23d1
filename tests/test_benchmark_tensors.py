"""Tensors and NWB files of the Neural Latents Benchmark: every set by name, in one file or in several.

The tensors of mc_maze hold the small recording, whose truth is known. The other sets are written after the
documentation of nlb_tools; original files have not been tried.
"""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.data import read_split
from lfadsx.data.benchmark_sets import SETS
from lfadsx.files import plain
from lfadsx.recordings.formats import read_recordings
from lfadsx.training.recorded_data import recorded_data

FORWARD = 40
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def formats(recordings):
    return recordings / "formats"


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


def tensors(counts, split, heldout, forward=None, **more):
    """Arrays of a split by key; `counts` (trial, bin, neuron)."""
    made = {"spikes_heldin": counts[..., ~heldout], "spikes_heldout": counts[..., heldout]}
    if forward is not None:
        made |= {"spikes_heldin_forward": forward[..., ~heldout], "spikes_heldout_forward": forward[..., heldout]}
    return {f"{split}_{name}": np.asarray(values, np.float32) for name, values in (made | more).items()}


def write(path, arrays, group=None, **lists):
    with h5py.File(path, "w") as file:
        place = file if group is None else file.create_group(group)
        for name, values in arrays.items():
            place[name] = values
        for name, rows in lists.items():
            items = np.empty(len(rows), object)
            items[:] = rows
            place.create_dataset(name, data=items, dtype=h5py.vlen_dtype("f4"))
    return path


@pytest.fixture(scope="module")
def maze(truth):
    """Counts, forward counts and behaviour of train and val trials of the small recording, by split of nlb_tools."""
    made = {}
    for split, name in (("train", "train"), ("eval", "val")):
        own = truth["nlb_split"] == name
        forward = RNG.poisson(0.2, (own.sum(), FORWARD, 20))
        made[split] = (truth["nlb_counts_5ms"][own], forward, truth["nlb_hand_vel_5ms"][own].astype(np.float32))
    return made


@pytest.mark.parametrize("group", ["mc_maze", None])
def test_mc_maze_in_input_and_target_files(group, maze, truth, tmp_path):
    hidden = truth["nlb_heldout"]
    order = np.argsort(hidden, kind="stable")
    (counts, forward, velocity), (eval_counts, eval_forward, eval_velocity) = maze["train"], maze["eval"]
    rows = np.array_split(np.arange(len(counts)), 4)
    target = tensors(eval_counts, "eval", hidden, eval_forward, behavior=eval_velocity) | {"train_behavior": velocity}
    eval_input = {"eval_spikes_heldin": target.pop("eval_spikes_heldin")}
    files = [
        write(tmp_path / "mc_maze_train.h5", tensors(counts, "train", hidden, forward)),
        write(tmp_path / "eval_input.h5", eval_input),
        write(tmp_path / "target.h5", target | {"psth": np.zeros((4, 140, 20))}, group, train_cond_idx=rows),
    ]
    for paths in (files, [files[1], files[2], files[0]]):
        data = lfadsx.read(*paths, sessions=["jenkins"])
        assert (data.bin_width, data.time.start, data.time.event) == (0.005, -0.25, "move_onset_time")
        assert data.held_out()["jenkins"].tolist() == [15, 16, 17, 18, 19] and data.behaviour_name == "hand_vel"
        whole, split = np.concatenate([counts, forward], 1), data.train
        both = [data.train, data.valid]
        ids = np.concatenate([one.row for one in both])
        np.testing.assert_array_equal(np.sort(ids), np.arange(len(counts)))
        for one in both:
            np.testing.assert_array_equal(one.targets["spikes"], whole[one.row][..., order])
            np.testing.assert_array_equal(one.encoder_input, counts[one.row][..., ~hidden])
            np.testing.assert_array_equal(one.behaviour[:, :140], velocity[one.row])
            np.testing.assert_array_equal(
                one.condition, [[k for k in range(4) if row in rows[k]][0] for row in one.row]
            )
            assert np.isnan(one.behaviour[:, 140:]).all() and one.target_observed["spikes"] is None
        assert split.n_bins == 180 and (split.encoder_length == 140).all()
        np.testing.assert_array_equal(
            data.test.targets["spikes"], np.concatenate([eval_counts, eval_forward], 1)[..., order]
        )
        np.testing.assert_array_equal(data.test.behaviour[:, :140], eval_velocity)
        named = {finding.name: finding.sentence for finding in data.findings}
        assert "'psth'" in named["unused keys"] and "shifted against its spikes already" in named["behaviour shifted"]
        assert data.behaviour_lag == 0
    info = SimpleNamespace(
        sessions=data.sessions,
        data={"source": json.loads(json.dumps(plain(data.source))), "start": -0.25, "event": "move_onset_time"}
        | {key: {name: getattr(own, key) for name, own in data.splits.items()} for key in ("n_trials", "n_bins")},
        command=f"lfadsx fit {' '.join(map(str, paths))}",
        kinds=None,
        bin_width=0.005,
    )
    again = recorded_data({"run": tmp_path / "run"}, {"run": info}, 1)
    np.testing.assert_array_equal(again.train.encoder_input, data.train.encoder_input)
    np.testing.assert_array_equal(again.test.targets["spikes"], data.test.targets["spikes"])


def test_what_the_test_phase_hides_is_not_observed(maze, truth, tmp_path):
    hidden = truth["nlb_heldout"]
    counts, forward, _ = maze["train"]
    arrays = tensors(counts, "train", hidden, forward) | {"eval_spikes_heldin": maze["eval"][0][..., ~hidden]}
    data = lfadsx.read(write(tmp_path / "mc_maze_small.h5", arrays))
    seen = data.test.target_observed["spikes"]
    assert seen[:, :140, :15].all() and not seen[:, 140:].any() and not seen[:, :, 15:].any()
    np.testing.assert_array_equal(data.test.targets["spikes"][:, :140, :15], maze["eval"][0][..., ~hidden])
    (tmp_path / "eval").mkdir()
    own = write(tmp_path / "eval" / "mc_maze_small.h5", {"eval_spikes_heldin": maze["eval"][0][..., ~hidden]})
    splits = read_split(own, data.sessions, forward_bins=FORWARD, bin_width=0.005)
    np.testing.assert_array_equal(splits["test"].encoder_input, data.test.encoder_input)
    with pytest.raises(lfadsx.DataError, match="must hold train trials, found test trials only"):
        lfadsx.read(own)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("width", [0.005, 0.02])
def test_every_set_in_one_file(name, width, tmp_path):
    first, last = SETS[name].window
    n_bins = round((last - first) / width)
    hidden = np.arange(8) >= 6
    counts = {split: RNG.poisson(0.4, (n, n_bins, 8)) for split, n in (("train", 20), ("eval", 6))}
    arrays, lists = {}, {}
    for split, values in counts.items():
        n = len(values)
        forward = RNG.poisson(0.4, (n, round(0.2 / width), 8))
        more = {"jitter": np.zeros(n)} if name == "dmfc_rsg" else {}
        if name == "dmfc_rsg":
            ts, tp = RNG.choice([480.0, 800.0], n), RNG.uniform(500, 900, n)
            behaviour = np.stack([np.zeros(n), np.full(n, 2.0), np.ones(n), ts, tp], axis=1)
            behaviour[1] = np.nan  # an outlier
        else:
            behaviour = RNG.normal(size=(n, n_bins, 2))
        if name == "area2_bump":
            more["decode_mask"] = np.stack([np.arange(n) % 2 == 0, np.arange(n) % 2 == 1], axis=1)
        arrays |= tensors(values, split, hidden, forward, behavior=behaviour, **more)
        if name.startswith("mc_maze") or name == "area2_bump":
            lists[f"{split}_cond_idx"] = [np.arange(0, n, 2), np.arange(1, n - 1, 2)]  # the last trial is in none
    heldout = arrays["eval_spikes_heldout"]
    if name == "dmfc_rsg":
        heldout[:, :5] = np.nan  # shorter trials are padded in front
    suffix = "" if width == 0.005 else "_20"
    data = lfadsx.read(write(tmp_path / "both.h5", arrays, f"{name}{suffix}", **lists))
    assert data.time.bin_width == pytest.approx(width) and data.time.start == first
    assert data.time.event == SETS[name].align and data.source["both"]["benchmark"] == name
    assert data.train.n_bins == n_bins + round(0.2 / width)
    hides = data.test.target_observed["spikes"]
    assert (hides is None) == (name != "dmfc_rsg")
    unused = [finding.sentence for finding in data.findings if finding.name == "unused keys"]
    if name == "dmfc_rsg":
        assert not hides[:, :5, 6:].any() and hides[:, 5:].all() and hides[:, :, :6].all()
        both = np.argsort(np.concatenate([data.train.row, data.valid.row]))
        interval = np.concatenate([data.train.interval, data.valid.interval])[both]
        np.testing.assert_allclose(interval, arrays["train_behavior"][:, 4] / 1000, rtol=1e-6)
        condition = np.concatenate([data.train.condition, data.valid.condition])[both]
        assert condition[1] == "" and condition[0] == f"0, 2, 1, {arrays['train_behavior'][0, 3]:g}"
        assert "'train_jitter'" in unused[0] and data.train.behaviour is None
    elif name == "area2_bump":
        assert "'eval_decode_mask', 'train_decode_mask'" in unused[0] and np.isnan(data.test.condition[-1])
    elif name == "mc_rtt":
        assert data.train.condition is None and data.behaviour_name == "finger_vel" and not unused


def test_files_that_do_not_go_together(tmp_path):
    hidden = np.arange(8) >= 6
    counts = RNG.poisson(0.4, (20, 30, 8))
    train = tensors(counts, "train", hidden)
    both = write(tmp_path / "a.h5", train, "mc_maze")
    with h5py.File(both, "a") as file:
        file["mc_rtt/train_spikes_heldin"] = counts
    with pytest.raises(lfadsx.DataError, match="one set of the benchmark, found mc_maze, mc_rtt"):
        lfadsx.read(both)
    other = write(tmp_path / "b.h5", tensors(counts[:6], "eval", hidden) | {"train_spikes_heldout": counts[..., :2]})
    with pytest.raises(lfadsx.DataError, match="'train_spikes_heldout' of 'b.h5' differs from"):
        lfadsx.read(write(tmp_path / "c.h5", train), other)
    target = {"eval_spikes_heldout": counts[:6, :, :2]}
    with pytest.raises(lfadsx.DataError, match="must be read together with the spikes that the encoder sees"):
        lfadsx.read(write(tmp_path / "target.h5", target, "mc_maze"))
    wrong = train | {"train_spikes_heldout": counts[:19, :, :2]}
    with pytest.raises(lfadsx.DataError, match="'train_spikes_heldout' of 'd.h5' has shape"):
        lfadsx.read(write(tmp_path / "d.h5", wrong))
    rows = [np.array([3, 25])]
    with pytest.raises(lfadsx.DataError, match="must hold rows of 20 trials, from 0, got 25"):
        lfadsx.read(write(tmp_path / "e.h5", train, train_cond_idx=rows))
    data = lfadsx.read(write(tmp_path / "f.h5", train | {"train_behavior": counts[:, 0, :3]}), bin_width=0.01)
    assert "neither (trial, bin, column)" in " ".join(finding.sentence for finding in data.findings)
    assert data.bin_width == 0.01 and data.time.start == 0 and data.behaviour_lag == 0


def test_files_of_lfads_torch_with_lists_of_conditions(tmp_path):
    counts = RNG.poisson(0.4, (20, 30, 8))
    arrays = {"train_encod_data": counts[:14, :, :6], "train_recon_data": counts[:14]}
    arrays |= {"valid_encod_data": counts[14:, :, :6], "valid_recon_data": counts[14:], "psth": counts}
    arrays |= {"valid_decode_mask": np.ones((6, 1), bool), "train_behavior": counts[:14, :, :2].astype(float)}
    path = write(tmp_path / "a.h5", arrays, train_cond_idx=[np.arange(7), np.arange(7, 14)])
    with h5py.File(path, "a") as file:
        file["valid_cond_idx"] = np.array([[0.0, 2, 4, np.nan], [1, 3, 5, np.nan]])  # filled to one length
    data = lfadsx.read(path)
    assert data.train.condition.tolist() == [0] * 7 + [1] * 7 and data.valid.condition.tolist() == [0, 1] * 3
    unused = [finding.sentence for finding in data.findings if finding.name == "unused keys"]
    assert unused == ["Keys of 'a.h5' that nothing reads: 'psth', 'valid_decode_mask'."]


def test_nwb_files_by_the_name_of_the_set(formats, truth, tmp_path, capsys):
    pytest.importorskip("pynwb")
    train, test = (formats / "nwb" / f"nlb_{name}.nwb" for name in ("train", "test"))
    data = lfadsx.from_nwb(train, test, benchmark="mc_maze")
    assert (data.bin_width, data.behaviour_name, data.behaviour_lag) == (0.005, "hand_vel", 0.1)
    hidden = truth["nlb_heldout"]
    for name, said in (("train", "train"), ("valid", "val"), ("test", "test")):
        split, own = data.splits[name], truth["nlb_split"] == said
        np.testing.assert_array_equal(split.encoder_input, truth["nlb_counts_5ms"][own][..., ~hidden])
        if name != "test":
            np.testing.assert_array_equal(split.trial_id, truth["nlb_trial_id"][own])
            np.testing.assert_array_equal(split.targets["spikes"], truth["nlb_counts_5ms"][own])
            np.testing.assert_allclose(split.behaviour, truth["nlb_hand_vel_5ms"][own], atol=1e-3)
            assert all(", " in label for label in split.condition)
    small = lfadsx.from_nwb(train, test, benchmark="mc_maze_small", bin_width=0.02, condition=None)
    assert (small.bin_width, small.behaviour_lag, small.train.condition) == (0.02, 0.12, None)
    words = ["prepare", str(train), "--test-file", str(test), "--out", str(tmp_path / "a.h5"), "--benchmark"]
    assert cli.main([*words, "mc_maze"]) == 0 and "31 train, 10 valid, 11 test" in capsys.readouterr().err
    assert cli.main([*words, "mc_mase"]) == 2 and "did you mean 'mc_maze'" in capsys.readouterr().err
    with pytest.raises(lfadsx.DataError, match="`benchmark` names the windows of trials, got 'mc_maze' with `chop`"):
        lfadsx.from_nwb(train, benchmark="mc_maze", chop=0.3)
    options = dict(test_file=str(test), benchmark="mc_maze")
    data = read_recordings([train], **options)
    info = SimpleNamespace(
        sessions=data.sessions,
        data={"source": json.loads(json.dumps(plain(data.source)))}
        | {key: {name: getattr(own, key) for name, own in data.splits.items()} for key in ("n_trials", "n_bins")},
        command=f"lfadsx fit {train} --test-file {test}",
    )
    again = recorded_data({"run": tmp_path}, {"run": info}, 1)
    np.testing.assert_array_equal(again.test.encoder_input, data.test.encoder_input)


@pytest.mark.parametrize("name", ["mc_maze", "mc_maze_large", "mc_rtt", "area2_bump", "dmfc_rsg"])
def test_the_cut_of_every_set(name, tmp_path):
    """The window, the lag, the conditions and the intervals of each set, on files with its columns."""
    pynwb = pytest.importorskip("pynwb")
    import datetime

    known = SETS[name]
    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    paths, counted = {}, {}
    for part in ("train", "test"):
        nwb = pynwb.NWBFile(name, "id", when, file_create_date=when)
        nwb.add_unit_column("heldout", "held out")
        n_trials, spacing = (12, 4.0) if part == "train" else (4, 1.7)
        event = 2.0 + spacing * np.arange(n_trials)
        end = event[-1] + 3
        for unit in range(5 if part == "train" else 4):
            times = np.sort(np.random.default_rng([unit, part == "test"]).uniform(0, end, 400)).round(6)
            nwb.add_unit(id=unit, spike_times=times, obs_intervals=[[0.0, end]], heldout=unit == 4)
            first, n_bins = known.window[0], round((known.window[1] - known.window[0]) / 0.005)
            counted[part, unit] = [
                np.bincount(place[(place >= 0) & (place < n_bins)].astype(int), minlength=n_bins)
                for place in (np.floor((times - at - first) / 0.005 + 1e-6) for at in event)
            ]
        columns = {"split": ["train"] * 8 + ["val"] * 3 + ["none"] if part == "train" else ["test"] * 4}
        if known.align != "start_time":
            columns[known.align] = event
        if part == "train":
            columns |= {column: np.arange(12) % 2 + 0.5 * (k > 1) for k, column in enumerate(known.condition)}
            columns |= {known.interval: np.full(12, 700.0)} if known.interval else {}
        for column in columns:
            nwb.add_trial_column(column, column)
        start = event if known.align == "start_time" else event - 0.5
        for row in range(n_trials):
            own = {column: values[row] for column, values in columns.items()}
            nwb.add_trial(start_time=start[row], stop_time=event[row] + 1, **own)
        if known.behaviour and part == "train":
            module = nwb.create_processing_module("behavior", "behaviour")
            stamps = np.arange(round(end * 1000)) / 1000
            values = np.stack([stamps, -stamps], axis=1)
            module.add(pynwb.TimeSeries(name=known.behaviour, data=values, timestamps=stamps, unit="mm/s"))
        paths[part] = tmp_path / f"{name}_{part}.nwb"
        with pynwb.NWBHDF5IO(paths[part], "w") as io:
            io.write(nwb)
    data = lfadsx.from_nwb(paths["train"], paths["test"], benchmark=name)
    assert [split.n_trials for split in data.splits.values()] == [8, 3, 4] and data.behaviour_lag == known.behaviour_lag
    assert data.time.start == known.window[0] and data.bin_width == 0.005
    for split, part, rows in ((data.train, "train", slice(0, 8)), (data.test, "test", slice(0, 4))):
        for unit in range(4):
            np.testing.assert_array_equal(split.targets["spikes"][..., unit], counted[part, unit][rows])
    assert (data.train.condition is None) == (not known.condition)
    if known.interval:
        np.testing.assert_allclose(data.train.interval, 0.7)
    if known.behaviour:  # the ramp, sampled each ms, in bins of five samples
        at = 2.0 + known.window[0] + 0.005 * np.arange(data.train.n_bins) + 0.002
        np.testing.assert_allclose(data.train.behaviour[0, :, 0], at, atol=1e-5)

"""Bare arrays in NPZ, MATLAB and HDF5 files: which array means what, and what comes of them."""

import h5py
import numpy as np
import pytest
import scipy.io

import lfadsx
from lfadsx import cli
from lfadsx.errors import DataError
from lfadsx.recordings.array_map import parse_map

COUNTS = np.random.default_rng(0).poisson(0.4, (30, 12, 5)).astype(np.uint8)
LENGTHS = np.random.default_rng(1).integers(6, 13, 30)
CONDITION = np.arange(30) % 3
SPEED = np.random.default_rng(2).normal(size=(30, 12, 2))


def by_row(data):
    """Returns the counts of all trials in the order of the file."""
    order = np.argsort(np.concatenate([split.trial_id for split in data.splits.values()]))
    return np.concatenate([split.targets["spikes"] for split in data.splits.values()])[order]


def joined(values):
    """Returns the real bins of padded trials, all trials joined."""
    return np.concatenate([trial[:n] for trial, n in zip(values, LENGTHS, strict=True)])


@pytest.fixture
def ragged(tmp_path):
    path = tmp_path / "ragged.npz"
    np.savez(path, spikes=joined(COUNTS), n_bins=LENGTHS, which=CONDITION, speed=joined(SPEED), area=[*"AABBB"], odd=1)
    return path


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_counts_come_back_as_they_are_from_every_kind_of_file(tmp_path, kind):
    path, arrays = tmp_path / f"day.{kind}", {"binned": COUNTS.transpose(2, 1, 0), "condition": CONDITION}
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "mat":
        scipy.io.savemat(path, arrays)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
    given = {"map": {"counts": "binned"}, "axes": "neuron time trial", "bin_width": 0.02}
    data = lfadsx.from_array_file(path, **given)
    np.testing.assert_array_equal(by_row(data), COUNTS)
    assert data.bin_width == 0.02 and set(data.train.condition) == {0, 1, 2}
    assert lfadsx.from_array_file(path, window=(0.04, 0.2), **given).train.targets["spikes"].shape[1] == 8


def test_joined_trials_keep_lengths_conditions_behaviour_and_areas(ragged):
    data = lfadsx.from_array_file(ragged, map="lengths=n_bins,condition=which,behaviour=speed", bin_width=0.01)
    for split in data.splits.values():
        for row, trial in enumerate(split.trial_id):
            n = LENGTHS[trial]
            assert split.target_length[row] == n and split.condition[row] == CONDITION[trial]
            np.testing.assert_array_equal(split.targets["spikes"][row, :n], COUNTS[trial, :n])
            np.testing.assert_allclose(split.behaviour[row, :n], SPEED[trial, :n])
    assert list(data.source["ragged"]["area"].values()) == [*"AABBB"]
    said = " ".join(map(str, data.findings))
    assert "read as counts=spikes,area=area,lengths=n_bins" in said and "not used: odd" in said


def test_spike_times_with_events_beside_them_or_in_a_table(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "day.npz"
    times, unit, cue = np.sort(rng.uniform(0, 60, 600)), rng.choice([3, 7], 600), np.arange(2.0, 58.0, 2.0)
    np.savez(path, stamp=times, who=unit, cue=cue, kind=["a", "b"] * 14, at=np.arange(60.0), x=np.arange(60.0))
    cut = {"align": "cue", "window": (-0.5, 0.5), "bin_width": 0.1}
    map = "spike_times=stamp,unit=who,behaviour=x+x,behaviour_times=at"
    data = lfadsx.from_array_file(path, map=map, condition="kind", **cut)
    units = {one: times[unit == one] for one in (3, 7)}
    truth = lfadsx.from_spike_times(units, {"cue": cue, "kind": ["a", "b"] * 14}, condition="kind", **cut)
    np.testing.assert_array_equal(data.train.targets["spikes"], truth.train.targets["spikes"])
    np.testing.assert_array_equal(data.train.condition, truth.train.condition)
    assert data.train.behaviour.shape[2] == 2 and data.channel_names() == {"day": ("3", "7")}
    table = tmp_path / "laps.csv"
    table.write_text("lap,cue\n" + "\n".join(f"{lap},{time}" for lap, time in enumerate(cue)))
    again = lfadsx.from_array_file(path, map=map, trials=table, **cut)
    np.testing.assert_array_equal(by_row(again), by_row(truth))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"map": "count=spikes"}, "got 'count' (did you mean 'counts'?)"),
        ({"map": "counts=spike"}, "'spike'"),
        ({"map": "counts"}, "entries ROLE=ARRAY, got 'counts'"),
        ({"map": "counts=a,counts=b"}, "'counts' twice"),
        ({}, "has the axes (time, unit) and needs the bins of each trial: add lengths=NAME"),
        ({"bin_width": 0.01}, "add lengths=NAME to `map`. Give `chop`, the length of a piece"),
        ({"map": "lengths=n_bins"}, "needs the width of its bins"),
        ({"map": "lengths=which", "bin_width": 0.01}, "`lengths` must hold whole numbers of at least 1, got 0"),
        ({"map": "lengths=n_bins,condition=odd", "bin_width": 0.01}, "'condition'"),
        ({"map": "counts=speed,lengths=n_bins", "bin_width": 0.01}, "'speed'"),
        ({"map": "spike_times=n_bins,unit=which,area=odd"}, "must have one length"),
        ({"map": "lengths=n_bins", "bin_width": 0.01, "trials": {}}, "`trials` needs spike times"),
    ],
)
def test_what_does_not_fit_is_said(ragged, given, said):
    with pytest.raises(DataError) as error:
        lfadsx.from_array_file(ragged, **given)
    assert said in str(error.value)


VALUES = np.random.default_rng(3).normal(5.0, 2.0, (30, 12, 3))


def test_real_values_alone_are_the_input_group_under_their_own_name(tmp_path):
    path = tmp_path / "day.npz"
    np.savez(path, emg=VALUES.transpose(2, 1, 0), condition=CONDITION, unit_id=["bic", "tri", "del"])
    data = lfadsx.from_array_file(path, axes="channel time trial", held_out=1, split=(0.6, 0.2, 0.2))
    assert data.input_group == "emg" and not data.is_counts() and data.bin_width is None
    assert data.sessions[0].names("emg") == ("bic", "tri", "del") and data.sessions[0].n_channels == 2
    assert {name: split.n_trials for name, split in data.splits.items()} == {"train": 18, "valid": 6, "test": 6}
    for split in data.splits.values():
        np.testing.assert_allclose(split.targets["emg"], VALUES[split.row], rtol=1e-6)
        np.testing.assert_array_equal(split.condition, CONDITION[split.row])
    assert not [finding for finding in data.findings if finding.name == "order of axes"]
    (file,) = lfadsx.data.write_dataset(tmp_path / "day.h5", data)
    again = lfadsx.read(file)
    assert again.input_group == "emg"
    np.testing.assert_array_equal(again.train.targets["emg"], data.train.targets["emg"])


def test_real_values_beside_counts_are_a_further_group(ragged, tmp_path):
    with np.load(ragged) as arrays:
        np.savez(tmp_path / "both.npz", lfp=joined(VALUES), **arrays)
    how = dict(map="lengths=n_bins,values=lfp,condition=which", bin_width=0.01, split_by="time")
    data = lfadsx.from_array_file(tmp_path / "both.npz", **how)
    assert data.input_group == "spikes" and data.is_counts() and data.groups["lfp"].kind == "real"
    for split in data.splits.values():
        for row, trial in enumerate(split.row):
            n = LENGTHS[trial]
            np.testing.assert_array_equal(split.targets["spikes"][row, :n], COUNTS[trial, :n])
            np.testing.assert_allclose(split.targets["lfp"][row, :n], VALUES[trial, :n], rtol=1e-6)
    assert max(data.train.row) < min(data.valid.row) and max(data.valid.row) < min(data.test.row)


def test_bins_of_real_values_are_averaged(tmp_path):
    np.savez(tmp_path / "day.npz", emg=VALUES, bin_width_s=0.01)
    wide = lfadsx.from_array_file(tmp_path / "day.npz", bin_width=0.03)
    mean = VALUES.reshape(30, 4, 3, 3).mean(2)
    np.testing.assert_allclose(wide.train.targets["emg"], mean[wide.train.row], rtol=1e-5)
    assert wide.bin_width == 0.03
    for given, said in (
        ({"bin_width": 0.015}, "must be a multiple of the bins of the file, 0.01 s, got 0.015"),
        ({"window": (0.0, 0.1)}, "`window` cannot be used with `values`"),
        ({"held_out": 3}, "a number of channels from 0 to 2, got 3"),
        ({"condition": "side"}, "'side'"),
    ):
        with pytest.raises(DataError) as error:
            lfadsx.from_array_file(tmp_path / "day.npz", **given)
        assert said in str(error.value)


LONG = np.random.default_rng(4).normal(size=(6000, 3)).astype(np.float32)


def test_real_values_that_were_never_cut_become_pieces(tmp_path):
    path, seen = tmp_path / "day.npz", np.arange(6000) // 500 != 4
    np.savez(path, emg=LONG, bin_width_s=0.001, observed=seen, unit_id=["bic", "tri", "del"], first_bin_s=2.0)
    data = lfadsx.from_array_file(path, bin_width=0.01, chop=0.2)
    assert data.input_group == "emg" and data.bin_width == pytest.approx(0.01) and data.train.n_bins == 20
    assert data.sessions[0].names("emg") == ("bic", "tri", "del")
    mean, found = LONG.reshape(600, 10, 3).mean(1), np.full((600, 3), np.nan)
    for split in data.splits.values():
        first = np.rint((split.start_time - 2.0) / 0.01).astype(int)
        for row, n in enumerate(split.target_length):
            found[first[row] : first[row] + n] = split.targets["emg"][row, :n]
    expected = np.where(seen[::10, None], mean, np.nan)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.savez(tmp_path / "both.npz", counts=np.ones((6000, 5), int), lfp=LONG, speed=LONG[:, 0])
    how = {"map": "counts=counts,values=lfp,behaviour=speed", "bin_width": 0.01, "chop": 0.5, "held_out": 1}
    both = lfadsx.from_array_file(tmp_path / "both.npz", **how, split_by="time")
    assert both.is_counts() and both.groups["lfp"].kind == "real" and both.train.encoder_input.shape[1:] == (50, 4)
    np.testing.assert_array_equal(both.train.targets["lfp"][0], LONG[both.train.first_bin[0] :][:50])
    np.testing.assert_allclose(both.train.behaviour[0, :, 0], LONG[both.train.first_bin[0] :][:50, 0])
    for given, said in (
        ({}, "needs the bins of each trial: add lengths=NAME to `map`. Give `bin_width` and `chop`"),
        ({"chop": 0.2, "align": "go"}, "`align` needs trials, but 'emg' was never cut into trials"),
        ({"chop": 0.2, "bin_width": 0.0015}, "must be a multiple of the bins of the file, 0.001 s"),
        ({"map": "values=emg,observed=unit_id", "chop": 0.2}, "'unit_id' has 3 bins and 'emg' has 6000"),
    ):
        with pytest.raises(DataError) as error:
            lfadsx.from_array_file(path, **given)
        assert said in str(error.value), error.value


def test_commands_take_real_values(tmp_path, capsys):
    path, out = tmp_path / "emg.npz", tmp_path / "emg.h5"
    np.savez(path, emg=VALUES.transpose(2, 1, 0))
    words = ["--axes", "channel time trial"]
    assert cli.main(["inspect", str(path), *words]) == 0
    assert cli.main(["prepare", str(path), "--out", str(out), *words, "--rebin", "4"]) == 0
    said = "".join(capsys.readouterr())
    assert "--map values=emg" in said and "emg:          3 channels, real numbers" in said
    assert "bins:         3, of unknown width" in said and "--likelihood gaussian_by_channel" in said
    assert not {"Hz", "spikes", "counts"} & set(said.replace("\n", " ").split())


def test_a_map_in_one_word():
    assert parse_map("counts=a, lengths = b,") == {"counts": "a", "lengths": "b"}


def test_prepare_and_inspect_take_a_map(ragged, tmp_path, capsys):
    out, words = tmp_path / "out.h5", ["--map", "lengths=n_bins,condition=which", "--bin-width", "0.01"]
    assert cli.main(["prepare", str(ragged), "--out", str(out), *words]) == 0
    data = lfadsx.read(out)
    assert sorted(set(np.concatenate([split.target_length for split in data.splits.values()]))) == sorted(set(LENGTHS))
    capsys.readouterr()
    assert cli.main(["inspect", str(ragged), *words]) == 0
    text = capsys.readouterr().out
    assert "--map counts=spikes,area=area,lengths=n_bins,condition=which" in text and "30 trials" in text

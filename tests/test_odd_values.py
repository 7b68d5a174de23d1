"""Values that counts cannot have, numbers in other units, ends of trials, and no warning about clean recordings."""

import dataclasses

import numpy as np
import pytest
from odd_files import TRIALS, levels, sentence, split_in, write

import lfadsx
from lfadsx.datasets.named_datasets import RECIPES, simulate
from lfadsx.errors import DataError

RNG = np.random.default_rng(1)


def changed(kind, value):
    values = TRIALS.astype(kind)
    values[3, 2, 1] = value
    return values


# Impossible counts


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "int16", "int32", "int64"])
def test_a_wrapped_count_is_refused(kind, tmp_path):
    limit = np.iinfo(kind).max
    file = write(tmp_path / "a.h5", train_data=changed(kind, limit))
    message = (
        rf"'train_data' of 'a.h5' holds .* at trial 3, bin 2, channel 1, the largest number of {kind}: .*Replace it"
    )
    with pytest.raises(DataError, match=message):
        lfadsx.read(file)
    assert not lfadsx.read(file, kind="real").is_counts()


@pytest.mark.parametrize("value", [9.969209968386869e36, 1e20])
def test_a_fill_value_is_refused(value):
    with pytest.raises(
        DataError, match="at trial 3, bin 2, channel 1, too large for a count.*mark the entry as missing"
    ):
        lfadsx.from_arrays(changed(float, value))
    assert not lfadsx.from_arrays(changed(float, value), kind="real").is_counts()


@pytest.mark.parametrize("value", [-1, -999, 0.5])
def test_few_entries_that_are_not_counts_are_warned_of(value):
    data = lfadsx.from_arrays(changed(float, value), split=["train"] * 30 + ["valid"] * 10)
    assert f"the first {value:g} at trial 3, bin 2, channel 1; all are read as real numbers" in sentence(
        data, "nearly counts"
    )
    assert levels(lfadsx.from_arrays(RNG.standard_normal((20, 10, 4)))) == {}


def test_a_blank_trial_among_many_spikes_is_warned_of():
    values = TRIALS.copy()
    values[7] = 0
    assert "the first is trial 7" in sentence(
        lfadsx.from_arrays(values, split=["train"] * 30 + ["valid"] * 10), "silent trials"
    )
    sparse = RNG.poisson(0.01, (40, 20, 8))
    assert "silent trials" not in levels(lfadsx.from_arrays(sparse))
    gone = np.ones(TRIALS.shape, bool)
    gone[2] = False
    assert "empty trials" in levels(lfadsx.from_arrays(TRIALS, observed=gone))


# Other units


def test_times_in_milliseconds_are_suspected(tmp_path):
    data = lfadsx.read(split_in(tmp_path / "a.h5", {"bin_width_s": 10, "start_s": -250.0, "behaviour_lag_s": 80.0}))
    assert {"long bins", "distant start", "long lag"} <= set(levels(data))
    assert "If 10 ms are meant, give bin_width=0.01 (in a file" in sentence(data, "long bins")
    assert "give start=-0.25" in sentence(data, "distant start") and "behaviour_lag=0.08" in sentence(data, "long lag")


def test_rates_in_place_of_counts_are_suspected():
    whole = lfadsx.from_arrays(TRIALS * 100)
    assert "multiples of 100" in sentence(whole, "scaled counts")
    thirds = lfadsx.from_arrays(TRIALS / 0.03)
    assert not thirds.is_counts() and "multiples of 33.3333" in sentence(thirds, "scaled counts")
    time = np.arange(50)
    rates = 20 + 10 * np.sin(time[:, None] / 8 + np.arange(8))
    rounded = lfadsx.from_arrays(np.round(rates + RNG.uniform(0, 3, (40, 1, 8))))
    assert "smoothed or rounded rates" in sentence(rounded, "smooth counts")
    assert levels(lfadsx.from_arrays(RNG.poisson(rates, (40, 50, 8)))) == {}


# Ends of trials


def test_padding_with_nan_ends_a_trial(tmp_path):
    values = TRIALS.astype(float)
    values[::2, 14:] = np.nan
    values[1, 3, 2] = np.nan  # a gap within a trial stays one
    data = lfadsx.read(write(tmp_path / "a.h5", train_data=values[:32], valid_data=values[32:]), missing=True)
    assert set(data.train.target_length) == {14, 20} and set(data.valid.encoder_length) == {14, 20}
    assert data.is_counts() and not data.train.encoder_observed[1, 3, 2]
    notes = [finding for finding in data.findings if finding.name == "end of trials"]
    assert [note.level for note in notes] == ["note"] * 2 and "16 of 32 train trials end in NaN" in notes[0].sentence
    ahead = lfadsx.from_arrays(values, forward_bins=3, missing=True)
    assert set(ahead.train.target_length) == {14, 20} and set(ahead.train.encoder_length) == {11, 17}
    with pytest.raises(DataError, match="Use --missing"):
        lfadsx.from_arrays(values)


# The same trials in two splits


def test_trials_in_two_splits_are_warned_of_but_not_by_chance(tmp_path):
    file = write(tmp_path / "a.h5", train_data=TRIALS[:32], valid_data=TRIALS[:8])
    assert "8 trials are in two splits" in sentence(lfadsx.read(file), "repeated trials")
    single = np.zeros((400, 5, 4), int)  # one spike each: many trials are equal by chance
    single[np.arange(400), RNG.integers(0, 5, 400), RNG.integers(0, 4, 400)] = 1
    assert "repeated trials" not in levels(lfadsx.from_arrays(single))


# Clean recordings


def told(data):
    assert all(finding.level == "note" for finding in data.findings), data.findings
    return {finding.name for finding in data.findings}


@pytest.mark.parametrize(
    ("file", "notes"),
    [
        ("macaque_reach_day31/lfads_format.h5", set()),
        ("macaque_reach_day31/heldout6.h5", {"unused keys"}),
        ("kiani_pfc_monkey2/heldout42.h5", {"unused keys"}),
        ("steinmetz_areas/session10_Hench_2017-06-17_areas.h5", {"unused keys"}),
        ("steinmetz_areas/session13_Lederberg_2017-12-06_areas.h5", {"unused keys"}),
    ],
)
def test_clean_files_are_read_without_a_warning(file, notes, recordings):
    assert told(lfadsx.read(recordings / file)) == notes


def test_clean_arrays_are_read_without_a_warning(recordings):
    with np.load(recordings / "golub_bmi_24unit" / "golub_bmi.npz") as file:
        ends = np.cumsum(file["lengths"])[:-1]
        spikes, cursor = np.split(file["spikes_concat"], ends), np.split(file["cursor_concat"], ends)
        assert told(lfadsx.from_arrays(spikes, behaviour=cursor, condition=file["condition"])) == set()
    for name, width, n_bins in (("linear_track", 0.05, 40), ("w_maze", 0.02, 50)):
        with np.load(recordings / "nelpy_hippocampus" / f"{name}.npz") as file:
            place = np.floor((file["spike_times"] - file["spike_times"].min()) / width).astype(int)
            counts = np.zeros((place.max() // n_bins + 1, n_bins, file["unit"].max() + 1), int)
            np.add.at(counts, (place // n_bins, place % n_bins, file["unit"]), 1)
        assert told(lfadsx.from_arrays(counts, bin_width=width)) == set()


@pytest.mark.parametrize("name", RECIPES)
def test_simulations_are_read_without_a_warning(name, tmp_path):
    fewer = {"conditions": 4, "trials": 60}
    known = {field.name for field in dataclasses.fields(RECIPES[name])}
    fewer = {setting: value for setting, value in fewer.items() if setting in known}
    assert told(lfadsx.read(*simulate(name, tmp_path, **fewer))) == {"unused keys"}

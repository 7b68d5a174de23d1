"""Data sets: arrays, files there and back, several sessions, trials of different length, synthetic data."""

import dataclasses

import h5py
import numpy as np
import pytest

from lfadsx.data import concatenate, from_arrays, read, read_split, write_dataset
from lfadsx.data.splits import random_names
from lfadsx.datasets import chaotic_rnn


def counts(n_trials=12, n_bins=10, n_channels=6, seed=0):
    return np.random.default_rng(seed).poisson(1.0, (n_trials, n_bins, n_channels))


def write(path, **arrays):
    """Writes arrays, and numbers and text as attributes when their name starts with attr_."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if name.startswith("attr_"):
                file.attrs[name.removeprefix("attr_")] = values
            else:
                file[name] = values
    return path


def assert_equal(left, right):
    """Compares data sets array by array, types and NaN included, but for their source."""
    left, right = (dataclasses.replace(data, source={}) for data in (left, right))
    flat_left, flat_right = flatten(left), flatten(right)
    assert flat_left.keys() == flat_right.keys()
    for name, values in flat_left.items():
        other = flat_right[name]
        if isinstance(values, np.ndarray):
            assert values.dtype == other.dtype or values.dtype.kind in "iU", name
            np.testing.assert_array_equal(values, other, err_msg=name)
        else:
            assert values == other, name


def flatten(value, prefix=""):
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for name, item in value.items() for k, v in flatten(item, f"{prefix}/{name}").items()}


def named(findings):
    return {finding.name: finding for finding in findings}


def everything(session="monday", n_channels=6, n_trials=12, lengths=None, **changes):
    """A data set with every optional part: held-out channels, forward bins, gaps, known inputs and truth."""
    rng = np.random.default_rng(n_channels)
    lengths = rng.integers(6, 11, n_trials) if lengths is None else lengths

    def series(width, draw):
        return [draw((length, width)) for length in lengths]

    arguments = dict(
        held_out=[1, 4],
        forward_bins=2,
        known_inputs=series(2, rng.standard_normal),
        truth=series(n_channels, rng.random),
        truth_unit="Hz",
        true_inputs=series(1, rng.standard_normal),
        condition=np.arange(n_trials) % 3,
        behaviour=series(2, rng.standard_normal),
        behaviour_name="cursor",
        behaviour_lag=0.1,
        interval=np.where(np.arange(n_trials) % 5, 0.1 + rng.random(n_trials), np.nan),
        start_time=np.where(np.arange(n_trials) % 4, 1e5 + 0.7 * np.arange(n_trials), np.nan),
        trial_id=100 + np.arange(n_trials),
        bin_width=0.02,
        test_fraction=0.2,
        session=session,
        channel_names=[f"unit {i}" for i in range(n_channels)],
        observed=series(n_channels, lambda shape: rng.random(shape) > 0.1),
        other_targets={"emg": series(3, rng.standard_normal)},
    )
    trials = series(n_channels, lambda shape: rng.poisson(1.0, shape))
    return from_arrays(trials, **(arguments | changes))


def test_arrays_hold_out_channels_and_bins():
    trials = counts()
    data = from_arrays(trials, held_out=2, forward_bins=3, split=["train"] * 8 + ["valid"] * 4)
    assert data.test is None and data.truth_unit is None
    np.testing.assert_array_equal(data.train.encoder_input, trials[:8, :7, :4])
    np.testing.assert_array_equal(data.valid.targets["spikes"], trials[8:])
    np.testing.assert_array_equal(data.valid.trial_id, [8, 9, 10, 11])
    assert set(data.train.encoder_length) == {7} and set(data.train.target_length) == {10}
    np.testing.assert_array_equal(data.sessions[0].target_index, np.arange(4))


def test_held_out_indices_keep_the_order_of_channels():
    trials = counts()
    data = from_arrays(trials, held_out=[0, 3], split=["train", "valid"] * 6)
    np.testing.assert_array_equal(data.sessions[0].target_index, [1, 2, 4, 5])
    np.testing.assert_array_equal(data.train.targets["spikes"], trials[::2])
    np.testing.assert_array_equal(data.train.encoder_input, trials[::2][:, :, [1, 2, 4, 5]])


@pytest.mark.parametrize(
    ("largest", "expected"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)]
)
def test_counts_have_the_smallest_type(largest, expected):
    trials = counts().astype(float)
    trials[0, 0, 0] = largest
    data = from_arrays(trials)
    assert data.train.encoder_input.dtype == data.valid.targets["spikes"].dtype == expected
    assert max(part.encoder_input.max() for part in data.splits.values()) == largest


def test_real_numbers_become_float32():
    data = from_arrays(counts() - 0.5)
    assert data.train.encoder_input.dtype == np.float32


def test_ragged_trials_are_padded():
    data = everything()
    lengths = data.train.target_length
    assert len(set(lengths)) > 1
    outside = np.arange(data.train.n_bins) >= lengths[:, None]
    np.testing.assert_array_equal(data.train.encoder_length, lengths - 2)
    assert not data.train.targets["spikes"][outside].any()
    assert not data.train.encoder_input[outside[:, 2:]].any()
    assert not data.train.known_inputs[outside].any()
    assert not data.train.target_observed["spikes"][outside].any()
    for values in (data.train.behaviour, data.train.truth, data.train.true_inputs):
        np.testing.assert_array_equal(np.isnan(values).all(axis=2), outside)


def test_forward_bins_of_short_trials_are_hidden_from_the_encoder():
    trials = [np.full((length, 2), 1) for length in (5, 8)] * 2
    data = from_arrays(trials, forward_bins=3, split=["train", "train", "valid", "valid"])
    np.testing.assert_array_equal(data.train.encoder_input.sum(axis=(1, 2)), [4, 10])
    np.testing.assert_array_equal(data.train.targets["spikes"].sum(axis=(1, 2)), [10, 16])


def test_missing_entries_are_zero_and_marked():
    trials = counts().astype(float)
    trials[3, 2, 1] = np.nan
    data = from_arrays(trials, missing=True, split=["train"] * 6 + ["valid"] * 6)
    assert data.train.encoder_input.dtype == np.uint8
    for mask in (data.train.encoder_observed, data.train.target_observed["spikes"]):
        assert np.argwhere(~mask).tolist() == [[3, 2, 1]]
    assert data.train.targets["spikes"][3, 2, 1] == 0


def test_random_split_is_stratified_and_reproducible():
    condition = np.repeat(np.arange(5), [20, 20, 20, 20, 7])
    names = random_names(condition, 87, 0.2, 0.1, seed=3)
    np.testing.assert_array_equal(names, random_names(condition, 87, 0.2, 0.1, seed=3))
    assert np.any(names != random_names(condition, 87, 0.2, 0.1, seed=4))
    assert (names == "valid").sum() == 17 and (names == "test").sum() == 9
    for group in range(5):
        share = np.mean(names[condition == group] == "valid") * np.sum(condition == group)
        assert abs(share - 0.2 * np.sum(condition == group)) <= 1.5


def test_round_trip_of_everything(tmp_path):
    data = everything()
    files = write_dataset(tmp_path, data)
    assert [file.name for file in files] == ["monday.h5"]
    assert_equal(read(*files), data)


def test_round_trip_of_several_sessions(tmp_path):
    plain = from_arrays(
        counts(9, 14, 8),
        session="plain",
        bin_width=0.02,
        known_inputs=np.ones((9, 14, 2)),
        condition=np.arange(9),
    )
    data = concatenate(everything(), plain, everything("tuesday", 9))
    assert_equal(read(*write_dataset(tmp_path / "new" / "folder", data)), data)


def test_round_trip_of_text_and_of_a_named_file(tmp_path):
    data = from_arrays(counts(), condition=["left", "right"] * 6, trial_id=[f"t{i}" for i in range(12)], session="one")
    (file,) = write_dataset(tmp_path / "one.h5", data)
    assert file == tmp_path / "one.h5"
    assert_equal(read(file), data)


def test_round_trip_of_real_numbers_with_gaps(tmp_path):
    trials = counts() - 0.25
    trials[0, 0] = np.nan
    data = from_arrays(trials, missing=True)
    files = write_dataset(tmp_path, data)
    assert_equal(read(*files), data)


def test_padding_of_sessions():
    small = from_arrays(counts(6, 8, 3), held_out=1, session="small", split=["train", "valid"] * 3)
    wide = from_arrays(counts(4, 11, 5), session="wide", split=["train", "valid"] * 2)
    data = concatenate(small, wide)
    assert data.train.encoder_input.shape == (5, 11, 5)
    np.testing.assert_array_equal(data.train.session, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.train.target_length, [8, 8, 8, 11, 11])
    np.testing.assert_array_equal(data.train.encoder_input[:3, :8, :2], small.train.encoder_input)
    assert data.train.encoder_input[:3, 8:].sum() == data.train.encoder_input[:3, :, 2:].sum() == 0
    assert [session.name for session in data.sessions] == ["small", "wide"]
    assert set(data.source) == {"small", "wide"}
    assert data.train.encoder_observed is None and data.train.target_observed == {"spikes": None}


def test_what_only_some_sessions_have():
    full = everything("full")
    bare = from_arrays(counts(6, 8, 3), session="bare", bin_width=0.02, known_inputs=np.ones((6, 8, 2)), seed=1)
    data = concatenate(bare, full)
    first = data.train.session == 0
    assert np.isnan(data.train.truth[first]).all() and not np.isnan(data.train.truth[~first]).all()
    assert np.isnan(data.train.condition[first]).all()
    assert data.truth_unit == "Hz" and data.behaviour_name == "cursor" and data.behaviour_lag == 0.1
    assert data.sessions[0].n_targets == {"spikes": 3, "emg": 0}
    mask = data.train.target_observed["spikes"][first]
    assert mask[:, :8, :3].all() and not mask[:, 8:].any() and not mask[:, :, 3:].any()
    assert data.test.n_trials == full.test.n_trials


def test_tensorflow_keys(tmp_path):
    trials, truth = counts(), np.random.default_rng(1).random((12, 10, 6))
    file = write(
        tmp_path / "chaotic_rnn.h5",
        train_data=trials[:8],
        valid_data=trials[8:],
        train_truth=truth[:8],
        valid_truth=truth[8:],
        conversion_factor=0.5,
        dt=0.01,
        input_train_truth=np.ones((8, 10, 1)),
        input_valid_truth=np.ones((4, 10, 1)),
        condition_labels_train=np.arange(8),
        condition_labels_valid=np.arange(4),
        train_ext_input=np.ones((8, 10, 2), int),
        valid_ext_input=np.ones((4, 10, 2), int),
        train_percentage=0.8,
        P_sxn=np.eye(6),
    )
    data = read(file)
    np.testing.assert_array_equal(data.train.encoder_input, trials[:8])
    np.testing.assert_array_equal(data.valid.targets["spikes"], trials[8:])
    np.testing.assert_allclose(data.train.truth, truth[:8] / 0.5, rtol=1e-6)
    assert data.truth_unit == "counts per bin" and data.bin_width == 0.01 and data.test is None
    assert data.n_known_inputs == 2 and data.train.known_inputs.dtype == np.float32
    np.testing.assert_array_equal(data.valid.condition, np.arange(4))
    assert data.train.true_inputs.shape == (8, 10, 1)
    assert data.source["chaotic_rnn"]["bytes"] == file.stat().st_size


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_counts_of_any_number_type_are_read(tmp_path, kind):
    trials = counts().astype(kind)
    data = read(write(tmp_path / "thits_data_N6.h5", train_data=trials[:8], valid_data=trials[8:], dt=0.01))
    assert data.train.encoder_input.dtype == np.uint8
    np.testing.assert_array_equal(data.train.encoder_input, trials[:8])
    assert [session.name for session in data.sessions] == ["thits_data_N6"]
    real = read(write(tmp_path / "real.h5", train_data=trials[:8], valid_data=trials[8:]), kind="real")
    assert real.train.encoder_input.dtype == np.float32


def test_sessions_are_called_like_their_files_or_as_asked(tmp_path):
    trials = counts()
    names = ("rat_2019.05.03", "rat_2019.05.04")
    files = [write(tmp_path / name, train_data=trials[:8], valid_data=trials[8:]) for name in names]
    assert [session.name for session in read(*files).sessions] == ["rat_2019.05.03", "rat_2019.05.04"]
    assert [session.name for session in read(*files, sessions=["a", "b"]).sessions] == ["a", "b"]
    with pytest.raises(ValueError, match="one name for each of the 2 files, got 1 names"):
        read(*files, sessions=["a"])


def test_files_that_begin_alike_are_no_sessions_of_one_model(tmp_path):
    trials = counts()
    for name in ("chaotic.h5", "chaotic_gaussian.h5"):
        write(tmp_path / name, train_data=trials[:8], valid_data=trials[8:])
    assert len(read(tmp_path / "chaotic.h5").sessions) == 1


def test_truth_without_conversion_factor_is_relative(tmp_path):
    arrays = {
        "train_data": counts(),
        "valid_data": counts(),
        "train_truth": counts(),
        "valid_truth": counts(),
    }
    assert read(write(tmp_path / "a.h5", **arrays)).truth_unit == "relative"
    assert read(write(tmp_path / "b.h5", **arrays, attr_truth_unit="Hz")).truth_unit == "Hz"


def test_a_finding_says_that_truth_and_counts_disagree(tmp_path):
    arrays = {"train_data": counts(), "valid_data": counts(), "train_truth": np.ones((12, 10, 6))}
    found = {
        finding.name: finding for finding in read(write(tmp_path / "a.h5", **arrays, conversion_factor=0.3)).findings
    }
    assert found["scale of the truth"].value == pytest.approx(1 / 0.3 / counts().mean(), rel=1e-5)
    assert (
        "truth is 3" in found["scale of the truth"].sentence
        and "conversion_factor" in found["scale of the truth"].sentence
    )
    right = read(write(tmp_path / "b.h5", **arrays, conversion_factor=1.0))
    assert "scale of the truth" not in {finding.name for finding in right.findings}


def test_lfads_torch_keys_with_held_out_channels_and_forward_bins(tmp_path):
    trials = counts()
    file = write(
        tmp_path / "torch.h5",
        train_encod_data=trials[:6, :7, :4],
        train_recon_data=trials[:6],
        valid_encod_data=trials[6:9, :7, :4],
        valid_recon_data=trials[6:9],
        test_encod_data=trials[9:, :7, :4],
        train_ext_input=np.ones((6, 7, 1)),
        valid_ext_input=np.ones((3, 7, 1)),
        test_ext_input=np.ones((3, 10, 1)),
    )
    data = read(file, bin_width=0.05)
    assert data.bin_width == 0.05
    np.testing.assert_array_equal(data.train.targets["spikes"], trials[:6])
    np.testing.assert_array_equal(data.test.targets["spikes"][:, :7, :4], trials[9:, :7, :4])
    mask = data.test.target_observed["spikes"]
    assert mask[:, :7, :4].all() and mask.sum() == 3 * 7 * 4
    assert data.train.target_observed["spikes"] is None
    assert data.train.known_inputs[:, 7:].sum() == 0 and data.test.known_inputs[:, 7:].all()


def test_target_index_in_a_file(tmp_path):
    trials = counts()
    arrays = {f"{split}_recon_data": trials for split in ("train", "valid")}
    arrays |= {f"{split}_encod_data": trials[:, :, [5, 0, 3]] for split in ("train", "valid")}
    data = read(write(tmp_path / "a.h5", **arrays, target_index=np.array([5, 0, 3])))
    index = data.sessions[0].target_index
    np.testing.assert_array_equal(data.train.targets["spikes"][:, :, index], data.train.encoder_input)


def test_observed_and_lengths_in_a_file(tmp_path):
    trials = counts().astype(float)
    length = np.full(12, 10)
    length[2] = 4
    trials[2, 4:] = np.nan  # Whatever the padding holds is of no account.
    observed = np.ones(trials.shape, np.uint8)
    observed[0, 1, 2] = 0
    arrays = {"data": trials, "length": length, "observed": observed}
    file = write(tmp_path / "a.h5", **{f"{s}_{k}": v for s in ("train", "valid") for k, v in arrays.items()})
    train = read(file).train
    assert train.encoder_length[2] == train.target_length[2] == 4
    assert not train.encoder_observed[0, 1, 2] and not train.target_observed["spikes"][0, 1, 2]
    assert train.encoder_observed[2, :4].all() and not train.encoder_observed[2, 4:].any()


def test_entries_hidden_from_the_encoder_may_be_targets(tmp_path):
    observed, everywhere = np.ones((12, 10, 6), bool), np.ones((12, 10, 6), bool)
    observed[:, 3] = False
    arrays = {"data": counts(), "observed": observed, "target_observed": everywhere}
    file = write(tmp_path / "a.h5", **{f"{s}_{k}": v for s in ("train", "valid") for k, v in arrays.items()})
    train = read(file).train
    assert train.target_observed["spikes"].all() and not train.encoder_input[:, 3].any()
    np.testing.assert_array_equal(train.targets["spikes"], counts())


@pytest.mark.parametrize("key", ["train_data", "data", "encod_data"])
def test_valid_trials_are_drawn_when_a_file_has_none(tmp_path, key):
    trials = counts(50)
    data = read(write(tmp_path / "a.h5", **{key: trials}), valid_fraction=0.3, seed=2)
    assert data.valid.n_trials == 15 and data.train.n_trials == 35
    assert sorted([*data.train.trial_id, *data.valid.trial_id]) == list(range(50))
    np.testing.assert_array_equal(data.valid.encoder_input, trials[data.valid.trial_id])
    assert data.source["a"]["split"] == {"valid_fraction": 0.3, "seed": 2}


def test_behaviour_lag_given_by_the_caller_wins(tmp_path):
    arrays = {"train_data": counts(), "valid_data": counts(), "train_behavior": np.ones((12, 10, 2))}
    file = write(tmp_path / "a.h5", **arrays, attr_behaviour_lag_s=0.08)
    assert read(file).behaviour_lag == 0.08 and read(file).behaviour_name == "behaviour"
    assert read(file, behaviour_lag=0.1).behaviour_lag == 0.1


def test_read_split_for_a_trained_model(tmp_path):
    sessions = concatenate(everything("monday"), everything("tuesday", 9)).sessions
    encoder = counts(4, 8, 7)
    file = write(tmp_path / "tuesday.h5", test_encod_data=encoder, test_ext_input=np.ones((4, 8, 2)))
    splits = read_split(file, sessions, forward_bins=2, n_known_inputs=2, bin_width=0.02)
    assert list(splits) == ["test"]
    test = splits["test"]
    assert set(test.session) == {1} and test.targets["spikes"].shape == (4, 10, 9)
    index = sessions[1].target_index
    np.testing.assert_array_equal(test.targets["spikes"][:, :8, index], encoder)
    assert test.target_observed["spikes"].sum() == encoder.size
    assert not test.target_observed["emg"].any()
    named = read_split(write(tmp_path / "new.h5", data=counts(4, 8, 4)), sessions, session="monday")["all"]
    assert set(named.session) == {0} and named.encoder_input.shape == (4, 8, 7)


def test_read_split_uses_the_only_session(tmp_path):
    sessions = from_arrays(counts()).sessions
    file = write(tmp_path / "new.h5", train_data=counts(3), valid_data=counts(2))
    assert {k: v.n_trials for k, v in read_split(file, sessions).items()} == {"train": 3, "valid": 2}
    assert list(read_split(file, sessions, split="valid")) == ["valid"]


def test_reaching_recording(recordings):
    data = read(recordings / "macaque_reach_day31" / "heldout6.h5")
    assert [split.n_trials for split in data.splits.values()] == [137, 33, 42]
    assert data.train.encoder_input.shape == (137, 35, 18)
    assert data.train.targets["spikes"].shape == (137, 35, 24)
    assert data.bin_width == 0.02 and data.behaviour_lag == 0.08 and data.behaviour_name == "velocity"
    assert data.test.behaviour.shape == (42, 35, 2) and len(np.unique(data.test.condition)) == 7
    whole = read(recordings / "macaque_reach_day31" / "lfads_format.h5")
    np.testing.assert_array_equal(whole.valid.trial_id, data.test.trial_id)
    assert whole.train.encoder_input.dtype == np.uint8
    ids = np.concatenate([split.trial_id for split in data.splits.values()])
    assert sorted(ids) == list(range(212))


def test_prefrontal_recording(recordings):
    data = read(recordings / "kiani_pfc_monkey2" / "heldout42.h5")
    assert [split.n_trials for split in data.splits.values()] == [1138, 284, 356]
    assert data.sessions[0].n_channels == 127 and data.sessions[0].n_targets == {"spikes": 169}
    assert data.bin_width is None


def test_cursor_recording_has_trials_of_different_length(recordings, tmp_path):
    with np.load(recordings / "golub_bmi_24unit" / "golub_bmi.npz") as file:
        ends = np.cumsum(file["lengths"])[:-1]
        spikes = np.split(file["spikes_concat"], ends)
        cursor = np.split(file["cursor_concat"], ends)
        data = from_arrays(
            spikes, behaviour=cursor, behaviour_name="cursor", condition=file["condition"], session="golub"
        )
    assert data.train.n_bins == 40
    assert min(split.target_length.min() for split in data.splits.values()) == 9
    for split in data.splits.values():
        for row, trial in enumerate(split.trial_id):
            length = split.target_length[row]
            np.testing.assert_array_equal(split.encoder_input[row, :length], spikes[trial])
            np.testing.assert_array_equal(split.behaviour[row, :length], cursor[trial])
            assert not split.encoder_input[row, length:].any()
    assert_equal(read(*write_dataset(tmp_path, data)), data)


def test_chaotic_rnn_follows_the_original_program():
    data = chaotic_rnn(conditions=3, trials_per_condition=5, test_fraction=0.2)
    random = np.random.RandomState(5)
    weights = random.randn(50, 50) / np.sqrt(50)
    assert abs(weights[0, 0] - 0.06239899) < 1e-8
    b = random.randn(50)
    random.randn(50)
    starts = [random.randn(50, 1) for _ in range(3)]
    times = [random.choice(50) + 25 for _ in range(15)]
    states = np.zeros((15, 100, 50))
    for trial in range(15):
        x = starts[trial // 5][:, 0]
        for t in range(100):
            x = 0.6 * x + 0.4 * 1.5 * weights @ np.tanh(x) + 0.4 * b * 20.0 * (t == times[trial])
            states[trial, t] = np.tanh(x)
    low, high = states.min(1, keepdims=True), states.max(1, keepdims=True)
    expected = (states - low) / (high - low) * 0.3
    spikes = np.array([[random.poisson(neuron) for neuron in trial.T] for trial in expected])
    rows = {"train": [0, 1, 2, 5, 6, 7, 10, 11, 12], "valid": [3, 8, 13], "test": [4, 9, 14]}
    for name, split in data.splits.items():
        np.testing.assert_allclose(split.truth, expected[rows[name]], atol=1e-6)
        np.testing.assert_array_equal(split.encoder_input, spikes[rows[name]].transpose(0, 2, 1))
        np.testing.assert_array_equal(split.true_inputs[:, :, 0].argmax(axis=1), np.array(times)[rows[name]])
        np.testing.assert_array_equal(split.condition, [0, 1, 2] if name != "train" else np.repeat(range(3), 3))
    assert data.truth_unit == "counts per bin" and data.bin_width == 0.01


def test_chaotic_rnn_without_pulse(tmp_path):
    data = chaotic_rnn(conditions=2, neurons=20, input_magnitude=0.0, held_out=5, seed=1)
    assert data.train.true_inputs is None and data.sessions[0].n_channels == 15
    np.testing.assert_array_equal(data.train.truth[0], data.train.truth[1])
    files = write_dataset(tmp_path, data)
    assert_equal(read(*files), data)
    assert read(*files).source["chaotic_rnn"]["made_from"]["seed"] == 1

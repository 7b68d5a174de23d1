"""Every mistake in a user's data gives a message with the mistake and the remedy."""

import os

import h5py
import numpy as np
import pytest

from lfadsx.data import concatenate, from_arrays, read, read_split, write_dataset
from lfadsx.datasets import chaotic_rnn
from lfadsx.errors import DataError

TRIALS = np.random.default_rng(0).poisson(1.0, (12, 10, 6))


def changed(value, place=(3, 2, 1)):
    """Trials as floats with one value changed."""
    trials = TRIALS.astype(float)
    trials[place] = value
    return trials


def write(path, arrays, **attributes):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update(attributes)
    return path


FILES = {
    "no data": (
        {"train_dat": TRIALS, "valid_dat": TRIALS},
        "unknown key 'train_dat' that looks like 'train_data'. Rename it",
    ),
    "misspelt optional key": (
        {"train_data": TRIALS, "valid_data": TRIALS, "train_veloctiy": TRIALS},
        "unknown key 'train_veloctiy' that looks like 'train_velocity'. Rename it",
    ),
    "misspelt data of one split": (
        {"train_encod_data": TRIALS, "valid_encode_data": TRIALS},
        "unknown key 'valid_encode_data' that looks like 'valid_encod_data'",
    ),
    "no known key": (
        {"spikes": TRIALS, "dataa": TRIALS},
        "must hold one of the keys 'train_encod_data', 'train_data', .* found 'dataa', 'spikes'. Store the data",
    ),
    "misspelt split": (
        {"trian_data": TRIALS},
        "one of the keys .* found 'trian_data'. Rename 'trian_data' to 'train_data'",
    ),
    "split without data": (
        {"train_data": TRIALS, "valid_inds": np.arange(12)},
        "one of the keys 'valid_encod_data', 'valid_data', found 'train_data', 'valid_inds'. Store",
    ),
    "nothing to train on": (
        {"test_data": TRIALS},
        "must hold train trials, found test trials only. Add 'train_encod_data', or use `read_split`",
    ),
    "two keys for one thing": (
        {"train_data": TRIALS, "train_encod_data": TRIALS},
        "holds 'train_encod_data' and 'train_data', which mean the same. Keep one",
    ),
    "group in place of an array": (
        {"train_data/x": TRIALS},
        "'train_data' of 'a.h5' is a group, not an array",
    ),
    "two dimensions": (
        {"train_data": TRIALS[0], "valid_data": TRIALS},
        r"must have the axes \(trial, time, channel\), got two axes, shape \(10, 6\), .*counts=train_data .*--chop 1",
    ),
    "text": (
        {"train_data": np.full((2, 2, 2), b"a"), "valid_data": np.full((2, 2, 2), b"a")},
        "must hold real numbers, got <U1. Store integers or floats",
    ),
    "other number of neurons": (
        {"train_data": TRIALS, "valid_data": TRIALS[:, :, :4]},
        "'valid_data' of 'a.h5' has 4 channels and 'train_data' of 'a.h5' has 6. Give both",
    ),
    "other number of bins": (
        {"train_data": TRIALS, "valid_data": TRIALS[:, :8]},
        "'valid_data' of 'a.h5' has 8 bins and 'train_data' of 'a.h5' has 10. Give both",
    ),
    "targets of other trials": (
        {"train_encod_data": TRIALS, "train_recon_data": TRIALS[:9]},
        "'train_recon_data' of 'a.h5' has 9 trials and 'train_encod_data' of 'a.h5' has 12. Give both",
    ),
    "too few target channels": (
        {"train_encod_data": TRIALS, "train_recon_data": TRIALS[:, :, :4]},
        "'train_recon_data' of 'a.h5' must have at least the 6 channels .* got 4. Add the missing channels, or",
    ),
    "too few target bins": (
        {"train_encod_data": TRIALS, "train_recon_data": TRIALS[:, :4]},
        "'train_recon_data' of 'a.h5' must have at least the 10 bins .* got 4. Targets hold the encoder's bins",
    ),
    "held-out channels first": (
        {"train_encod_data": TRIALS[:, :, 2:], "train_recon_data": TRIALS},
        "first 4 of the 6 channels of 'train_recon_data' of 'a.h5' are not .* Put the held-out channels last",
    ),
    "target_index too long": (
        {"train_data": TRIALS, "target_index": np.arange(7)},
        "'target_index' of 'a' has 7 entries and .* has 6",
    ),
    "target_index too high": (
        {"train_encod_data": TRIALS[:, :, :2], "train_recon_data": TRIALS, "target_index": np.array([0, 6])},
        "has entries from 0 to 6 for 6 target channels. Give indices from 0 to 5, or -1",
    ),
    "target_index repeated": (
        {"train_encod_data": TRIALS[:, :, :2], "train_recon_data": TRIALS, "target_index": np.array([1, 1])},
        "names target channel 1 more than once",
    ),
    "target_index of floats": (
        {"train_data": TRIALS, "target_index": np.arange(6) + 0.5},
        "must hold integers, got float64. Give indices",
    ),
    "negative": (
        {"train_data": changed(-2)},
        r"'train_data' of 'a.h5' is negative \(-2\) at trial 3, bin 2, channel 1, .* --likelihood gaussian",
    ),
    "negative integers": (
        {"train_data": changed(-2).astype(int)},
        r"is negative \(-2\) at trial 3, bin 2, channel 1",
    ),
    "fractional": (
        {"train_data": TRIALS, "valid_data": changed(1.5)},
        r"'valid_data' of 'a.h5' is fractional \(1.5\) at trial 3, bin 2, channel 1.*rates in Hz are not",
    ),
    "NaN": (
        {"train_data": changed(np.nan)},
        "holds 1 NaN, the first at trial 3, bin 2, channel 1. Use --missing",
    ),
    "infinite": ({"train_data": changed(np.inf)}, "is infinite at trial 3, bin 2, channel 1. Replace it"),
    "infinite known input": (
        {"train_data": TRIALS, "train_ext_input": changed(np.inf)},
        "'train_ext_input' of 'a.h5' is infinite at trial 3",
    ),
    "empty split": (
        {"train_data": TRIALS, "valid_data": TRIALS[:0]},
        r"'valid_data' of 'a.h5' holds no trials, shape \(0, 10, 6\). Add trials or leave the split out",
    ),
    "no channels": (
        {"train_data": TRIALS[:, :, :0]},
        r"has an axis of size 0, shape \(12, 10, 0\). Every one of \(trial, time, channel\) needs",
    ),
    "length too long": (
        {"train_data": TRIALS, "train_length": np.full(12, 11)},
        "'train_length' of 'a.h5' must be a whole number of bins from 1 to 10, got 11 for trial 0",
    ),
    "length zero": (
        {"train_data": TRIALS, "train_encoder_length": np.arange(12) % 11},
        "'train_encoder_length' of 'a.h5' must be .* from 1 to 10, got 0 for trial 0",
    ),
    "length fractional": (
        {"train_data": TRIALS, "train_length": np.full(12, 2.5)},
        "got 2.5 for trial 0",
    ),
    "targets shorter than the encoder's": (
        {
            "train_data": TRIALS,
            "train_encoder_length": np.full(12, 8),
            "train_target_length": np.full(12, 7),
        },
        "'train_target_length' of 'a.h5' must be .* from 8 to 10, got 7 for trial 0",
    ),
    "lengths of other trials": (
        {"train_data": TRIALS, "train_length": np.full(9, 5)},
        "'train_length' of 'a.h5' has 9 trials and the data has 12",
    ),
    "ids of other trials": (
        {"train_data": TRIALS, "train_inds": np.arange(9)},
        "'train_inds' of 'a.h5' has 9 trials and 'train_data' of 'a.h5' has 12",
    ),
    "conditions in two columns": (
        {"train_data": TRIALS, "train_condition": np.zeros((12, 2))},
        r"has 2 dimensions, shape \(12, 2\), where 1 are needed. Give it the axes \(trial,\)",
    ),
    "mask of another shape": (
        {"train_data": TRIALS, "train_observed": np.ones((12, 10))},
        r"'train_observed' of 'a.h5' has shape \(12, 10\) and .* has shape \(12, 10, 6\)",
    ),
    "truth of another shape": (
        {"train_data": TRIALS, "train_truth": TRIALS[:, :, :2]},
        r"'train_truth' of 'a.h5' has shape \(12, 10, 2\) and .* has shape \(12, 10, 6\)",
    ),
    "known inputs of other bins": (
        {"train_data": TRIALS, "train_ext_input": TRIALS[:, :7]},
        "'train_ext_input' of 'a.h5' has 7 bins and the data has 10",
    ),
    "known inputs of one split": (
        {"train_data": TRIALS, "train_ext_input": TRIALS, "valid_data": TRIALS},
        "number of known inputs of train of session 'a' is 6 and that of valid of session 'a' is 0. Give all",
    ),
    "bin width of zero": (
        {"train_data": TRIALS, "dt": 0.0},
        "bin width of 'a.h5' must be a finite number above 0, got 0.0",
    ),
    "conversion factor of zero": (
        {"train_data": TRIALS, "train_truth": TRIALS, "conversion_factor": 0.0},
        "'conversion_factor' of 'a.h5' must be a finite number above 0, got 0.0",
    ),
    "conversion factors": (
        {"train_data": TRIALS, "conversion_factor": np.ones(2)},
        r"'conversion_factor' must be one number, got shape \(2,\)",
    ),
    "too few trials to split": (
        {"train_data": TRIALS[:1]},
        "1 trials cannot be split with `valid_fraction` 0.2",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_mistakes_in_a_file(tmp_path, name):
    arrays, message = FILES[name]
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "a.h5", arrays), kind="counts")


def test_mistakes_in_attributes(tmp_path):
    file = write(tmp_path / "a.h5", {"train_data": TRIALS}, truth_unit="kHz")
    with pytest.raises(DataError, match="'truth_unit' of 'a.h5' must be one of 'counts per bin', 'Hz', .* got 'kHz'"):
        read(file)
    file = write(tmp_path / "b.h5", {"train_data": TRIALS}, bin_width_s=0.02)
    with pytest.raises(DataError, match="has bins of 0.02 s, but `bin_width` is 0.01 s. Leave the bin width out"):
        read(file, bin_width=0.01)
    file = write(tmp_path / "c.h5", {"train_data": TRIALS}, channel_names=["one", "two"])
    with pytest.raises(DataError, match="'channel_names' of 'c' has 2 names and .* has 6"):
        read(file)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="The file '.*nothing.h5' must exist, but was not found. Check the path"):
        read(tmp_path / "nothing.h5")
    with pytest.raises(DataError, match="is a folder, not a data file"):
        read(tmp_path)
    with pytest.raises(DataError, match="needs at least one data file, got 0"):
        read()
    (tmp_path / "text.h5").write_text("trial,bin\n")
    with pytest.raises(DataError, match="text.h5' must be an HDF5 file"):
        read(tmp_path / "text.h5")
    whole = write(tmp_path / "whole.h5", {"train_data": TRIALS})
    (tmp_path / "cut.h5").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(DataError, match="cut.h5' cannot be read .* Check its permissions and that it is whole"):
        read(tmp_path / "cut.h5")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_unreadable_file(tmp_path):
    file = write(tmp_path / "a.h5", {"train_data": TRIALS})
    file.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        read(file)


def test_sessions_that_do_not_fit(tmp_path):
    (tmp_path / "x").mkdir()
    files = [write(folder / "a.h5", {"train_data": TRIALS}) for folder in (tmp_path, tmp_path / "x")]
    with pytest.raises(DataError, match="2 sessions are called 'a'. Rename files"):
        read(*files)

    def session(name, **changes):
        return from_arrays(TRIALS, session=name, **({"bin_width": 0.01} | changes))

    cases = [
        ({"bin_width": 0.02}, "bin width of session 'a' is 0.01 and that of session 'b' is 0.02"),
        ({"known_inputs": TRIALS}, "number of known inputs of train of session 'a' is 0 .* session 'b' is 6"),
    ]
    for changes, message in cases:
        with pytest.raises(DataError, match=message):
            concatenate(session("a"), session("b", **changes))
    with pytest.raises(DataError, match="unit of the truth of session 'a' is 'Hz' .* is 'relative'"):
        concatenate(session("a", truth=TRIALS, truth_unit="Hz"), session("b", truth=TRIALS))
    with pytest.raises(DataError, match="behaviour lag of session 'a' is 0.0 and that of session 'b' is 0.1"):
        concatenate(session("a", behaviour=TRIALS), session("b", behaviour=TRIALS, behaviour_lag=0.1))
    with pytest.raises(DataError, match="number of behaviour columns of train of session 'a' is 6"):
        concatenate(session("a", behaviour=TRIALS), session("b", behaviour=TRIALS[:, :, :1]))
    with pytest.raises(DataError, match="needs at least one data set, got 0"):
        concatenate()


ARRAYS = {
    "held_out": ({"held_out": 6}, "`held_out` must be from 0 to 5 for 6 channels, got 6"),
    "held-out index": ({"held_out": [1, 7]}, "`held_out` must hold indices from 0 to 5 for 6 channels, got 7"),
    "all held out": ({"held_out": range(6)}, "`held_out` names all 6 channels. Leave at least one"),
    "forward_bins": ({"forward_bins": 10}, "`forward_bins` must be from 0 to 9, .* got 10"),
    "split": ({"split": ["train"] * 12}, "'split' must hold 'train' and 'valid', but no trial is 'valid'"),
    "name of a split": ({"split": ["train", "dev"] * 6}, "entry of 'split' must be one of 'train', .* got 'dev'"),
    "length of split": ({"split": ["train", "valid"]}, "'split' has 2 trials and 'spikes' has 12"),
    "fractions": (
        {"valid_fraction": 0.6, "test_fraction": 0.4},
        "their sum below 1, got 0.6 and 0.4",
    ),
    "bin width": ({"bin_width": -0.01}, "`bin_width` must be a finite number above 0, got -0.01"),
    "unit": ({"truth": TRIALS, "truth_unit": "spikes"}, "`truth_unit` must be one of .* got 'spikes'"),
    "mask": ({"observed": TRIALS[:3]}, r"'observed' has shape \(3, 10, 6\) and 'spikes' has shape"),
    "conditions": ({"condition": [1, 2]}, "'condition' has 2 trials and 'spikes' has 12"),
    "behaviour": ({"behaviour": TRIALS[:3]}, "'behaviour' has 3 trials and 'spikes' has 12"),
    "names": ({"channel_names": ["a"]}, "'channel_names' of 'session' has 1 names"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_mistakes_in_arrays(name):
    arguments, message = ARRAYS[name]
    with pytest.raises(DataError, match=message):
        from_arrays(TRIALS, **arguments)


def test_mistakes_in_trials_of_different_length():
    with pytest.raises(DataError, match=r"Trial 1 of 'spikes' has shape \(5, 3\) and trial 0 has \(4, 2\)"):
        from_arrays([np.ones((4, 2)), np.ones((5, 3))])
    with pytest.raises(DataError, match="Trial 1 has 4 bins in 'behaviour' and 5 bins in 'spikes'"):
        from_arrays([np.ones((4, 2)), np.ones((5, 2))], behaviour=[np.ones((4, 2))] * 2)
    with pytest.raises(DataError, match="`forward_bins` must be from 0 to 3, .* got 4"):
        from_arrays([np.ones((4, 2)), np.ones((5, 2))], forward_bins=4)
    with pytest.raises(DataError, match="'spikes' holds no trials"):
        from_arrays([])
    with pytest.raises(DataError, match=r"'spikes' is fractional \(0.5\) at trial 0, bin 0, channel 0"):
        from_arrays([np.full((4, 2), 0.5)] * 3, kind="counts")


def test_files_that_do_not_fit_the_model(tmp_path):
    sessions = from_arrays(TRIALS, session="one").sessions
    file = write(tmp_path / "a.h5", {"test_data": TRIALS[:, :, :4]}, bin_width_s=0.02)
    with pytest.raises(DataError, match="'test_data' of 'a.h5' has 4 channels and session 'one' has 6"):
        read_split(file, sessions)
    with pytest.raises(DataError, match="has bins of 0.02 s, but `bin_width` is 0.01 s"):
        read_split(file, sessions, bin_width=0.01)
    file = write(tmp_path / "b.h5", {"test_data": TRIALS})
    with pytest.raises(DataError, match="'test' of 'b.h5' has 0 known inputs and the model has 2"):
        read_split(file, sessions, n_known_inputs=2)
    with pytest.raises(DataError, match="split to read from 'b.h5' must be one of 'test', got 'valid'"):
        read_split(file, sessions, split="valid")
    two = sessions + from_arrays(TRIALS, session="two").sessions
    with pytest.raises(DataError, match="'b.h5' must be named after one of the model's sessions one, two. Name"):
        read_split(file, two)
    with pytest.raises(DataError, match="`session` must be one of 'one', 'two', got 'three'"):
        read_split(file, two, session="three")
    file = write(tmp_path / "c.h5", {"test_encod_data": TRIALS, "test_recon_data": np.tile(TRIALS, 2)})
    with pytest.raises(DataError, match="'test_recon_data' of 'c.h5' has 12 channels and session 'one' has 6"):
        read_split(file, sessions)


def test_mistakes_in_writing(tmp_path):
    (tmp_path / "file").write_text("")
    data = from_arrays(TRIALS, session="one")
    with pytest.raises(DataError, match="cannot be written .* Name a file in a folder that you may write to"):
        write_dataset(tmp_path / "file" / "folder", data)
    with pytest.raises(DataError, match="session name 'one/two' cannot be a file name. Rename the session"):
        write_dataset(tmp_path, from_arrays(TRIALS, session="one/two"))


def test_mistakes_in_a_simulation():
    with pytest.raises(DataError, match="`neurons` must be a finite number above 0, got 0"):
        chaotic_rnn(neurons=0)
    with pytest.raises(DataError, match="4 trials per condition .* give 1 valid and 0 test trials"):
        chaotic_rnn(trials_per_condition=4, test_fraction=0.1)
    with pytest.raises(DataError, match="must have at least 4 bins; .* has 2 bins of 0.01 s"):
        chaotic_rnn(duration=0.02)

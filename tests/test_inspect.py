"""`lfadsx inspect` of data files, NPZ files and run folders, and `lfadsx infer` on part of the training data."""

import h5py
import making
import numpy as np
import pytest
from odd_files import TRIALS, split_in, write

import lfadsx
from lfadsx import cli
from lfadsx.data import read_split
from lfadsx.data.model_trials import read_trials
from lfadsx.errors import DataError
from lfadsx.recordings.formats import format_of
from lfadsx.results.results_file import read_posteriors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of one epoch on two sessions, "monday" and "tuesday", each with held-out neurons."""
    out = tmp_path_factory.mktemp("runs") / "run"
    data = making.several_sessions()
    config = lfadsx.TrainConfig(epochs=1, batch_size=4, kl_ramp_epochs=0, l2_ramp_epochs=0)
    lfadsx.fit(making.build(data), data, config=config, out=out)
    return out


def told(capsys, *words):
    assert cli.main(["inspect", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_data_file_in_words(recordings, capsys):
    text = told(capsys, recordings / "macaque_reach_day31" / "heldout6.h5")
    assert "train_encod_data 137 x 35 x 18, uint8 data that the encoder sees (trial, time, channel)" in " ".join(
        text.split()
    )
    for part in ("bin_width_s: 0.02", "24 channels (6 held out)", "35 of 20 ms", "means from 4.06 to 35.8 Hz"):
        assert part in text
    assert "0 silent in training" in text and "0 (34 trials), 1 (32 trials)" in text and "2 columns (velocity)" in text
    assert "note: Keys of 'heldout6.h5' that nothing reads: 'channel_order', 'folds5'." in text


def test_odd_data_files_in_words(tmp_path, capsys):
    values = TRIALS.copy()
    values[:, :, 3] = 0
    text = told(capsys, write(tmp_path / "a.h5", train_data=values, names=np.bytes_("x")))
    assert "1 silent in training" in text and "warning: 1 of 8 channels" in text
    assert "The bin width is unknown, so nothing is given in Hz. Give it with --bin-width in seconds." in text
    assert "20 of 10 ms" in told(capsys, tmp_path / "a.h5", "--bin-width", "0.01")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["train_data"], file["nothing"] = h5py.SoftLink("/gone"), h5py.Empty("f8")
    text = told(capsys, tmp_path / "b.h5")
    assert "a link to '/gone', which cannot be found" in text and "empty" in text
    assert "It cannot be read as training data:\n  'train_data' of 'b.h5' is a link" in text
    assert cli.main(["inspect", str(tmp_path / "none.h5")]) == 2
    assert "must exist, but was not found" in capsys.readouterr().err


def test_npz_files_in_words(recordings, tmp_path, capsys):
    text = told(capsys, recordings / "nelpy_hippocampus" / "w_maze.npz")
    assert "--map spike_times=spike_times,unit=unit" in text and "pos_t        261995, float64" in text
    text = told(capsys, recordings / "golub_bmi_24unit" / "golub_bmi.npz", "--bin-width", "0.033")
    assert "--map counts=spikes_concat,lengths=lengths,condition=condition" in text and "24 units, 165 trials" in text
    np.savez(tmp_path / "a.npz", spikes=TRIALS, extra=np.array([{}], object))
    text = told(capsys, tmp_path / "a.npz")
    assert "pickled, never opened" in text and "needs the width of its bins" in text


def test_a_run_folder_in_words(run, tmp_path, capsys):
    text = told(capsys, run)
    assert "Session 'monday': encoder sees 4 channels; targets 6 spikes" in text
    assert "epochs: 1" in text and "best model (`lfadsx.load`)" in text
    assert f"lfadsx infer {run} FILE --session NAME, FILE with trials of monday, tuesday" in text
    assert cli.main(["inspect", str(tmp_path)]) == 2
    assert "has no run.json" in capsys.readouterr().err


def test_infer_on_one_session_under_another_name_with_all_channels(run, tmp_path, capsys):
    counts = np.random.default_rng(0).poisson(1.0, (3, 7, 6))
    held_in = write(tmp_path / "new.h5", data=counts[:, :, [0, 2, 3, 5]])
    every = write(tmp_path / "all.h5", data=counts)
    out = [tmp_path / "a.h5", tmp_path / "b.h5"]
    assert cli.main(["infer", str(run), str(held_in), "--samples", "0", "--out", str(out[0])]) == 2
    said = capsys.readouterr().err
    assert "must be named after one of the model's sessions monday, tuesday. Name its session with `--session`." in said
    words = ["--samples", "0", "--session", "monday", "--out"]
    assert cli.main(["infer", str(run), str(held_in), *words, str(out[0])]) == 0
    assert "held-out" not in capsys.readouterr().err
    assert cli.main(["infer", str(run), str(every), *words, str(out[1])]) == 0
    assert "'data' of 'all.h5' holds all 6 channels of session 'monday'. The model sees 4" in capsys.readouterr().err
    first, second = (read_posteriors(file)["all"] for file in out)
    np.testing.assert_array_equal(first.rates["spikes"], second.rates["spikes"])
    assert np.isfinite(first.rates["spikes"][:, :, :6]).all()
    assert cli.main(["infer", str(run), str(every), "--session", "friday"]) == 2
    assert "`--session` must be one of 'monday', 'tuesday', got 'friday'" in capsys.readouterr().err


def test_held_out_channels_are_named(tmp_path):
    names = [f"n{i}" for i in range(8)]
    data = lfadsx.from_arrays(TRIALS, held_out=[1, 6], channel_names=names, session="day1")
    file = split_in(tmp_path / "day1.h5")
    splits, (note, _) = read_trials(file, data.sessions)
    assert note.value == 2 and note.sentence.endswith("the 2 held-out channels are left out: n1, n6.")
    np.testing.assert_array_equal(splits["train"].encoder_input, TRIALS[:32][:, :, [0, 2, 3, 4, 5, 7]])
    assert not splits["train"].target_observed["spikes"][:, :, [1, 6]].any()
    with pytest.raises(DataError, match="has 7 channels and session 'day1' has 6"):
        read_split(write(tmp_path / "other.h5", data=TRIALS[:, :, :7]), data.sessions)


def test_recordings_in_words(recordings, capsys):
    for source, event in (("csv", "target_on"), ("matlab/session_v73.mat", "targetOn")):
        text = told(capsys, recordings / "formats" / source)
        assert "20 units, 60 trials" in text and f"--align {event}" in text and "silent:        45" in text
    assert "areas, conditions and names of columns are missing" in told(capsys, recordings / "formats" / "pynapple")


def test_a_data_file_that_matlab_wrote_is_no_recording(tmp_path, capsys):
    path = tmp_path / "day1.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["train_data"] = TRIALS.astype(float).T
        file["train_data"].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    assert format_of(path) is None
    assert "MATLAB wrote 'day1.mat', which reverses axes" in told(capsys, path)

"""`lfadsx prepare`, and recordings given to `fit`: every format of the small recording, and unreadable files."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from lfadsx import cli
from lfadsx.cli.cutting_flags import Cutting
from lfadsx.cli.reading_flags import Reading
from lfadsx.data import read
from lfadsx.errors import RunError
from lfadsx.files import plain
from lfadsx.pipeline.recorded_data import recorded_data
from lfadsx.recordings.formats import format_of, read_recording, read_recordings

SOURCES = {
    "nwb/session.nwb": ("NWB file", "go_cue"),
    "matlab/session_v73.mat": ("MATLAB file", "goCue"),
    "matlab/session_v5.mat": ("MATLAB file", "goCue"),
    "phy": ("Phy folder", "go_cue"),
    "csv": ("CSV folder", "go_cue"),
    "pynapple": ("pynapple files", "go_cue"),
}
WINDOW = ("--window", "-0.25", "0.45")


@pytest.fixture(scope="module")
def formats(recordings):
    return recordings / "formats"


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


@pytest.mark.parametrize("source", SOURCES)
def test_each_format_is_known_by_its_content_and_prepared(source, formats, truth, tmp_path, capsys):
    name, event = SOURCES[source]
    assert format_of(formats / source).name == name
    file = tmp_path / "day1.h5"
    words = ["prepare", str(formats / source), "--out", str(file), "--align", event, *WINDOW]
    assert cli.main(words) == 0
    said = capsys.readouterr().err
    assert f"lfadsx fit {file} --out runs/" in said and "trials are dropped" in said
    data = read(file)
    ids = np.concatenate([split.trial_id for split in data.splits.values()]).astype(int)
    counts = np.concatenate([split.targets["spikes"] for split in data.splits.values()])
    kept = "cut_" if name == "MATLAB file" else ""
    known = dict(zip(truth[f"{kept}trial_id"].astype(int), truth[f"{kept}counts"], strict=True))
    assert set(ids) <= set(known) and len(ids) >= len(known) - (2 if name == "pynapple files" else 0)
    np.testing.assert_array_equal(counts, np.stack([known[trial] for trial in ids]))


def test_a_dry_run_writes_nothing_and_verbose_names_every_dropped_trial(formats, tmp_path, capsys):
    words = ["prepare", str(formats / "csv"), "--align", "go_cue", *WINDOW, "--dry-run", "--verbose"]
    assert cli.main([*words, "--held-out", "0.2", "--split", "0.6", "0.2", "0.2", "--areas", "M1"]) == 0
    said = capsys.readouterr().err
    assert "Nothing is written (--dry-run)." in said and "trial 1: window begins before the recording" in said
    assert "12 channels (2 held out)" in said and "33 train, 10 valid, 10 test" in said


def test_a_recording_is_cut_on_the_way_to_training(formats, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("lfadsx.pipeline.fit_run", lambda data, out, **how: seen.setdefault("data", data) and 1 / 0)
    words = ["fit", str(formats / "csv"), "--out", str(tmp_path / "run"), "--align", "go_cue", *WINDOW]
    cli.main([*words, "--bin-width", "0.03", "--behaviour", "hand_velocity"])
    data = seen["data"]
    assert data.train.n_bins == 23 and data.bin_width == 0.03 and data.train.behaviour.shape[2] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "CSV"], "`--out` must be given"),
        (["prepare", "nowhere.nwb", "--dry-run"], "'nowhere.nwb' does not exist"),
        (["prepare", "FILE", "--dry-run"], "must be one of Phy folder, CSV folder"),
        (["prepare", "CSV", "--dry-run", "--variable", "x"], "`--variable` cannot be used with a CSV folder"),
        (["prepare", "CSV", "--dry-run", "--split", "0.5", "0.5"], "`--split` must be three shares"),
        (["prepare", "CSV", "--dry-run", "--align", "gocue"], "go_cue"),
        (["fit", "FILE", "--out", "OUT", "--align", "go_cue"], "need a recording, got data files"),
        (["fit", "CSV", "--out", "OUT", "--align", "go_cue", "--missing"], "must be used with data files"),
    ],
)
def test_what_cannot_be_prepared_is_said(words, message, formats, tmp_path, capsys):
    file = tmp_path / "data.h5"
    with h5py.File(file, "w") as content:
        content["train_data"] = content["valid_data"] = np.ones((6, 5, 4), int)
    places = {"CSV": formats / "csv", "FILE": file, "OUT": tmp_path / "out"}
    assert cli.main([str(places.get(word, word)) for word in words]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_options_of_other_formats_are_refused_by_name(formats):
    with pytest.raises(ValueError, match="`bin_widt` cannot be used with a CSV folder .did you mean 'bin_width'"):
        read_recording(formats / "csv", bin_widt=0.1)


def test_notes_of_the_cut_stay_with_chosen_trials(formats):
    data = read_recording(formats / "phy", align="go_cue", window=(-0.25, 0.45))
    assert {"units dropped", "trials dropped"} <= {finding.name for finding in data.rebin(2).findings}


def test_nothing_is_held_out_if_the_user_says_so(formats, tmp_path, capsys):
    words = ["prepare", str(formats / "nwb" / "nlb_train.nwb"), "--align", "move_onset", *WINDOW, "--dry-run"]
    for extra, said in (([], "20 channels (5 held out)"), (["--held-out", "0"], "20 channels, ")):
        assert cli.main([*words, *extra]) == 0
        assert said in capsys.readouterr().err


def test_a_damaged_archive_is_not_a_recording(tmp_path):
    (tmp_path / "spikes.npz").write_bytes(b"PK\x03\x04 cut off")
    assert format_of(tmp_path / "spikes.npz") is None


@pytest.fixture
def same_names(tmp_path):
    """Two recordings in folders of the same name."""
    folders = []
    for parent in ("a", "b"):
        folder = tmp_path / parent / "day"
        folder.mkdir(parents=True)
        spikes = [f"{unit},{0.013 * unit * i:.4f}" for unit in (2, 3) for i in range(900)]
        (folder / "spikes.csv").write_text("\n".join(["unit,time", *spikes]))
        trials = [f"{i},{2 * i + 1}" for i in range(10)]
        (folder / "trials.csv").write_text("\n".join(["trial_id,cue", *trials]))
        folders.append(str(folder))
    return folders


def test_recordings_of_one_name_need_names_of_sessions(same_names, tmp_path, capsys):
    words = ["prepare", *same_names, "--out", str(tmp_path / "out"), "--align", "cue", *WINDOW]
    assert cli.main(words) == 2 and "--session-names" in capsys.readouterr().err
    assert cli.main([*words, "--session-names", "mon"]) == 2
    assert "one name for each of the 2 recordings, got 1 names" in capsys.readouterr().err
    assert cli.main([*words, "--session-names", "mon", "tue"]) == 0
    data = read(tmp_path / "out" / "mon.h5", tmp_path / "out" / "tue.h5")
    assert [session.name for session in data.sessions] == ["mon", "tue"]
    for facts in data.source.values():  # the source files travel on
        names = [file["file"] for file in facts["made_from"]["files"]]
        assert names == ["spikes.csv", "trials.csv"]
        assert all(len(file["sha256"]) == 64 and file["bytes"] > 30 for file in facts["made_from"]["files"])
    with_names = Reading(session_names=("mon", "tue"), bin_width=0.01)
    fitted = with_names.read(tuple(map(Path, same_names)), None, 0, Cutting(align="cue", window=(-0.25, 0.45)))
    assert [session.name for session in fitted.sessions] == list(fitted.source) == ["mon", "tue"]


def test_tables_tell_what_only_a_pickle_holds(formats, tmp_path):
    words = ["prepare", str(formats / "pynapple"), "--align", "go_cue", *WINDOW, "--out", str(tmp_path / "a.h5")]
    tables = ["--units", str(formats / "csv" / "units.csv"), "--trials", str(formats / "csv" / "trials.csv")]
    assert cli.main([*words, *tables, "--areas", "M1", "--condition", "condition"]) == 0
    data = read(tmp_path / "a.h5")
    assert data.train.encoder_input.shape[2] == 12
    known = dict(
        zip(*(np.load(formats / "truth.npz")[name].tolist() for name in ("trial_id", "condition")), strict=True)
    )
    assert [known[trial] for trial in data.train.trial_id.tolist()] == data.train.condition.tolist()
    (tmp_path / "units.csv").write_text("unit,area\n3,M1\n")
    assert cli.main([*words, "--units", str(tmp_path / "units.csv")]) == 2


def test_a_run_on_recordings_cuts_them_again(same_names, tmp_path):
    options = dict(align="cue", window=(-0.2, 0.3), bin_width=0.02, held_out=1, split=(0.5, 0.3, 0.2), seed=3)
    data = read_recordings([Path(name) for name in same_names], ("mon", "tue"), **options)
    facts = json.loads(json.dumps(plain(data.source)))
    count = {key: {name: getattr(own, key) for name, own in data.splits.items()} for key in ("n_trials", "n_bins")}
    info = SimpleNamespace(
        sessions=data.sessions, data={"source": facts, **count}, command=f"lfadsx fit {' '.join(same_names)}"
    )
    again = recorded_data({"run": tmp_path}, {"run": info}, 1)
    assert [session.name for session in again.sessions] == ["mon", "tue"]
    for name, split in data.splits.items():
        np.testing.assert_array_equal(again.splits[name].encoder_input, split.encoder_input)
        np.testing.assert_array_equal(again.splits[name].trial_id, split.trial_id)
    for folder in same_names:
        with (Path(folder) / "spikes.csv").open("a") as file:
            file.write("\n3,1.0")
    with pytest.raises(RunError, match="recording day of the run run is not found, or its files have changed"):
        recorded_data({"run": tmp_path}, {"run": info}, 1)

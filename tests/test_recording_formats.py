"""The small recording in NWB, MATLAB and pynapple files, against a correct import.

| form | what it holds of the truth |
|---|---|
| NWB of a laboratory | windows, 30 ms bins, whole trials, velocity, areas, conditions, reasons |
| NWB of the Neural Latents Benchmark | windows at movement in 5 ms bins, given splits, held-out units, velocity |
| MATLAB `trials`, v5 and v7.3 | windows inside the trials, whole trials, velocity, areas, conditions, reasons |
| MATLAB `spikeTimesMs` | windows, 30 ms bins, areas, conditions, reasons |
| MATLAB `counts`, v5 and v7.3 | windows, 30 ms bins, areas, conditions |
| pynapple objects | windows, 30 ms bins, whole trials but one, velocity, areas, conditions, reasons |
| pynapple npz | windows, 30 ms bins, velocity, ids; areas and conditions are pickled |
| pynapple npz and CSV tables | windows, 30 ms bins, whole trials, areas, conditions, reasons |
"""

import numpy as np
import pytest

import lfadsx
from lfadsx.recordings import cut, read_matlab, read_nwb, read_pynapple
from lfadsx.recordings.tables import read_table

WINDOW = (-0.25, 0.45)


@pytest.fixture(scope="module")
def formats(recordings):
    folder = recordings / "formats"
    if not folder.is_dir():
        pytest.skip(f"needs the small recording in several formats, which is not at {folder}")
    return folder


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


def pynapple_objects(formats):
    nap = pytest.importorskip("pynapple")
    group, trials, hand = (nap.load_file(formats / "pynapple" / f"{n}.npz") for n in ("spikes", "trials", "hand_vel"))
    return read_pynapple(group, trials, signals={"hand": hand})


def npz_and_tables(formats):
    trials, units = (read_table(formats / "csv" / f"{name}.csv") for name in ("trials", "units"))
    return read_pynapple(formats / "pynapple", trials, unit_columns={"area": units["area"]})


def nwb(formats):
    pytest.importorskip("pynwb")
    return read_nwb(formats / "nwb" / "session.nwb")


READERS = {
    "nwb": nwb,
    "matlab v5": lambda formats: read_matlab(formats / "matlab" / "session_v5.mat"),
    "matlab v7.3": lambda formats: read_matlab(formats / "matlab" / "session_v73.mat"),
    "matlab cell": lambda formats: read_matlab(
        formats / "matlab" / "session_v5.mat", variable="spikeTimesMs", relative_to="goCue"
    ),
    "pynapple": pynapple_objects,
    "pynapple npz": lambda formats: read_pynapple(formats / "pynapple"),
    "pynapple npz and tables": npz_and_tables,
}
CUE = {"nwb": "go_cue_time", "pynapple": "go_cue", "pynapple npz": "go_cue", "pynapple npz and tables": "go_cue"}
INSIDE_TRIALS = ("matlab v5", "matlab v7.3")
VELOCITY = {"nwb": "hand_vel", "pynapple": "hand", "pynapple npz": "hand_vel"}


@pytest.fixture(scope="module")
def read(formats):
    """Reads each form once."""
    known = {}
    return lambda form: known[form] if form in known else known.setdefault(form, READERS[form](formats))


def together(data, field):
    """An array of all splits, in the order of the input."""
    splits = list(data.splits.values())
    order = np.argsort(np.concatenate([split.row for split in splits]))
    values = [split.targets["spikes"] if field == "counts" else getattr(split, field) for split in splits]
    return np.concatenate(values)[order]


def source(data):
    return data.source[data.sessions[0].name]


@pytest.mark.parametrize("form", READERS)
def test_windows_at_the_go_cue(form, read, truth):
    data = cut(read(form), align=CUE.get(form, "goCue"), window=WINDOW)
    inside = "cut_" if form in INSIDE_TRIALS else ""
    kept = truth[f"{inside}trial_id"]
    np.testing.assert_array_equal(together(data, "trial_id"), kept)
    np.testing.assert_array_equal(together(data, "counts"), truth[f"{inside}counts"])
    assert data.sessions[0].names("spikes") == tuple(map(str, truth["unit_id"]))
    began = truth["go_cue_s"][np.isin(truth["trial_id"], kept)] + WINDOW[0]
    np.testing.assert_allclose(together(data, "start_time"), began, rtol=0, atol=1e-6)
    if form == "pynapple npz":
        return
    np.testing.assert_array_equal(together(data, "condition"), truth["condition"][np.isin(truth["trial_id"], kept)])
    reasons = zip(truth["all_trial_id"].tolist(), truth[f"{inside}dropped_because"].tolist(), strict=True)
    assert source(data)["dropped"] == {trial: why for trial, why in reasons if why}
    assert list(source(data)["area"].values()) == truth["unit_area"].tolist()


@pytest.mark.parametrize("form", [form for form in READERS if form not in INSIDE_TRIALS])
def test_bins_that_do_not_divide_the_window(form, read, truth):
    data = cut(read(form), align=CUE.get(form, "goCue"), window=WINDOW, bin_width=0.03)
    np.testing.assert_array_equal(together(data, "counts"), truth["counts_30ms"])


@pytest.mark.parametrize("form", ["nwb", *INSIDE_TRIALS, "pynapple", "pynapple npz and tables"])
def test_whole_trials(form, read, truth):
    data = cut(read(form))
    np.testing.assert_array_equal(together(data, "trial_id"), truth["whole_trial_id"])
    same = truth["whole_trial_id"] != (45 if form == "pynapple" else 0)  # starts late there: sets cannot overlap
    np.testing.assert_array_equal(together(data, "target_length")[same], truth["whole_length"][same])
    np.testing.assert_array_equal(together(data, "counts")[same], truth["whole_counts"][same])


@pytest.mark.parametrize("form", VELOCITY)
def test_velocity(form, read, truth):
    data = cut(read(form), align=CUE[form], window=WINDOW, behaviour=VELOCITY[form])
    np.testing.assert_allclose(together(data, "behaviour"), truth["velocity"], atol=1e-6)


@pytest.mark.parametrize("form", INSIDE_TRIALS)
def test_velocity_of_each_trial(form, read, truth):
    data = cut(read(form), align="goCue", window=WINDOW, behaviour="handVel")
    own = truth["velocity"][np.isin(truth["trial_id"], truth["cut_trial_id"])]
    np.testing.assert_allclose(together(data, "behaviour"), own, atol=1e-6)


@pytest.mark.parametrize("file", ["session_v5.mat", "session_v73.mat"])
def test_counts_of_matlab(file, formats, truth):
    recording = read_matlab(formats / "matlab" / file, variable="counts", relative_to="goCue")
    for width, name in ((0.01, "counts"), (0.03, "counts_30ms")):
        data = cut(recording, align="goCue", window=WINDOW, bin_width=width)
        np.testing.assert_array_equal(together(data, "counts"), truth[name])
    np.testing.assert_array_equal(together(data, "trial_id"), truth["trial_id"])
    np.testing.assert_array_equal(together(data, "condition"), truth["condition"])
    assert list(source(data)["area"].values()) == truth["unit_area"].tolist()
    assert "trial x unit x time, 70 bins of 0.01 s from -0.25 s" in recording.findings[0].sentence


def test_both_versions_of_matlab_hold_the_same(read):
    old, new = read("matlab v5"), read("matlab v7.3")
    assert old.events == new.events == ("start", "stop", "targetOn", "goCue", "moveOnset")
    assert list(old.trials) == list(new.trials)
    for name, values in old.trials.items():
        np.testing.assert_array_equal(values, new.trials[name], err_msg=name)
    np.testing.assert_array_equal(old.signals["handVel"].values, new.signals["handVel"].values)


def test_counts_of_matlab_as_they_are(formats, truth):
    data = lfadsx.from_matlab(formats / "matlab" / "session_v5.mat", variable="counts", align="goCue")
    np.testing.assert_array_equal(together(data, "counts"), truth["counts"])
    assert (data.time.event, data.time.start, data.bin_width) == ("goCue", -0.25, 0.01)


def test_the_form_of_matlab_that_is_cut_least_is_read_and_named(read):
    assert read("matlab v5").source["variable"] == "trials"
    note = next(finding for finding in read("matlab v5").findings if finding.name == "several forms")
    assert "'trials' (spike times by trial) is read" in note.sentence
    assert "'spikeTimesMs'" in note.sentence and "'counts'" in note.sentence and "`variable`" in note.remedy


def test_both_files_of_the_benchmark(formats, truth):
    pytest.importorskip("pynwb")
    train, test = (formats / "nwb" / f"nlb_{name}.nwb" for name in ("train", "test"))
    data = lfadsx.from_nwb(
        train,
        test,
        align="move_onset_time",
        window=WINDOW,
        bin_width=0.005,
        behaviour="hand_vel",
        condition=["trial_type", "trial_version"],
    )
    hidden = truth["nlb_heldout"]
    np.testing.assert_array_equal(data.held_out()["nlb_train"], np.flatnonzero(hidden))
    for name, said in (("train", "train"), ("valid", "val"), ("test", "test")):
        split, own = data.splits[name], truth["nlb_split"] == said
        seen = truth["nlb_counts_5ms"][own]
        np.testing.assert_array_equal(split.targets["spikes"][..., ~hidden], seen[..., ~hidden])
        np.testing.assert_array_equal(split.encoder_input, seen[..., ~hidden])
        if name != "test":
            np.testing.assert_array_equal(split.targets["spikes"], seen)
            np.testing.assert_array_equal(split.trial_id, truth["nlb_trial_id"][own])
            np.testing.assert_allclose(split.behaviour, truth["nlb_hand_vel_5ms"][own], atol=1e-3)
            assert split.target_observed["spikes"] is None
    assert (data.test.target_observed["spikes"] == ~hidden).all()
    assert np.isfinite(data.train.start_time).all() and np.isnan(data.test.start_time).all()
    assert np.isnan(data.test.behaviour).all() and not data.test.labelled.any()
    with pytest.raises(lfadsx.DataError, match="must be held out, but the encoder would see"):
        lfadsx.from_nwb(train, test, align="move_onset_time", window=WINDOW, held_out=0)


def test_the_train_file_of_the_benchmark_alone(formats, truth):
    pytest.importorskip("pynwb")
    data = lfadsx.from_nwb(formats / "nwb" / "nlb_train.nwb", align="move_onset", window=WINDOW, bin_width=0.005)
    assert data.test is None and data.time.event == "move_onset_time"
    assert len(data.held_out()["nlb_train"]) == truth["nlb_heldout"].sum()
    np.testing.assert_array_equal(data.valid.targets["spikes"], truth["nlb_counts_5ms"][truth["nlb_split"] == "val"])


def test_the_test_file_of_another_set(formats):
    pytest.importorskip("pynwb")
    folder = formats / "nwb"
    with pytest.raises(lfadsx.DataError, match="must be units of 'nlb_test'"):
        read_nwb(folder / "nlb_test.nwb", folder / "session.nwb")


def test_npz_of_pynapple_says_what_it_cannot_read(read):
    recording = read("pynapple npz")
    note = next(finding for finding in recording.findings if finding.name == "pickled metadata")
    assert "spikes.npz" in note.sentence and "trials.npz" in note.sentence and "`lfadsx.from_pynapple`" in note.remedy
    assert "area" not in recording.unit_columns and set(recording.trials) == {"trial_id", "go_cue"}


def test_trials_of_npz_by_their_intervals(formats, truth):
    data = cut(read_pynapple(formats / "pynapple", "trials"))
    same = truth["whole_trial_id"] != 45
    assert (
        together(data, "trial_id").tolist()
        == np.flatnonzero(np.isin(truth["all_trial_id"], truth["whole_trial_id"])).tolist()
    )
    np.testing.assert_array_equal(together(data, "counts")[same], truth["whole_counts"][same])


@pytest.mark.parametrize("form", READERS)
def test_findings_are_expected(form, read):
    expected = {
        "nwb": [],
        "matlab v5": ["several forms"],
        "matlab v7.3": ["several forms"],
        "matlab cell": ["extent of trials", "several forms"],
        "pynapple": [],
        "pynapple npz": ["pickled metadata", "unused intervals"],
        "pynapple npz and tables": ["pickled metadata"],
    }
    data = cut(read(form), align=CUE.get(form, "goCue"), window=WINDOW)
    assert [finding.name for finding in data.findings] == [*expected[form], "trials dropped", "silent neurons"]
    assert len(repr(read(form)).splitlines()) <= 20

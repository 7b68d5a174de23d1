"""Results on the clock of their session: NWB and pynapple, there and back, and recordings that moved or changed."""

import dataclasses
import hashlib
import shutil

import h5py
import numpy as np
import pytest
from exporting import posteriors_of, two_sessions

import lfadsx
from lfadsx import cli
from lfadsx.data import read, write_dataset
from lfadsx.errors import DataError, LfadsxError
from lfadsx.pipeline import export
from lfadsx.recordings import read_nwb
from lfadsx.recordings.formats import read_recordings
from lfadsx.results.by_session import by_session
from lfadsx.results.results_file import write_posteriors
from lfadsx.results.session_clock import clock_findings, on_clock
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import RunInfo, without_paths

pynwb = pytest.importorskip("pynwb")
nap = pytest.importorskip("pynapple")

CUT = dict(align="go_cue", window=(-0.25, 0.45), held_out=4, seed=1)
OVERLAP = {44: 40, 45: 41}
"""Two trials of the recording whose windows overlap, with their rows."""


@pytest.fixture(scope="module")
def original(recordings):
    return recordings / "formats" / "nwb" / "session.nwb"


@pytest.fixture(scope="module")
def data(original):
    return lfadsx.from_nwb(original, **CUT)


@pytest.fixture(scope="module")
def results(data):
    return posteriors_of(data)


@pytest.fixture(scope="module")
def copy(original, results, tmp_path_factory):
    """The copy of the recording with the results, and what was said about it."""
    path = tmp_path_factory.mktemp("nwb") / "day1_rates.nwb"
    outcome = export(results, "nwb", path)
    assert outcome.files == [path]
    return path, outcome


def by_trial(results, pick):
    """The trials of all splits by id: start and array (bin, column)."""
    return {
        int(trial): (start, values)
        for posterior in results.values()
        for trial, start, values in zip(posterior.trial_id, posterior.start_time, pick(posterior), strict=True)
    }


ARRAYS = {
    "rates_hz": lambda p: p.rates["spikes"] / np.float32(0.01),
    "factors": lambda p: p.factors,
    "inputs": lambda p: p.inputs,
}


def test_nwb_times_values_and_names(copy, results, data):
    found = read_nwb(copy[0], signals=[f"lfads_{name}" for name in (*ARRAYS, "trial")])
    trial = found.signals["lfads_trial"].values[:, 0].astype(int)
    with pynwb.NWBHDF5IO(copy[0], "r", load_namespaces=True) as io:
        module = io.read().processing["ecephys"]
        windows, channels = module["lfads_windows"].to_dataframe(), module["lfads_channels"].to_dataframe()
        series = module["lfads_rates_hz"]
        assert (series.unit, module["lfads_factors"].unit, module["lfads_trial"].unit) == ("Hz", "a.u.", "n.a.")
        assert series.description.startswith("Expected data per second. Times are the middles of bins of 0.01 s.")
        assert f"lfadsx {lfadsx.__version__}), averages over 8 posterior samples, seed 3" in series.description
        ids = [int(unit) for unit in channels["unit"].map(lambda row: row.index[0])]
    assert channels["channel"].tolist() == [str(unit) for unit in ids] == list(data.channel_names()["session"])
    assert found.signals["lfads_rates_hz"].columns == tuple(channels["channel"]) and channels["held_out"].sum() == 4
    ids = dict(zip(windows["trial"], windows["trial_id"], strict=True))
    for name, pick in ARRAYS.items():
        signal, known = found.signals[f"lfads_{name}"], by_trial(results, pick)
        assert np.all(np.diff(signal.times) >= 0) and len(signal.times) == 53 * 70
        for row, trial_id in ids.items():
            start, values = known[trial_id]
            np.testing.assert_array_equal(signal.values[trial == row], values)
            np.testing.assert_allclose(signal.times[trial == row], start + 0.01 * (np.arange(70) + 0.5), atol=1e-8)
    biases = by_trial(results, lambda p: p.bias)
    for row in windows.itertuples():
        start, bias = biases[row.trial_id]
        assert row.start_time == pytest.approx(start, abs=1e-9) and row.stop_time == pytest.approx(
            start + 0.7, abs=1e-9
        )
        np.testing.assert_array_equal(row.bias, bias)
    assert set(windows["split"]) == {"train", "valid", "test"} and windows["condition"].nunique() == 4


def test_nwb_is_a_copy_with_everything_that_the_original_has(copy, original, data):
    facts = data.source["session"]
    assert facts["path"] == str(original.resolve())
    assert hashlib.sha256(original.read_bytes()).hexdigest() == facts["files"][0]["sha256"]
    with h5py.File(original) as before, h5py.File(copy[0]) as after:
        seen = []

        def compare(name, item):
            seen.append(name)
            assert {key: str(value) for key, value in item.attrs.items()}.items() <= {
                key: str(value) for key, value in after[name].attrs.items()
            }.items()
            if isinstance(item, h5py.Dataset) and item.dtype.kind != "O":
                np.testing.assert_array_equal(item[()], after[name][()])

        before.visititems(compare)
        assert "intervals/trials/start_time" in seen and "units/spike_times" in seen
    old, new = read_nwb(original, signals=()), read_nwb(copy[0], signals=())
    assert old.trials.keys() == new.trials.keys()
    for name, values in old.trials.items():
        np.testing.assert_array_equal(values, new.trials[name])
    (note,) = copy[1].findings
    assert "1 of 53 trials of 'session' begin before an earlier one has ended" in note.sentence


@pytest.mark.slow
def test_nwb_inspector_finds_nothing_new(copy, original):
    inspector = pytest.importorskip("nwbinspector", reason="needs nwbinspector, an outside check of NWB files")

    def found(path):
        messages = inspector.inspect_nwbfile(nwbfile_path=str(path))
        return sorted((m.check_function_name, m.object_type, m.object_name, m.message) for m in messages)

    assert found(copy[0]) == found(original)


def test_trials_that_follow_without_a_gap_have_a_rate(original, results, data):
    start = np.arange(data.train.n_trials) * 0.7 + 3.0
    pieces = {"train": dataclasses.replace(results["train"], start_time=start)}
    (session,) = by_session(pieces)
    from lfadsx.exports.nwb_objects import nwb_objects

    series = next(iter(nwb_objects(session, None)))
    assert series.timestamps is None and series.rate == pytest.approx(100.0) and series.starting_time == 3.005
    assert clock_findings(session) == []


@pytest.mark.slow
def test_several_recordings_become_several_copies(original, tmp_path):
    data = read_recordings([original, original], ("mon", "tue"), **CUT)
    outcome = export(posteriors_of(data), "nwb", tmp_path / "copies", arrays=["bias"])
    assert [file.name for file in outcome.files] == ["mon.nwb", "tue.nwb"]
    with pytest.raises(LfadsxError, match="`out` must be a folder, because the results have 2 sessions"):
        export(posteriors_of(data), "nwb", tmp_path / "copy.nwb")


def test_a_recording_that_moved_or_changed(original, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = {
        name: dataclasses.replace(
            posterior, source={"session": posterior.source["session"] | {"path": "/gone/session.nwb"}}
        )
        for name, posterior in results.items()
    }
    with pytest.raises(DataError, match="/gone/session.nwb does not exist. If it was moved, name it with `source`"):
        export(moved, "nwb", "copy.nwb")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(original, tmp_path / "elsewhere" / "other_name.nwb")
    other = tmp_path / "elsewhere" / "other_name.nwb"
    export(moved, "nwb", "copy.nwb", source=other, arrays=["bias", "factors"])
    with pynwb.NWBHDF5IO("copy.nwb", "r", load_namespaces=True) as io:
        module = io.read().processing["ecephys"].data_interfaces
        assert set(module) == {"lfads_factors", "lfads_trial", "lfads_windows", "lfads_channels"}
    with pytest.raises(DataError, match=r"SHA-256 9a8298d67667..., got copy.nwb \(.*was changed"):
        export(moved, "nwb", "copy2.nwb", source="copy.nwb")
    with pytest.raises(DataError, match="`source` must be the NWB file of session 'session', but nowhere.nwb does not"):
        export(moved, "nwb", "copy2.nwb", source=["nowhere.nwb"])
    with pytest.raises(DataError, match="The copy must not replace the original"):
        export(moved, "nwb", other, source=other)
    shutil.copy(original, tmp_path / "session.nwb")  # found by its name in the current folder
    assert export(moved, "nwb", "folder").files[0].name == "session.nwb"
    assert not (tmp_path / "copy2.nwb").exists() and hashlib.sha256(other.read_bytes()).hexdigest().startswith("9a8298")


def test_results_are_added_once(copy, results, tmp_path):
    digest = hashlib.sha256(copy[0].read_bytes()).hexdigest()
    facts = {"format": "NWB", "path": str(copy[0]), "files": [{"file": copy[0].name, "sha256": digest}]}
    again = dataclasses.replace(results["test"], source={"session": {"made_from": facts}})
    with pytest.raises(DataError, match="must not have results of LFADS already, but .* 'lfads_rates_hz'"):
        export(again, "nwb", tmp_path / "again.nwb")
    assert not list(tmp_path.iterdir())
    foreign = dataclasses.replace(results["test"], source={"session": {"format": "MATLAB"}})
    with pytest.raises(DataError, match="came from MATLAB. Export to matlab, csv or pynapple"):
        export(foreign, "nwb", tmp_path / "again.nwb")


@pytest.mark.parametrize("virtual", [False, True])
def test_files_that_the_original_links_to_stay_in_reach(original, results, tmp_path, virtual):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["voltage"] = np.arange(40.0)
    linking = tmp_path / "linking.nwb"
    shutil.copy(original, linking)
    with h5py.File(linking, "a") as file:
        if virtual:
            layout = h5py.VirtualLayout((40,), float)
            layout[:] = h5py.VirtualSource("raw.h5", "voltage", (40,))
            raw = file.require_group("scratch").create_virtual_dataset("raw", layout)
            kind = {"namespace": "core", "neurodata_type": "ScratchData", "object_id": "raw", "notes": "voltage"}
            raw.attrs.update(kind)
        else:
            file["scratch/raw"] = h5py.ExternalLink("raw.h5", "/voltage")
    digest = hashlib.sha256(linking.read_bytes()).hexdigest()
    facts = {"format": "NWB", "path": str(linking), "files": [{"file": "linking.nwb", "sha256": digest}]}
    again = dataclasses.replace(results["test"], source={"session": facts})
    with pytest.raises(DataError, match="links to 'raw.h5' in its folder, so the copy must be in this folder"):
        export(again, "nwb", tmp_path / "elsewhere" / "copy.nwb")
    copy = tmp_path / "copy.nwb"
    export(again, "nwb", copy, arrays=["factors"])
    with h5py.File(copy) as file:  # links are relative as before, so that our reader and archives take the copy
        np.testing.assert_array_equal(file["scratch/raw"], np.arange(40.0))
        link = file.get("scratch/raw", getlink=True)
        assert virtual or (isinstance(link, h5py.ExternalLink) and link.filename == "raw.h5")
    assert "lfads_factors" in read_nwb(copy).signals


def test_pynapple_in_memory_and_in_files(results, tmp_path):
    outcome = export(results, "pynapple", tmp_path / "day1")
    objects = results["test"].to_pynapple(arrays=["factors"])
    assert set(objects) == {"factors", "trial", "trials"} and len(objects["trials"]) == results["test"].n_trials
    trials, trial = (nap.load_file(tmp_path / "day1" / f"{name}.npz") for name in ("trials", "trial"))
    assert len(trials) == 53 and trials["split_name"].value_counts()["train"] == results["train"].n_trials
    biases = by_trial(results, lambda p: p.bias)
    for name, pick in ARRAYS.items():
        frame, known = nap.load_file(tmp_path / "day1" / f"{name}.npz"), by_trial(results, pick)
        assert isinstance(frame, nap.TsdFrame) and frame.shape[0] == 53 * 70
        for k, trial_id in enumerate(trials["trial_id"]):
            start, values = known[trial_id]
            own = trial.values == trials["trial"][k]
            np.testing.assert_array_equal(frame.values[own], values)
            np.testing.assert_allclose(frame.t[own], start + 0.01 * (np.arange(70) + 0.5), atol=1e-8)
            if trial_id not in OVERLAP:
                np.testing.assert_array_equal(frame.restrict(trials[k]).values, values)
            assert trials["start_time"][k] == start and trials["constant_input_1"][k] == biases[trial_id][1][1]
    rates = nap.load_file(tmp_path / "day1" / "rates_hz.npz")
    assert rates.columns[:3].tolist() == [3, 4, 6] and rates["held_out"].sum() == 4
    with np.load(tmp_path / "day1" / "rates_hz.npz", allow_pickle=False) as bare:
        np.testing.assert_array_equal(bare["d"], rates.values)
        np.testing.assert_array_equal(bare["columns"], rates.columns)
    # The later of two trials that overlap begins where the earlier one ends.
    late = [k for k, trial_id in enumerate(trials["trial_id"]) if trial_id == 45][0]
    assert (
        trials.start[late] == pytest.approx(trials.end[late - 1], abs=2e-6)
        and trials["start_time"][late] < trials.start[late]
    )
    assert [finding.name for finding in outcome.findings] == ["trials overlap"]
    assert (tmp_path / "day1" / "trials.csv").read_text().startswith("trial,trial_id,split,condition,start_time,n_bins")


def test_pynapple_without_a_clock(tmp_path):
    results = posteriors_of(two_sessions())
    with pytest.raises(LfadsxError, match="`session` must be given, .* 2 sessions: 'monday', 'tuesday'"):
        results["train"].to_pynapple()
    with pytest.raises(LfadsxError, match="`session` must be one of .* got 'tuesdy' .did you mean 'tuesday'"):
        results["train"].to_pynapple("tuesdy")
    found = results["train"].to_pynapple("tuesday")
    assert {name: type(value) for name, value in found.items()} == dict.fromkeys(
        ("rates_hz", "emg_rates", "factors", "inputs"), nap.TsdTensor
    )
    own = results["train"].session == 1
    expected = results["train"].rates["spikes"][own][:, :, :3] / np.float32(0.02)
    np.testing.assert_allclose(found["rates_hz"].values, expected.swapaxes(0, 1), rtol=1e-6)
    np.testing.assert_allclose(found["rates_hz"].t, -0.03 + 0.02 * np.arange(9))
    outcome = export(results, "pynapple", tmp_path / "days")
    assert nap.load_file(tmp_path / "days" / "tuesday" / "factors.npz").shape == (9, 5, 3)
    assert ["The time at which trials of" in finding.sentence for finding in outcome.findings] == [True, True]


def test_trials_without_a_start_are_left_out_with_a_warning(results):
    start = results["valid"].start_time.copy()
    start[2] = np.nan
    (session,) = by_session({"valid": dataclasses.replace(results["valid"], start_time=start)})
    clock, (warning,) = on_clock(session), clock_findings(session)
    left = np.delete(np.arange(len(start)), 2)
    assert clock.rows.tolist() == left.tolist() and set(clock.trial) == set(left)
    assert warning.level == "warning" and f"1 of {len(start)} trials of 'session' are left out" in warning.sentence


def test_the_recording_is_known_from_prepare_to_the_run(original, data, results, tmp_path, capsys, monkeypatch):
    words = ["prepare", str(original), "--out", str(tmp_path / "day1.h5"), "--align", "go_cue", "--held-out", "4"]
    assert cli.main([*words, "--window", "-0.25", "0.45", "--seed", "1"]) == 0
    prepared = read(tmp_path / "day1.h5")
    facts = prepared.source["day1"]["made_from"]
    assert facts["path"] == str(original.resolve()) and facts["files"][0]["sha256"].startswith("9a8298d67667")
    run = tmp_path / "run"
    own = {"sessions": [], "bin_width": None, "n_trials": {}, "n_bins": 0, "source": {}, "input_group": "spikes"}
    RunFolder(run).write_info(RunInfo(model={}, hyper={}, train={}, data=own))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert cli.main(["export", "run", "--to", "nwb"]) == 2
    assert "The run run must have a posterior.h5, but it is not there" in capsys.readouterr().err
    write_posteriors(run / "posterior.h5", posteriors_of(prepared))
    for to in ("nwb", "csv", "matlab", "pynapple"):
        assert cli.main(["export", "run", "--to", to]) == 0
    said = capsys.readouterr().err
    for file in ("nwb/day1.nwb", "csv/rates_hz.csv", "lfads.mat", "pynapple/trials.npz"):
        assert (run / file).is_file() and f"run/{file}" in said
    assert cli.main(["export", "run", "--to", "nlb", "--benchmark", "mc_maz"]) == 2
    assert "`--benchmark` must be one of 'mc_maze'" in capsys.readouterr().err


def test_moved_recordings_are_the_same_data(data):
    moved = {"session": data.source["session"] | {"path": "/elsewhere/session.nwb"}}
    assert (
        without_paths(moved) == without_paths(data.source) and "sha256" in without_paths(moved)["session"]["files"][0]
    )
    earlier, now = (RunInfo(model={}, hyper={}, train={"epochs": 1}, data={"source": s}) for s in (moved, data.source))
    assert RunFolder("run").check_same(earlier, now) is False


def test_data_files_keep_where_they_came_from(data, tmp_path):
    (file,) = write_dataset(tmp_path / "a.h5", data)
    assert read(file).source["a"]["made_from"]["path"] == data.source["session"]["path"]


# Pieces


def test_pieces_are_joined_on_the_clock_of_the_session():
    observed = np.ones(200, bool)
    observed[90:110] = False
    counts = np.random.default_rng(0).poisson(0.4, (200, 4))
    how = dict(bin_width=0.01, length=0.2, overlap=0.08, start_time=3.0, observed=observed)
    pieces = posteriors_of(lfadsx.from_continuous(counts, **how))
    (session,) = by_session(pieces)
    clock, joined = on_clock(session), lfadsx.join(*pieces.values())["session"]
    assert len(clock.times) == 180 and (np.diff(clock.times) > 0.0099).all()
    np.testing.assert_allclose(clock.times, joined.time[joined.n_pieces > 0], atol=1e-9)
    for name, values in {"rates_hz": joined.rates_hz(), "factors": joined.factors, "inputs": joined.inputs}.items():
        assert clock.arrays[name].dims.split()[0] == "time"
        np.testing.assert_allclose(clock.arrays[name].values, values[joined.n_pieces > 0], rtol=1e-5)
    # The series `trial` names a piece that covers the bin.
    start = dict(zip(clock.rows.tolist(), clock.windows[:, 0].tolist(), strict=True))
    since = clock.times - np.array([start[row] for row in clock.trial.tolist()])
    assert (since > 0).all() and (since < 0.2).all()
    assert [finding.name for finding in clock_findings(session)] == ["pieces joined"]
    assert pieces["train"].to_pynapple()["factors"].shape[1] == 3

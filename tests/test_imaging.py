"""Imaging: windows on frames, dF/F and events, Suite2p folders, NPZ and NWB files, against numpy and the truth."""

import datetime
import pickle

import numpy as np
import pytest
import scipy.ndimage

import lfadsx
from lfadsx import cli
from lfadsx.data import read
from lfadsx.recordings import cut, read_suite2p, read_traces
from lfadsx.recordings.fluorescence import relative_change
from lfadsx.recordings.formats import format_of

WINDOW = (-0.25, 0.45)
RATE = 20.0
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(600, 4)).astype(np.float32)
TIMES = 0.013 + np.arange(600) / RATE
GO = 1.0 + 1.9 * np.arange(14)


@pytest.fixture(scope="module")
def formats(recordings):
    return recordings / "formats"


@pytest.fixture(scope="module")
def truth(formats):
    return dict(np.load(formats / "truth.npz"))


@pytest.fixture(scope="module")
def calcium(formats):
    return dict(np.load(formats / "calcium" / "calcium.npz"))


def in_order(data):
    """Returns ids, values with NaN where they are not observed, and bins of all trials in the order of the input."""
    splits = list(data.splits.values())
    order = np.argsort(np.concatenate([split.row for split in splits]))
    hidden = [split.target_observed.get("spikes") for split in splits]
    values = [
        split.targets["spikes"] if seen is None else np.where(seen, split.targets["spikes"], np.nan)
        for split, seen in zip(splits, hidden, strict=True)
    ]
    return np.concatenate([split.trial_id for split in splits])[order], np.concatenate(values)[order]


def agrees_with_truth(data, truth, name="calcium_dff"):
    ids, values = in_order(data)
    kept = np.isin(ids, truth["trial_id"])  # the file does not tell where the recording broke off
    np.testing.assert_array_equal(ids[kept], truth["trial_id"])
    assert set(ids[~kept]) == {49, 50, 51}
    np.testing.assert_allclose(values[kept], truth[name], atol=1e-6)


def facts(data):
    return data.source[data.sessions[0].name]


def test_each_window_begins_with_the_first_frame_in_it():
    data = lfadsx.from_traces(VALUES, {"go": GO}, frame_times=TIMES, align="go", window=WINDOW, unit="dF/F")
    ids, values = in_order(data)
    assert data.groups["spikes"].kind == "real" and data.groups["spikes"].unit == "dF/F"
    assert (data.bin_width, data.time.start, data.time.event) == (pytest.approx(1 / RATE), -0.25, "go")
    delays = facts(data)["frame_delay_s"]
    for trial, own in zip(ids, values, strict=True):
        first = next(i for i, time in enumerate(TIMES) if time >= GO[trial] - 0.25)
        np.testing.assert_array_equal(own, VALUES[first : first + 14])  # floor(0.7 s x 20)
        assert delays[trial] == pytest.approx(TIMES[first] - GO[trial] + 0.25) and 0 <= delays[trial] <= 1 / RATE
    assert len(ids) == len(GO)


def test_frames_on_the_edge_of_a_window_belong_to_it():
    go = np.arange(1, 20) * 0.75  # whole frames of 50 ms, which floats miss
    _, values = in_order(lfadsx.from_traces(VALUES, {"go": go}, frame_rate=RATE, align="go", window=(-0.25, 0.45)))
    np.testing.assert_array_equal(values[:, 0], VALUES[np.round((go - 0.25) * RATE).astype(int)])


def test_windows_that_lack_frames_are_dropped_with_the_reason():
    there = np.r_[0:200, 210:600]
    trials = {"go": np.array([0.2, 1.0, 9.8, 10.4, 10.8, 14.0, 29.8, 29.5, np.nan, 20.0]), "trial_id": np.arange(10)}
    data = lfadsx.from_traces(VALUES[there], trials, frame_times=TIMES[there], align="go", window=WINDOW)
    before, after = "window begins before the recording", "window ends after the recording"
    gap = "window overlaps a gap in the recording"
    assert facts(data)["dropped"] == {0: before, 2: gap, 3: gap, 6: after, 8: "event missing"}
    assert set(facts(data)["frame_delay_s"]) == {1, 4, 5, 7, 9}


def test_whole_trials_and_behaviour_follow_the_frames():
    stop = GO + np.linspace(0.5, 1.5, len(GO))
    hand = np.arange(0, 30, 0.01)
    data = lfadsx.from_traces(
        VALUES,
        {"start": GO, "stop": stop},
        frame_times=TIMES,
        signals={"hand": (hand, hand)},
        behaviour="hand",
    )
    split = data.train
    for row, trial in enumerate(split.trial_id):
        n = int(np.floor((stop[trial] - GO[trial]) * RATE + 1e-6))
        first = np.searchsorted(TIMES, GO[trial])
        assert split.target_length[row] == n
        np.testing.assert_array_equal(split.targets["spikes"][row, :n], VALUES[first : first + n])
        # Five samples of a ramp lie in each frame.
        np.testing.assert_allclose(split.behaviour[row, :n, 0], TIMES[first : first + n] + 0.0295, atol=0.006)


def test_missing_frames_are_not_observed():
    values = VALUES.copy()
    values[100:104] = np.nan
    values[300, 2] = np.nan
    data = lfadsx.from_traces(values, {"go": GO}, frame_times=TIMES, align="go", window=WINDOW)
    ids, found = in_order(data)
    first = np.searchsorted(TIMES, GO[ids] - 0.25)
    np.testing.assert_array_equal(found, values[first[:, None] + np.arange(14)])
    assert np.isnan(found).any() and all(np.isfinite(split.targets["spikes"]).all() for split in data.splits.values())


def test_areas_and_held_out_units_of_traces():
    recording = read_traces(VALUES, {"go": GO}, frame_rate=RATE, unit_columns={"area": [*"aabb"]}, unit_id=[*"wxyz"])
    data = cut(recording, align="go", window=WINDOW, areas="b", held_out=1)
    assert data.train.encoder_input.shape[2] == 1 and data.sessions[0].names("spikes") == ("y", "z")
    np.testing.assert_array_equal(in_order(data)[1], in_order(cut(recording, align="go", window=WINDOW))[1][..., 2:])
    with pytest.raises(lfadsx.DataError, match="`min_rate` needs spikes"):
        cut(recording, align="go", window=WINDOW, min_rate=1.0)
    with pytest.raises(lfadsx.DataError, match="must be its frames, 0.05 s, got `bin_width` 0.02"):
        cut(recording, align="go", window=WINDOW, bin_width=0.02)
    assert "600 at 20 Hz" in repr(recording) and "0 to 30 s" in repr(recording) and "Hz\n  b" not in repr(recording)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs the rate of its frames"),
        ({"frame_rate": 0}, "`frame_rate` must be"),
        ({"frame_times": TIMES[:-1]}, "one row for each of its 599 frames"),
        ({"frame_times": TIMES[::-1]}, "rising times"),
        ({"frame_times": TIMES * 1000, "frame_rate": RATE}, "check the unit of the times"),
    ],
)
def test_frames_that_cannot_be_placed(given, message):
    with pytest.raises(lfadsx.DataError, match=message):
        lfadsx.from_traces(VALUES, {"go": GO}, align="go", window=WINDOW, **given)


def test_traces_with_the_units_first_are_turned_round():
    recording = read_traces(VALUES.T, {"go": GO}, frame_rate=RATE)
    assert recording.traces.values.shape == (600, 4)
    assert any("turned round" in finding.sentence for finding in recording.findings)


@pytest.mark.parametrize(("kind", "likelihood"), [("dff", "gaussian_by_channel"), ("events", "zero_inflated_gamma")])
def test_npz_files_of_imaging(kind, likelihood, formats, truth, calcium):
    data = lfadsx.from_array_file(
        formats / "calcium" / "calcium.npz", map={"traces": kind}, align="go_cue_s", window=WINDOW
    )
    expected = {"dff": truth["calcium_dff"]}
    first = truth["calcium_first_frame"][:, None] + np.arange(truth["calcium_n_frames"])
    agrees_with_truth(data, {**truth, "values": expected.get(kind, calcium[kind][first])}, "values")
    assert data.sessions[0].names("spikes") == tuple(map(str, calcium["cell_id"]))
    assert facts(data)["likelihood"] == likelihood
    assert any(f"--likelihood {likelihood}" in finding.remedy for finding in data.findings)


def test_arrays_of_imaging_without_times(tmp_path):
    np.savez(tmp_path / "day.npz", dff=VALUES.T, go=GO)
    path = tmp_path / "day.npz"
    with pytest.raises(lfadsx.DataError, match="needs the rate of its frames"):
        lfadsx.from_array_file(path, map="traces=dff", align="go", window=WINDOW)
    data = lfadsx.from_array_file(path, map="traces=dff", align="go", window=WINDOW, frame_rate=RATE)
    first = np.searchsorted(np.arange(600) / RATE, GO - 0.25 - 1e-9)
    np.testing.assert_array_equal(in_order(data)[1], VALUES[first[:, None] + np.arange(14)])
    np.savez(tmp_path / "counts.npz", counts=np.ones((9, 5, 3), int))
    with pytest.raises(lfadsx.DataError, match="`frame_rate` needs traces of imaging, got counts=counts"):
        lfadsx.from_array_file(tmp_path / "counts.npz", frame_rate=RATE, bin_width=0.01)


def plane(folder, n_frames=600, cells=(1, 1, 0, 1), **arrays):
    folder.mkdir(parents=True)
    fluorescence = 100 + 20 * np.abs(VALUES[:n_frames].T)
    for name, values in ({"F": fluorescence, "spks": np.maximum(VALUES[:n_frames].T, 0)} | arrays).items():
        np.save(folder / f"{name}.npy", np.asarray(values, np.float32))
    np.save(folder / "iscell.npy", np.stack([cells, np.full(len(cells), 0.5)], axis=1))
    with (folder / "ops.npy").open("wb") as file:
        pickle.dump(Bomb(), file)
    return folder


class Bomb:
    """Fails the test if a pickle is opened."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_a_folder_of_suite2p_without_pickles(tmp_path):
    folder = plane(tmp_path / "suite2p" / "plane0")
    (tmp_path / "trials.csv").write_text("trial_id,go\n" + "\n".join(f"{i},{time}" for i, time in enumerate(GO)))
    assert format_of(folder).name == format_of(folder.parent).name == "Suite2p folder"
    data = lfadsx.from_suite2p(folder.parent, frame_rate=RATE, align="go", window=WINDOW)
    first = np.searchsorted(np.arange(600) / RATE, GO - 0.25 - 1e-9)
    expected = np.maximum(VALUES, 0)[first[:, None] + np.arange(14)]
    np.testing.assert_array_equal(in_order(data)[1], expected[..., [0, 1, 3]])
    assert data.sessions[0].names("spikes") == ("0", "1", "3") and data.sessions[0].name == "suite2p"
    assert facts(data)["files"][1]["file"] == "plane0/spks.npy"
    with pytest.raises(lfadsx.DataError, match=r"must be given.*ops.npy, is a pickle"):
        lfadsx.from_suite2p(folder, align="go", window=WINDOW)
    np.save(folder / "spks.npy", np.ones((3, 600)))
    with pytest.raises(lfadsx.DataError, match="the 4 regions of 'iscell.npy', got shape .3, 600."):
        lfadsx.from_suite2p(folder, frame_rate=RATE, trials={"go": GO}, align="go", window=WINDOW)
    (folder / "spks.npy").write_bytes((folder / "ops.npy").read_bytes())
    with pytest.raises(lfadsx.DataError, match="cannot be read as an array of numbers"):
        lfadsx.from_suite2p(folder, frame_rate=RATE, trials={"go": GO}, align="go", window=WINDOW)


def test_planes_are_joined(tmp_path):
    plane(tmp_path / "plane0")
    plane(tmp_path / "plane1", 599, cells=(0, 0, 0, 1))
    recording = read_suite2p(tmp_path, frame_rate=RATE, trials={"go": GO})
    assert recording.unit_id.tolist() == ["plane0/0", "plane0/1", "plane0/3", "plane1/3"]
    assert recording.unit_columns["plane"].tolist() == ["plane0"] * 3 + ["plane1"]
    assert recording.traces.values.shape == (599, 4)


@pytest.mark.parametrize("baseline", ["maximin", "percentile"])
def test_change_relative_to_a_baseline(baseline, tmp_path):
    drift = np.linspace(100, 150, 600)[:, None]
    transients = np.where(RNG.random((600, 4)) < 0.1, 30.0, 0.0)
    neuropil = 10 + RNG.random((600, 4))
    folder = plane(tmp_path / "plane0", F=(drift + transients + 0.7 * neuropil).T, Fneu=neuropil.T)
    recording = read_suite2p(folder, frame_rate=RATE, trials={"go": GO}, traces="dff", baseline=baseline)
    expected = np.empty((600, 3))
    for column, unit in enumerate((0, 1, 3)):
        bright = (drift + transients)[:, unit]
        if baseline == "percentile":
            base = np.percentile(bright, 8)
        else:  # as Suite2p describes it: smooth over 10 s, then minimum and maximum over 60 s
            smooth = scipy.ndimage.gaussian_filter1d(bright, 10 * RATE)
            base = scipy.ndimage.maximum_filter1d(scipy.ndimage.minimum_filter1d(smooth, 1200), 1200)
        expected[:, column] = bright / base - 1
    np.testing.assert_allclose(recording.traces.values, expected, atol=1e-4)
    assert recording.traces.unit == "dF/F" and recording.source["baseline"] == baseline


def test_units_whose_baseline_is_not_positive_are_left_out(tmp_path):
    bright = 100 + np.zeros((4, 600))
    bright[1] = -1
    folder = plane(tmp_path / "plane0", F=bright)
    recording = read_suite2p(folder, frame_rate=RATE, trials={"go": GO}, traces="dff")
    said = [finding.sentence for finding in recording.findings]
    assert recording.unit_id.tolist() == [0, 3] and any("baseline is not above 0 (1)" in one for one in said)
    assert any("no 'Fneu.npy'" in one for one in said)
    missing = np.where(np.arange(600)[:, None] == 7, np.nan, np.full((600, 1), 50.0))
    assert np.isnan(relative_change(missing, RATE, "maximin")).sum() == 1


def save_nwb(path, calcium, times, turned, spikes=False):
    pynwb = pytest.importorskip("pynwb")
    from pynwb import ophys

    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    nwb = pynwb.NWBFile("imaging", "id", when, file_create_date=when)
    scope = nwb.create_device("scope")
    channel = ophys.OpticalChannel(name="green", description="green", emission_lambda=500.0)
    where = {"device": scope, "location": "V1", "indicator": "GCaMP", "excitation_lambda": 900.0}
    imaged = nwb.create_imaging_plane(name="plane", optical_channel=channel, description="plane", **where)
    module = nwb.create_processing_module("ophys", "imaging")
    segments = ophys.ImageSegmentation()
    module.add(segments)
    rois = segments.create_plane_segmentation("rois", imaged, "rois")
    for cell in calcium["cell_id"]:
        rois.add_roi(id=int(cell), pixel_mask=[(1, 1, 1.0)])
    region = rois.create_roi_table_region("all", region=list(range(20)))
    how = {"timestamps": calcium["frame_time_s"]} if times else {"rate": 30.02, "starting_time": 0.0}
    containers = {"events": ophys.Fluorescence, "dff": ophys.DfOverF}
    for name, container in containers.items():
        values = calcium[name].T if turned else calcium[name]
        series = ophys.RoiResponseSeries(name=name, data=values, rois=region, unit="n.a.", **how)
        module.add(container(roi_response_series=[series]))
    nwb.add_trial_column("go_cue_time", "cue")
    nwb.add_trial_column("trial_id", "id")
    for cue, trial in zip(calcium["go_cue_s"].tolist(), calcium["trial_id"].tolist(), strict=True):
        start = 0.0 if np.isnan(cue) else cue
        nwb.add_trial(start_time=start, stop_time=start + 1, go_cue_time=cue, trial_id=trial)
    if spikes:
        nwb.add_unit(spike_times=np.arange(0, 100, 0.1))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


@pytest.mark.parametrize(("times", "turned"), [(True, False), (False, True)])
def test_regions_of_nwb_files(times, turned, tmp_path, truth, calcium):
    path = save_nwb(tmp_path / "day.nwb", calcium, times, turned)
    data = lfadsx.from_nwb(path, align="go_cue", window=WINDOW)
    agrees_with_truth(data, truth)
    assert facts(data)["traces"] == "DfOverF" and set(data.areas()["day"]) == {"V1"}
    assert data.sessions[0].names("spikes") == tuple(map(str, calcium["cell_id"]))
    assert any("turned round" in finding.sentence for finding in data.findings) == turned
    other = lfadsx.from_nwb(path, align="go_cue", window=WINDOW, traces="Fluorescence")
    first = truth["calcium_first_frame"][:, None] + np.arange(truth["calcium_n_frames"])
    agrees_with_truth(other, {**truth, "values": calcium["events"][first]}, "values")
    with pytest.raises(lfadsx.DataError, match="must be one of 'DfOverF', 'Fluorescence', got 'dff'"):
        lfadsx.from_nwb(path, traces="dff")


def test_spikes_come_before_traces_in_nwb_files(tmp_path, calcium):
    path = save_nwb(tmp_path / "day.nwb", calcium, True, False, spikes=True)
    assert lfadsx.from_nwb(path, align="go_cue", window=WINDOW).is_counts()
    assert not lfadsx.from_nwb(path, align="go_cue", window=WINDOW, traces="DfOverF").is_counts()


def test_imaging_on_the_command_line(formats, truth, calcium, tmp_path, capsys):
    source, file = formats / "calcium" / "suite2p", tmp_path / "day.h5"
    cues = zip(calcium["trial_id"].tolist(), calcium["go_cue_s"].tolist(), strict=True)
    table = tmp_path / "events.csv"
    table.write_text("trial_id,go_cue\n" + "\n".join(f"{i},{time:.9f}".replace("nan", "") for i, time in cues))
    words = ["prepare", str(source), "--align", "go_cue", "--window", "-0.25", "0.45", "--out", str(file)]
    assert cli.main(words) == 2 and "`--frame-rate` must be given" in capsys.readouterr().err
    words += ["--frame-rate", "30.02"]
    assert cli.main(words) == 2 and "needs a table of trials" in capsys.readouterr().err
    assert cli.main([*words, "--trials", str(table)]) == 0
    said = capsys.readouterr().err
    assert f"lfadsx fit {file} --out runs/suite2p --likelihood zero_inflated_gamma" in said
    data = read(file)
    events = np.nan_to_num(calcium["events"])[truth["calcium_first_frame"][:, None] + np.arange(21)]
    assert data.groups["spikes"].kind == "real"
    agrees_with_truth(data, {**truth, "values": events}, "values")
    assert cli.main([*words, "--trials", str(table), "--bin-width", "0.01"]) == 2
    assert "`--bin-width` cannot be used with a Suite2p folder" in capsys.readouterr().err

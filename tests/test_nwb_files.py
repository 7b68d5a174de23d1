"""NWB files: locations of areas, trials and signals, and messages when they are missing."""

import datetime
import sys

import h5py
import numpy as np
import pytest

import lfadsx
from lfadsx.errors import MissingExtraError
from lfadsx.recordings import read_nwb
from lfadsx.recordings.nwb_file import event_name

pynwb = pytest.importorskip("pynwb")
N_TRIALS = 12


def new_file():
    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    return pynwb.NWBFile("a session", "id", when, file_create_date=when)


def with_units(nwb, columns=(), **intervals):
    for name in columns:
        nwb.add_unit_column(name, name)
    for unit, own in enumerate((5, 9, 12)):
        times = np.sort(np.random.default_rng(unit).uniform(0, 30, 300))
        more = {name: f"{name}{unit % 2}" for name in columns}
        obs = {"obs_intervals": intervals["obs"][unit]} if intervals else {}
        nwb.add_unit(id=own, spike_times=times, **more, **obs)
    return nwb


def with_trials(nwb, **columns):
    for name in columns:
        nwb.add_trial_column(name, name)
    for k in range(N_TRIALS):
        own = {name: values[k] for name, values in columns.items()}
        nwb.add_trial(start_time=2.0 * k + 1, stop_time=2.0 * k + 2.5, **own)
    return nwb


def save(path, nwb):
    with pynwb.NWBHDF5IO(path / "day1.nwb", "w") as io:
        io.write(nwb)
    return path / "day1.nwb"


def named(recording):
    return {finding.name: finding for finding in recording.findings}


def test_a_file_with_spikes_and_trials_only(tmp_path):
    recording = read_nwb(save(tmp_path, with_trials(with_units(new_file()))))
    assert recording.name == "day1" and recording.unit_id.tolist() == [5, 9, 12]
    assert recording.trials["trial_id"].tolist() == list(range(N_TRIALS)) and recording.events == ("start", "stop")
    assert recording.observed is None and recording.unit_columns == {} and recording.findings == ()
    assert recording.source["files"][0]["file"] == "day1.nwb"


def test_columns_of_trials(tmp_path):
    columns = {
        "trial_id": [7] * N_TRIALS,  # no ids
        "cue": 2.0 * np.arange(N_TRIALS) + 1.5,
        "late_time": np.full(N_TRIALS, np.nan),
        "duration": np.full(N_TRIALS, 0.35),
        "side": ["left", ""] * 6,
        "correct": [True, False] * 6,
        "place": [[1.0, 2.0]] * N_TRIALS,
    }
    path = save(tmp_path, with_trials(with_units(new_file()), **columns))
    recording = read_nwb(path)
    assert recording.events == ("start", "stop", "cue", "late_time")
    assert recording.trials["trial_id"].tolist() == list(range(N_TRIALS))
    assert recording.trials["side"].tolist()[:2] == ["left", ""] and recording.trials["correct"].dtype == bool
    assert "place" in named(recording)["unread columns"].sentence and "place" not in recording.trials
    assert read_nwb(path, events=["duration"]).events[-1] == "duration"
    with pytest.raises(lfadsx.DataError, match="An event of 'day1.nwb' must be one of.*'durations'"):
        read_nwb(path, events=["durations"])


def test_events_with_and_without_time(tmp_path):
    cue = 2.0 * np.arange(N_TRIALS) + 1.5
    path = save(tmp_path, with_trials(with_units(new_file()), go_cue_time=cue))
    recording = read_nwb(path)
    names = [event_name(recording, name) for name in ("go_cue", "go_cue_time", "start_time", "stop", "other")]
    assert names == ["go_cue_time", "go_cue_time", "start", "stop", "other"]
    left, right = (lfadsx.from_nwb(path, align=name, window=(0, 0.5)) for name in ("go_cue", "go_cue_time"))
    np.testing.assert_array_equal(left.train.encoder_input, right.train.encoder_input)
    with pytest.raises(lfadsx.DataError, match="must be one of 'start', 'stop', 'go_cue_time', got 'gocue'"):
        lfadsx.from_nwb(path, align="gocue")


def test_the_table_of_trials_has_another_name(tmp_path):
    nwb = with_units(new_file())
    table = pynwb.epoch.TimeIntervals(name="reaches", description="reaches")
    for k in range(N_TRIALS):
        table.add_interval(start_time=2.0 * k + 1, stop_time=2.0 * k + 2)
    nwb.add_time_intervals(table)
    path = save(tmp_path, nwb)
    assert read_nwb(path).source["trials"] == "reaches"
    nwb = with_trials(with_units(new_file()))
    nwb.add_epoch(start_time=0.0, stop_time=30.0)
    path = save(tmp_path, nwb)
    assert read_nwb(path).n_trials == N_TRIALS and read_nwb(path, trials="epochs").n_trials == 1
    with pytest.raises(lfadsx.DataError, match="must hold the table of trials 'reaches', found 'trials', 'epochs'"):
        read_nwb(path, trials="reaches")
    with pytest.raises(lfadsx.DataError, match="must hold the table of trials 'trials', found no table"):
        lfadsx.from_nwb(save(tmp_path, with_units(new_file())))


@pytest.mark.parametrize("column", ["location", "brain_area", "region"])
def test_areas_in_a_column(tmp_path, column):
    recording = read_nwb(save(tmp_path, with_trials(with_units(new_file(), [column, "layer"]))))
    assert recording.unit_columns["area"].tolist() == [f"{column}0", f"{column}1", f"{column}0"]
    assert recording.source["area of"] == column
    recording = read_nwb(save(tmp_path, with_trials(with_units(new_file(), [column, "layer"]))), area="layer")
    assert recording.unit_columns["area"].tolist() == ["layer0", "layer1", "layer0"]


def test_areas_of_electrodes_and_groups(tmp_path):
    nwb = with_trials(new_file())
    device = nwb.create_device("probe")
    groups = [nwb.create_electrode_group(f"g{i}", description="g", location=f"group{i}", device=device) for i in (0, 1)]
    for k in range(4):
        nwb.add_electrode(group=groups[k // 2], location=f"place{k % 2}")
    for unit, electrodes in enumerate(([3], [], [0, 1])):
        nwb.add_unit(spike_times=[1.0 + unit, 5.0], electrodes=electrodes, electrode_group=groups[unit % 2])
    path = save(tmp_path, nwb)
    recording = read_nwb(path)
    assert recording.unit_columns["area"].tolist() == ["place1", "", "place0"]
    assert "'electrode_group.location' says otherwise" in named(recording)["areas said twice"].sentence
    recording = read_nwb(path, area="electrode_group.location")
    assert recording.unit_columns["area"].tolist() == ["group0", "group1", "group0"] and recording.findings == ()
    with pytest.raises(lfadsx.DataError, match="`area`, which says where.*must be one of 'electrodes.location'"):
        read_nwb(path, area="layer")


def test_units_that_were_recorded_at_different_times(tmp_path):
    obs = [[[0.0, 20.0]], [[2.0, 9.0], [11.0, 30.0]], [[0.0, 20.0]]]
    recording = read_nwb(save(tmp_path, with_trials(with_units(new_file(), obs=obs))))
    assert recording.observed.tolist() == [[2, 9], [11, 20]]
    assert named(recording)["units recorded apart"].value == 2
    obs[1] = [[25.0, 30.0]]
    with pytest.raises(lfadsx.DataError, match="must have been recorded at the same time"):
        read_nwb(save(tmp_path, with_trials(with_units(new_file(), obs=obs))))


def test_signals(tmp_path):
    nwb = with_trials(with_units(new_file()))
    values, times = np.arange(40.0).reshape(20, 2), np.arange(20) / 10
    series = dict(unit="m", description="d")
    nwb.add_acquisition(pynwb.TimeSeries(name="eye", data=values, timestamps=times, conversion=0.5, **series))
    module = nwb.create_processing_module("behavior", "b")
    position = pynwb.behavior.Position(name="Position")
    shared = dict(reference_frame="f", comments="columns=[x, y]")
    hand = pynwb.behavior.SpatialSeries(name="hand", data=values, rate=10.0, starting_time=1.0, **shared)
    position.add_spatial_series(hand)
    module.add(position)
    module.add(pynwb.TimeSeries(name="hand", data=values[:, 0], rate=10.0, **series))
    for name in ("turned", "broken"):
        module.add(pynwb.TimeSeries(name=name, data=values, timestamps=times, **series))
    path = save(tmp_path, nwb)
    with h5py.File(path, "r+") as file:  # pynwb writes neither
        for name, wrong in (("turned", values.T), ("broken", values[:-1])):
            group = file["processing/behavior"][name]
            attributes = dict(group["data"].attrs)
            del group["data"]
            group.create_dataset("data", data=wrong).attrs.update(attributes)
    recording = read_nwb(path)
    found = recording.signals
    assert set(found) == {"eye", "Position/hand", "behavior/hand", "turned"}
    np.testing.assert_allclose(found["eye"].values, 0.5 * values)
    np.testing.assert_allclose(found["Position/hand"].times, 1 + times)
    assert found["Position/hand"].columns == ("x", "y") and found["behavior/hand"].values.shape == (20, 1)
    np.testing.assert_array_equal(found["turned"].values, values)
    sentences = [f.sentence for f in recording.findings if f.name == "shape of a signal"]
    assert len(sentences) == 2 and any("'turned' has time as its second axis" in text for text in sentences)
    assert set(read_nwb(path, signals=["eye"]).signals) == {"eye"} and read_nwb(path, signals=[]).signals == {}
    with pytest.raises(lfadsx.DataError, match="A time series of 'day1.nwb' must be one of.*'hand'"):
        lfadsx.from_nwb(path, behaviour="hand")


def test_times_that_are_not_finite_or_sorted(tmp_path):
    nwb = with_trials(new_file())
    nwb.add_unit(spike_times=[3.0, 1.0, np.nan, 2.0])
    nwb.add_unit(spike_times=[])
    recording = read_nwb(save(tmp_path, nwb))
    assert [own.tolist() for own in recording.spikes] == [[1, 2, 3], []]
    assert named(recording)["spikes dropped"].value == 1


def test_files_without_spikes(tmp_path):
    with pytest.raises(lfadsx.DataError, match="must hold units with 'spike_times', found no table of units"):
        read_nwb(save(tmp_path, with_trials(new_file())))
    nwb = with_trials(new_file())
    nwb.add_unit_column("depth", "depth")
    nwb.add_unit(depth=1.0)
    with pytest.raises(lfadsx.DataError, match="must hold units with 'spike_times', found the columns depth"):
        read_nwb(save(tmp_path, nwb))


def test_files_of_other_kinds(tmp_path):
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["train_data"] = np.zeros((3, 4, 5))
    with pytest.raises(lfadsx.DataError, match="cannot be read as an NWB file"):
        read_nwb(tmp_path / "other.nwb")
    (tmp_path / "text.nwb").write_text("units")
    with pytest.raises(lfadsx.DataError, match="must be an HDF5 file"):
        read_nwb(tmp_path / "text.nwb")


def test_without_pynwb_the_extra_is_named(tmp_path, monkeypatch):
    path = save(tmp_path, with_trials(with_units(new_file())))
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lfadsx\[nwb\]"'):
        read_nwb(path)


def test_invalid_times_are_not_recorded(tmp_path):
    for obs, expected in ((None, [[0, 4], [6, 25.5]]), ([[[0.0, 20.0]]] * 3, [[0, 4], [6, 20]])):
        nwb = with_trials(with_units(new_file(), **({} if obs is None else {"obs": obs})))
        nwb.add_unit(spike_times=[0.0, 25.5], **({} if obs is None else {"obs_intervals": obs[0]}))
        nwb.add_invalid_time_interval(start_time=4.0, stop_time=6.0)
        nwb.add_invalid_time_interval(start_time=25.5, stop_time=40.0)
        recording = read_nwb(save(tmp_path, nwb))
        assert recording.observed.tolist() == expected
        assert named(recording)["invalid times"].value == 2

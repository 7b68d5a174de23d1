"""Sortings of SpikeInterface: duck-typed, real ones, saved folders, several segments, against the truth."""

import csv
import json

import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.recordings import read_spikeinterface
from lfadsx.recordings.formats import format_of

WINDOW = (-0.25, 0.45)
RATE = 30000
NEEDED = "needs spikeinterface: pip install spikeinterface"


class Sorting:
    """What a sorting of SpikeInterface has, segment by segment."""

    def __init__(self, *segments, lasting=None, start=0.0, **properties):
        self.segments, self.unit_ids, self.sampling_frequency = segments, np.array([*segments[0]]), float(RATE)
        self.lasting, self.start, self.properties = lasting, start, properties

    def get_num_segments(self):
        return len(self.segments)

    def get_unit_spike_train(self, unit_id, segment_index=None, return_times=False):
        samples = self.segments[segment_index][unit_id]
        return self.start + samples / RATE if return_times else samples

    def get_property_keys(self):
        return list(self.properties)

    def get_property(self, key):
        return np.asarray(self.properties[key])

    def has_recording(self):
        return self.lasting is not None

    def get_num_samples(self, segment_index):
        return self.lasting[segment_index]

    def sample_index_to_time(self, sample, segment_index=None):
        return self.start + sample / RATE


@pytest.fixture(scope="module")
def phy(recordings):
    return recordings / "formats" / "phy"


@pytest.fixture(scope="module")
def truth(recordings):
    return dict(np.load(recordings / "formats" / "truth.npz"))


@pytest.fixture(scope="module")
def units(phy, truth):
    samples, cluster = (np.load(phy / f"spike_{name}.npy").ravel().astype(int) for name in ("times", "clusters"))
    return {int(unit): samples[cluster == unit] for unit in truth["unit_id"]}


@pytest.fixture(scope="module")
def recorded(phy):
    return np.loadtxt(phy / "recorded.csv", delimiter=",", skiprows=1, dtype=int)


def agrees_with_truth(data, truth):
    splits = list(data.splits.values())
    order = np.argsort(np.concatenate([split.row for split in splits]))
    np.testing.assert_array_equal(np.concatenate([s.trial_id for s in splits])[order], truth["trial_id"])
    np.testing.assert_array_equal(np.concatenate([s.targets["spikes"] for s in splits])[order], truth["counts"])


def save(folder, units, cut=None, **facts):
    """Writes a sorting as SpikeInterface saves it by default."""
    kind = [("sample_index", "i8"), ("unit_index", "i8"), ("segment_index", "i8")]
    rows = [(sample, number, 0) for number, own in enumerate(units.values()) for sample in own]
    spikes = np.array(sorted(rows), kind)
    (folder / "properties").mkdir(parents=True)
    np.save(folder / "spikes.npy", spikes if cut is None else spikes[cut])
    known = {"sampling_frequency": RATE, "unit_ids": [*units], "num_segments": 1} | facts
    (folder / "numpysorting_info.json").write_text(json.dumps(known))
    return folder


@pytest.mark.parametrize("event_times", ["samples", "seconds"])
def test_a_sorting_and_a_table(event_times, phy, units, truth, recorded):
    go = {}
    for row in csv.DictReader((phy / "events.csv").open()):
        if row["event"] == "go_cue":
            go[int(row["trial_id"])] = int(row["sample"])
    scale = 1 if event_times == "samples" else RATE
    trials = {"trial_id": [*go], "go_cue": np.array([*go.values()]) / scale}
    sorting = Sorting(units, brain_area=truth["unit_area"], location=np.zeros((20, 2)), quality=["good"] * 20)
    how = {"event_times": event_times, "observed": recorded / scale}
    data = lfadsx.from_spikeinterface(sorting, trials, align="go_cue", window=WINDOW, **how)
    agrees_with_truth(data, truth)
    assert data.areas()["session"] == tuple(truth["unit_area"])
    recording = read_spikeinterface(sorting, trials, **how)
    assert recording.clock_hz == (RATE if event_times == "samples" else None)
    assert set(recording.unit_columns) == {"area", "brain_area", "quality"}


def test_segments_without_a_table_are_cut_into_pieces_that_do_not_cross():
    segments = [{3: np.arange(0, 20 * RATE, 700)}, {3: np.arange(0, 15 * RATE, 900)}]
    data = lfadsx.from_spikeinterface(Sorting(*segments, lasting=[20 * RATE, 15 * RATE]), chop=1.0)
    starts = np.concatenate([split.start_time for split in data.splits.values()])
    assert not np.any((starts > 19.01) & (starts < 21)) and starts.max() == pytest.approx(35.0)
    for split in data.splits.values():
        for start, counts in zip(split.start_time, split.targets["spikes"][..., 0], strict=True):
            own, since = (segments[0][3], start) if start < 20 else (segments[1][3], start - 21)
            times = own / RATE - since + 1e-9
            np.testing.assert_array_equal(counts, np.histogram(times, np.arange(101) / 100)[0])
    with pytest.raises(lfadsx.DataError, match="needs a table of trials.*Give `chop`"):
        lfadsx.from_spikeinterface(Sorting(segments[0]))


def test_a_table_of_events_in_samples(phy, units, truth, recorded):
    data = lfadsx.from_spikeinterface(
        Sorting(units), phy / "events.csv", align="go_cue", window=WINDOW, observed=recorded
    )
    agrees_with_truth(data, truth)


@pytest.mark.parametrize("event_times", ["samples", "seconds"])
def test_segments_follow_each_other(event_times, units, truth):
    start, stop = (np.round((truth["go_cue_s"][k] + side) * RATE).astype(int) for k, side in ((0, -0.5), (25, 0.5)))
    parts = ((start, stop), (stop, 10**9))
    segments = [{unit: own[(own >= a) & (own < b)] - a for unit, own in units.items()} for a, b in parts]
    segment = (truth["go_cue_s"] * RATE > stop).astype(int)
    scale = 1 if event_times == "samples" else RATE
    go = np.round(truth["go_cue_s"] * RATE).astype(int) - np.array([start, stop])[segment]
    go = go if event_times == "samples" else go / RATE
    trials = {"trial_id": truth["trial_id"], "go_cue": go, "segment": segment}
    lasting = [stop - start, 75 * RATE]
    recording = read_spikeinterface(Sorting(*segments, lasting=lasting), trials, event_times=event_times)
    end = (stop - start) / scale
    second = RATE / scale
    np.testing.assert_allclose(recording.observed, [[0, end], [end + second, end + 76 * second]])
    assert recording.events == ("go_cue",)
    for sorting in (Sorting(*segments), Sorting(*segments, lasting=lasting)):
        agrees_with_truth(
            lfadsx.from_spikeinterface(sorting, trials, align="go_cue", window=WINDOW, event_times=event_times), truth
        )
    with pytest.raises(lfadsx.DataError, match="must have a column 'segment' with numbers from 0 to 1"):
        read_spikeinterface(Sorting(*segments), {"go_cue": go})
    with pytest.raises(lfadsx.DataError, match="`observed` needs a sorting of one segment, got 2"):
        read_spikeinterface(Sorting(*segments), trials, observed=[[0, 1]])


def test_the_clock_of_the_recording_counts(units):
    sorting = Sorting(units, lasting=[100 * RATE], start=7.0)
    recording = read_spikeinterface(sorting, {"go": [8.0, 9.0]})
    np.testing.assert_allclose(recording.observed, [[7, 107]])
    np.testing.assert_allclose(recording.spikes[0], units[3] / RATE + 7)


def test_saved_folders_are_read_without_spikeinterface(tmp_path, phy, units, truth, capsys):
    folder = save(tmp_path / "sorted", units)
    np.save(folder / "properties" / "brain_area.npy", truth["unit_area"])
    np.save(folder / "properties" / "pickled.npy", np.array([{}] * 20, object))
    assert format_of(folder).name == "SpikeInterface folder"
    words = ["prepare", str(folder), "--align", "go_cue", "--window", "-0.25", "0.45", "--dry-run", "--areas", "M1"]
    assert cli.main(words) == 2 and "needs a table of trials" in capsys.readouterr().err
    assert cli.main([*words, "--trials", str(phy / "events.csv")]) == 0
    assert "12 channels" in capsys.readouterr().err
    (folder / "events.csv").write_bytes((phy / "events.csv").read_bytes())
    recording = read_spikeinterface(folder)
    assert (
        recording.name == "sorted"
        and recording.clock_hz == RATE
        and set(recording.unit_columns) == {"area", "brain_area"}
    )
    for own, expected in zip(recording.spikes, units.values(), strict=True):
        np.testing.assert_array_equal(own, expected)
    assert [one["file"] for one in recording.source["files"]] == ["numpysorting_info.json", "spikes.npy"]
    analyzer = tmp_path / "analyzer"
    analyzer.mkdir()
    save(analyzer / "sorting", units)
    assert format_of(analyzer).name == "SpikeInterface folder"
    assert read_spikeinterface(analyzer, {"go": [1.0, 2.0]}).source["files"][1]["file"] == "sorting/spikes.npy"


def test_what_is_no_sorting(tmp_path, units):
    with pytest.raises(lfadsx.DataError, match="must be a sorting or an analyzer of SpikeInterface.*got dict"):
        lfadsx.from_spikeinterface({}, {"go": [1.0]})
    with pytest.raises(lfadsx.DataError, match="such as Zarr, are loaded with SpikeInterface"):
        lfadsx.from_spikeinterface(tmp_path, {"go": [1.0]})
    with pytest.raises(lfadsx.DataError, match="needs a table of trials with the times of events"):
        lfadsx.from_spikeinterface(Sorting(units))
    folder = save(tmp_path / "a", units)
    (folder / "numpysorting_info.json").write_text("{")
    with pytest.raises(lfadsx.DataError, match="numpysorting_info.json' cannot be read"):
        lfadsx.from_spikeinterface(folder, {"go": [1.0]})
    folder = save(tmp_path / "b", units)
    np.save(folder / "spikes.npy", np.arange(3))
    with pytest.raises(lfadsx.DataError, match="must hold sample, unit and segment of each spike"):
        lfadsx.from_spikeinterface(folder, {"go": [1.0]})
    (folder / "spikes.npy").write_bytes(b"no")
    with pytest.raises(lfadsx.DataError, match="cannot be read as an array of numbers"):
        lfadsx.from_spikeinterface(folder, {"go": [1.0]})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_real_sortings_and_analyzers(tmp_path, phy, units, truth, recorded):
    core = pytest.importorskip("spikeinterface.core", reason=NEEDED)
    sorting = core.NumpySorting.from_unit_dict([units], sampling_frequency=RATE)
    sorting.set_property("brain_area", truth["unit_area"])
    sorting.save(folder=tmp_path / "saved")
    for source in (sorting, tmp_path / "saved"):
        how = {"observed": recorded, "align": "go_cue", "window": WINDOW}
        data = lfadsx.from_spikeinterface(source, phy / "events.csv", **how)
        agrees_with_truth(data, truth)
        assert next(iter(data.areas().values())) == tuple(truth["unit_area"])
    made = core.generate_ground_truth_recording(durations=[20.0, 15.0], num_units=3, num_channels=4, seed=0)
    analyzer = core.create_sorting_analyzer(
        made[1], made[0], format="binary_folder", folder=tmp_path / "a", sparse=False
    )
    trials = {"go": [2.0, 4.0, 1.0, 2.0], "segment": [0, 0, 1, 1]}
    recording = read_spikeinterface(analyzer, trials)
    np.testing.assert_allclose(recording.observed, [[0, 20], [21, 36]])
    saved = read_spikeinterface(tmp_path / "a", trials)
    for ours, theirs in zip(recording.spikes, saved.spikes, strict=True):
        assert len(ours) == len(theirs)

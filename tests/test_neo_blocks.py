"""Blocks of Neo and NIX files: units, trials from epochs, events or segments, units of time, and refused pickles."""

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.errors import MissingExtraError
from lfadsx.recordings import cut, read_neo, read_spike_times
from lfadsx.recordings.formats import format_of

WINDOW = (-0.25, 0.45)
SPIKES = {3: np.arange(0.05, 28, 0.11), 8: np.arange(0.02, 28, 0.07), 5: np.array([])}
GO = 2.0 * np.arange(12) + 1.5


class Times(np.ndarray):
    """Stands for a quantity: numbers with a unit of time."""

    def __new__(cls, seconds, unit="s"):
        made = np.asarray(seconds, float).view(cls) * {"s": 1, "ms": 1000}[unit]
        made.unit = unit
        return made

    @property
    def dimensionality(self):
        return self.unit

    def rescale(self, unit):
        assert unit == "s"
        return Times(np.asarray(self) / {"s": 1, "ms": 1000}[self.unit])

    @property
    def units(self):
        return self.unit

    @property
    def magnitude(self):
        return np.asarray(self)


def train(seconds, unit="s", stop=30.0, **annotations):
    made = Times(seconds, unit)
    made.annotations = {"nix_name": "x", **annotations}
    made.t_start, made.t_stop = Times(0.0, unit), Times(stop, unit)
    return made


def marks(name, seconds, labels=(), unit="s", lasting=None, **columns):
    times = Times(seconds, unit)
    return SimpleNamespace(
        name=name,
        times=times,
        labels=np.asarray(labels, str),
        durations=None if lasting is None else Times(lasting, unit),
        array_annotations=columns,
    )


def segment(events=(), epochs=(), unit="s", trains=None, **others):
    places = {3: "M1", 8: "PMd", 5: "M1"}
    trains = trains or [train(own, unit, unit_id=number, region=places[number]) for number, own in SPIKES.items()]
    return SimpleNamespace(spiketrains=trains, events=list(events), epochs=list(epochs), analogsignals=[], **others)


def notes(recording):
    return {finding.name: finding.sentence for finding in recording.findings}


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_epochs_are_the_trials_and_events_lie_in_them(unit):
    epochs = marks("trials", GO - 1, [*"lr"] * 6, unit, np.full(12, 1.8), speed=np.arange(12))
    cue = marks("go_cue", GO[[0, *range(2, 12)]], [f"{40 + i}" for i in (0, *range(2, 12))], unit)
    recording = read_neo(SimpleNamespace(segments=[segment([cue], [epochs], unit)], name="day"))
    assert recording.unit_id.tolist() == [3, 8, 5] and recording.unit_columns["area"].tolist() == ["M1", "PMd", "M1"]
    assert recording.events == ("start", "stop", "go_cue") and recording.name == "day"
    np.testing.assert_allclose(recording.trials["stop"], GO + 0.8)
    np.testing.assert_allclose(recording.trials["go_cue"], [GO[0], np.nan, *GO[2:]])
    assert recording.trials["trial_id"].tolist() == [40, 52, *range(42, 52)]  # the second has no cue and so no id
    assert recording.trials["condition"].tolist() == ["l", "r"] * 6 and recording.trials["speed"].tolist() == [
        *range(12)
    ]
    assert "1 epochs without this event get the ids 52" in notes(recording)["trials without id"]
    np.testing.assert_allclose(recording.observed, [[0, 30]])
    same = read_spike_times(SPIKES, {"go_cue": recording.trials["go_cue"]}, observed=[[0, 30]])
    for ours, theirs in zip(
        cut(recording, align="go_cue", window=WINDOW, condition=None).splits.values(),
        cut(same, align="go_cue", window=WINDOW).splits.values(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.targets["spikes"], theirs.targets["spikes"])


def test_events_of_epochs_that_touch_or_overlap():
    start, stop = np.array([0.0, 2.0, 4.0, 5.5]), np.array([2.0, 4.0, 6.0, 8.0])
    events = [
        marks("begin", start),
        marks("end", stop),
        marks("lick", [0.5, 0.7, 4.2, 9.0]),
        marks("side", [1.0, 3.0], [*"ab"]),
        marks("digital", [0.2, 0.4, 0.6, 2.1, 2.2], ["on", "off", "on", "on", "off"]),
        marks("cue", [1.1, 3.1, 5.6, 5.8], [*"aabb"]),
    ]
    recording = read_neo(segment(events, [marks("trials", start, [*"wxyz"], lasting=stop - start)]), session="day")
    found = recording.trials
    assert found["trial_id"].tolist() == [*"wxyz"]
    np.testing.assert_array_equal(found["begin"], start)
    np.testing.assert_array_equal(found["end"], stop)
    np.testing.assert_array_equal(found["lick"], [0.5, np.nan, 4.2, np.nan])
    np.testing.assert_array_equal(found["on"], [0.2, 2.1, np.nan, np.nan])
    np.testing.assert_array_equal(found["off"], [0.4, 2.2, np.nan, np.nan])
    np.testing.assert_array_equal(found["cue"], [1.1, 3.1, 5.6, 5.8])
    assert found["cue_label"].tolist() == [*"aabb"] and "digital" not in found
    said = [finding.sentence for finding in recording.findings]
    assert "2 of 4 times of 'lick' are left out: 1 lie in no trial, 1 occur again in one." in said


def test_events_without_epochs():
    ids = [marks("go", GO, [str(i) for i in range(12)]), marks("end", GO[1:] + 1, [str(i) for i in range(1, 12)])]
    recording = read_neo(segment([*ids, marks("sync", [0.0, 5.0])]))
    assert recording.events == ("go", "end") and np.isnan(recording.trials["end"][0])
    np.testing.assert_array_equal(recording.trials["end"][1:], GO[1:] + 1)
    assert "'sync'" not in recording.events and "sync" in notes(recording)["unused events"]
    single = read_neo(segment([marks("go", GO, [*"lr"] * 6)]))
    assert single.trials["condition"].tolist() == ["l", "r"] * 6 and single.events == ("go",)
    both = segment([marks("go", GO), marks("sync", GO)], [marks("a", GO, lasting=GO), marks("b", GO, lasting=GO)])
    assert read_neo(both, align="sync").events == ("sync",) and read_neo(both, "go").events == ("go",)
    with pytest.raises(lfadsx.DataError, match="epochs called 'trials', found the epochs a, b and the events go, sync"):
        lfadsx.from_neo(both)
    with pytest.raises(lfadsx.DataError, match="must be one of 'a', 'b', 'go', 'sync', got 'gone'"):
        read_neo(both, "gone")
    table = read_neo(both, {"cue": GO, "kind": [*"xy"] * 6})
    assert table.events == ("cue",) and table.trials["kind"].tolist() == ["x", "y"] * 6


def test_a_block_without_trials_is_cut_into_pieces():
    data = lfadsx.from_neo(segment(), chop=1.0)
    spikes = read_spike_times(SPIKES, observed=[[0, 30]])
    for name, split in cut(spikes, chop=1.0).splits.items():
        np.testing.assert_array_equal(data.splits[name].targets["spikes"], split.targets["spikes"])
        np.testing.assert_array_equal(data.splits[name].start_time, split.start_time)


@pytest.mark.parametrize("own_clocks", [True, False])
def test_a_segment_for_each_trial(own_clocks):
    parts = []
    for row, go in enumerate(GO):
        start = go - 1
        zero = start if own_clocks else 0.0
        trains = []
        for unit, times in SPIKES.items():
            inside = times[(times >= start) & (times < start + 2)] - zero
            one = train(inside, "ms", unit_name=f"u{unit}", area="M1")
            one.t_start, one.t_stop = Times(start - zero, "ms"), Times(start + 2 - zero, "ms")
            trains += [one] if unit != 5 or row else []
        cue = marks("go", [go - zero], ["now"])
        signal = Times(np.arange(20)[:, None] + row)
        signal.name, signal.times, signal.array_annotations = "force", Times(start - zero + np.arange(20) / 10), {}
        made = segment([cue], trains=trains, annotations={"direction": "lr"[row % 2]})
        made.analogsignals = [signal]
        parts.append(made)
    recording = read_neo(SimpleNamespace(segments=parts, name="day"))
    assert recording.trial_clocks == own_clocks and recording.within_trials
    assert recording.unit_id.tolist() == ["u3", "u8", "u5"] and recording.events == ("start", "stop", "go")
    assert recording.trials["direction"].tolist() == ["l", "r"] * 6
    assert "u5" in notes(recording)["missing spike trains"]
    data = cut(recording, align="go", window=WINDOW, behaviour="force", split=(0.6, 0.2, 0.2))
    whole = cut(read_spike_times(SPIKES, {"go": GO}, observed=[[0, 30]]), align="go", window=WINDOW)
    expected = {
        trial: own
        for split in whole.splits.values()
        for trial, own in zip(split.trial_id, split.targets["spikes"], strict=True)
    }
    for split in data.splits.values():
        for trial, counts, force in zip(split.trial_id, split.targets["spikes"], split.behaviour, strict=True):
            np.testing.assert_array_equal(counts, expected[trial])
            np.testing.assert_allclose(force[np.isfinite(force)], trial + 8 + np.arange(7))  # at 0.8 to 1.4 s
    with pytest.raises(lfadsx.DataError, match="`trials` needs a block of one segment, but 'day' has 12"):
        read_neo(SimpleNamespace(segments=parts, name="day"), "trials")


def test_ids_of_units():
    def ids(*annotations, names=("a", "b"), **how):
        trains = [train(SPIKES[3], **own) for own in annotations]
        for one, name in zip(trains, names, strict=True):
            one.name = name
        return read_neo(segment([marks("go", GO)], trains=trains), **how).unit_id.tolist()

    assert ids({"unit_id": 4, "cell": "x"}, {"unit_id": 2, "cell": "y"}) == [4, 2]
    assert ids({"unit_id": 4, "cell": "x"}, {"unit_id": 4, "cell": "y"}) == ["a", "b"]  # not ids
    assert ids({"cell": "x"}, {"cell": "y"}, unit_id="cell") == ["x", "y"]
    assert ids({}, {}, names=("a", "a")) == [0, 1]
    with pytest.raises(lfadsx.DataError, match="annotation of every spike train.*2 of 2 have no 'cel'"):
        ids({"cell": "x"}, {"cell": "y"}, unit_id="cel")


def test_what_is_no_block():
    with pytest.raises(lfadsx.DataError, match="must be a Block or a Segment of Neo or a NIX file, got dict"):
        lfadsx.from_neo({})
    with pytest.raises(lfadsx.DataError, match="at least one segment"):
        lfadsx.from_neo(SimpleNamespace(segments=[]))
    with pytest.raises(lfadsx.DataError, match="at least one spike train"):
        lfadsx.from_neo(SimpleNamespace(spiketrains=[], events=[], epochs=[]))


def test_pickles_are_refused_kindly(tmp_path, capsys):
    path = tmp_path / "block.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(lfadsx.DataError, match="is a pickle, which is never opened.*neo.NixIO"):
        lfadsx.from_neo(path)
    assert cli.main(["prepare", str(path), "--dry-run"]) == 2
    assert "is a pickle, which is never opened" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(lfadsx.DataError, match="must be a NIX file, but its content is of another kind"):
        lfadsx.from_neo(tmp_path / "a.txt")


def test_a_nix_file_without_nixio(recordings, monkeypatch):
    monkeypatch.setitem(sys.modules, "nixio", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"lfadsx\[neo\]\""):
        lfadsx.from_neo(recordings / "formats" / "nix" / "session.nix")


NEEDS_NIXIO = "needs neo and nixio: pip install 'lfadsx[neo]'"


def test_the_small_recording_in_a_nix_file(recordings, tmp_path, capsys):
    pytest.importorskip("nixio", reason=NEEDS_NIXIO)
    pytest.importorskip("neo", reason=NEEDS_NIXIO)
    path, truth = recordings / "formats" / "nix" / "session.nix", dict(np.load(recordings / "formats" / "truth.npz"))
    assert format_of(path).name == "NIX file"
    observed = np.loadtxt(recordings / "formats" / "csv" / "recorded.csv", delimiter=",", skiprows=1)
    for width, name in ((0.01, "counts"), (0.03, "counts_30ms")):
        data = lfadsx.from_neo(path, align="go_cue", window=WINDOW, bin_width=width, observed=observed)
        splits = list(data.splits.values())
        order = np.argsort(np.concatenate([split.row for split in splits]))
        for field, expected in (("trial_id", truth["trial_id"]), ("condition", truth["condition"])):
            found = np.concatenate([getattr(split, field) for split in splits])[order]
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.concatenate([s.targets["spikes"] for s in splits])[order], truth[name])
    assert list(data.source["session"]["area"].values()) == truth["unit_area"].tolist()
    words = ["prepare", str(path), "--align", "go_cue", "--window", "-0.25", "0.45", "--out", str(tmp_path / "a.h5")]
    assert cli.main(words) == 0 and "20 channels" in capsys.readouterr().err
    assert cli.main([*words, "--observed", str(recordings / "formats" / "csv" / "recorded.csv")]) == 0
    kept = np.concatenate([split.trial_id for split in lfadsx.read(tmp_path / "a.h5").splits.values()])
    np.testing.assert_array_equal(np.sort(kept), np.sort(truth["trial_id"]))
    capsys.readouterr()
    assert cli.main([*words, "--frame-rate", "30"]) == 2
    assert "`--frame-rate` cannot be used with a NIX file" in capsys.readouterr().err


def test_blocks_of_neo_and_what_nix_files_keep_of_them(tmp_path):
    neo = pytest.importorskip("neo", reason=NEEDS_NIXIO)
    pq = pytest.importorskip("quantities", reason=NEEDS_NIXIO)
    pytest.importorskip("nixio", reason=NEEDS_NIXIO)
    block = neo.Block(name="day")
    for row in range(6):
        part = neo.Segment(name=f"trial {row}", side="lr"[row % 2])
        for unit in (3, 8):
            times = (SPIKES[unit][:20] * 1000) * pq.ms
            part.spiketrains.append(neo.SpikeTrain(times, t_stop=3000 * pq.ms, unit_id=unit, area="M1"))
        part.events.append(neo.Event([0.9] * pq.s, labels=np.array(["now"]), name="go"))
        hand = neo.AnalogSignal(np.arange(60).reshape(30, 2) * pq.mm, sampling_rate=10 * pq.Hz, name="hand")
        part.analogsignals.append(hand)
        block.segments.append(part)
    path = tmp_path / "day.nix"
    with neo.NixIO(str(path), "ow") as io:
        io.write_block(block)
    for source in (block, path):
        recording = read_neo(source)
        assert recording.trial_clocks and recording.n_trials == 6 and recording.unit_id.tolist() == [3, 8]
        assert recording.trials["side"].tolist() == [*"lrlrlr"] and recording.signals["hand"].unit == "mm"
        np.testing.assert_allclose(recording.trials["go"], 0.9)
        np.testing.assert_allclose(recording.spikes[0], np.tile(SPIKES[3][:20], 6))
        assert recording.signals["hand"].values.shape == (180, 2)

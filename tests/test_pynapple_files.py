"""Objects and npz files of pynapple: trials that overlap, units without spikes, pickles that stay closed."""

import os
import types

import numpy as np
import pytest

import lfadsx
from lfadsx.recordings import read_pynapple

GO = 2.0 * np.arange(12) + 1.5
SPIKES = {3: np.arange(0.05, 28, 0.11), 8: np.array([]), 5: np.arange(0.5, 27, 0.23)}


def group(**metadata):
    """The attributes of a TsGroup that are read."""
    whole = types.SimpleNamespace(start=np.array([0.0]), end=np.array([30.0]))
    units = {unit: types.SimpleNamespace(t=times) for unit, times in SPIKES.items()}

    class Group(dict):
        time_support = whole
        metadata_columns = ["rate", *metadata]

        def get_info(self, name):
            return metadata[name] if name in metadata else np.zeros(3)

    return Group(units)


def save_npz(folder, **others):
    times = np.concatenate(list(SPIKES.values()))
    unit = np.repeat(list(SPIKES), [len(own) for own in SPIKES.values()])
    order = np.argsort(times)
    support = dict(start=np.array([0.0]), end=np.array([30.0]))
    files = {
        "units": dict(type="TsGroup", t=times[order], index=unit[order], keys=np.sort(list(SPIKES)), **support),
        "go": dict(type="Tsd", t=GO, d=np.arange(12.0) + 40, **support),
    } | others
    for name, arrays in files.items():
        np.savez(folder / f"{name}.npz", **{key: np.asarray(values) for key, values in arrays.items()})
    return folder


def test_a_table_of_trials_that_overlap():
    table = {"start": GO - 1, "end": GO + 1.5, "go": GO, "side": np.array(["l", "r"] * 6, object)}
    recording = read_pynapple(group(area=np.array(["a", "b", "a"], object)), table)
    assert recording.unit_id.tolist() == [3, 8, 5] and len(recording.spikes[1]) == 0
    assert set(recording.events) == {"start", "end", "stop", "go"} and recording.n_trials == 12
    assert set(recording.unit_columns) == {"area"} and recording.unit_columns["area"].dtype.kind == "U"
    data = lfadsx.from_pynapple(group(), table, align="go", window=(-0.5, 0.5), condition="side")
    assert data.train.n_bins == 100 and set(data.train.condition) == {"l", "r"}


def test_trials_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"trial_id": np.arange(12) + 5, "go": GO, "side": ["l", None] * 6})
    recording = read_pynapple(group(), table)
    assert recording.events == ("go",) and recording.trials["trial_id"].tolist() == list(range(5, 17))
    assert recording.trials["side"].tolist()[:2] == ["l", ""]


def test_objects_of_pynapple():
    nap = pytest.importorskip("pynapple")
    whole = nap.IntervalSet(0, 30)
    units = {unit: nap.Ts(times, time_support=whole) for unit, times in SPIKES.items()}
    units = nap.TsGroup(units, time_support=whole, metadata={"area": ["a", "b", "c"]})
    trials = nap.IntervalSet(GO - 0.9, GO + 0.9, metadata={"go": GO, "side": ["l", "r"] * 6})
    hand = nap.TsdFrame(t=np.arange(300) / 10, d=np.ones((300, 2)), columns=["x", "y"])
    recording = read_pynapple(units, trials, signals={"hand": hand}, session="day1")
    assert recording.name == "day1" and recording.unit_id.tolist() == [3, 5, 8]
    assert recording.unit_columns["area"].tolist() == ["a", "c", "b"]
    assert recording.signals["hand"].columns == ("x", "y") and recording.observed.tolist() == [[0, 30]]
    seen = nap.IntervalSet(0, 10)
    assert read_pynapple(units, trials, observed=seen).observed.tolist() == [[0, 10]]
    data = lfadsx.from_pynapple(units, trials, align="go", window=(-0.5, 0.5), signals={"hand": hand}, behaviour="hand")
    assert data.behaviour_name == "hand" and np.nanmin(data.train.behaviour) == 1
    table = {"go": GO, "trial_id": np.arange(12)}
    expected = lfadsx.from_spike_times({u: SPIKES[u] for u in (3, 5, 8)}, table, align="go", window=(-0.5, 0.5))
    splits = expected.splits.values()
    counts = {i: own for split in splits for i, own in zip(split.trial_id, split.encoder_input, strict=True)}
    for trial, own in zip(data.train.trial_id, data.train.encoder_input, strict=True):
        np.testing.assert_array_equal(own, counts[trial])


def test_npz_without_pickle(tmp_path):
    signal = dict(type="TsdFrame", t=np.arange(300) / 10, d=np.ones((300, 2)), columns=np.array([0, 1]))
    late = dict(type="Tsd", t=GO[::2] + 0.3, d=np.arange(0, 12.0, 2) + 40)
    speed = dict(type="Tsd", t=np.arange(300) / 10, d=np.full(300, 0.5))
    recorded = dict(type="IntervalSet", start=[0.0, 12.0], end=[9.0, 30.0])
    folder = save_npz(tmp_path, hand=signal, late=late, speed=speed, recorded=recorded, arrays=dict(x=[1, 2]))
    recording = read_pynapple(folder)
    assert recording.unit_id.tolist() == [3, 5, 8]
    for unit, times in zip(recording.unit_id.tolist(), recording.spikes, strict=True):
        np.testing.assert_array_equal(times, SPIKES[unit])
    assert recording.trials["trial_id"].tolist() == list(range(40, 52)) and set(recording.events) == {"go", "late"}
    np.testing.assert_array_equal(np.isnan(recording.trials["late"]), np.arange(12) % 2 == 1)
    assert set(recording.signals) == {"hand", "speed"} and recording.signals["hand"].columns == ("0", "1")
    assert recording.observed.tolist() == [[0, 9], [12, 30]] and recording.findings == ()
    named = read_pynapple(folder / "units.npz")
    assert named.name == tmp_path.name and named.n_spikes == recording.n_spikes


class Attack:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_is_never_opened(tmp_path):
    bad = np.array([Attack(tmp_path / "run")], object)
    for name in ("_metadata", "columns"):
        units = dict(np.load(save_npz(tmp_path) / "units.npz"))
        np.savez(tmp_path / "units.npz", **units, **{name: bad})
        recording = read_pynapple(tmp_path)
        assert not (tmp_path / "run").exists()
        assert [finding.name for finding in recording.findings] == ["pickled metadata"]
    np.savez(tmp_path / "units.npz", t=bad, index=bad, keys=bad, type=bad)
    with pytest.raises(lfadsx.DataError, match="must hold one group of spike trains"):
        read_pynapple(tmp_path)
    assert not (tmp_path / "run").exists()


def test_mistakes_are_explained(tmp_path):
    with pytest.raises(lfadsx.DataError, match="found 0 among no npz files"):
        read_pynapple(tmp_path)
    save_npz(tmp_path, more=dict(type="TsGroup", t=[1.0], index=[1], keys=[1], start=[0.0], end=[2.0]))
    with pytest.raises(lfadsx.DataError, match="found 2 among go.npz, more.npz, units.npz"):
        read_pynapple(tmp_path)
    (tmp_path / "more.npz").write_bytes(b"PK but no archive")
    with pytest.raises(lfadsx.DataError, match="more.npz' cannot be read as an npz file"):
        read_pynapple(tmp_path)
    (tmp_path / "more.npz").unlink()
    (tmp_path / "go.npz").unlink()
    with pytest.raises(lfadsx.DataError, match="must hold the trials: a Tsd .* Found only spikes"):
        lfadsx.from_pynapple(tmp_path)
    with pytest.raises(lfadsx.DataError, match="`spikes` must be a TsGroup of pynapple.*got list"):
        read_pynapple([np.arange(3.0)], {"go": GO})
    with pytest.raises(lfadsx.DataError, match="`trials` must be an IntervalSet of pynapple.*got list"):
        read_pynapple(group(), [1.0])
    with pytest.raises(lfadsx.DataError, match="`trials` must be an interval set or a table, got None"):
        lfadsx.from_pynapple(group())
    with pytest.raises(lfadsx.DataError, match="The signal 'hand' must be a Tsd or TsdFrame"):
        read_pynapple(group(), {"go": GO}, signals={"hand": np.ones(3)})


def test_missing_arrays_of_a_group(tmp_path):
    np.savez(save_npz(tmp_path) / "units.npz", type="TsGroup", t=np.arange(3.0))
    with pytest.raises(lfadsx.DataError, match="'units.npz' must hold the arrays.*index"):
        read_pynapple(tmp_path)

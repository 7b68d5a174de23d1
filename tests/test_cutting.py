"""How windows are cut from small recordings made by hand: edges, gaps, overlaps, splits, units, and mistakes."""

import dataclasses

import numpy as np
import pytest

import lfadsx
from benchmarks import importing
from lfadsx.recordings import cut, read_spike_times
from lfadsx.recordings.drawing import chains
from lfadsx.recordings.recording import MISSING, Recording, Signal
from lfadsx.recordings.windows import Windows, joined

CUES = np.arange(1.0, 11.0)
HUNDRED = {"observed": [[0.0, 100.0]]}


def spikes(n_units=4, seconds=12, seed=0):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, seconds, 20 * seconds)) for _ in range(n_units)]


def simple(units=None, trials=None, **options):
    return read_spike_times(spikes() if units is None else units, trials or {"cue": CUES}, **(HUNDRED | options))


def counts(data, trial):
    split = next(split for split in data.splits.values() if trial in split.trial_id)
    return split.targets["spikes"][list(split.trial_id).index(trial)]


def named(data):
    return {finding.name: finding for finding in data.findings}


def test_a_spike_on_an_edge_belongs_to_the_later_bin():
    """Also where the time in seconds lies a rounding error before the edge."""
    on_edges = CUES[:, None] + [-0.1, 0.0, 0.1 - 2e-10, 0.3, 0.29999]
    data = cut(simple([np.sort(on_edges.ravel()), *spikes()]), align="cue", window=(-0.1, 0.3), bin_width=0.1)
    for trial in range(10):
        assert counts(data, trial)[:, 0].tolist() == [1, 1, 1, 1]  # the spike at 0.3 s is outside


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.int32, np.float64])
def test_samples_are_cut_in_integers(dtype):
    cue = (30_000 * CUES).astype(int)
    units = [np.sort((cue[:, None] + [-301, -300, -1, 0, 299, 300]).ravel()).astype(dtype)[:, None], np.array([1])]
    recording = read_spike_times(units, {"cue": cue}, clock_hz=30_000, observed=[[0, 400_000]], events=["cue"])
    data = cut(recording, align="cue", window=(-0.01, 0.01), bin_width=0.01)
    for trial in range(10):
        assert counts(data, trial)[:, 0].tolist() == [2, 2]


@pytest.mark.parametrize("clock_hz", [None, 1000])
def test_recorded_intervals_that_are_given_replace_those_of_the_recording(clock_hz, tmp_path):
    """They are seconds whatever the clock of the spikes, from memory or from a table."""
    units, scale = [np.arange(0, 12_000, 7) * (0.001 if clock_hz is None else 1)], 1.0 if clock_hz is None else 1000
    recording = read_spike_times(
        units, {"cue": (CUES * scale).astype(int if clock_hz else float)}, clock_hz=clock_hz, events=["cue"]
    )
    table = tmp_path / "recorded.csv"
    table.write_text("from,to,by\n0,4.25,me\n5.75,12,you\n")
    how = {"align": "cue", "window": (-0.5, 0.5), "split": (0.6, 0.2, 0.2)}
    for observed in (table, [[0.0, 4.25], [5.75, 12.0]]):
        data = cut(recording, observed=observed, **how)
        assert list(data.source["session"]["dropped"]) == [3, 4, 5]  # the cues at 4, 5 and 6 s
    pieces = cut(recording, observed=table, chop=1.0, bin_width=0.1)
    inside = np.concatenate([split.start_time for split in pieces.splits.values()])
    assert np.isclose(inside[:, None], [3.2, 5.8]).any(axis=0).all() and not ((inside > 3.3) & (inside < 5.7)).any()
    with pytest.raises(lfadsx.DataError, match="'recorded.csv' must hold a first and a last time for each interval"):
        table.write_text("from,to\n0,never\n")
        cut(recording, observed=table, **how)
    own = read_spike_times([[np.array([0.1, 0.2])], [np.array([0.1])]], {"start": [0.0, 0.0], "stop": [1.0, 1.0]})
    with pytest.raises(lfadsx.DataError, match="`observed` needs one clock for the whole recording"):
        cut(own, observed=[[0.0, 1.0]])


def test_a_spike_of_two_windows_counts_in_both():
    trials = {"cue": np.array([1.0, 1.1, 3.0, 4.0, 5.0])}
    data = cut(simple([np.array([1.15, 3.0])], trials), align="cue", window=(0, 0.2), bin_width=0.1, split_by="time",
               split=(0.4, 0.6, 0.0))  # fmt: skip
    assert counts(data, 0).ravel().tolist() == [0, 1] and counts(data, 1).ravel().tolist() == [1, 0]


def test_reasons_are_named():
    trials = {"cue": np.array([0.1, np.nan, 3.0, 4.0, 5.0, 7.9, 6.0]), "trial_id": list("abcdefg")}
    recording = simple(spikes(), trials, observed=[[0, 3.1], [3.5, 8.0]])
    data = cut(recording, align="cue", window=(-0.2, 0.2))
    assert data.source["session"]["dropped"] == {
        "a": "window begins before the recording",
        "b": "event missing",
        "c": "window overlaps a gap in the recording",
        "f": "window ends after the recording",
    }
    finding = named(data)["trials dropped"]
    assert (
        finding.value == 4
        and "4 of 7 trials are dropped: window begins before the recording (1), event missing (1)" in finding.sentence
    )


def test_a_window_may_touch_the_ends_of_the_recording():
    recording = simple(trials={"cue": np.array([0.2, 1.0, 1.3])}, observed=[[0.2 - 0.1, 1.3 + 0.3]])
    data = cut(recording, align="cue", window=(-0.1, 0.3), split=(0.5, 0.5, 0))
    assert data.source["session"]["dropped"] == {}


def test_intervals_that_touch_are_one():
    observed = np.array([[5.0, 7.0], [0.0, 2.0], [2.0, 4.0], [6.0, 6.5]])
    assert joined(observed, 0.0).tolist() == [[0.0, 4.0], [5.0, 7.0]]


def test_whole_trials_have_their_own_length():
    trials = {"start": CUES, "stop": CUES + np.arange(1, 11) * 0.1, "condition": ["a", "b"] * 5}
    data = cut(simple(trials=trials), bin_width=0.1)
    length = {int(i): int(n) for s in data.splits.values() for i, n in zip(s.trial_id, s.target_length, strict=True)}
    assert length == {trial: trial + 1 for trial in range(10)}
    assert data.time.event == "start"


def test_the_interval_is_a_column_of_trials():
    recording = simple(trials={"cue": CUES, "produced": 0.1 * (1 + np.arange(10)), "side": ["a", "b"] * 5})
    data = cut(recording, align="cue", window=(0, 0.2), bin_width=0.1, interval="produced", condition="side")
    for split in data.splits.values():
        np.testing.assert_allclose(split.interval, 0.1 * (1 + split.trial_id), rtol=1e-6)
    for name, problem in (("waited", "`interval` must be one of"), ("side", "The column 'side' of trials")):
        with pytest.raises(lfadsx.DataError, match=problem):
            cut(recording, align="cue", window=(0, 0.2), bin_width=0.1, interval=name)


def test_a_trial_without_a_whole_bin_is_dropped():
    trials = {"start": CUES, "stop": CUES + np.where(np.arange(10) == 3, 0.05, 0.3)}
    data = cut(simple(trials=trials), bin_width=0.1)
    assert data.source["session"]["dropped"] == {3: "trial shorter than one bin"}


def test_means_of_finite_samples():
    times = np.arange(0, 12, 0.05) + 0.01
    values = np.stack([np.arange(len(times)), np.where(times % 1 < 0.1, np.nan, 1.0)], axis=1)
    recording = simple(signals={"hand": (times, values)})
    data = cut(recording, align="cue", window=(0, 0.2), bin_width=0.1, behaviour="hand")
    split, row = data.train, 0
    first = np.searchsorted(times, CUES[split.trial_id[row]])
    np.testing.assert_allclose(split.behaviour[row, :, 0], [first + 0.5, first + 2.5])
    assert np.isnan(split.behaviour[row, 0, 1]) and split.behaviour[row, 1, 1] == 1


def test_trials_may_begin_at_an_event():
    trials = {"start": CUES, "cue": CUES + 0.1, "stop": CUES + 0.45}
    data = cut(simple(trials=trials), align="cue", bin_width=0.1)
    assert data.train.n_bins == 3 and (data.time.event, data.time.start) == ("cue", 0.0)


def test_trials_with_clocks_of_their_own():
    """Spikes and signals count from the start of each trial, and windows must lie inside the trial."""
    units = [[np.array([0.05, 0.15, 0.25]) + 0.001 * trial, np.array([])] for trial in range(10)]
    recording = read_spike_times(units, {"stop": np.where(np.arange(10) == 4, 0.2, 0.5), "cue": np.full(10, 0.1)})
    assert recording.within_trials and recording.unit_id.tolist() == [0, 1]
    trial = np.repeat(np.arange(10), 5)
    hand = Signal(np.tile(np.arange(5) / 10 + 0.02, 10), trial[:, None] + 0.0, trial=trial)
    recording = dataclasses.replace(recording, signals={"hand": hand, "eye": dataclasses.replace(hand, trial=None)})
    data = cut(recording, align="cue", window=(-0.1, 0.2), bin_width=0.1, behaviour="hand")
    assert data.source["session"]["dropped"] == {4: "window ends after the trial"}
    for split in data.splits.values():
        assert (split.targets["spikes"] == [1, 0]).all()
        assert (split.behaviour == split.trial_id[:, None, None]).all()
    with pytest.raises(lfadsx.DataError, match="'eye' must count from the start of each trial"):
        cut(recording, align="cue", window=(-0.1, 0.2), bin_width=0.1, behaviour="eye")


def test_the_benchmark_cuts_what_it_drew():
    for times in ("seconds", "samples"):
        found = importing.measure(5000, 5, 40, times)
        assert (found["spikes"], found["trials"], found["bins"]) == (5000, 40, 70)


def test_conditions_of_several_columns():
    trials = {"cue": CUES, "side": ["left", "right"] * 5, "size": [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]}
    recording = simple(trials=trials, events=["cue"])
    options = {"align": "cue", "window": (0, 0.3)}
    data = cut(recording, condition=("side", "size"), **options)
    assert set(data.train.condition) == {"left, 1", "right, 2"}
    assert cut(recording, condition=None, **options).train.condition is None
    assert set(cut(recording, condition="size", **options).train.condition) == {1, 2}


def test_held_out_units_are_drawn_over_areas_and_rates():
    rng = np.random.default_rng(1)
    units = [np.sort(rng.uniform(0, 12, n)) for n in (10, 20, 30, 400, 500, 600, 10, 20, 500, 600)]
    recording = simple(units, unit_columns={"area": ["A"] * 6 + ["B"] * 4})
    for seed in range(5):
        (held_out,) = cut(recording, align="cue", window=(0, 0.9), held_out=0.5, seed=seed).held_out().values()
        assert len(held_out) == 5 and np.sum(held_out < 6) == 3


def test_held_out_units_by_column_id_or_mask():
    recording = simple(dict(zip("pqrs", spikes(), strict=True)), unit_columns={"heldout": [0, 1, 0, 1]})
    options = {"align": "cue", "window": (0, 0.9)}
    for held_out in ("heldout", ["q", "s"], np.array([False, True, False, True])):
        (found,) = cut(recording, **options, held_out=held_out).held_out().values()
        assert found.tolist() == [1, 3]


def test_ids_and_masks_of_held_out_units_follow_the_choice_of_units():
    units = dict(zip("pqrs", [np.array([1.1]), *spikes(3)], strict=True))
    options = {"align": "cue", "window": (0, 0.9), "min_rate": 2.0}
    for held_out in (["q"], np.array([True, True, False, False])):
        data = cut(simple(units), **options, held_out=held_out)
        assert data.sessions[0].names("spikes") == ("q", "r", "s")
        assert data.held_out()["session"].tolist() == [0]
    assert (
        "1 of 4 units are left out, their rate in the windows is below 2 Hz: p" in named(data)["units dropped"].sentence
    )


def test_the_split_may_be_a_column():
    trials = {"cue": CUES, "split": ["train"] * 5 + ["val"] * 2 + ["test"] * 2 + ["none"]}
    data = cut(simple(trials=trials), align="cue", window=(0, 0.3), split="split")
    assert [split.trial_id.tolist() for split in data.splits.values()] == [[0, 1, 2, 3, 4], [5, 6], [7, 8]]
    assert data.source["session"]["dropped"] == {9: "in none of the splits"}


def test_chains_of_windows():
    windows = Windows(np.arange(5), np.array([0.0, 0.9, 2.0, 3.0, 1.5]), np.full(5, 10), 0.1)
    assert chains(windows).tolist() == [0, 0, 0, 1, 0]
    assert len(set(chains(dataclasses.replace(windows, start=np.arange(5.0))))) == 5  # windows that touch share nothing


def test_blocks_of_time_leave_out_windows_of_two_blocks():
    data = cut(simple(), align="cue", window=(0, 1.5), split_by="time", split=(0.5, 0.3, 0.2))
    assert [split.trial_id.tolist() for split in data.splits.values()] == [[0, 1, 2, 3, 4], [6, 7], [9]]
    assert set(data.source["session"]["dropped"].values()) == {"window overlaps a window of another split"}
    with pytest.raises(lfadsx.DataError, match="10 of 10 windows form one chain. Use split_by='time'"):
        cut(simple(), align="cue", window=(0, 1.5))


def test_a_part_of_the_windows_may_overlap():
    cues = np.concatenate([CUES, CUES + 0.5])
    for seed in range(3):
        data = cut(
            simple(trials={"cue": cues}), align="cue", window=(0, 0.6), bin_width=0.1, seed=seed, split_by="time"
        )
        assert len(data.splits) == 3


def test_times_in_other_units_are_noticed():
    slow = [own[::20] for own in spikes()]  # 1 Hz, in seconds
    data = cut(simple(slow), align="cue", window=(0, 0.3))
    assert "unit of time" not in named(data)
    units = [1000 * own for own in spikes()]
    data = cut(simple(units, {"cue": 1000 * CUES}, observed=None), align="cue", window=(-0.1, 200.0), bin_width=10.0)
    assert "milliseconds" in named(data)["unit of time"].remedy
    data = cut(simple(trials={"cue": 1000 * CUES}, observed=None), align="cue", window=(0, 0.3))
    assert named(data)["clocks of events and spikes"].value == 1.0
    assert named(data)["recorded intervals unknown"].value == 10


def test_times_that_are_not_finite_are_left_out():
    units = [np.append(own, np.nan) for own in spikes()]
    data = lfadsx.from_spike_times(units, {"cue": CUES}, align="cue", window=(0, 0.3), **HUNDRED)
    assert named(data)["spikes dropped"].value == 4


def test_units_may_be_unsorted_and_trials_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    units = {unit: own[::-1] for unit, own in zip((3, 9, 4, 1), spikes(), strict=True)}
    table = pandas.DataFrame({"cue": CUES, "condition": ["a", None] * 5, "trial_number": np.arange(10.0) + 5})
    data = lfadsx.from_spike_times(units, table, align="cue", window=(0, 0.3), **HUNDRED)
    assert data.sessions[0].names("spikes") == ("3", "9", "4", "1")
    assert sorted(np.concatenate([split.trial_id for split in data.splits.values()])) == list(range(5, 15))
    assert (data.train.condition == "").any()
    np.testing.assert_array_equal(counts(data, 5), counts(cut(simple(), align="cue", window=(0, 0.3)), 0))


def test_one_array_of_all_spikes():
    units = dict(zip((5, 3, 8), spikes(3), strict=True))
    times = np.concatenate(list(units.values()))
    order = np.argsort(times)
    unit = np.repeat(list(units), [len(own) for own in units.values()])[order]
    recording = simple(times[order], unit_of_spike=unit)
    assert recording.unit_id.tolist() == [3, 5, 8]
    for own, found in zip(recording.unit_id, recording.spikes, strict=True):
        np.testing.assert_array_equal(found, units[int(own)])


def test_missing_samples_are_not_times():
    recording = read_spike_times([np.arange(100)], {"cue": [10, MISSING, 30]}, clock_hz=10, events=["cue"])
    assert np.isnan(recording.times("cue")).tolist() == [False, True, False]
    np.testing.assert_array_equal(recording.in_seconds().trials["cue"], [1.0, np.nan, 3.0])


WRONG = {
    "an unknown event": (dict(align="cues", window=(0, 1)), "must be one of 'cue', got 'cues' .did you mean 'cue'"),
    "no event": (dict(window=(0, 1)), "must be one of 'cue', got 'start'"),
    "a window the wrong way round": (dict(align="cue", window=(0.4, -0.2)), "`window` must hold a first and a last"),
    "a window of less than a bin": (dict(align="cue", window=(0, 0.005)), "at least one bin of 0.01 s"),
    "a bin width of 0": (dict(align="cue", window=(0, 1), bin_width=0.0), "`bin_width` must be a finite number"),
    "shares above 1": (dict(align="cue", window=(0, 0.3), split=(0.8, 0.2, 0.2)), "`split` must hold the shares"),
    "an unknown way to split": (dict(align="cue", window=(0, 0.3), split_by="day"), "`split_by` must be one of"),
    "an unknown behaviour": (dict(align="cue", window=(0, 0.3), behaviour="hand"), "`behaviour` must be one of"),
    "areas that are unknown": (dict(align="cue", window=(0, 0.3), areas="M1"), "`areas` needs the area of each unit"),
    "a rate that none reaches": (dict(align="cue", window=(0, 0.3), min_rate=1e4), "must reach `min_rate`"),
    "all held out": (dict(align="cue", window=(0, 0.3), held_out=4), "`held_out` must be a share below 1"),
    "an id that is not there": (dict(align="cue", window=(0, 0.3), held_out=[7]), "A name in `held_out` must be one"),
    "no trial left": (
        dict(align="cue", window=(200, 201)),
        "At least two trials.*window ends after the recording .10.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_explained(name):
    options, message = WRONG[name]
    with pytest.raises(lfadsx.DataError, match=message):
        cut(simple(), **options)


def test_mistakes_in_spike_times_and_tables_are_explained():
    for units, trials, options, message in (
        (np.ones((4, 100)), {"cue": CUES}, {}, "`units` must hold the spike times of each unit, got an array"),
        ([], {"cue": CUES}, {}, "must have at least one unit"),
        ({}, {"cue": CUES}, {}, "must have at least one unit"),
        (np.ones(5), {"cue": CUES}, {}, "`unit_of_spike` for one array of times"),
        (np.ones(5), {"cue": CUES}, {"unit_of_spike": [1, 2]}, "one time for each entry of `unit_of_spike`"),
        ([["a", "b"]], {"cue": CUES}, {}, "must hold times as numbers"),
        (spikes(), {"cue": CUES, "side": ["l"]}, {}, "must have one length, but 'cue' has 10 entries and 'side' has 1"),
        (spikes(), {"cue": CUES, "trial_id": [1] * 10}, {}, "must have a unique id, but 1 occurs 10 times"),
        (spikes(), {"cue": CUES}, {"unit_columns": {"area": ["M1"]}}, "'area' has 1"),
        (spikes(), {"cue": CUES}, {"observed": [3, 4]}, "a first and a last time for each interval"),
        (spikes(), {"cue": CUES}, {"observed": [[4, 3]]}, "must end after it begins, got"),
        (spikes(), {"cue": CUES}, {"clock_hz": 30_000}, "must hold whole samples of the clock"),
        (spikes(), {"cue": CUES}, {"signals": {"x": (np.arange(5), np.ones((2, 5)))}}, "Transpose it"),
        (spikes(), {"cue": CUES}, {"events": ["go"]}, "`events` must name columns of the trials"),
        (spikes(), {"cue": list("abcdefghij")}, {"events": ["cue"]}, "must hold times as numbers, got 'a'"),
    ):
        with pytest.raises(lfadsx.DataError, match=message):
            read_spike_times(units, trials, **options)
    with pytest.raises(lfadsx.DataError, match="column 'trial_id'"):
        Recording("x", np.arange(1), (np.ones(1),), {})


def test_areas_stay_with_their_units(tmp_path):
    units = [np.arange(0.1, 60, 0.11 * (unit + 1)) for unit in range(4)]
    columns = {"area": ["A", "B", "B", "C"]}
    trials = {"cue": np.arange(2.0, 58.0, 2.0)}
    data = lfadsx.from_spike_times(units, trials, align="cue", window=(-0.2, 0.2), unit_columns=columns)
    (name,) = data.areas()
    (file,) = lfadsx.data.write_dataset(tmp_path / f"{name}.h5", data)
    for one in (data, lfadsx.read(file), data.rebin(2)):
        assert one.areas() == {name: ("A", "B", "B", "C")}
    assert data.select(neurons=[0, 2]).areas() == {name: ("A", "B")}
    assert lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1).areas() == {"chaotic_rnn": None}

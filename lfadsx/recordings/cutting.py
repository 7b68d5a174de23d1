"""From a recording to a data set: windows at an event, whole trials or pieces, with units and trials chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import from_arrays
from lfadsx.data.dataset import Dataset
from lfadsx.data.pieces import as_pieces
from lfadsx.errors import DataError
from lfadsx.recordings.binning import by_window, mean_signal
from lfadsx.recordings.choosing_units import areas_by_unit, count_units
from lfadsx.recordings.chopping import chop_trials, is_whole, plan_whole
from lfadsx.recordings.cut_plan import plan_trials
from lfadsx.recordings.drawing import HeldOut, SplitBy
from lfadsx.recordings.framing import bin_width_of, describe_traces
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.tidying import tidy_intervals
from lfadsx.recordings.windows import Windows, exact


class CommonCutOptions(TypedDict, total=False):
    """The arguments of `cut` that no reader has itself, for type checkers and editors."""

    condition: str | Sequence[str] | None
    behaviour: str | None
    behaviour_lag: float
    interval: str | None
    areas: str | Sequence[str] | None
    min_rate: float
    held_out: HeldOut
    split: Sequence[float] | str
    split_by: SplitBy
    chop: float | None
    overlap: float | None
    seed: int


class CutOptions(CommonCutOptions, total=False):
    """The arguments of `cut` beside event, window and bin width."""

    observed: Any


def cut(
    recording: Recording,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    condition: str | Sequence[str] | None = (),
    behaviour: str | None = None,
    behaviour_lag: float = 0.0,
    interval: str | None = None,
    areas: str | Sequence[str] | None = None,
    min_rate: float = 0.0,
    observed: Any = None,
    held_out: HeldOut = 0,
    split: Sequence[float] | str = (0.7, 0.15, 0.15),
    split_by: SplitBy = "condition",
    chop: float | None = None,
    overlap: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Cuts a recording into trials, or into pieces, of binned counts or frames of traces; returns them as a data set.

    Bins are half-open: a spike on an edge belongs to the later bin. Windows come from the continuous recording and may
    overlap. A trial is dropped if its event is missing or its window is not inside one recorded interval. In files with
    only the spikes of each trial, the window must be inside its trial. Only whole bins are kept; nothing is filled.
    For imaging the bins are frames: the first at or after the start of the window, and as many as the window holds.

    Example:
        >>> import numpy as np
        >>> from lfadsx.recordings.cutting import cut
        >>> from lfadsx.recordings.spike_times import read_spike_times
        >>> rng = np.random.default_rng(0)
        >>> units = [np.sort(rng.uniform(0, 100, 1000)) for _ in range(8)]
        >>> recording = read_spike_times(units, {"go_cue": np.arange(2.0, 98.0, 2.0)}, observed=[[0, 100]])
        >>> data = cut(recording, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.time.start
        ((34, 70, 8), -0.25)

    Args:
        recording: The recording.
        align: The event at time 0, a column of `Recording.trials`; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials of different length, from
            the event to "stop".
        bin_width: Width of a bin in seconds; by default 0.01, and for imaging the time between two frames.
        condition: Column of trials that is the condition, or several that are one together; by default "condition" if
            there is such a column; None for no conditions.
        behaviour: Name of the signal that is the behaviour: the mean of its finite samples in each bin, NaN where
            there is none.
        behaviour_lag: Delay of behaviour after rates in seconds; stored in the data set, nothing is shifted.
        interval: Column of trials with the interval that the animal produced, in seconds; it ends at the event.
        areas: Areas whose units are kept; None for all units.
        min_rate: Units with a lower mean rate in the windows are left out, in Hz.
        observed: Intervals in which the recording ran in seconds, shape (interval, 2), or a CSV file (start, stop); by
            default those of the recording.
        held_out: Units that the encoder does not see: their number, their share (below 1), the name of a column of
            units such as "heldout", their ids, or a boolean mask of all units. A number or a share is drawn evenly
            over areas and rates.
        split: Shares of train, valid and test, or the name of the column of trials that names the split of each.
        split_by: "condition": at random, each condition in proportion; "time": in blocks, the last ones test. Windows
            that overlap are never in two splits.
        chop: Length of a piece in seconds. Without `align` and `window` the whole recording is cut into pieces, and
            trials are not needed; bins that are not wholly inside a recorded interval are in no piece. With `align` or
            `window`, trials that are longer are cut into pieces that stay in the split of their trial.
        overlap: What a piece shares with the next one in seconds; by default a fifth of `chop`.
        seed: Seed of all draws.

    Returns:
        The data set. Channels are named by their unit ids. `Dataset.source` has, by session, where the data come from,
        how they were cut, the area of each unit, and "dropped": trial id -> reason.

    Raises:
        DataError: If a name is unknown, a value is out of range, or too few trials or units are left.
    """
    bin_width = bin_width_of(recording, bin_width)
    _check(window, bin_width, min_rate)
    _check_chop(chop, overlap, interval)
    recording = exact(_observed(recording, observed), bin_width, *(window or ()))
    if chop is not None and is_whole(recording, align, window):
        plan = plan_whole(recording, bin_width, chop, overlap, condition, split, split_by, seed)
    else:
        plan = plan_trials(recording, align, window, bin_width, condition, split, split_by, seed)
        plan = plan if chop is None else chop_trials(plan, recording, bin_width, chop, overlap)
    units = count_units(recording, plan.windows, areas, min_rate, held_out, seed)
    data = from_arrays(
        **units.arrays(plan.windows),
        held_out=units.held_out,
        bin_width=bin_width,
        start=plan.start,
        event=plan.event,
        condition=plan.condition,
        behaviour=_behaviour(recording, behaviour, plan.windows),
        behaviour_name=behaviour or "velocity",
        behaviour_lag=behaviour_lag,
        interval=None if interval is None else _interval(recording, interval)[plan.windows.row],
        start_time=None if recording.trial_clocks else plan.windows.start * plan.windows.scale,
        trial_id=plan.trial_id,
        channel_names=[str(unit) for unit in units.recording.unit_id],
        split=plan.split,
        session=recording.name,
    )
    data = as_pieces(data, plan.piece_of, plan.first_bin)
    how: dict[str, Any] = {"align": align or plan.event, "window": window, "bin_width": bin_width, "min_rate": min_rate}
    how |= {} if chop is None else {"chop": chop, "overlap": overlap}
    drawn = {"column": split} if isinstance(split, str) else {"shares": list(split), "by": split_by, "seed": seed}
    source = {
        **recording.source,
        "cut": how | {"areas": areas, "behaviour": behaviour, "interval": interval},
        "split": drawn,
        "dropped": _dropped(recording, plan.reason),
        **plan.facts,
        "area": areas_by_unit(units.recording),
    }
    notes = (*recording.findings, *plan.findings, *units.findings, *data.findings)
    if recording.traces is not None:
        facts, note = describe_traces(recording, units.counts)
        source, notes = source | facts, (*notes, note)
    sessions = tuple(dataclasses.replace(one, areas=tuple(source["area"].values())) for one in data.sessions)
    return dataclasses.replace(data, sessions=sessions, source={recording.name: source}, findings=notes)


def _check(window: tuple[float, float] | None, bin_width: float, min_rate: float) -> None:
    validation.positive(bin_width, "`bin_width`")
    if not (np.isfinite(min_rate) and min_rate >= 0):
        raise DataError(f"`min_rate` must be a rate in Hz of at least 0, got {min_rate}.")
    if window is None:
        return
    if len(window) != 2 or not np.isfinite(window).all() or window[1] - window[0] < bin_width * (1 - 1e-6):
        raise DataError(
            f"`window` must hold a first and a last time in seconds, at least one bin of {bin_width:g} s apart, got "
            f"{', '.join(map(str, window))}. Give for example window=(-0.25, 0.45)."
        )


def _check_chop(chop: float | None, overlap: float | None, interval: str | None) -> None:
    if chop is None and overlap is not None:
        raise DataError(f"`overlap` needs `chop`, the length of a piece in seconds, got `overlap` {overlap:g} alone.")
    if chop is not None and interval is not None:
        raise DataError(
            f"`interval` must end at the event of each trial, got {interval!r} with `chop`, but pieces begin anywhere. "
            "Leave one of them out."
        )


def _observed(recording: Recording, given: Any) -> Recording:
    """Returns the recording with other recorded intervals, if they are given."""
    intervals = tidy_intervals(given, None)
    if intervals is None:
        return recording
    if recording.trial_clocks:
        raise DataError(
            f"`observed` needs one clock for the whole recording, but each trial of {recording.name!r} has its own "
            "time 0. Leave it out."
        )
    clock = recording.clock_hz
    intervals = intervals if clock is None else np.rint(intervals * clock).astype(np.int64)
    return dataclasses.replace(recording, observed=intervals)


def _interval(recording: Recording, name: str) -> np.ndarray:
    validation.one_of(name, recording.trials, "`interval`")
    validation.numbers(recording.trials[name], f"The column {name!r} of trials")
    return recording.trials[name]


def _behaviour(recording: Recording, name: str | None, windows: Windows) -> np.ndarray | list[np.ndarray] | None:
    if name is None:
        return None
    validation.one_of(name, recording.signals, "`behaviour`")
    signal = recording.signals[name]
    if recording.trial_clocks and signal.trial is None:
        raise DataError(
            f"The times of {name!r} must count from the start of each trial, as those of the spikes do, but the signal "
            "has no trials. Leave `behaviour` out, or give the trial of each sample."
        )
    return by_window(mean_signal(signal, windows), windows)


def _dropped(recording: Recording, reason: np.ndarray) -> dict[int | str, str]:
    ids = recording.trials["trial_id"].tolist()
    return {trial: str(why) for trial, why in zip(ids, reason, strict=True) if why}

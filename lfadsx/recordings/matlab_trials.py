"""Trials of MATLAB files in seconds: which columns are times, and which zero and unit they have."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.recordings.matlab_tables import START, STOP, TRIAL_ID, Table, in_milliseconds, is_vector, last_word
from lfadsx.recordings.recording import Signal

ZERO = "zero"
"""The event at time 0 of trials that have their own clocks: the start, or the event that times count from."""

LONGEST_INTERVAL = 10.0
"""Median interval between spikes in seconds above which milliseconds or samples are suspected."""

MOMENTS = tuple("time times on onset off offset cue go start stop end move touch reward stim".split())
"""Last words of names of events."""

CLOCKS = ("time", "times", "t", "ts", "timestamps")
"""Last words of names of vectors of sample times."""


@dataclasses.dataclass(frozen=True)
class TrialTimes:
    """Columns of trials with their times in seconds on one clock.

    Attributes:
        columns: All columns, shape (trial,) each, with "trial_id", and "start" and "stop" if known.
        events: Names of the columns that hold times.
        zero: Time of the zero that times inside each trial count from, shape (trial,).
        own_clocks: If True, each trial has its own clock.
        signals: Arrays by sample, such as hand velocity, with times on the same clock.
    """

    columns: dict[str, np.ndarray]
    events: tuple[str, ...]
    zero: np.ndarray
    own_clocks: bool
    signals: dict[str, Signal]


def scale_of(name: str, time_unit: float | None) -> float:
    """Returns the seconds per unit of the times called `name`; by default from a name that ends in Ms."""
    if time_unit is not None:
        validation.positive(time_unit, "`time_unit`")
        return float(time_unit)
    return 0.001 if in_milliseconds(name) else 1.0


def trial_times(table: Table, events: Sequence[str], time_unit: float | None) -> TrialTimes:
    """Returns the trials of a table with all times in seconds.

    Times count from the start of the session, or from the start of each trial. The latter is assumed if trials would
    otherwise end before they start. `events` names columns of times that are not recognised by name and value.
    """
    for name in events:
        validation.one_of(name, list(table.columns), f"An event of {table.name!r}")
    id_name, start_name, stop_name = (table.find(names) for names in (TRIAL_ID, START, STOP))
    start = _seconds(table, start_name, time_unit) if start_name else np.zeros(table.n)
    stop = _seconds(table, stop_name, time_unit) if stop_name else None
    own_clocks = start_name is None or (table.n > 1 and bool((start == start[0]).all()))
    relative = own_clocks or _counts_from_trial(table, start, stop, time_unit)
    zero = start if relative else np.zeros(table.n)
    longest = np.nanmax(stop - start + zero) if stop is not None else np.inf
    columns = {"trial_id": trial_ids(table), "start": start}
    if stop is not None:
        columns["stop"] = stop + zero
    found = ["start", "stop"] if stop is not None else ["start"]
    if own_clocks:
        columns[ZERO] = np.zeros(table.n)
        found.append(ZERO)
    for name, values in table.columns.items():
        if name in (id_name, start_name, stop_name):
            continue
        since = None if values.dtype.kind in "Ub" else _seconds(table, name, time_unit) + zero - start
        if since is not None and (name in events or _is_event(name, values, since, longest)):
            columns[name] = since + start
            found.append(name)
        else:
            columns[name] = values
    return TrialTimes(columns, tuple(found), zero, own_clocks, _signals(table, zero, time_unit))


def trial_ids(table: Table) -> np.ndarray:
    """Returns the ids of the trials; without ids that all differ they are numbered from 1, as in MATLAB."""
    name = table.find(TRIAL_ID)
    ids = np.arange(1, table.n + 1) if name is None else table.columns[name]
    return ids if len(np.unique(ids)) == table.n else np.arange(1, table.n + 1)


def check_unit(spikes: Sequence[np.ndarray], name: str) -> None:
    """Raises `DataError` when times in seconds are so far apart that another unit is meant; `spikes` are by unit."""
    between = [float(np.median(np.diff(times))) for times in spikes if len(times) > 2]
    if between and np.median(between) > LONGEST_INTERVAL:
        raise DataError(
            f"Times in {name!r} must be seconds, but the median interval between spikes of a unit is "
            f"{np.median(between):.4g}. Give their unit in seconds: time_unit=0.001 for ms, 1/30000 for samples of a "
            "clock of 30 kHz."
        )


def check_not_raster(spikes: Sequence[np.ndarray], name: str) -> None:
    """Raises `DataError` when what should be spike times are the 0 and 1 of a raster of bins."""
    long = [times for times in spikes if times.size > 2]
    if long and all(np.isin(times, (0, 1)).all() for times in long):
        raise DataError(
            f"{name!r} must hold spike times, but its vectors hold only 0 and 1, as a raster of bins does. "
            "Save counts with the axes trial, neuron and time, and name their order with `axes`."
        )


def _seconds(table: Table, name: str, time_unit: float | None) -> np.ndarray:
    return np.asarray(table.columns[name], np.float64) * scale_of(name, time_unit)


def _counts_from_trial(table: Table, start: np.ndarray, stop: np.ndarray | None, time_unit: float | None) -> bool:
    """Returns whether times count from the start of each trial: most stops, or last spikes, are before the start."""
    last = stop
    if last is None:
        spikes = next(iter(table.cells.items()), None)
        if spikes is None:
            return False
        name, trials = spikes
        ends = [max((float(times.max()) for times in units if times.size), default=np.nan) for units in trials]
        last = np.array(ends) * scale_of(name, time_unit)
    return bool(np.mean(last[np.isfinite(last)] < start[np.isfinite(last)]) > 0.5)


def _is_event(name: str, values: np.ndarray, since: np.ndarray, longest: float) -> bool:
    """Returns whether numbers may be times: inside the trials, and fractions or called after a moment."""
    finite = np.isfinite(since)
    if not finite.any() or np.any(since[finite] < -longest) or np.any(since[finite] > 2 * longest):
        return False
    if in_milliseconds(name) or last_word(name) in MOMENTS:
        return True
    return (
        values.dtype.kind == "f" and np.isfinite(longest) and bool(np.any(values[finite] != np.round(values[finite])))
    )


def _signals(table: Table, zero: np.ndarray, time_unit: float | None) -> dict[str, Signal]:
    """Returns arrays with one row for each entry of a vector of times, such as `handVel` beside `handTime`."""
    clocks = {n: arrays for n, arrays in table.arrays.items() if last_word(n) in CLOCKS and all(map(is_vector, arrays))}
    signals = {}
    for name, arrays in table.arrays.items():
        fits = [clock for clock, times in clocks.items() if all(map(_one_time_each, arrays, times))]
        if name in clocks or not fits:
            continue
        clock = max(fits, key=lambda other: len(os.path.commonprefix([other, name])))
        scale, sampled = scale_of(clock, time_unit), clocks[clock]
        known = [k for k in range(table.n) if sampled[k].size and np.isfinite(zero[k])]
        values = [arrays[k].reshape(sampled[k].size, -1) for k in known]
        if len({part.shape[1] for part in values}) == 1:
            times = np.concatenate([sampled[k].ravel() * scale + zero[k] for k in known])
            trial = np.repeat(known, [sampled[k].size for k in known])
            signals[name] = Signal(times, np.concatenate(values).astype(np.float64), trial=trial)
    return signals


def _one_time_each(values: np.ndarray, times: np.ndarray) -> bool:
    """Returns whether an array has one row, or one entry, for each time."""
    return times.size in (len(values), values.size) if times.size else not values.size

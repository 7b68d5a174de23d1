"""Trials of MATLAB files in seconds: which columns are times, and which zero and unit they have."""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections.abc import Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.recordings.matlab_tables import START, STOP, TRIAL_ID, Table, in_milliseconds, plain
from lfadsx.recordings.recording import Signal

LONGEST_INTERVAL = 10.0
"""Median interval between spikes in seconds above which milliseconds or samples are suspected."""

LOOKS_LIKE_TIME = re.compile(r"(time|times|on|onset|off|offset|cue|go|start|stop|end|move|touch|reward|stim)$")
"""Last word of names of events, in small letters."""

SLACK = 1e-9
"""Seconds by which times of one moment may differ after a change of their zero."""


@dataclasses.dataclass(frozen=True)
class TrialTimes:
    """Columns of trials with their times in seconds on one clock.

    Attributes:
        columns: All columns, shape (trial,) each, with "trial_id", and "start" and "stop" if known.
        events: Names of the columns that hold times.
        zero: Time of the zero that times inside each trial count from, shape (trial,).
        own_clocks: If True, each trial has a clock of its own.
        signals: Arrays by sample, such as hand velocity, with times on the same clock.
        used: Names of the fields that became something else than a column of their name.
    """

    columns: dict[str, np.ndarray]
    events: tuple[str, ...]
    zero: np.ndarray
    own_clocks: bool
    signals: dict[str, Signal]
    used: tuple[str, ...] = ()


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
    roles = {id_name, start_name, stop_name} - {None}
    longest = np.nanmax(stop - start + zero) if stop is not None else np.inf
    columns = {"trial_id": table.columns[id_name] if id_name else np.arange(1, table.n + 1), "start": start}
    if stop is not None:
        columns["stop"] = stop + zero
    found = ["start", "stop"] if stop is not None else ["start"]
    for name, values in table.columns.items():
        if name in roles:
            continue
        since = None if values.dtype.kind in "Ub" else _seconds(table, name, time_unit) + zero - start
        if since is not None and (name in events or _is_event(name, values, since, longest)):
            columns[name] = since + start
            found.append(name)
        else:
            columns[name] = values
    signals = _signals(table, zero, time_unit)
    return TrialTimes(columns, tuple(found), zero, own_clocks, signals, tuple(sorted(map(str, roles))))


def check_unit(spikes: Sequence[np.ndarray], name: str) -> None:
    """Raises `DataError` when times in seconds are so far apart that another unit is meant; `spikes` are by unit."""
    between = [float(np.median(np.diff(times))) for times in spikes if len(times) > 2]
    if between and np.median(between) > LONGEST_INTERVAL:
        raise DataError(
            f"Times in {name!r} must be seconds, but the median interval between spikes of a unit is "
            f"{np.median(between):.4g}. Give their unit in seconds: time_unit=0.001 for ms, 1/30000 for samples of a "
            "clock of 30 kHz."
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
    if in_milliseconds(name) or LOOKS_LIKE_TIME.search(plain(name)):
        return True
    return (
        values.dtype.kind == "f" and np.isfinite(longest) and bool(np.any(values[finite] != np.round(values[finite])))
    )


def _signals(table: Table, zero: np.ndarray, time_unit: float | None) -> dict[str, Signal]:
    """Returns arrays with one row for each entry of a vector of times, such as `handVel` beside `handTime`."""
    sizes = {name: [len(array) for array in arrays] for name, arrays in table.arrays.items()}
    clocks = [
        name
        for name, arrays in table.arrays.items()
        if re.search(r"(time|times|t|ms)$", plain(name)) and all(array.size == len(array) for array in arrays)
    ]
    signals = {}
    for name, arrays in table.arrays.items():
        fits = [clock for clock in clocks if sizes[clock] == sizes[name] and clock != name]
        if name in clocks or not fits:
            continue
        clock = max(fits, key=lambda other: len(os.path.commonprefix([other, name])))
        width = {array.shape[1] for array in arrays if array.size}
        if len(width) != 1:
            continue
        times = [
            array.ravel() * scale_of(clock, time_unit) + at for array, at in zip(table.arrays[clock], zero, strict=True)
        ]
        values = np.concatenate([array.reshape(len(array), *width) for array in arrays])
        trial = np.repeat(np.arange(table.n), sizes[name])
        signals[name] = Signal(np.concatenate(times), np.asarray(values, np.float64), trial=trial)
    return signals

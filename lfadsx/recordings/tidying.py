"""Times, tables of trials and signals as people give them, brought into the form of a `Recording`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data.condition_labels import tidy_labels
from lfadsx.errors import DataError
from lfadsx.recordings.recording import MISSING, Signal
from lfadsx.recordings.tables import read_table

ALIASES = {
    "trial_id": ("trial", "trial_number", "id"),
    "start": ("start_time", "trial_start", "t_start"),
    "stop": ("stop_time", "trial_stop", "end", "end_time", "trial_end", "t_stop"),
}
"""Other names of columns of trials. The column keeps its own name beside the one of `Recording`."""


def tidy_times(values: Any, clock_hz: float | None, label: str) -> tuple[np.ndarray, int]:
    """Returns sorted times, shape (spike,), and the number of values that were not finite and are left out.

    Args:
        values: Times in any order, of one row or one column.
        clock_hz: Samples per second if times are samples; they become int64, because differences of unsigned integers
            wrap. None for seconds; they become float64.
        label: Name of the times in messages.
    """
    times = np.asarray(values).ravel()
    if not times.size:
        return np.empty(0, np.float64 if clock_hz is None else np.int64), 0
    if times.dtype.kind not in "iuf":
        raise DataError(f"{label} must hold times as numbers, got {times.dtype}. Convert them to numbers.")
    n = len(times)
    if times.dtype.kind == "f":
        times = times[np.isfinite(times)]
    dropped = n - len(times)
    times = times.astype(np.float64) if clock_hz is None else _samples(times, label)
    if np.any(times[1:] < times[:-1]):
        times = np.sort(times)
    return times, dropped


def tidy_intervals(values: Any, clock_hz: float | None, label: str = "`observed`") -> np.ndarray | None:
    """Returns intervals as an array (interval, 2) in seconds (float64) or samples (int64); None stays None.

    `values` may be a CSV file, whose first two columns are taken.
    """
    if values is None:
        return None
    if isinstance(values, str | Path):
        columns, label = list(read_table(Path(values)).values()), repr(Path(values).name)
        if len(columns) < 2:
            raise DataError(f"{label} must have the columns start and stop, got {len(columns)} column.")
        values = np.stack(columns[:2], axis=1)
    intervals = np.asarray(values)
    if intervals.ndim != 2 or intervals.shape[1] != 2 or not len(intervals) or intervals.dtype.kind not in "iuf":
        raise DataError(f"{label} must hold a first and a last time for each interval, got shape {intervals.shape}.")
    if not np.all(intervals[:, 1] > intervals[:, 0]):
        wrong = int(np.argmin(intervals[:, 1] > intervals[:, 0]))
        raise DataError(f"Every interval of {label} must end after it begins, got {intervals[wrong].tolist()}.")
    return intervals.astype(np.float64) if clock_hz is None else _samples(intervals, label)


def tidy_trials(
    columns: Mapping[str, Any], clock_hz: float | None, events: Collection[str] | None = None, also: str | None = None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns `Recording.trials` and `Recording.events` of a table of trials.

    Args:
        columns: Columns of one length, such as a dictionary or a table of pandas.
        clock_hz: Samples per second if times are samples; None for seconds.
        events: Names of the columns that hold times; by default numbers that lie inside their trials. If starts and
            stops are unknown: only `also`, or without it all real numbers (with a clock, all integers).
        also: One more column that holds times.
    """
    trials = {str(name): _column(values, str(name)) for name, values in columns.items()}
    if not trials:
        raise DataError("The table of trials must have columns, got none. Give at least the times of one event.")
    for name, others in ALIASES.items():
        found = next((other for other in others if other in trials), None)
        if name not in trials and found is not None and (name != "trial_id" or _all_differ(trials[found])):
            trials[name] = trials[found]
    n_trials = len(next(iter(trials.values())))
    trials.setdefault("trial_id", np.arange(n_trials))
    ids = trials["trial_id"]
    if ids.dtype.kind == "f" and np.array_equal(ids, np.floor(ids)):
        trials["trial_id"] = ids.astype(np.int64)
    names = _guessed(trials, clock_hz, also) if events is None else [*events]
    names += [name for name in ("start", "stop", also) if name in trials and name not in names]
    unknown = [name for name in names if name not in trials]
    if unknown:
        raise DataError(f"`events` must name columns of the trials, {', '.join(trials)}, got {unknown[0]!r}.")
    trials |= {name: _event(trials[name], clock_hz, name) for name in names}  # pyright: ignore[reportCallIssue]
    return trials, tuple(name for name in trials if name in names)


def tidy_signals(signals: Mapping[str, Any] | None) -> dict[str, Signal]:
    """Returns signals that are given as `Signal`, or as times in seconds and values, (sample,) or (sample, column)."""
    return {name: item if isinstance(item, Signal) else _signal(*item) for name, item in (signals or {}).items()}


def _signal(times: Any, values: Any) -> Signal:
    times, values = np.asarray(times, np.float64).ravel(), np.asarray(values)
    signal = Signal(times, values[:, None] if values.ndim == 1 else values)
    order = np.argsort(times, kind="stable")
    return signal if np.all(order[1:] > order[:-1]) else Signal(times[order], signal.values[order])


def _column(values: Any, name: str) -> np.ndarray:
    column = np.asarray(values)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(f"Column {name!r} of the trials must have one value for each trial, got shape {column.shape}.")
    if column.dtype.kind == "S":
        return column.astype(str)
    if column.dtype.kind not in "OU":
        return column
    labels = tidy_labels(column, f"Column {name!r} of the trials")
    return np.full(len(column), np.nan) if labels is None else labels


def _guessed(trials: Mapping[str, np.ndarray], clock_hz: float | None, also: str | None) -> list[str]:
    numbers = {name: values for name, values in trials.items() if values.dtype.kind in "iuf"}
    labels = ("condition", "trial_id", *ALIASES["trial_id"])
    numbers = {name: values for name, values in numbers.items() if name not in labels}
    if {"start", "stop"} <= set(numbers):
        return [name for name, values in numbers.items() if _inside(values, numbers["start"], numbers["stop"])]
    if also in numbers:
        return []
    kinds = "f" if clock_hz is None else "iu"
    return [name for name, values in numbers.items() if values.dtype.kind in kinds]


def _inside(values: np.ndarray, start: np.ndarray, stop: np.ndarray) -> bool:
    """Whether most of the values lie inside their trials."""
    known = np.isfinite(values) & np.isfinite(start) & np.isfinite(stop) & (values != MISSING)
    inside = (values >= start) & (values <= stop)
    return bool(known.any()) and float(inside[known].mean()) >= 0.5


def _event(values: np.ndarray, clock_hz: float | None, name: str) -> np.ndarray:
    label = f"The event {name!r}"
    if values.dtype.kind not in "iuf":
        raise DataError(f"{label} must hold times as numbers, got {values.tolist()[0]!r}. Leave missing times empty.")
    known = np.isfinite(values) & (values != MISSING)
    if clock_hz is None:
        return np.where(known, values, np.nan).astype(np.float64)
    samples = np.full(len(values), MISSING)
    samples[known] = _samples(values[known], label)
    return samples


def _samples(values: np.ndarray, label: str) -> np.ndarray:
    if values.dtype.kind == "f" and np.any(values != np.floor(values)):
        fraction = values[values != np.floor(values)][0]
        raise DataError(
            f"{label} must hold whole samples of the clock, got {fraction:g}. Leave `clock_hz` out for seconds."
        )
    return values.astype(np.int64)


def _all_differ(values: Sequence[Any] | np.ndarray) -> bool:
    return len(np.unique(values)) == len(values)


def by_id(
    unit: np.ndarray, times: np.ndarray, unit_id: np.ndarray, clock_hz: float | None, label: str
) -> tuple[tuple[np.ndarray, "..."], int, int]:
    """Returns the spike times of each unit, and how many spikes are left out: of other units, and not finite.

    Args:
        unit: Unit of each spike, shape (spike,).
        times: Time of each spike, shape (spike,).
        unit_id: The units, shape (unit,).
        clock_hz: Samples per second if times are samples; None for seconds.
        label: Name of the times in messages.
    """
    order = np.argsort(unit_id)
    place = np.searchsorted(unit_id, unit, sorter=order)
    own = order[np.minimum(place, len(order) - 1)]
    known = unit_id[own] == unit
    own, times = own[known], times[known]
    sorting = np.argsort(own, kind="stable")
    parts = np.split(times[sorting], np.searchsorted(own[sorting], np.arange(1, len(unit_id))))
    tidy = [tidy_times(part, clock_hz, label) for part in parts]
    return tuple(part for part, _ in tidy), int((~known).sum()), sum(n for _, n in tidy)

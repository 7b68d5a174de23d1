"""Results as objects of pynapple."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.errors import MissingExtraError
from lfadsx.results.by_session import SessionResults
from lfadsx.results.session_clock import OnClock, ends_before, has_clock, on_clock, seconds_per_bin

APART = 1e-6
"""Seconds between two trials in a set of intervals; pynapple joins or shortens intervals that touch."""


def pynapple_objects(session: SessionResults) -> dict[str, Any]:
    """Returns the results of a session as objects of pynapple; see `Posterior.to_pynapple`."""
    try:
        import pynapple
    except ImportError as error:
        raise MissingExtraError(
            'The package pynapple is needed, but is not installed. Install it with `pip install "lfadsx[pynapple]"`.'
        ) from error
    seconds_per_bin(session)  # raises an error if it is unknown
    if not has_clock(session):
        arrays = {name: array for name, array in session.arrays.items() if array.dims.startswith("trial time ")}
        times = session.posterior.times
        return {name: pynapple.TsdTensor(t=times, d=array.values.swapaxes(0, 1)) for name, array in arrays.items()}
    clock = on_clock(session)
    recorded = pynapple.IntervalSet(*_union(clock.windows))
    found: dict[str, Any] = {
        name: pynapple.TsdFrame(
            t=clock.times, d=array.values, time_support=recorded, columns=_columns(session, name),
            metadata=_of_columns(session, array.dims),
        )
        for name, array in clock.arrays.items()
    }  # fmt: skip
    found["trial"] = pynapple.Tsd(t=clock.times, d=clock.trial, time_support=recorded)
    first, last, table = _trials(session, clock)
    return found | {"trials": pynapple.IntervalSet(first, last, metadata=table)}


def _union(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns starts and stops of windows, with windows that overlap or touch as one."""
    begins = windows[:, 0] > ends_before(windows)
    ends = np.maximum.accumulate(windows[:, 1])
    return windows[begins, 0], ends[np.append(begins[1:], True)]


def _trials(session: SessionResults, clock: OnClock) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Returns starts and stops of trials that do not overlap, with a table about them.

    A trial that begins before an earlier one has ended is cut at its start; `start_time` keeps when it began.
    """
    first, last = np.maximum(clock.windows[:, 0], ends_before(clock.windows) + APART), clock.windows[:, 1]
    inside = first < last
    rows = clock.rows[inside]
    table = {"trial": rows} | {name: values[rows] for name, values in session.trials().items()}
    table["split_name"] = table.pop("split")  # `split` is a method of sets of intervals
    for name, array in session.arrays.items():
        if len(array.dims.split()) == 2:
            table |= dict(zip(session.columns(name), array.values[rows].T, strict=True))
    return first[inside], last[inside], table


def _columns(session: SessionResults, array: str) -> list[Any]:
    """Returns the names of columns; numbers if all are, as the ids of units in pynapple are."""
    names = session.columns(array)
    return [int(name) for name in names] if all(name.isdecimal() for name in names) else names


def _of_columns(session: SessionResults, dims: str) -> dict[str, np.ndarray]:
    if not dims.endswith(" channel"):
        return {}
    return {name: values for name, values in session.units().items() if name != "unit"}

"""Sampled signals in NWB files, such as hand velocity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.findings import Finding
from lfadsx.recordings.recording import Signal

KINDS = ("TimeSeries", "SpatialSeries", "AbstractFeatureSeries")
"""Types of time series that may be behaviour; voltages and images are others."""

MOST_VALUES = 50_000_000
"""Values of a series above which it is read only if it is named."""


def read_signals(nwb: Any, names: Sequence[str] | None, file: str) -> tuple[dict[str, Signal], list[Finding]]:
    """Returns signals by name, and findings about those that are turned round or left out.

    Args:
        nwb: The open file.
        names: Names of the series to read; None for all that are not very large.
        file: Name of the file, for messages.
    """
    series = _named(nwb)
    for name in names or ():
        validation.one_of(name, series, f"A time series of {file!r}")
    signals, findings = {}, []
    for name, one in series.items():
        if names is None and np.prod(one.data.shape) > MOST_VALUES or names is not None and name not in names:
            continue
        signal, problem = _signal(one)
        if signal is not None:
            signals[name] = signal
        if problem:
            level = "warning" if names else "note"
            remedy = "Write it again with time as the first axis, one time for each sample."
            findings.append(Finding(level, "shape of a signal", None, None, file, f"{name!r} {problem}.", remedy))
    return signals, findings


def _named(nwb: Any) -> dict[str, Any]:
    """Returns all series by name; series that share a name are called container/name."""
    found = list(_walk(nwb))
    names = [series.name for _, series in found]
    return {
        series.name if names.count(series.name) == 1 else f"{container}/{series.name}": series
        for container, series in found
    }


def _walk(nwb: Any) -> Iterator[tuple[str, Any]]:
    """Yields each series with the name of its container: a module, or a collection such as `Position` inside one."""
    places = {
        **{name: module.data_interfaces for name, module in nwb.processing.items()},
        "acquisition": nwb.acquisition,
    }
    for place, items in places.items():
        for item in items.values():
            inside = {}
            for field in ("time_series", "spatial_series"):
                inside |= dict(getattr(item, field, None) or {}) if type(item).__name__ not in KINDS else {}
            container = item.name if inside else place
            for series in inside.values() or [item]:
                if type(series).__name__ in KINDS and hasattr(series.data, "shape"):
                    yield container, series


def _signal(series: Any) -> tuple[Signal | None, str]:
    """Returns a series as a signal, None if that is impossible, and what is odd about it."""
    shape, timed = series.data.shape, series.timestamps is not None or bool(series.rate)
    if len(shape) not in (1, 2) or series.data.dtype.kind not in "iufb" or not timed:
        times = "times" if timed else "no times"
        return None, f"is left out, because it has shape {shape}, type {series.data.dtype} and {times}"
    offset = getattr(series, "offset", None) or 0.0  # in schemas from 2.2.0 on
    values = np.asarray(series.data[:], np.float64) * (series.conversion or 1.0) + offset
    values = values.reshape(len(values), -1)
    if series.timestamps is None:
        times = (series.starting_time or 0.0) + np.arange(len(values)) / series.rate
    else:
        times = np.asarray(series.timestamps[:], np.float64)
    problem = ""
    if len(times) != len(values):
        if values.shape[1] != len(times):
            return None, f"is left out, because it has {len(times)} times and values of shape {shape}"
        values, problem = values.T, "has time as its second axis and is turned round"
    known = np.isfinite(times)
    order = np.flatnonzero(known)[np.argsort(times[known], kind="stable")]
    return Signal(times[order], values[order], series.unit or "", _column_names(series, values.shape[1])), problem


def _column_names(series: Any, n: int) -> tuple[str, ...]:
    """Returns the names of columns as the benchmark writes them, `columns=[x,y]` in the comments."""
    found = re.search(r"columns=\[([^\]]*)\]", series.comments or "")
    names = [name.strip() for name in found.group(1).split(",")] if found else []
    return tuple(names) if len(names) == n else ()

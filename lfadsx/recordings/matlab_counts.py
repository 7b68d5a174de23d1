"""Counts in MATLAB files, arrays of three axes in any order, as a recording on the grid of their bins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings import matlab_tables as tables
from lfadsx.recordings.binned_counts import Bins, counts_as_recording
from lfadsx.recordings.matlab_tables import Table
from lfadsx.recordings.matlab_trials import ZERO, scale_of, trial_ids
from lfadsx.recordings.recording import Recording

ROLES = ("trial", "time", "unit")
"""What the axes of counts are, in the order of data sets."""


def counts_recording(
    counts: np.ndarray,
    name: str,
    facts: Mapping[str, Any],
    table: Table | None,
    *,
    axes: str | None,
    bin_width: float | None,
    relative_to: str | None,
    time_unit: float | None,
    session: str,
    source: Mapping[str, Any],
) -> Recording:
    """Returns counts as spikes in the middle of their bins, each trial on its own clock.

    Counts of the same bins, or of several together, come back as they were.

    Args:
        counts: The variable, its axes in any order.
        name: Its name.
        facts: All variables and fields of structs, among them ids of trials and units and the times of bins.
        table: The table of trials, or None.
        axes: Order of the axes, such as "trial neuron time"; None if sizes tell.
        bin_width: Width of a bin in seconds; None if the file has the times of the bins.
        relative_to: Name of the event at time 0 of the bins.
        time_unit: Seconds per unit of the times of the bins.
        session: Name of the session.
        source: Where the counts come from.
    """
    if not tables.numeric(counts):
        raise DataError(f"Counts must be numbers, but {name!r} holds {counts.dtype}. Choose another `variable`.")
    order = _order(counts.shape, name, facts, table, axes)
    counts = counts.transpose(order)
    validation.finite(counts, np.ones(counts.shape, bool), repr(name))
    validation.counts(counts, repr(name))
    n_trials, n_bins, n_units = counts.shape
    start, width, note = _bins(name, n_bins, facts, bin_width, time_unit)
    trial_id, columns = _trials(name, n_trials, facts, table)
    unit_id, unit_columns = tables.unit_columns(facts, n_units)
    bins = Bins(start, width, np.full(n_trials, n_bins), relative_to or ZERO)
    order_words = " x ".join(np.array(ROLES)[np.argsort(order)])
    sentence = f"{name!r} is read as {order_words}, {n_bins} bins of {width:g} s from {start:g} s{note}."
    return counts_as_recording(
        counts.reshape(-1, n_units),
        bins,
        session=session,
        trials={"trial_id": trial_id, **columns},
        unit_id=unit_id,
        unit_columns=unit_columns,
        source=source,
        findings=(Finding("note", "axes of counts", None, None, session, sentence, "Give `axes` if they are others."),),
    )


def _order(
    shape: tuple[int, ...], name: str, facts: Mapping[str, Any], table: Table | None, axes: str | None
) -> tuple[int, ...]:
    """Returns the axis of trials, of time and of units."""
    if axes is not None:
        words = [{"neuron": "unit", "channel": "unit", "bin": "time"}.get(word, word) for word in axes.split()]
        if sorted(words) != sorted(ROLES):
            raise DataError(f"`axes` must name trial, neuron and time in the order of {name!r}, got {axes!r}.")
        return tuple(words.index(role) for role in ROLES)
    sizes = {role: _sizes(role, facts, table) for role in ROLES}
    fits = [
        order
        for order in itertools.permutations(range(3))
        if all(not sizes[role] or shape[axis] in sizes[role] for role, axis in zip(ROLES, order, strict=True))
    ]
    if len(fits) != 1:
        raise DataError(
            f"The axes of {name!r}, {' x '.join(map(str, shape))}, must be told apart, but the numbers of trials, "
            "units and bins in the file do not tell which is which. Give for example axes='trial neuron time'."
        )
    return fits[0]


def _sizes(role: str, facts: Mapping[str, Any], table: Table | None) -> set[int]:
    """Returns the sizes that an axis may have, by vectors with the name of what it counts."""
    found = {n: len(column) for n, value in facts.items() if (column := tables.entries(value)) is not None}
    if role == "trial":
        sizes = {n for known, n in found.items() if tables.plain(known).endswith(tables.TRIAL_ID[:4])}
        return sizes | ({table.n} if table else set())
    if role == "unit":
        return {n for known, n in found.items() if tables.plain(known) in (*tables.UNIT_ID, *tables.AREA)}
    return {n for known, n in found.items() if n > 1 and _says_time(known)}


def _says_time(name: str) -> bool:
    return "time" in tables.plain(name) or "bins" in tables.plain(name)


def _bins(
    name: str, n_bins: int, facts: Mapping[str, Any], bin_width: float | None, time_unit: float | None
) -> tuple[float, float, str]:
    """Returns left edge of the first bin and width in seconds, and what gave them."""
    known = {n: tables.entries(value) for n, value in facts.items() if tables.is_vector(value) and _says_time(n)}
    fits = [n for n, values in known.items() if values is not None and len(values) == n_bins > 1]
    for field in sorted(fits, key=lambda n: not tables.plain(n).startswith(tables.plain(name))):
        times = np.asarray(known[field], np.float64) * scale_of(field, time_unit)
        steps = np.diff(times)
        if steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6):
            width = float((times[-1] - times[0]) / (n_bins - 1))
            # Times that are half a bin off whole bins are the middles of bins, others their left edges.
            offset = times[0] / width % 1
            middle = abs(offset - 0.5) < 0.01
            if bin_width is not None and (bin_width < width * (1 - 1e-6)):
                raise DataError(
                    f"`bin_width` must be at least the bin width of {name!r}, {width:g} s, got {bin_width:g}."
                )
            said = "middles" if middle else "left edges"
            start = float(times[0] - middle * width / 2)
            return round(start, 9), round(width, 9), f", by {field!r}, whose times are taken as {said}"
    if bin_width is None:
        raise DataError(
            f"The counts {name!r} need the width of their bins, but no vector of {n_bins} times was found. "
            "Give `bin_width`."
        )
    return 0.0, float(bin_width), ""


def _trials(
    name: str, n_trials: int, facts: Mapping[str, Any], table: Table | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns ids of the trials of the counts, and the columns of the table of trials that belong to them."""
    ids = _own_ids(name, n_trials, facts)
    if table is None:
        return (np.arange(1, n_trials + 1) if ids is None else ids), {}
    id_name, table_ids = table.find(tables.TRIAL_ID), trial_ids(table)
    rows: Sequence[int] | None = None
    if table.n == n_trials and (ids is None or np.array_equal(ids, table_ids)):
        ids, rows = table_ids, range(n_trials)
    elif ids is not None:
        place = {trial: row for row, trial in enumerate(table_ids.tolist())}
        if all(trial in place for trial in ids.tolist()):
            rows = [place[trial] for trial in ids.tolist()]
    if rows is None:
        return (np.arange(1, n_trials + 1) if ids is None else ids), {}
    timed = {id_name, table.find(tables.START), table.find(tables.STOP)}
    columns = {field: values[list(rows)] for field, values in table.columns.items() if field not in timed}
    return np.asarray(ids), columns


def _own_ids(name: str, n_trials: int, facts: Mapping[str, Any]) -> np.ndarray | None:
    found = {}
    for field, value in facts.items():
        column = tables.entries(value)
        if column is not None and len(column) == n_trials and tables.plain(field).endswith(tables.TRIAL_ID[:4]):
            found[field] = column
    first = sorted(found, key=lambda field: not tables.plain(field).startswith(tables.plain(name)))
    return found[first[0]] if first else None

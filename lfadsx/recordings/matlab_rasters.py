"""Rasters in MATLAB files: for each trial one array of counts by unit and bin, trials of any length."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.matlab_contents import Contents, raster_field
from lfadsx.recordings.matlab_layouts import known_units, recording_of
from lfadsx.recordings.matlab_tables import Table
from lfadsx.recordings.matlab_trials import trial_times
from lfadsx.recordings.recording import Recording


def by_raster(
    contents: Contents, name: str, events: Sequence[str], time_unit: float | None, axes: str | None
) -> Recording:
    """Counts by unit and bin of each trial, as spikes in the middle of their bins."""
    if time_unit is None:
        raise DataError(
            f"The rasters {name!r} need the width of their bins in seconds. Give it with `time_unit`, such as 0.001 "
            "for bins of 1 ms."
        )
    table, rasters = _table_and_rasters(contents, name)
    if _unit_axis(contents, name, rasters, axes) == 1:
        rasters = [raster.T for raster in rasters]
    for number, raster in enumerate(rasters):
        wrong = raster[validation.not_counts(raster)]
        if wrong.size:
            raise DataError(
                f"The rasters {name!r} must hold counts, but trial {number} holds {wrong[0]:g}. "
                "Give `variable` to read another form."
            )
    trials = trial_times(table, events, time_unit)
    start = trials.columns["start"]
    stop = start + time_unit * np.array([raster.shape[1] for raster in rasters])
    events_found = tuple(dict.fromkeys((*trials.events, "stop")))
    trials = dataclasses.replace(trials, columns=trials.columns | {"stop": stop}, events=events_found)
    spikes = [_times(raster, first, time_unit) for raster, first in zip(rasters, start, strict=True)]
    sentence = (
        f"{name!r} is read as unit x time with bins of {time_unit:g} s; spikes are set to the middle of their bins."
    )
    note = Finding(
        "note", "axes of rasters", None, None, contents.path.name, sentence, "Give `axes` if they are others."
    )
    return recording_of(contents, name, trials, spikes, time_unit, [note])


def _table_and_rasters(contents: Contents, name: str) -> tuple[Table, list[np.ndarray]]:
    """Returns the table of trials without rasters, and the raster of each trial."""
    table = contents.tables.get(name)
    if table is not None:
        field = str(raster_field(table))
        others = {other: arrays for other, arrays in table.arrays.items() if other != field}
        return dataclasses.replace(table, arrays=others), table.arrays[field]
    rasters = list(contents.variables[name].ravel("F"))
    table = contents.trial_table
    if table is not None and table.n == len(rasters):
        return table, rasters
    return Table(name, len(rasters), {"trial_id": np.arange(1, len(rasters) + 1)}, {}, {}, {}), rasters


def _unit_axis(contents: Contents, name: str, rasters: Sequence[np.ndarray], axes: str | None) -> int:
    """Returns which axis counts units: the one of equal size in all trials, or that of the table of units."""
    if axes is not None:
        validation.one_of(axes, ("unit time", "time unit"), "`axes`")
        return axes.split().index("unit")
    sizes = {axis: {raster.shape[axis] for raster in rasters} for axis in (0, 1)}
    fits = [axis for axis in (0, 1) if len(sizes[axis]) == 1]
    if len(fits) == 2:
        fits = [axis for axis in fits if sizes[axis] == {known_units(contents)}]
    if len(fits) != 1:
        raise DataError(
            f"The axes of the rasters {name!r} must be told apart, but both have one size in all trials. "
            "Give axes='unit time' or axes='time unit'."
        )
    return fits[0]


def _times(raster: np.ndarray, start: float, width: float) -> list[np.ndarray]:
    """Returns the times of the spikes of each unit, (unit, time) being counts."""
    if not np.isfinite(start):
        return [np.zeros(0)] * len(raster)
    middle = start + width * (np.arange(raster.shape[1]) + 0.5)
    return [np.repeat(middle, row.astype(np.int64)) for row in raster]

"""The layouts of spike times in MATLAB files: by trial, by unit, or in a cell of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings import matlab_tables as tables
from lfadsx.recordings.matlab_contents import Contents, missing_table, notes
from lfadsx.recordings.matlab_tables import Table
from lfadsx.recordings.matlab_trials import ZERO, TrialTimes, check_not_raster, check_unit, scale_of, trial_times
from lfadsx.recordings.recording import Recording, by_unit, no_trials

EXTENT_STEP = 0.01
"""Seconds to which the time around an event that spikes were kept for is rounded, away from the event."""

FORGIVEN = 1e-6

ByTrial = list[list[np.ndarray]]
"""Times in seconds for each trial, for each unit."""


def by_trial(contents: Contents, name: str, events: Sequence[str], time_unit: float | None) -> Recording:
    """Spikes in a struct array of trials: a cell by unit in each trial, or a vector of a single unit."""
    table = contents.tables[name]
    field = tables.find(table.cells, tables.SPIKES) or next(iter(table.cells), None)
    if field is None:
        field = str(tables.find(table.vectors, tables.SPIKES))
        given = [[times] for times in table.arrays[field]]
    else:
        given = table.cells[field]
    check_not_raster([times for row in given for times in row], field)
    others = {other: arrays for other, arrays in table.arrays.items() if other != field}
    trials = trial_times(dataclasses.replace(table, arrays=others, cells={field: given}), events, time_unit)
    scale = scale_of(field, time_unit)
    spikes = [
        [np.sort(times.ravel()) * scale + zero if np.isfinite(zero) else np.zeros(0) for times in row]  # else unknown
        for row, zero in zip(given, trials.zero, strict=True)
    ]
    trials, found = _with_ends(_from_first_spike(trials, spikes), spikes, name)
    return recording_of(contents, name, trials, spikes, time_unit, found)


def by_unit_alone(contents: Contents, name: str, events: Sequence[str], time_unit: float | None) -> Recording:
    """Spikes of the whole session in a struct array of units, or in a cell of one vector a unit."""
    own = contents.tables.get(name)
    field = name if own is None else str(tables.find(own.vectors, tables.SPIKES))
    vectors = list(contents.variables[name].ravel("F")) if own is None else own.arrays[field]
    check_not_raster(vectors, field)
    spikes = tuple(np.sort(times.ravel() * scale_of(field, time_unit)) for times in vectors)
    check_unit(spikes, field)
    table = contents.trial_table
    if table is None:
        trials = TrialTimes(no_trials(), (), np.zeros(0), False, {})
    else:
        trials = trial_times(table, events, time_unit)
    recording = recording_of(contents, name, trials, spikes, time_unit)
    if own is None:
        return recording
    id_name, area_name = own.find(tables.UNIT_ID), own.find(tables.AREA)
    columns = {column: values for column, values in own.columns.items() if column not in (id_name, area_name)}
    columns |= {"area": own.columns[area_name]} if area_name else {}
    unit_id = own.columns[id_name] if id_name else recording.unit_id
    return dataclasses.replace(recording, unit_id=unit_id, unit_columns=recording.unit_columns | columns)


def by_unit_and_trial(
    contents: Contents,
    name: str,
    events: Sequence[str],
    time_unit: float | None,
    relative_to: str | None,
    extent: tuple[float, float] | None,
    axes: str | None,
) -> Recording:
    """Spikes in a cell {unit, trial} or {trial, unit}, around an event or from the start of each trial."""
    cell, table = contents.variables[name], contents.trial_table
    cell = cell.T if _unit_axis(contents, name, axes) == 0 else cell
    check_not_raster(list(cell.ravel()), name)
    scale = scale_of(name, time_unit)
    around = [[np.sort(times.ravel()) * scale for times in row] for row in cell]
    if table is None:
        table = Table(name, len(cell), {"trial_id": np.arange(1, len(cell) + 1)}, {}, {}, {})
    if table.n != len(cell):
        raise DataError(
            f"{name!r} must have one entry for each of the {table.n} trials of {table.name!r}, got {len(cell)}. "
            "Give `axes` if its axes are others, or `variable` to read another form."
        )
    trials = trial_times(dataclasses.replace(table, arrays={}), events, time_unit)
    earliest, latest = _range(around)
    named = [event for event in trials.events if event != ZERO]
    if relative_to is None and earliest < 0 and len(named) > 1:
        raise DataError(
            f"The event that times in {name!r} count from must be named, because they go from {earliest:g} to "
            f"{latest:g} s. Give it with `relative_to`, one of {some(named)}."
        )
    relative_to = relative_to or "start"
    validation.one_of(relative_to, trials.events, "`relative_to`")
    if extent is None:
        extent = (_step_before(earliest), -_step_before(-latest))
    zero = trials.columns[relative_to]
    known = np.isfinite(zero)
    # Without the event nothing is known of a trial: it gets no length, so that no window fits.
    edges = [np.where(known, zero + edge, trials.columns["start"]) for edge in extent]
    trials = dataclasses.replace(
        trials,
        columns=trials.columns | {"start": edges[0], "stop": edges[1]},
        events=tuple(dict.fromkeys((*trials.events, "stop"))),
    )
    spikes = [[times + at for times in row if known[k]] for k, (row, at) in enumerate(zip(around, zero, strict=True))]
    spikes = [row or [np.zeros(0)] * cell.shape[1] for row in spikes]
    sentence = (
        f"Spikes of {name!r} are taken to be known from {extent[0]:g} to {extent[1]:g} s of {relative_to!r}; windows "
        "that leave this are dropped."
    )
    remedy = "Give `extent` if spikes were kept for longer."
    found = [Finding("note", "extent of trials", None, None, contents.path.name, sentence, remedy)]
    return recording_of(contents, name, trials, spikes, time_unit, found)


def known_units(contents: Contents) -> int | None:
    """Returns the number of units by the list of their ids or areas, or None without one."""
    lists = {name: column for name, value in contents.facts.items() if (column := tables.entries(value)) is not None}
    name = tables.find(lists, (*tables.UNIT_ID, *tables.AREA))
    return None if name is None else len(lists[name])


def _unit_axis(contents: Contents, name: str, axes: str | None) -> int:
    """Returns which axis of a cell counts units, told by the sizes of the tables of trials and units."""
    if axes is not None:
        validation.one_of(axes, ("unit trial", "trial unit"), "`axes`")
        return axes.split().index("unit")
    shape, table, n_units = contents.variables[name].shape, contents.trial_table, known_units(contents)
    n_trials = None if table is None else table.n
    fits = {axis for axis in (0, 1) if shape[axis] == n_units or shape[1 - axis] == n_trials}
    if len(fits) != 1:
        raise DataError(
            f"The axes of {name!r}, {shape[0]} x {shape[1]}, must be told apart, but the numbers of trials and units "
            "in the file do not tell which is which. Give axes='unit trial' or axes='trial unit'."
        )
    return fits.pop()


def _range(around: ByTrial) -> tuple[float, float]:
    """Returns the first and the last of sorted times, 0 without any."""
    found = [times for row in around for times in row if times.size]
    return (min(float(t[0]) for t in found), max(float(t[-1]) for t in found)) if found else (0.0, 0.0)


def _step_before(time: float) -> float:
    """Returns the last multiple of `EXTENT_STEP` that is not after a time."""
    return float(np.floor(time / EXTENT_STEP + FORGIVEN)) * EXTENT_STEP


def _from_first_spike(trials: TrialTimes, spikes: ByTrial) -> TrialTimes:
    """Moves the start of trials with their own clocks to the first spike if it is before 0: time 0 is then inside."""
    earliest, start = _range(spikes)[0], trials.columns["start"]
    if not trials.own_clocks or earliest >= start.min():
        return trials
    return dataclasses.replace(trials, columns=trials.columns | {"start": np.full(len(start), _step_before(earliest))})


def _with_ends(trials: TrialTimes, spikes: ByTrial, name: str) -> tuple[TrialTimes, list[Finding]]:
    """Ends each trial with its last spike or event, where its end is not stored: beyond it nothing is known."""
    if "stop" in trials.columns:
        return trials, []
    last = [max((float(times.max()) for times in row if times.size), default=-np.inf) for row in spikes]
    ends = [np.array(last), *(np.nan_to_num(trials.columns[event], nan=-np.inf) for event in trials.events)]
    columns = trials.columns | {"stop": np.max(ends, axis=0)}
    sentence = f"The trials of {name!r} have no column of their end; each is taken to end with its last spike or event."
    remedy = "Add a field such as 'stopTime' if trials lasted longer."
    finding = Finding("warning", "trial ends unknown", len(last), 0, name, sentence, remedy)
    return dataclasses.replace(trials, columns=columns, events=(*trials.events, "stop")), [finding]


def recording_of(
    contents: Contents,
    name: str,
    trials: TrialTimes,
    spikes: ByTrial | tuple[np.ndarray, "..."],
    time_unit: float | None,
    findings: Sequence[Finding] = (),
) -> Recording:
    """Returns the recording of spikes by trial and unit (lists), or of the whole session by unit (a tuple)."""
    spike_trial = None
    if isinstance(spikes, list):
        first = [row for row in spikes if any(map(len, row))][:1]
        check_unit([np.sort(times) for row in first for times in row], name)
        spikes, spike_trial = by_unit(spikes)
    facts = contents.facts
    unit_id, columns = tables.unit_columns(facts, len(spikes))
    found = tables.observed_intervals(facts)
    observed = None if found is None else found[1] * scale_of(found[0], time_unit)
    return Recording(
        name=contents.path.stem,
        unit_id=unit_id,
        spikes=spikes,
        trials=trials.columns,
        events=trials.events,
        unit_columns=columns,
        observed=None if trials.own_clocks else observed,
        signals=trials.signals,
        spike_trial=spike_trial,
        trial_clocks=trials.own_clocks and spike_trial is not None,
        no_trials="" if contents.trial_table is not None else missing_table(contents, name),
        source={"format": "MATLAB", "files": [describe(contents.path)], "variable": name},
        findings=(*findings, *notes(contents, name)),
    )

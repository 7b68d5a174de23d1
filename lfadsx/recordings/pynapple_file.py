"""Recordings from pynapple: objects in memory, or the npz files that `save` writes, without pickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CommonCutOptions, cut
from lfadsx.recordings.event_tables import joined_by_id
from lfadsx.recordings.joined_tables import trials_from, units_from
from lfadsx.recordings.pynapple_arrays import Saved, load_folder
from lfadsx.recordings.recording import Recording, Signal, no_trials
from lfadsx.recordings.tidying import tidy_intervals, tidy_times, tidy_trials

TRIALS = ("trials", "trial")
OBSERVED = ("recorded", "observed", "recording", "time_support")
"""Names of interval sets in a folder: the trials, and the intervals in which the recording ran."""


def from_pynapple(
    spikes: Any,
    trials: Any = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float = 0.01,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | str | Path | None = None,
    signals: Mapping[str, Any] | None = None,
    events: Collection[str] | None = None,
    session: str | None = None,
    **options: Unpack[CommonCutOptions],
) -> Dataset:
    """Cuts spikes and trials of pynapple into a data set.

    Example:
        >>> import numpy as np
        >>> import pynapple as nap
        >>> import lfadsx
        >>> spikes = {unit: nap.Ts(np.arange(0.1, 99, 0.03 * unit)) for unit in (3, 7)}
        >>> units = nap.TsGroup(spikes, time_support=nap.IntervalSet(0, 100))
        >>> go = np.arange(2.0, 98.0, 2.0)
        >>> trials = nap.IntervalSet(go - 0.9, go + 0.9, metadata={"go_cue": go})
        >>> data = lfadsx.from_pynapple(units, trials, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape
        (34, 70, 2)

    Args:
        spikes: A `TsGroup`; or a folder of npz files, or the npz file of a `TsGroup` in such a folder.
        trials: An `IntervalSet` with metadata, or a table with one column for each event (dict or DataFrame), which
            may hold trials that overlap. With files: such a table, the name of the interval set of the trials, or a CSV
            file whose columns are joined by "trial_id", or by row without ids. A recording that is cut into pieces
            needs none.
        align: The event at time 0, a column of trials; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials, from the event to the stop.
        bin_width: Width of a bin in seconds.
        observed: Intervals in which the recording ran: an `IntervalSet`, times in seconds, shape (interval, 2), or a
            CSV file (start, stop); by default the time support of the spikes.
        unit_columns: What is known of the units beside their metadata, such as "area", shape (unit,) each, in the order
            of the keys of the group. With npz files also a CSV file, joined by the column "unit".
        signals: Signals by name, `Tsd` or `TsdFrame`, for `behaviour`.
        events: Columns of trials that hold times; by default they are found by their values.
        session: Name of the session; by default the name of the folder, or "session".
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set.

    Raises:
        DataError: If objects are not of these types, files cannot be read, or trials are missing.
    """
    recording = read_pynapple(
        spikes,
        trials,
        observed=observed,
        unit_columns=unit_columns,
        signals=signals,
        events=events,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_pynapple(
    spikes: Any,
    trials: Any = None,
    *,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | str | Path | None = None,
    signals: Mapping[str, Any] | None = None,
    events: Collection[str] | None = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns spikes and trials of pynapple as a recording; arguments as in `from_pynapple`.

    Metadata in npz files are pickled Python objects. They are not read, because a pickle can run any code: areas,
    conditions and trial ids are missing then. The trials of a folder come from its `Tsd` of whole numbers: time of the
    event and id of the trial; without any, from the interval set "trials". Pass loaded objects if you trust the files,
    or a table of trials and `unit_columns`.
    """
    unit_file = Path(unit_columns) if isinstance(unit_columns, str | Path) else None
    trial_file = Path(trials) if isinstance(trials, Path) or str(trials).endswith((".csv", ".tsv")) else None
    if (unit_file or trial_file) and not isinstance(spikes, str | Path):
        raise DataError("Tables in files must go with a folder of npz files, got objects of pynapple. Read them first.")
    table = {} if unit_file else {str(name): np.asarray(values) for name, values in (unit_columns or {}).items()}  # pyright: ignore
    given = table
    own_signals = {name: _signal(name, series) for name, series in (signals or {}).items()}
    intervals = None if observed is None else _intervals(observed)
    if isinstance(spikes, str | Path):
        recording = _from_folder(load_folder(Path(spikes)), None if trial_file else trials, events, align)
        given = units_from(unit_file, recording.unit_id) if unit_file else given
        joined = trials_from(trial_file, recording.trials) if trial_file else recording.trials
        tables = [describe(file) for file in (unit_file, trial_file) if file]
        return dataclasses.replace(
            recording,
            name=session or recording.name,
            unit_columns=given,
            trials=joined,
            source=recording.source | {"tables": tables} if tables else recording.source,
            signals=recording.signals | own_signals,
            observed=recording.observed if intervals is None else intervals,
        )
    if not all(hasattr(spikes, part) for part in ("keys", "__getitem__", "time_support")):
        raise DataError(
            f"`spikes` must be a TsGroup of pynapple, or a folder of npz files, got {type(spikes).__name__}. "
            "Use `from_spike_times` for lists of spike times."
        )
    unit_id = np.array(list(spikes.keys()))
    given_trials = no_trials() if trials is None else _columns(trials)
    columns, names = tidy_trials(given_trials, None, events, also=align)
    return Recording(
        name=session or "session",
        no_trials="`trials` must be an interval set or a table, got None. Give the trials.",
        unit_id=unit_id,
        spikes=tuple(tidy_times(spikes[unit].t, None, f"Unit {unit}")[0] for unit in unit_id.tolist()),
        trials=columns,
        events=names,
        unit_columns={name: values for name, values in _metadata(spikes).items() if name != "rate"} | given,
        observed=_intervals(spikes.time_support) if intervals is None else intervals,
        signals=own_signals,
        source={"format": "pynapple"},
    )


def _columns(trials: Any) -> dict[str, Any]:
    """Returns the columns of an interval set with metadata, or of a table."""
    if hasattr(trials, "items") and not hasattr(trials, "metadata_columns"):
        return dict(trials.items())
    if not (hasattr(trials, "start") and hasattr(trials, "end")):
        raise DataError(
            f"`trials` must be an IntervalSet of pynapple, or a table with one column for each event, got "
            f"{type(trials).__name__}. Give the trials as the second argument."
        )
    return {"start": np.asarray(trials.start), "stop": np.asarray(trials.end)} | _metadata(trials)


def _metadata(of: Any) -> dict[str, np.ndarray]:
    """Returns the metadata columns of an object with one number or text for each entry."""
    found = {str(name): np.asarray(of.get_info(name)) for name in getattr(of, "metadata_columns", ())}
    for name, values in found.items():
        if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.tolist()):
            found[name] = values.astype(str)
    return {name: values for name, values in found.items() if values.ndim == 1}


def _intervals(intervals: Any) -> np.ndarray | None:
    if not (hasattr(intervals, "start") and hasattr(intervals, "end")):
        return tidy_intervals(intervals, None)
    return np.stack([np.asarray(intervals.start), np.asarray(intervals.end)], axis=1).astype(np.float64)


def _signal(name: str, series: Any) -> Signal:
    if not (hasattr(series, "t") and hasattr(series, "d")):
        raise DataError(
            f"The signal {name!r} must be a Tsd or TsdFrame of pynapple, got {type(series).__name__}. "
            "Give an object with times `t` and values `d`."
        )
    values = np.asarray(series.d, np.float64)
    columns = tuple(map(str, getattr(series, "columns", ())))
    return Signal(np.asarray(series.t, np.float64), values.reshape(len(values), -1), columns=columns)


def _from_folder(saved: Saved, trials: Any, events: Collection[str] | None, align: str | None) -> Recording:
    """Returns the recording of npz files, of which only numbers are read."""
    unused = []
    if isinstance(trials, str):
        validation.one_of(trials, saved.intervals, "`trials`, the name of an interval set,")
        columns, times = _of_intervals(saved.intervals[trials])
    elif trials is not None:
        columns, times = tidy_trials(_columns(trials), None, events, also=align)
    elif saved.events:
        columns, times = joined_by_id(saved.events), tuple(saved.events)
        unused = [name for name in saved.intervals if name in TRIALS]
    else:
        name = next((name for name in TRIALS if name in saved.intervals), None)
        columns, times = (no_trials(), ()) if name is None else _of_intervals(saved.intervals[name])
    known = next((name for name in OBSERVED if name in saved.intervals), None)
    return Recording(
        name=saved.path.name,
        unit_id=saved.unit_id,
        spikes=saved.spikes,
        trials=columns,
        events=times,
        no_trials=_missing_trials(saved),
        observed=saved.support if known is None else saved.intervals[known],
        signals=saved.signals,
        source=saved.source | {"format": "pynapple npz"},
        findings=tuple(_notes(saved, unused)),
    )


def _of_intervals(intervals: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns columns and events of trials that are known as intervals only, numbered from 0."""
    start, stop = intervals.T
    return {"trial_id": np.arange(len(start)), "start": start, "stop": stop}, ("start", "stop")


def _missing_trials(saved: Saved) -> str:
    """Returns what a folder without trials should hold, in words."""
    return (
        f"The folder {saved.path.name!r} must hold the trials: a Tsd with the time of an event and the id of the "
        f"trial, or an interval set 'trials'. Found {some([*saved.signals, *saved.intervals]) or 'only spikes'}. Save "
        "one, or pass a table as `trials`."
    )


def _notes(saved: Saved, unused: Sequence[str]) -> list[Finding]:
    """Returns what was not read, and how to get it."""
    notes = []
    if saved.unreadable:
        sentence = (
            f"Pickled parts of {some(saved.unreadable)} are not read, because a pickle can run any code: "
            "areas, conditions and names of columns are missing."
        )
        remedy = (
            "Give --units units.csv --trials trials.csv, or, if you trust the files, load them with pynapple and pass "
            "the objects to `lfadsx.from_pynapple`."
        )
        notes.append(
            Finding("warning", "pickled metadata", len(saved.unreadable), 0, saved.path.name, sentence, remedy)
        )
    for name in unused:
        sentence = f"The interval set {name!r} is not used: its trials have no ids to find their events by."
        remedy = f"Give trials={name!r} to cut these intervals; they are numbered from 0 then."
        notes.append(Finding("note", "unused intervals", 1, 0, saved.path.name, sentence, remedy))
    return notes

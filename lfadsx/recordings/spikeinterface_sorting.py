"""Recordings from SpikeInterface: sortings and analyzers in memory, or the folders that they save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.recordings.cutting import CommonCutOptions, cut
from lfadsx.recordings.event_tables import TIME_COLUMNS, read_events
from lfadsx.recordings.nwb_units import AREA_COLUMNS
from lfadsx.recordings.recording import MISSING, Recording
from lfadsx.recordings.spikeinterface_folder import open_sorting
from lfadsx.recordings.tidying import tidy_intervals, tidy_times, tidy_trials

EventTimes = Literal["samples", "seconds"]
"""Unit of the times in the table of trials."""

SEGMENTS = ("segment", "segment_index")
"""Columns of trials that may say in which segment a trial is."""

TABLES = ("events.csv", "trials.csv")


def from_spikeinterface(
    sorting: Any,
    trials: Mapping[str, Any] | str | Path | None = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    event_times: EventTimes | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    session: str | None = None,
    **options: Unpack[CommonCutOptions],
) -> Dataset:
    """Cuts a sorting of SpikeInterface and a table of trials into a data set.

    Choose units beforehand with `sorting.select_units(...)`; all units that are passed are kept.

    Example:
        >>> import numpy as np
        >>> import lfadsx
        >>> class Sorting:  # stands for a sorting of SpikeInterface
        ...     unit_ids, sampling_frequency = np.array([3, 7]), 30000.0
        ...     def get_num_segments(self):
        ...         return 1
        ...     def get_unit_spike_train(self, unit_id, segment_index=0, return_times=False):
        ...         return np.arange(0.1, 99, 0.03 * unit_id)
        >>> trials = {"go_cue": np.arange(2.0, 98.0, 2.0)}
        >>> data = lfadsx.from_spikeinterface(Sorting(), trials, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.sessions[0].names("spikes")
        ((34, 70, 2), ('3', '7'))

    Args:
        sorting: A sorting, a `SortingAnalyzer`, or a folder that either saved (with numbers in NumPy files, as they do
            by default).
        trials: Table of trials or events: columns by name or a CSV file, as for `lfadsx.from_phy`; by default
            `events.csv` or `trials.csv` in the folder. With several segments it needs the column "segment", because
            each segment has its own time 0. A recording that is cut into pieces needs none.
        align: The event at time 0, a column of trials; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        bin_width: Width of a bin in seconds; by default 0.01.
        event_times: "samples" or "seconds", the unit of times in the table and in `observed`; by default samples for a
            table of events with a column "sample", else seconds.
        observed: Intervals in which the recording ran, shape (interval, 2), for a sorting of one segment; by default
            from 0 to the end of the recording, if the sorting knows it.
        unit_columns: What is known of the units beside their properties, such as "area", shape (unit,) each.
        session: Name of the session; by default the name of the folder, or "session".
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `interval`, `areas`, `min_rate`,
            `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set.

    Raises:
        DataError: If the sorting is of another kind, trials are missing, or too few are left.
    """
    recording = read_spikeinterface(
        sorting,
        trials,
        event_times=event_times,
        observed=observed,
        unit_columns=unit_columns,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_spikeinterface(
    sorting: Any,
    trials: Mapping[str, Any] | str | Path | None = None,
    *,
    event_times: EventTimes | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a sorting and a table of trials as a recording; arguments as in `from_spikeinterface`."""
    folder = Path(sorting).resolve() if isinstance(sorting, str | Path) else None
    given = sorting if folder is None else open_sorting(folder)
    sorting = getattr(given, "sorting", given)
    if not (hasattr(sorting, "unit_ids") and hasattr(sorting, "get_unit_spike_train")):
        raise DataError(
            f"`sorting` must be a sorting or an analyzer of SpikeInterface, or a folder that one saved, got "
            f"{type(sorting).__name__}. Use `from_spike_times` for lists of spike times."
        )
    name = session or (folder.name if folder else "session")
    beside = read_events(trials, [folder] if folder else [], TABLES, f"the sorting {name!r}")
    if event_times is None:
        in_samples = beside.names and _time_column(beside.files[0]) in ("sample", "samples")
        event_times = "samples" if in_samples else "seconds"
    validation.one_of(event_times, get_args(EventTimes), "`event_times`")
    rate, n_segments = float(sorting.sampling_frequency), int(sorting.get_num_segments())
    clock = rate if event_times == "samples" else None
    segment = _segment_of(beside.table, n_segments, name) if not beside.missing else np.zeros(0)
    table = {column: values for column, values in beside.table.items() if column not in SEGMENTS}
    columns, events = tidy_trials(table, clock, beside.names, also=align)
    parts = [_segment(given, number, clock) for number in range(n_segments)]
    if n_segments > 1:
        if observed is not None:
            raise DataError(f"`observed` needs a sorting of one segment, got {n_segments} segments. Leave it out.")
        spikes, columns, intervals = _joined(parts, columns, events, segment, clock)
    else:
        spikes, span = parts[0]
        intervals = tidy_intervals(None if span is None else [span], clock) if observed is None else observed
    source = {"format": "SpikeInterface", "clock_hz": rate, "segments": n_segments}
    if folder is not None:
        source["files"] = [describe(path) | {"file": str(path.relative_to(folder))} for path in sorting.files]
        source["tables"] = [describe(path) for path in beside.files]
    return Recording(
        name=name,
        unit_id=np.asarray(sorting.unit_ids),
        spikes=tuple(spikes),
        trials=columns,
        events=events,
        clock_hz=clock,
        no_trials=beside.missing,
        unit_columns=_properties(sorting) | {key: np.asarray(values) for key, values in (unit_columns or {}).items()},
        observed=tidy_intervals(intervals, clock),
        source=source,
    )


def _segment(given: Any, segment: int, clock_hz: float | None) -> tuple[list[np.ndarray], tuple[Any, Any] | None]:
    """Returns the sorted spikes of each unit in a segment, and its first and last time; None if they are unknown.

    Times are seconds, or samples with `clock_hz`. Only a sorting that knows its recording, or an analyzer, knows them.
    """
    sorting = getattr(given, "sorting", given)
    how = {"segment_index": segment, "return_times": clock_hz is None}
    trains = [sorting.get_unit_spike_train(unit_id=unit, **how) for unit in sorting.unit_ids]
    spikes = [tidy_times(own, clock_hz, f"Unit {unit}")[0] for unit, own in zip(sorting.unit_ids, trains, strict=True)]
    recorded = getattr(sorting, "has_recording", lambda: False)()
    if not recorded and given is sorting:
        return spikes, None
    n_samples = int((sorting if recorded else given).get_num_samples(segment))
    if clock_hz is not None:
        return spikes, (0, n_samples)
    first, last = (float(sorting.sample_index_to_time(n, segment_index=segment)) for n in (0, n_samples - 1))
    return spikes, (first, last + 1 / float(sorting.sampling_frequency))


def _joined(
    parts: list[tuple[list[np.ndarray], tuple[Any, Any] | None]],
    columns: dict[str, np.ndarray],
    events: tuple[str, ...],
    segment: np.ndarray,
    clock_hz: float | None,
) -> tuple[list[np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Returns spikes, trials and recorded intervals of segments one behind the other, a second apart.

    A segment whose times are unknown reaches from its first to its last spike or event.
    """
    missing, gap = (np.nan, 1.0) if clock_hz is None else (MISSING, int(clock_hz))
    moved = {event: columns[event].copy() for event in events}
    shifted, intervals, begin = [[] for _ in parts[0][0]], [], None
    for number, (spikes, span) in enumerate(parts):
        own = [columns[event][segment == number] for event in events]
        known = np.concatenate([times[np.isfinite(times) & (times != missing)] for times in [*own, *spikes]])
        first, last = (known.min(initial=0), known.max(initial=0)) if span is None else span
        low, high = min(known.min(initial=first), first), max(known.max(initial=last), last)
        shift = 0 if begin is None else begin - low
        for event in events:
            here = (segment == number) & np.isfinite(columns[event]) & (columns[event] != missing)
            moved[event][here] = columns[event][here] + shift
        for unit, times in enumerate(spikes):
            shifted[unit].append(times + shift)
        intervals.append((first + shift, last + shift))
        begin = high + shift + gap
    observed = np.array([one for one in intervals if one[1] > one[0]])
    return [np.concatenate(times) for times in shifted], columns | moved, observed


def _segment_of(table: Mapping[str, Any], n_segments: int, name: str) -> np.ndarray:
    """Returns the segment of each trial, shape (trial,)."""
    found = next((column for column in SEGMENTS if column in table), None)
    if found is None and n_segments == 1:
        return np.zeros(1, np.int64)
    segment = np.zeros(0) if found is None else np.asarray(table[found])
    if not len(segment) or not np.isin(segment, np.arange(n_segments)).all():
        raise DataError(
            f"The table of trials must have a column 'segment' with numbers from 0 to {n_segments - 1}, because "
            f"{name!r} has {n_segments} segments, each with its own time 0. Add it, or pass one segment with "
            "`sorting.select_segments([0])`."
        )
    return segment.astype(np.int64)


def _properties(sorting: Any) -> dict[str, np.ndarray]:
    """Returns the properties of units with one number or text each, with "area" if one is a place."""
    keys = sorting.get_property_keys() if hasattr(sorting, "get_property_keys") else ()
    found = {str(key): np.asarray(sorting.get_property(key)) for key in keys}
    found = {key: values for key, values in found.items() if values.ndim == 1 and values.dtype.kind in "iufbU"}
    place = next((key for key in ("area", *AREA_COLUMNS) if key in found), None)
    return found if place is None else found | {"area": found[place].astype(str)}


def _time_column(path: Path) -> str | None:
    from lfadsx.recordings.tables import read_header

    header, _ = read_header(path)
    return next((column for column in TIME_COLUMNS if column in header), None)

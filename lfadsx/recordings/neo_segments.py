"""Segments of Neo as recordings: one segment with all trials, or a segment for each trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.neo_parts import (
    annotations_as_columns,
    columns_of_units,
    extent,
    seconds,
    signals_of,
    unit_ids,
)
from lfadsx.recordings.neo_trials import Trials, marks_of, split_by_label, trials_of
from lfadsx.recordings.recording import Recording, Signal, by_unit
from lfadsx.recordings.tidying import tidy_times, tidy_trials


def one_segment(
    segment: Any,
    name: str,
    unit_id: str | None,
    signals: Collection[str] | None,
    trials: Mapping[str, Any] | str | None,
    events: Collection[str] | None,
    align: str | None,
) -> Recording:
    """Returns a segment with all trials of a session as a recording; arguments as in `read_neo`."""
    trains = _trains(segment, name)
    ids = unit_ids(trains, unit_id, repr(name))
    span = extent(trains)
    if trials is None or isinstance(trials, str):
        table = trials_of(segment, trials, align, name)
    else:
        table = Trials(*tidy_trials(trials, None, events, also=align), [])
    return Recording(
        name=name,
        unit_id=np.array(ids),
        spikes=tuple(_spikes(train, unit) for train, unit in zip(trains, ids, strict=True)),
        trials=table.columns,
        events=table.events,
        no_trials=table.missing,
        unit_columns=columns_of_units(trains),
        observed=span[None] if np.isfinite(span).all() and span[1] > span[0] else None,
        signals=signals_of(segment, signals),
        findings=tuple(table.findings),
    )


def by_segment(segments: Sequence[Any], name: str, unit_id: str | None, signals: Collection[str] | None) -> Recording:
    """Returns segments that hold one trial each as a recording.

    If their times overlap, each segment has a separate clock. Otherwise all share the clock of the session.
    """
    trains = [_trains(segment, f"segment {row} of {name!r}", least=0) for row, segment in enumerate(segments)]
    own = [unit_ids(one, unit_id, f"segment {row} of {name!r}") for row, one in enumerate(trains)]
    ids = list(dict.fromkeys(unit for one in own for unit in one))
    place = [{unit: train for unit, train in zip(one, of, strict=True)} for one, of in zip(own, trains, strict=True)]
    times = [[_spikes(found[unit], unit) if unit in found else np.empty(0) for unit in ids] for found in place]
    spikes, spike_trial = by_unit(times)
    spans = np.array([extent(one) for one in trains])
    columns, names = _columns(segments, spans)
    first = [next(found[unit] for found in place if unit in found) for unit in ids]
    lacking = [str(unit) for unit in ids if any(unit not in found for found in place)]
    findings = []
    if lacking:
        sentence = f"Units without a spike train in every segment of {name!r} count as silent there: {some(lacking)}."
        findings.append(Finding("note", "missing spike trains", len(lacking), 0, name, sentence))
    order = np.argsort(spans[:, 0], kind="stable")
    return Recording(
        name=name,
        unit_id=np.array(ids),
        spikes=spikes,
        trials=columns,
        events=names,
        unit_columns=columns_of_units(first),
        signals=_signals(segments, signals),
        spike_trial=spike_trial,
        trial_clocks=not np.all(spans[order][1:, 0] >= spans[order][:-1, 1] - 1e-6),
        findings=tuple(findings),
    )


def _trains(segment: Any, name: str, least: int = 1) -> list[Any]:
    trains = list(segment.spiketrains)
    if len(trains) < least:
        raise DataError(f"{name!r} must have at least one spike train, got 0. Add the sorted spikes to the segment.")
    return trains


def _spikes(train: Any, unit: Any) -> np.ndarray:
    return tidy_times(seconds(train), None, f"Unit {unit}")[0]


def _columns(segments: Sequence[Any], spans: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns the table of trials with a row for each segment, and the names of the columns that hold times."""
    columns = annotations_as_columns([getattr(segment, "annotations", None) or {} for segment in segments])
    names = np.array([str(getattr(segment, "name", None) or "") for segment in segments])
    if np.any(names != ""):
        columns.setdefault("segment", names)
    ids = columns.get("trial_id", np.arange(len(segments)))
    columns["trial_id"] = ids if len(np.unique(ids)) == len(ids) else np.arange(len(segments))
    events = {"start": np.where(np.isnan(spans[:, 0]), 0.0, spans[:, 0]), "stop": spans[:, 1]}
    for row, segment in enumerate(segments):
        for event, marks in marks_of(segment).items():
            for part, found in split_by_label(event, marks).items():
                if len(found.times):
                    events.setdefault(part, np.full(len(segments), np.nan))[row] = found.times[0]
    return columns | events, tuple(events)


def _signals(segments: Sequence[Any], wanted: Collection[str] | None) -> dict[str, Signal]:
    """Returns the analog signals of all segments by name, with the row of the segment of each sample."""
    parts: dict[str, list[tuple[int, Signal]]] = {}
    for row, segment in enumerate(segments):
        for name, signal in signals_of(segment, wanted).items():
            parts.setdefault(name, []).append((row, signal))
    return {
        name: Signal(
            np.concatenate([one.times for _, one in own]),
            np.concatenate([one.values for _, one in own]),
            own[0][1].unit,
            own[0][1].columns,
            np.concatenate([np.full(len(one.times), row) for row, one in own]),
        )
        for name, own in parts.items()
    }

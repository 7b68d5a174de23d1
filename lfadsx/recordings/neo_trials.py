"""The trials of one segment of Neo: its epochs with the events inside them, or its events alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.findings import Finding
from lfadsx.recordings.event_tables import joined_by_id
from lfadsx.recordings.neo_parts import seconds
from lfadsx.recordings.recording import no_trials
from lfadsx.recordings.tables import typed

TRIALS = ("trials", "trial")
"""Names of epochs that are the trials."""

SLACK = 1e-6
"""Seconds by which an event may lie outside its epoch, because times of several units are rounded."""


class Marks(NamedTuple):
    """The times of one event in seconds, in order, and their labels, shape (time,) each."""

    times: np.ndarray
    labels: np.ndarray

    @property
    def are_ids(self) -> bool:
        """Whether the labels may be ids of trials: all are there, and each differs."""
        return len(self.labels) > 1 and "" not in self.labels and len(np.unique(self.labels)) == len(self.labels)


class Trials(NamedTuple):
    """Columns of the table of trials, the names of those that hold times, notes, and what an empty table lacks."""

    columns: dict[str, np.ndarray]
    events: tuple[str, ...]
    findings: list[Finding]
    missing: str = ""


def trials_of(segment: Any, wanted: str | None, align: str | None, name: str) -> Trials:
    """Returns the trials of a segment; none if it is not clear what they are.

    Args:
        segment: The segment.
        wanted: Name of the epochs or of the event that is the trials; None to find them.
        align: The event at time 0.
        name: Name of the session, for messages.

    Raises:
        DataError: If the name is unknown.
    """
    epochs = {_name(one, "epoch", row): one for row, one in enumerate(getattr(segment, "epochs", ()))}
    marks = marks_of(segment)
    if wanted is not None:
        validation.one_of(wanted, [*epochs, *marks], f"`trials`, the name of epochs or of an event of {name!r},")
    if wanted in epochs or (wanted is None and epochs):
        found = wanted or next((one for one in TRIALS if one in epochs), None)
        found = found or (next(iter(epochs)) if len(epochs) == 1 else None)
        if found is not None:
            return _of_epochs(epochs[found], marks, name)
    ids = {} if wanted else {one: own for one, own in marks.items() if own.are_ids}
    if ids:
        columns = joined_by_id({one: (typed(own.labels.tolist()), own.times) for one, own in ids.items()})
        return Trials(columns, tuple(ids), _unused(marks, ids, name))
    event = wanted or (align if align in marks else None) or (next(iter(marks)) if len(marks) == 1 else None)
    if event is None:
        missing = (
            f"{name!r} must hold its trials as epochs called 'trials', found the epochs {some(list(epochs)) or 'none'} "
            f"and the events {some(list(marks)) or 'none'}. Name one as `trials`, or give a table of trials."
        )
        return Trials(no_trials(), (), [], missing)
    columns = {"trial_id": np.arange(len(marks[event].times)), event: marks[event].times}
    if np.any(marks[event].labels != ""):
        columns["condition"] = marks[event].labels
    return Trials(columns, (event,), _unused(marks, [event], name))


def marks_of(segment: Any) -> dict[str, Marks]:
    """Returns the events of a segment by name; events of the same name are joined."""
    found: dict[str, list[Marks]] = {}
    for row, event in enumerate(getattr(segment, "events", ())):
        times = seconds(event.times if hasattr(event, "times") else event)
        found.setdefault(_name(event, "event", row), []).append(Marks(times, _labels(event, len(times))))
    joined = {name: Marks(*map(np.concatenate, zip(*own, strict=True))) for name, own in found.items()}
    order = {name: np.argsort(own.times, kind="stable") for name, own in joined.items()}
    return {name: Marks(own.times[order[name]], own.labels[order[name]]) for name, own in joined.items()}


def split_by_label(name: str, marks: Marks) -> dict[str, Marks]:
    """Returns an event for each label, such as "go" and "reward", if labels repeat; else the event as it is."""
    labels = np.unique(marks.labels)
    if len(labels) < 2 or marks.are_ids:
        return {name: marks}
    parts = {label or name: marks.labels == label for label in labels.tolist()}
    return {label: Marks(marks.times[own], marks.labels[own]) for label, own in parts.items()}


def _of_epochs(epochs: Any, marks: Mapping[str, Marks], name: str) -> Trials:
    """Returns a row for each epoch, with the first time of each event in it."""
    start = seconds(epochs.times if hasattr(epochs, "times") else epochs)
    stop = start + np.broadcast_to(seconds(epochs.durations), start.shape)
    labels = Marks(start, _labels(epochs, len(start)))
    columns, findings = {"start": start, "stop": stop}, []
    if labels.are_ids:
        columns["trial_id"] = typed(labels.labels.tolist())
    elif np.any(labels.labels != ""):
        columns["condition"] = labels.labels
    for column, values in (getattr(epochs, "array_annotations", None) or {}).items():
        values = np.asarray(values)
        if values.shape == start.shape and values.dtype.kind in "iufbU":
            columns.setdefault(str(column), values)
    times = {}
    for event, own in marks.items():
        row = _placed(own.times, start, stop)
        repeated = np.any(row == REPEATED)
        for part, of in (split_by_label(event, own) if repeated else {event: own}).items():
            part = part if part not in columns else f"{event} {part}"
            row = _placed(of.times, start, stop)
            inside = row >= 0
            times[part] = np.full(len(start), np.nan)
            times[part][row[inside]] = of.times[inside]
            if of.are_ids and "trial_id" not in columns and inside.sum() > 1:
                columns["trial_id"], notes = _ids(of.labels[inside], row[inside], len(start), part, name)
                findings += notes
            elif not of.are_ids and not repeated and np.any(of.labels != ""):
                columns[f"{part}_label"] = np.full(len(start), "", of.labels.dtype)
                columns[f"{part}_label"][row[inside]] = of.labels[inside]
            findings += _left_out(row, part, name)
    columns.setdefault("trial_id", np.arange(len(start)))
    return Trials(columns | times, ("start", "stop", *times), findings)


OUTSIDE, REPEATED = -1, -2
"""Rows of events that lie in no epoch, and of those that occur again in one."""


def _placed(times: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Returns the row of the epoch that each time belongs to, shape (time,).

    Epochs may touch or overlap: a time belongs to the first one around it that has no earlier time.
    """
    order = np.argsort(start, kind="stable")
    free, rows = np.ones(len(start), bool), np.full(len(times), OUTSIDE)
    for number, time in enumerate(times):
        around = order[(start[order] <= time + SLACK) & (time <= stop[order] + SLACK)]
        own = around[free[around]]
        if len(own):
            rows[number], free[own[0]] = own[0], False
        elif len(around):
            rows[number] = REPEATED
    return rows


def _ids(labels: np.ndarray, row: np.ndarray, n: int, event: str, name: str) -> tuple[np.ndarray, list[Finding]]:
    """Returns ids of all epochs: the labels of an event; epochs without it are numbered behind, or called so."""
    known = typed(labels.tolist())
    without = np.setdiff1d(np.arange(n), row)
    if known.dtype.kind == "i":
        ids = np.empty(n, np.int64)
        ids[without] = max(int(known.max()) + 1, 0) + np.arange(len(without))
    else:
        ids = np.array([f"epoch {number}" for number in range(n)], dtype=object)
        known = labels
    ids[row] = known
    ids = ids if ids.dtype.kind == "i" else ids.astype(str)
    if not len(without):
        return ids, []
    sentence = (
        f"The labels of {event!r} are the ids of the trials; {len(without)} epochs without this event get the ids "
        f"{some([str(one) for one in ids[without]])}."
    )
    return ids, [Finding("note", "trials without id", len(without), 0, name, sentence)]


def _left_out(row: np.ndarray, event: str, name: str) -> list[Finding]:
    outside, repeated = int((row == OUTSIDE).sum()), int((row == REPEATED).sum())
    if not outside + repeated:
        return []
    sentence = (
        f"{outside + repeated} of {len(row)} times of {event!r} are left out: {outside} lie in no trial, {repeated} "
        "occur again in one."
    )
    return [Finding("note", "events left out", outside + repeated, 0, name, sentence)]


def _unused(marks: Mapping[str, Marks], used: Sequence[str] | Mapping[str, Any], name: str) -> list[Finding]:
    others = [event for event in marks if event not in used]
    if not others:
        return []
    sentence = f"The events {some(others)} of {name!r} are not used, because nothing says which trials they belong to."
    return [Finding("note", "unused events", len(others), 0, name, sentence, "Add epochs called 'trials' around them.")]


def _labels(of: Any, n: int) -> np.ndarray:
    """Returns the labels of an event or of epochs as text, "" where there are none."""
    labels = np.asarray(getattr(of, "labels", ()), dtype=str).ravel()
    return labels if len(labels) == n else np.full(n, "")


def _name(of: Any, what: str, row: int) -> str:
    return str(getattr(of, "name", None) or f"{what} {row}")

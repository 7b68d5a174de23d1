"""What is cut out of a recording: its windows, their splits and labels, and what is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings import recording_findings
from lfadsx.recordings.drawing import SplitBy, draw_splits
from lfadsx.recordings.framing import delays, on_frames
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.windows import Windows, lay_windows

CONDITION = "condition"
"""The column of trials that is the condition unless another one is named."""


@dataclasses.dataclass(frozen=True)
class CutPlan:
    """The windows that become trials of a data set.

    Attributes:
        windows: The windows; `Windows.row` is the row of the trial, or the number of the piece of a whole recording.
        split: Split of each window, shape (window,).
        trial_id: Id of each window, shape (window,).
        start: Time of the first bins relative to the event in seconds.
        event: Name of the event at time 0.
        condition: Condition of each window, shape (window,), or None.
        reason: Why each trial of the table is dropped ("" if it is kept), shape (trial,).
        piece_of: For pieces: `Split.piece_of` of each window, shape (window,); None for whole windows.
        first_bin: For pieces: `Split.first_bin`, or None.
        facts: What `Dataset.source` says of the windows beside what is asked.
        findings: Notes about what is left out and how it is cut.
    """

    windows: Windows
    split: np.ndarray
    trial_id: np.ndarray
    start: float
    event: str
    condition: np.ndarray | None
    reason: np.ndarray
    piece_of: np.ndarray | None = None
    first_bin: np.ndarray | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def plan_trials(
    recording: Recording,
    align: str | None,
    window: tuple[float, float] | None,
    bin_width: float,
    condition: str | Sequence[str] | None,
    split: Sequence[float] | str,
    split_by: SplitBy,
    seed: int,
) -> CutPlan:
    """Returns windows at an event, or whole trials; arguments as in `cut`, the recording as `exact` returns it."""
    align = align or "start"
    _check_has_trials(recording)
    windows, reason = lay_windows(recording, align, window, bin_width)
    if recording.traces is not None:
        windows, reason = on_frames(recording.traces, windows, reason)
    notes = recording_findings.examine(recording, align)
    _check_left(recording, reason)
    labels = _condition(recording, condition)
    names, why = draw_splits(split, split_by, windows, recording, None if labels is None else labels[windows.row], seed)
    reason[windows.row] = why
    windows, names = windows.chosen(why == ""), names[why == ""]
    notes += recording_findings.dropped_trials(recording, reason)
    notes += recording_findings.reaching_beyond(recording, windows)
    first, facts = 0.0 if window is None else window[0], {}
    if recording.traces is not None:
        facts, late = delays(recording, windows, align, first)
        notes += late
    return CutPlan(
        windows=windows,
        split=names,
        trial_id=recording.trials["trial_id"][windows.row],
        start=first,
        event=align,
        condition=None if labels is None else labels[windows.row],
        reason=reason,
        facts=facts,
        findings=tuple(notes),
    )


def _check_has_trials(recording: Recording) -> None:
    """Raises `DataError` for a recording without a table of trials."""
    if not recording.n_trials:
        raise DataError(
            f"{recording.no_trials or f'{recording.name!r} has no trials.'} Give `chop`, the length of a piece in "
            "seconds (--chop 1), to cut the whole recording into pieces without trials."
        )


def _check_left(recording: Recording, reason: np.ndarray) -> None:
    """Raises `DataError` if fewer than two trials are left; says why the others are dropped."""
    left = int((reason == "").sum())
    if left < 2:
        said = "".join(f" {finding.sentence}" for finding in recording_findings.dropped_trials(recording, reason))
        raise DataError(
            f"At least two trials of {recording.name!r} must be left to cut, got {left} of {len(reason)}.{said} "
            "Check the event, the window and the unit of times."
        )


def _condition(recording: Recording, condition: str | Sequence[str] | None) -> np.ndarray | None:
    """Returns the condition of every trial, shape (trial,); several columns are joined as text."""
    if condition is None:
        return None
    columns = [condition] if isinstance(condition, str) else list(condition)
    if not columns:
        return recording.trials.get(CONDITION)
    for name in columns:
        validation.one_of(name, recording.trials, "A column of `condition`")
    if len(columns) == 1:
        return recording.trials[columns[0]]
    parts = zip(*(recording.trials[name].tolist() for name in columns), strict=True)
    return np.array(["" if any(_is_missing(part) for part in row) else ", ".join(map(_label, row)) for row in parts])


def _label(value: Any) -> str:
    """Returns a value as text; whole numbers are alike as integers and as floats, as which they may be stored."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    return value in ("", None) or value != value

"""Data sets from traces of imaging in memory, such as dF/F or deconvolved events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Unpack

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CommonCutOptions, cut
from lfadsx.recordings.recording import Recording, Signal, no_trials
from lfadsx.recordings.tidying import tidy_intervals, tidy_signals, tidy_trials
from lfadsx.recordings.traces import Traces, tidy_traces


def from_traces(
    traces: Any,
    trials: Mapping[str, Any] | None = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    frame_rate: float | None = None,
    frame_times: Any = None,
    unit: str = "",
    unit_id: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    observed: Any = None,
    signals: Mapping[str, Signal | tuple[Any, Any]] | None = None,
    events: Collection[str] | None = None,
    session: str = "session",
    **options: Unpack[CommonCutOptions],
) -> Dataset:
    """Returns a data set of traces of imaging in memory, cut into windows at an event or into whole trials.

    Each trial begins with the first frame at or after the start of its window and has as many frames as the window
    holds. The bins are frames. Frames of NaN are not observed.

    Example:
        >>> import numpy as np
        >>> import lfadsx
        >>> dff = np.random.default_rng(0).normal(size=(3000, 12))
        >>> trials = {"go_cue": np.arange(2.0, 98.0, 2.0), "condition": ["left", "right"] * 24}
        >>> data = lfadsx.from_traces(dff, trials, frame_rate=30.0, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.groups["spikes"].kind
        ((34, 21, 12), 'real')

    Args:
        traces: Values of each frame and unit, shape (frame, unit), in `unit`; NaN where nothing was measured.
        trials: Columns of the table of trials, as for `lfadsx.from_spike_times`; times in seconds.
            None for a recording that is cut into pieces (`chop`).
        align: The event at time 0, a column of `trials`; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        frame_rate: Frames per second, for traces without `frame_times`.
        frame_times: Time of each frame in seconds on the clock of the events, shape (frame,); by default the first
            frame is at 0 s.
        unit: Unit of the traces, such as "dF/F".
        unit_id: Ids of the units, shape (unit,); by default their numbers.
        unit_columns: What is known of the units, such as "area", shape (unit,) each.
        observed: Intervals in which the recording ran, shape (interval, 2); by default those without missing frames.
        signals: Signals by name, such as hand velocity: times in seconds, shape (sample,), and values of any unit,
            shape (sample, column).
        events: Columns of `trials` that hold times; by default they are found by their values.
        session: Name of the session.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set. `Dataset.source` has the reason of every trial that is dropped, and how long after the start of
        its window the first frame of each trial is, "frame_delay_s".

    Raises:
        DataError: If shapes do not fit, a name is unknown, or too few trials are left.
    """
    recording = read_traces(
        traces,
        trials,
        frame_rate=frame_rate,
        frame_times=frame_times,
        unit=unit,
        unit_id=unit_id,
        unit_columns=unit_columns,
        observed=observed,
        signals=signals,
        events=events,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, **options)


def read_traces(
    traces: Any,
    trials: Mapping[str, Any] | None = None,
    *,
    frame_rate: float | None = None,
    frame_times: Any = None,
    unit: str = "",
    unit_id: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    observed: Any = None,
    signals: Mapping[str, Signal | tuple[Any, Any]] | None = None,
    events: Collection[str] | None = None,
    align: str | None = None,
    session: str = "session",
    label: str = "`traces`",
) -> Recording:
    """Returns traces in memory as a recording; arguments as in `from_traces`, and `label`, their name in messages."""
    tidy = tidy_traces(traces, frame_times, frame_rate, label, unit)
    table, names = tidy_trials(no_trials() if trials is None else trials, None, events, also=align)
    n_units, findings = tidy.values.shape[1], _about_frames(tidy, frame_times, frame_rate, session)
    if np.shape(traces) != tidy.values.shape:
        sentence = f"{label} have the axes (unit, frame), {np.shape(traces)}, and are turned round."
        findings.append(Finding("note", "axes of traces", None, None, session, sentence))
    return Recording(
        name=session,
        unit_id=np.arange(n_units) if unit_id is None else np.asarray(unit_id).ravel(),
        spikes=(np.empty(0),) * n_units,
        traces=tidy,
        trials=table,
        events=names,
        no_trials="`trials` must hold the times of an event, got None. Give a table of trials.",
        unit_columns={name: np.asarray(values) for name, values in (unit_columns or {}).items()},
        observed=tidy_intervals(observed, None),
        signals=tidy_signals(signals),
        source={"format": "traces"},
        findings=tuple(findings),
    )


def _about_frames(traces: Traces, times: Any, rate: float | None, session: str) -> list[Finding]:
    """Returns a note if the times of the frames are not known, or if they say another rate than the one given."""
    if times is None:
        sentence = (
            f"The times of the frames of {session!r} are not known: frames are counted from 0 s, {traces.rate:g} per "
            f"second. A rate that is off by 0.1 % puts frames {0.001 * traces.times[-1]:.2g} s off at the end."
        )
        remedy = "Give the time of each frame, if the microscope kept it."
        return [Finding("note", "times of frames", traces.rate, None, session, sentence, remedy)]
    if rate is None or traces.rate == rate:
        return []
    sentence = (
        f"The times of the frames of {session!r} say {traces.rate:.6g} frames per second, so `frame_rate` {rate:g} is "
        "not used."
    )
    return [Finding("note", "times of frames", traces.rate, rate, session, sentence)]

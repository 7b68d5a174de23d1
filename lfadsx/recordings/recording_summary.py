"""A summary of a recording in at most 20 lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.recordings.recording import Recording

MOST_AREAS = 6
"""Areas that are listed."""


def summarise(recording: Recording) -> str:
    """Returns units by area, spikes, trials and their columns, recorded intervals, signals and findings in words."""
    title = f"Recording {recording.name!r}: {recording.n_units} units, {recording.n_trials} trials"
    return "\n".join([title, *(f"  {name + ':':<14} {text}" for name, text in _facts(recording))])


def recorded_seconds(recording: Recording) -> float:
    """Returns how long the recording ran: the recorded intervals, else all trials, else first to last spike."""
    scale = recording.clock_hz or 1.0
    if recording.observed is not None:
        return float(np.diff(recording.observed, axis=1).sum() / scale)
    if recording.traces is not None:
        return len(recording.traces.times) / recording.traces.rate
    if recording.within_trials and {"start", "stop"} <= set(recording.events):
        return float(np.nansum(recording.times("stop") - recording.times("start")))
    ends = [(times[0], times[-1]) for times in recording.spikes if len(times)]
    if not ends:
        return 0.0
    first, last = np.array(ends).T
    return float((last.max() - first.min()) / scale)


def rates(recording: Recording) -> np.ndarray:
    """Returns the mean rate of each unit while the recording ran, in Hz, shape (unit,); NaN if no time is known."""
    seconds = recorded_seconds(recording)
    counts = np.array([len(times) for times in recording.spikes], float)
    return counts / seconds if seconds > 0 else np.full(len(counts), np.nan)


def _facts(recording: Recording) -> Iterator[tuple[str, str]]:
    seconds, hertz = recorded_seconds(recording), rates(recording)
    clock = "seconds" if recording.clock_hz is None else f"samples of {recording.clock_hz:g} Hz"
    traces = recording.traces
    if traces is None:
        yield "times", f"{recording.n_spikes} spikes in {seconds:.6g} s; times are {clock}"
    else:
        unit = f" in {traces.unit}" if traces.unit else ""
        yield "frames", f"{len(traces.times)} at {traces.rate:.6g} Hz, traces{unit}; times are seconds"
    yield from _areas(recording, hertz)
    silent = [str(unit) for unit, times in zip(recording.unit_id, recording.spikes, strict=True) if not len(times)]
    if silent and traces is None:
        yield "silent", some(silent)
    others = [name for name in recording.unit_columns if name != "area"]
    if others:
        yield "unit columns", some(others)
    yield "events", some([_event(recording, name) for name in recording.events]) or "none"
    others = [name for name in recording.trials if name not in (*recording.events, "trial_id")]
    if others:
        yield "more columns", some(others)
    yield "recorded", _intervals(recording)
    for name, signal in list(recording.signals.items())[:4]:
        unit = f" in {signal.unit}" if signal.unit else ""
        yield name, f"{signal.values.shape[1]} columns{unit}, {len(signal.times)} samples"
    if len(recording.signals) > 4:
        yield "more signals", some(list(recording.signals)[4:])
    names = list(dict.fromkeys(finding.name for finding in recording.findings))
    yield "findings", f"{len(recording.findings)}" + (f" ({some(names)})" if names else "")


def _areas(recording: Recording, hertz: np.ndarray) -> Iterator[tuple[str, str]]:
    area = recording.unit_columns.get("area")
    names = np.array(["units"]) if area is None else np.unique(area)
    for name in names[:MOST_AREAS]:
        own = hertz if area is None else hertz[area == name]
        if len(own):
            rate = f", {own.min():.3g} to {own.max():.3g} Hz" if recording.traces is None else ""
            yield str(name) or "no area", f"{len(own)} units{rate}"
    if len(names) > MOST_AREAS:
        yield "more areas", some([str(name) for name in names[MOST_AREAS:]])


def _event(recording: Recording, name: str) -> str:
    missing = int(np.isnan(recording.times(name)).sum())
    return f"{name} ({missing} missing)" if missing else name


def _intervals(recording: Recording) -> str:
    if recording.within_trials:
        return "inside the trials only"
    observed, scale = recording.observed, recording.clock_hz or 1.0
    if observed is None and recording.traces is not None:
        observed = recording.traces.intervals
    if observed is None:
        return "unknown; every window counts as recorded"
    return some([f"{first / scale:.6g} to {last / scale:.6g} s" for first, last in observed], 4)

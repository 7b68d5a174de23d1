"""Findings about odd recordings and about what is left out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.findings import Finding
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.windows import Windows

LONGEST_INTERVAL = 10.0
"""Median interval between spikes of a unit in seconds above which other units of time are suspected."""

FEWEST_SPIKES = 20
"""Spikes of a unit from which its intervals are looked at."""


def examine(recording: Recording, align: str | None = None) -> list[Finding]:
    """Returns what looks odd in times of spikes and of the event `align`, if any."""
    events = [] if align is None else _events_far_from_spikes(recording, align)
    return [*_other_unit_of_time(recording), *events]


def reaching_beyond(recording: Recording, windows: Windows) -> list[Finding]:
    """Returns a note if recorded intervals are unknown and windows reach beyond the first or the last spike."""
    spans = [(times[0], times[-1]) for times in recording.spikes if len(times)]
    if recording.observed is not None or recording.within_trials or not spans:
        return []
    first, last = np.array(spans).T
    beyond = int(((windows.start < first.min()) | (windows.stop > last.max())).sum())
    if not beyond:
        return []
    sentence = f"{beyond} windows reach beyond the first or the last spike, and the recorded intervals are unknown."
    remedy = "Give the recorded intervals (`observed`), so that windows outside them are dropped."
    return [Finding("note", "recorded intervals unknown", beyond, 0, recording.name, sentence, remedy)]


def dropped_trials(recording: Recording, reason: np.ndarray) -> list[Finding]:
    """Returns a note about the trials that are dropped, with the number for each reason."""
    counts = Counter(why for why in reason if why)
    if not counts:
        return []
    why = ", ".join(f"{text} ({n})" for text, n in counts.most_common())
    sentence = f"{counts.total()} of {len(reason)} trials are dropped: {why}."
    remedy = f"`Dataset.source[{recording.name!r}]['dropped']` has the reason of each."
    return [Finding("note", "trials dropped", counts.total(), 0, recording.name, sentence, remedy)]


def dropped_units(recording: Recording, keep: np.ndarray, why: str) -> list[Finding]:
    """Returns a note about the units that are left out; `why` completes "3 units are left out, ...".

    Args:
        recording: The recording before the choice.
        keep: True for units that are kept, shape (unit,).
        why: The reason.
    """
    out = [str(unit) for unit in recording.unit_id[~keep]]
    if not out:
        return []
    sentence = f"{len(out)} of {len(keep)} units are left out, {why}: {some(out)}."
    return [Finding("note", "units dropped", len(out), 0, recording.name, sentence)]


def dropped_spikes(name: str, n_dropped: int, n_spikes: int, why: str) -> list[Finding]:
    """Returns a note about spikes that are left out; `why` completes "3 of 100 spikes are left out, ..."."""
    if not n_dropped:
        return []
    sentence = f"{n_dropped} of {n_spikes} spikes are left out, {why}."
    return [Finding("note", "spikes dropped", n_dropped, 0, name, sentence)]


def _other_unit_of_time(recording: Recording) -> Iterator[Finding]:
    if recording.within_trials:
        return
    scale = recording.clock_hz or 1.0
    intervals = [np.median(np.diff(times)) / scale for times in recording.spikes if len(times) >= FEWEST_SPIKES]
    typical = float(np.median(intervals)) if intervals else 0.0
    if typical > LONGEST_INTERVAL:
        sentence = f"Half of the intervals between spikes of a unit are longer than {typical:.4g} s."
        remedy = "Times look like milliseconds or samples. Convert them to seconds, or give their clock."
        yield Finding("warning", "unit of time", typical, LONGEST_INTERVAL, recording.name, sentence, remedy)


def _events_far_from_spikes(recording: Recording, align: str) -> Iterator[Finding]:
    spans = [(times[0], times[-1]) for times in recording.spikes if len(times)]
    times = recording.times(align)
    times = times[np.isfinite(times)]
    if recording.within_trials or not spans or not len(times):
        return
    first, last = np.array(spans).T / (recording.clock_hz or 1.0)
    share = float(((times < first.min() - 10) | (times > last.max() + 10)).mean())
    if share > 0.5:
        sentence = (
            f"{100 * share:.0f} % of the times of {align!r} ({times.min():.6g} to {times.max():.6g} s) lie more than "
            f"10 s outside the spikes ({first.min():.6g} to {last.max():.6g} s)."
        )
        remedy = "Check that events and spikes have one clock and one unit of time."
        yield Finding("warning", "clocks of events and spikes", share, 0.5, recording.name, sentence, remedy)

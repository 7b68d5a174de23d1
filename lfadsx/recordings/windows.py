"""Which part of the recording each trial becomes, and why a trial is dropped."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.recordings.recording import MISSING, Recording

FORGIVEN = 1e-6
"""A time less than this share of a bin before an edge counts as on the edge. Times in files are rounded to about 1e-9
s, so a spike exactly on an edge would otherwise fall to either side by chance."""

EVENT_MISSING = "event missing"
BEFORE_RECORDING, AFTER_RECORDING = "window begins before the recording", "window ends after the recording"
OVER_GAP = "window overlaps a gap in the recording"
BEFORE_TRIAL, AFTER_TRIAL = "window begins before the trial", "window ends after the trial"
TOO_SHORT = "trial shorter than one bin"


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows that are cut, in the unit of the recording's times: seconds, or integer samples.

    Attributes:
        row: Row of the trial of each window in the table of trials, shape (window,).
        start: Left edge of the first bin, shape (window,).
        n_bins: Whole bins, shape (window,).
        width: Width of a bin, an integer if times are integers.
        scale: Seconds per unit of time.
    """

    row: np.ndarray
    start: np.ndarray
    n_bins: np.ndarray
    width: float | int
    scale: float = 1.0

    @property
    def stop(self) -> np.ndarray:
        """Right edge of the last bin, shape (window,)."""
        return self.start + self.n_bins * self.width

    def in_seconds(self) -> Windows:
        """Returns the windows in seconds."""
        return dataclasses.replace(self, start=self.start * self.scale, width=self.width * self.scale, scale=1.0)

    def chosen(self, windows: np.ndarray) -> Windows:
        """Returns some of the windows, by a mask or by index."""
        row, start, n_bins = self.row[windows], self.start[windows], self.n_bins[windows]
        return dataclasses.replace(self, row=row, start=start, n_bins=n_bins)


def exact(recording: Recording, *seconds: float) -> Recording:
    """Returns the recording with integer times if all `seconds` are whole samples of its clock, else in seconds.

    Integers are exact. Where a bin is not a whole number of samples they would drift, so seconds are used.
    """
    clock = recording.clock_hz
    if clock is None:
        return recording
    samples = np.array(seconds) * clock
    whole = np.abs(samples - np.round(samples)) < FORGIVEN
    return recording if whole.all() else recording.in_seconds()


def lay_windows(
    recording: Recording, align: str, window: tuple[float, float] | None, bin_width: float
) -> tuple[Windows, np.ndarray]:
    """Returns the windows of all trials that can be cut, and for each trial why it is dropped ("" if it is kept).

    Args:
        recording: The recording, as `exact` returns it.
        align: The event at time 0 of the window; without a window the event at which the trial begins.
        window: First and last time relative to the event in seconds; None for all from the event to the stop.
        bin_width: Width of a bin in seconds.
    """
    ticks = recording.clock_hz is not None
    clock = recording.clock_hz or 1.0
    width = round(bin_width * clock) if ticks else bin_width
    slack = 0 if ticks else FORGIVEN * bin_width
    event, missing = _event(recording, align)
    if window is None:
        start, (stop, no_stop) = event, _event(recording, "stop")
        missing = missing | no_stop
    else:
        first, last = (round(edge * clock) if ticks else edge for edge in window)
        start, stop = event + first, event + last
    n_bins = _whole_bins(stop - start, width)
    reason = np.full(recording.n_trials, "", object)
    for why, where in (
        (EVENT_MISSING, missing),
        (TOO_SHORT, n_bins < 1),
        *_outside_recording(recording.observed, start, stop, slack),
        *_outside_trial(recording, start, stop, slack),
    ):
        reason[where & (reason == "")] = why
    row = np.flatnonzero(reason == "")
    return Windows(row, start[row], n_bins[row], width, 1 / clock), reason


def joined(observed: np.ndarray, slack: float) -> np.ndarray:
    """Returns intervals in order, those that touch or overlap joined, shape (interval, 2)."""
    intervals = observed[np.argsort(observed[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    new = np.concatenate([[True], intervals[1:, 0] > reach[:-1] + slack])
    last = np.concatenate([np.flatnonzero(new)[1:] - 1, [len(intervals) - 1]])
    return np.stack([intervals[new, 0], reach[last]], axis=1)


def inside(intervals: np.ndarray, start: np.ndarray, stop: np.ndarray, slack: float) -> np.ndarray:
    """Returns whether each stretch from `start` to `stop` lies in one of the intervals, as `joined` returns these."""
    own = np.searchsorted(intervals[:, 0] - slack, start, side="right") - 1
    return (own >= 0) & (stop <= intervals[own, 1] + slack)


def _event(recording: Recording, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the times of an event, 0 where it is missing, and the mask of the missing."""
    validation.one_of(name, recording.events, f"The event of {recording.name!r}")
    times = recording.trials[name]
    missing = times == MISSING if recording.clock_hz is not None else ~np.isfinite(times)
    return np.where(missing, 0, times), missing


def _whole_bins(duration: np.ndarray, width: float | int) -> np.ndarray:
    if isinstance(width, int):
        return duration // width
    return np.floor(duration / width + FORGIVEN).astype(np.int64)


def _outside_recording(
    observed: np.ndarray | None, start: np.ndarray, stop: np.ndarray, slack: float
) -> list[tuple[str, np.ndarray]]:
    if observed is None:
        return []
    if not len(observed):
        raise DataError("`observed` must have at least one recorded interval, got 0. Leave it out if it is unknown.")
    intervals = joined(observed, slack)
    return [
        (BEFORE_RECORDING, start < intervals[0, 0] - slack),
        (AFTER_RECORDING, stop > intervals[-1, 1] + slack),
        (OVER_GAP, ~inside(intervals, start, stop, slack)),
    ]


def _outside_trial(
    recording: Recording, start: np.ndarray, stop: np.ndarray, slack: float
) -> list[tuple[str, np.ndarray]]:
    """Windows beyond their trial, where only the spikes of each trial are known; unknown ends are not checked."""
    found = []
    if recording.within_trials and "start" in recording.events:
        edge, unknown = _event(recording, "start")
        found.append((BEFORE_TRIAL, (start < edge - slack) & ~unknown))
    if recording.within_trials and "stop" in recording.events:
        edge, unknown = _event(recording, "stop")
        found.append((AFTER_TRIAL, (stop > edge + slack) & ~unknown))
    return found

"""Real-valued traces of units at the frames of a microscope, such as dF/F or deconvolved events."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError

LONGEST_STEP = 1.5
"""Frames between two frames from which the recording has a gap there."""
SAME_RATE, MOST_OFF = 1e-3, 0.1
"""Shares by which the times of the frames may disagree with a given rate. Up to the first, bins are as wide as the
given rate says, so that sessions of one microscope fit each other. Beyond the second, the unit of the times is wrong.
"""


@dataclasses.dataclass(frozen=True)
class Traces:
    """The values of all units at each frame.

    Attributes:
        times: Time of each frame in seconds, rising, shape (frame,).
        values: Shape (frame, unit), in `unit`; NaN where nothing was measured.
        rate: Frames per second.
        unit: Unit of the values, such as "dF/F"; empty if unknown.
    """

    times: np.ndarray
    values: np.ndarray
    rate: float
    unit: str = ""

    @property
    def intervals(self) -> np.ndarray:
        """Intervals in seconds in which no frame is missing, shape (interval, 2)."""
        after = np.flatnonzero(self.gaps) + 1
        first, last = np.r_[0, after], np.r_[after, len(self.times)] - 1
        return np.stack([self.times[first], self.times[last] + 1 / self.rate], axis=1)

    @property
    def gaps(self) -> np.ndarray:
        """True where frames are missing behind a frame, shape (frame - 1,)."""
        return np.diff(self.times) > LONGEST_STEP / self.rate

    @property
    def bins(self) -> np.ndarray:
        """Number of each frame from the first one, missing frames counted, shape (frame,)."""
        steps = np.maximum(np.rint(np.diff(self.times) * self.rate), 1)
        return np.r_[0, np.cumsum(steps)].astype(np.int64)

    def chosen(self, units: np.ndarray) -> Traces:
        """Returns the traces of some units, by index."""
        return dataclasses.replace(self, values=self.values[:, units])


def tidy_traces(values: Any, times: Any, rate: float | None, label: str, unit: str = "") -> Traces:
    """Returns checked traces with the axes (frame, unit); axes in the other order are turned round.

    Args:
        values: Shape (frame, unit), or (unit, frame) if the times fit that, or without times if that is longer.
        times: Time of each frame in seconds, shape (frame,); None for frames at `rate` from 0 s on.
        rate: Frames per second, for traces without times.
        label: Name of the traces in messages.
        unit: Unit of the values.

    Raises:
        DataError: If neither times nor rate are given, times do not rise, or shapes do not fit.
    """
    values = np.asarray(values)
    validation.numbers(values, label)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"{label} must have the axes (frame, unit), got shape {values.shape}. Give one such array.")
    found = frames_per_second(times, rate, label)
    n_frames = max(values.shape) if times is None else np.size(times)
    if n_frames == values.shape[1] != len(values):
        values = values.T
    times = np.arange(n_frames) / found if times is None else np.asarray(times, np.float64).ravel()
    if len(times) != len(values):
        raise DataError(f"{label} must have one row for each of its {len(times)} frames, got shape {values.shape}.")
    return Traces(times, values, found, unit)


def frames_per_second(times: Any, rate: float | None, label: str) -> float:
    """Returns the rate that the times of the frames tell, else the one that is given.

    It is the mean over all steps without a missing frame, so neither jitter nor rounded times move it. A given rate
    that is nearly the same is returned as it is.

    Args:
        times: Time of each frame in seconds, shape (frame,), or None.
        rate: Frames per second, or None.
        label: Name of the traces in messages.

    Raises:
        DataError: If neither is given, times do not rise, or both disagree by more than a tenth.
    """
    if rate is not None:
        validation.positive(rate, "`frame_rate`")
    if times is None:
        if rate is None:
            raise DataError(
                f"{label} needs the rate of its frames. Give `frame_rate`, such as 30, in frames per second of one "
                "plane, or the time of each frame."
            )
        return float(rate)
    steps = np.diff(np.asarray(times, np.float64).ravel())
    if not len(steps) or not np.isfinite(steps).all() or np.any(steps <= 0):
        raise DataError(f"{label} must have at least two frames with rising times. Check the times of the frames.")
    found = float(1 / steps[steps < LONGEST_STEP * np.median(steps)].mean())
    if rate is not None and abs(found / rate - 1) > MOST_OFF:
        raise DataError(
            f"The times of the frames of {label} must fit `frame_rate`, {rate:g} per second, but say {found:.6g}. "
            "Leave `frame_rate` out, or check the unit of the times, which is seconds."
        )
    return found if rate is None or abs(found / rate - 1) > SAME_RATE else float(rate)

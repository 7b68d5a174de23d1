"""Units on axes: Hz and seconds when the width of a bin is known, counts per bin and bins when it is not."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.types import TargetGroup, TimeAxis

KERNEL_SECONDS = 0.05
"""Standard deviation of the Gaussian that smooths recorded counts in figures; a tenth of short trials."""
KERNEL_BINS = 2.0
"""The same when the width of a bin is unknown."""


@dataclasses.dataclass(frozen=True)
class Units:
    """How bins and expected counts are written on the axes of one figure.

    Attributes:
        time_scale: Length of one bin in `time_unit`.
        time_unit: "s", "ms" or "bins".
        rate_scale: What an expected value per bin is multiplied by to be in `rate_unit`.
        rate_unit: "Hz", "counts per bin", or the unit of real numbers.
        kernel: Standard deviation of the smoothing kernel in bins.
        are_counts: True if the data are counts, so that they can be drawn as spikes.
        start: Left edge of the first bin in `time_unit`.
        event: What time is counted from.

    Example:
        units = units_of(posterior.time, posterior.groups["spikes"], split.n_bins)
        ax.plot(units.centres(split.n_bins), rates * units.rate_scale)
        ax.set_xlabel(units.time_label)
    """

    time_scale: float
    time_unit: str
    rate_scale: float
    rate_unit: str
    kernel: float
    are_counts: bool
    start: float = 0.0
    event: str = TimeAxis.event

    @property
    def time_label(self) -> str:
        """Label of a time axis."""
        origin = "" if self.event == TimeAxis.event else f" from {self.event}"
        return f"Time{origin} ({self.time_unit})"

    @property
    def kernel_label(self) -> str:
        """Width of the smoothing kernel with its unit."""
        width = self.kernel * self.time_scale
        return f"{1000 * width:.2g} ms" if self.time_unit == "s" else f"{width:.2g} {self.time_unit}"

    def centres(self, n_bins: int) -> np.ndarray:
        """Return the centres of the first `n_bins` bins in `time_unit`, shape (n_bins,)."""
        return self.start + (np.arange(n_bins) + 0.5) * self.time_scale

    def edge(self, bin_: float) -> float:
        """Return the left edge of a bin in `time_unit`."""
        return self.start + float(bin_) * self.time_scale


def units_of(time: TimeAxis, group: TargetGroup, n_bins: int) -> Units:
    """Choose the units in which a target group is drawn.

    Args:
        time: The time axis of a trial.
        group: What the numbers of the group are.
        n_bins: Bins of the longest trial, which decide between seconds and milliseconds.
    """
    counts, width = group.kind == "counts", time.bin_width
    rate_unit = "counts per bin" if counts else group.unit or "data units"
    if width is None:
        return Units(1.0, "bins", 1.0, rate_unit, min(KERNEL_BINS, 0.1 * n_bins), counts)
    scale, unit = (1.0, "s") if n_bins * width >= 1.0 else (1000.0, "ms")
    rate_scale, rate_unit = (1.0 / width, "Hz") if counts else (1.0, rate_unit)
    kernel = min(KERNEL_SECONDS / width, 0.1 * n_bins)
    return Units(width * scale, unit, rate_scale, rate_unit, kernel, counts, time.start * scale, time.event)

"""Units on axes: Hz and seconds when the width of a bin is known, counts per bin and bins when it is not."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.dataset import Dataset, Split

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
        rate_unit: "Hz", "counts per bin", or "data units" for data that are no counts.
        kernel: Standard deviation of the smoothing kernel in bins.

    Example:
        units = units_of(dataset, split)
        ax.plot(units.centres(split.n_bins), rates * units.rate_scale)
        ax.set_xlabel(units.time_label)
    """

    time_scale: float
    time_unit: str
    rate_scale: float
    rate_unit: str
    kernel: float

    @property
    def time_label(self) -> str:
        """Label of a time axis."""
        return f"Time ({self.time_unit})"

    @property
    def are_counts(self) -> bool:
        """True when the data are counts, so that they can be drawn as spikes."""
        return self.rate_unit != "data units"

    @property
    def kernel_label(self) -> str:
        """Width of the smoothing kernel with its unit."""
        width = self.kernel * self.time_scale
        return f"{1000 * width:.2g} ms" if self.time_unit == "s" else f"{width:.2g} {self.time_unit}"

    def centres(self, n_bins: int) -> np.ndarray:
        """Return the centres of the first `n_bins` bins in `time_unit`, shape (n_bins,)."""
        return (np.arange(n_bins) + 0.5) * self.time_scale


def units_of(dataset: Dataset, split: Split) -> Units:
    """Choose the units in which a split is drawn.

    Args:
        dataset: Gives the width of a bin in seconds, if known.
        split: Its longest trial decides between seconds and milliseconds.

    Returns:
        The units of time and rates.
    """
    counts = _are_counts(split.targets[dataset.input_group])
    rate_unit = "counts per bin" if counts else "data units"
    width = dataset.bin_width
    if width is None:
        return Units(1.0, "bins", 1.0, rate_unit, min(KERNEL_BINS, 0.1 * split.n_bins))
    scale, unit = (1.0, "s") if split.n_bins * width >= 1.0 else (1000.0, "ms")
    rate_scale, rate_unit = (1.0 / width, "Hz") if counts else (1.0, rate_unit)
    return Units(width * scale, unit, rate_scale, rate_unit, min(KERNEL_SECONDS / width, 0.1 * split.n_bins))


def _are_counts(values: np.ndarray) -> bool:
    """True for whole, non-negative numbers, whatever type holds them."""
    if np.issubdtype(values.dtype, np.integer):
        return True
    finite = values[np.isfinite(values)]
    return bool(np.all((finite >= 0) & (finite == np.round(finite))))

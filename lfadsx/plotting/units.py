"""Units of time and of rates on the axes of a figure."""

from __future__ import annotations

import dataclasses

from lfadsx.evaluation.task import PSTH_KERNEL_BINS, PSTH_KERNEL_SECONDS
from lfadsx.types import TargetGroup, TimeAxis

FOR_REAL_VALUES = {
    "neuron": "channel",
    "Neuron": "Channel",
    "nferred rate": "nferred mean",
    "PSTHs": "Averages",
    "Predicted counts": "Predicted data",
    "recorded counts": "recorded data",
}
"""Words of spike counts, and what real values such as EMG have in their place."""


@dataclasses.dataclass(frozen=True)
class Units:
    """Units of time and rates on the axes of one figure.

    Attributes:
        time_scale: Length of one bin in `time_unit`.
        time_unit: "s", "ms" or "bins".
        rate_scale: Factor from expected values per bin to `rate_unit`.
        rate_unit: "Hz", "counts per bin", or the unit of real numbers.
        kernel: Standard deviation in bins of the Gaussian that smooths recorded data.
        are_counts: True if the data are counts, which are drawn as spikes.
        start: Left edge of the first bin in `time_unit`.
        event: Event from which time is counted.
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
        return f"Time from {self.event} ({self.time_unit})"

    @property
    def kernel_label(self) -> str:
        """Width of the smoothing kernel with its unit."""
        width = self.kernel * self.time_scale
        return f"{1000 * width:.2g} ms" if self.time_unit == "s" else f"{width:.2g} {self.time_unit}"

    @property
    def has_event(self) -> bool:
        """True if trials begin before the event, which then has a mark."""
        return self.start < 0

    def say(self, text: str) -> str:
        """Return a text about spike counts in words that fit the data, see `in_words_for`."""
        return in_words_for(self.are_counts, text)

    def edge(self, bin_: float) -> float:
        """Return the left edge of a bin in `time_unit`."""
        return self.start + float(bin_) * self.time_scale


def in_words_for(are_counts: bool, text: str) -> str:
    """Return a text about spike counts unchanged for counts, or with words that fit real values such as EMG.

    Example:
        >>> in_words_for(False, "Inferred rates of all neurons")
        'Inferred means of all channels'
    """
    for word, other in () if are_counts else FOR_REAL_VALUES.items():
        text = text.replace(word, other)
    return text


def units_of(time: TimeAxis, group: TargetGroup, n_bins: int) -> Units:
    """Return the units for a target group; the bins of the longest trial decide between seconds and milliseconds."""
    counts, width = group.kind == "counts", time.bin_width
    rate_unit = "counts per bin" if counts else group.unit or "data units"
    if width is None:
        return Units(1.0, "bins", 1.0, rate_unit, min(PSTH_KERNEL_BINS, 0.1 * n_bins), counts)
    scale, unit = (1.0, "s") if n_bins * width >= 1.0 else (1000.0, "ms")
    rate_scale, rate_unit = (1.0 / width, "Hz") if counts else (1.0, rate_unit)
    kernel = min(PSTH_KERNEL_SECONDS / width, 0.1 * n_bins)
    return Units(width * scale, unit, rate_scale, rate_unit, kernel, counts, time.start * scale, time.event)

"""Timing: the speed of the population beside the interval that the animal produced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lfadsx.data.condition_labels import has_label
from lfadsx.errors import LfadsxError

FEWEST_TRIALS = 3
"""Groups with fewer trials are left out: two points always lie on a line."""


@dataclasses.dataclass(frozen=True)
class TimingCorrelation:
    """Correlation of neural speed and produced interval.

    Attributes:
        value: Mean over groups with equal weights; -1 is best. NaN if it exists for no group.
        per_group: Pearson correlation of each group, by its label.
    """

    value: float
    per_group: dict[str, float]


def neural_speed(
    rates: Float[np.ndarray, "trial time channel"], inside: Bool[np.ndarray, "trial time"]
) -> Float[np.ndarray, " trial"]:
    """Returns the mean length of a step of the rates from bin to bin, in counts per bin.

    Args:
        rates: Expected counts per bin.
        inside: True for the bins of each trial between its first and its last event.

    Returns:
        The speed of each trial; NaN with fewer than two bins inside.

    Example:
        >>> rates = np.array([[[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]])
        >>> neural_speed(rates, np.ones((1, 3), bool)).tolist()
        [2.5]
    """
    both = inside[:, 1:] & inside[:, :-1]
    length = np.linalg.norm(np.diff(np.where(inside[:, :, None], rates, 0.0), axis=1), axis=2)
    total, n = np.where(both, length, 0.0).sum(1), both.sum(1)
    return np.divide(total, n, out=np.full(len(rates), np.nan), where=n > 0)


def timing_correlation(
    rates: Float[np.ndarray, "trial time channel"],
    interval: Float[np.ndarray, " trial"],
    group: Shaped[np.ndarray, " trial"] | None = None,
    *,
    inside: Bool[np.ndarray, "trial time"],
) -> TimingCorrelation:
    """Returns the correlation of neural speed and produced interval (Neural Latents Benchmark, Pei et al. 2021).

    In a timing task the population moves slowly where the animal waits long, so good rates have a correlation near -1.
    It is computed in each group of trials, and averaged over groups. The benchmark has four: eye or hand, short or
    long.

    Args:
        rates: Expected counts per bin.
        interval: Interval that the animal produced, in any unit; NaN is left out.
        group: Label of each trial; one group by default. Trials without a label are left out.
        inside: True for the bins of each trial inside its interval.

    Raises:
        LfadsxError: If the arrays are of different trials.

    Example:
        >>> interval = np.array([1.0, 2.0, 3.0, 4.0])
        >>> rates = np.arange(5.0)[None, :, None] / interval[:, None, None]
        >>> found = timing_correlation(rates, 1 / interval, inside=np.ones((4, 5), bool))
        >>> round(found.value, 3)
        1.0
    """
    sizes = {len(of) for of in (rates, interval, inside, *(() if group is None else (group,)))}
    if len(sizes) > 1:
        raise LfadsxError(
            f"Rates, intervals, groups and bins must be of the same trials, got {sorted(sizes)} trials. Pass all of "
            "one split."
        )
    weights = np.ones(len(rates))
    of_groups = correlations(neural_speed(rates, inside), interval, group)
    per_group = {label: float(of(weights)) for label, of in of_groups.items()}
    return TimingCorrelation(float(mean_over(list(per_group.values()))), per_group)


def correlations(
    speed: np.ndarray, interval: np.ndarray, group: np.ndarray | None
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns the Pearson correlation of each group as a function of trial weights; see `timing_correlation`."""
    labels = np.zeros(len(speed), int) if group is None else group
    known = ~np.isnan(speed) & ~np.isnan(interval) & has_label(labels)
    groups = {str(label): known & (labels == label) for label in np.unique(labels[known])}
    return {
        label: _pearson(speed, interval, own) for label, own in groups.items() if np.count_nonzero(own) >= FEWEST_TRIALS
    }


def mean_over(values: Sequence[Any]) -> Any:
    """Returns the mean of numbers, or of arrays of one shape, that are not NaN; NaN where all are."""
    stacked = np.array(values, float)
    known = ~np.isnan(stacked)
    total, n = np.where(known, stacked, 0.0).sum(0), known.sum(0)
    return np.divide(total, n, out=np.full(np.shape(total), np.nan), where=n > 0)


def _pearson(x: np.ndarray, y: np.ndarray, own: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    # Centred before the sums of products, so that they lose no digits.
    x, y = x[own] - x[own].mean(), y[own] - y[own].mean()
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def correlation(weights: np.ndarray) -> np.ndarray:
        total = weights[..., own] @ sums
        n = np.where(total[..., :1] > 0, total[..., :1], np.nan)
        mean_x, mean_y, xx, yy, xy = np.moveaxis(total[..., 1:] / n, -1, 0)
        variances = np.maximum(xx - mean_x**2, 0) * np.maximum(yy - mean_y**2, 0)
        scale = np.sqrt(np.where(variances > 0, variances, np.nan))
        return (xy - mean_x * mean_y) / scale

    return correlation

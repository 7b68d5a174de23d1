"""Sums, means and smoothing over the entries that are known and scored."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from lfadsx.errors import LfadsxError

Trials = Num[np.ndarray, "trial time channel"]
"""Values of trials."""
Entries = Bool[np.ndarray, "trial time channel"]
"""True for some values of trials."""
Mask = Bool[np.ndarray, "#trial #time #channel"] | None
"""True for scored entries; None for all."""


def known_entries(data: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Returns True for entries inside the mask that are not NaN, in the shape of the data."""
    return ~np.isnan(data) if mask is None else mask & ~np.isnan(data)


def scored_entries(estimate: np.ndarray, data: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Returns the known entries of the data; the estimate must have a finite value for each."""
    if estimate.shape != data.shape:
        raise LfadsxError(
            f"The estimate must have the shape of the data, {data.shape}, got shape {estimate.shape}. "
            "Pass the same trials, bins and channels in both."
        )
    scored = known_entries(data, mask)
    n_bad = np.count_nonzero(scored & ~np.isfinite(estimate))
    if n_bad:
        raise LfadsxError(
            f"Scored estimates must be finite, but {n_bad} of {np.count_nonzero(scored)} scored estimates are NaN or "
            "infinite. Leave those entries out with `mask`, or find out where the estimate broke."
        )
    return scored


def masked_sum(values: np.ndarray, scored: np.ndarray, axis: int | tuple[int, ...]) -> Any:
    """Returns the sum of the scored entries in float64."""
    return np.where(scored, values, 0).sum(axis, dtype=np.float64)


def masked_mean(values: np.ndarray, scored: np.ndarray, axis: int | tuple[int, ...]) -> Any:
    """Returns the mean of the scored entries in float64; 0 where there are none."""
    return masked_sum(values, scored, axis) / np.maximum(scored.sum(axis), 1)


def mean_known(values: np.ndarray) -> float:
    """Returns the mean of all values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def gaussian_kernel(n_bins: int, width: float) -> Float[np.ndarray, "time time"]:
    """Returns the weights `exp(-(t - s)^2 / (2 width^2))` between all pairs of bins; 1 on the diagonal.

    Args:
        n_bins: Number of bins.
        width: Standard deviation in bins; 0 gives the identity.

    Raises:
        LfadsxError: If the width is negative.

    Example:
        >>> gaussian_kernel(3, 1.0)[0].round(3).tolist()
        [1.0, 0.607, 0.135]
    """
    if width < 0:
        raise LfadsxError(f"The width of the kernel must be at least 0 bins (0: no smoothing), got {width:g}.")
    if width == 0:
        return np.eye(n_bins)
    distance = np.arange(n_bins)[:, None] - np.arange(n_bins)
    return np.exp(-0.5 * (distance / width) ** 2)


def smooth(values: Num[np.ndarray, "*rest time channel"], width: float) -> Float[np.ndarray, "*rest time channel"]:
    """Returns values smoothed in time by a Gaussian; NaN is left out and stays NaN.

    The weights are renormalised at the ends and beside NaN.

    Args:
        values: Any quantity per bin.
        width: As in `gaussian_kernel`.

    Example:
        >>> smooth(np.array([[0.0], [1.0], [np.nan]]), 1.0).round(3).tolist()
        [[0.378], [0.622], [nan]]
    """
    kernel = gaussian_kernel(values.shape[-2], width)
    known = ~np.isnan(values)
    total = kernel @ np.where(known, values, 0.0)
    return np.divide(total, kernel @ known, out=np.full(values.shape, np.nan), where=known)

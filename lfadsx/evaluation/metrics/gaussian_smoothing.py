"""Gaussian smoothing in time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lfadsx.errors import LfadsxError


def gaussian_kernel(n_bins: int, width: float) -> Float[np.ndarray, "time time"]:
    """Weights `exp(-(t - s)^2 / (2 width^2))` between all pairs of bins; 1 on the diagonal.

    Args:
        n_bins: Number of bins.
        width: Standard deviation in bins; 0 gives the identity.

    Raises:
        LfadsxError: The width is negative.

    Example:
        >>> gaussian_kernel(3, 1.0)[0].round(3).tolist()
        [1.0, 0.607, 0.135]
    """
    if width < 0:
        raise LfadsxError(f"The width of the kernel is {width:g} bins. Give 0 (no smoothing) or a positive number.")
    if width == 0:
        return np.eye(n_bins)
    distance = np.arange(n_bins)[:, None] - np.arange(n_bins)
    return np.exp(-0.5 * (distance / width) ** 2)


def smooth(values: Num[np.ndarray, "*rest time channel"], width: float) -> Float[np.ndarray, "*rest time channel"]:
    """Weighted mean over neighbouring bins, Gaussian in time; NaN is left out and stays NaN.

    Args:
        values: Anything per bin; the weights are renormalised at the ends and beside NaN.
        width: Standard deviation of the kernel in bins.

    Raises:
        LfadsxError: The width is negative.

    Example:
        >>> smooth(np.array([[0.0], [1.0], [np.nan]]), 1.0).round(3).tolist()
        [[0.378], [0.622], [nan]]
    """
    kernel = gaussian_kernel(values.shape[-2], width)
    known = ~np.isnan(values)
    total = kernel @ np.where(known, values, 0.0)
    return np.divide(total, kernel @ known, out=np.full(values.shape, np.nan), where=known)

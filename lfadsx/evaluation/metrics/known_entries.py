"""Sums and means over the entries that are scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.errors import LfadsxError


def known_entries(data: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """True for entries inside the mask that are not NaN, in the shape of the data."""
    return ~np.isnan(data) if mask is None else mask & ~np.isnan(data)


def scored_entries(estimate: np.ndarray, data: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The known entries of the data, after a check that there is an estimate for each.

    Raises:
        LfadsxError: The shapes differ, or a scored estimate is NaN or infinite.
    """
    if estimate.shape != data.shape:
        raise LfadsxError(
            f"The estimate has shape {estimate.shape} and the data have shape {data.shape}. "
            "Pass the same trials, bins and channels in both."
        )
    scored = known_entries(data, mask)
    n_bad = np.count_nonzero(scored & ~np.isfinite(estimate))
    if n_bad:
        raise LfadsxError(
            f"{n_bad} of {np.count_nonzero(scored)} scored estimates are NaN or infinite. "
            "Leave those entries out with mask, or find out where the estimate broke."
        )
    return scored


def masked_sum(values: np.ndarray, scored: np.ndarray, axis: int | tuple[int, ...] | None = None) -> Any:
    """Sum of the scored entries in float64."""
    return np.where(scored, values, 0).sum(axis, dtype=np.float64)


def mean_known(values: np.ndarray) -> float:
    """Mean of all values that are not NaN; NaN when there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan

"""Fluorescence as dF/F: the change relative to a baseline that follows slow drift, or to one of the whole session."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lfadsx.data import validation

Baseline = Literal["maximin", "percentile"]
"""The baseline F0: "maximin", a minimum that follows slow drift; "percentile", one number for the session."""

SMOOTHED, WIDEST = 10.0, 60.0
"""Maximin: standard deviation of the smoothing and width of the filters, in seconds."""
PERCENTILE = 8.0
"""Percentile of all frames that is the baseline "percentile"."""


def relative_change(fluorescence: np.ndarray, rate: float, baseline: Baseline) -> np.ndarray:
    r"""Returns dF/F, the change of fluorescence relative to its baseline, shape (frame, unit).

    .. math:: \Delta F / F = (F - F_0) / F_0

    Args:
        fluorescence: F without the signal of the neuropil, any unit, shape (frame, unit).
        rate: Frames per second.
        baseline: "maximin": F is smoothed with a Gaussian of 10 s, then a minimum and a maximum filter of 60 s follow.
            "percentile": the 8th percentile of each unit over the session.

    Returns:
        dF/F; NaN where the baseline is not above 0, because the change has no meaning there.
    """
    validation.one_of(baseline, get_args(Baseline), "`baseline`")
    base = _maximin(fluorescence, rate) if baseline == "maximin" else np.nanpercentile(fluorescence, PERCENTILE, axis=0)
    base = np.where(base > 0, base, np.nan)
    return (fluorescence - base) / base


def _maximin(fluorescence: np.ndarray, rate: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

    # The filters would spread NaN over the session; the median of its unit stands in for a missing frame.
    filled = np.where(np.isfinite(fluorescence), fluorescence, np.nanmedian(fluorescence, axis=0))
    width = max(round(WIDEST * rate), 1)
    smooth = gaussian_filter1d(filled.astype(np.float64), SMOOTHED * rate, axis=0)
    return maximum_filter1d(minimum_filter1d(smooth, width, axis=0), width, axis=0)

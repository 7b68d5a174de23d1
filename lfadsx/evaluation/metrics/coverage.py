"""Coverage: how often intervals hold what they should hold."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lfadsx.evaluation.metrics.known_entries import Mask, known_entries

WINDOW = 10
"""Bins over which counts are summed."""


def truth_coverage(
    low: Float[np.ndarray, "trial time channel"],
    high: Float[np.ndarray, "trial time channel"],
    truth: Float[np.ndarray, "trial time channel"],
    mask: Mask = None,
) -> float:
    """Returns the share of true values inside intervals; NaN without known values.

    Example:
        >>> import numpy as np
        >>> from lfadsx.evaluation.metrics import truth_coverage
        >>> zero = np.zeros((1, 4, 1))
        >>> truth_coverage(zero, zero + 2, np.arange(4.0).reshape(zero.shape))
        0.75

    Args:
        low: Lower bounds of the intervals.
        high: Upper bounds.
        truth: True values, in the unit of the bounds.
        mask: True for scored entries.
    """
    known = known_entries(truth, mask)
    return float(((truth >= low) & (truth <= high))[known].mean()) if known.any() else float("nan")


def counts_coverage(
    rates: Float[np.ndarray, "trial time channel"],
    std: Float[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    level: float,
    mask: Mask = None,
    seed: int = 0,
) -> float:
    r"""Returns how often counts of windows are inside the central interval that rates and their spread predict.

    Rates of a window of 10 bins are taken to err together. Then its count is Poisson with a rate of mean m and variance
    s^2, the sums over its bins; with a rate that has a gamma distribution the count is negative binomial,

    .. math:: k \sim NB\left(r = m^2 / s^2, \; p = m / (m + s^2)\right)

    Counts are whole numbers, so each is placed at random within its step of the distribution. The result is `level` for
    a true rate and spread. Windows without any scored bin are left out.

    Args:
        rates: Expected counts per bin.
        std: Standard deviation of the rates.
        counts: Counts that the model did not see.
        level: Probability of the interval.
        mask: True for scored entries.
        seed: Seed of the places within steps.

    Source: Czado, Gneiting & Held 2009, Biometrics 65 (randomised probability integral transform).
    """
    from scipy.stats import nbinom

    scored = known_entries(counts, mask)
    n = _windows(scored.astype(float))
    mean, spread, observed = (_windows(np.where(scored, values, 0.0))[n > 0] for values in (rates, std, counts))
    mean, spread = np.maximum(mean, 1e-9), np.maximum(spread, 1e-6 * np.maximum(mean, 1e-9))
    law = mean**2 / spread**2, mean / (mean + spread**2)
    upper, step = nbinom.cdf(observed, *law), nbinom.pmf(observed, *law)
    place = upper - np.random.default_rng(seed).random(upper.shape) * step
    return float((np.abs(place - 0.5) < level / 2).mean()) if len(place) else float("nan")


def _windows(values: Float[np.ndarray, "trial time channel"]) -> Float[np.ndarray, "trial window channel"]:
    """Returns sums over windows; the last one may be shorter."""
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % WINDOW), (0, 0)))
    return padded.reshape(len(values), -1, WINDOW, values.shape[2]).sum(2)

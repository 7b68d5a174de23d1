"""Statistics: scores as functions of how often each trial counts, and their errors from resampled trials.

A statistic gives a score for any weights of the trials. Weights of 1 give the score itself, 1 for some trials and 0 for
the others that of a part (a fold), numbers of draws with replacement one bootstrap sample. So models are compared on
the same resamples, and the error of a difference is no larger than it has to be.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Num

Statistic = Callable[[np.ndarray], np.ndarray]
"""A score for given weights of the trials: (trial,) gives a number, (draw, trial) as many; NaN where there is none."""

N_RESAMPLES = 1000
"""Resamples of the trials behind an error."""

_AT_ONCE = 1_000_000
"""Weights that a statistic gets at a time."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its error over trials.

    Attributes:
        value: The score of all trials.
        error: Its standard error: the standard deviation over resampled trials; NaN with fewer than 2 trials.
        low: Lower end of the 95 % interval.
        high: Upper end; a difference is not 0 when both ends lie on one side of it.
    """

    value: float
    error: float
    low: float
    high: float

    def __str__(self) -> str:
        """Returns value and standard error, as a table shows them."""
        return f"{self.value:.3f}" if np.isnan(self.error) else f"{self.value:.3f}±{self.error:.3f}"


def ratio(
    numerator: Float[np.ndarray, "trial ..."],
    denominator: Num[np.ndarray, "trial ..."],
    share: Float[np.ndarray, " column"] | None = None,
) -> Statistic:
    """Returns the ratio of two weighted sums over trials, or the mean of several such ratios.

    Args:
        numerator: What each trial adds above, for one ratio or for several.
        denominator: What it adds below.
        share: What each ratio counts in the mean; all the same when None. Ratios of nothing are left out.

    Example:
        >>> import numpy as np
        >>> from lfadsx.evaluation import ratio
        >>> bits_per_spike = ratio(np.array([3.0, 1.0]), np.array([2, 2]))
        >>> float(bits_per_spike(np.array([1, 1]))), float(bits_per_spike(np.array([2, 0])))
        (1.0, 1.5)
    """
    above, below = (np.asarray(x, float).reshape(len(x), -1) for x in (numerator, denominator))
    share = np.ones(above.shape[1]) if share is None else share

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights @ below
        ratios = np.divide(weights @ above, total, out=np.zeros_like(total), where=total > 0)
        shares = (total > 0) * share
        n = shares.sum(-1)
        return np.divide((ratios * shares).sum(-1), n, out=np.full(n.shape, np.nan), where=n > 0)

    return statistic


def minus(first: Statistic, second: Statistic) -> Statistic:
    """Returns the difference of two scores of the same trials."""
    return lambda weights: first(weights) - second(weights)


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """Returns the mean of scores of the same trials, such as those of several seeds."""
    return lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)


def resample(statistic: Statistic, n_trials: int, *, n: int = N_RESAMPLES, seed: int = 0) -> Score:
    """Returns a score with the error that resampling the trials with replacement gives it.

    The ends of the interval are quantiles of the resampled scores, shifted so that these have the score as their mean:
    a score that repeated trials lower as such (PSTH R2) would lie outside its interval otherwise.

    Args:
        statistic: The score.
        n_trials: Number of trials.
        n: Number of resamples.
        seed: Seed of the draws; two statistics of one seed see the same ones.

    Example:
        >>> import numpy as np
        >>> from lfadsx.evaluation import ratio, resample
        >>> score = resample(ratio(np.array([1.0, 3.0] * 50), np.ones(100)), 100)
        >>> score.value, round(score.error, 1)
        (2.0, 0.1)
    """
    return score_of(drawn(statistic, n_trials, n=n, seed=seed))


def drawn(
    statistic: Statistic, n_trials: int, *, n: int = N_RESAMPLES, seed: int = 0
) -> Float[np.ndarray, " one_and_draws"]:
    """Returns a score of all trials and, after it, of resampled ones.

    Arrays of two statistics with the same settings are paired: their difference is that of the statistics.

    Args:
        statistic: The score.
        n_trials: Number of trials; with fewer than 2 nothing is resampled.
        n: Number of resamples.
        seed: Seed of the draws.
    """
    weights = _weights(n_trials, n if n_trials > 1 else 0, seed)
    parts = np.array_split(weights, -(-weights.size // _AT_ONCE))
    return np.concatenate([statistic(part.astype(float)) for part in parts])


def score_of(values: Float[np.ndarray, " one_and_draws"]) -> Score:
    """Returns the score of values as `drawn` returns them, or of a difference of two such arrays."""
    value, known = float(values[0]), values[1:][~np.isnan(values[1:])]
    if len(known) < 2:
        return Score(value, np.nan, np.nan, np.nan)
    low, high = value + np.quantile(known, [0.025, 0.975]) - known.mean()
    return Score(value, float(known.std(ddof=1)), float(low), float(high))


@functools.lru_cache(maxsize=1)
def _weights(n_trials: int, n: int, seed: int) -> np.ndarray:
    """Returns how often each trial counts, (1 + n, trial): each once, then as often as it is drawn."""
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + n, n_trials), np.uint16)
    for row in weights[1:]:
        row[:] = np.bincount(rng.integers(n_trials, size=n_trials), minlength=n_trials)
    return weights

"""Statistics: scores as functions of trial weights, and their errors from resampled trials.

Weights of 1 give the score itself. Weights of 1 for some trials and 0 for the others give the score of a part (a
fold). Weights that count draws with replacement give a bootstrap sample. All models are scored on the same resamples,
so that variation over trials that they share cancels in their difference.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Num

Statistic = Callable[[np.ndarray], np.ndarray]
"""A score for given trial weights: (trial,) gives one number, (draw, trial) one per draw; NaN where it is undefined."""

N_RESAMPLES = 1000
"""Resamples of the trials behind an error."""

_AT_ONCE = 1_000_000
"""Most weights that a statistic gets at a time."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its error over trials.

    Attributes:
        value: The score of all trials.
        error: Its standard error: the standard deviation over resampled trials; NaN with fewer than 2 trials.
        low: Lower end of the 95 % interval.
        high: Upper end. A difference is significant if both ends have the same sign.
    """

    value: float
    error: float
    low: float
    high: float

    def __str__(self) -> str:
        """Returns value and standard error, as a table shows them."""
        return f"{self.value:z.3f}" if np.isnan(self.error) else f"{self.value:z.3f}±{self.error:.3f}"


def ratio(
    numerator: Float[np.ndarray, "trial ..."],
    denominator: Num[np.ndarray, "trial ..."],
    share: Float[np.ndarray, " column"] | None = None,
) -> Statistic:
    """Returns the ratio of two weighted sums over trials, or the mean of several such ratios.

    Args:
        numerator: Contribution of each trial to the numerator, for one ratio or for several.
        denominator: Contribution of each trial to the denominator.
        share: Weight of each ratio in the mean; by default all the same. Ratios whose denominator is 0 are left out.

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
    """Returns a score with its error, from trials resampled with replacement.

    The ends of the interval are quantiles of the resampled scores, shifted so that their mean is the score. Without
    the shift a score that repeated trials lower (PSTH R2) could lie outside its interval.

    Args:
        statistic: The score.
        n_trials: Number of trials; with fewer than 2 nothing is resampled.
        n: Number of resamples.
        seed: Seed of the draws; statistics with the same seed use the same resamples.

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
    """Returns a score of all trials and, after it, of resampled ones; arguments as in `resample`.

    Two statistics with the same settings are paired: subtract their arrays to compare them.
    """
    weights = _weights(n_trials, n if n_trials > 1 else 0, seed)
    parts = np.array_split(weights, -(-weights.size // _AT_ONCE))
    return np.concatenate([statistic(part.astype(float)) for part in parts])


def score_of(values: Float[np.ndarray, " one_and_draws"]) -> Score:
    """Returns the score of an array from `drawn`, or of a difference of two such arrays."""
    value, known = float(values[0]), values[1:][~np.isnan(values[1:])]
    if len(known) < 2:
        return Score(value, np.nan, np.nan, np.nan)
    low, high = value + np.quantile(known, [0.025, 0.975]) - known.mean()
    return Score(value, float(known.std(ddof=1)), float(low), float(high))


@functools.lru_cache(maxsize=1)
def _weights(n_trials: int, n: int, seed: int) -> np.ndarray:
    """Returns trial weights, shape (1 + n, trial): ones, then the number of times that each trial is drawn."""
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + n, n_trials), np.uint16)
    for row in weights[1:]:
        row[:] = np.bincount(rng.integers(n_trials, size=n_trials), minlength=n_trials)
    return weights

"""R2 of an estimate against the truth, and the floors of R2 that an uninformed estimate reaches."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.known_entries import (
    Entries,
    Mask,
    Trials,
    known_entries,
    masked_mean,
    masked_sum,
    mean_known,
    scored_entries,
)

# Signals whose standard deviation is below this share of their size are constant in float32.
_CONSTANT = 1e-7

N_SHUFFLES = 5
"""Shuffles of the trials that `r2_floors` averages."""


@dataclasses.dataclass(frozen=True)
class R2Floors:
    """Squared Pearson correlations of estimates that do not depend on the trial.

    Attributes:
        shuffled: The truth of another trial taken as the estimate.
        ramp: A straight ramp taken as the estimate.
    """

    shuffled: float
    ramp: float


def r2_pooled(estimate: Trials, truth: Trials, mask: Mask = None) -> float:
    """Returns the share of the truth's variance that an estimate explains, without any refit.

    `1 - SSE / SST`, both sums over all channels, trials and bins. SST is taken around each channel's mean, so that
    the mean of every channel as the estimate gives 0.

    Args:
        estimate: In the unit of `truth`.
        truth: True values, of the same shape; NaN counts as missing.
        mask: True where an entry is scored; by default everywhere.

    Returns:
        R2, at most 1; NaN if the truth is constant.

    Example:
        >>> truth = np.array([[[0.0], [2.0]]])
        >>> r2_pooled(truth + 0.5, truth)
        0.75
    """
    error, total = (of.sum() for of in error_and_total(estimate, truth, scored_entries(estimate, truth, mask)))
    return float(1 - error / total) if total > 0 else np.nan


def error_and_total(
    estimate: Trials, truth: Trials, scored: Entries
) -> tuple[Float[np.ndarray, "trial channel"], Float[np.ndarray, "trial channel"]]:
    """Returns SSE, and SST around each channel's mean, of each trial and channel; other entries may hold anything.

    Example:
        >>> truth = np.array([[[0.0], [2.0]]])
        >>> error_and_total(truth + 0.5, truth, truth > -1)
        (array([[0.5]]), array([[2.]]))
    """
    mean = masked_mean(truth, scored, (0, 1))
    return masked_sum((estimate - truth) ** 2, scored, 1), masked_sum((truth - mean) ** 2, scored, 1)


def r2_per_trial(estimate: Trials, truth: Trials, mask: Mask = None) -> float:
    """Returns the squared Pearson correlation over time, averaged over trials and channels, as in the LFADS tutorial.

    It ignores slope, sign and offset of every single trial, and is high by chance for short slow signals: see
    `r2_floors`. Pairs with constant truth are left out; a constant estimate counts 0. Arguments are as in `r2_pooled`,
    and the estimate may have any unit.

    Returns:
        From 0 to 1; NaN if the truth of every pair is constant.

    Example:
        >>> truth = np.linspace(0, 1, 5).reshape(1, 5, 1)
        >>> round(r2_per_trial(3 - 2 * truth, truth), 6)
        1.0
    """
    return mean_known(r2_of_trials(estimate, truth, mask))


def r2_of_trials(estimate: Trials, truth: Trials, mask: Mask = None) -> Float[np.ndarray, "trial channel"]:
    """Returns the squared correlation of each trial and channel, NaN where the truth is constant; see `r2_per_trial`.

    Example:
        >>> truth = np.array([[[0.0, 1.0], [1.0, 1.0], [3.0, 1.0]]])
        >>> r2_of_trials(5 - truth, truth).round(6).tolist()
        [[1.0, nan]]
    """
    scored = scored_entries(estimate, truth, mask)
    estimate, estimate_power = _centred(estimate, scored)
    truth, truth_power = _centred(truth, scored)
    product, both = (estimate * truth).sum(1), (estimate_power > 0) & (truth_power > 0)
    r2 = np.divide(product**2, estimate_power * truth_power, out=np.zeros_like(product), where=both)
    return np.where(truth_power > 0, r2, np.nan)


def r2_floors(truth: Trials, mask: Mask = None, *, seed: int = 0) -> R2Floors:
    """Returns `r2_per_trial` of estimates that do not depend on the single trial.

    Args:
        truth: True values.
        mask: True where an entry is scored; by default everywhere.
        seed: Seed of the shuffles, in each of which every trial gets the truth of another trial.

    Raises:
        LfadsxError: If there are fewer than 2 trials.

    Example:
        >>> walks = np.random.default_rng(0).normal(size=(2000, 25, 1)).cumsum(1)
        >>> round(r2_floors(walks).shuffled, 2)  # independent random walks
        0.24
    """
    if len(truth) < 2:
        raise LfadsxError(f"`truth` must have at least 2 trials to shuffle, got {len(truth)}.")
    scored = known_entries(truth, mask)
    ramp = np.broadcast_to(np.arange(truth.shape[1])[:, None], truth.shape)
    rng = np.random.default_rng(seed)
    shuffled = []
    for _ in range(N_SHUFFLES):
        # A random cycle through all trials never pairs a trial with itself.
        cycle = rng.permutation(len(truth))
        partner = np.empty_like(cycle)
        partner[cycle] = np.roll(cycle, 1)
        shuffled.append(r2_per_trial(truth[partner], truth, scored & scored[partner]))
    return R2Floors(float(np.mean(shuffled)), r2_per_trial(ramp, truth, scored))


def r2_by_channel(estimate: Trials, target: Trials) -> Float[np.ndarray, " channel"]:
    """Returns `1 - SSE / SST` of each channel over trials and bins without NaN; NaN where the target is constant.

    Example:
        >>> target = np.array([[[0.0, 1.0], [2.0, 1.0]]])
        >>> r2_by_channel(target + 0.5, target).tolist()
        [0.75, nan]
    """
    scored = ~np.isnan(estimate) & ~np.isnan(target)
    error, total = (of.sum(0) for of in error_and_total(estimate, target, scored))
    constant = total <= scored.sum((0, 1)) * (_CONSTANT * masked_mean(target, scored, (0, 1))) ** 2
    return 1 - np.divide(error, total, out=np.full(len(total), np.nan), where=~constant)


def _centred(values: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns values minus their mean over the scored bins of each trial, and the sum of squares of that."""
    mean = masked_mean(values, scored, 1)
    centred = np.where(scored, values - mean[:, None], 0.0)
    power = (centred**2).sum(1)
    constant = power <= np.maximum(scored.sum(1), 1) * (_CONSTANT * mean) ** 2
    return centred, np.where(constant, 0.0, power)

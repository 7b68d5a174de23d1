"""R2 of an estimate against the truth, and the floors of R2 that knowing nothing attains."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Num

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.known_entries import known_entries, masked_sum, scored_entries

# Signals whose standard deviation is below this share of their size are constant in float32.
_CONSTANT = 1e-7


@dataclasses.dataclass(frozen=True)
class R2Floors:
    """Squared Pearson correlations that knowing nothing about a trial attains.

    Attributes:
        shuffled: The truth of another trial taken as the estimate.
        ramp: A straight ramp taken as the estimate.
    """

    shuffled: float
    ramp: float


def r2_pooled(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> float:
    """Share of the truth's variance that an estimate explains, without any refit.

    `1 - SSE / SST`, both sums over all channels, trials and bins; SST is taken around each channel's mean, so
    knowing only the mean of every channel gives 0.

    Args:
        estimate: In the unit of `truth`.
        truth: True values, of the same shape; NaN counts as missing.
        mask: True where an entry is scored; everything when None.

    Returns:
        R2, at most 1; NaN when the truth is constant.

    Raises:
        LfadsxError: The shapes differ, or a scored estimate is NaN or infinite.

    Example:
        >>> truth = np.array([[[0.0], [2.0]]])
        >>> r2_pooled(truth + 0.5, truth)
        0.75
    """
    error, total = (of.sum() for of in error_and_total(estimate, truth, scored_entries(estimate, truth, mask)))
    return float(1 - error / total) if total > 0 else np.nan


def error_and_total(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    scored: Bool[np.ndarray, "trial time channel"],
) -> tuple[Float[np.ndarray, "trial channel"], Float[np.ndarray, "trial channel"]]:
    """Squared error of an estimate, and squares of the truth around each channel's mean, of each trial and channel.

    R2 is one minus the ratio of their sums.

    Args:
        estimate: In the unit of `truth`.
        truth: True values, of the same shape.
        scored: True where an entry counts; estimate and truth may hold anything elsewhere.

    Example:
        >>> truth = np.array([[[0.0], [2.0]]])
        >>> error_and_total(truth + 0.5, truth, truth > -1)
        (array([[0.5]]), array([[2.]]))
    """
    mean = masked_sum(truth, scored, (0, 1)) / np.maximum(scored.sum((0, 1)), 1)
    return masked_sum((estimate - truth) ** 2, scored, 1), masked_sum((truth - mean) ** 2, scored, 1)


def r2_per_trial(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> float:
    """Squared Pearson correlation over time for each trial and channel, averaged.

    The figure of the LFADS tutorial. It is blind to slope, sign and offset in every single trial, and high by
    chance for short slow signals: see `r2_floors`. Pairs with constant truth are left out; a constant
    estimate counts 0. Arguments and errors are as in `r2_pooled`, and the estimate may have any unit.

    Returns:
        Mean over trials and channels, 0 to 1; NaN when every pair is constant.

    Example:
        >>> truth = np.linspace(0, 1, 5).reshape(1, 5, 1)
        >>> round(r2_per_trial(3 - 2 * truth, truth), 6)
        1.0
    """
    r2 = r2_of_trials(estimate, truth, mask)
    varies = ~np.isnan(r2)
    return float(r2[varies].mean()) if varies.any() else np.nan


def r2_of_trials(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> Float[np.ndarray, "trial channel"]:
    """Squared Pearson correlation over time of each trial and channel, for histograms; as in `r2_per_trial`.

    Returns:
        From 0 to 1, shape (trial, channel); NaN where the truth is constant.

    Example:
        >>> truth = np.array([[[0.0, 1.0], [1.0, 1.0], [3.0, 1.0]]])
        >>> r2_of_trials(5 - truth, truth).round(6).tolist()
        [[1.0, nan]]
    """
    scored = scored_entries(estimate, truth, mask)
    estimate, estimate_power = _centred(estimate, scored)
    truth, truth_power = _centred(truth, scored)
    product = (estimate * truth).sum(1)
    r2 = np.divide(
        product**2,
        estimate_power * truth_power,
        out=np.zeros_like(product),
        where=(estimate_power > 0) & (truth_power > 0),
    )
    return np.where(truth_power > 0, r2, np.nan)


def r2_floors(
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
    *,
    n_shuffles: int = 5,
    seed: int = 0,
) -> R2Floors:
    """What `r2_per_trial` gives to estimates that know nothing about the single trial.

    Args:
        truth: True values.
        mask: True where an entry is scored; everything when None.
        n_shuffles: Number of shuffles that are averaged; in each, every trial gets another trial's truth.
        seed: Seed of the shuffles.

    Raises:
        LfadsxError: There are fewer than 2 trials.

    Example:
        >>> walks = np.random.default_rng(0).normal(size=(2000, 25, 1)).cumsum(1)
        >>> round(r2_floors(walks).shuffled, 2)  # independent random walks
        0.24
    """
    if len(truth) < 2:
        raise LfadsxError(f"truth has {len(truth)} trial, but shuffling needs at least 2. Pass all trials of a split.")
    scored = known_entries(truth, mask)
    ramp = np.broadcast_to(np.arange(truth.shape[1])[:, None], truth.shape)
    rng = np.random.default_rng(seed)
    shuffled = []
    for _ in range(n_shuffles):
        # Along a random cycle through all trials, so that none is its own partner.
        cycle = rng.permutation(len(truth))
        partner = np.empty_like(cycle)
        partner[cycle] = np.roll(cycle, 1)
        shuffled.append(r2_per_trial(truth[partner], truth, scored & scored[partner]))
    return R2Floors(float(np.mean(shuffled)), r2_per_trial(ramp, truth, scored))


def r2_by_channel(
    estimate: Num[np.ndarray, "trial time channel"], target: Num[np.ndarray, "trial time channel"]
) -> Float[np.ndarray, " channel"]:
    """Share of each channel's variance over trials and bins that an estimate explains, NaN left out, without any refit.

    Returns:
        1 - SSE / SST of each channel, shape (channel,), at most 1; NaN where the target is constant.

    Example:
        >>> target = np.array([[[0.0, 1.0], [2.0, 1.0]]])
        >>> r2_by_channel(target + 0.5, target).tolist()
        [0.75, nan]
    """
    scored = ~np.isnan(estimate) & ~np.isnan(target)
    mean = masked_sum(target, scored, (0, 1)) / np.maximum(scored.sum((0, 1)), 1)
    error, total = (of.sum(0) for of in error_and_total(estimate, target, scored))
    constant = total <= scored.sum((0, 1)) * (_CONSTANT * mean) ** 2
    return 1 - np.divide(error, total, out=np.full(len(total), np.nan), where=~constant)


def _centred(values: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values minus their mean over the scored bins of each trial, and the sum of squares of that."""
    n_bins = np.maximum(scored.sum(1), 1)
    mean = masked_sum(values, scored, 1) / n_bins
    centred = np.where(scored, values - mean[:, None], 0.0)
    power = (centred**2).sum(1)
    constant = power <= n_bins * (_CONSTANT * mean) ** 2
    return centred, np.where(constant, 0.0, power)

"""Spikes: Poisson log likelihood, bits per spike, and the bootstrap interval of a difference."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Num

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.known_entries import masked_sum, scored_entries

SMALLEST_RATE = 1e-9
"""Rates of 0 are scored as this many counts per bin, so that one spike there costs 21 nats, not infinity."""


@dataclasses.dataclass(frozen=True)
class BitsPerSpike:
    """Bits per spike of one session, pooled and by neuron.

    Attributes:
        value: Pooled over neurons, trials and bins; NaN without any spike.
        per_neuron: The same for each neuron, shape (channel,); NaN for neurons without spikes.
        silent: Neurons that are scored but have no spike there; they are left out of `value`.
        n_spikes: Number of spikes scored.
    """

    value: float
    per_neuron: np.ndarray
    silent: tuple[int, ...]
    n_spikes: int


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval.

    Attributes:
        value: The figure on all trials.
        low: Lower end of the interval.
        high: Upper end; the figure differs from 0 when both ends lie on one side of it.
    """

    value: float
    low: float
    high: float


def poisson_nll(rates: Num[np.ndarray, "*shape"], counts: Num[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Negative log likelihood of spike counts under a Poisson distribution, entry by entry.

    `r - k log r + log k!` with the exact log k!.

    Args:
        rates: Expected counts per bin; 0 is taken as `SMALLEST_RATE`.
        counts: Spike counts per bin, of the same shape; NaN gives NaN.

    Returns:
        Nats, of the same shape.

    Raises:
        LfadsxError: A rate is negative, or a count is negative or no whole number.

    Example:
        >>> poisson_nll(np.array([2.0, 2.0]), np.array([0, 1])).round(3).tolist()
        [2.0, 1.307]
    """
    rates = np.asarray(rates, dtype=np.float64)
    if np.any(rates < 0):
        raise LfadsxError(
            f"rates holds {np.nanmin(rates):g}, but expected counts are never below 0. "
            "Pass rates in counts per bin, not log rates."
        )
    rates = np.where(rates == 0, SMALLEST_RATE, rates)
    return rates - counts * np.log(rates) + _log_factorial(counts)


def bits_per_spike(
    rates: Num[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    *,
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
    null_rates: Num[np.ndarray, "*null"] | None = None,
) -> BitsPerSpike:
    """Bits per spike that rates save over a null model, pooled over neurons, trials and bins.

    `(NLL_null - NLL_model) / (spikes * ln 2)`: the convention of the Neural Latents Benchmark (Pei et al.
    2021). Neurons that are silent in the scored data are left out of both sums.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts per bin; NaN counts as missing.
        mask: True where an entry is scored; everything when None.
        null_rates: Rates of the null model in counts per bin, in a shape that broadcasts to that of `counts`;
            each neuron's mean over the scored trials and bins when None.

    Raises:
        LfadsxError: The shapes differ, a scored rate is NaN, infinite or negative, or a count is no count.

    Example:
        >>> counts = np.array([[[0], [2]], [[0], [2]]])
        >>> round(bits_per_spike(np.where(counts > 0, 2.0, 0.0), counts).value, 6)
        1.0
    """
    scored = scored_entries(rates, counts, mask)
    spikes = masked_sum(counts, scored, (0, 1))
    n_scored = scored.sum((0, 1))
    null = np.broadcast_to(spikes / np.maximum(n_scored, 1) if null_rates is None else null_rates, counts.shape)
    scored_entries(null, counts, mask)
    saved = (_masked_nll(null, counts, scored) - _masked_nll(rates, counts, scored)).sum((0, 1)) / np.log(2)
    fires = spikes > 0
    per_neuron = np.divide(saved, spikes, out=np.full(len(spikes), np.nan), where=fires)
    value = saved[fires].sum() / spikes.sum() if fires.any() else np.nan
    silent = tuple(int(channel) for channel in np.flatnonzero(~fires & (n_scored > 0)))
    return BitsPerSpike(float(value), per_neuron, silent, int(spikes.sum()))


def nll_per_trial(
    rates: Num[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> Float[np.ndarray, " trial"]:
    """Poisson negative log likelihood of each trial, summed over its scored entries.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts per bin; NaN counts as missing.
        mask: True where an entry is scored; everything when None.

    Returns:
        Nats, shape (trial,).

    Raises:
        LfadsxError: As `bits_per_spike`.

    Example:
        >>> nll_per_trial(np.ones((3, 4, 2)), np.zeros((3, 4, 2))).tolist()
        [8.0, 8.0, 8.0]
    """
    return _masked_nll(rates, counts, scored_entries(rates, counts, mask)).sum((1, 2))


def bootstrap_interval(
    difference: Float[np.ndarray, " trial"],
    spikes: Num[np.ndarray, " trial"],
    *,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Paired difference of two models in bits per spike, with its bootstrap interval over trials.

    `sum(NLL_b - NLL_a) / (sum(spikes) * ln 2)`, positive where model a is better. Trials are resampled with
    replacement and both sums are formed anew; quantiles of the resampled figures are the ends.

    Args:
        difference: `NLL_b - NLL_a` of each trial in nats, from `nll_per_trial`, shape (trial,).
        spikes: Scored spikes of each trial, shape (trial,).
        n: Number of resamples.
        seed: Seed of the resampling.
        level: Probability that the interval covers.

    Raises:
        LfadsxError: The lengths differ, or there are fewer than 2 trials.

    Example:
        >>> bootstrap_interval(np.log(2) * np.array([1.0, 3.0]), np.array([2, 2]))
        Interval(value=1.0, low=0.5, high=1.5)
    """
    n_trials = len(difference)
    if len(spikes) != n_trials or n_trials < 2:
        raise LfadsxError(
            f"difference has {n_trials} trials and spikes {len(spikes)}, but a paired bootstrap needs "
            "the same 2 or more trials in both. Pass one number per trial in each."
        )

    def bits(trials: np.ndarray) -> float:
        n_spikes = spikes[trials].sum()
        return float(difference[trials].sum() / (np.log(2) * n_spikes)) if n_spikes > 0 else np.nan

    rng = np.random.default_rng(seed)
    draws = np.array([bits(rng.integers(n_trials, size=n_trials)) for _ in range(n)])
    # Resamples without a single spike have no value; they occur only in tiny data sets.
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if known.size else (np.nan, np.nan)
    return Interval(bits(np.arange(n_trials)), float(low), float(high))


def _masked_nll(rates: np.ndarray, counts: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Negative log likelihood of each entry, 0 where it is not scored."""
    nll = poisson_nll(np.where(scored, rates, 1.0), np.where(scored, counts, 0))
    return np.where(scored, nll, 0.0)


def _log_factorial(counts: np.ndarray) -> np.ndarray:
    """log k!, exact, from a table up to the largest count; NaN is taken as 0."""
    known = np.where(np.isnan(counts), 0, counts)
    whole = known.astype(np.int64)
    wrong = (whole != known) | (whole < 0)
    if wrong.any():
        raise LfadsxError(
            f"counts holds {known[wrong][0]:g}, but spike counts are whole numbers from 0 up. "
            "Pass counts per bin, and NaN or a mask for missing entries."
        )
    log_of_each = np.log(np.maximum(np.arange(whole.max(initial=0) + 1), 1))
    return np.cumsum(log_of_each)[whole]

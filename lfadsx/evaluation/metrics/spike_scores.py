"""Spikes: Poisson log likelihood and bits per spike."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Num

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.known_entries import Mask, Trials, known_entries, masked_sum, scored_entries

SMALLEST_RATE = 1e-9
"""Rates of 0 are scored as this many counts per bin, so that one spike there costs 21 nats, not infinity."""


@dataclasses.dataclass(frozen=True)
class BitsPerSpike:
    """Bits per spike of one session, pooled and by neuron.

    Attributes:
        value: Pooled over neurons, trials and bins; NaN without any spike.
        per_neuron: Of each neuron, shape (channel,); NaN for neurons without spikes.
        silent: Neurons that are scored but have no spike there; they are left out of `value`.
        n_spikes: Number of spikes scored.
    """

    value: float
    per_neuron: np.ndarray
    silent: tuple[int, ...]
    n_spikes: int


def poisson_nll(rates: Num[np.ndarray, "*shape"], counts: Num[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Returns the Poisson negative log likelihood of each count in nats, `r - k log r + log k!` with the exact log k!.

    Args:
        rates: Expected counts per bin; 0 is taken as `SMALLEST_RATE`.
        counts: Spike counts per bin, of the same shape; NaN gives NaN.

    Raises:
        LfadsxError: If a rate is negative, or a count is negative or not a whole number.

    Example:
        >>> poisson_nll(np.array([2.0, 2.0]), np.array([0, 1])).round(3).tolist()
        [2.0, 1.307]
    """
    rates = np.asarray(rates, dtype=np.float64)
    if np.any(rates < 0):
        raise LfadsxError(
            f"Rates must be at least 0, got {np.nanmin(rates):g}. Pass rates in counts per bin, not log rates."
        )
    rates = np.where(rates == 0, SMALLEST_RATE, rates)
    return rates - counts * np.log(rates) + _log_factorial(counts)


def bits_per_spike(
    rates: Trials, counts: Trials, *, mask: Mask = None, null_rates: Num[np.ndarray, "*null"] | None = None
) -> BitsPerSpike:
    """Returns the bits per spike that rates save over a null model, pooled over neurons, trials and bins.

    `(NLL_null - NLL_model) / (spikes * ln 2)`, the convention of the Neural Latents Benchmark (Pei et al.
    2021). Neurons that are silent in the scored data are left out of both sums.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts per bin; NaN counts as missing.
        mask: True where an entry is scored; by default everywhere.
        null_rates: Rates of the null model in counts per bin, in a shape that broadcasts to that of `counts`;
            by default each neuron's mean over the scored trials and bins.

    Raises:
        LfadsxError: If a scored rate is negative, or a scored count is negative or not a whole number.

    Example:
        >>> counts = np.array([[[0], [2]], [[0], [2]]])
        >>> round(bits_per_spike(np.where(counts > 0, 2.0, 0.0), counts).value, 6)
        1.0
    """
    saved, spikes = (of.sum(0) for of in bits_saved(rates, counts, mask=mask, null_rates=null_rates))
    fires = spikes > 0
    per_neuron = np.divide(saved, spikes, out=np.full(len(spikes), np.nan), where=fires)
    value = saved[fires].sum() / spikes.sum() if fires.any() else np.nan
    is_scored = known_entries(counts, mask).any((0, 1))
    silent = tuple(int(channel) for channel in np.flatnonzero(~fires & is_scored))
    return BitsPerSpike(float(value), per_neuron, silent, int(spikes.sum()))


def bits_saved(
    rates: Trials, counts: Trials, *, mask: Mask = None, null_rates: Num[np.ndarray, "*null"] | None = None
) -> tuple[Float[np.ndarray, "trial channel"], Float[np.ndarray, "trial channel"]]:
    """Returns the bits that rates save, and the spikes, of each trial and neuron; arguments as in `bits_per_spike`.

    Example:
        >>> counts = np.array([[[0], [2]], [[0], [2]]])
        >>> saved, spikes = bits_saved(np.where(counts > 0, 2.0, 0.0), counts)
        >>> saved.round(6).tolist(), spikes.tolist()
        ([[2.0], [2.0]], [[2.0], [2.0]])
    """
    scored = scored_entries(rates, counts, mask)
    spikes = masked_sum(counts, scored, 1)
    null = spikes.sum(0) / np.maximum(scored.sum((0, 1)), 1) if null_rates is None else null_rates
    null = np.broadcast_to(null, counts.shape)
    scored_entries(null, counts, mask)
    return (_masked_nll(null, counts, scored) - _masked_nll(rates, counts, scored)).sum(1) / np.log(2), spikes


def nll_per_trial(rates: Trials, counts: Trials, mask: Mask = None) -> Float[np.ndarray, " trial"]:
    """Returns the Poisson negative log likelihood of each trial in nats; arguments as in `bits_per_spike`.

    Example:
        >>> nll_per_trial(np.ones((3, 4, 2)), np.zeros((3, 4, 2))).tolist()
        [8.0, 8.0, 8.0]
    """
    return _masked_nll(rates, counts, scored_entries(rates, counts, mask)).sum((1, 2))


def _masked_nll(rates: np.ndarray, counts: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Returns the negative log likelihood of each entry, 0 where it is not scored."""
    nll = poisson_nll(np.where(scored, rates, 1.0), np.where(scored, counts, 0))
    return np.where(scored, nll, 0.0)


def _log_factorial(counts: np.ndarray) -> np.ndarray:
    """Returns log k! from a table up to the largest count; NaN is taken as 0."""
    known = np.where(np.isnan(counts), 0, counts)
    whole = known.astype(np.int64)
    wrong = (whole != known) | (whole < 0)
    if wrong.any():
        raise LfadsxError(
            f"Spike counts must be whole numbers of at least 0, got {known[wrong][0]:g}. "
            "Pass counts per bin, and NaN or a mask for missing entries."
        )
    log_of_each = np.log(np.maximum(np.arange(whole.max(initial=0) + 1), 1))
    return np.cumsum(log_of_each)[whole]

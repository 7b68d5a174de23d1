"""The measures of the Computation-through-Dynamics benchmark, as functions of arrays (trial, time, value).

Linear maps have an intercept and are fitted on training trials; R2 are those of validation trials, pooled over values:
1 - SSE / SST with SST around the mean of each value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lfadsx.evaluation.metrics import align, bits_per_spike, r2_pooled

KEPT = 0.99
"""Share of the squared singular values that the inverse of the read-out keeps in `cycle_consistency`."""


class Pair(NamedTuple):
    """Values of training and of validation trials, each (trial, time, value)."""

    train: np.ndarray
    valid: np.ndarray

    def times(self, other: Pair) -> Pair:
        """Returns the products of two pairs."""
        return Pair(self.train * other.train, self.valid * other.valid)


def mapped_r2(known: Pair, wanted: Pair) -> float:
    """Returns the R2 of a linear map from known to wanted values.

    From true to inferred latents this is the benchmark's state R2: what a model invents lowers it, what it lacks does
    not. From inferred to true ones it is the other way round.
    """
    return r2_pooled(align(known.valid, fit_on=(known.train, wanted.train)), wanted.valid)


def co_bps(rates: np.ndarray, counts: np.ndarray, first: int) -> float:
    """Returns the bits per spike of the neurons from number `first` on, over their mean rates in the same trials."""
    return bits_per_spike(rates[:, :, first:], counts[:, :, first:]).value


def cycle_consistency(latents: Pair, log_rates: np.ndarray) -> float:
    """Returns the R2 of latents that are recovered from the log rates that they are mapped to.

    The linear map from latents to log rates is inverted with the leading singular values alone that hold 99 % of their
    squares. So the measure is the share of the latents' variance in directions that the log rates show well. Principal
    components, which the benchmark takes first, are a rotation of both sides and change nothing.

    Args:
        latents: Inferred latents.
        log_rates: Inferred log rates of training trials.
    """
    flat = latents.train.reshape(-1, latents.train.shape[2]).astype(float)
    centre, shown = flat.mean(0), log_rates.reshape(len(flat), -1).astype(float)
    to_rates = np.linalg.lstsq(flat - centre, shown - shown.mean(0), rcond=None)[0]
    directions, sizes, _ = np.linalg.svd(to_rates, full_matrices=False)
    held = np.cumsum(sizes**2) / np.sum(sizes**2)
    kept = directions[:, : 1 + int(np.searchsorted(held, KEPT * (1 - 1e-12)))]
    return r2_pooled((latents.valid - centre) @ kept @ kept.T + centre, latents.valid)

"""Condition averages: the PSTH, its R2, and the largest R2 that noise allows."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Shaped

from lfadsx.data.condition_labels import has_label
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.known_entries import (
    Mask,
    Trials,
    known_entries,
    masked_sum,
    mean_known,
    scored_entries,
    smooth,
)
from lfadsx.evaluation.metrics.r2 import r2_by_channel

N_SPLITS = 10
"""Random splits of the trials that `psth_ceiling` averages."""


@dataclasses.dataclass(frozen=True)
class PsthR2:
    """R2 of condition averages.

    Attributes:
        value: Mean over neurons with equal weights; NaN if all PSTHs are constant.
        per_neuron: R2 of each neuron, shape (channel,); NaN for neurons whose PSTH is constant.
    """

    value: float
    per_neuron: np.ndarray


@dataclasses.dataclass(frozen=True)
class PsthCeiling:
    """The largest PSTH R2 that the noise of the data allows.

    Attributes:
        value: PSTH R2 of a model with the true PSTH, mean over neurons; NaN if it exists for no neuron.
        per_neuron: The same for each neuron, shape (channel,).
        halves: PSTH R2 of one half of the trials against the other, mean over neurons. It is far below
            `value`, since both halves are noisy and each has half the trials.
    """

    value: float
    per_neuron: np.ndarray
    halves: float


def psth(
    values: Trials, condition: Shaped[np.ndarray, " trial"], mask: Mask = None
) -> tuple[Shaped[np.ndarray, " condition"], Float[np.ndarray, "condition time channel"]]:
    """Returns the mean over the trials of each condition (peri-stimulus time histogram).

    Args:
        values: Counts or rates per bin; NaN counts as missing.
        condition: Label of each trial; trials without one (`has_label`) are left out.
        mask: True where an entry is used; by default everywhere.

    Returns:
        The labels in ascending order, and the means in the unit of `values`, NaN where no trial has data.

    Example:
        >>> labels, means = psth(np.array([[[1.0]], [[3.0]], [[5.0]]]), np.array([0, 0, 1]))
        >>> means.ravel().tolist()
        [2.0, 5.0]
    """
    _check_labels(condition, values)
    used = known_entries(values, mask)
    labels = np.unique(condition[has_label(condition)])
    means = np.full((len(labels), *values.shape[1:]), np.nan)
    for mean, label in zip(means, labels, strict=True):
        of_label = condition == label
        entries = used[of_label].sum(0)
        np.divide(masked_sum(values[of_label], used[of_label], 0), entries, out=mean, where=entries > 0)
    return labels, means


def psth_r2(
    rates: Trials, counts: Trials, condition: Shaped[np.ndarray, " trial"], *, kernel_bins: float, mask: Mask = None
) -> PsthR2:
    """Returns R2 of condition-averaged rates against the smoothed PSTH of the counts (Neural Latents Benchmark).

    All conditions and bins of a neuron are stacked: `1 - SSE / SST` over conditions and bins. The mean over
    neurons gives each the same weight; neurons whose PSTH is constant are left out.

    Args:
        rates: Expected counts per bin; only averaged, not smoothed.
        counts: Spike counts per bin; NaN counts as missing.
        condition: Label of each trial.
        kernel_bins: Standard deviation in bins of the Gaussian that smooths the PSTH of the counts.
        mask: True where an entry is scored; by default everywhere.

    Example:
        >>> counts = np.tile(np.array([[0], [4], [2]]), (5, 1, 1))
        >>> psth_r2(np.full((5, 3, 1), 2.0), counts, np.zeros(5), kernel_bins=0).value
        0.0
    """
    scored = scored_entries(rates, counts, mask)
    of_rates, of_counts = (psth(values, condition, scored)[1] for values in (rates, counts))
    per_neuron = r2_by_channel(of_rates, smooth(of_counts, kernel_bins))
    return PsthR2(mean_known(per_neuron), per_neuron)


def psth_ceiling(
    counts: Trials, condition: Shaped[np.ndarray, " trial"], *, kernel_bins: float, mask: Mask = None, seed: int = 0
) -> PsthCeiling:
    """Returns the PSTH R2 of a model with the true PSTH, estimated from halves of the data.

    The trials of each condition are halved at random. With smoothed PSTHs A and B of the halves and C of all
    trials, C has the noise variance `mean((A - B)^2) / 4`. The true PSTH therefore attains about
    `1 - mean((A - B)^2) / 4 / var(C)`. Rates inferred from the scored spikes themselves can exceed that. Conditions
    with a single trial are left out. `N_SPLITS` random splits are averaged; arguments are as in `psth_r2`.

    Example:
        >>> counts = np.tile(np.array([[0], [4], [2]]), (6, 1, 1))
        >>> psth_ceiling(counts, np.zeros(6), kernel_bins=0).value
        1.0
    """
    _check_labels(condition, counts)
    used = known_entries(counts, mask)

    def smoothed(trials: np.ndarray) -> np.ndarray:
        return smooth(psth(counts[trials], condition[trials], used[trials])[1], kernel_bins)

    rng = np.random.default_rng(seed)
    halves, ceilings = np.full((2, N_SPLITS, counts.shape[2]), np.nan)
    for i in range(N_SPLITS):
        first, second = _halves(condition, rng)
        one, other, both = smoothed(first), smoothed(second), smoothed(np.concatenate([first, second]))
        halves[i] = r2_by_channel(one, other)
        # Adding half the difference of the halves to C adds as much noise as C itself has.
        ceilings[i] = r2_by_channel(both + (one - other) / 2, both)
    per_neuron = np.array([mean_known(of_neuron) for of_neuron in ceilings.T])
    return PsthCeiling(mean_known(per_neuron), per_neuron, mean_known(halves))


def _check_labels(condition: np.ndarray, values: np.ndarray) -> None:
    if len(condition) != len(values):
        raise LfadsxError(f"`condition` must have one label per trial, got {len(condition)} labels for {len(values)}.")


def _halves(condition: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the trials of two random halves of every condition with at least two trials."""
    halves = [], []
    for label in np.unique(condition[has_label(condition)]):
        trials = rng.permutation(np.flatnonzero(condition == label))
        if len(trials) >= 2:
            halves[0].extend(trials[: len(trials) // 2])
            halves[1].extend(trials[len(trials) // 2 :])
    return np.array(halves[0], dtype=int), np.array(halves[1], dtype=int)

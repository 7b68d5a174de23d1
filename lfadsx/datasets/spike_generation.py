"""From rates to data: scaling of time courses, and spikes or noise drawn from rates."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError

NoiseType = Literal["poisson", "gaussian"]


def spikify(
    rates: np.ndarray,
    *,
    bin_width: float,
    noise: NoiseType = "poisson",
    noise_std: float | None = None,
    seed: int | np.random.RandomState = 0,
) -> np.ndarray:
    r"""Draws spike counts, or rates with Gaussian noise, from given rates.

    .. math:: x_{tn} \sim \mathrm{Poisson}(r_{tn} \Delta t) \quad\text{or}\quad x_{tn} = r_{tn} + \sigma \epsilon_{tn}

    Numbers are drawn in the order of the original program: by trial, then by neuron, then by bin.

    Source: the synthetic data of the original LFADS; Pandarinath et al. 2018.

    Example:
        >>> import numpy as np
        >>> from lfadsx.datasets import spikify
        >>> rates = 20 + 10 * np.sin(np.linspace(0, 6, 50))[None, :, None] * np.ones((30, 1, 8))
        >>> counts = spikify(rates, bin_width=0.02)
        >>> counts.shape, bool(abs(counts.mean() / 0.02 - rates.mean()) < 1)
        ((30, 50, 8), True)

    Args:
        rates: Rates in Hz, shape (trial, time, neuron), not negative for "poisson".
        bin_width: Width of a bin in seconds.
        noise: "poisson" for counts, "gaussian" for real numbers.
        noise_std: Standard deviation of the Gaussian noise in Hz; by default 5 times the highest rate times the
            square root of the bin width in seconds, as in the original.
        seed: Seed of the draw, or a generator that continues from its state.

    Returns:
        Counts per bin (integers), or noisy rates in Hz (float64), shape (trial, time, neuron).

    Raises:
        DataError: If rates do not have three axes, are NaN or infinite, or negative for "poisson", or a setting is out
            of range.
    """
    rates = np.asarray(rates)
    validation.numbers(rates, "'rates'")
    validation.dimensions(rates, 3, "'rates'")
    validation.positive(bin_width, "`bin_width`")
    validation.one_of(noise, get_args(NoiseType), "`noise`")
    wrong = ~np.isfinite(rates) | (rates < 0 if noise == "poisson" else False)
    if wrong.any():
        where = validation.place(wrong, ("trial", "bin", "neuron"))
        raise DataError(
            f"'rates' must be rates in Hz, finite and at least 0 for spikes, got {rates[wrong][0]:g} at {where}."
        )
    random = seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
    if noise == "poisson":
        return random.poisson((rates * bin_width).transpose(0, 2, 1)).transpose(0, 2, 1)
    std = 5 * rates.max() * np.sqrt(bin_width) if noise_std is None else noise_std
    n_trials, n_bins, n_neurons = rates.shape
    return rates + std * random.randn(n_trials, n_neurons, n_bins).transpose(0, 2, 1)


def between_zero_and_one(rates: np.ndarray) -> np.ndarray:
    """Scales each trial's and neuron's time course, (trial, time, neuron), to the range from 0 to 1."""
    low, high = rates.min(axis=1, keepdims=True), rates.max(axis=1, keepdims=True)
    constant = ~(high > low)
    if constant.any():
        trial, _, neuron = np.argwhere(constant)[0]
        raise DataError(
            f"The rate of neuron {neuron} in trial {trial} must vary to be scaled to the range from 0 to 1, got "
            f"{low[constant][0]:g} in every bin. Change the gain, the starting states or the inputs."
        )
    return (rates - low) / (high - low)

"""Gaussian-process factor analysis by the package elephant, which lfadsx does not depend on.

Needs numpy, elephant and scikit-learn only, so that it can run in a separate environment.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Gpfa:
    """Gaussian-process factor analysis fitted to square roots of counts, `sqrt(x_t) ~ N(C z_t + d, R)`.

    Attributes:
        model: The fitted model of elephant, for neurons with spikes.
        spoke: True for each neuron with a spike in the training trials, shape (neuron,).
        bin_width: In seconds.
    """

    model: Any
    spoke: np.ndarray
    bin_width: float

    def latents(self, counts: np.ndarray) -> np.ndarray:
        """Returns the posterior mean of z, shape (trial, time, component), for counts (trial, time, neuron)."""
        trains = _spike_trains(counts[:, :, self.spoke], self.bin_width)
        found = self.model.transform(trains, returned_data=["latent_variable"])
        return np.stack([np.asarray(each).T for each in found])

    def rates(self, latents: np.ndarray) -> np.ndarray:
        """Returns expected counts, `(C z + d)^2 + R` (trial, time, neuron); 0 for silent neurons."""
        parameters = self.model.params_estimated
        roots = latents @ np.asarray(parameters["C"]).T + np.asarray(parameters["d"]).ravel()
        rates = np.zeros((*latents.shape[:2], len(self.spoke)))
        rates[:, :, self.spoke] = np.maximum(roots, 0) ** 2 + np.diag(np.asarray(parameters["R"]))
        return rates


def fit_gpfa(train: np.ndarray, *, bin_width: float, n_components: int, n_iterations: int = 100) -> Gpfa:
    """Fits Gaussian-process factor analysis by expectation maximisation.

    Args:
        train: Counts that the model is fitted to, shape (trial, time, neuron).
        bin_width: In seconds.
        n_components: Number of processes.
        n_iterations: Steps of expectation maximisation.

    Raises:
        ImportError: elephant or scikit-learn is not installed.
    """
    try:
        import quantities
        from elephant.gpfa import GPFA
    except ImportError as error:
        raise ImportError(
            f"GPFA needs the packages elephant and scikit-learn, and {error.name!r} is not installed. "
            "Run `pip install elephant scikit-learn`, or leave GPFA out."
        ) from error
    spoke = np.asarray(train.any((0, 1)))
    width = bin_width * quantities.s
    model = GPFA(bin_size=width, x_dim=n_components, em_max_iters=n_iterations, verbose=False)
    model.fit(_spike_trains(train[:, :, spoke], bin_width))
    return Gpfa(model, spoke, bin_width)


def gpfa(
    train: np.ndarray, scored: np.ndarray, *, bin_width: float, n_components: int, n_iterations: int = 100
) -> np.ndarray:
    """Expected counts by Gaussian-process factor analysis of square roots of counts.

    `sqrt(x_t) ~ N(C z_t + d, R)` with smooth Gaussian processes z; the expected count is `(C z + d)^2 + R`, at the
    posterior mean of z.

    Args:
        train: Counts that the model is fitted to, shape (trial, time, neuron).
        scored: Counts of the trials that get the rates, of any number of trials.
        bin_width: In seconds.
        n_components: Number of processes.
        n_iterations: Steps of expectation maximisation.

    Returns:
        Expected counts per bin, shape (trial, time, neuron); a neuron silent in training has its mean, 0.

    Raises:
        ImportError: elephant or scikit-learn is not installed.
    """
    fitted = fit_gpfa(train, bin_width=bin_width, n_components=n_components, n_iterations=n_iterations)
    return fitted.rates(fitted.latents(scored))


def _spike_trains(counts: np.ndarray, bin_width: float) -> list[list[Any]]:
    """Spike trains with every spike in the middle of its bin, by trial and neuron."""
    import quantities
    from neo import SpikeTrain

    width = bin_width * quantities.s
    times = (np.arange(counts.shape[1]) + 0.5) * width
    stop = counts.shape[1] * width
    return [[SpikeTrain(np.repeat(times, each), t_stop=stop) for each in trial.T] for trial in counts]

"""The Lorenz system, observed through neurons whose log rates are linear in its state."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from lfadsx.datasets.recipe import AbstractTrials, Simulation
from lfadsx.datasets.spike_generation import spikify

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
"""Coefficients of the Lorenz system."""
BURN_IN = 60.0
"""Time, in units of the system, after which states from any start follow the stationary law."""


class LorenzReadout(NamedTuple):
    """The map from state to rates: `rates = base * exp((state - mean) / std @ weights)`, at most `max_rate`.

    Attributes:
        mean: Mean of the state on the attractor, shape (3,).
        std: Standard deviation of the state on the attractor, shape (3,).
        weights: Read-out weights, shape (3, neuron).
    """

    mean: np.ndarray
    std: np.ndarray
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class Lorenz(AbstractTrials):
    r"""Spikes of neurons whose log rates are linear in the state of the Lorenz system.

    .. math::
        \dot s_1 = \sigma (s_2 - s_1), \quad \dot s_2 = s_1 (\rho - s_3) - s_2, \quad \dot s_3 = s_1 s_2 - \beta s_3 \\
        r_t = r_0 \exp(w^T \tilde s_t), \quad x_{tn} \sim \mathrm{Poisson}(r_{tn} \Delta t)

    The system has sigma 10, rho 28, beta 8/3 and moves by Euler steps. From the paper: 65 conditions of 20 trials (16
    train); 1 s; 30 neurons; base rate 5 Hz; Euler step 0.006. The paper leaves open, so these are our choices:

    * Speed: one Euler step is a millisecond and `steps_per_bin` steps make a bin of 10 ms. So a trial has 1000 steps in
      100 bins, 6 units of the system's time and about 8 turns. The rate of a bin follows the state after its last step.
    * Read-out: s is standardised by mean and deviation of each dimension on the attractor, and w is a vector of length
      `modulation` in a random direction. Mean rates are about 8 Hz. All trials of a condition have the same rates.
    * Starts: each condition starts at a separate draw from the attractor's stationary law: `stationary`.

    Other programs differ: lfads-run-manager has weights of absolute value from 1 to 2 and starts at (0, 0, 25) plus a
    standard normal number in each dimension.

    Random numbers are drawn in this order: starts, read-out, counts. `run` returns the states and `rates` the rates
    for any start.

    Source: Sussillo, Jozefowicz, Abbott & Pandarinath 2016, arXiv:1608.06315; the system: Lorenz 1963.

    Example:
        >>> from lfadsx.datasets.lorenz import Lorenz
        >>> recipe = Lorenz(conditions=5)
        >>> (session,) = recipe.simulate()
        >>> session.arrays["train_data"].shape, session.arrays["valid_states"].shape
        ((80, 100, 30), (20, 100, 3))
    """

    conditions: int = 65
    """Number of conditions, each with a different start state."""
    trials_per_condition: int = 20
    """Number of trials of each condition."""
    units: int = 30
    """Number of neurons."""
    max_rate: float = 500.0
    """Highest rate in Hz: higher rates are cut. With the other defaults all rates are far below it."""
    base_rate: float = 5.0
    """Rate in Hz of every neuron at the attractor's mean."""
    modulation: float = 1.0
    """Length of each neuron's read-out weights; its square is the variance of the log rate over the attractor,
    averaged over directions."""
    step: float = 0.006
    """Euler step in units of the system's time."""
    steps_per_bin: int = 10
    """Number of Euler steps in a bin: more make the dynamics faster."""

    def starts(self) -> np.ndarray:
        """Returns the state before the first bin of each condition, shape (condition, 3)."""
        return self._draw()[0]

    def readout(self) -> LorenzReadout:
        """Returns the map from state to rates."""
        return self._draw()[1]

    def run(self, starts: np.ndarray) -> np.ndarray:
        """Runs the system from given states.

        Args:
            starts: States before the first bin, shape (condition, 3).

        Returns:
            States after the last step of each bin, shape (condition, time, 3).
        """
        states = np.empty((len(starts), self.n_bins, 3))
        state = starts
        for t in range(self.n_bins):
            state = states[:, t] = euler(state, self.step, self.steps_per_bin)
        return states

    def rates(self, states: np.ndarray) -> np.ndarray:
        """Returns the rates in Hz, shape (..., neuron), at states (..., 3)."""
        mean, std, weights = self.readout()
        return np.minimum(self.base_rate * np.exp((states - mean) / std @ weights), self.max_rate)

    def simulate(self) -> list[Simulation]:
        """Simulates all trials.

        Returns:
            One simulation, with counts per bin under `{split}_data` and rates in Hz under `{split}_truth`, both
            (trial, time, neuron), and the states under `{split}_states`, (trial, time, 3).

        Raises:
            DataError: If a setting is out of range.
        """
        starts, readout, random = self._draw()
        states = self.run(starts)
        rates, states = self.rates(states)[self.condition], states[self.condition]
        by_trial = {
            "SPLIT_data": spikify(rates, bin_width=self.bin_width, seed=random),
            "SPLIT_truth": rates.astype(np.float32),
            "SPLIT_states": states,
        }
        scalars = {
            "starts": starts,
            "readout_weights": readout.weights,
            "readout_mean": readout.mean,
            "readout_std": readout.std,
            "dt": self.bin_width,
            "conversion_factor": 1 / self.bin_width,
        }
        facts = self.facts("lorenz", self.bin_width) | {"truth_unit": "counts per bin"}
        return [Simulation(self.by_split(**by_trial) | scalars, facts)]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        super().check()
        self.check_positive("base_rate", "modulation", "step", "steps_per_bin")

    def _draw(self) -> tuple[np.ndarray, LorenzReadout, np.random.RandomState]:
        """Returns starts and read-out, and the generator after their draw."""
        self.check()
        random = np.random.RandomState(self.seed)
        starts = stationary(self.conditions, random, self.step)
        attractor = _attractor(self.step)
        mean, std = attractor.mean(axis=0), attractor.std(axis=0)
        weights = random.randn(3, self.units)
        weights *= self.modulation / np.linalg.norm(weights, axis=0)
        return starts, LorenzReadout(mean, std, weights), random


@functools.cache
def _attractor(step: float) -> np.ndarray:
    """Returns states, (4000, 3), that scale the read-out; their seed is fixed, since they do not depend on the data."""
    return stationary(4000, 0, step)


def stationary(n: int, seed: int | np.random.RandomState = 0, step: float = 0.006) -> np.ndarray:
    """Draws states of the Lorenz system from the stationary law of its attractor.

    Each state starts at a draw from a Gaussian around the attractor and runs for `BURN_IN` units of time. The law
    belongs to the Euler steps: at a step of 0.006 the mean of the third dimension is 24.5; the exact flow has 23.5.

    Args:
        n: Number of states.
        seed: Seed of the draw, or a generator that continues from its state.
        step: Euler step in units of the system's time.

    Returns:
        Independent states, shape (n, 3).
    """
    random = seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
    return euler(np.array([0.0, 0.0, 24.0]) + 8 * random.randn(n, 3), step, round(BURN_IN / step))


def euler(states: np.ndarray, step: float, n_steps: int) -> np.ndarray:
    """Returns states of the Lorenz system, shape (..., 3), after `n_steps` Euler steps."""
    x, y, z = np.moveaxis(states, -1, 0)
    for _ in range(n_steps):
        x, y, z = x + step * SIGMA * (y - x), y + step * (x * (RHO - z) - y), z + step * (x * y - BETA * z)
    return np.stack([x, y, z], axis=-1)

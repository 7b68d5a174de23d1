"""The chaotic recurrent network of the original LFADS: with pulses or without, in one session or several."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.datasets.pca_alignment import align_sessions
from lfadsx.datasets.recipe import AbstractTrials, Simulation, above_zero
from lfadsx.datasets.spike_generation import NoiseType, between_zero_and_one, spikify
from lfadsx.errors import DataError


class ChaoticNetwork(NamedTuple):
    """The network that makes the data, in float64.

    Attributes:
        weights: Recurrent weights W without the gain, shape (unit, unit), from column to row.
        input_weights: Weights B of the pulse, shape (unit,).
        starts: State before the first bin of each condition, shape (condition, unit).
        readouts: For each session which unit each neuron is, as a matrix of 0 and 1, shape (neuron, unit).
    """

    weights: np.ndarray
    input_weights: np.ndarray
    starts: np.ndarray
    readouts: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class ChaoticRNN(AbstractTrials):
    r"""Spikes of a chaotic recurrent network, kicked by one pulse per trial if `input_magnitude` is above 0.

    .. math:: x_t = (1 - a) x_{t-1} + a (\gamma W \tanh x_{t-1} + B u_t), \quad a = \Delta t / \tau

    Rates are tanh x_t, scaled in each trial and neuron to the range from 0 to `max_rate`. Random numbers are drawn
    in the order of the original program (network, states, and for each session pulses and noise), so that the same
    seed gives its network, states, pulses and counts. With `recorded` below `units`, each session records other
    units of the same network, with pulses and noise of its own, and files hold the original's alignment.

    Other than in the original: Gaussian noise follows the seed (it came from an unseeded generator); the conversion
    factor of Gaussian data brings the truth to the scale of the data (it gave 0 to 1 beside data of 0 to max_rate);
    the number of bins is rounded, where cutting off lost one for some durations; session files are told apart by a
    whole name, not by its first letters, under which the Gaussian file joined the Poisson one as a second session; a
    rate that does not vary is named in an error; integers are stored in the smallest type; and Python 3 runs it.

    Source: Sussillo, Jozefowicz, Abbott & Pandarinath 2016, arXiv:1608.06315; Pandarinath et al. 2018.

    Example:
        >>> from lfadsx.datasets import ChaoticRNN
        >>> recipe = ChaoticRNN(conditions=4, input_magnitude=20.0)
        >>> (session,) = recipe.simulate()
        >>> session.arrays["train_data"].shape, recipe.network().weights.shape
        ((32, 100, 50), (50, 50))
    """

    recorded: int = 50
    """Number of units recorded in each session; there are as many sessions as fit into `units`."""
    components: int = 10
    """Principal components of the alignment between sessions, when recorded is below units."""
    gain: float = 1.5
    """Scale of the recurrent weights; the network is chaotic above 1."""
    input_magnitude: float = 0.0
    """Height of the pulse, which lasts one bin and lies in the middle half of the trial; 0 for no pulse."""
    noise: NoiseType = "poisson"
    """poisson: spike counts per bin; gaussian: rates in Hz with noise."""
    time_constant: float = 0.025
    """Time constant of the units in seconds."""
    start_std: float = 1.0
    """Standard deviation of the starting states."""

    def network(self) -> ChaoticNetwork:
        """Returns the network that makes the data."""
        return self._draw()[0]

    def simulate(self) -> list[Simulation]:
        """Simulates the sessions.

        Returns:
            One simulation for each session, its counts per bin (Gaussian: rates in Hz) under `{split}_data` and its
            rates on a scale from 0 to 1 under `{split}_truth`, both (trial, time, neuron).

        Raises:
            DataError: If a setting makes no sense or a rate does not vary.
        """
        network, random = self._draw()
        names = self.split_names()
        sessions = [self._session(network, readout, names, random) for readout in network.readouts]
        if self.recorded < self.units:
            counts = [(arrays["train_data"], arrays["condition_labels_train"]) for arrays in sessions]
            for arrays, (matrix, bias) in zip(sessions, align_sessions(counts, self.components), strict=True):
                arrays |= {"alignment_matrix_cxf": matrix, "alignment_bias_c": bias}
        facts = self.facts("chaotic_rnn", self.bin_width)
        if self.noise == "gaussian":  # elsewhere a conversion factor means counts per bin
            facts["truth_unit"] = "data"
        suffixes = [""] if len(sessions) == 1 else [f"_n{number}" for number in range(len(sessions))]
        return [Simulation(arrays, facts, suffix) for arrays, suffix in zip(sessions, suffixes, strict=True)]

    def check(self) -> None:
        """Raises `DataError` when a setting makes no sense."""
        super().check()
        above_zero({"recorded": self.recorded, "components": self.components, "time_constant": self.time_constant})
        validation.one_of(self.noise, get_args(NoiseType), "noise")
        if self.recorded > self.units:
            raise DataError(f"recorded is {self.recorded} and units is {self.units}. Record at most all units.")
        if self.recorded < self.units and self.components > self.recorded:
            raise DataError(
                f"components is {self.components} and recorded is {self.recorded}. "
                "Give at most as many components as a session has neurons."
            )

    def _draw(self) -> tuple[ChaoticNetwork, np.random.RandomState]:
        """Returns the network, and the generator after the draw of the network."""
        self.check()
        random = np.random.RandomState(self.seed)
        weights, input_weights = draw_network(self.units, random)
        starts = self.start_std * random.randn(self.conditions, self.units)
        n_sessions = self.units // self.recorded
        readouts = np.eye(self.units)[: n_sessions * self.recorded]
        return ChaoticNetwork(weights, input_weights, starts, tuple(np.split(readouts, n_sessions))), random

    def _session(
        self, network: ChaoticNetwork, readout: np.ndarray, names: np.ndarray, random: np.random.RandomState
    ) -> dict[str, Any]:
        """Simulates one session; returns its arrays by key of the file."""
        starts = np.repeat(network.starts, self.trials_per_condition, axis=0)
        pulses, times = draw_pulses(len(starts), self.n_bins, self.input_magnitude, random)
        step = self.bin_width / self.time_constant
        # Without pulses the trials of a condition are alike, so one of them is run.
        each = self.trials_per_condition if times is None else 1
        weights = self.gain * network.weights
        rates = run_network(starts[::each], pulses[::each], weights, network.input_weights, step)
        truth = between_zero_and_one(np.repeat(rates[:, :, readout.argmax(axis=1)], each, axis=0))
        std = 5 * self.max_rate * np.sqrt(self.bin_width)
        data = spikify(truth * self.max_rate, bin_width=self.bin_width, noise=self.noise, noise_std=std, seed=random)
        factor = 1 / (self.max_rate * self.bin_width) if self.noise == "poisson" else 1 / self.max_rate
        by_trial = {
            "SPLIT_data": data if self.noise == "poisson" else data.astype(np.float32),
            "SPLIT_truth": truth.astype(np.float32),
            "input_SPLIT_truth": pulses[:, :, None].astype(np.float32),
        }
        return {
            **self.by_split(names, **by_trial, **({} if times is None else {"input_times_SPLIT": times})),
            **({"input_times_train": np.empty(0), "input_times_valid": np.empty(0)} if times is None else {}),
            "P_sxn": readout,
            "dt": self.bin_width,
            "train_percentage": self.train_fraction,
            "nreplications": self.trials_per_condition,
            "input_magnitude": self.input_magnitude,
            "conversion_factor": factor,
        }


def draw_network(units: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draws recurrent weights without the gain, shape (unit, unit), and input weights, shape (unit,)."""
    weights, input_weights = random.randn(units, units) / np.sqrt(units), random.randn(units)
    random.randn(units)  # The original draws weights of a second input here and does not use them.
    return weights, input_weights


def draw_pulses(
    n_trials: int, n_bins: int, magnitude: float, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws a pulse in the middle half of each trial.

    Args:
        n_trials: Number of trials.
        n_bins: Number of bins of a trial.
        magnitude: Height of the pulse; nothing is drawn when it is not above 0.
        random: Generator.

    Returns:
        The inputs, shape (trial, time), and the bin of each trial's pulse, shape (trial,), or None without pulses.
    """
    pulses = np.zeros((n_trials, n_bins))
    if not magnitude > 0:
        return pulses, None
    times = random.choice(n_bins // 2, n_trials) + n_bins // 4
    pulses[np.arange(n_trials), times] = magnitude
    return pulses, times


def run_network(
    starts: np.ndarray, inputs: np.ndarray, weights: np.ndarray, input_weights: np.ndarray, step: float
) -> np.ndarray:
    """Runs a rate network from given states.

    Args:
        starts: States before the first bin, shape (trial, unit).
        inputs: Input of each bin, shape (trial, time).
        weights: Recurrent weights with their gain, shape (unit, unit), from column to row.
        input_weights: Shape (unit,).
        step: Width of a bin divided by the time constant.

    Returns:
        The hyperbolic tangent of the states after each bin, shape (trial, time, unit).
    """
    rates = np.empty((*inputs.shape, starts.shape[1]))
    state, rate = starts, np.tanh(starts)
    for t, now in enumerate(inputs.T):
        state = (1 - step) * state + step * (rate @ weights.T + now[:, None] * input_weights)
        rate = rates[:, t] = np.tanh(state)
    return rates

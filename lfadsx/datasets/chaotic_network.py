"""The chaotic recurrent network of the original LFADS, with or without pulses, in one or several sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.datasets.recipe import AbstractTrials, Simulation
from lfadsx.datasets.spike_generation import NoiseType, between_zero_and_one, spikify
from lfadsx.errors import DataError

TAPS = 6
"""Bins of the moving average that smooths the averages of conditions."""


class ChaoticNetwork(NamedTuple):
    """The network that makes the data, in float64.

    Attributes:
        weights: Recurrent weights W without the gain, shape (unit, unit), from column to row.
        input_weights: Weights B of the pulse, shape (unit,).
        starts: State before the first bin of each condition, shape (condition, unit).
        readouts: For each session the unit of each neuron, as a matrix of 0 and 1, shape (neuron, unit).
    """

    weights: np.ndarray
    input_weights: np.ndarray
    starts: np.ndarray
    readouts: tuple[np.ndarray, "..."]


@dataclasses.dataclass(frozen=True)
class ChaoticRNN(AbstractTrials):
    r"""Spikes of a chaotic recurrent network, kicked by one pulse per trial if `input_magnitude` is above 0.

    .. math:: x_t = (1 - a) x_{t-1} + a (\gamma W \tanh x_{t-1} + B u_t), \quad a = \Delta t / \tau

    Rates are tanh x_t, scaled in each trial and neuron to the range from 0 to `max_rate`. Random numbers are drawn
    in the order of the original program: network, states, and for each session pulses and noise. So the same seed
    gives the original's network, states, pulses and counts. With `recorded` below `units`, each session records
    different units of the same network, with separate pulses and noise. Files hold the original's alignment.

    Differences from the original:

    * Gaussian noise follows the seed.
    * The conversion factor of Gaussian data brings the truth to the scale of the data, not to the range from 0 to 1.
    * The number of bins is rounded, not cut off.
    * Session files have distinct names, so that Gaussian and Poisson files are not joined as sessions.
    * A constant rate raises an error.
    * Integers are stored in the smallest type.

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
    """Principal components of the alignment between sessions, used if recorded is below units."""
    gain: float = 1.5
    """Scale of the recurrent weights; the network is chaotic above 1."""
    input_magnitude: float = 0.0
    """Height of the pulse, which lasts one bin in the middle half of the trial; 0 for no pulse."""
    noise: NoiseType = "poisson"
    """poisson: spike counts per bin; gaussian: rates in Hz with noise."""
    time_constant: float = 0.025
    """Time constant of the units in seconds."""
    start_std: float = 1.0
    """Standard deviation of the starting states."""

    def network(self) -> ChaoticNetwork:
        """Returns the network that makes the data."""
        return self.draw()[0]

    def simulate(self) -> list[Simulation]:
        """Simulates the sessions.

        Returns:
            One simulation for each session, its counts per bin (Gaussian: rates in Hz) under `{split}_data` and its
            rates on a scale from 0 to 1 under `{split}_truth`, both (trial, time, neuron).

        Raises:
            DataError: If a setting is out of range or a rate is constant.
        """
        network, random = self.draw()
        sessions = [self._session(network, readout, random) for readout in network.readouts]
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
        """Raises `DataError` if a setting is out of range."""
        super().check()
        self.check_positive("recorded", "components", "time_constant")
        validation.one_of(self.noise, get_args(NoiseType), "`noise`")
        if self.recorded > self.units:
            raise DataError(f"`recorded` must be at most `units` ({self.units}), got {self.recorded}.")
        if self.recorded < self.units and self.components > self.recorded:
            raise DataError(
                f"`components` must be at most `recorded` ({self.recorded}), the neurons of a session, got "
                f"{self.components}."
            )

    def draw(self) -> tuple[ChaoticNetwork, np.random.RandomState]:
        """Returns the network, and the generator after the draw of the network."""
        self.check()
        random = np.random.RandomState(self.seed)
        weights, input_weights = draw_network(self.units, random)
        starts = self.start_std * random.randn(self.conditions, self.units)
        n_sessions = self.units // self.recorded
        readouts = np.eye(self.units)[: n_sessions * self.recorded]
        return ChaoticNetwork(weights, input_weights, starts, tuple(np.split(readouts, n_sessions))), random

    def trials(
        self, network: ChaoticNetwork, readout: np.ndarray, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Simulates the trials of one session.

        Returns:
            Data and rates on a scale from 0 to 1, both (trial, time, neuron), and inputs and pulse times as from
            `draw_pulses`.
        """
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
        return data, truth, pulses, times

    def _session(self, network: ChaoticNetwork, readout: np.ndarray, random: np.random.RandomState) -> dict[str, Any]:
        """Returns the arrays of one session by key of the file."""
        data, truth, pulses, times = self.trials(network, readout, random)
        by_trial = {
            "SPLIT_data": data if self.noise == "poisson" else data.astype(np.float32),
            "SPLIT_truth": truth.astype(np.float32),
            "input_SPLIT_truth": pulses[:, :, None].astype(np.float32),
        }
        scalars = {**self.scalars(), "P_sxn": readout, "input_magnitude": self.input_magnitude}
        if self.noise == "gaussian":
            scalars["conversion_factor"] = 1 / self.max_rate
        if times is None:
            scalars |= {"input_times_train": np.empty(0), "input_times_valid": np.empty(0)}
        else:
            by_trial["input_times_SPLIT"] = times
        return self.by_split(**by_trial) | scalars


def draw_network(units: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draws recurrent weights without the gain, shape (unit, unit), and input weights, shape (unit,)."""
    weights, input_weights = random.randn(units, units) / np.sqrt(units), random.randn(units)
    random.randn(units)  # The original draws weights of a second input here and does not use them.
    return weights, input_weights


def draw_pulses(
    n_trials: int, n_bins: int, magnitude: float, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws a pulse in the middle half of each trial; draws nothing if the magnitude is not above 0.

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


def align_sessions(
    sessions: Sequence[tuple[np.ndarray, np.ndarray]], n_components: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""Regresses the principal components of all sessions together on the neurons of each session.

    .. math:: W_s = \arg\min_W \| X_s^T W - (V^T X)^T \|^2

    X holds the averages over the trials of each condition, conditions one after the other. They are smoothed by a
    moving average of 6 bins forwards and backwards, and have mean 0. V holds the first principal axes of X.

    Source: the synthetic data of the original LFADS; Pandarinath et al. 2018, Methods, stitching of sessions.

    Args:
        sessions: For each session its data, (trial, time, neuron), and the condition of each trial, (trial,). All
            sessions have the same conditions and bins.
        n_components: Number of principal components.

    Returns:
        For each session the matrix W_s, shape (neuron, component), and the mean of each neuron in the unit of the
        data, shape (neuron,): components are (x - mean) W_s.
    """
    from scipy.signal import filtfilt

    courses = []
    for data, condition in sessions:
        averages = np.concatenate([data[condition == one].mean(axis=0) for one in np.unique(condition)])
        courses.append(filtfilt(np.ones(TAPS) / TAPS, 1, averages, axis=0, padlen=min(3 * TAPS, len(averages) - 1)).T)
    means = [course.mean(axis=1) for course in courses]
    centred = [course - mean[:, None] for course, mean in zip(courses, means, strict=True)]
    together = np.concatenate(centred)
    _, axes = np.linalg.eigh(together @ together.T)  # eigenvalues ascend
    components = axes[:, ::-1][:, :n_components].T @ together
    matrices = [np.linalg.lstsq(course.T, components.T, rcond=None)[0] for course in centred]
    return list(zip(matrices, means, strict=True))

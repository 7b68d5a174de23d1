"""Two chaotic networks: a known input tells which network makes the trial."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from lfadsx.datasets.chaotic_network import draw_network, run_network
from lfadsx.datasets.recipe import AbstractTrials, Simulation
from lfadsx.datasets.spike_generation import between_zero_and_one, spikify


class LabeledNetworks(NamedTuple):
    """The two networks that make the data, in float64.

    Attributes:
        weights: Recurrent weights of both networks without the gain, shape (2, unit, unit), from column to row.
        starts: State before the first bin of each condition, the same for both, shape (condition, unit).
        readout: Weights from the units to the neurons, the same for both, shape (neuron, unit).
        labels: Number of the network that makes each trial, 0 or 1, shape (trial,).
    """

    weights: np.ndarray
    starts: np.ndarray
    readout: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class LabeledRNNs(AbstractTrials):
    r"""Spikes of two chaotic networks; the network of each trial is drawn and given as a known input, 0 or 1.

    .. math:: x_t = (1 - a) x_{t-1} + a \gamma W_{label} \tanh x_{t-1}, \quad r_t = P \tanh x_t

    Rates are r_t, scaled in each trial and neuron to the range from 0 to `max_rate`. Both networks start a condition
    at the same state. The networks have the seeds `seed + 1` and `seed + 2`. All else is drawn in the order of the
    original program, which draws spikes of both networks for every trial and keeps the spikes of its label.

    Differences from the original: the number of bins is rounded, not cut off; a constant rate raises an error; integers
    are stored in the smallest type.

    Source: the synthetic data of the original LFADS; Pandarinath et al. 2018.

    Example:
        >>> from lfadsx.datasets import LabeledRNNs
        >>> (session,) = LabeledRNNs(conditions=4).simulate()
        >>> session.arrays["train_ext_input"].shape, set(session.arrays["train_ext_input"].ravel().tolist())
        ((32, 100, 1), {0, 1})
    """

    gain: float = 1.5
    """Scale of the recurrent weights; the networks are chaotic above 1."""
    time_constant: float = 0.025
    """Time constant of the units in seconds."""
    start_std: float = 1.0
    """Standard deviation of the starting states."""

    def network(self) -> LabeledNetworks:
        """Returns the networks that make the data."""
        return self._draw()[0]

    def simulate(self) -> list[Simulation]:
        """Simulates the session.

        Returns:
            One simulation, its counts per bin under `{split}_data`, its rates on a scale from 0 to 1 under
            `{split}_truth`, both (trial, time, neuron), and its labels under `{split}_ext_input`, (trial, time, 1).

        Raises:
            DataError: If a setting is out of range or a rate is constant.
        """
        networks, random = self._draw()
        silence, no_weights = np.zeros((self.conditions, self.n_bins)), np.zeros(self.units)
        step = self.bin_width / self.time_constant
        truth = np.empty((len(self.condition), self.n_bins, self.units), np.float32)
        counts = np.empty(truth.shape, np.int64)
        for label, weights in enumerate(networks.weights):
            # The trials of a condition are alike, so one of them is run.
            courses = run_network(networks.starts, silence, self.gain * weights, no_weights, step)
            rates = np.repeat(courses @ networks.readout.T, self.trials_per_condition, axis=0)
            scaled = between_zero_and_one(rates)
            drawn = spikify(scaled * self.max_rate, bin_width=self.bin_width, seed=random)
            chosen = networks.labels == label
            truth[chosen], counts[chosen] = scaled[chosen], drawn[chosen]
        labels = np.broadcast_to(networks.labels[:, None, None], (*truth.shape[:2], 1))
        by_trial = {"SPLIT_data": counts, "SPLIT_truth": truth, "SPLIT_ext_input": labels}
        arrays = self.by_split(**by_trial) | self.scalars() | {"P_sxn": networks.readout}
        return [Simulation(arrays, self.facts("chaotic_rnns_labeled", self.bin_width))]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        super().check()
        self.check_positive("time_constant")

    def _draw(self) -> tuple[LabeledNetworks, np.random.RandomState]:
        """Returns the networks, and the generator after the draw of the networks."""
        self.check()
        random = np.random.RandomState(self.seed)
        labels = random.randint(2, size=self.conditions * self.trials_per_condition)
        starts = self.start_std * random.randn(self.conditions, self.units)
        readout = random.randn(self.units, self.units) / np.sqrt(self.units)
        seeds = (self.seed + 1, self.seed + 2)
        weights = np.stack([draw_network(self.units, np.random.RandomState(seed))[0] for seed in seeds])
        return LabeledNetworks(weights, starts, readout, labels), random

"""Two chaotic networks: a known input tells which network makes the trial."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.datasets.chaotic_network import draw_network, run_network
from lfadsx.datasets.recipe import AbstractTrials, Simulation
from lfadsx.datasets.spike_generation import between_zero_and_one, spikify


@dataclasses.dataclass(frozen=True)
class LabeledRNNs(AbstractTrials):
    r"""Spikes of two chaotic networks; the network of each trial is drawn and given as a known input, 0 or 1.

    .. math:: x_t = (1 - a) x_{t-1} + a \gamma W_{label} \tanh x_{t-1}, \quad r_t = P \tanh x_t

    Rates are r_t, scaled in each trial and neuron to the range from 0 to `max_rate`. Both networks start a condition
    at the same state. The networks have the seeds `seed + 1` and `seed + 2`. All else is drawn in the order of the
    original program: it draws spikes of both networks for every trial and keeps the spikes of its label.

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

    def simulate(self) -> list[Simulation]:
        """Simulates the session.

        Returns:
            One simulation: counts per bin under `{split}_data` and rates on a scale from 0 to 1 under
            `{split}_truth`, both (trial, time, neuron); labels under `{split}_ext_input`, (trial, time, 1).

        Raises:
            DataError: If a setting is out of range or a rate is constant.
        """
        all_weights, starts, readout, labels, random = self.draw()
        silence, no_weights = np.zeros((self.conditions, self.n_bins)), np.zeros(self.units)
        step = self.bin_width / self.time_constant
        truth = np.empty((len(self.condition), self.n_bins, self.units), np.float32)
        counts = np.empty(truth.shape, np.int64)
        for label, weights in enumerate(all_weights):
            # The trials of a condition are alike, so one of them is run.
            courses = run_network(starts, silence, self.gain * weights, no_weights, step)
            scaled = between_zero_and_one(np.repeat(courses @ readout.T, self.trials_per_condition, axis=0))
            drawn = spikify(scaled * self.max_rate, bin_width=self.bin_width, seed=random)
            chosen = labels == label
            truth[chosen], counts[chosen] = scaled[chosen], drawn[chosen]
        known = np.broadcast_to(labels[:, None, None], (*truth.shape[:2], 1))
        by_trial = {"SPLIT_data": counts, "SPLIT_truth": truth, "SPLIT_ext_input": known}
        arrays = self.by_split(**by_trial) | self.scalars() | {"P_sxn": readout}
        return [Simulation(arrays, self.facts("chaotic_rnns_labeled", self.bin_width))]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        super().check()
        self.check_positive("time_constant")

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.RandomState]:
        """Draws the two networks, in float64.

        Returns:
            Recurrent weights of both networks without the gain, shape (2, unit, unit), from column to row; the state
            before the first bin of each condition, shape (condition, unit); read-out weights, shape (neuron, unit); the
            number of the network that makes each trial, shape (trial,); and the generator after the draw.
        """
        self.check()
        random = np.random.RandomState(self.seed)
        labels = random.randint(2, size=self.conditions * self.trials_per_condition)
        starts = self.start_std * random.randn(self.conditions, self.units)
        readout = random.randn(self.units, self.units) / np.sqrt(self.units)
        seeds = (self.seed + 1, self.seed + 2)
        weights = np.stack([draw_network(self.units, np.random.RandomState(seed))[0] for seed in seeds])
        return weights, starts, readout, labels, random

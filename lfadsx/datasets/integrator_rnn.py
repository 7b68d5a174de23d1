"""The integrator of the JAX LFADS tutorial: a trained network that sums a noisy input."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from lfadsx.data import validation
from lfadsx.data.splits import names_in_order
from lfadsx.datasets.recipe import AbstractRecipe, Simulation, bins_of, by_split
from lfadsx.datasets.spike_generation import spikify
from lfadsx.datasets.task_network import TaskNetwork, load_network
from lfadsx.errors import DataError


class Integration(NamedTuple):
    """Inputs, states and rates of the network in given trials, all float64.

    Attributes:
        starts: State before the first bin, shape (trial, unit), between -1 and 1.
        inputs: Input of each bin, shape (trial, time).
        hiddens: State after each bin, shape (trial, time, unit), between -1 and 1.
        expected: Expected counts per bin, shape (trial, time, unit).
    """

    starts: np.ndarray
    inputs: np.ndarray
    hiddens: np.ndarray
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class IntegratorRNN(AbstractRecipe):
    r"""Spikes of a network of 100 tanh units that was trained to sum its input.

    .. math::
        h_t &= \tanh(W_R h_{t-1} + W_{in} u_t + b_R), \quad o_t = W_O h_t + b_O \approx \sum_{s \le t} u_s \\
        u_t &= b + \sigma \epsilon_t, \quad b = 2 \beta (\xi - 1/2), \quad x_{tn} \sim
        \mathrm{Poisson}(r_\max \Delta t (h_{tn} + 1) / 2)

    Before a trial the network runs for `start_bins` (7) bins of such input with a separate bias b. One bin of input 0
    follows, in which the state returns to the line attractor. So a trial is a function of standard normal numbers, 34
    for 25 bins, in this order: the bias before the trial, the noise of the bins before it, the bias of the trial, the
    noise of each bin. `from_normals` is that function and `network` gives its weights. The first trials train, the next
    validate, the last test; the tutorial has no test.

    The bias b has mean -beta and standard deviation 2 beta, as in the tutorial's code. The tutorial trains new weights
    in each run. The weights here come with the library, trained by the tutorial's recipe in
    `examples/example_tools/train_networks.py`, so the data seed does not change them. States, inputs and expected
    counts are computed in double precision.

    Source: the LFADS tutorial of Computation Through Neural Dynamics, 2019; Sussillo et al. 2016, arXiv:1608.06315.

    Example:
        >>> from lfadsx.datasets.integrator_rnn import IntegratorRNN
        >>> recipe = IntegratorRNN(trials=20)
        >>> (session,) = recipe.simulate()
        >>> session.arrays["train_data"].shape, session.arrays["valid_data"].shape
        ((18, 25, 100), (2, 25, 100))
        >>> recipe.from_normals(recipe.normals()).expected.shape
        (20, 25, 100)
    """

    trials: int = 20480
    """Number of trials."""
    duration: float = 1.0
    """Length of a trial in seconds."""
    bin_width: float = 0.04
    """Width of a bin in seconds; the network makes one step per bin."""
    max_rate: float = 80.0
    """Rate in Hz of a unit with state 1."""
    input_bias: float = 0.01
    """Beta: half the standard deviation of the input's bias over trials, and minus its mean."""
    input_std: float = 0.125
    """Sigma: standard deviation of the input's noise in each bin; 0.025 / sqrt(0.04 s)."""
    start_bins: int = 7
    """Bins of input before a trial; one bin without input follows them."""
    train_fraction: float = 0.9
    """Share of trials (the first trials) that train."""
    test_fraction: float = 0.0
    """Share of trials (the last trials) that test; the trials between validate."""
    network_file: str = ""
    """npz file of `examples/example_tools/train_networks.py` with weights; "" for the library's weights."""

    @property
    def n_bins(self) -> int:
        """Number of bins of a trial."""
        return bins_of(self.duration, self.bin_width)

    def network(self) -> TaskNetwork:
        """Returns the trained network that makes the data."""
        return load_network("integrator_rnn", self.network_file)

    def normals(self) -> np.ndarray:
        """Returns the standard normal numbers of all trials, shape (trial, 2 + start_bins + time), in that order."""
        return self._draw()[0]

    def from_normals(self, normals: np.ndarray) -> Integration:
        """Runs the network on given standard normal numbers.

        Args:
            normals: Numbers in the order given above, shape (trial, 2 + start_bins + time), no unit.

        Returns:
            Starts, inputs, states and expected counts of the trials.
        """
        validation.dimensions(np.asarray(normals)[:, :, None], 3, "normals")
        network, before = self.network(), 1 + self.start_bins
        lead = self._inputs(normals[:, :before])
        states = network.run(network.h0, np.pad(lead, ((0, 0), (0, 1))))
        inputs = self._inputs(normals[:, before:])
        hiddens = network.run(states[:, -1], inputs)
        return Integration(states[:, -1], inputs, hiddens, (hiddens + 1) / 2 * self.max_rate * self.bin_width)

    def simulate(self) -> list[Simulation]:
        """Simulates all trials.

        Returns:
            One simulation, with counts per bin under `{split}_data`, expected counts per bin under `{split}_truth`,
            both (trial, time, unit), and inputs under `input_{split}_truth`, (trial, time, 1). Also, by the
            tutorial's names: `{split}_hiddens` (trial, time, unit), `{split}_outputs` and `{split}_targets`
            (trial, time, 1), and `{split}_h0s` (trial, unit). Targets start at the output of the start state.

        Raises:
            DataError: If a setting is out of range.
        """
        normals, random = self._draw()
        run, network = self.from_normals(normals), self.network()
        targets = network.read_out(run.starts)[:, None] + np.cumsum(run.inputs, axis=1)
        by_trial = {
            "SPLIT_data": spikify(run.expected / self.bin_width, bin_width=self.bin_width, seed=random),
            "SPLIT_truth": run.expected.astype(np.float32),
            "input_SPLIT_truth": run.inputs[:, :, None].astype(np.float32),
            "SPLIT_hiddens": run.hiddens.astype(np.float32),
            "SPLIT_outputs": network.read_out(run.hiddens)[:, :, None].astype(np.float32),
            "SPLIT_targets": targets[:, :, None].astype(np.float32),
            "SPLIT_h0s": run.starts.astype(np.float32),
        }
        names = names_in_order(self.trials, 1 - self.train_fraction - self.test_fraction, self.test_fraction)
        scalars = {"conversion_factor": 1.0, "dt": self.bin_width, "max_firing_rate": self.max_rate}
        facts = self.facts("integrator_rnn", self.bin_width) | {"truth_unit": "counts per bin"}
        return [Simulation(by_split(names, **by_trial) | scalars, facts)]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        self.check_positive("trials", "duration", "bin_width", "max_rate")
        if self.start_bins < 0:
            raise DataError(f"`start_bins` must be at least 0, got {self.start_bins}.")
        if not (self.train_fraction > 0 and self.test_fraction >= 0 and self.train_fraction + self.test_fraction < 1):
            raise DataError(
                "`train_fraction` must be above 0, `test_fraction` at least 0 and their sum below 1, got "
                f"{self.train_fraction} and {self.test_fraction}. Leave trials to validate on."
            )

    def _draw(self) -> tuple[np.ndarray, np.random.RandomState]:
        """Returns the normal numbers, and the generator after their draw."""
        self.check()
        random = np.random.RandomState(self.seed)
        return random.randn(self.trials, 2 + self.start_bins + self.n_bins), random

    def _inputs(self, normals: np.ndarray) -> np.ndarray:
        """Returns the inputs, shape (trial, time), for a bias number and one number per bin, (trial, 1 + time)."""
        return 2 * self.input_bias * (normals[:, :1] - 0.5) + self.input_std * normals[:, 1:]

"""Integration to a bound: a trained network that sums its input between -1 and 1."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from lfadsx.datasets.recipe import AbstractTrials, Simulation
from lfadsx.datasets.spike_generation import between_zero_and_one, spikify
from lfadsx.datasets.task_network import TaskNetwork, load_network
from lfadsx.errors import DataError


class BoundedIntegration(NamedTuple):
    """Inputs, outputs and rates of the network in given conditions, all float64.

    Attributes:
        inputs: Input of each bin, shape (condition, time).
        outputs: Output of the network, shape (condition, time).
        relative: Rates on a scale from 0 to 1, shape (condition, time, unit).
        expected: Expected counts per bin, shape (condition, time, unit).
    """

    inputs: np.ndarray
    outputs: np.ndarray
    relative: np.ndarray
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class IntegrationToBound(AbstractTrials):
    r"""Spikes of a network of 50 tanh units that was trained to sum its input between two bounds.

    .. math::
        h_t &= \tanh(W_R h_{t-1} + W_{in} u_t + b_R), \quad h_0 = 0, \quad u_t = \sigma \epsilon_t \\
        o_t &= W_O h_t + b_O \approx \min(\max(\textstyle\sum_{s \le t} u_s, -1), 1)

    The bounds clip the output only; the sum itself continues beyond them. Neurons are random mixtures P h of the units.
    Each trial's and neuron's time course is scaled to the range from 0 to `max_rate`; counts are Poisson. All trials of
    a condition have the same input, so a condition is a function of one standard normal number per bin: `from_normals`.
    Random numbers are drawn in the order of the original program: P and the counts from the seed, inputs from the seed
    plus 1. The original's weights need TensorFlow. The library's weights were trained on the same task, on squared
    error, by `examples/example_tools/train_networks.py`.

    Differences from the original:

    * The conversion factor is 1 / (max_rate bin_width), as in the original's other data, not the inverse.
    * True inputs and conditions are also stored under the keys of the other data.
    * The unused setting tau is dropped.
    * A constant rate raises an error.
    * The number of bins is rounded, and integers are stored in the smallest type.

    Source: the synthetic data of the original LFADS; Sussillo, Jozefowicz, Abbott & Pandarinath 2016,
    arXiv:1608.06315.

    Example:
        >>> from lfadsx.datasets.integration_to_bound import IntegrationToBound
        >>> recipe = IntegrationToBound(conditions=4)
        >>> (session,) = recipe.simulate()
        >>> session.arrays["train_data"].shape, session.arrays["valid_outputs_u"].shape
        ((16, 100, 50), (4, 100))
    """

    conditions: int = 800
    """Number of conditions, each with a different input."""
    trials_per_condition: int = 5
    """Number of trials of each condition."""
    units: int = 50
    """Number of units of the network; it was trained with 50."""
    input_std: float = 0.25
    """Sigma: standard deviation of the input in each bin; the network was trained with 0.25."""
    network_file: str = ""
    """npz file of `examples/example_tools/train_networks.py` with weights; "" for the library's weights."""

    def network(self) -> TaskNetwork:
        """Returns the trained network that makes the data."""
        return load_network("itb_rnn", self.network_file)

    def mixture(self) -> np.ndarray:
        """Returns the mixture P of units for each neuron, shape (neuron, unit)."""
        return self._draw()[0]

    def normals(self) -> np.ndarray:
        """Returns the standard normal numbers of all conditions, shape (condition, time)."""
        return np.random.RandomState(self.seed + 1).randn(self.conditions, self.n_bins)

    def from_normals(self, normals: np.ndarray) -> BoundedIntegration:
        """Runs the network on given standard normal numbers.

        Args:
            normals: One number per bin, shape (condition, time), no unit.

        Returns:
            Inputs, outputs, relative rates and expected counts of the conditions.

        Raises:
            DataError: If a setting is out of range or a rate is constant.
        """
        network, inputs = self.network(), self.input_std * np.asarray(normals)
        hiddens = network.run(network.h0, inputs)
        relative = between_zero_and_one(hiddens @ self.mixture().T)
        return BoundedIntegration(
            inputs, network.read_out(hiddens), relative, relative * self.max_rate * self.bin_width
        )

    def simulate(self) -> list[Simulation]:
        """Simulates all trials.

        Returns:
            One simulation: counts per bin under `{split}_data` and rates on a scale from 0 to 1 under
            `{split}_truth`, both (trial, time, neuron); inputs under `input_{split}_truth` and
            `{split}_inputs_u`, (trial, time, 1); the network's output under `{split}_outputs_u`, (trial, time).

        Raises:
            DataError: If a setting is out of range or a rate is constant.
        """
        mixture, random = self._draw()
        run = BoundedIntegration(*(each[self.condition] for each in self.from_normals(self.normals())))
        inputs = run.inputs[:, :, None].astype(np.float32)
        by_trial = {
            "SPLIT_data": spikify(run.relative * self.max_rate, bin_width=self.bin_width, seed=random),
            "SPLIT_truth": run.relative.astype(np.float32),
            "input_SPLIT_truth": inputs,
            "SPLIT_inputs_u": inputs,
            "SPLIT_outputs_u": run.outputs.astype(np.float32),
        }
        scalars = {**self.scalars(), "P_sxn": mixture, "u_std": self.input_std, "max_firing_rate": self.max_rate}
        facts = self.facts("itb_rnn", self.bin_width) | {"truth_unit": "counts per bin"}
        return [Simulation(self.by_split(**by_trial) | scalars, facts)]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        super().check()
        self.check_positive("input_std")
        n_units = len(self.network().b_R)
        if self.units != n_units:
            raise DataError(
                f"`units` must be {n_units}, the units of the trained network, got {self.units}. "
                "Give that number, or another network as `network_file`."
            )

    def _draw(self) -> tuple[np.ndarray, np.random.RandomState]:
        """Returns the mixture, and the generator after its draw."""
        self.check()
        random = np.random.RandomState(self.seed)
        return random.randn(self.units, self.units) / np.sqrt(self.units), random

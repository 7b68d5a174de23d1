"""The 3-bit flip-flop of the Computation-through-Dynamics benchmark: a trained network that remembers pulses."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.splits import names_in_order
from lfadsx.datasets.flip_flop_task import INPUT_NOISE, START_NOISE, STATE_NOISE, bits_of, pulses_from
from lfadsx.datasets.gru_network import GRUNetwork
from lfadsx.datasets.recipe import AbstractRecipe, Simulation, by_split
from lfadsx.datasets.spike_generation import spikify
from lfadsx.datasets.task_network import load_network
from lfadsx.errors import DataError


@dataclasses.dataclass(frozen=True)
class FlipFlop(AbstractRecipe):
    r"""Spikes of a network of 64 gated units that was trained to remember the last pulse of each of three inputs.

    .. math::
        h_t &= \mathrm{GRU}(u_t, h_{t-1}) + 0.01 \epsilon_t, \quad u_t = p_t + 0.15 \eta_t \\
        \lambda_{tn} &= \exp(\tfrac12 (h_{t k(n)} - \mu) / s), \quad x_{tn} \sim \mathrm{Poisson}(\lambda_{tn})

    In each bin an input has a pulse p of +1 or -1 with a probability of 1 % each. A pulse of +1 sets the bit of its
    input, a pulse of -1 clears it; about half of the pulses change nothing. Each neuron shows one unit, in the order of
    random permutations of all units. The mean mu and the deviation s are single numbers over all neurons. Neurons at
    the end are held out: encoders do not see them. The first trials train, the others validate.

    The teacher network comes with the library, trained by `examples/example_tools/train_networks.py` with the
    benchmark's network and loss. The data seed changes the trials, the neurons and all noise. States are stored as they
    were drawn, so that scores repeat.

    Source: the Computation-through-Dynamics benchmark; Versteeg et al. 2026, PLOS Computational Biology 22(10),
    e1014755.

    Example:
        >>> from lfadsx.datasets.flip_flop import FlipFlop
        >>> (session,) = FlipFlop(trials=10, bins=50).simulate()
        >>> session.arrays["train_encod_data"].shape, session.arrays["valid_recon_data"].shape
        ((8, 50, 50), (2, 50, 60))
        >>> session.arrays["valid_latents"].shape, session.arrays["valid_pulses"].shape
        ((2, 50, 64), (2, 50, 3))
    """

    trials: int = 1000
    """Number of trials."""
    bins: int = 500
    """Number of bins of a trial."""
    neurons: int = 60
    """Number of neurons."""
    held_out: int = 10
    """Number of neurons, the last, that encoders do not see."""
    log_rate_std: float = 0.5
    """Standard deviation of the log rates."""
    input_noise: float = INPUT_NOISE
    """Standard deviation of the noise of each input in each bin, in units of a pulse."""
    state_noise: float = STATE_NOISE
    """Standard deviation of the noise of each state in each bin."""
    start_noise: float = START_NOISE
    """Standard deviation of each state before the first bin."""
    train_fraction: float = 0.8
    """Share of trials (the first trials) that train; the others validate."""
    known_inputs: bool = False
    """If True, the noisy inputs are also stored as known inputs, for models that are given them."""
    network_file: str = ""
    """npz file of `examples/example_tools/train_networks.py` with weights; "" for the library's weights."""

    def network(self) -> GRUNetwork:
        """Returns the trained network that makes the data."""
        return load_network("nbff", self.network_file, GRUNetwork)

    def simulate(self) -> list[Simulation]:
        """Simulates all trials.

        Returns:
            One simulation: counts per bin under `{split}_encod_data` (seen neurons) and `{split}_recon_data` (all),
            expected counts per bin under `{split}_truth`, all (trial, time, neuron); noisy inputs under
            `input_{split}_truth`, their pulses under `{split}_pulses` and the bits under `{split}_bits`, (trial, time,
            bit); states under `{split}_latents`, (trial, time, unit), and the network's outputs under
            `{split}_outputs`. Numbers of the embedding are `perm_neurons`, `orig_mean` and `orig_std`.

        Raises:
            DataError: If a setting is out of range.
        """
        self.check()
        network, random = self.network(), np.random.RandomState(self.seed)
        shape = self.trials, self.bins, network.W_in.shape[1]
        pulses = pulses_from(random.random_sample(shape))
        inputs = pulses + self.input_noise * random.randn(*shape)
        start = network.h0 + self.start_noise * random.randn(self.trials, len(network.h0))
        states = network.run(start, inputs, self.state_noise, random)
        units = self._shown_units(states.shape[2], random)
        shown = states[:, :, units]
        rates, inputs = np.exp(self.log_rate_std * (shown - shown.mean()) / shown.std()), inputs.astype(np.float32)
        counts = spikify(rates, bin_width=1.0, seed=random)
        by_trial = {
            "SPLIT_encod_data": counts[:, :, : self.neurons - self.held_out],
            "SPLIT_recon_data": counts,
            "SPLIT_truth": rates.astype(np.float32),
            "input_SPLIT_truth": inputs,
            "SPLIT_pulses": pulses.astype(np.float32),
            "SPLIT_bits": bits_of(pulses).astype(np.float32),
            "SPLIT_latents": states.astype(np.float32),
            "SPLIT_outputs": network.read_out(states).astype(np.float32),
        }
        if self.known_inputs:
            by_trial["SPLIT_ext_input"] = inputs
        names = names_in_order(self.trials, round(1 - self.train_fraction, 12), 0.0)
        numbers = {"perm_neurons": units, "orig_mean": shown.mean(), "orig_std": shown.std()}
        facts = self.facts("nbff", None) | {"truth_unit": "counts per bin"}
        return [Simulation(by_split(names, **by_trial) | numbers, facts)]

    def check(self) -> None:
        """Raises `DataError` if a setting is out of range."""
        self.check_positive("trials", "bins", "neurons", "log_rate_std")
        if not 0 <= self.held_out < self.neurons:
            raise DataError(
                f"`held_out` must be at least 0 and below the number of neurons, {self.neurons}, got {self.held_out}."
            )
        if not 0 < self.train_fraction < 1:
            raise DataError(f"`train_fraction` must be between 0 and 1, got {self.train_fraction}.")
        for name in ("input_noise", "state_noise", "start_noise"):
            if getattr(self, name) < 0:
                raise DataError(f"`{name}` must be at least 0, got {getattr(self, name)}.")

    def _shown_units(self, n_units: int, random: np.random.RandomState) -> np.ndarray:
        """Returns the unit of each neuron, shape (neuron,): permutations of all units, one after another."""
        rounds = -(-self.neurons // n_units)
        return np.concatenate([random.permutation(n_units) for _ in range(rounds)])[: self.neurons]

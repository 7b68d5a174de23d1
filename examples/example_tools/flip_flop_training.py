"""Training of the flip-flop network: its trials, its start and its loss, for `train_networks.py`."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lfadsx.datasets import GRUNetwork, flip_flop_task

BITS, BINS, UNITS = 3, 500, 64
STATE_PENALTY = 1e-6
"""Weight of the 2-norm of all states of a trial in the loss."""


class FlipFlopBatch(NamedTuple):
    """Trials of the task; `key` is that of the network's noise."""

    inputs: Float[Array, "trial time bit"]
    bits: Float[Array, "trial time bit"]
    scored: Bool[Array, "trial time bit"]
    key: PRNGKeyArray


def draw_flip_flops(key: PRNGKeyArray, n_trials: int) -> FlipFlopBatch:
    """Draws noisy pulses and the bits that they set."""
    pulse_key, noise_key, key = jax.random.split(key, 3)
    shape = n_trials, BINS, BITS
    pulses = flip_flop_task.pulses_from(jax.random.uniform(pulse_key, shape))
    inputs = pulses + flip_flop_task.INPUT_NOISE * jax.random.normal(noise_key, shape)
    return FlipFlopBatch(inputs, flip_flop_task.bits_of(pulses), flip_flop_task.scored(pulses), key)


def start_gru(key: PRNGKeyArray) -> GRUNetwork:
    """Returns a network before training, with the initial weights of PyTorch."""
    shapes = {"W_R": (3 * UNITS, UNITS), "W_in": (3 * UNITS, BITS), "b_R": (3 * UNITS,), "b_in": (3 * UNITS,)}
    shapes |= {"W_O": (BITS, UNITS), "b_O": (BITS,)}
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    bound = 1 / jnp.sqrt(UNITS)
    weights = {name: jax.random.uniform(keys[name], shape, None, -bound, bound) for name, shape in shapes.items()}
    return GRUNetwork(**weights, h0=jnp.zeros(UNITS))


def flip_flop_error(network: GRUNetwork, batch: FlipFlopBatch) -> Float[Array, ""]:
    """Returns the squared error of the bits, summed over scored entries and divided by the number of all."""
    return flip_flop_loss(network, batch)[1]


def flip_flop_loss(network: GRUNetwork, batch: FlipFlopBatch) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns the squared error with the penalty on the states, and without it."""
    start_key, noise_key = jax.random.split(batch.key)
    n_trials, n_bins, _ = batch.inputs.shape
    start = network.h0 + flip_flop_task.START_NOISE * jax.random.normal(start_key, (n_trials, UNITS))
    noise = flip_flop_task.STATE_NOISE * jax.random.normal(noise_key, (n_bins, n_trials, UNITS))

    def step(state, now):
        u, noise_t = now
        new = network.step(state, u)
        # The output is read before the noise.
        return new + noise_t, new

    _, states = jax.lax.scan(step, start, (jnp.swapaxes(batch.inputs, 0, 1), noise))
    error = (network.read_out(states) - jnp.swapaxes(batch.bits, 0, 1)) ** 2
    error = jnp.mean(error * jnp.swapaxes(batch.scored, 0, 1))
    length = jnp.sqrt(jnp.sum((states + noise) ** 2, axis=(0, 2)))
    return error + STATE_PENALTY * jnp.mean(length), error

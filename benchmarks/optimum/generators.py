"""The simulated data sets as generators: from standard normal numbers to rates, inputs and states, in JAX.

The recipes of `lfadsx.datasets` say how the data are made and give the networks. Each function here is the same
law once more, differentiable, for one trial. Random starts of a condition count as random starts of the trial: the
observer knows the law of the starts, and not that other trials share one.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from benchmarks.optimum.posterior import Generator, Outcome
from lfadsx.data.dataset import Split
from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.lorenz import BETA, BURN_IN, RHO, SIGMA, Lorenz
from lfadsx.datasets.task_network import TaskNetwork


def integrator(recipe: IntegratorRNN) -> Generator:
    """The integrator: the numbers are those of `IntegratorRNN.from_normals`."""
    network, before = _on_device(recipe.network()), 1 + recipe.start_bins

    def inputs(z: Array) -> Array:
        return 2 * recipe.input_bias * (z[0] - 0.5) + recipe.input_std * z[1:]

    def simulate(z: Array) -> Outcome:
        start = _run(network, network.h0, jnp.append(inputs(z[:before]), 0.0))[-1]
        u = inputs(z[before:])
        hiddens = _run(network, start, u)
        return Outcome((hiddens + 1) / 2 * recipe.max_rate * recipe.bin_width, u[:, None])

    return Generator(1 + before + recipe.n_bins, simulate)


def chaotic(recipe: ChaoticRNN, session: int = 0) -> Generator:
    """The chaotic network: a number for the start of each unit, and with pulses one more for the pulse's bin.

    The last number's place among all standard normal numbers is the place of the pulse in the middle half.
    """
    network = recipe.network()
    weights, kick = _on_device((recipe.gain * network.weights, network.input_weights))
    neurons = np.argmax(network.readouts[session], axis=1)
    step, pulses = recipe.bin_width / recipe.time_constant, recipe.input_magnitude > 0
    # Poisson data are counts per bin, Gaussian data are in Hz.
    gaussian = recipe.noise == "gaussian"
    peak = recipe.max_rate if gaussian else recipe.max_rate * recipe.bin_width

    def simulate(z: Array) -> Outcome:
        u = jnp.zeros(recipe.n_bins, z.dtype)
        if pulses:
            u = jnp.where(jnp.arange(recipe.n_bins) == pulse_bin(z, recipe.n_bins), recipe.input_magnitude, u)

        def one(x: Array, u: Array) -> tuple[Array, Array]:
            x = (1 - step) * x + step * (weights @ jnp.tanh(x) + kick * u)
            return x, jnp.tanh(x)

        _, rates = jax.lax.scan(one, recipe.start_std * z[: recipe.units], u)
        return Outcome(peak * _scaled(rates[:, neurons]), u[:, None])

    noise_sd = 5 * recipe.max_rate * recipe.bin_width**0.5 if gaussian else None
    return Generator(recipe.units + pulses, simulate, noise_sd, n_fixed=int(pulses))


def chaotic_numbers(recipe: ChaoticRNN, split: Split) -> np.ndarray:
    """The numbers that made the trials of a split, shape (trial, number)."""
    starts = recipe.network().starts[np.asarray(split.condition)] / recipe.start_std
    if recipe.input_magnitude == 0:
        return starts
    n_places = recipe.n_bins // 2
    place = np.argmax(split.true_inputs[:, :, 0], axis=1) - recipe.n_bins // 4
    return np.column_stack([starts, ndtri((place + 0.5) / n_places)])


def bound_numbers(recipe: IntegrationToBound, split: Split) -> np.ndarray:
    """The numbers that made the trials of a split, shape (trial, number)."""
    return np.asarray(split.true_inputs)[:, :, 0] / recipe.input_std


def bound(recipe: IntegrationToBound) -> Generator:
    """Integration to a bound: the numbers are those of `IntegrationToBound.from_normals`."""
    network, mixture = _on_device((recipe.network(), recipe.mixture()))
    peak = recipe.max_rate * recipe.bin_width

    def simulate(z: Array) -> Outcome:
        u = recipe.input_std * z
        return Outcome(peak * _scaled(_run(network, network.h0, u) @ mixture.T), u[:, None])

    return Generator(recipe.n_bins, simulate)


def lorenz(recipe: Lorenz) -> Generator:
    """The Lorenz system: the numbers are the start state, whose law is `stationary_starts` and not normal."""
    mean, std, weights = _on_device(recipe.readout())

    def simulate(start: Array) -> Outcome:
        def one(state: Array, _: None) -> tuple[Array, Array]:
            state = _lorenz_steps(state, recipe.step, recipe.steps_per_bin)
            return state, state

        _, states = jax.lax.scan(one, start, length=recipe.n_bins)
        # A start far from the attractor runs away; a state that large has the highest rates and does no harm.
        states = jnp.nan_to_num(states, nan=1e3, posinf=1e3, neginf=-1e3)
        rates = jnp.exp(jnp.clip((states - mean) / std @ weights, -30.0, 30.0))
        return Outcome(jnp.minimum(recipe.base_rate * rates, recipe.max_rate) * recipe.bin_width, states=states)

    return Generator(3, simulate)


def stationary_starts(recipe: Lorenz, seed: int, n: int, n_times: int = 10) -> Array:
    """Draws starts from the law of the attractor, shape (n, 3), by the recipe's way of drawing.

    Each of n / n_times trajectories gives states at times one unit apart: all of the right law, and after a unit
    they are as good as independent of one another.
    """
    first = jnp.array([0.0, 0.0, 24.0]) + 8 * jax.random.normal(jax.random.key(seed), (-(-n // n_times), 3))

    @jax.jit
    def run(states: Array) -> Array:
        states = _lorenz_steps(states, recipe.step, round(BURN_IN / recipe.step))

        def one(states: Array, _: None) -> tuple[Array, Array]:
            return _lorenz_steps(states, recipe.step, round(1 / recipe.step)), states

        return jax.lax.scan(one, states, length=n_times)[1]

    return run(first).reshape(-1, 3)[:n]


def _lorenz_steps(states: Array, step: float, n_steps: int) -> Array:
    """Euler steps of the Lorenz system, states of shape (..., 3)."""

    def one(_: int, at: tuple[Array, ...]) -> tuple[Array, ...]:
        x, y, z = at
        return x + step * SIGMA * (y - x), y + step * (x * (RHO - z) - y), z + step * (x * y - BETA * z)

    return jnp.stack(jax.lax.fori_loop(0, n_steps, one, tuple(jnp.moveaxis(states, -1, 0))), -1)


def pulse_bin(z: Array, n_bins: int) -> Array:
    """The bin of the pulse, uniform over the middle half, from the last of a trial's numbers, shape (..., number)."""
    n_places = n_bins // 2
    return n_bins // 4 + jnp.clip((n_places * ndtr(z[..., -1])).astype(int), 0, n_places - 1)


def shift_pulse(z: Array, key: Array) -> Array:
    """Moves the pulse near or far: its place, on a circle, by up to half a turn either way."""
    size_key, sign_key = jax.random.split(key)
    # From a hundredth of a turn, half a bin of 50, to half a turn, all orders of magnitude alike.
    size = 0.01 * 50 ** jax.random.uniform(size_key, (), z.dtype)
    place = (ndtr(z[-1]) + size * jax.random.rademacher(sign_key, (), z.dtype)) % 1.0
    return z.at[-1].set(ndtri(jnp.clip(place, 1e-6, 1 - 1e-6)))


def _run(network: TaskNetwork, start: Array, inputs: Array) -> Array:
    """States of a trained network after each input, shape (time, unit)."""

    def step(h: Array, u: Array) -> tuple[Array, Array]:
        h = jnp.tanh(network.W_R @ h + network.W_in * u + network.b_R)
        return h, h

    return jax.lax.scan(step, start, inputs)[1]


def _scaled(rates: Array) -> Array:
    """Each neuron's time course on a scale from 0 to 1, shape (time, neuron)."""
    low, high = rates.min(0), rates.max(0)
    # Far from the truth a sampler may meet a neuron that saturates in every bin.
    return (rates - low) / jnp.maximum(high - low, 1e-6)


def _on_device(arrays: Any) -> Any:
    """Arrays of a network in the precision of JAX."""
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.zeros(()).dtype), arrays)

r"""The optimum of the flip-flop data: what an observer who knows the teacher infers from the spikes that encoders see.

The posterior of a trial is drawn by a particle filter with fixed lag. A particle is a run of the teacher with its own
pulses and noise. A pulse is proposed more often than it comes and weighted by p / q, since few particles would carry
the right one. Estimates of bin t are means over the particles after `LAG` more bins, whose ancestors they trace.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

import lfadsx
from benchmarks.dynamics.flip_flop_scores import FlipFlopTruth, input_scores
from benchmarks.dynamics.measures import Pair, mapped_r2
from lfadsx.datasets import FlipFlop, GRUNetwork
from lfadsx.datasets.flip_flop_task import PULSE_PROBABILITY, QUIET_BINS
from lfadsx.evaluation.metrics import r2_pooled

LAG = 5
"""Bins after bin t whose spikes count for its estimate. More would tell more, but few particles have ancestors of their
own so far back."""
PROPOSED = 0.03
"""Probability with which a pulse of either sign is proposed for each input."""


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """The law of the data: the teacher network and its noise, and how neurons show its states."""

    network: GRUNetwork
    recipe: FlipFlop
    unit: Any
    """Unit that each neuron shows, shape (neuron,)."""
    mean: float
    std: float

    @classmethod
    def of(cls, recipe: FlipFlop, numbers: dict[str, Any]) -> Teacher:
        """Returns the law of data whose file holds the numbers `perm_neurons`, `orig_mean` and `orig_std`."""
        weights: dict[str, Any] = {k: jnp.asarray(v, jnp.float32) for k, v in recipe.network()._asdict().items()}
        unit = np.asarray(numbers["perm_neurons"])
        return cls(GRUNetwork(**weights), recipe, unit, float(numbers["orig_mean"]), float(numbers["orig_std"]))

    def log_rates(self, states: Array) -> Array:
        """Returns log rates, shape (..., neuron)."""
        return self.recipe.log_rate_std * (states[..., self.unit] - self.mean) / self.std


@partial(jax.jit, static_argnums=(0, 3))
def posterior_means(
    teacher: Teacher, counts: Float[Array, "time neuron"], key: PRNGKeyArray, n_particles: int
) -> dict[str, Float[Array, "time value"]]:
    """Returns posterior means of the noisy inputs, the pulses, the states and all rates of a trial.

    Args:
        teacher: The law of the data.
        counts: Spikes of the seen neurons, the first of all.
        key: Random key.
        n_particles: Number of particles.
    """
    network, recipe, n_bins = teacher.network, teacher.recipe, len(counts)
    n_units, n_inputs = len(network.h0), network.W_in.shape[1]
    start_key, key = jax.random.split(key)
    states = network.h0 + recipe.start_noise * jax.random.normal(start_key, (n_particles, n_units))
    recent = jnp.zeros((n_particles, LAG + 1, 2 * n_inputs + n_units))

    def means(own):
        rates = jnp.exp(teacher.log_rates(own[..., 2 * n_inputs :]))
        return jnp.concatenate([own, rates], axis=-1).mean(0)

    def step(carry, now):
        states, recent = carry
        t, seen, key = now
        pulse_key, noise_key, state_key, pick_key = jax.random.split(key, 4)
        shape, may = (n_particles, n_inputs), t >= QUIET_BINS
        uniform = jax.random.uniform(pulse_key, shape)
        pulses = may * (1.0 * (uniform > 1 - PROPOSED) - 1.0 * (uniform < PROPOSED))
        share = jnp.where(
            pulses != 0,
            PULSE_PROBABILITY / PROPOSED,
            jnp.where(may, (1 - 2 * PULSE_PROBABILITY) / (1 - 2 * PROPOSED), 1.0),
        )
        inputs = pulses + recipe.input_noise * jax.random.normal(noise_key, shape)
        noise = recipe.state_noise * jax.random.normal(state_key, states.shape)
        states = network.step(states, inputs) + noise
        log_rates = teacher.log_rates(states)[:, : counts.shape[1]]
        weights = jnp.log(share).sum(1) + (seen * log_rates - jnp.exp(log_rates)).sum(1)
        own = jnp.concatenate([inputs, pulses, states], axis=1)
        recent = jnp.concatenate([recent[:, 1:], own[:, None]], axis=1)
        # Systematic resampling: particle i is drawn about n times its weight.
        ends = jnp.cumsum(jax.nn.softmax(weights))
        places = (jnp.arange(n_particles) + jax.random.uniform(pick_key)) / n_particles
        chosen = jnp.minimum(jnp.searchsorted(ends, places), n_particles - 1)
        states, recent = states[chosen], recent[chosen]
        return (states, recent), means(recent[:, 0])

    now = jnp.arange(n_bins), counts, jax.random.split(key, n_bins)
    (_, recent), late = jax.lax.scan(step, (states, recent), now)
    # The last bins have fewer bins after them.
    found = jnp.concatenate([late[LAG:], means(recent[:, 1:])])
    names, widths = ("inputs", "pulses", "latents"), np.cumsum([n_inputs, n_inputs, n_units])
    return dict(zip((*names, "rates"), jnp.split(found, widths, axis=1), strict=True))


def optimum_scores(truth: FlipFlopTruth, data: lfadsx.Dataset, n_trials: int, n_particles: int) -> dict[str, float]:
    """Returns the scores of posterior means in the first validation trials; maps are fitted on half of them.

    Names that begin with `mean_` score the posterior mean of the pulses in the place of that of the noisy inputs.
    """
    teacher, key = Teacher.of(truth.recipe, truth.numbers), jax.random.key(0)
    counts, half = data.valid.encoder_input[:n_trials], n_trials // 2
    trials = [posterior_means(teacher, jnp.asarray(own), key, n_particles) for own in counts]
    found = {name: np.stack([np.asarray(trial[name]) for trial in trials]) for name in trials[0]}

    def halves(values: np.ndarray) -> Pair:
        return Pair(values[:half], values[half:n_trials])

    true = dataclasses.replace(
        truth, **{name: halves(getattr(truth, name).valid) for name in ("latents", "inputs", "pulses")}
    )
    scores = {
        "rate_r2": r2_pooled(found["rates"], np.asarray(data.valid.truth)[:n_trials]),
        "state_r2": mapped_r2(true.latents, halves(found["latents"])),
        **input_scores(halves(found["inputs"]), true),
        **{f"mean_{name}": value for name, value in input_scores(halves(found["pulses"]), true).items()},
        "pulses_r2_direct": r2_pooled(found["pulses"], truth.pulses.valid[:n_trials]),
    }
    return {name: round(float(value), 4) for name, value in scores.items()}

"""A posterior over a start state whose law can be drawn from and has no density: the attractor of the Lorenz system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp, xlogy

from benchmarks.optimum.posterior import FLOOR, Generator, Samples, over_trials, weighted


def importance(
    generator: Generator,
    data: Any,
    draw_starts: Callable[[int, int], Array],
    *,
    seed: int = 0,
    n_draws: int = 1_000_000,
    n_kept: int = 1000,
    block: int = 20_000,
) -> Samples:
    """Samples of the posterior among draws of the prior, one bank for all trials.

    Every draw has the weight p(x | draw). Only the best `n_kept` draws of each trial are returned; `ess` counts
    all draws, so that many kept ones and few effective ones together mean that nothing was lost.

    Args:
        generator: From a start to an `Outcome`; its numbers need not be normal here. Data are Poisson counts.
        data: Counts, shape (trial, time, neuron).
        draw_starts: From a seed and a number n to n draws of the prior, shape (n, number).
        seed: Seed of the bank.
        n_draws: Draws in the bank.
        n_kept: Draws that each trial keeps.
        block: Draws at a time; bounds the memory.
    """
    data = jnp.asarray(data, jnp.zeros(()).dtype)
    counts = data.reshape(len(data), -1)

    @jax.jit
    def add(best: tuple[Array, Array, Array], starts: Array) -> tuple[Array, Array, Array]:
        kept, starts_kept, log_sums = best
        rates = jax.vmap(lambda start: generator.simulate(start).rates.ravel())(starts) + FLOOR
        log_likelihood = counts @ jnp.log(rates).T - rates.sum(1)
        both = jnp.concatenate([kept, log_likelihood], 1)
        kept, index = jax.lax.top_k(both, n_kept)
        new = starts[jnp.clip(index - n_kept, 0)]
        old = jnp.take_along_axis(starts_kept, jnp.clip(index, 0, n_kept - 1)[:, :, None], 1)
        sums = jnp.stack([logsumexp(log_likelihood, 1), logsumexp(2 * log_likelihood, 1)])
        return kept, jnp.where((index >= n_kept)[:, :, None], new, old), jnp.logaddexp(log_sums, sums)

    n_trials = len(data)
    best = (
        jnp.full((n_trials, n_kept), -jnp.inf, data.dtype),
        jnp.zeros((n_trials, n_kept, generator.n_numbers), data.dtype),
        jnp.full((2, n_trials), -jnp.inf, data.dtype),
    )
    with jax.default_matmul_precision("highest"):
        bank = draw_starts(seed, n_draws)
        for first in range(0, n_draws, block):
            best = add(best, bank[first : first + block])
    log_likelihood, z, (log_sum, log_square) = best
    weight = jnp.exp(log_likelihood - logsumexp(log_likelihood, 1)[:, None])
    return Samples(z, weight, jnp.exp(2 * log_sum - log_square), jnp.ones(n_trials))


def refine(
    generator: Generator,
    data: Any,
    samples: Samples,
    *,
    seed: int = 0,
    n_samples: int = 500,
    n_moves: int = 150,
    chunk: int = 8,
) -> Samples:
    """Turns few effective draws of a bank into many samples by random walks.

    Draws are resampled by weight and walk by Metropolis moves. A step is a part of the difference of two other walkers,
    so that steps stay in the surface on which the walkers lie. The prior counts as even over the posterior's extent,
    which is why this is for trials whose posterior is narrow; trials of more than `n_samples / 2` effective draws
    keep the draws of the bank.

    Args:
        generator: From a start to an `Outcome`.
        data: Counts, shape (trial, time, neuron).
        samples: From `importance`.
        seed: Seed of the walks.
        n_samples: Walkers of each trial.
        n_moves: Moves of each walker.
        chunk: Trials at a time; bounds the memory.
    """
    data = jnp.asarray(data, jnp.zeros(()).dtype)

    def one_trial(index: Array, key: Array) -> Samples:
        index = index.astype(int)
        counts, start, weight = data[index], samples.z[index], samples.weight[index]

        def log_likelihood(z: Array) -> Array:
            rates = generator.simulate(z).rates + FLOOR
            return (xlogy(counts, rates) - rates).sum()

        def move(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], Array]:
            z, value = carry
            pair_key, size_key, scatter_key, accept_key = jax.random.split(key, 4)
            here, there = jax.random.randint(pair_key, (2, n_samples), 0, n_samples)
            # Large steps cross the posterior, small ones are accepted where it is narrow.
            size = 10 ** jax.random.uniform(size_key, (n_samples, 1), z.dtype, -2.0, 0.2)
            # The least scatter there is, so that walkers that began at the same draw come apart.
            scatter = 1e-2 * jax.random.normal(scatter_key, z.shape, z.dtype)
            proposed = z + size * (z[here] - z[there] + scatter)
            new = jax.vmap(log_likelihood)(proposed)
            accepted = jnp.log(jax.random.uniform(accept_key, new.shape, new.dtype)) < new - value
            carry = jnp.where(accepted[:, None], proposed, z), jnp.where(accepted, new, value)
            return carry, accepted.mean()

        start_key, move_key = jax.random.split(key)
        z = start[jax.random.choice(start_key, len(weight), (n_samples,), p=weight)]
        first = z, jax.vmap(log_likelihood)(z)
        (walked, _), accepted = jax.lax.scan(move, first, jax.random.split(move_key, n_moves))
        enough = samples.ess[index] > n_samples / 2
        found = weighted(jnp.where(enough, z, walked), jnp.zeros(n_samples, z.dtype))
        return found._replace(acceptance=accepted.mean())

    return over_trials(one_trial, np.arange(len(data)), seed, chunk)

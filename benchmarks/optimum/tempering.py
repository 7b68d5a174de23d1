"""Posteriors with several modes: sequential Monte Carlo from the prior to the posterior."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp

from benchmarks.optimum.posterior import Generator, Samples, hmc_move, over_trials, weighted

Jump = Callable[[Array, Array], Array]
"""From numbers z and a key to other numbers; leaves N(0, I) as it is and is as likely to go as to come back."""


class _Population(NamedTuple):
    """Particles on their way: numbers (particle, number), log likelihoods (particle,), inverse temperature beta."""

    z: Array
    log_likelihood: Array
    beta: Array
    log_step: Array
    acceptance: Array
    key: Array
    stage: Array


def smc(
    generator: Generator,
    data: Any,
    *,
    seed: int = 0,
    n_particles: int = 512,
    n_moves: int = 4,
    n_final: int = 20,
    n_leapfrog: int = 6,
    ess_share: float = 0.6,
    max_stages: int = 100,
    jump: Jump | None = None,
    chunk: int = 4,
) -> Samples:
    """Samples of the posterior by tempered sequential Monte Carlo.

    Particles drawn from the prior pass through the densities p(z) p(x | z)^beta, beta growing from 0 to 1 in steps
    that keep the effective sample size at a share of the particles. After each step they are resampled and moved by
    Hamiltonian Monte Carlo in coordinates in which the population is white.

    Args:
        generator: The law of a trial.
        data: Counts or Gaussian data, shape (trial, time, neuron).
        seed: Seed of the draws.
        n_particles: Particles a trial.
        n_moves: Moves after each step of beta.
        n_final: Moves at beta = 1.
        n_leapfrog: Leapfrog steps of a move.
        ess_share: Share of effective particles that sets the steps of beta.
        max_stages: Most steps of beta; the last one goes to 1 whatever it costs.
        jump: A second kind of move, for what no gradient leads to.
        chunk: Trials at a time; bounds the memory.
    """

    def one_trial(data: Array, key: Array) -> Samples:
        log_likelihood = jax.vmap(lambda z: generator.log_likelihood(z, data))
        start_key, key = jax.random.split(key)
        z = jax.random.normal(start_key, (n_particles, generator.n_numbers), data.dtype)
        number = functools.partial(jnp.asarray, dtype=data.dtype)
        first = _Population(z, log_likelihood(z), number(0), number(jnp.log(0.2)), number(0), key, jnp.zeros((), int))

        def move(at: _Population, factor: Array) -> _Population:
            key, hmc_key, jump_key = jax.random.split(at.key, 3)

            def log_density(white: Array) -> Array:
                z = factor @ white
                return at.beta * generator.log_likelihood(z, data) - 0.5 * z @ z

            white = solve_triangular(factor, at.z.T, lower=True).T
            keys = jax.random.split(hmc_key, n_particles)
            one = functools.partial(hmc_move, log_density)
            white, probability = jax.vmap(lambda w, k: one(w, k, jnp.exp(at.log_step), n_leapfrog))(white, keys)
            acceptance = probability.mean()
            longest = jnp.log(jnp.pi / 2 / n_leapfrog)
            log_step = jnp.minimum(at.log_step + 0.5 * (acceptance - 0.75), longest)
            at = at._replace(z=white @ factor.T, log_step=log_step, acceptance=acceptance, key=key)
            at = at._replace(log_likelihood=log_likelihood(at.z))
            return at if jump is None else _jumped(at, jump, log_likelihood, jump_key)

        def moved(at: _Population, factor: Array, n: int) -> _Population:
            return jax.lax.fori_loop(0, n, lambda _, at: move(at, factor), at)

        def step(at: _Population) -> _Population:
            beta = jnp.where(at.stage == max_stages - 1, 1.0, _next_beta(at, ess_share)).astype(at.beta.dtype)
            log_weight = (beta - at.beta) * at.log_likelihood
            weight = jnp.exp(log_weight - logsumexp(log_weight))
            factor = _spread(at.z, weight)
            key, resample_key = jax.random.split(at.key)
            chosen = _resample(weight, resample_key)
            at = at._replace(z=at.z[chosen], log_likelihood=at.log_likelihood[chosen], beta=beta, key=key)
            return moved(at, factor, n_moves)._replace(stage=at.stage + 1)

        last = jax.lax.while_loop(lambda at: at.beta < 1, step, first)
        last = moved(last, _spread(last.z, jnp.full(n_particles, 1 / n_particles, data.dtype)), n_final)
        samples = weighted(last.z, jnp.zeros(n_particles, data.dtype))
        return samples._replace(acceptance=last.acceptance)

    return over_trials(one_trial, data, seed, chunk)


def _next_beta(at: _Population, ess_share: float) -> Array:
    """The highest inverse temperature at which the weights still have the wanted effective sample size."""

    def enough(beta: Array) -> Array:
        log_weight = (beta - at.beta) * at.log_likelihood
        log_ess = 2 * logsumexp(log_weight) - logsumexp(2 * log_weight)
        return log_ess >= jnp.log(ess_share * len(at.z))

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (bounds[0] + bounds[1]) / 2
        return jax.lax.cond(enough(middle), lambda: (middle, bounds[1]), lambda: (bounds[0], middle))

    one = jnp.ones_like(at.beta)
    low, high = jax.lax.fori_loop(0, 30, halve, (at.beta, one))
    return jnp.where(enough(one), one, jnp.where(low > at.beta, low, high))


def _spread(z: Array, weight: Array) -> Array:
    """Lower Cholesky factor of the population's covariance, with a little of the identity."""
    centred = z - weight @ z
    # A population of few distinct particles has no spread in some directions; these then move a little, not never.
    return jnp.linalg.cholesky((centred.T * weight) @ centred + 1e-5 * jnp.eye(z.shape[1], dtype=z.dtype))


def _resample(weight: Array, key: Array) -> Array:
    """Systematic resampling: each particle as often as its weight says, up to one."""
    n = len(weight)
    points = (jnp.arange(n, dtype=weight.dtype) + jax.random.uniform(key, (), weight.dtype)) / n
    return jnp.clip(jnp.searchsorted(jnp.cumsum(weight), points), 0, n - 1)


def _jumped(at: _Population, jump: Jump, log_likelihood: Callable[[Array], Array], key: Array) -> _Population:
    """A Metropolis move of every particle by a jump that leaves the prior as it is."""
    jump_key, accept_key = jax.random.split(key)
    proposed = jax.vmap(jump)(at.z, jax.random.split(jump_key, len(at.z)))
    new = log_likelihood(proposed)
    chance = jnp.log(jax.random.uniform(accept_key, new.shape, new.dtype))
    accepted = chance < at.beta * (new - at.log_likelihood)
    z = jnp.where(accepted[:, None], proposed, at.z)
    return at._replace(z=z, log_likelihood=jnp.where(accepted, new, at.log_likelihood))

"""The posterior of one trial under the true generator: Laplace's approximation, and Hamiltonian Monte Carlo around it.

A generator turns d independent standard normal numbers z into the expected counts of one trial. All that is random
in a trial but its spikes is in z, so the prior is N(0, I) and the posterior is

    log p(z | x) = log p(x | rates(z)) - z'z / 2 + constant.

Everything here works on many trials: one trial is written down, `vmap` takes a chunk of trials and a compiled loop the
chunks. The numbers drawn for a trial depend on the seed and the trial's index only, not on the chunk.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp, xlogy

# Added to expected counts: a spike in a bin where the generator says 0 is then improbable and not impossible, so that
# every step of a sampler has a finite density. The smallest peak rate of the benchmarks is 0.3.
FLOOR = 1e-4


class Outcome(NamedTuple):
    """What a generator makes of its numbers in one trial.

    Attributes:
        rates: Expected counts per bin, shape (time, neuron); or the mean of Gaussian data.
        inputs: Inputs of the generator, shape (time, input), or None.
        states: Latent states, shape (time, dimension), or None.
    """

    rates: Array
    inputs: Array | None = None
    states: Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """The law of one trial: numbers drawn from N(0, I), and what follows from them.

    Attributes:
        n_numbers: How many standard normal numbers a trial takes.
        simulate: From numbers of shape (n_numbers,) to an `Outcome`, in `jax.numpy`.
        noise_sd: None for Poisson counts; otherwise the standard deviation of Gaussian data.
        n_fixed: So many of the last numbers have no gradient, such as the place of a pulse. The search for a mode and
            Hamiltonian Monte Carlo leave them where they begin.
        n_seen: The data are those of so many first neurons; the others are held out. None: the data are of all.
    """

    n_numbers: int
    simulate: Callable[[Array], Outcome]
    noise_sd: float | None = None
    n_fixed: int = 0
    n_seen: int | None = None

    @property
    def moving(self) -> Array:
        """1 for numbers that gradients move and 0 for the others, shape (number,)."""
        return (jnp.arange(self.n_numbers) < self.n_numbers - self.n_fixed).astype(jnp.zeros(()).dtype)

    def seen(self, z: Array) -> Array:
        """Rates of the neurons that the data are of, shape (time, seen_neuron)."""
        return self.simulate(z).rates[:, : self.n_seen]

    def log_likelihood(self, z: Array, data: Array) -> Array:
        """log p(data | z) up to a constant of the data, in nats."""
        return _log_likelihood(self.seen(z), data, self.noise_sd)

    def log_posterior(self, z: Array, data: Array) -> Array:
        """log p(z | data) up to a constant, in nats."""
        return self.log_likelihood(z, data) - 0.5 * z @ z


class Samples(NamedTuple):
    """Samples of the posterior of each trial.

    Attributes:
        z: Shape (trial, sample, number).
        weight: Weights of the samples, each trial's sum is 1, shape (trial, sample).
        ess: Effective number of samples of the weights, shape (trial,).
        acceptance: Share of accepted moves, shape (trial,); 1 where nothing moves.
    """

    z: Array
    weight: Array
    ess: Array
    acceptance: Array


class Mode(NamedTuple):
    """A mode of the posterior of one trial, and its curvature.

    Attributes:
        z: The mode, shape (number,).
        factor: Lower Cholesky factor C of the curvature J' F J + I = C C', shape (number, number).
        log_posterior: At the mode.
    """

    z: Array
    factor: Array
    log_posterior: Array

    def white(self, z: Array) -> Array:
        """White coordinates of numbers, shape (number,): C' (z - mode)."""
        return self.factor.T @ (z - self.z)

    def at(self, white: Array) -> Array:
        """Numbers from white coordinates: mode + C^-T white, shape (..., number)."""
        return self.z + solve_triangular(self.factor.T, white.reshape(-1, len(self.z)).T).T.reshape(white.shape)


def _log_likelihood(rates: Array, data: Array, noise_sd: float | None) -> Array:
    if noise_sd is not None:
        return -0.5 * (((data - rates) / noise_sd) ** 2).sum()
    rates = rates + FLOOR
    return (xlogy(data, rates) - rates).sum()


def _score_and_information(rates: Array, data: Array, noise_sd: float | None) -> tuple[Array, Array]:
    """Gradient of the log likelihood by each rate, and the Fisher information of each rate."""
    if noise_sd is not None:
        return (data - rates) / noise_sd**2, jnp.full_like(rates, 1 / noise_sd**2)
    rates = rates + FLOOR
    return data / rates - 1, 1 / rates


def find_mode(generator: Generator, data: Array, start: Array, n_steps: int = 30) -> Mode:
    """A mode of one trial's posterior by Levenberg-Marquardt with the Fisher information as curvature.

    Args:
        generator: The law of the trial.
        data: Shape (time, neuron).
        start: Where the search starts, shape (number,).
        n_steps: Steps of the search; a step that does not help is taken back and the next one is shorter.
    """

    def gradient_and_curvature(z: Array) -> tuple[Array, Array]:
        rates, push = jax.linearize(lambda z: generator.seen(z).ravel(), z)
        jacobian = jax.vmap(push)(jnp.eye(len(z), dtype=z.dtype))
        score, information = _score_and_information(rates, data.ravel(), generator.noise_sd)
        curvature = (jacobian * information) @ jacobian.T + jnp.eye(len(z), dtype=z.dtype)
        return jacobian @ score - generator.moving * z, curvature

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        z, value, damping = carry
        gradient, curvature = gradient_and_curvature(z)
        damped = curvature + damping * jnp.diag(jnp.diag(curvature))
        candidate = z + jnp.linalg.solve(damped, gradient)
        new = generator.log_posterior(candidate, data)
        better = new > value
        z, value = jnp.where(better, candidate, z), jnp.where(better, new, value)
        return (z, value, jnp.clip(damping * jnp.where(better, 0.2, 5.0), 1e-6, 1e6)), None

    first = (start, generator.log_posterior(start, data), jnp.asarray(1e-2, start.dtype))
    (z, value, _), _ = jax.lax.scan(step, first, length=n_steps)
    curvature = gradient_and_curvature(z)[1]
    # Where chaos makes the curvature huge in some directions, float32 may leave it not quite positive in others.
    slack = 1e-6 * jnp.diag(curvature).max()
    return Mode(z, jnp.linalg.cholesky(curvature + slack * jnp.eye(len(z), dtype=z.dtype)), value)


def best_mode(generator: Generator, data: Array, starts: Array | None = None) -> Mode:
    """The highest of the modes found from some starts, shape (start, number); from 0 when None."""
    if starts is None:
        starts = jnp.zeros((1, generator.n_numbers), data.dtype)
    # One start after the other: the memory of a search is that of a trial's whole Jacobian.
    modes = jax.lax.map(lambda start: find_mode(generator, data, start), jnp.asarray(starts, data.dtype))
    return jax.tree.map(lambda leaf: leaf[jnp.nanargmax(modes.log_posterior)], modes)


def over_trials(one_trial: Callable[..., Any], data: Any, seed: int, chunk: int, *others: Any) -> Any:
    """Runs `one_trial(data, key, *others)` on every trial, each with a key of its own."""
    dtype = jnp.zeros(()).dtype
    rows = [jnp.asarray(values, dtype) for values in (data, *others)]
    keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.key(seed), index))(jnp.arange(len(rows[0])))
    return over_rows(one_trial, (rows[0], keys, *rows[1:]), chunk)


def over_rows(one_row: Callable[..., Any], rows: tuple[Any, ...], chunk: int) -> Any:
    """Runs `one_row(*row)` on every row of some trees, `chunk` rows at a time, and stacks what it returns.

    Products are taken in full float32 also where a GPU would round them.
    """
    n_rows = len(jax.tree.leaves(rows)[0])
    with jax.default_matmul_precision("highest"):
        return _map(one_row, rows, min(chunk, n_rows))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _map(one_trial: Callable[[Array, Array], Any], rows: Any, chunk: int) -> Any:
    return jax.lax.map(lambda row: one_trial(*row), rows, batch_size=chunk)


def laplace(
    generator: Generator,
    data: Any,
    *,
    seed: int = 0,
    n_samples: int = 1000,
    starts: Array | None = None,
    spread: float = 1.0,
    chunk: int = 50,
) -> Samples:
    """Samples of Laplace's approximation with importance weights.

    z ~ N(mode, spread^2 H^-1) with H = J' F J + I at the mode, weighted by p(z | x) / q(z).

    Args:
        generator: The law of a trial.
        data: Counts or Gaussian data, shape (trial, time, neuron).
        seed: Seed of the draws.
        n_samples: Samples a trial.
        starts: Starts of the search for the mode, shape (start, number); 0 when None.
        spread: Above 1 makes the proposal wider than the approximation.
        chunk: Trials at a time; bounds the memory.
    """

    def one_trial(data: Array, key: Array) -> Samples:
        mode = best_mode(generator, data, starts)
        white = spread * jax.random.normal(key, (n_samples, generator.n_numbers), data.dtype)
        z = mode.at(white)
        log_posterior = jax.vmap(lambda z: generator.log_posterior(z, data))(z)
        return weighted(z, log_posterior + 0.5 * ((white / spread) ** 2).sum(1))

    return over_trials(one_trial, data, seed, chunk)


def weighted(z: Array, log_weight: Array) -> Samples:
    """Samples of one trial with self-normalised weights; one whose density is no number counts nothing."""
    log_weight = jnp.where(jnp.isnan(log_weight), -jnp.inf, log_weight)
    weight = jnp.exp(log_weight - logsumexp(log_weight))
    return Samples(z, weight, 1 / (weight**2).sum(), jnp.ones((), z.dtype))


def leapfrog(
    gradient: Callable[[Array], Array], position: Array, momentum: Array, step_size: Array, n_steps: int
) -> tuple[Array, Array]:
    """Hamilton's equations with unit mass, `n_steps` steps; returns position and momentum."""

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        position, momentum = carry
        position = position + step_size * momentum
        return (position, momentum + step_size * gradient(position)), None

    # Half a step of momentum at the start, and half a step too much at the end.
    momentum = momentum + 0.5 * step_size * gradient(position)
    (position, momentum), _ = jax.lax.scan(step, (position, momentum), length=n_steps)
    return position, momentum - 0.5 * step_size * gradient(position)


def hmc_move(
    log_density: Callable[[Array], Array],
    position: Array,
    key: Array,
    step_size: Array,
    n_steps: int,
    moving: Array | float = 1.0,
) -> tuple[Array, Array]:
    """One move of Hamiltonian Monte Carlo; returns the new position and the probability of acceptance."""
    momentum_key, jitter_key, accept_key = jax.random.split(key, 3)
    momentum = moving * jax.random.normal(momentum_key, position.shape, position.dtype)
    # Steps of random length keep the trajectories from closing on themselves.
    step_size = step_size * jax.random.uniform(jitter_key, (), position.dtype, 0.7, 1.3)
    proposed, last = leapfrog(lambda z: moving * jax.grad(log_density)(z), position, momentum, step_size, n_steps)
    gain = log_density(proposed) - log_density(position) + 0.5 * (momentum @ momentum - last @ last)
    probability = jnp.where(jnp.isfinite(gain), jnp.exp(jnp.minimum(gain, 0.0)), 0.0)
    accepted = jax.random.uniform(accept_key, (), position.dtype) < probability
    return jnp.where(accepted, proposed, position), probability


def hmc(
    generator: Generator,
    data: Any,
    *,
    seed: int = 0,
    n_chains: int = 4,
    n_warmup: int = 60,
    n_draws: int = 150,
    n_leapfrog: int = 6,
    starts: Array | None = None,
    begin: Any = None,
    target: float = 0.8,
    chunk: int = 50,
) -> Samples:
    """Samples of the posterior by Hamiltonian Monte Carlo in the white coordinates of Laplace's approximation.

    Chains start from draws of the approximation, or where they are told to. The step size of a trial, common to its
    chains, is adapted in the warm-up until moves are accepted with probability `target`, or more if a trajectory would
    be longer than is of use; then it stays.

    Args:
        generator: The law of a trial.
        data: Counts or Gaussian data, shape (trial, time, neuron).
        seed: Seed of the draws.
        n_chains: Chains a trial.
        n_warmup: Moves of each chain that are thrown away.
        n_draws: Moves of each chain that are kept.
        n_leapfrog: Leapfrog steps of a move.
        starts: Starts of the search for the mode, shape (start, number); 0 when None.
        begin: Numbers that the chains of each trial and its search for the mode begin at, shape (trial, number).
        target: Wanted probability of acceptance.
        chunk: Trials at a time; bounds the memory.
    """

    def one_trial(data: Array, key: Array, begin: Array | None = None) -> Samples:
        draw_key, move_key = jax.random.split(key)
        if begin is None:
            mode = best_mode(generator, data, starts)
            white = jax.random.normal(draw_key, (n_chains, generator.n_numbers), data.dtype)
        else:
            mode = find_mode(generator, data, begin)
            white = jnp.broadcast_to(mode.white(begin), (n_chains, generator.n_numbers))

        def move(white: Array, key: Array, log_step: Array) -> tuple[Array, Array]:
            one = functools.partial(hmc_move, lambda white: generator.log_posterior(mode.at(white), data))
            keys = jax.random.split(key, n_chains)
            return jax.vmap(lambda w, k: one(w, k, jnp.exp(log_step), n_leapfrog, generator.moving))(white, keys)

        def warm(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            key, gain = row
            white, probability = move(carry[0], key, carry[1])
            log_step = carry[1] + gain * (probability.mean() - target)
            return (white, jnp.minimum(log_step, longest)), None

        def draw(white: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
            white, probability = move(white, key, log_step)
            return white, (white, probability.mean())

        # A trajectory of pi / 2 forgets where it began if the posterior is Gaussian; a longer one comes back.
        longest = jnp.log(jnp.asarray(jnp.pi / 2 / n_leapfrog, data.dtype))
        gains = (1.0 / jnp.sqrt(1.0 + jnp.arange(n_warmup))).astype(data.dtype)
        keys = jax.random.split(move_key, n_warmup + n_draws)
        first = (white, longest)
        (white, log_step), _ = jax.lax.scan(warm, first, (keys[:n_warmup], gains))
        _, (draws, probability) = jax.lax.scan(draw, white, keys[n_warmup:])
        z = mode.at(draws.reshape(-1, generator.n_numbers))
        return weighted(z, jnp.zeros(len(z), z.dtype))._replace(acceptance=probability.mean())

    return over_trials(one_trial, data, seed, chunk, *([] if begin is None else [begin]))

"""The search for fixed and slow points: where a system stands still, or nearly so."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial import KDTree

from lfadsx.dynamics.found_points import FIXED, FixedPoints
from lfadsx.dynamics.generator_step import StepMap
from lfadsx.dynamics.modes import Modes, jacobians
from lfadsx.dynamics.visited import Visited, held_inputs
from lfadsx.errors import LfadsxError

SLOW = 0.1
"""Largest speed of a slow point, in units of the median speed of the visited states."""
FLAT = 0.01
"""Largest slope of the speed at a slow point: |(A - I)^T e| / |e|, with the move e of a bin."""
LEAST_SPEED = 1e-3
"""Least unit of speed, as a share of the spread of the visited states: trials that mostly rest have rounding errors as
their median speed."""
NEAR = 0.5
"""Largest distance of a slow point, as a share of that of a fixed point: it matters if trajectories come by."""
NEWTON_STEPS = 40
"""Newton steps of each start."""
AT_ONCE = 64
"""Starts whose Newton steps are computed at once."""


def fixed_points(
    system: StepMap,
    visited: Visited,
    *,
    inputs: Literal["zero", "mean", "bias"] | Float[np.ndarray, "..."] = "zero",
    n_starts: int = 512,
    noise: float = 1.0,
    adam_steps: int = 1000,
    same: float = 0.01,
    farthest: float = 1.0,
    seed: int = 0,
) -> FixedPoints:
    r"""Finds the points where a system stands still, or nearly so, for inputs that are held.

    .. math:: q(x) = \tfrac12 \|F(x, u) - x\|^2

    The search starts from visited states with noise. Adam moves all starts at once down q. Then damped Newton steps
    (Levenberg-Marquardt) end at a zero of q, a fixed point, or at a minimum of it, a slow point.
    Left out are minima where the state moves faster than a tenth of its median speed in the trials, points far from
    the visited states, and duplicates.

    Example:
        A double well stands still at -1, 0 and 1; 0 is unstable:

        >>> import numpy as np
        >>> from lfadsx.dynamics import StepMap, Visited, fixed_points
        >>> system = StepMap(lambda x, u: x + 0.1 * (x - x**3), n_states=1)
        >>> states = np.random.default_rng(0).normal(size=(20, 50, 1))
        >>> visited = Visited(states[:, 0], states, np.zeros((20, 50, 0)), np.ones((20, 50), bool))
        >>> found = fixed_points(system, visited)
        >>> sorted(zip((found.states[:, 0].round(3) + 0.0).tolist(), found.kind))
        [(-1.0, 'stable'), (0.0, 'unstable'), (1.0, 'stable')]

    Args:
        system: The system.
        visited: States that it visits, from `lfadsx.dynamics.visit`.
        inputs: Inputs that are held: "zero"; "mean", the mean of the visited inputs; "bias", zero but for the bias of
            the trial of each start; or numbers, shape (input,), or (start, input) for inputs of each start.
        n_starts: Number of starts.
        noise: Largest length of the noise of a start, in units of the spread of the visited states; starts have from
            none to this.
        adam_steps: Number of steps of Adam.
        same: Points that are closer are one point, in units of the spread of the visited states.
        farthest: Points farther from the nearest visited state are left out, in the same units; slow points already
            from half of it on.
        seed: Seed of starts and noise.

    Raises:
        LfadsxError: If `inputs` have a wrong shape, `n_starts` is below 1, or a visited state is not finite.

    Source: Sussillo & Barak 2013, Neural Computation 25; Golub & Sussillo 2018, JOSS 3.
    """
    if n_starts < 1:
        raise LfadsxError(f"`n_starts` must be at least 1, got {n_starts}.")
    rng, scale, points = np.random.default_rng(seed), visited.scale, visited.points
    if not np.isfinite(points).all():
        raise LfadsxError("The visited states must be finite, but some are not. Check the weights of the model.")
    chosen = rng.integers(len(points), size=n_starts)
    biased = visited.inputs[visited.inside][chosen, system.n_inputs - system.n_bias :]
    held, starts = held_inputs(system, visited, inputs, n_starts, biased), points[chosen]
    size = noise * scale / np.sqrt(system.n_states) * rng.random((n_starts, 1))
    starts = starts + size * rng.normal(size=starts.shape)
    moved = np.asarray(_descend(system, jnp.asarray(starts, jnp.float32), jnp.asarray(held), scale, adam_steps))
    # Many starts end at the same place; one of them is enough for what takes longest.
    speed = np.linalg.norm(_moves(system, moved, held), axis=1)
    one, count = _distinct(np.concatenate([moved, held], axis=1), speed, np.ones(n_starts, int), same * scale)
    held = held[one]
    ends = _settled(system, moved[one], held)
    moves, (jacobian, _) = _moves(system, ends, held), jacobians(system, ends, held)
    speed = np.linalg.norm(moves, axis=1)
    typical = max(visited.speed, LEAST_SPEED * scale, np.finfo(float).tiny)
    distance = np.asarray(KDTree(points).query(ends)[0]) / scale
    limit = farthest * np.where(speed / typical < FIXED, 1.0, NEAR)
    kept = (distance < limit) & _stands(moves, speed / typical, jacobian)
    one, count = _distinct(np.concatenate([ends, held], axis=1)[kept], speed[kept], count[kept], same * scale)
    order = np.flatnonzero(kept)[one[np.argsort(-count, kind="stable")]]
    modes = Modes.of(jacobian[order], system.bin_width)
    found = ends[order], held[order], speed[order] / typical, modes, jacobian[order], distance[order]
    return FixedPoints(*found, np.sort(count)[::-1], visited.states.shape[1])


def _moves(system: StepMap, states: np.ndarray, inputs: np.ndarray) -> Float[np.ndarray, "point state"]:
    """Returns how the system moves in a bin."""
    return np.asarray(system.step(jnp.asarray(states), jnp.asarray(inputs))) - states


def _stands(
    moves: Float[np.ndarray, "point state"],
    speed: Float[np.ndarray, " point"],
    jacobian: Float[np.ndarray, "point state state"],
) -> Bool[np.ndarray, " point"]:
    """Returns whether the system stands still at a point, or is slow with the speed at a minimum there."""
    slope = np.linalg.norm(np.einsum("pji,pj->pi", jacobian, moves) - moves, axis=1)
    flat = slope < FLAT * np.linalg.norm(moves, axis=1)
    return (speed < FIXED) | ((speed < SLOW) & flat)


def _settled(system: StepMap, states: np.ndarray, inputs: np.ndarray) -> Float[np.ndarray, "point state"]:
    """Returns the states after Newton steps."""
    padded = np.arange(-(-len(states) // AT_ONCE) * AT_ONCE) % len(states)  # few different sizes, few compilations
    return np.asarray(_newton(system, jnp.asarray(states[padded]), jnp.asarray(inputs[padded])))[: len(states)]


@partial(jax.jit, static_argnums=4)
def _descend(system: StepMap, starts: Array, inputs: Array, scale: float, n_steps: int) -> Array:
    """Returns the states after Adam steps down q; starts do not depend on each other."""
    adam = optax.scale_by_adam()

    def step(carry: tuple[Array, Any], i: Array) -> tuple[tuple[Array, Any], None]:
        states, moments = carry
        gradient = jax.grad(lambda x: 0.5 * jnp.sum((system.step(x, inputs) - x) ** 2))(states)
        update, moments = adam.update(gradient, moments)
        # A unit moves at first by 2 % of the spread of a state in a step, at last by nothing.
        size = 0.02 * scale / jnp.sqrt(system.n_states) * (1 - i / n_steps)
        return (states - size * jnp.asarray(update), moments), None

    (states, _), _ = jax.lax.scan(step, (starts, adam.init(starts)), jnp.arange(n_steps))
    return states


@jax.jit
def _newton(system: StepMap, starts: Array, inputs: Array) -> Array:
    """Returns the states after Newton steps on F(x) - x, or damped ones (Levenberg-Marquardt) where they lead up q."""

    def one(start: tuple[Array, Array]) -> Array:
        state, held = start

        def error(x: Array) -> Array:
            return system.step(x[None], held[None])[0] - x

        def step(carry: tuple[Array, Array, Array], _: Any) -> tuple[tuple[Array, Array, Array], None]:
            x, e, damping = carry
            slope = jax.jacfwd(error)(x)
            damped = jnp.linalg.solve(slope.T @ slope + damping * jnp.eye(len(x)), slope.T @ e)
            tried = jnp.stack([x, x - damped, x - jnp.linalg.solve(slope, e)])
            errors = jax.vmap(error)(tried)
            best = jnp.nanargmin((errors**2).sum(1))
            return (tried[best], errors[best], jnp.where(best == 1, damping / 10, damping * 3)), None

        carry = state, error(state), jnp.asarray(1e-3, state.dtype)
        return jax.lax.scan(step, carry, length=NEWTON_STEPS)[0][0]

    return jax.lax.map(one, (starts, inputs), batch_size=AT_ONCE)


def _distinct(
    points: Float[np.ndarray, "point value"],
    speed: Float[np.ndarray, " point"],
    count: Int[np.ndarray, " point"],
    closest: float,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"]]:
    """Returns the slowest of all points that are close to each other, and the sum of their counts."""
    kept, sums = [], []
    left = np.isfinite(points.sum(axis=1))
    tree = KDTree(np.where(left[:, None], points, 0.0)) if len(points) else None
    for point in np.argsort(speed, kind="stable"):
        if left[point] and tree is not None:
            own = np.array(tree.query_ball_point(points[point], closest))
            kept.append(point)
            sums.append(int(count[own[left[own]]].sum()))
            left[own] = False
    return np.array(kept, int), np.array(sums, int)

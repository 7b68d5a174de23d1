"""Observability: which directions of a generator's state ever reach what is read from it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lfadsx.dynamics.generator_step import StepMap
from lfadsx.dynamics.modes import jacobians
from lfadsx.dynamics.visited import Visited
from lfadsx.errors import LfadsxError

MOST_TRIALS = 16
"""Most trials along which the system is linearised."""
MOST_WORK = 2e10
"""Most multiplications for each matrix product of these trials, as far as one trial does not need more."""
NOISE = 0.01
"""Change of what is read, in units of its spread, that cannot be told from none."""

READ = 0.99
"""Share of the squared gains that the directions that count as shown make up."""


@dataclasses.dataclass(frozen=True, repr=False)
class Observability:
    """Directions of the state by how much they change what is read, the most readable first.

    Attributes:
        gains: Root mean square change of what is read in the bins that follow, in units of its spread, after a change
            of one standard deviation of the visited states along the direction, shape (direction,).
        directions: Change of the state by one standard deviation along each direction, shape (state, direction). Along
            different directions the visited states are not correlated.
        unread: Share of the variance of the visited states that what is read later does not show.
        shown: Share of that variance in the directions that make up 99 % of what is read later: the cycle consistency.
        dimensions: Number of dimensions that the visited states fill, the participation ratio of their variances.
    """

    gains: Float[np.ndarray, " direction"]
    directions: Float[np.ndarray, "state direction"]
    unread: float
    shown: float
    dimensions: float

    def __repr__(self) -> str:
        """Returns the numbers in one line."""
        return (
            f"Observability: {self.dimensions:.1f} dimensions filled, {100 * self.unread:.1f} % of the variance unread"
        )


def observability(system: StepMap, visited: Visited) -> Observability:
    r"""Measures which directions of the state ever reach what is read from it (factors), directly or through dynamics.

    A state with more units than factors always has directions that are not read at once. They matter if they reach the
    factors later, and are superfluous if they never do. Along trials the linearised system has the Gramian

    .. math:: W_{t-1} = A_t^T (C_t^T C_t + W_t) A_t, \qquad W_T = 0

    with the Jacobians A of a step and C of what is read, in units of its spread. The directions are eigenvectors of
    the mean Gramian per bin of the first halves of trials, in the metric of the visited states' covariance. A
    direction of gain g counts as read by the share g^2 / (g^2 + 0.01^2).

    Example:
        A state of which only the first half of the units is ever read:

        >>> import jax.numpy as jnp, numpy as np
        >>> from lfadsx.dynamics import StepMap, Visited, observability
        >>> system = StepMap(lambda x, u: 0.9 * x, n_states=2, observe=lambda x: x[:, :1])
        >>> states = np.random.default_rng(0).normal(size=(50, 20, 2))
        >>> visited = Visited(states[:, 0], states, np.zeros((50, 20, 0)), np.ones((50, 20), bool))
        >>> round(observability(system, visited).unread, 1)
        0.5

    Args:
        system: The system.
        visited: The states that it visits.

    Raises:
        LfadsxError: If there are fewer than 2 of these.

    Source: Kalman 1960, for the Gramian; along trajectories: Rugh 1996, Linear System Theory.
    """
    if len(visited.points) < 2:
        raise LfadsxError(f"There must be at least 2 visited states, got {len(visited.points)}. Give longer trials.")
    observed = np.asarray(system.observed(visited.states))  # pyright: ignore[reportArgumentType]
    spread = np.maximum(observed[visited.inside].std(0), np.finfo(np.float32).tiny)
    n_trials, n_bins, n_states = visited.states.shape
    most = int(np.clip(MOST_WORK // (n_bins * n_states**3), 1, MOST_TRIALS))
    chosen = np.unique(np.linspace(0, n_trials - 1, most).astype(int))
    gramian = np.mean([_gramian(system, visited, trial, spread) for trial in chosen], axis=0)
    root = _root(np.cov(visited.points.T.astype(float)).reshape(system.n_states, -1))
    squares, vectors = np.linalg.eigh(root @ gramian @ root)
    gains = np.sqrt(np.maximum(squares[::-1], 0.0))
    directions = (root @ vectors)[:, ::-1]
    variance = (directions**2).sum(0)
    unread = float((variance * NOISE**2 / (gains**2 + NOISE**2)).sum() / variance.sum())
    read_so_far = np.cumsum(gains**2) - gains**2
    shown = float(variance[read_so_far < READ * (gains**2).sum()].sum() / variance.sum())
    total = np.linalg.eigvalsh(root @ root)
    return Observability(gains, directions, unread, shown, float(total.sum() ** 2 / (total**2).sum()))


def _gramian(
    system: StepMap, visited: Visited, trial: int, spread: Float[np.ndarray, " observed"]
) -> Float[np.ndarray, "state state"]:
    """Returns the Gramian per bin that follows, averaged over the states before the bins of a trial's first half."""
    steps, _ = jacobians(system, visited.before[trial], visited.inputs[trial])
    read = np.asarray(_read(system, visited.states[trial])) / spread[:, None] / np.sqrt(len(spread))
    length = int(visited.inside[trial].sum())
    now, total = np.zeros((2, system.n_states, system.n_states))
    n = max(1, length // 2)
    for t in reversed(range(length)):
        a, c = steps[t].astype(float), read[t].astype(float)
        now = a.T @ (c.T @ c + now) @ a
        if t < n:
            total += now / (length - t)
    return total / n


@jax.jit
def _read(system: StepMap, states: Array) -> Array:
    """Returns the Jacobian of what is read at each state."""
    return jax.lax.map(jax.jacfwd(lambda x: system.observed(x[None])[0]), jnp.asarray(states), batch_size=1024)


def _root(covariance: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state state"]:
    """Returns the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

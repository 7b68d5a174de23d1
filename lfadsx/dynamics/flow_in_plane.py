"""Flow and speed of a system: in the plane of its largest variance, and along lines between points."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lfadsx.dynamics.generator_step import StepMap
from lfadsx.dynamics.visited import Visited, held_inputs


@dataclasses.dataclass(frozen=True)
class FlowField:
    """How a system moves in a plane of its states.

    Attributes:
        places: Coordinates of the grid in the plane, shape (row, column, 2).
        flow: Movement in a bin, the part within the plane, shape (row, column, 2).
        speed: Length of the whole movement in a bin, in units of the median speed of the visited states, shape
            (row, column).
        centre: State at the origin of the plane, shape (state,).
        axes: Directions of the plane, of unit length, shape (state, 2).
    """

    places: Float[np.ndarray, "row column 2"]
    flow: Float[np.ndarray, "row column 2"]
    speed: Float[np.ndarray, "row column"]
    centre: Float[np.ndarray, " state"]
    axes: Float[np.ndarray, "state 2"]


def flow_field(
    system: StepMap,
    visited: Visited,
    *,
    inputs: Literal["zero", "mean"] | Float[np.ndarray, " input"] = "zero",
    n: int = 20,
    axes: Float[np.ndarray, "state 2"] | None = None,
    centre: Float[np.ndarray, " state"] | None = None,
) -> FlowField:
    """Returns how a system moves on a grid that covers the visited states.

    The plane goes through the mean of the visited states, along their first two principal components. States off the
    plane may move otherwise; `speed` counts what leaves the plane, too.

    Example:
        Everything falls towards the origin by a tenth in a bin:

        >>> import numpy as np
        >>> from lfadsx.dynamics import StepMap, Visited, flow_field
        >>> system = StepMap(lambda x, u: 0.9 * x, n_states=3)
        >>> states = np.random.default_rng(0).normal(size=(20, 30, 3))
        >>> visited = Visited(states[:, 0], states, np.zeros((20, 30, 0)), np.ones((20, 30), bool))
        >>> field = flow_field(system, visited, centre=np.zeros(3))
        >>> bool(np.allclose(field.flow, -0.1 * field.places, atol=1e-6))
        True

    Args:
        system: The system, of at least 2 states.
        visited: The states that it visits.
        inputs: Inputs that are held, as in `fixed_points`.
        n: Number of rows and columns of the grid.
        axes: Directions of the plane, of unit length and at right angles, shape (state, 2).
        centre: State at the origin of the plane, shape (state,).

    Raises:
        LfadsxError: If `inputs` have a wrong shape.
    """
    centre = visited.centre if centre is None else centre
    if axes is None:
        axes = np.linalg.eigh(np.cov(visited.points.T))[1][:, ::-1][:, :2]
    seen = (visited.points - centre) @ axes
    columns, rows = (np.linspace(low, high, n) for low, high in zip(seen.min(0), seen.max(0), strict=True))
    places = np.stack(np.meshgrid(columns, rows), axis=2)
    states = (centre + places.reshape(-1, 2) @ axes.T).astype(np.float32)
    moves = _moves(system, visited, states, inputs)
    speed = np.linalg.norm(moves, axis=1) / max(visited.speed, np.finfo(float).tiny)
    return FlowField(places, (moves @ axes).reshape(n, n, 2), speed.reshape(n, n), centre, axes)


def speed_between(
    system: StepMap,
    visited: Visited,
    first: Float[np.ndarray, " state"],
    second: Float[np.ndarray, " state"],
    *,
    inputs: Literal["zero", "mean"] | Float[np.ndarray, " input"] = "zero",
    n: int = 101,
) -> Float[np.ndarray, " place"]:
    """Returns the speed on the straight line between two states, such as two fixed points.

    Speeds are in units of the median speed of the visited states, at `n` places at equal distances from the first to
    the second state. A barrier between two stable points is where the line is fast; on a line attractor all is slow.

    Example:
        >>> import numpy as np
        >>> from lfadsx.dynamics import StepMap, Visited, speed_between
        >>> well = StepMap(lambda x, u: x + 0.1 * (x - x**3), n_states=1)
        >>> states = np.random.default_rng(0).normal(size=(20, 30, 1))
        >>> visited = Visited(states[:, 0], states, np.zeros((20, 30, 0)), np.ones((20, 30), bool))
        >>> speed = speed_between(well, visited, np.array([-1.0]), np.array([1.0]), n=5)
        >>> (speed > 0.01).tolist()
        [False, True, False, True, False]

    Args:
        system: The system.
        visited: The states that it visits.
        first: A state.
        second: Another state.
        inputs: Inputs that are held, as in `fixed_points`.
        n: Number of places.

    Raises:
        LfadsxError: If `inputs` have a wrong shape.
    """
    share = np.linspace(0, 1, n)[:, None]
    states = ((1 - share) * first + share * second).astype(np.float32)
    return np.linalg.norm(_moves(system, visited, states, inputs), axis=1) / max(visited.speed, np.finfo(float).tiny)


def _moves(
    system: StepMap,
    visited: Visited,
    states: Float[np.ndarray, "place state"],
    inputs: Literal["zero", "mean"] | Float[np.ndarray, " input"],
) -> Float[np.ndarray, "place state"]:
    held = held_inputs(system, visited, inputs, len(states))
    return np.asarray(system.step(jnp.asarray(states), jnp.asarray(held))) - states

"""Fixed points of a model against those of its teacher."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

import lfadsx
from benchmarks.dynamics.measures import Pair
from lfadsx.datasets import GRUNetwork
from lfadsx.dynamics import FixedPoints, StepMap, Visited, fixed_points, step_map, visit
from lfadsx.evaluation.metrics import align

NEAR = 0.5
"""Largest distance of a found corner from that of the teacher, in units of the least distance between two corners."""


def teacher_map(network: GRUNetwork) -> StepMap:
    """Returns one step of the teacher, without noise."""
    weights: dict[str, Any] = {name: jnp.asarray(values, jnp.float32) for name, values in network._asdict().items()}
    single = GRUNetwork(**weights)
    return StepMap(single.step, len(network.h0), network.W_in.shape[1], observe=single.read_out)


def teacher_points(network: GRUNetwork, latents: np.ndarray, inputs: np.ndarray, **search: Any) -> FixedPoints:
    """Returns the fixed points of the teacher for zero input, searched from its states (trial, time, unit)."""
    inside = np.ones((len(latents), latents.shape[1] - 1), bool)
    return fixed_points(teacher_map(network), Visited(latents[:, 0], latents[:, 1:], inputs[:, 1:], inside), **search)


def model_points(model: lfadsx.LFADS, data: lfadsx.Dataset, **search: Any) -> FixedPoints:
    """Returns the fixed points of a model for zero known inputs, or for the mean of its inferred inputs."""
    system = step_map(model, data)
    inferred = model.decoder.input_prior is not None
    return fixed_points(system, visit(model, data, system), inputs="mean" if inferred else "zero", **search)


def corners_of(network: GRUNetwork, points: FixedPoints) -> np.ndarray:
    """Returns the stable point of the teacher for every set of bits, that which most starts reached, (corner, unit).

    Around its corners the teacher is so slow that it has several stable points for the same bits.
    """
    stable = points.states[_is(points, "stable")]
    _, first = np.unique(network.read_out(stable) > 0.5, axis=0, return_index=True)
    return stable[first]


def compared(found: FixedPoints, corners: np.ndarray, latents: Pair, true: Pair) -> dict[str, float]:
    """Compares the stable points of a model with the corners of the teacher, in the coordinates of the teacher.

    Args:
        found: Fixed points of the model.
        corners: Stable points of the teacher, shape (corner, unit).
        latents: The model's states in trials.
        true: The teacher's states in the same trials.

    Returns:
        `stable` and `saddles`, numbers of points that stand still; `corners`, number of the teacher's corners that
        have a stable point of the model near them; `corner_error`, root mean squared distance of these corners from
        the nearest such point, in units of the least distance between two corners.
    """
    stable = found.states[_is(found, "stable")]
    numbers: dict[str, float] = {"stable": len(stable), "saddles": int(_is(found, "saddle").sum()), "corners": 0}
    if not len(stable):
        return numbers
    placed = align(stable[:, None], fit_on=(latents.train, true.train))[:, 0]
    between = np.linalg.norm(corners[:, None] - corners, axis=2)
    distance = np.linalg.norm(placed[:, None] - corners, axis=2).min(0) / between[between > 0].min()
    near = distance[distance < NEAR]
    return numbers | {"corners": len(near)} | ({"corner_error": float(np.sqrt(np.mean(near**2)))} if len(near) else {})


def _is(points: FixedPoints, kind: str) -> np.ndarray:
    """Returns True for fixed points of a kind; slow points are not fixed."""
    return np.array([own == kind for own in points.kind], bool)

"""The Rössler system: a chaotic flow with one slow turn and rare, brief excursions."""

from __future__ import annotations

import numpy as np

A, B, C = 0.2, 0.2, 5.7
"""Coefficients of the system."""
BURN_IN, TURN = 120.0, 5.88
"""Time, in units of the system, after which states are on the attractor, and the time of one turn."""


def stationary(n: int, seed: int = 0, step: float = 0.01) -> np.ndarray:
    """Draws states of the Rössler system from the stationary law of its attractor.

    Each state starts at a random place of a ring around the origin and runs for `BURN_IN` units of time. All turns take
    almost the same time, so no burn-in mixes their phases: each state then runs for a random part of two turns.

    Args:
        n: Number of states.
        seed: Seed of the draw.
        step: Euler step in units of the system's time.

    Returns:
        Independent states, shape (n, 3).
    """
    random = np.random.default_rng(seed)
    radius, angle = random.uniform(3.0, 8.0, n), random.uniform(0.0, 2.0 * np.pi, n)
    start = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n)], axis=-1)
    states = euler(start, step, round(BURN_IN / step))
    left = random.integers(0, round(2 * TURN / step), n)
    for number in range(left.max()):
        states = np.where(left[:, None] > number, euler(states, step, 1), states)
    return states


def euler(states: np.ndarray, step: float, n_steps: int) -> np.ndarray:
    r"""Returns states of the Rössler system, shape (..., 3), after `n_steps` Euler steps.

    .. math:: \dot s_1 = -s_2 - s_3, \quad \dot s_2 = s_1 + a s_2, \quad \dot s_3 = b + s_3 (s_1 - c)

    Source: Rössler 1976, Physics Letters A 57.
    """
    x, y, z = np.moveaxis(states, -1, 0)
    for _ in range(n_steps):
        x, y, z = x - step * (y + z), y + step * (x + A * y), z + step * (B + z * (x - C))
    return np.stack([x, y, z], axis=-1)

"""Damped pendulums under different gravity: the same states, but dynamics that differ from trial to trial."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

MASS, LENGTH, FRICTION = 1.0, 5.0, 1.0
"""Mass, length and friction of the pendulum."""


def swing(
    start: Float[np.ndarray, "trial 2"],
    gravity: Float[np.ndarray, " trial"],
    n_bins: int,
    *,
    step: float = 0.1,
    steps_per_bin: int = 1,
) -> Float[np.ndarray, "trial time 2"]:
    r"""Runs pendulums by Euler steps.

    .. math:: \ddot\theta = -\frac{b}{m l^2} \dot\theta - \frac{g}{l} \sin \theta

    Example:
        >>> import numpy as np
        >>> from lfadsx.datasets.pendulum import swing
        >>> states = swing(np.array([[0.5, 0.0], [0.5, 0.0]]), np.array([1.0, 4.0]), 20)
        >>> states.shape, bool(states[1, 15, 0] < states[0, 15, 0])  # the stronger gravity turns it sooner
        ((2, 20, 2), True)

    Args:
        start: Angle (radians) and angular velocity before the first bin, shape (trial, 2).
        gravity: Gravity g of each trial, shape (trial,).
        n_bins: Number of bins.
        step: Euler step in units of the system's time.
        steps_per_bin: Number of Euler steps in a bin.

    Returns:
        Angle and angular velocity after the last step of each bin, shape (trial, time, 2).

    Source: Shah et al. 2025, bioRxiv 2025.10.03.680303, whose pendulums all start at an angle of 2/3, at rest.
    """
    (angle, velocity), states = start.T, np.empty((len(start), n_bins, 2))
    for t in range(n_bins):
        for _ in range(steps_per_bin):
            turn = -FRICTION / (MASS * LENGTH**2) * velocity - gravity / LENGTH * np.sin(angle)
            angle, velocity = angle + step * velocity, velocity + step * turn
        states[:, t] = np.stack([angle, velocity], axis=-1)
    return states

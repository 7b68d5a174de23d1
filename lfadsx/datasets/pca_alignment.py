"""Alignment of sessions by principal components: where read-ins of several sessions may start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TAPS = 6
"""Bins of the moving average that smooths the averages of conditions."""


def align_sessions(
    sessions: Sequence[tuple[np.ndarray, np.ndarray]], n_components: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""Regresses the principal components of all sessions together on the neurons of each one.

    .. math:: W_s = \arg\min_W \| X_s^T W - (V^T X)^T \|^2

    X holds the averages over the trials of each condition, conditions one after the other, smoothed by a moving
    average of 6 bins that runs forwards and backwards, less the mean of each neuron; V its first principal axes.

    Source: the synthetic data of the original LFADS; Pandarinath et al. 2018, Methods, stitching of sessions.

    Example:
        >>> import numpy as np
        >>> from lfadsx.datasets.pca_alignment import align_sessions
        >>> rng = np.random.default_rng(0)
        >>> condition = np.repeat([0, 1, 2], 8)
        >>> days = [(rng.poisson(2.0, (24, 30, n)), condition) for n in (5, 7)]
        >>> [(matrix.shape, bias.shape) for matrix, bias in align_sessions(days, 3)]
        [((5, 3), (5,)), ((7, 3), (7,))]

    Args:
        sessions: For each session its data, (trial, time, neuron), and the condition of each trial, (trial,). All
            sessions have the same conditions and bins.
        n_components: Number of principal components.

    Returns:
        For each session the matrix W_s, shape (neuron, component), and the mean of each neuron in the unit of the
        data, shape (neuron,): components are (x - mean) W_s.
    """
    courses = [smooth(_averages(data, condition)) for data, condition in sessions]
    means = [course.mean(axis=1) for course in courses]
    centred = [course - mean[:, None] for course, mean in zip(courses, means, strict=True)]
    together = np.concatenate(centred)
    _, axes = np.linalg.eigh(together @ together.T)  # eigenvalues ascend
    components = axes[:, ::-1][:, :n_components].T @ together
    matrices = [np.linalg.lstsq(course.T, components.T, rcond=None)[0] for course in centred]
    return list(zip(matrices, means, strict=True))


def smooth(courses: np.ndarray) -> np.ndarray:
    """Averages over 6 bins forwards and then backwards, so that nothing is delayed.

    The course goes on beyond its ends as its image in the end point, for three times as many bins as are averaged.

    Args:
        courses: Time courses in any unit, shape (neuron, time).

    Returns:
        The smoothed courses, same shape.
    """
    n = min(3 * TAPS, courses.shape[1] - 1)
    before = 2 * courses[:, :1] - courses[:, n:0:-1]
    after = 2 * courses[:, -1:] - courses[:, -2 : -n - 2 : -1]
    smoothed = np.concatenate([before, courses, after], axis=1)
    for _ in range(2):
        past = np.pad(smoothed, ((0, 0), (TAPS - 1, 0)), mode="edge")
        smoothed = np.lib.stride_tricks.sliding_window_view(past, TAPS, axis=1).mean(axis=-1)[:, ::-1]
    return smoothed[:, n : smoothed.shape[1] - n]


def _averages(data: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """Returns averages over the trials of each condition, one after the other, shape (neuron, condition * time)."""
    averages = [data[condition == one].mean(axis=0) for one in np.unique(condition)]
    return np.concatenate(averages).T

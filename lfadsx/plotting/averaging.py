"""Averages with intervals and principal components, without NaN (bins after a trial's end, missing data)."""

from __future__ import annotations

import numpy as np


def mean_and_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the average over trials and the half width of its 95 % interval (1.96 standard errors).

    Bins that fewer than half of the trials reach are NaN, because an average that loses trials on its way jumps.

    Args:
        values: Shape (trial, time) or (trial, time, channel), any unit.

    Returns:
        Average and half width in the unit of `values`, without the trial axis; the half width of one trial is NaN.
    """
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    enough = count >= np.maximum(1.0, 0.5 * finite.any(axis=1).sum(axis=0))
    mean = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(finite, (values - mean) ** 2, 0.0).sum(axis=0)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    half = np.where(enough & (count > 1), 1.96 * error, np.nan)
    return np.where(enough, mean, np.nan), half


def principal_components(values: np.ndarray, most: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Project onto the directions of largest variance over all trials and bins.

    Args:
        values: Shape (..., dimension), any unit; rows with NaN are left out and stay NaN.
        most: Number of components; fewer if there are fewer dimensions.

    Returns:
        The projections, shape (..., component), and the share of the variance of each component, shape
        (component,); the shares are 0 if the values are constant.
    """
    centre, directions, share = principal_axes(values, most)
    return (values - centre) @ directions, share


def principal_axes(values: np.ndarray, most: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the directions of largest variance, (dimension, component), and their shares; see above."""
    rows = values[np.isfinite(values).all(axis=-1)].astype(np.float64)
    centre = rows.mean(axis=0) if len(rows) else np.zeros(values.shape[-1])
    centred = rows - centre
    variances, directions = np.linalg.eigh(centred.T @ centred)
    variances, directions = variances[::-1].clip(0.0), directions[:, ::-1]
    # The sign of a component is arbitrary; it is fixed so that the same data give the same picture.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(len(largest))] < 0, -1.0, 1.0)
    return centre, directions[:, :most], variances[:most] / max(variances.sum(), np.finfo(float).tiny)

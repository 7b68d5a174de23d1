"""The little statistics that figures need: averages with intervals, smoothing, principal components.

NaN marks bins after the end of a trial and missing data; it is left out everywhere.
"""

from __future__ import annotations

import numpy as np


def mean_and_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average trials and give the half width of the 95 % interval of the average.

    Bins that fewer than half of the trials reach are NaN, because an average that loses trials on its way
    jumps for no reason in the data. The interval is 1.96 standard errors over trials.

    Args:
        values: Shape (trial, time), any unit.

    Returns:
        The average and the half width, each of shape (time,), in the unit of `values`. The half width is
        NaN where there is one trial only.
    """
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    enough = count >= max(1.0, 0.5 * finite.any(axis=1).sum())
    mean = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(finite, (values - mean) ** 2, 0.0).sum(axis=0)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    half = np.where(enough & (count > 1), 1.96 * error, np.nan)
    return np.where(enough, mean, np.nan), half


def smooth(values: np.ndarray, kernel: float) -> np.ndarray:
    """Smooth a time course with a Gaussian that is cut and renormalised at the ends and at missing bins.

    Args:
        values: Shape (time,), any unit.
        kernel: Standard deviation of the Gaussian in bins; below half a bin nothing is smoothed.

    Returns:
        The smoothed course, shape (time,), NaN where `values` is.
    """
    if kernel < 0.5:
        return values
    bins = np.arange(len(values))
    weights = np.exp(-0.5 * ((bins[:, None] - bins) / kernel) ** 2)
    finite = np.isfinite(values)
    total = weights @ np.where(finite, values, 0.0)
    return np.where(finite, total / np.maximum(weights @ finite, 1e-12), np.nan)


def principal_components(values: np.ndarray, most: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Project onto the directions of largest variance, found from all trials and bins together.

    Args:
        values: Shape (..., dimension), any unit; rows with a NaN take no part and stay NaN.
        most: Number of components; fewer when there are fewer dimensions.

    Returns:
        The projections, shape (..., component), and the share of the variance of each component, shape
        (component,); the shares are 0 when nothing varies.
    """
    finite = np.isfinite(values).all(axis=-1)
    rows = values[finite].astype(np.float64)
    centre = rows.mean(axis=0) if len(rows) else np.zeros(values.shape[-1])
    centred = rows - centre
    variances, directions = np.linalg.eigh(centred.T @ centred)
    variances, directions = variances[::-1].clip(0.0), directions[:, ::-1]
    # The sign of a component is arbitrary: fix it so that the same data give the same picture.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(len(largest))] < 0, -1.0, 1.0)
    share = variances[:most] / max(variances.sum(), np.finfo(float).tiny)
    return (values - centre) @ directions[:, :most], share


def spread(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each channel over trials and bins, 0 where there are no data.

    Args:
        values: Shape (trial, time, channel), any unit.

    Returns:
        Shape (channel,), in the unit of `values`.
    """
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=(0, 1)), 1)
    mean = np.where(finite, values, 0.0).sum(axis=(0, 1)) / count
    return np.sqrt(np.where(finite, (values - mean) ** 2, 0.0).sum(axis=(0, 1)) / count)

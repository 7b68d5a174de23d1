"""Baselines that average over training trials: mean rate, time course, condition average."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.session_data import Part, parts_and_training, unknown_rates
from lfadsx.evaluation.baselines.width_selection import WIDTHS, best_on_valid
from lfadsx.evaluation.metrics import gaussian_kernel


def mean_rate(dataset: Dataset, split: Split) -> Float[np.ndarray, "trial time target_channel"]:
    """Each channel's mean over the training trials and bins; of counts `(spikes + 0.5) / bins`.

    Args:
        dataset: The data set.
        split: The trials that get the rates.

    Returns:
        In the unit of the data, for counts per bin, shape (trial, time, target_channel).

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> round(float(mean_rate(dataset, dataset.valid)[0, 0, 0]), 4)
        1.0125
    """
    rates = unknown_rates(dataset, split)
    for part, train in parts_and_training(dataset, split):
        rates[part.trials, :, : part.n_channels] = train.mean_rate()
    return rates


def time_course(
    dataset: Dataset, split: Split, *, width: float | None = None
) -> Float[np.ndarray, "trial time target_channel"]:
    """Each channel's smoothed mean over training trials in every bin, the same for all trials of a session.

    The mean is shrunk towards the channel's mean by the weight of one trial, so that rates are never 0.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        width: Standard deviation of the Gaussian smoothing in bins; chosen from `WIDTHS` when None.

    Returns:
        In the unit of the data, for counts per bin, shape (trial, time, target_channel).

    Raises:
        LfadsxError: The width is negative.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> round(float(time_course(dataset, dataset.valid)[0, 0, 0]), 3)
        1.001
    """
    if width is None:
        width = best_on_valid(dataset, WIDTHS, lambda w: time_course(dataset, dataset.valid, width=w))
    rates = unknown_rates(dataset, split)
    for part, train in parts_and_training(dataset, split):
        rates[part.trials, :, : part.n_channels] = _course(train, width, split.n_bins)
    return rates


def condition_average(
    dataset: Dataset, split: Split, *, width: float | None = None
) -> Float[np.ndarray, "trial time target_channel"]:
    """Smoothed mean over the training trials of the same session and condition.

    The mean is shrunk towards the time course by the weight of one trial. Conditions without training trials, and
    trials without a condition (`has_label`), get the time course.

    Args:
        dataset: The data set, with conditions.
        split: The trials that get the rates, with conditions.
        width: Standard deviation of the Gaussian smoothing in bins; chosen from `WIDTHS` when None.

    Returns:
        In the unit of the data, for counts per bin, shape (trial, time, target_channel).

    Raises:
        LfadsxError: The width is negative, or trials have no condition.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), condition=np.repeat([0, 1], 5))
        >>> round(float(condition_average(dataset, dataset.valid)[0, 0, 0]), 3)
        1.0
    """
    if split.condition is None or dataset.train.condition is None:
        raise LfadsxError(
            "The condition average needs the condition of all training and scored trials, but one of the two "
            "splits has none. Give both splits conditions, or use time_course."
        )
    if width is None:
        # Without conditions in the valid split, the width is that of the time course.
        of_valid = time_course if dataset.valid.condition is None else condition_average
        width = best_on_valid(dataset, WIDTHS, lambda w: of_valid(dataset, dataset.valid, width=w))
    rates = unknown_rates(dataset, split)
    for part, train in parts_and_training(dataset, split):
        course = _course(train, width, split.n_bins)
        labelled = split.labelled[part.trials]
        rates[part.trials[~labelled], :, : part.n_channels] = course  # trials without a label
        for label in np.unique(split.condition[part.trials[labelled]]):
            chosen = part.trials[split.condition[part.trials] == label]
            alike = train.only(dataset.train.condition[train.trials] == label)
            rates[chosen, :, : part.n_channels] = _smoothed_mean(alike, course, width, split.n_bins)
    return rates


def _course(train: Part, width: float, n_bins: int) -> np.ndarray:
    """Time course of one session, shape (n_bins, channel)."""
    return _smoothed_mean(train, train.mean_rate(), width, n_bins)


def _smoothed_mean(part: Part, prior: np.ndarray, width: float, n_bins: int) -> np.ndarray:
    """Mean over trials and neighbouring bins, shrunk to the prior by one trial; shape (n_bins, channel)."""
    total, n_trials = np.zeros((2, n_bins, part.n_channels))
    n_known = min(n_bins, part.values.shape[1])
    total[:n_known] = np.where(part.scored, part.values, 0).sum(0, dtype=np.float64)[:n_known]
    n_trials[:n_known] = part.scored.sum(0)[:n_known]
    # Bins that no trial reaches get no weight, so that padding changes nothing.
    kernel = gaussian_kernel(n_bins, width) * n_trials.any(1)
    kernel = kernel / np.maximum(kernel.sum(1, keepdims=True), np.finfo(float).tiny)
    return (kernel @ total + prior) / (kernel @ n_trials + 1)

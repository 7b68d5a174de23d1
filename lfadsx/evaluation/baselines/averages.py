"""Baselines that average: over training trials (mean rate, time course, condition average), or over time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.session_data import Part, Rates, parts_and_training, seen_bins, unknown_rates
from lfadsx.evaluation.metrics import gaussian_kernel, nll_per_trial
from lfadsx.evaluation.metrics.known_entries import masked_sum
from lfadsx.evaluation.metrics.r2 import error_and_total

WIDTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations in bins that time course, condition average and smoothed data choose among."""

SHRINKAGES = (1.0, 4.0, 16.0)
"""Weights of the mean, in bins, that smoothed data choose among."""

Setting = TypeVar("Setting")


def mean_rate(dataset: Dataset, split: Split) -> Rates:
    """Returns each channel's mean over the training trials and bins; of counts `(spikes + 0.5) / bins`.

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


def time_course(dataset: Dataset, split: Split, *, width: float | None = None) -> Rates:
    """Returns each channel's smoothed mean over training trials in every bin, the same for all trials of a session.

    The mean is shrunk towards the channel's mean by the weight of one trial, so that rates are never 0. `width` is the
    standard deviation of the Gaussian smoothing in bins, by default one of `WIDTHS`.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> round(float(time_course(dataset, dataset.valid)[0, 0, 0]), 3)
        1.001
    """
    if width is None:
        width = _best_on_valid(dataset, WIDTHS, lambda w: time_course(dataset, dataset.valid, width=w))
    rates = unknown_rates(dataset, split)
    for part, train in parts_and_training(dataset, split):
        rates[part.trials, :, : part.n_channels] = _mean_of_trials(train, train.mean_rate(), width, split.n_bins)
    return rates


def condition_average(dataset: Dataset, split: Split, *, width: float | None = None) -> Rates:
    """Returns the smoothed mean over the training trials of the same session and condition; see `time_course`.

    The mean is shrunk towards the time course by the weight of one trial. Conditions without training trials, and
    trials without a condition (`has_label`), get the time course.

    Raises:
        LfadsxError: If a split has no conditions.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), condition=np.repeat([0, 1], 5))
        >>> round(float(condition_average(dataset, dataset.valid)[0, 0, 0]), 3)
        1.0
    """
    if split.condition is None or dataset.train.condition is None:
        raise LfadsxError(
            "The condition average needs the conditions of training and scored trials, but one of the two splits has "
            "none. Give both splits conditions, or use `time_course`."
        )
    if width is None:
        # Without conditions in the valid split, the width of the time course is used.
        of_valid = time_course if dataset.valid.condition is None else condition_average
        width = _best_on_valid(dataset, WIDTHS, lambda w: of_valid(dataset, dataset.valid, width=w))
    rates = time_course(dataset, split, width=width)
    for part, train in parts_and_training(dataset, split):
        course = _mean_of_trials(train, train.mean_rate(), width, split.n_bins)
        for label in np.unique(split.condition[part.trials[split.labelled[part.trials]]]):
            chosen = part.trials[split.condition[part.trials] == label]
            alike = train.only(dataset.train.condition[train.trials] == label)
            rates[chosen, :, : part.n_channels] = _mean_of_trials(alike, course, width, split.n_bins)
    return rates


def smoothed_data(
    dataset: Dataset, split: Split, *, width: float | None = None, shrinkage: float | None = None, own_bin: bool = True
) -> Rates:
    """Returns each trial's own data, smoothed in time, for channels that the encoder sees; others are NaN.

    `(sum_s k(t - s) x_s + a mean) / (sum_s k(t - s) + a)` over the bins s that the encoder sees, with a
    Gaussian k of height 1: the trial's neighbouring bins, shrunk towards the channel's mean by the weight
    of a bins. Bins of forward prediction fall back to that mean.

    By default width and shrinkage are those from `WIDTHS` and `SHRINKAGES` that best predict each bin of the valid
    split from the bins around it.

    Args:
        dataset: The data set.
        split: The trials whose data are smoothed; entries hidden in `encoder_observed` are not used.
        width: Standard deviation of k in bins.
        shrinkage: The weight a in bins, above 0.
        own_bin: If False, each entry is predicted from the bins around it only.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> smoothed_data(dataset, dataset.valid, width=0.0, shrinkage=1.0)[0, 0].round(4).tolist()
        [1.0062, 1.0062, nan]
    """
    if shrinkage is not None and shrinkage <= 0:
        raise LfadsxError(f"`shrinkage` must be above 0 bins, got {shrinkage:g}: rates of 0 would follow.")
    widths = WIDTHS if width is None else (width,)
    shrinkages = SHRINKAGES if shrinkage is None else (shrinkage,)
    settings = list(itertools.product(widths, shrinkages))
    if len(settings) > 1:
        rates_of = functools.partial(_smoothed_data, dataset, dataset.valid, own_bin=False)
        seen = seen_bins(dataset.valid)
        settings = [_best_on_valid(dataset, settings, lambda setting: rates_of(*setting), seen)]
    return _smoothed_data(dataset, split, *settings[0], own_bin)


def _smoothed_data(dataset: Dataset, split: Split, width: float, shrinkage: float, own_bin: bool) -> np.ndarray:
    rates = unknown_rates(dataset, split)
    for session, (part, train) in zip(dataset.sessions, parts_and_training(dataset, split), strict=True):
        is_target = session.target_index >= 0
        targets = session.target_index[is_target]
        mean = np.ones(session.n_channels)
        mean[is_target] = train.mean_rate()[targets]
        smoothed = smooth_trials(part, mean, width, shrinkage, split.n_bins, own_bin=own_bin)
        rates[np.ix_(part.trials, np.arange(split.n_bins), targets)] = smoothed[:, :, is_target]
    return rates


def smooth_trials(
    part: Part, mean: np.ndarray, width: float, shrinkage: float, n_bins: int, *, own_bin: bool = True
) -> np.ndarray:
    """Returns the shrunk weighted mean of the bins that the encoder sees, shape (trial, n_bins, encoder channel)."""
    n_seen = part.encoder_input.shape[1]
    kernel = gaussian_kernel(max(n_bins, n_seen), width)
    if not own_bin:
        np.fill_diagonal(kernel, 0.0)
    kernel = kernel[:n_bins, :n_seen]
    total = kernel @ np.where(part.seen, part.encoder_input, 0)
    return (total + shrinkage * mean) / (kernel @ part.seen + shrinkage)


def _mean_of_trials(part: Part, prior: np.ndarray, width: float, n_bins: int) -> np.ndarray:
    """Returns the mean over trials and neighbouring bins, shrunk to the prior by one trial; shape (n_bins, channel)."""
    total, n_trials = np.zeros((2, n_bins, part.n_channels))
    n_known = min(n_bins, part.values.shape[1])
    total[:n_known] = masked_sum(part.values, part.scored, 0)[:n_known]
    n_trials[:n_known] = part.scored.sum(0)[:n_known]
    # Bins that no trial reaches get no weight, so that padding changes nothing.
    kernel = gaussian_kernel(n_bins, width) * n_trials.any(1)
    kernel = kernel / np.maximum(kernel.sum(1, keepdims=True), np.finfo(float).tiny)
    return (kernel @ total + prior) / (kernel @ n_trials + 1)


def _best_on_valid(
    dataset: Dataset,
    settings: Sequence[Setting],
    valid_rates: Callable[[Setting], np.ndarray],
    among: np.ndarray | bool = True,
) -> Setting:
    """Returns the setting whose rates explain the valid trials best, where they exist and `among` is True."""
    values, scored = dataset.valid.targets[dataset.input_group], scored_mask(dataset.valid, dataset) & among

    def loss(setting: Setting) -> float:
        rates = valid_rates(setting)
        known = scored & ~np.isnan(rates)
        if dataset.is_counts():
            return float(nll_per_trial(rates, values, known).sum())
        return float(error_and_total(rates, values, known)[0].sum())

    return min(settings, key=loss)

"""The baseline that smooths each trial's own data."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from jaxtyping import Float

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.session_data import Part, parts_and_training, unknown_rates
from lfadsx.evaluation.baselines.width_selection import WIDTHS, best_on_valid
from lfadsx.evaluation.metrics import gaussian_kernel

SHRINKAGES = (1.0, 4.0, 16.0)
"""Weights of the mean, in bins, that smoothed data choose among."""


def smoothed_data(
    dataset: Dataset,
    split: Split,
    *,
    width: float | None = None,
    shrinkage: float | None = None,
    own_bin: bool = True,
) -> Float[np.ndarray, "trial time target_channel"]:
    """Each trial's own data, smoothed in time, for channels that the encoder sees.

    `(sum_s k(t - s) x_s + a mean) / (sum_s k(t - s) + a)` over the bins s that the encoder sees, with a
    Gaussian k of height 1: the trial's neighbouring bins, shrunk towards the channel's mean by the weight
    of a bins. Bins of forward prediction fall back to that mean. Held-out channels are NaN.

    What is not given is chosen from `WIDTHS` and `SHRINKAGES` so that on the valid split each bin is best
    predicted from the bins around it, without its own data.

    Args:
        dataset: The data set.
        split: The trials whose data are smoothed; entries hidden in `encoder_observed` are not used.
        width: Standard deviation of k in bins.
        shrinkage: The weight a in bins, above 0.
        own_bin: False leaves out each bin's own data: each entry is predicted from the bins around it.

    Returns:
        In the unit of the data, for counts per bin, shape (trial, time, target_channel).

    Raises:
        LfadsxError: The width is negative, or the shrinkage is not above 0.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> smoothed_data(dataset, dataset.valid, width=0.0, shrinkage=1.0)[0, 0].round(4).tolist()
        [1.0062, 1.0062, nan]
    """
    if shrinkage is not None and shrinkage <= 0:
        raise LfadsxError(f"The shrinkage is {shrinkage:g} bins, which would give rates of 0. Give a number above 0.")
    widths = WIDTHS if width is None else (width,)
    shrinkages = SHRINKAGES if shrinkage is None else (shrinkage,)
    settings = list(itertools.product(widths, shrinkages))
    if len(settings) > 1:
        valid = dataset.valid
        seen = (np.arange(valid.n_bins) < valid.encoder_length[:, None])[:, :, None]
        rates_of = functools.partial(_smoothed_data, dataset, valid, own_bin=False)
        settings = [best_on_valid(dataset, settings, lambda setting: rates_of(*setting), seen)]
    return _smoothed_data(dataset, split, *settings[0], own_bin)


def _smoothed_data(dataset: Dataset, split: Split, width: float, shrinkage: float, own_bin: bool) -> np.ndarray:
    rates = unknown_rates(dataset, split)
    parts = parts_and_training(dataset, split)
    for session, (part, train) in zip(dataset.sessions, parts, strict=True):
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
    """Weighted mean of the bins that the encoder sees, shrunk; shape (trial, n_bins, encoder channel)."""
    n_seen = part.encoder_input.shape[1]
    kernel = gaussian_kernel(max(n_bins, n_seen), width)
    if not own_bin:
        np.fill_diagonal(kernel, 0.0)
    kernel = kernel[:n_bins, :n_seen]
    total = kernel @ np.where(part.seen, part.encoder_input, 0)
    return (total + shrinkage * mean) / (kernel @ part.seen + shrinkage)

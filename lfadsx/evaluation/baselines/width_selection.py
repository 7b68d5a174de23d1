"""Choice of a baseline's settings on the valid split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.baselines.scored_entries import scored_mask
from lfadsx.evaluation.metrics import nll_per_trial
from lfadsx.evaluation.metrics.r2 import error_and_total

WIDTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations in bins that time course, condition average and smoothed data choose among."""

Setting = TypeVar("Setting")


def best_on_valid(
    dataset: Dataset,
    settings: Sequence[Setting],
    valid_rates: Callable[[Setting], np.ndarray],
    among: np.ndarray | None = None,
) -> Setting:
    """The setting whose rates explain the valid trials best, where they are no NaN and `among` is True."""
    values, counts = dataset.valid.targets[dataset.input_group], dataset.is_counts()
    scored = scored_mask(dataset.valid, dataset)
    scored = scored if among is None else scored & among

    def loss(setting: Setting) -> float:
        rates = valid_rates(setting)
        known = scored & ~np.isnan(rates)
        of_trials = nll_per_trial if counts else squared_error_per_trial
        return float(of_trials(rates, values, known).sum())

    return min(settings, key=loss)


def squared_error_per_trial(rates: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Squared error of each trial, summed over its known entries."""
    return error_and_total(rates, values, known)[0].sum(1)

"""Choice of a baseline's settings on the valid split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.baselines.scored_entries import scored_mask
from lfadsx.evaluation.metrics import nll_per_trial

WIDTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations in bins that time course, condition average and smoothed spikes choose among."""

Setting = TypeVar("Setting")


def best_on_valid(
    dataset: Dataset,
    settings: Sequence[Setting],
    valid_rates: Callable[[Setting], np.ndarray],
    among: np.ndarray | None = None,
) -> Setting:
    """The setting whose rates explain the valid trials best, where they are no NaN and `among` is True."""
    counts = dataset.valid.targets[dataset.input_group]
    scored = scored_mask(dataset.valid, dataset)
    scored = scored if among is None else scored & among

    def nll(setting: Setting) -> float:
        rates = valid_rates(setting)
        return float(nll_per_trial(rates, counts, scored & ~np.isnan(rates)).sum())

    return min(settings, key=nll)

"""Which entries of a target group exist, are observed and so are scored, and their mean."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.trials import existing


def scored_mask(
    split: Split, dataset: Dataset, group: str | None = None
) -> Bool[np.ndarray, "trial time target_channel"]:
    """Returns True for existing entries of a target group (default: input group): in the trial, its session, observed.

    The counterpart of `Batch.scored` on the host.
    """
    group = group or dataset.input_group
    width = np.array([session.n_targets.get(group, 0) for session in dataset.sessions])[split.session]
    exists = existing(split.targets[group], split.target_length, width)
    observed = split.target_observed.get(group)
    return exists if observed is None else exists & observed


def mean_count(data: Dataset, group: str) -> float:
    """Returns the mean of a target group over the observed entries of the training trials, in its unit."""
    exists = scored_mask(data.train, data, group)
    total = data.train.targets[group].sum(where=exists, dtype=np.float64)
    return float(total / exists.sum()) if exists.any() else float("nan")

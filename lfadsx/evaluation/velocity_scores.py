"""R2 of behaviour decoded from rates, session by session."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.metrics import velocity_decoding
from lfadsx.evaluation.task import Task, has_sklearn


def score_velocity(task: Task, candidate: Candidate) -> dict[str, Any]:
    """R2 of decoding, averaged over sessions with the number of scored trials as weight, and what it used."""
    dataset, split, train = task.dataset, task.split, task.dataset.train
    behaviour, train_behaviour = split.behaviour, train.behaviour
    if candidate.train_rates is None or behaviour is None or train_behaviour is None or not has_sklearn():
        return {}
    lag_bins = _lag_bins(dataset)
    found = {}
    for session, trials, n in task.sessions():
        train_trials = np.flatnonzero(train.session == split.session[trials[0]])
        if np.isnan(behaviour[trials]).all() or np.isnan(train_behaviour[train_trials]).all():
            continue
        # Baselines say nothing about some neurons.
        known = np.flatnonzero(~np.isnan(candidate.rates[trials, :, :n]).all((0, 1)))
        found[session.name] = velocity_decoding(
            _features(task, candidate.train_rates[train_trials][:, :, known]),
            train_behaviour[train_trials],
            _features(task, candidate.rates[trials][:, :, known]),
            behaviour[trials],
            lag_bins=lag_bins,
            train_length=train.encoder_length[train_trials],
            length=split.encoder_length[trials],
        )
    if not found:
        return {}
    weights = [len(decoding.prediction) for decoding in found.values()]
    return {
        "r2": np.average([decoding.r2 for decoding in found.values()], weights=weights),
        "r2_per_dimension": {name: decoding.r2_per_dimension for name, decoding in found.items()},
        "penalty": {name: decoding.penalty for name, decoding in found.items()},
        "behaviour": dataset.behaviour_name,
        "lag_seconds": dataset.behaviour_lag,
        "lag_bins": lag_bins,
    }


def _lag_bins(dataset: Dataset) -> int:
    if dataset.behaviour_lag and dataset.bin_width is None:
        raise LfadsxError(
            f"Behaviour lags by {dataset.behaviour_lag:g} s, but the width of the bins is unknown. "
            "Give the data set its bin width."
        )
    return round(dataset.behaviour_lag / dataset.bin_width) if dataset.bin_width else 0


def _features(task: Task, rates: np.ndarray) -> np.ndarray:
    """Log rates, which behaviour is decoded from; values themselves where the data are no spikes."""
    return np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if task.spikes else rates

"""Rates that are scored side by side: the model's and those of its baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeGuard

import numpy as np

from lfadsx.evaluation.baselines import fit_baselines, smoothed_spikes
from lfadsx.evaluation.task import Task, has_sklearn


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Rates of one row of the table.

    Attributes:
        name: Name of the row.
        rates: Rates of the scored trials; NaN where a baseline says nothing.
        masked_rates: The same without having seen the hidden entries, or None.
        train_rates: Rates of the training trials, or None.
    """

    name: str
    rates: np.ndarray
    masked_rates: np.ndarray | None = None
    train_rates: np.ndarray | None = None

    def rates_for(self, measure: str) -> np.ndarray | None:
        """The rates that a measure in bits per spike is about."""
        return self.masked_rates if measure == "masked_bps" else self.rates


def model_candidate(task: Task) -> Candidate:
    """The rates of the model."""
    group, train = task.dataset.input_group, task.posteriors.get("train")
    return Candidate(
        "lfads",
        task.posterior.rates[group],
        masked_rates=None if task.masked is None else task.masked[0],
        train_rates=None if train is None else train.rates[group],
    )


def baseline_candidates(task: Task, baselines: Mapping[str, np.ndarray] | None) -> list[Candidate]:
    """The rates of the baselines, fitted here when None are given."""
    if baselines is None:
        baselines = fit_baselines(task.dataset, task.split, regression=has_sklearn())
    return [_baseline(task, name, rates) for name, rates in baselines.items()]


def _baseline(task: Task, name: str, rates: np.ndarray) -> Candidate:
    if name in ("time course", "condition average"):
        # These never see a scored trial, so hiding some of its entries changes nothing.
        return Candidate(name, rates, masked_rates=rates)
    if name == "smoothed spikes":
        dataset, decoded = task.dataset, task.split.behaviour is not None
        return Candidate(
            name,
            rates,
            masked_rates=smoothed_spikes(dataset, task.split, own_bin=False),
            train_rates=smoothed_spikes(dataset, dataset.train) if decoded else None,
        )
    return Candidate(name, rates)


def covers(rates: np.ndarray | None, mask: np.ndarray) -> TypeGuard[np.ndarray]:
    """Whether there are entries to score and rates for all: baselines are NaN where they say nothing."""
    return rates is not None and bool(mask.any()) and not np.isnan(rates[mask]).any()

"""R2 of condition averages and the ceiling that noise leaves of it, over all neurons of all sessions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.evaluation.candidates import covers
from lfadsx.evaluation.metrics import psth_ceiling, psth_r2
from lfadsx.evaluation.metrics.known_entries import mean_known
from lfadsx.evaluation.task import Task


def score_psth(task: Task, rates: np.ndarray) -> dict[str, Any]:
    """PSTH R2: mean over all neurons of all sessions."""
    condition, labelled = task.split.condition, task.split.labelled
    if condition is None or not labelled.any() or not covers(rates, task.scored):
        return {}
    per_neuron = {
        session.name: psth_r2(
            rates[trials, :, :n],
            task.counts[trials, :, :n],
            condition[trials],
            kernel_bins=task.kernel_bins,
            mask=task.scored[trials, :, :n],
        ).per_neuron
        for session, trials, n in task.sessions(labelled)
    }
    return {
        "r2": mean_known(np.concatenate(list(per_neuron.values()))),
        "per_neuron": per_neuron,
        "kernel_bins": task.kernel_bins,
    }


def score_ceiling(task: Task) -> dict[str, float]:
    """What noise leaves of PSTH R2, from random halves of the scored trials; means over all neurons."""
    condition, labelled = task.split.condition, task.split.labelled
    if condition is None or not task.scored[labelled].any():
        return {}
    found = [
        psth_ceiling(
            task.counts[trials, :, :n],
            condition[trials],
            kernel_bins=task.kernel_bins,
            mask=task.scored[trials, :, :n],
            seed=task.seed,
        )
        for _, trials, n in task.sessions(labelled)
    ]
    return {
        "ceiling": mean_known(np.concatenate([of_session.per_neuron for of_session in found])),
        "split_halves": mean_known(np.array([of_session.halves for of_session in found])),
    }

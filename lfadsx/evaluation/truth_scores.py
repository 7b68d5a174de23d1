"""R2 against true rates and true inputs, and of targets that are no spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import scored_mask
from lfadsx.evaluation.candidates import covers
from lfadsx.evaluation.metrics import R2Floors, align, r2_floors, r2_per_trial, r2_pooled
from lfadsx.evaluation.task import Task, check_finite, seen_bins


def score_rates(task: Task, rates: np.ndarray) -> dict[str, Any]:
    """R2 of rates against the truth; without a unit of the truth only what is blind to scale."""
    truth, unit = _true_rates(task), task.dataset.truth_unit
    if truth is None or not covers(rates, task.scored):
        return {}
    pooled = _r2_pooled(task, rates, truth, task.scored) if unit in ("counts per bin", "Hz", "data") else None
    return {"r2": r2_per_trial(rates, truth, task.scored), "r2_pooled": pooled, "truth_unit": unit}


def _true_rates(task: Task) -> np.ndarray | None:
    """The true rates in the unit of the expected data: counts in Hz become counts per bin, all else stays."""
    truth, dataset = task.split.truth, task.dataset
    if truth is None or dataset.truth_unit != "Hz":
        return truth
    if dataset.bin_width is None:
        raise LfadsxError(
            "The true rates are in Hz, but the width of the bins is unknown. Give the data set its bin width."
        )
    return truth * dataset.bin_width


def score_floors(task: Task) -> dict[str, float]:
    """Floors of the squared correlation of rates, averaged over sessions, weighted by trials and neurons."""
    truth = task.split.truth
    if truth is None:
        return {}
    sessions = [(trials, n) for _, trials, n in task.sessions() if len(trials) >= 2]
    return _mean_floors(
        [r2_floors(truth[trials, :, :n], task.scored[trials, :, :n], seed=task.seed) for trials, n in sessions],
        weights=[len(trials) * n for trials, n in sessions],
    )


def _mean_floors(floors: Sequence[R2Floors], weights: Sequence[float]) -> dict[str, float]:
    if not floors:
        return {}
    values = [[floor.shuffled, floor.ramp] for floor in floors]
    shuffled, ramp = np.average(values, axis=0, weights=weights)
    return {"floor_shuffled": shuffled, "floor_ramp": ramp}


def score_inputs(task: Task) -> tuple[dict[str, float], np.ndarray | None]:
    """R2 of the inferred inputs in bins that the encoder sees, and the inputs aligned to the truth."""
    inferred, truth = task.posterior.inputs, task.split.true_inputs
    train, train_truth = task.posteriors.get("train"), task.dataset.train.true_inputs
    if inferred is None or truth is None or train is None or train.inputs is None or train_truth is None:
        return {}, None
    if not (_varies(truth) and _varies(train_truth)):  # simulations without inputs say so with zeros
        return {}, None
    train_inputs = np.where(seen_bins(task.dataset.train), train.inputs, np.nan)
    aligned = align(inferred, fit_on=(train_inputs, train_truth))
    seen = np.broadcast_to(seen_bins(task.split), truth.shape)
    check_finite(aligned, seen & ~np.isnan(truth), "aligned inputs")
    found = {"r2": r2_per_trial(aligned, truth, seen), "r2_pooled": r2_pooled(aligned, truth, seen)}
    if task.split.n_trials >= 2:
        found |= _mean_floors([r2_floors(truth, seen, seed=task.seed)], weights=[1.0])
    return found, aligned


def _varies(inputs: np.ndarray) -> bool:
    """Whether inputs, (trial, time, input), take more than one value."""
    return bool(np.nanmin(inputs) < np.nanmax(inputs))


def score_targets(task: Task) -> dict[str, dict[str, float]]:
    """Pooled R2 of the expected data, by group and part, for groups that are no spikes of the encoder."""
    found = {}
    for group, data in task.split.targets.items():
        if group != task.dataset.input_group:
            scored, seen = scored_mask(task.split, task.dataset, group), seen_bins(task.split)
            rates = task.posterior.rates[group]
            parts = {"seen": (rates, scored & seen), "forward": (rates, scored & ~seen)}
        elif not task.spikes:
            parts = _input_group_parts(task)
        else:
            continue
        found[group] = {
            part: _r2_pooled(task, estimate, data, mask) for part, (estimate, mask) in parts.items() if mask.any()
        }
    return found


def _input_group_parts(task: Task) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Estimate and scored entries of each part of the group that the encoder sees."""
    rates = task.posterior.rates[task.dataset.input_group]
    names = {"held_in": "bits_per_spike", "held_out": "co_bps", "forward": "fp_bps"}
    parts = {part: (rates, task.regions[measure]) for part, measure in names.items()}
    if task.masked is not None:
        parts["masked"] = task.masked[0], task.regions["masked_bps"]
    return parts


def _r2_pooled(task: Task, estimate: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Pooled R2 with each session's own mean of every channel as the reference."""
    offset = np.zeros((task.split.n_trials, 1, truth.shape[2]))
    for _, trials, _ in task.sessions():
        entries = np.maximum(mask[trials].sum((0, 1)), 1)
        offset[trials] = np.where(mask[trials], truth[trials], 0).sum((0, 1), dtype=float) / entries
    return r2_pooled(estimate - offset, truth - offset, mask)

"""Figures beside the scores, ready for JSON: nulls, single channels, ceilings, floors, other target groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.data.condition_labels import has_label
from lfadsx.data.data_findings import scored_mask
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import condition_average, mean_rate
from lfadsx.evaluation.baselines.session_data import seen_bins
from lfadsx.evaluation.candidates import Candidate, lag_bins, readout_behaviour
from lfadsx.evaluation.measures import bits, covers, decoded, explained
from lfadsx.evaluation.metrics import (
    BitsPerSpike,
    R2Floors,
    bits_per_spike,
    counts_coverage,
    psth_ceiling,
    psth_r2,
    r2_floors,
    r2_pooled,
    timing_correlation,
    truth_coverage,
)
from lfadsx.evaluation.metrics.known_entries import mean_known
from lfadsx.evaluation.statistics import Statistic
from lfadsx.evaluation.task import BITS, Task
from lfadsx.results.posterior import Posterior

log = logging.getLogger("lfadsx")

ABSOLUTE = "counts per bin", "Hz", "data"
"""Units of true rates that are not relative."""
LEVELS = 0.5, 0.9
"""Probabilities of the intervals whose coverage is measured."""
OF_LEVELS = ("co_bps", "masked_bps")
"""Measures that are divided into the level of trials and the course within them."""


def details(
    task: Task,
    model: Candidate,
    best: Mapping[str, Candidate],
    statistics: Mapping[str, Statistic],
    posterior: Posterior,
    ablated: Posterior | None = None,
) -> dict[str, dict[str, Any]]:
    """Returns the figures beside the model's scores; `best` has the best baseline of each measure.

    `ablated` is the posterior without inferred inputs.
    """
    values = {name: _value(statistic, task) for name, statistic in statistics.items()}
    return {
        **_of_bits(task, model, [measure for measure in BITS if measure in values]),
        "per_neuron_of_baseline": _of_baselines(task, best),
        "levels": _levels(task, model, best),
        "velocity": _of_velocity(task, model, values.get("velocity_r2")),
        "readout": _of_readout(task, values.get("readout_r2"), ablated),
        "psth": _of_psth(task, model, values.get("psth_r2")) | _ceiling(task),
        "timing": _of_timing(task, model, values.get("timing_r")),
        "rates": _of_rates(task, model, values.get("rates_r2")) | _floors_of_rates(task),
        "inputs": _of_inputs(task, model, values.get("inputs_r2")),
        "intervals": _of_intervals(task, posterior),
        "targets_r2": other_groups(task, posterior),
        "targets_r2_without_inputs": {} if ablated is None else other_groups(task, ablated),
    }


def _of_bits(task: Task, model: Candidate, measures: Sequence[str]) -> dict[str, Any]:
    """Returns bits against three nulls and for each neuron, and the neurons and spikes that are counted."""
    found, nulls, null_rates = {}, {}, _nulls(task) if measures else {}
    for measure in measures:
        rates, mask = model.rates_for(measure), task.regions[measure]
        nulls[measure] = {name: _value(bits(task, rates, mask, null), task) for name, null in null_rates.items()}
        found[measure] = {} if rates is None else _by_session(task, rates, mask)
    names = task.dataset.channel_names()
    return {
        "nulls": nulls,
        "per_neuron": {m: {s: bits.per_neuron for s, bits in of.items()} for m, of in found.items()},
        "silent": {m: {s: [names[s][c] for c in bits.silent] for s, bits in of.items()} for m, of in found.items()},
        "n_spikes": {m: sum(bits.n_spikes for bits in of.values()) for m, of in found.items()},
    }


def _of_baselines(task: Task, best: Mapping[str, Candidate]) -> dict[str, dict[str, Any]]:
    """Returns bits per spike of each neuron by the best baseline of each measure, with its name."""
    found = {}
    for measure in (name for name in BITS if name in best):
        rates = best[measure].rates_for(measure)
        if covers(rates, task.regions[measure]):
            of_sessions = _by_session(task, rates, task.regions[measure])
            per_neuron = {session: bits.per_neuron for session, bits in of_sessions.items()}
            found[measure] = {"model": best[measure].name, "per_neuron": per_neuron}
    return found


def _levels(task: Task, model: Candidate, best: Mapping[str, Candidate]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns, by measure and model, the bits of each trial's level, and those that its course within the trial adds.

    The level predicts a neuron by the trial's mean rate times the average time course of these rates.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for measure in (name for name in OF_LEVELS if name in best):
        mask = task.regions[measure]
        for candidate in (model, best[measure]):
            rates = candidate.rates_for(measure)
            if not covers(rates, mask):
                continue
            level = np.full(rates.shape, np.nan)
            for _, trials, n in task.sessions():
                level[trials, :, :n] = level_of_trials(rates[trials, :, :n], mask[trials, :, :n])
            whole, of_level = (_value(bits(task, of, mask), task) for of in (rates, level))
            if whole is not None and of_level is not None:
                found.setdefault(measure, {})[candidate.name] = {"level": of_level, "within": whole - of_level}
    return found


def level_of_trials(
    rates: Float[np.ndarray, "trial time channel"], mask: Bool[np.ndarray, "trial time channel"]
) -> Float[np.ndarray, "trial time channel"]:
    """Returns each trial's mean rate of the scored entries, times the average time course of these rates.

    Example:
        >>> import numpy as np
        >>> course, level = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0])
        >>> rates = level[:, None, None] * course[None, :, None]
        >>> bool(np.allclose(level_of_trials(rates, np.ones(rates.shape, bool)), rates))
        True

    Args:
        rates: Expected counts per bin.
        mask: True for the scored entries.
    """

    def mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
        total = np.where(mask, values, 0.0).sum(axis, keepdims=True)
        return total / np.maximum(mask.sum(axis, keepdims=True), 1)

    whole = mean(rates, (0, 1))
    return mean(rates, 1) * mean(rates, 0) / np.where(whole > 0, whole, 1.0)


def _by_session(task: Task, rates: np.ndarray, mask: np.ndarray) -> dict[str, BitsPerSpike]:
    """Returns bits per spike of each session by its name, with those of its neurons."""
    return {
        session.name: bits_per_spike(rates[trials, :, :n], task.values[trials, :, :n], mask=mask[trials, :, :n])
        for session, trials, n in task.sessions()
    }


def _nulls(task: Task) -> dict[str, np.ndarray | None]:
    """Returns the rates of the null models; None means the mean over the scored entries."""
    nulls = {"scored mean": None, "training mean": mean_rate(task.dataset, task.split)}
    if task.split.condition is not None and task.dataset.train.condition is not None:
        try:
            nulls["condition average"] = condition_average(task.dataset, task.split)
        except Exception:  # as for every baseline: the scores are kept without it
            log.exception("The condition average failed.")
    return nulls


def _of_velocity(task: Task, model: Candidate, r2: float | None) -> dict[str, Any]:
    if r2 is None:
        return {}
    return {
        "r2": r2,
        "r2_per_dimension": {name: decoding.r2_per_dimension for name, decoding in model.decoding.items()},
        "penalty": {name: decoding.penalty for name, decoding in model.decoding.items()},
        "behaviour": task.dataset.behaviour_name,
        "lag_seconds": task.dataset.behaviour_lag,
        "lag_bins": lag_bins(task),
    }


def _of_readout(task: Task, r2: float | None, ablated: Posterior | None) -> dict[str, Any]:
    """Returns R2 of behaviour by the read-out of the model, also with the inferred inputs set to 0."""
    if r2 is None:
        return {}
    without = None if ablated is None else _value(decoded(task, readout_behaviour(task, ablated)), task)
    return {"r2": r2, "r2_without_inputs": without, "behaviour": task.dataset.behaviour_name}


def _of_psth(task: Task, model: Candidate, r2: float | None) -> dict[str, Any]:
    condition, kernel_bins = task.split.condition, task.kernel_bins
    if r2 is None or condition is None:
        return {}
    labelled = has_label(condition)
    per_channel = {}
    for session, trials, n in task.sessions():
        own = trials[labelled[trials]]
        rates, data, mask = (of[own, :, :n] for of in (model.rates, task.values, task.scored))
        per_channel[session.name] = psth_r2(rates, data, condition[own], kernel_bins=kernel_bins, mask=mask).per_neuron
    return {"r2": r2, "per_neuron": per_channel, "kernel_bins": kernel_bins}


def _of_timing(task: Task, model: Candidate, r: float | None) -> dict[str, Any]:
    interval, inside, condition = task.split.interval, task.in_interval, task.split.condition
    if r is None or interval is None or inside is None:
        return {}
    per_group = {}
    for session, own, n in task.sessions():
        rates, group = model.rates[own, :, :n], None if condition is None else condition[own]
        per_group[session.name] = timing_correlation(rates, interval[own], group, inside=inside[own]).per_group
    return {"r": r, "per_group": per_group}


def _ceiling(task: Task) -> dict[str, float]:
    """Returns the largest PSTH R2 that noise allows, from random halves of the scored trials; means over channels."""
    condition = task.split.condition
    if condition is None or not task.scored.any():
        return {}
    settings = {"kernel_bins": task.kernel_bins, "seed": task.seed}
    found = [
        psth_ceiling(task.values[own, :, :n], condition[own], mask=task.scored[own, :, :n], **settings)
        for _, own, n in task.sessions()
    ]
    return {
        "ceiling": mean_known(np.concatenate([of_session.per_neuron for of_session in found])),
        "split_halves": mean_known(np.array([of_session.halves for of_session in found])),
    }


def _of_rates(task: Task, model: Candidate, r2: float | None) -> dict[str, Any]:
    """Returns R2 of rates against the truth; the pooled one needs a truth in a known unit."""
    truth, unit, pooled = task.split.truth, task.dataset.truth_unit, None
    if r2 is None or truth is None:
        return {}
    if unit in ABSOLUTE:
        truth = truth * _bin_width(task) if unit == "Hz" else truth
        pooled = _value(explained(task, model.rates, task.scored & ~np.isnan(truth), truth), task)
    return {"r2": r2, "r2_pooled": pooled, "truth_unit": unit}


def _of_intervals(task: Task, posterior: Posterior) -> dict[str, Any]:
    """Returns how often intervals of the rates hold true rates, and how often those of counts hold held-out counts."""
    group, truth, held_out = posterior.input_group, task.split.truth, task.regions.get("co_bps")
    if posterior.n_samples < 2 or group not in posterior.rates_std:
        return {}
    found: dict[str, Any] = {"kappa": posterior.kappa}
    if truth is not None and task.dataset.truth_unit in ABSOLUTE:
        truth = truth * _bin_width(task) if task.dataset.truth_unit == "Hz" else truth
        bounds = {level: posterior.interval(level) for level in LEVELS}
        found["truth"] = {level: truth_coverage(*bound, truth, task.scored) for level, bound in bounds.items()}
    if task.spikes and held_out is not None and held_out.any():
        given = posterior.rates[group], posterior.rates_std[group], task.values
        found["held_out_counts"] = {level: counts_coverage(*given, level, held_out, task.seed) for level in LEVELS}
    return found


def _bin_width(task: Task) -> float:
    if task.dataset.bin_width is None:
        raise LfadsxError("True rates in Hz need the width of the bins, which is unknown. Give the data set its width.")
    return task.dataset.bin_width


def _floors_of_rates(task: Task) -> dict[str, float]:
    """Returns floors of the squared correlation of rates, averaged over sessions, weighted by trials and channels."""
    truth = task.split.truth
    if truth is None:
        return {}
    sessions = [(trials, n) for _, trials, n in task.sessions() if len(trials) >= 2]
    floors = [r2_floors(truth[own, :, :n], task.scored[own, :, :n], seed=task.seed) for own, n in sessions]
    return _mean_floors(floors, [len(trials) * n for trials, n in sessions])


def _of_inputs(task: Task, model: Candidate, r2: float | None) -> dict[str, float]:
    """Returns R2 of the inferred inputs in bins that the encoder sees, with its floors."""
    truth = task.split.true_inputs
    if r2 is None or model.inputs is None or truth is None:
        return {}
    seen = np.broadcast_to(seen_bins(task.split), truth.shape)
    floors = [r2_floors(truth, seen, seed=task.seed)] if task.split.n_trials >= 2 else []
    return {"r2": r2, "r2_pooled": r2_pooled(model.inputs, truth, seen)} | _mean_floors(floors, [1.0] * len(floors))


def _mean_floors(floors: Sequence[R2Floors], weights: Sequence[float]) -> dict[str, float]:
    if not floors:
        return {}
    values = [[floor.shuffled, floor.ramp] for floor in floors]
    shuffled, ramp = np.average(values, axis=0, weights=weights)
    return {"floor_shuffled": shuffled, "floor_ramp": ramp}


def other_groups(task: Task, posterior: Posterior) -> dict[str, dict[str, float | None]]:
    """Returns R2 of the target groups other than the input group, by group and part ("seen" bins, "forward")."""
    found, seen = {}, seen_bins(task.split)
    for group, data in task.split.targets.items():
        if group != task.dataset.input_group:
            scored, rates = scored_mask(task.split, task.dataset, group), posterior.rates[group]
            scored = scored & ~np.isnan(rates)  # bins before the delay of a read-out
            parts = {"seen": scored & seen, "forward": scored & ~seen}
            known = {part: mask for part, mask in parts.items() if covers(rates, mask)}
            found[group] = {part: _value(explained(task, rates, mask, data), task) for part, mask in known.items()}
    return found


def _value(statistic: Statistic | None, task: Task) -> float | None:
    return None if statistic is None else float(statistic(np.ones(task.split.n_trials)))

"""Bits per spike of all sessions, against several nulls, and the difference to the best baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.evaluation.baselines import condition_average, mean_rate
from lfadsx.evaluation.candidates import Candidate, covers
from lfadsx.evaluation.metrics import BitsPerSpike, bits_per_spike, bootstrap_interval, nll_per_trial
from lfadsx.evaluation.task import BITS, Task


def score_bits(
    task: Task, candidate: Candidate, measure: str, null: np.ndarray | None = None
) -> dict[str, BitsPerSpike]:
    """Bits per spike of each session by its name; empty where the candidate says nothing."""
    rates, mask = candidate.rates_for(measure), task.regions[measure]
    if not covers(rates, mask):
        return {}
    return {
        session.name: bits_per_spike(
            rates[trials, :, :n],
            task.counts[trials, :, :n],
            mask=mask[trials, :, :n],
            null_rates=None if null is None else null[trials, :, :n],
        )
        for session, trials, n in task.sessions()
    }


def pooled(by_session: Mapping[str, BitsPerSpike]) -> float | None:
    """Bits per spike of all sessions: the mean over sessions, weighted by spikes."""
    known = [bits for bits in by_session.values() if bits.n_spikes]
    n_spikes = sum(bits.n_spikes for bits in known)
    return sum(bits.value * bits.n_spikes for bits in known) / n_spikes if n_spikes else None


def bits_detail(task: Task, model: Candidate, found: Mapping[str, Mapping[str, BitsPerSpike]]) -> dict[str, Any]:
    """Bits against three nulls, for each neuron, and the neurons and spikes that went in."""
    found = {measure: by_session for measure, by_session in found.items() if by_session}
    nulls = _nulls(task) if found else {}
    names = {session.name: session.names(task.dataset.input_group)[:n] for session, _, n in task.sessions()}
    return {
        "nulls": {
            measure: {name: pooled(score_bits(task, model, measure, null)) for name, null in nulls.items()}
            for measure in found
        },
        "per_neuron": {m: {s: bits.per_neuron for s, bits in found[m].items()} for m in found},
        "silent": {m: {s: [names[s][c] for c in bits.silent] for s, bits in found[m].items()} for m in found},
        "n_spikes": {m: sum(bits.n_spikes for bits in found[m].values()) for m in found},
    }


def _nulls(task: Task) -> dict[str, np.ndarray | None]:
    """Rates of the null models; None stands for the mean over the scored entries."""
    nulls = {"scored mean": None, "training mean": mean_rate(task.dataset, task.split)}
    if task.split.condition is not None and task.dataset.train.condition is not None:
        nulls["condition average"] = condition_average(task.dataset, task.split)
    return nulls


def differences(
    task: Task, candidates: Sequence[Candidate], table: Sequence[Mapping[str, Any]], n_bootstrap: int
) -> dict[str, dict[str, Any]]:
    """Model minus best baseline in bits per spike, paired by trial; reconstruction is no contest.

    Candidates and rows of the table belong together; the model is the first of both.
    """
    found = {}
    for measure in BITS[1:]:
        rivals = [i for i in range(1, len(table)) if table[i][measure] is not None]
        if table[0][measure] is None or not rivals or task.split.n_trials < 2:
            continue
        best = max(rivals, key=lambda i: table[i][measure])
        mask = _firing(task, measure)
        rates = [candidates[i].rates_for(measure) for i in (0, best)]
        model, rival = (nll_per_trial(of, task.counts, mask) for of in rates if of is not None)
        spikes = np.where(mask, task.counts, 0).sum((1, 2))
        interval = bootstrap_interval(rival - model, spikes, n=n_bootstrap, seed=task.seed)
        found[measure] = {"baseline": table[best]["model"], **dataclasses.asdict(interval)}
    return found


def _firing(task: Task, measure: str) -> np.ndarray:
    """The scored entries of a measure without those of neurons that are silent in them."""
    mask = task.regions[measure].copy()
    spikes = np.where(mask, task.counts, 0)
    for _, trials, _ in task.sessions():
        mask[trials] &= spikes[trials].any((0, 1))
    return mask

"""Measures: for each name, the statistic of a candidate's predictions.

| measure               | channels                                   | bins                                     |
|-----------------------|--------------------------------------------|------------------------------------------|
| bits_per_spike, r2    | that the encoder sees                      | that the encoder sees (reconstruction)   |
| co_bps, co_r2         | held out                                   | that the encoder sees                    |
| masked_bps, masked_r2 | of entries hidden from the encoder         | of entries hidden from the encoder       |
| fp_bps, fp_r2         | all                                        | beyond the encoder's: forward prediction |
| velocity_r2           | all: behaviour decoded from (log) rates    | that the encoder sees                    |
| readout_r2            | behaviour by the read-out of the model     | that the encoder sees                    |
| psth_r2               | all: R2 of each, mean                      | all                                      |
| timing_r              | all: correlation of their speed            | between the first event and time 0       |
| rates_r2              | all: squared correlation per trial, mean   | all                                      |
| inputs_r2             | inputs: squared correlation of each, mean  | that the encoder sees                    |

Bits per spike apply to counts, the R2 beside them to real data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

import numpy as np
from jaxtyping import Float, Int

from lfadsx.data.condition_labels import has_label
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.baselines.session_data import seen_bins
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.metrics import bits_saved, neural_speed, r2_by_channel, r2_of_trials, smooth
from lfadsx.evaluation.metrics.known_entries import Entries, Trials, mean_known
from lfadsx.evaluation.metrics.r2 import error_and_total
from lfadsx.evaluation.metrics.timing_scores import correlations, mean_over
from lfadsx.evaluation.statistics import Statistic, ratio
from lfadsx.evaluation.task import Task, has_bits


def statistics(task: Task, candidate: Candidate, fold: Int[np.ndarray, " trial"] | None = None) -> dict[str, Statistic]:
    """Returns the measures that apply to a candidate, in the order of the table; `fold` as in `averaged`."""
    of_entries = bits if task.spikes else explained
    found = {name: of_entries(task, candidate.rates_for(name), mask) for name, mask in task.regions.items()}
    found["velocity_r2"] = decoded(task, candidate.behaviour)
    found["readout_r2"] = decoded(task, candidate.readout)
    found["psth_r2"] = averaged(task, candidate.rates, fold)
    found["timing_r"] = timed(task, candidate.rates)
    found["rates_r2"] = correlated(candidate.rates, task.split.truth, task.scored)
    if candidate.inputs is not None:
        seen = np.broadcast_to(seen_bins(task.split), candidate.inputs.shape)
        found["inputs_r2"] = correlated(candidate.inputs, task.split.true_inputs, seen)
    return {name: statistic for name, statistic in found.items() if statistic is not None}


def hidden_entries(data: Dataset, split_name: str, rates: Trials, hidden: Entries) -> dict[str, Statistic]:
    """Returns the scores of masked rates for the entries that were hidden: `masked_r2`, and for counts `masked_bps`.

    Args:
        data: The data set.
        split_name: The scored split.
        rates: Expected data, inferred without the hidden entries.
        hidden: True for the hidden entries.
    """
    found = {}
    for spikes in {False, has_bits(data, split_name, np.where(hidden, rates, 0))}:
        task = Task(data, split_name, hidden, spikes)
        name = "masked_bps" if spikes else "masked_r2"
        found[name] = (bits if spikes else explained)(task, rates, task.regions[name])
    return {name: statistic for name, statistic in found.items() if statistic is not None}


def covers(rates: np.ndarray | None, mask: np.ndarray) -> TypeGuard[np.ndarray]:
    """Returns True if there are entries to score and rates for all; baselines are NaN where they predict nothing."""
    return rates is not None and bool(mask.any()) and not np.isnan(rates[mask]).any()


def bits(task: Task, rates: Trials | None, mask: Entries, null_rates: Trials | None = None) -> Statistic | None:
    """Returns bits per spike, pooled over the neurons of all sessions, or None if entries have no rate.

    Neurons without spikes in the scored entries are left out.

    Args:
        task: The trials to score.
        rates: Counts per bin.
        mask: True for the scored entries.
        null_rates: Rates of the null model; by default each neuron's mean over the scored entries of its session.
    """
    if not covers(rates, mask):
        return None
    saved, spikes = np.zeros((2, task.split.n_trials))
    for _, trials, n in task.sessions():
        null = None if null_rates is None else null_rates[trials, :, :n]
        own = [of[trials, :, :n] for of in (rates, task.values, mask)]
        of_neurons, counts = bits_saved(own[0], own[1], mask=own[2], null_rates=null)
        fires = counts.any(0)
        saved[trials], spikes[trials] = of_neurons[:, fires].sum(1), counts[:, fires].sum(1)
    return ratio(saved, spikes) if spikes.any() else None


def explained(task: Task, estimate: Trials | None, mask: Entries, truth: Trials | None = None) -> Statistic | None:
    """Returns R2 around each channel's mean in its session, pooled over channels, or None if entries have no estimate.

    Args:
        task: The trials to score.
        estimate: In the unit of the truth.
        mask: True for the scored entries.
        truth: The values to estimate; by default the data that the encoder sees.
    """
    truth = task.values if truth is None else truth
    if not covers(estimate, mask):
        return None
    error, total = np.zeros((2, task.split.n_trials))
    for _, trials, _ in task.sessions():
        sums = error_and_total(estimate[trials], truth[trials], mask[trials])
        error[trials], total[trials] = (of.sum(1) for of in sums)
    return ratio(total - error, total) if total.any() else None


def decoded(task: Task, prediction: Float[np.ndarray, "trial time behaviour"] | None) -> Statistic | None:
    """Returns R2 of predicted behaviour (NaN: none): mean over its dimensions, and over sessions weighted by trials."""
    behaviour = task.split.behaviour
    if prediction is None or behaviour is None:
        return None
    above, below, shares = [], [], []
    for _, trials, _ in task.sessions():
        known = ~np.isnan(prediction[trials])
        if not known.any():
            continue
        error, total = error_and_total(prediction[trials], behaviour[trials], known)
        for sums, of in ((above, total - error), (below, total)):
            sums.append(np.zeros((task.split.n_trials, of.shape[1])))
            sums[-1][trials] = of
        shares += [len(trials) / total.shape[1]] * total.shape[1]
    return ratio(np.concatenate(above, 1), np.concatenate(below, 1), np.array(shares)) if above else None


def correlated(estimate: Trials, truth: Trials | None, mask: Entries) -> Statistic | None:
    """Returns the squared correlation over time, mean over trials and channels, or None without a truth."""
    if truth is None or not covers(estimate, mask & ~np.isnan(truth)):
        return None
    r2 = r2_of_trials(estimate, truth, mask)
    return ratio(np.nansum(r2, 1), np.sum(~np.isnan(r2), 1))


def averaged(task: Task, rates: Trials, fold: Int[np.ndarray, " trial"] | None = None) -> Statistic | None:
    """Returns PSTH R2, mean over all channels of all sessions and then over folds, or None without conditions.

    Averages of several folds must not be mixed: the trials that one fold leaves out train the other models. The mean of
    predicted averages over folds would be near the average of the trials even if little was learned. Trials
    without a label are left out.

    Args:
        task: The trials to score.
        rates: Expected data.
        fold: Number of the fold that tested each trial, and folds are weighted by their trials; None if one model
            predicts all trials.
    """
    condition = task.split.condition
    if condition is None or not has_label(condition).any() or not covers(rates, task.scored):
        return None
    fold = np.zeros(task.split.n_trials, int) if fold is None else fold
    one = _averaged_in_folds(task, rates, condition, [fold == number for number in np.unique(fold)])
    return np.vectorize(one, signature="(trial)->()")


def timed(task: Task, rates: Trials) -> Statistic | None:
    """Returns the correlation of neural speed and produced interval, mean over conditions and then over sessions.

    None without intervals, without the width of the bins, or if a condition has too few trials.
    """
    inside, interval = task.in_interval, task.split.interval
    if inside is None or interval is None or not covers(rates, task.scored):
        return None
    condition, found = task.split.condition, []
    for _, trials, n in task.sessions():
        group = None if condition is None else condition[trials]
        speed = neural_speed(rates[trials, :, :n], inside[trials])
        found += [(trials, of) for of in correlations(speed, interval[trials], group).values()]
    if not found:
        return None
    return lambda weights: mean_over([of(weights[..., trials]) for trials, of in found])


_Sums = tuple[np.ndarray, np.ndarray, list[np.ndarray], tuple[int, int]]
"""Of one session: its trials, labels (condition, trial), flat rates, data and entries, and their shape."""


def _averaged_in_folds(
    task: Task, rates: np.ndarray, condition: np.ndarray, folds: Sequence[np.ndarray]
) -> Callable[[np.ndarray], float]:
    labelled = has_label(condition)
    parts = [
        [
            (own, *_condition_sums(condition[own], *(x[own, :, :n] for x in (rates, task.values, task.scored))))
            for own, n in ((trials[(in_fold & labelled)[trials]], n) for _, trials, n in task.sessions())
            if len(own)
        ]
        for in_fold in folds
    ]

    def statistic(weights: np.ndarray) -> float:
        sizes = np.array([sum(weights[own].sum() for own, *_ in sessions) for sessions in parts])
        values = np.array([_of_fold(task, weights, sessions) for sessions in parts])
        known = ~np.isnan(values) & (sizes > 0)
        return float(np.average(values[known], weights=sizes[known])) if known.any() else np.nan

    return statistic


def _of_fold(task: Task, weights: np.ndarray, sessions: Sequence[_Sums]) -> float:
    """Returns PSTH R2 of one fold; NaN if no trial of it counts."""
    found = [np.zeros(0)]
    for own, labels, sums, shape in sessions:
        of_rates, of_data, entries = ((labels * weights[own]) @ each for each in sums)
        means = [
            np.divide(of, entries, out=np.full(of.shape, np.nan), where=entries > 0).reshape(-1, *shape)
            for of in (of_rates, of_data)
        ]
        found.append(r2_by_channel(means[0], smooth(means[1], task.kernel_bins)))
    return mean_known(np.concatenate(found))


def _condition_sums(
    condition: np.ndarray, rates: np.ndarray, data: np.ndarray, scored: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], tuple[int, int]]:
    labels = np.unique(condition)[:, None] == condition
    flat = [np.where(scored, of, 0).reshape(len(scored), -1) for of in (rates, data, scored)]
    return labels.astype(float), [of.astype(float) for of in flat], (rates.shape[1], rates.shape[2])

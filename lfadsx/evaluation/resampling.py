"""Scores as functions of how often each trial counts, and their errors from resampled trials.

A statistic gives a score for any weights of the trials: 1 for all is the score itself, 1 for some and 0 for the others
that of a part, numbers of draws with replacement one bootstrap sample. So models are compared on the same resamples,
and the error of a difference is no larger than it has to be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from lfadsx.evaluation.candidates import covers
from lfadsx.evaluation.metrics import nll_per_trial, r2_by_channel, smooth
from lfadsx.evaluation.metrics.known_entries import mean_known
from lfadsx.evaluation.task import Task

Weights = Num[np.ndarray, " trial"]
Statistic = Callable[[Weights], float]
"""A score for given weights of the trials; NaN where it does not exist."""

N_RESAMPLES = 1000
"""Resamples of the trials behind an error."""
N_RESAMPLES_PSTH = 200
"""The same for PSTH R2, of which each one costs as much as the score itself."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its error over trials.

    Attributes:
        value: The score of all trials.
        error: Its standard error: the standard deviation over resampled trials.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    error: float
    low: float
    high: float


def resample(statistic: Statistic, n_trials: int, *, n: int = N_RESAMPLES, seed: int = 0) -> Score:
    """Returns a score with the error that resampling the trials with replacement gives it.

    The ends of the interval are quantiles of the resampled scores, shifted so that these have the score as their mean:
    a score that repeated trials lower as such (PSTH R2) would lie outside its interval otherwise.

    Example:
        >>> import numpy as np
        >>> from lfadsx.evaluation.resampling import ratio, resample
        >>> score = resample(ratio(np.array([1.0, 3.0] * 50), np.ones(100)), 100)
        >>> score.value, round(score.error, 1)
        (2.0, 0.1)

    Args:
        statistic: The score.
        n_trials: Number of trials.
        n: Number of resamples.
        seed: Seed of the draws; two statistics of one seed see the same ones.
    """
    rng = np.random.default_rng(seed)
    value = statistic(np.ones(n_trials))
    drawn = (rng.integers(n_trials, size=n_trials) for _ in range(n))
    draws = np.array([statistic(np.bincount(rows, minlength=n_trials)) for rows in drawn])
    known = draws[~np.isnan(draws)]
    if len(known) < 2 or n_trials < 2:
        return Score(value, np.nan, np.nan, np.nan)
    low, high = value + np.quantile(known, [0.025, 0.975]) - known.mean()
    return Score(value, float(known.std(ddof=1)), float(low), float(high))


def minus(first: Statistic, second: Statistic) -> Statistic:
    """Returns the difference of two scores of the same trials."""
    return lambda weights: first(weights) - second(weights)


def ratio(
    numerator: Float[np.ndarray, "trial ..."],
    denominator: Num[np.ndarray, "trial ..."],
    share: Float[np.ndarray, " column"] | None = None,
) -> Statistic:
    """Returns the ratio of two weighted sums over trials, or the mean of several such ratios.

    Args:
        numerator: What each trial adds above, for one ratio or for several.
        denominator: What it adds below.
        share: What each ratio counts in the mean; all the same when None. Ratios of nothing are left out.
    """
    above, below = (np.asarray(x, float).reshape(len(x), -1) for x in (numerator, denominator))
    share = np.ones(above.shape[1]) if share is None else share

    def statistic(weights: Weights) -> float:
        total = weights @ below
        there = total > 0
        return (
            float(np.average((weights @ above)[there] / total[there], weights=share[there])) if there.any() else np.nan
        )

    return statistic


def saved(
    task: Task, rates: Num[np.ndarray, "trial time channel"], mask: Bool[np.ndarray, "trial time channel"]
) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]:
    """Returns by how many bits rates are better than each neuron's mean rate, and the number of spikes.

    The ratio of their sums is what `bits_per_spike` gives. Neurons without spikes in the scored entries are left out.

    Args:
        task: What is scored.
        rates: Counts per bin.
        mask: True for the entries that the score is about.

    Returns:
        Bits and spikes of each trial.
    """
    mask = mask.copy()
    null = np.ones(task.counts.shape)
    for _, trials, _ in task.sessions():
        spikes = np.where(mask[trials], task.counts[trials], 0).sum((0, 1), dtype=float)
        mask[trials] &= spikes > 0
        null[trials] = spikes / np.maximum(mask[trials].sum((0, 1)), 1)
    nll = [nll_per_trial(of, task.counts, mask) for of in (null, rates)]
    return (nll[0] - nll[1]) / np.log(2), np.where(mask, task.counts, 0).sum((1, 2), dtype=float)


def bits(task: Task, rates: np.ndarray | None, mask: np.ndarray) -> Statistic | None:
    """Returns bits per spike, or None where there are no rates for all entries of the mask."""
    return ratio(*saved(task, rates, mask)) if covers(rates, mask) else None


def explained(task: Task, values: np.ndarray | None, mask: np.ndarray) -> Statistic | None:
    """Returns R2 of real-valued data around each channel's mean in its session, pooled over channels, or None."""
    if not covers(values, mask):
        return None
    mean = np.zeros(task.counts.shape)
    for _, trials, _ in task.sessions():
        known = np.where(mask[trials], task.counts[trials], 0).sum((0, 1), dtype=float)
        mean[trials] = known / np.maximum(mask[trials].sum((0, 1)), 1)
    total, error = (np.where(mask, (of - task.counts) ** 2, 0).sum((1, 2)) for of in (mean, values))
    return ratio(total - error, total)


def decoded(task: Task, prediction: np.ndarray | None) -> Statistic | None:
    """Returns R2 of predicted behaviour: mean over its dimensions, and over sessions weighted by trials.

    Args:
        task: What is scored.
        prediction: Shape (trial, time, behaviour), NaN where nothing is predicted; or None.
    """
    behaviour = task.split.behaviour
    if prediction is None or behaviour is None or np.isnan(prediction).all():
        return None
    above, below, shares = [], [], []
    for _, trials, _ in task.sessions():
        known = ~np.isnan(prediction[trials])
        if not known.any():
            continue
        data = np.where(known, behaviour[trials], 0.0)
        mean = data.sum((0, 1)) / np.maximum(known.sum((0, 1)), 1)
        total = np.where(known, (data - mean) ** 2, 0.0).sum(1)
        error = np.where(known, (data - np.where(known, prediction[trials], 0.0)) ** 2, 0.0).sum(1)
        for sums, of in ((above, total - error), (below, total)):
            sums.append(np.zeros((task.split.n_trials, of.shape[1])))
            sums[-1][trials] = of
        shares += [len(trials) / total.shape[1]] * total.shape[1]
    return ratio(np.concatenate(above, 1), np.concatenate(below, 1), np.array(shares))


def averaged(task: Task, rates: np.ndarray, fold: Int[np.ndarray, " trial"]) -> Statistic | None:
    """Returns PSTH R2, mean over all neurons of all sessions and then over folds, or None without conditions.

    Averages of several folds must not be mixed: what is left out of one has trained the others, so that the mean of the
    averages that they predict is near that of the trials themselves, however little was learned.

    Args:
        task: What is scored.
        rates: Counts per bin, shape (trial, time, target_channel).
        fold: Number of the fold that tested each trial; folds count as many times as their trials.
    """
    condition = task.split.condition
    if condition is None or not covers(rates, task.scored):
        return None
    folds = [
        [
            (own, *_condition_sums(condition[own], *(x[own, :, :n] for x in (rates, task.counts, task.scored))))
            for own, n in ((trials[fold[trials] == number], n) for _, trials, n in task.sessions(task.split.labelled))
            if len(own)
        ]
        for number in np.unique(fold)
    ]

    def statistic(weights: Weights) -> float:
        sizes = np.array([sum(weights[own].sum() for own, *_ in sessions) for sessions in folds])
        values = np.array([_of_fold(task, weights, sessions) for sessions in folds])
        known = ~np.isnan(values) & (sizes > 0)
        return float(np.average(values[known], weights=sizes[known])) if known.any() else np.nan

    return statistic


def _of_fold(task: Task, weights: Weights, sessions: list) -> float:
    """Returns PSTH R2 of one fold; NaN if no trial of it counts."""
    found = []
    for own, labels, sums, shape in sessions:
        of_rates, of_counts, entries = ((labels * weights[own]) @ each for each in sums)
        means = [
            np.divide(of, entries, out=np.full(of.shape, np.nan), where=entries > 0).reshape(-1, *shape)
            for of in (of_rates, of_counts)
        ]
        found.append(r2_by_channel(means[0], smooth(means[1], task.kernel_bins)))
    return mean_known(np.concatenate(found))


def _condition_sums(
    condition: np.ndarray, rates: np.ndarray, counts: np.ndarray, scored: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], tuple[int, int]]:
    """Returns what averages are made of: labels, (condition, trial), and rates, counts and entries, (trial, ...)."""
    labels = np.unique(condition)[:, None] == condition
    flat = [np.where(scored, of, 0).reshape(len(scored), -1) for of in (rates, counts, scored)]
    return labels.astype(float), [of.astype(float) for of in flat], (rates.shape[1], rates.shape[2])

"""From what the models of all folds say about the trials that they did not see to one set of scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation import PSTH_KERNEL_BINS, PSTH_KERNEL_SECONDS
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.resampling import (
    N_RESAMPLES,
    N_RESAMPLES_PSTH,
    Score,
    Statistic,
    averaged,
    bits,
    decoded,
    explained,
    minus,
    resample,
)
from lfadsx.evaluation.task import Task
from lfadsx.inference.posterior import Posterior, join_posteriors

REGIONS = {"masked": "masked_bps", "held_out": "co_bps", "forward": "fp_bps"}
"""What is scored of the entries that no encoder saw, and the measure in bits per spike."""


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What the models of one fold, and their baselines, say about the trials of this fold.

    Attributes:
        rows: Numbers of the trials among all, shape (trial,).
        posterior: Posterior averages of the trials.
        candidates: Rates of the model and, after it, of its baselines.
        hidden: True for entries whose masked rates were inferred without them, shape (trial, time, target_channel).
        behaviour: By name of the candidate, behaviour decoded from its rates, shape (trial, time, behaviour); only
            of those that behaviour is decoded from.
    """

    rows: np.ndarray
    posterior: Posterior
    candidates: Sequence[Candidate]
    hidden: np.ndarray
    behaviour: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Scores of all trials together, each as tested by the fold that did not train on it.

    Attributes:
        scores: By measure and name of the model ("lfads") or baseline.
        folds: The same scores of the trials of each fold alone.
        differences: By measure, model minus best baseline, paired by trial; only where there is a baseline.
        rivals: By measure, which baseline that is.
    """

    scores: dict[str, dict[str, Score]]
    folds: dict[str, dict[str, list[float]]]
    differences: dict[str, Score]
    rivals: dict[str, str]

    @property
    def models(self) -> list[str]:
        """Names of the model and of all baselines, in the order of the table."""
        return list(dict.fromkeys(name for scores in self.scores.values() for name in scores))


def merge(tested: Sequence[FoldResult], values: Sequence[Any]) -> Any:
    """Returns what each fold has for its trials as one, in the order of all trials.

    Args:
        tested: The folds, which have every trial once.
        values: Of each fold an array of shape (trial, ...), a dictionary of such arrays, or None.
    """
    if isinstance(values[0], Mapping):
        return {name: merge(tested, [value[name] for value in values]) for name in values[0]}
    if values[0] is None:
        return None
    return np.concatenate(values)[np.argsort(np.concatenate([fold.rows for fold in tested]))]


def merge_posteriors(tested: Sequence[FoldResult]) -> Posterior:
    """Returns the posterior of all trials; latent variables of different folds have nothing in common."""
    order = np.argsort(np.concatenate([fold.rows for fold in tested]))
    return join_posteriors([fold.posterior for fold in tested], order)


def pool(data: Dataset, trials: Split, tested: Sequence[FoldResult], *, spikes: bool, seed: int = 0) -> Pooled:
    """Scores the trials of all folds together.

    The null of bits per spike, and the mean of R2, is that of each neuron over all trials. A fold's own figure has the
    same null, so that those of the folds differ by their trials and models alone. R2 of condition averages is computed
    in each fold, and averaged (`averaged`).

    Args:
        data: The data set; its sessions say which neurons are scored as held out.
        trials: All trials.
        tested: What was inferred of them, fold by fold.
        spikes: Whether the data are spike counts.
        seed: Seed of the resamples.
    """
    width, hidden = data.bin_width, merge(tested, [fold.hidden for fold in tested])
    kernel_bins = PSTH_KERNEL_BINS if width is None else PSTH_KERNEL_SECONDS / width
    whole = dataclasses.replace(data, test=trials)
    task = Task(whole, "test", {}, (np.zeros(hidden.shape, np.float32), hidden), spikes, kernel_bins, seed)
    fold = np.zeros(trials.n_trials, int)
    for number, part in enumerate(tested):
        fold[part.rows] = number
    by_model = {
        candidate.name: _statistics(task, fold, *_merged(tested, position))
        for position, candidate in enumerate(tested[0].candidates)
    }
    scores, folds, differences, rivals = {}, {}, {}, {}
    for measure in dict.fromkeys(name for found in by_model.values() for name in found):
        found = {name: statistics[measure] for name, statistics in by_model.items() if measure in statistics}
        settings = dict(n=N_RESAMPLES_PSTH if measure == "psth_r2" else N_RESAMPLES, seed=seed)
        scores[measure] = {name: resample(of, trials.n_trials, **settings) for name, of in found.items()}
        folds[measure] = {
            name: [of((fold == number).astype(float)) for number in range(len(tested))] for name, of in found.items()
        }
        model, *others = found
        if others and model == tested[0].candidates[0].name:
            rivals[measure] = max(others, key=lambda name: scores[measure][name].value)
            difference = minus(found[model], found[rivals[measure]])
            differences[measure] = resample(difference, trials.n_trials, **settings)
    return Pooled(scores, folds, differences, rivals)


def _merged(tested: Sequence[FoldResult], position: int) -> tuple[Candidate, np.ndarray | None]:
    """Returns one candidate's rates of all trials, and the behaviour decoded from them."""
    parts = [fold.candidates[position] for fold in tested]
    name = parts[0].name
    rates, masked = (merge(tested, [getattr(part, of) for part in parts]) for of in ("rates", "masked_rates"))
    return Candidate(name, rates, masked), merge(tested, [fold.behaviour.get(name) for fold in tested])


def _statistics(
    task: Task, fold: np.ndarray, candidate: Candidate, behaviour: np.ndarray | None
) -> dict[str, Statistic]:
    """Returns the measures that apply to a candidate, each as a function of the trials' weights."""
    score = bits if task.spikes else explained
    found = {
        measure if task.spikes else f"{part}_r2": score(task, candidate.rates_for(measure), task.regions[measure])
        for part, measure in REGIONS.items()
    }
    found |= {"velocity_r2": decoded(task, behaviour), "psth_r2": averaged(task, candidate.rates, fold)}
    return {name: statistic for name, statistic in found.items() if statistic is not None}

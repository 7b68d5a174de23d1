"""Cross-validation: from what the models of all folds predict of the trials that they did not see to one comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import ALL
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.comparison import compare_candidates
from lfadsx.evaluation.protocol import Evaluation, evaluation_of
from lfadsx.evaluation.task import Posterior, Task, has_bits
from lfadsx.findings import Finding


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What the models of one fold, and their baselines, predict of the trials of this fold.

    Attributes:
        rows: Numbers of the trials among all, shape (trial,).
        posterior: Posterior averages of the trials.
        candidates: What the model and, after it, its baselines predict.
        hidden: True for entries whose masked rates were inferred without them, shape (trial, time, target_channel).
        failed: Findings about what could not be predicted.
    """

    rows: np.ndarray
    posterior: Posterior
    candidates: Sequence[Candidate] = ()
    hidden: np.ndarray | None = None
    failed: Sequence[Finding] = ()


def merge(tested: Sequence[FoldResult], values: Sequence[Any]) -> Any:
    """Returns what each fold has for its trials as one, in the order of all trials.

    Args:
        tested: The folds, which have every trial once.
        values: Of each fold an array of shape (trial, ...), a dictionary of such arrays, or None.
    """
    if isinstance(values[0], Mapping):
        return {name: merge(tested, [value[name] for value in values]) for name in values[0]}
    if any(value is None for value in values):
        return None
    return np.concatenate(values)[np.argsort(np.concatenate([fold.rows for fold in tested]))]


def merge_posteriors(tested: Sequence[FoldResult]) -> Posterior:
    """Returns the posterior of all trials; latent variables of different folds have nothing in common."""
    first = tested[0].posterior
    names = [field.name for field in dataclasses.fields(first) if _is_by_trial(getattr(first, field.name), tested[0])]
    return dataclasses.replace(
        first, **{name: merge(tested, [getattr(fold.posterior, name) for fold in tested]) for name in names}
    )


def _is_by_trial(value: Any, fold: FoldResult) -> bool:
    """Whether a field of a posterior holds something of each trial; the others are the same in all folds."""
    if isinstance(value, dict):
        return all(_is_by_trial(item, fold) for item in value.values())
    return isinstance(value, np.ndarray) and len(value) == len(fold.rows)


def evaluate_folds(data: Dataset, trials: Split, tested: Sequence[FoldResult], *, seed: int = 0) -> Evaluation:
    """Scores the trials of all folds together, each as tested by the fold that did not train on it.

    The null of bits per spike, and the mean of R2, is that of each channel over all trials. A fold's own figure has the
    same null, so that those of the folds differ by their trials and models alone. R2 of condition averages is computed
    in each fold, and averaged (`averaged`). A baseline that failed in a fold is left out.

    Args:
        data: The data set; its sessions say which channels are scored as held out.
        trials: All trials.
        tested: What was inferred of them, fold by fold.
        seed: Seed of the resamples.

    Returns:
        The scores. Its detail also has `fold`, the fold that tested each trial, and `folds`, each fold's own scores.
    """
    fold = np.zeros(trials.n_trials, int)
    for number, part in enumerate(tested):
        fold[part.rows] = number
    by_name = [{candidate.name: candidate for candidate in part.candidates} for part in tested]
    names = [name for name in by_name[0] if all(name in of for of in by_name)]
    candidates = [_merged(tested, [of[name] for of in by_name]) for name in names]
    whole = dataclasses.replace(data, test=trials)
    hidden = merge(tested, [part.hidden for part in tested])
    rates = [of for of in (candidates[0].rates, candidates[0].masked_rates) if of is not None]
    task = Task(whole, "test", hidden, has_bits(whole, "test", *rates), seed=seed)
    found = compare_candidates(task, candidates, fold=fold)
    failed = {finding.sentence: finding for part in tested for finding in part.failed}
    detail = {"folds": found.folds, "fold": fold, "notes": []}
    return evaluation_of(task, found, ALL, list(found.scores), detail, list(failed.values()))


def _merged(tested: Sequence[FoldResult], parts: Sequence[Candidate]) -> Candidate:
    """Returns one candidate's predictions of all trials."""
    fields = ("rates", "masked_rates", "behaviour")
    return Candidate(parts[0].name, **{of: merge(tested, [getattr(part, of) for part in parts]) for of in fields})

"""Cross-validation: predictions of all folds' models for the trials that they did not see, as one comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.split_names import ALL
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.comparison import compare_candidates
from lfadsx.evaluation.protocol import Evaluation, evaluation_of
from lfadsx.evaluation.task import Task, has_bits
from lfadsx.findings import Finding
from lfadsx.results.posterior import Posterior, join_posteriors


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """Predictions of the trials of one fold by its models and their baselines.

    Attributes:
        rows: Numbers of the trials among all, shape (trial,).
        posterior: Posterior averages of the trials.
        candidates: Predictions of the model and, after it, of its baselines.
        hidden: True for entries whose masked rates were inferred without them, shape (trial, time, target_channel).
        failed: Findings about predictions that failed.
    """

    rows: np.ndarray
    posterior: Posterior
    candidates: Sequence[Candidate] = ()
    hidden: np.ndarray | None = None
    failed: Sequence[Finding] = ()


def merge_posteriors(tested: Sequence[FoldResult]) -> Posterior:
    """Returns the posterior of all trials; latent variables of different folds are not comparable."""
    return join_posteriors([fold.posterior for fold in tested], _order(tested))


def evaluate_folds(data: Dataset, trials: Split, tested: Sequence[FoldResult], *, seed: int = 0) -> Evaluation:
    """Returns the scores of the trials of all folds together, each tested by the fold that did not train on it.

    The null model of bits per spike, and the mean of R2, is each channel's mean over all trials. The score of a single
    fold has the same null, so folds differ only by their trials and models. R2 of condition averages is computed
    in each fold, and averaged (`averaged`). A baseline that failed in a fold is left out.

    Args:
        data: The data set; its sessions tell which channels are scored as held out.
        trials: All trials.
        tested: The predictions, fold by fold.
        seed: Seed of the resamples.

    Returns:
        The scores. Its detail also has `fold`, the fold that tested each trial, and `folds`, each fold's own scores.
    """
    order = _order(tested)
    fold = np.repeat(np.arange(len(tested)), [len(part.rows) for part in tested])[order]

    def merged(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
        return None if any(value is None for value in values) else np.concatenate(values)[order]  # type: ignore[arg-type]

    by_name = [{candidate.name: candidate for candidate in part.candidates} for part in tested]
    names = [name for name in by_name[0] if all(name in of for of in by_name)]
    fields = ("rates", "masked_rates", "behaviour", "readout")
    candidates = [
        Candidate(name, **{field: merged([getattr(of[name], field) for of in by_name]) for field in fields})  # type: ignore[arg-type]
        for name in names
    ]
    whole = dataclasses.replace(data, test=trials)
    rates = [of for of in (candidates[0].rates, candidates[0].masked_rates) if of is not None]
    hidden = merged([part.hidden for part in tested])
    task = Task(whole, "test", hidden, has_bits(whole, "test", *rates), seed=seed)
    found = compare_candidates(task, candidates, fold=fold)
    failed = {finding.sentence: finding for part in tested for finding in part.failed}
    detail = {"folds": found.folds, "fold": fold, "notes": []}
    return evaluation_of(task, found, ALL, list(found.scores), detail, list(failed.values()))


def _order(tested: Sequence[FoldResult]) -> np.ndarray:
    """Returns the positions of all trials, in their own order, among the trials of the folds."""
    return np.argsort(np.concatenate([fold.rows for fold in tested]))

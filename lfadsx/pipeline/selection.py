"""Choice among trained models: differences to the best one, and the simplest one within one standard error."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from lfadsx.config import HyperParams
from lfadsx.data.dataset import Dataset
from lfadsx.dynamics import Trust
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.measures import hidden_entries
from lfadsx.evaluation.statistics import Statistic, drawn, mean_of, ratio, score_of
from lfadsx.inference import masked_log_likelihood, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.scoring import trust_of
from lfadsx.training import FitResult

MEASURES = ("masked_nats", "masked_bps", "masked_r2")
"""Measures for the comparison; the first one that all models have is used."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """One model of a sweep with all its seeds.

    Attributes:
        settings: The swept settings.
        group: Name of the population that it was trained in.
        hyper: Hyperparameters.
        seeds: Seeds, the one with the best selection score first.
        members: Training results of the seeds.
        n_parameters: Number of trained parameters.
        statistics: For each seed that trained, scores of hidden entries of the validation trials by measure.
        seconds: Training time in seconds: the model's share of that of its population.
        trust: Trust checks of the dynamics, mean over the seeds that trained; None if they were not asked for.
    """

    settings: dict[str, float | str]
    group: str
    hyper: HyperParams
    seeds: tuple[int, ...]
    members: tuple[FitResult, ...]
    n_parameters: int
    statistics: tuple[Mapping[str, Statistic], ...]
    seconds: float
    trust: Trust | None = None

    @property
    def selection_scores(self) -> np.ndarray:
        """Selection scores of the seeds that trained."""
        scores = np.array([member.best_score for member in self.members])
        return scores[np.isfinite(scores)]

    @property
    def complexity(self) -> tuple[float, float, float, float]:
        """Findings of the trust checks, then numbers of parameters, and of factors and inferred inputs if swept."""
        factors, inputs = (float(self.settings.get(name, 0)) for name in ("factors", "inferred_inputs"))
        return 0 if self.trust is None else len(self.trust.findings), self.n_parameters, factors, inputs


def score_members(
    data: Dataset,
    members: Sequence[tuple[FitResult, int]],
    *,
    mask_seed: int,
    by_likelihood: bool,
    checked: bool,
    mesh: Mesh | None,
    **facts: Any,
) -> Trained:
    """Scores the seeds of a model; `members` holds results and seeds, `facts` the other fields of `Trained`.

    `mask_seed` determines the hidden entries. It must be the same for all models, so that they compare by trial. With
    `by_likelihood` the score is `masked_nats`, the mean log likelihood of a hidden entry in nats. If `checked`
    is True, the trust checks of their dynamics are made, too.
    """
    results, seeds = zip(*sorted(members, key=lambda pair: pair[0].best_score), strict=True)

    def score(model: LFADS) -> dict[str, Statistic]:
        if by_likelihood:
            entries, hidden = masked_log_likelihood(model, data, "valid", seed=mask_seed, mesh=mesh)
            return {"masked_nats": ratio(entries.sum((1, 2), dtype=np.float64), hidden.sum((1, 2)))}
        return hidden_entries(data, "valid", *masked_rates(model, data, "valid", seed=mask_seed, mesh=mesh))

    models = [member.model for member in results if np.isfinite(member.best_score)]
    found = Trust.mean([trust_of(model, data, "valid") for model in models]) if checked and models else None
    return Trained(seeds=seeds, members=results, statistics=tuple(map(score, models)), trust=found, **facts)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Comparison of models; higher scores are better. Arrays have the shape (model,), NaN for models without a score.

    Attributes:
        scores: Mean over seeds.
        errors: Standard errors of the scores.
        differences: Score minus the best model's score, at most 0.
        difference_errors: Standard errors of the differences, 0 for the best model.
        best: Number of the model with the highest score.
    """

    scores: np.ndarray
    errors: np.ndarray
    differences: np.ndarray
    difference_errors: np.ndarray
    best: int

    def choose(self, complexity: Sequence[Sequence[float]]) -> int:
        """Returns the simplest model whose score is within one standard error of the best score.

        The standard error belongs to the difference from the best model, paired by trial. The classic rule uses the
        error of the best score itself. Here all models predict the same hidden entries of the same trials. Most of a
        score's own error is therefore shared: it depends on how predictable these trials are. By the classic rule,
        models that are worse on nearly every trial would count as good.

        Args:
            complexity: Complexity of each model as numbers, the most important first, such as the number of trained
                parameters. Of equally simple models the one with the better score is chosen.
        """
        close = np.flatnonzero(self.differences >= -self.difference_errors)
        return min(close.tolist(), key=lambda model: (*complexity[model], -self.scores[model]))


def rank(seeds: Sequence[Sequence[Statistic]], n_trials: int) -> Ranking:
    """Compares models by a score of the same trials, paired by trial.

    A standard error combines two errors. The first is over resampled trials, given the trained models. The second is
    the error of the mean over seeds: their standard deviation divided by the root of their number. With one seed the
    second is unknown and left out.

    Args:
        seeds: For each model the statistics of the seeds that trained; empty for a model without such seeds.
        n_trials: Number of trials.

    Raises:
        LfadsxError: If no model has a seed that trained.

    Example:
        >>> import numpy as np
        >>> from lfadsx.evaluation import ratio
        >>> from lfadsx.pipeline.selection import rank
        >>> easy, spikes = np.arange(100.0), np.ones(100)
        >>> one, other = (ratio(easy + lead, spikes) for lead in (1, np.tile([0, 1.9], 50)))
        >>> found = rank([[one], [other]], 100)
        >>> found.best, bool(found.difference_errors[1] < 0.1 * found.errors[1])
        (0, True)
    """
    by_seed = [np.array([float(statistic(np.ones(n_trials))) for statistic in own]) for own in seeds]
    means = np.array([own.mean() if len(own) else np.nan for own in by_seed])
    if np.isnan(means).all():
        raise LfadsxError(
            f"At least one of the {len(means)} models must have finite losses, got none. Lower learning_rate, or look "
            "for extreme values in the data."
        )
    best = int(np.nanargmax(means))
    draws = {model: drawn(mean_of(own), n_trials) for model, own in enumerate(seeds) if len(own)}
    of_seeds = [_error_of_mean(own) for own in by_seed]
    errors, of_differences = np.full((2, len(seeds)), np.nan)
    for model, own in draws.items():
        errors[model] = np.hypot(score_of(own).error, of_seeds[model])
        paired = score_of(own - draws[best]).error
        of_differences[model] = np.hypot(paired, np.hypot(of_seeds[model], of_seeds[best])) if model != best else 0.0
    return Ranking(means, errors, means - means[best], of_differences, best)


def rank_models(models: Sequence[Trained], n_trials: int) -> tuple[Ranking, str]:
    """Compares the models of a sweep; also returns the measure, one of `MEASURES`."""
    trained = [of for one in models for of in one.statistics]
    measure = next((name for name in MEASURES if all(name in of for of in trained)), MEASURES[-1])
    return rank([[of[measure] for of in one.statistics if measure in of] for one in models], n_trials), measure


def _error_of_mean(of_seeds: Float[np.ndarray, " seed"]) -> float:
    """Returns the standard error of the mean over seeds; 0 for fewer than two seeds."""
    return float(of_seeds.std(ddof=1) / np.sqrt(len(of_seeds))) if len(of_seeds) > 1 else 0.0

"""Choosing among trained models: how much better the best is than each, and the simplest one that is as good."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from lfadsx.config import HyperParams
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation import PSTH_KERNEL_BINS
from lfadsx.evaluation.resampling import minus, ratio, resample, saved
from lfadsx.evaluation.task import Task
from lfadsx.inference import masked_rates
from lfadsx.pipeline.outcome import likelihood_name
from lfadsx.training import FitResult


@dataclasses.dataclass(frozen=True)
class Trained:
    """One model of a sweep with all its seeds, and what it is compared by.

    Attributes:
        settings: The swept settings.
        group: Name of the population that it was trained in.
        hyper: Hyperparameters.
        seeds: Seeds, the one with the best selection score first.
        members: What training returned of each.
        n_parameters: Number of trained parameters.
        saved: Bits by which the seeds that trained are better than the null model on each validation trial, shape
            (seed, trial); None for data that are no counts.
        spikes: Scored spikes of each trial, shape (trial,); None without `saved`, or if no seed trained.
        seconds: Time that training took: the model's share of that of its population.
    """

    settings: dict[str, float]
    group: str
    hyper: HyperParams
    seeds: tuple[int, ...]
    members: tuple[FitResult, ...]
    n_parameters: int
    saved: np.ndarray | None
    spikes: np.ndarray | None
    seconds: float

    @property
    def selection_scores(self) -> np.ndarray:
        """Selection scores of the seeds that trained."""
        scores = np.array([member.best_score for member in self.members])
        return scores[np.isfinite(scores)]

    @property
    def complexity(self) -> tuple[float, float, float]:
        """What makes the model complex: its parameters, then its factors and inferred inputs if they were swept."""
        return self.n_parameters, self.settings.get("factors", 0), self.settings.get("inferred_inputs", 0)


def score_members(
    data: Dataset,
    members: Sequence[tuple[FitResult, int]],
    *,
    settings: dict[str, float],
    group: str,
    hyper: HyperParams,
    n_parameters: int,
    seconds: float,
    mask_seed: int = 0,
    mesh: Mesh | None = None,
) -> Trained:
    """Returns a model with what its seeds predict of hidden entries of the validation trials.

    Args:
        data: The data set.
        members: What training returned of each seed, and the seed.
        settings: As in `Trained`, like the next four.
        group: Name of the population.
        hyper: Hyperparameters.
        n_parameters: Number of trained parameters.
        seconds: Time that training took.
        mask_seed: Says which entries are hidden; the same for all models, so that they can be compared by trial.
        mesh: Devices to spread the trials over.
    """
    members = sorted(members, key=lambda pair: pair[0].best_score)
    counts = likelihood_name(members[0][0].model) == "poisson"
    by_seed, spikes = [], None
    for member, _ in members if counts else ():
        if np.isfinite(member.best_score):
            masked = masked_rates(member.model, data, "valid", seed=mask_seed, mesh=mesh)
            task = Task(data, "valid", {}, masked, True, PSTH_KERNEL_BINS, mask_seed)
            bits, spikes = saved(task, masked[0], task.regions["masked_bps"])
            by_seed.append(bits)
    results, seeds = zip(*members, strict=True)
    bits_of_seeds = np.array(by_seed).reshape(len(by_seed), data.valid.n_trials) if counts else None
    return Trained(settings, group, hyper, seeds, results, n_parameters, bits_of_seeds, spikes, seconds)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Models by their scores; higher is better. Arrays have the shape (model,), NaN for a model without a score.

    Attributes:
        scores: Mean over seeds.
        errors: Standard errors of the scores.
        differences: Score minus that of the best model, at most 0.
        difference_errors: Standard errors of the differences, 0 for the best model.
        best: Number of the model with the highest score.
    """

    scores: np.ndarray
    errors: np.ndarray
    differences: np.ndarray
    difference_errors: np.ndarray
    best: int

    def choose(self, complexity: Sequence[Sequence[float]]) -> int:
        """Returns the simplest of the models whose score is within one standard error of the best one's.

        The error is that of the difference to the best model, paired by trial. The classic rule takes the error of the
        best score itself, since it knows no more. Here all models predict the same hidden entries of the same trials,
        and most of a score's own error is how predictable these trials happen to be, which all models share: by the
        classic rule, models would count as good that are worse on nearly every trial.

        Args:
            complexity: What makes each model complex, the first number counting first, such as its number of trained
                parameters; of equally simple models the better one is chosen.
        """
        close = np.flatnonzero(self.differences >= -self.difference_errors)
        return min(close.tolist(), key=lambda model: (*complexity[model], -self.scores[model]))


def compare(saved: Sequence[Float[np.ndarray, "seed trial"]], spikes: Float[np.ndarray, " trial"]) -> Comparison:
    """Compares models in bits per spike, paired by trial.

    An error is made of two: that of resampled trials, given the trained models, and that of the mean over seeds, the
    standard deviation over seeds by the root of their number. With one seed the second is not known and left out.

    Example:
        >>> import numpy as np
        >>> from lfadsx.pipeline.selection import compare
        >>> easy = np.arange(100.0)
        >>> found = compare([easy[None] + 1, easy[None] + np.tile([0, 1.9], 50)], np.ones(100))
        >>> found.best, bool(found.difference_errors[1] < 0.1 * found.errors[1])
        (0, True)

    Args:
        saved: Of each model and seed the bits by which it is better than the null model on each trial
            (`lfadsx.evaluation.resampling.saved`); an empty array for a model without a seed that trained.
        spikes: Scored spikes of each trial.

    Raises:
        LfadsxError: If there is no model with a seed that trained.
    """
    by_seed = [np.sum(own, axis=1) / np.sum(spikes) for own in saved]
    best = _best(by_seed)
    statistics = {model: ratio(own.mean(0), spikes) for model, own in enumerate(saved) if len(own)}
    of_seeds = _errors_of_means(by_seed)
    errors, of_differences = (np.full(len(saved), np.nan) for _ in range(2))
    for model, statistic in statistics.items():
        errors[model] = np.hypot(resample(statistic, len(spikes)).error, of_seeds[model])
        paired = resample(minus(statistic, statistics[best]), len(spikes)).error
        of_differences[model] = np.hypot(paired, np.hypot(of_seeds[model], of_seeds[best])) if model != best else 0.0
    return _comparison(by_seed, errors, of_differences, best)


def compare_selection_scores(scores: Sequence[Float[np.ndarray, " seed"]]) -> Comparison:
    """Compares models by their selection scores, for data without bits per spike; lower is better.

    These are not known trial by trial, so errors are those of the means over seeds alone, 0 with one seed.

    Args:
        scores: Selection scores in nats per trial of each model's seeds; empty where none has trained.

    Raises:
        LfadsxError: If there is no model with a seed that trained.
    """
    by_seed = [-np.asarray(own, float) for own in scores]
    best, errors = _best(by_seed), _errors_of_means(by_seed)
    of_differences = np.hypot(errors, errors[best])
    of_differences[best] = 0.0
    return _comparison(by_seed, errors, of_differences, best)


def compare_models(models: Sequence[Trained]) -> tuple[Comparison, str]:
    """Returns how the models of a sweep compare, and by what: "masked_bps", or "selection_score" without counts.

    Args:
        models: At least one; all of the same data.

    Raises:
        LfadsxError: If none of them has trained.
    """
    if models[0].saved is None:
        return compare_selection_scores([one.selection_scores for one in models]), "selection_score"
    spikes = next((one.spikes for one in models if one.spikes is not None), np.zeros(0))
    return compare([one.saved for one in models if one.saved is not None], spikes), "masked_bps"


def _comparison(by_seed: list[np.ndarray], errors: np.ndarray, of_differences: np.ndarray, best: int) -> Comparison:
    means = _means(by_seed)
    return Comparison(means, errors, means - means[best], of_differences, best)


def _best(by_seed: Sequence[np.ndarray]) -> int:
    means = _means(by_seed)
    if np.isnan(means).all():
        raise LfadsxError(
            f"None of the {len(means)} models has trained: their losses were not finite. Lower learning_rate, or look "
            "for extreme values in the data."
        )
    return int(np.nanargmax(means))


def _means(by_seed: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([own.mean() if len(own) else np.nan for own in by_seed])


def _errors_of_means(by_seed: Sequence[np.ndarray]) -> np.ndarray:
    """Standard errors of the means over seeds; 0 where there is one seed, NaN where there is none."""
    spreads = [own.std(ddof=1) if len(own) > 1 else 0.0 for own in by_seed]
    return np.array([s / np.sqrt(len(own)) if len(own) else np.nan for s, own in zip(spreads, by_seed, strict=True)])

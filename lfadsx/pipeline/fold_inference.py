"""Predictions of one fold's models and baselines for trials outside their training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.candidates import Candidate, baseline_candidates, model_candidate, with_behaviour
from lfadsx.evaluation.folds import FoldResult
from lfadsx.evaluation.task import Task, check_masked, check_posteriors, has_bits, has_sklearn
from lfadsx.findings import Finding
from lfadsx.inference import calibrate, infer, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.after_training import without_states
from lfadsx.results.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class Fold:
    """The models of one fold, and the trials that they are tested on.

    With groups of channels, a channel's rates come from the model for which the channel was held out. Its masked rates
    come from a model that saw its other entries. Latent variables come from the first model.

    Attributes:
        rows: Numbers of the trials among all trials, shape (trial,).
        models: The fold's model, or one for each group of channels.
        datasets: The training data of the models; their test trials are the fold.
        held_out: With groups, number of the model for which a channel is held out, shape (session, target_channel).
        seen: With groups, number of a model whose encoder sees the channel, same shape; -1 if there is none.
    """

    rows: np.ndarray
    models: Sequence[LFADS]
    datasets: Sequence[Dataset]
    held_out: np.ndarray | None = None
    seen: np.ndarray | None = None

    def infer(self, *, n_samples: int = 64, seed: int = 0, mesh: Mesh | None = None) -> list[Posterior]:
        """Infers the test trials with each model."""
        pairs = zip(self.models, self.datasets, strict=True)
        how: dict[str, Any] = dict(n_samples=n_samples, seed=seed, mesh=mesh)
        return [
            without_states(infer(model, data, "test", calibration=calibrate(model, data, mesh=mesh), **how))
            for model, data in pairs
        ]

    def combined(self, posteriors: Sequence[Posterior]) -> FoldResult:
        """Returns the results of `infer` as one posterior, without scores."""
        one = posteriors[0]
        if self.held_out is not None:
            one = _combined_posterior(self.datasets[0], posteriors, self.held_out)
        return FoldResult(self.rows, one)

    def predict(
        self, posteriors: Sequence[Posterior], *, n_samples: int = 64, seed: int = 0, mesh: Mesh | None = None
    ) -> FoldResult:
        """Infers masked rates and fits the fold's baselines; arguments as in `infer`."""
        how: dict[str, Any] = dict(n_samples=n_samples, seed=seed, mesh=mesh)
        found = [_predict(*own, **how) for own in zip(self.models, self.datasets, posteriors, strict=True)]
        task, candidates, _ = found[0]
        hidden = _hidden(task)
        if self.held_out is not None and self.seen is not None:
            by_name = [{own.name: own for own in of} for _, of, _ in found]
            names = [name for name in by_name[0] if all(name in of for of in by_name)]
            asked = self.held_out, self.seen
            candidates = [_combined(self.datasets[0], [of[name] for of in by_name], *asked) for name in names]
            hidden = _by_channel([_hidden(own) for own, _, _ in found], self.seen, task.split)
        return dataclasses.replace(
            self.combined(posteriors),
            candidates=[with_behaviour(task, own) for own in candidates],
            hidden=hidden.astype(bool),
            failed=[finding for _, _, failed in found for finding in failed],
        )


def _predict(
    model: LFADS, data: Dataset, posterior: Posterior, *, n_samples: int, seed: int, mesh: Mesh | None
) -> tuple[Task, list[Candidate], list[Finding]]:
    """Returns predictions of model and baselines for the test trials, and findings for baselines that failed."""
    posteriors = {"test": posterior}
    if data.train.behaviour is not None and has_sklearn():  # decoders of behaviour are fitted on training trials
        posteriors["train"] = infer(model, data, "train", n_samples=n_samples, seed=seed, mesh=mesh)
    check_posteriors(data, "test", posteriors)
    rates, hidden = masked_rates(model, data, "test", seed=seed, mesh=mesh)
    check_masked(data, "test", rates, hidden)
    spikes = has_bits(data, "test", posterior.rates[data.input_group], rates)
    task = Task(data, "test", hidden, spikes, seed=seed)
    baselines, failed = baseline_candidates(task, decode=False)
    return task, [model_candidate(task, posteriors, rates), *baselines], failed


def _hidden(task: Task) -> np.ndarray:
    """Returns True for entries whose masked rates are scored."""
    return task.scored & task.hidden if task.hidden is not None else np.zeros_like(task.scored)


def _by_channel(values: Sequence[np.ndarray], group: np.ndarray, split: Split) -> np.ndarray:
    """Takes each channel from the array (trial, time, target_channel) of its group; NaN or False for group -1."""
    chosen = group[split.session][:, None]
    taken = np.take_along_axis(np.stack(values), np.maximum(chosen, 0)[None], axis=0)[0]
    return np.where(chosen < 0, False if taken.dtype == bool else np.nan, taken)


def _combined(data: Dataset, of_models: Sequence[Candidate], held_out: np.ndarray, seen: np.ndarray) -> Candidate:
    """Combines a candidate's predictions for all groups of channels."""

    def taken(field: str, group: np.ndarray, split: Split) -> np.ndarray | None:
        values = [getattr(own, field) for own in of_models]
        return None if any(value is None for value in values) else _by_channel(values, group, split)

    test, first = data.splits["test"], of_models[0]
    return Candidate(
        first.name,
        _by_channel([own.rates for own in of_models], held_out, test),
        masked_rates=taken("masked_rates", seen, test),
        train_rates=taken("train_rates", held_out, data.train),
    )


def _combined_posterior(data: Dataset, posteriors: Sequence[Posterior], asked: np.ndarray) -> Posterior:
    """Returns the first posterior with each channel's rates from the model that did not see it."""
    group, first = data.input_group, posteriors[0]

    def by_channel(field: str) -> dict[str, np.ndarray]:
        own = getattr(first, field)
        if group not in own:
            return own
        values = [getattr(posterior, field)[group] for posterior in posteriors]
        return own | {group: _by_channel(values, asked, data.splits["test"])}

    # The rates of each neuron are those of the model that did not see it, so all neurons count as held out.
    held_out = np.any([np.asarray(posterior.held_out) for posterior in posteriors], axis=0)
    fields = {field: by_channel(field) for field in ("rates", "rates_std", "variance")}
    return dataclasses.replace(first, **fields, held_out=held_out)

"""What the models of one fold, and their baselines, say about the trials that they were not trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation import PSTH_KERNEL_BINS
from lfadsx.evaluation.candidates import Candidate, baseline_candidates, model_candidate
from lfadsx.evaluation.metrics import velocity_decoding
from lfadsx.evaluation.task import Task, check_task, has_sklearn
from lfadsx.inference import Posterior, infer, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.fold_pooling import FoldResult
from lfadsx.pipeline.outcome import likelihood_name


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which of the models that hide groups of neurons is asked about a neuron.

    Attributes:
        held_out: The model for which the neuron is held out, shape (session, target_channel).
        seen: The one whose encoder sees it, same shape; -1 for none.
    """

    held_out: np.ndarray
    seen: np.ndarray


def infer_fold(
    models: Sequence[LFADS],
    datasets: Sequence[Dataset],
    rows: np.ndarray,
    *,
    groups: Groups | None = None,
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> FoldResult:
    """Infers the test trials of a fold with its models and fits its baselines.

    With groups of neurons, rates of a neuron are those of the model from which it was hidden, its masked rates those
    of one that saw its other entries, and latent variables those of the first model.

    Args:
        models: The fold's model, or one for each group of neurons.
        datasets: The data sets that they were trained on, whose test trials are the fold.
        rows: Numbers of these trials among all, shape (trial,).
        groups: Which model is asked about a neuron; None for a single model.
        n_samples: Posterior samples of the averages.
        seed: Seed of the samples and of the entries that are hidden.
        mesh: Devices to spread the trials over.
    """
    tasks = [_task(model, data, n_samples, seed, mesh) for model, data in zip(models, datasets, strict=True)]
    by_model = [[model_candidate(task), *(baseline_candidates(task, None) if task.spikes else [])] for task in tasks]
    hidden = [task.regions["masked_bps"] for task in tasks]
    data, posterior = datasets[0], tasks[0].posterior
    if groups is None:
        candidates, mask = by_model[0], hidden[0]
    else:
        candidates = [_combined(data, own, groups) for own in zip(*by_model, strict=True)]
        mask = _by_neuron(hidden, groups.seen, data.splits["test"])
        posterior = _combined_posterior(data, [task.posterior for task in tasks], groups)
    predictions = {own.name: _decode(data, own, tasks[0].spikes) for own in candidates}
    return FoldResult(
        rows=rows,
        posterior=dataclasses.replace(posterior, controller_states=None, encoding=None),
        candidates=candidates,
        hidden=mask.astype(bool),
        behaviour={name: prediction for name, prediction in predictions.items() if prediction is not None},
    )


def _task(model: LFADS, data: Dataset, n_samples: int, seed: int, mesh: Mesh | None) -> Task:
    """Infers the test trials, and where behaviour is decoded the training trials."""
    names = ["test", *(["train"] if data.train.behaviour is not None and has_sklearn() else [])]
    posteriors = {name: infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh) for name in names}
    masked = masked_rates(model, data, "test", seed=seed, mesh=mesh)
    # PSTHs are scored when all trials are together.
    task = Task(data, "test", posteriors, masked, likelihood_name(model) == "poisson", PSTH_KERNEL_BINS, seed)
    check_task(task)
    return task


def _by_neuron(values: Sequence[np.ndarray], group: np.ndarray, split: Split) -> np.ndarray:
    """Takes each neuron from one of several arrays (trial, time, target_channel); NaN or False where that is -1."""
    chosen = group[split.session][:, None]
    taken = np.take_along_axis(np.stack(values), np.maximum(chosen, 0)[None], axis=0)[0]
    return np.where(chosen < 0, False if taken.dtype == bool else np.nan, taken)


def _combined(data: Dataset, of_models: Sequence[Candidate], groups: Groups) -> Candidate:
    """Returns the rates that one candidate has under all groups of neurons as those of one."""
    test, first = data.splits["test"], of_models[0]
    masked = [own.masked_rates for own in of_models if own.masked_rates is not None]
    train = [own.train_rates for own in of_models if own.train_rates is not None]
    return Candidate(
        first.name,
        _by_neuron([own.rates for own in of_models], groups.held_out, test),
        masked_rates=_by_neuron(masked, groups.seen, test) if masked else None,
        train_rates=_by_neuron(train, groups.held_out, data.train) if train else None,
    )


def _combined_posterior(data: Dataset, posteriors: Sequence[Posterior], groups: Groups) -> Posterior:
    """Returns the first posterior with each neuron's rates from the model that did not see it."""
    group, first = data.input_group, posteriors[0]

    def by_neuron(field: str) -> dict[str, np.ndarray]:
        own = getattr(first, field)
        if group not in own:
            return own
        values = [getattr(posterior, field)[group] for posterior in posteriors]
        return own | {group: _by_neuron(values, groups.held_out, data.splits["test"])}

    # A neuron is asked of the model that did not see it, so each counts as held out.
    held_out = np.any([np.asarray(posterior.held_out) for posterior in posteriors], axis=0)
    fields = {field: by_neuron(field) for field in ("rates", "rates_std", "variance")}
    return dataclasses.replace(first, **fields, held_out=held_out)


def _decode(data: Dataset, candidate: Candidate, spikes: bool) -> np.ndarray | None:
    """Returns behaviour decoded from the rates of the test trials, session by session, fitted on training trials."""
    split, train = data.splits["test"], data.train
    if candidate.train_rates is None or split.behaviour is None or train.behaviour is None:
        return None
    prediction = np.full(split.behaviour.shape, np.nan)
    if data.behaviour_lag and data.bin_width is None:
        raise LfadsxError(
            f"Behaviour lags by {data.behaviour_lag:g} s, but the width of the bins is unknown. Give the data set its "
            "bin width."
        )
    lag_bins = round(data.behaviour_lag / data.bin_width) if data.bin_width else 0
    for number in range(len(data.sessions)):
        rows, others = (np.flatnonzero(of.session == number) for of in (split, train))
        # Baselines say nothing about some neurons.
        known = np.flatnonzero(~np.isnan(candidate.rates[rows]).all((0, 1)))
        unknown = [np.isnan(of).all() for of in (split.behaviour[rows], train.behaviour[others])]
        if not len(known) or any(unknown):
            continue
        prediction[rows] = velocity_decoding(
            _features(candidate.train_rates[others][:, :, known], spikes),
            train.behaviour[others],
            _features(candidate.rates[rows][:, :, known], spikes),
            split.behaviour[rows],
            lag_bins=lag_bins,
            train_length=train.encoder_length[others],
            length=split.encoder_length[rows],
        ).prediction
    return prediction


def _features(rates: np.ndarray, spikes: bool) -> np.ndarray:
    """Log rates, which behaviour is decoded from; values themselves where the data are no spikes."""
    return np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if spikes else rates

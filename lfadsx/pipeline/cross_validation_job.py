"""The job that tests a model on every trial: cross-validation, all folds in one population."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import FigureFormat, HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.fold_datasets import (
    all_trials,
    fold_dataset,
    hide_neurons,
    neuron_groups,
    rare_conditions,
    scoring_groups,
    stratified_folds,
)
from lfadsx.data.session_alignment import align
from lfadsx.data.split_names import ALL
from lfadsx.evaluation import Evaluation, format_table
from lfadsx.evaluation.folds import FoldResult, evaluate_folds, merge_posteriors
from lfadsx.files import write_csv, write_json
from lfadsx.findings import Finding, attempt
from lfadsx.models import builders
from lfadsx.models.initialization import TrainingSums
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.after_training import draw
from lfadsx.pipeline.fold_inference import Fold
from lfadsx.pipeline.outcome import Outcome, folder_for, stopped
from lfadsx.processes import on_first
from lfadsx.results.results_file import write_posteriors
from lfadsx.settings import JobSettings
from lfadsx.settings_for_data import with_suited
from lfadsx.training import AbstractCallback, CsvLog, PopulationResult
from lfadsx.training import population as train_population

log = logging.getLogger("lfadsx")

POPULATION = "folds"
"""Folder of the population, inside that of the cross-validation."""


def cross_validate(
    data: Dataset,
    out: str | Path | None = None,
    *,
    folds: int = 5,
    neuron_folds: int = 0,
    fold_seed: int = 0,
    valid_fraction: float = 0.2,
    components: int = 0,
    model: ModelConfig | None = None,
    parts: Mapping[str, Any] | None = None,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    members_at_once: int = 0,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    figures: bool = True,
    figure_format: FigureFormat = "png",
    callbacks: Sequence[AbstractCallback] = (),
    progress: bool = True,
    **settings: Unpack[JobSettings],
) -> Outcome:
    """Tests a model on every trial of a data set, always by a model that was trained without the trial.

    The trials of all splits are divided into folds, each condition evenly. For each fold a model is trained on the
    other folds, of which a share of trials validates. All models form one population. With `neuron_folds`, each fold
    has one model for each group of neurons, which hides that group from the encoder. Every neuron is then predicted
    once from other neurons.

    The folder then holds `cv.json` and `cv.csv`, the scores; `cross_validated.h5`, rates of every trial by a model that
    did not see the trial (with neuron folds, nor the neuron); a figure; and the population, `folds`. Calling it again
    with the same settings resumes an interrupted run.

    Example:
        ```python
        found = lfadsx.cross_validate(data, "runs/cv", folds=5, factors=8)
        found.evaluation.scores["co_bps"], found.posteriors["all"].rates
        ```

    Args:
        data: The data set; its division into train, valid and test is not used.
        out: The folder; by default a temporary one that is deleted at the end.
        folds: Number of folds of trials.
        neuron_folds: Number of groups of neurons; 0: only the neurons that the data set holds out are hidden.
        fold_seed: Seed of the division, which does not depend on the settings of the model.
        valid_fraction: Share of the trials outside a fold that validates.
        components: Number of components that align the sessions, computed for each fold; 0: the alignment of `data`.
        model: Architecture.
        parts: Your own parts by the name of their seam, as in `lfadsx.build`.
        hyper: Hyperparameters. By default as in `fit`, as is `config`.
        config: Run settings; member m has the seed `config.seed + m`.
        members_at_once: As in `PopulationConfig`.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the averages.
        figures: As in `fit_run`.
        figure_format: As in `fit_run`.
        callbacks: Called after epochs and generations, in addition to the CSV file.
        progress: If True, a table of generations is shown.
        settings: Fields of `ModelConfig`, `HyperParams` and `TrainConfig` by name.

    Returns:
        The scores, whose `detail` has `fold`, the fold that tested each trial in file order; the posterior of the split
        "all"; and the training. Its members are the folds; with neuron folds, the groups of the first fold come first.

    Raises:
        DataError: If there are too many or too few folds.
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is unknown or out of range or the data do not fit the model.
    """
    began = time.monotonic()
    numbers, run, sizes = with_suited("cross_validate", data, settings, hyper, config, model or ModelConfig())
    trials = all_trials(data)
    fold = stratified_folds(trials, folds, fold_seed)
    hidden = neuron_groups(data, neuron_folds, fold_seed) if neuron_folds else None
    division = {"folds": folds, "neuron_folds": neuron_folds, "seed": fold_seed, "valid_fraction": valid_fraction}
    # The division is part of the training data: a run with another division must not be resumed.
    data = dataclasses.replace(data, source=data.source | {"division": division})
    datasets = _datasets(data, trials, fold, hidden, valid_fraction=valid_fraction, seed=fold_seed)
    if components:
        datasets = [align(own, components) for own in datasets]
    with folder_for(out) as folder:
        result = train_population(
            _builder(sizes, dataclasses.replace(data, train=trials), parts or {}),
            datasets,
            population=PopulationConfig(population=len(datasets), members_at_once=members_at_once),
            hyper=numbers,
            config=run,
            out=folder / POPULATION,
            mesh=mesh,
            callbacks=[*callbacks, CsvLog(folder / POPULATION / "population.csv")],
            progress=progress,
        )
        if result.reason == "interrupted":
            return stopped(result, began)
        groups = (None, None) if hidden is None else scoring_groups(data, hidden)
        trained = _folds(result, datasets, fold, *groups)
        how: dict[str, Any] = dict(n_samples=n_samples, seed=run.seed, mesh=all_data(mesh))
        how |= dict(figures=figures and out is not None, figure_format=figure_format, began=began)
        others = Outcome(result=result, seconds=time.monotonic() - began)
        outcome = on_first(lambda: _test(data, folder, trained, result, **how), others)
    return outcome if out is not None else dataclasses.replace(outcome, files=[])


def _datasets(
    data: Dataset, trials: Split, fold: np.ndarray, hidden: np.ndarray | None, **settings: Any
) -> list[Dataset]:
    """Returns the data set of each member: by fold and, within a fold, by group of neurons."""
    by_fold = [fold_dataset(data, trials, fold == number, **settings) for number in range(int(fold.max()) + 1)]
    return by_fold if hidden is None else [hide_neurons(own, group) for own in by_fold for group in hidden]


def _builder(config: ModelConfig, whole: Dataset, parts: Mapping[str, Any]) -> Callable[[Dataset, nnx.Rngs], LFADS]:
    """Returns a function that builds a model for a fold's data, with the same static values for all folds."""
    # Variances that likelihoods take from the data are static: all folds use those of all trials.
    own = {**parts, "likelihood": builders.likelihoods(config, TrainingSums(whole), parts.get("likelihood"))}
    return lambda data, rngs: builders.build(data, config, rngs=rngs, **own)


def _folds(
    result: PopulationResult, datasets: Sequence[Dataset], fold: np.ndarray, *groups: np.ndarray | None
) -> list[Fold]:
    """Returns the folds with their trained models."""
    n = int(fold.max()) + 1
    share = len(datasets) // n
    models = [member.model for member in result.members]
    parts = [slice(number * share, (number + 1) * share) for number in range(n)]
    return [Fold(np.flatnonzero(fold == k), models[part], datasets[part], *groups) for k, part in enumerate(parts)]


def _test(
    data: Dataset,
    folder: Path,
    folds: Sequence[Fold],
    result: PopulationResult,
    *,
    figures: bool,
    figure_format: FigureFormat,
    began: float,
    **how: Any,
) -> Outcome:
    """Infers the trials of every fold and writes the posterior; then scores them, writes scores and draws."""
    trials, failed = all_trials(data), _rare(data, len(folds))
    inferred = []
    for number, fold in enumerate(folds, 1):
        log.info("Testing fold %d of %d.", number, len(folds))
        inferred.append(fold.infer(**how))
    tested = [fold.combined(own) for fold, own in zip(folds, inferred, strict=True)]
    posteriors = {ALL: dataclasses.replace(merge_posteriors(tested), source=data.source, split=ALL)}
    files = [write_posteriors(folder / "cross_validated.h5", posteriors)]

    def score() -> Evaluation:
        predicted = [fold.predict(own, **how) for fold, own in zip(folds, inferred, strict=True)]
        return evaluate_folds(_scored(data, folds), trials, predicted, seed=how["seed"])

    evaluation = attempt(failed, "evaluation", "", score)
    findings = [*data.findings, *result.findings, *(evaluation.findings if evaluation else ()), *failed]
    if evaluation is not None:
        files.append(write_csv(folder / "cv.csv", _rows(evaluation, folds)))
    files.append(write_json(folder / "cv.json", _metrics(data, trials, tested, evaluation, result, findings)))
    n_failed = len(failed)
    if figures and evaluation is not None:
        drawn = folder / "figures", evaluation.comparison.scores, evaluation.comparison.folds, figure_format
        files += draw(failed, lambda plots: plots.write_folds_figure(*drawn))
    return Outcome(
        text="" if evaluation is None else _text(evaluation),
        evaluation=evaluation,
        result=result,
        posteriors=posteriors,
        files=files,
        findings=(*findings, *failed[n_failed:]),
        summary={} if evaluation is None else _of_model(evaluation),
        seconds=time.monotonic() - began,
    )


def _scored(data: Dataset, folds: Sequence[Fold]) -> Dataset:
    """Returns the data set for scoring; with neuron folds every neuron counts as held out."""
    if folds[0].held_out is None:
        return data
    sessions = [dataclasses.replace(s, target_index=np.full_like(s.target_index, -1)) for s in data.sessions]
    return dataclasses.replace(data, sessions=tuple(sessions))


def _rare(data: Dataset, folds: int) -> list[Finding]:
    """Returns a finding if conditions have too few trials."""
    rare = rare_conditions(all_trials(data), folds)
    sentence = (
        f"{rare} condition(s) have fewer trials than the {folds} folds. Each of their trials is tested once, but some "
        "folds do not test these conditions, and a tested trial may have no training trial of its condition."
    )
    return [Finding("note", "rare conditions", float(rare), float(folds), "", sentence)] if rare else []


def _rows(evaluation: Evaluation, folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Returns a row for each fold and model."""
    rows, blank, found = [], [None] * len(folds), evaluation.comparison
    for number, fold in enumerate(folds):
        sizes = {f"n_{name}": split.n_trials for name, split in fold.datasets[0].splits.items()}
        for name in found.models:
            scores = {measure: of.get(name, blank)[number] for measure, of in found.folds.items()}
            rows.append({"fold": number, "model": name, **sizes, **scores})
    return rows


def _text(evaluation: Evaluation) -> str:
    """Returns the table, every score with its standard error, and the verdict."""
    found = evaluation.comparison
    rows = [
        {"model": name, **{measure: of[name] if name in of else None for measure, of in found.scores.items()}}
        for name in found.models
    ]
    return f"all trials\n{format_table(rows)}\n{evaluation.verdict}"


def _of_model(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the model's scores with their errors."""
    found = evaluation.comparison
    return {measure: dataclasses.asdict(of[found.models[0]]) for measure, of in found.scores.items()}


def _metrics(
    data: Dataset,
    trials: Split,
    tested: Sequence[FoldResult],
    evaluation: Evaluation | None,
    result: PopulationResult,
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Returns scores, results of every member, findings, and the fold that tested each trial."""
    scores, detail = {}, {} if evaluation is None else evaluation.detail
    if evaluation is not None:
        found = evaluation.comparison
        for measure, of in found.scores.items():
            own = found.folds[measure]
            scores[measure] = {name: dataclasses.asdict(score) | {"folds": own[name]} for name, score in of.items()}
    members = [
        {"seed": seed, "best_score": own.best_score, "best_epoch": own.best_epoch, "reason": own.reason}
        for seed, own in zip(result.seeds, result.members, strict=True)
    ]
    names = [session.name for session in data.sessions]
    fold = np.concatenate([np.full(len(part.rows), number) for number, part in enumerate(tested)])
    order = np.argsort(np.concatenate([part.rows for part in tested]))
    return {
        "division": data.source["division"],
        "scores": scores,
        "differences": detail.get("difference", {}),
        "verdict": detail.get("verdict", []),
        "findings": findings,
        "members": members,
        "training_seconds": result.seconds,
        "trials": {
            "trial_id": trials.trial_id,
            "session": [names[number] for number in trials.session],
            "fold": fold[order],
        },
    }

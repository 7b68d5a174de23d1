"""The job that tests a model on every trial: cross-validation, all folds in one population."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from lfadsx.config import HyperParams, ModelConfig, PopulationConfig, TrainConfig
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
from lfadsx.distributions import Gaussian
from lfadsx.evaluation.comparison import Comparison
from lfadsx.evaluation.folds import FoldResult, merge_posteriors, pool
from lfadsx.files import write_json
from lfadsx.models import builders
from lfadsx.models.initialization import TrainingSums
from lfadsx.parallel import all_data
from lfadsx.pipeline.csv_tables import write_csv
from lfadsx.pipeline.fold_inference import Groups, infer_fold
from lfadsx.results.results_file import write_posteriors
from lfadsx.training import AbstractCallback, CsvLog, PopulationResult
from lfadsx.training import population as train_population

log = logging.getLogger("lfadsx")

POPULATION = "folds"
"""Folder of the population within that of the cross-validation."""
ALL = "all"
"""Name of the only split in the file of rates."""


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """What `cross_validation_run` returns.

    Attributes:
        pooled: The scores; None when training was interrupted.
        result: What `lfadsx.population` returned: the members are the folds, with neuron folds those of the first fold
            first.
        fold: Which fold tested each trial, shape (trial,), in the order of `lfadsx.data.fold_datasets.all_trials`.
        files: Files written.
        warnings: What a reader of the scores has to know.
        seconds: Time spent.
    """

    pooled: Comparison | None
    result: PopulationResult
    fold: np.ndarray
    files: list[Path]
    warnings: list[str]
    seconds: float


def cross_validation_run(
    data: Dataset,
    out: str | Path,
    *,
    folds: int = 5,
    neuron_folds: int = 0,
    fold_seed: int = 0,
    valid_fraction: float = 0.2,
    components: int = 0,
    model: ModelConfig | None = None,
    hyper: HyperParams | None = None,
    train: TrainConfig | None = None,
    members_at_once: int = 0,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    figures: bool = True,
    callbacks: Sequence[AbstractCallback] = (),
) -> CrossValidation:
    """Tests a model on every trial of a data set, each by a model that was trained without it.

    The trials of all splits are divided into folds, each condition evenly. For each fold a model is trained on the
    others, of which a share validates; all of them are one population. With neuron folds there are as many models
    more for each fold, and each of these hides one group of neurons from the encoder, so that every neuron is predicted
    from others once.

    The folder then holds `cv.json` and `cv.csv`, the scores; `cross_validated.h5`, rates of every trial by a model that
    did not see it (with neuron folds, of every neuron by a model that did not see that either); a figure; and the
    population, `folds`. Calling it again with the same settings resumes an interrupted run.

    Args:
        data: The data set; what is train, valid and test in it does not count.
        out: The folder.
        folds: Number of folds of trials.
        neuron_folds: Number of groups of neurons; 0: none is hidden but what the data set holds out.
        fold_seed: Seed of the division, which is no other for models with other settings.
        valid_fraction: Share of a fold's other trials that validates.
        components: Number of components that align the sessions, computed anew for each fold; 0: as they are.
        model: Architecture.
        hyper: Hyperparameters.
        train: Run settings; member m has the seed `train.seed + m`.
        members_at_once: As in `PopulationConfig`.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the averages.
        figures: Whether to draw a figure; it needs matplotlib.
        callbacks: Called after epochs and generations, besides the CSV file.

    Raises:
        DataError: If there are too many or too few folds.
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is out of range or the data do not fit the model.
    """
    began, out, train = time.monotonic(), Path(out), train or TrainConfig()
    trials = all_trials(data)
    fold = stratified_folds(trials, folds, fold_seed)
    hidden = neuron_groups(data, neuron_folds, fold_seed) if neuron_folds else None
    division = {"folds": folds, "neuron_folds": neuron_folds, "seed": fold_seed, "valid_fraction": valid_fraction}
    datasets = _datasets(data, trials, fold, hidden, division)
    if components:
        datasets = [align(own, components) for own in datasets]
    result = train_population(
        _builder(model or ModelConfig(), dataclasses.replace(data, train=trials)),
        datasets,
        population=PopulationConfig(population=len(datasets), members_at_once=members_at_once),
        hyper=hyper,
        config=train,
        out=out / POPULATION,
        mesh=mesh,
        callbacks=[*callbacks, CsvLog(out / POPULATION / "population.csv")],
        progress=False,
    )
    if result.reason == "interrupted":
        return CrossValidation(None, result, fold, [], [], time.monotonic() - began)
    own = all_data(mesh) if jax.process_count() == 1 else None  # every process writes all results
    groups = None if hidden is None else Groups(*scoring_groups(data, hidden))
    tested = _tested(result, datasets, fold, groups, n_samples, train.seed, own)
    pooled = pool(_scored(data, hidden), trials, tested, seed=train.seed)
    posterior = dataclasses.replace(merge_posteriors(tested), source=data.source | {"division": division})
    files = [
        write_posteriors(out / "cross_validated.h5", {ALL: posterior}),
        write_csv(out / "cv.csv", _fold_rows(pooled, fold, datasets[:: neuron_folds or 1])),
    ]
    warnings = _warnings(result, trials, folds)
    files.append(_write_json(out / "cv.json", data, trials, fold, pooled, result, division, warnings))
    drawn, undrawn = _draw(out, pooled) if figures else ([], [])
    return CrossValidation(pooled, result, fold, files + drawn, warnings + undrawn, time.monotonic() - began)


def _datasets(
    data: Dataset, trials: Split, fold: np.ndarray, hidden: np.ndarray | None, division: dict[str, Any]
) -> list[Dataset]:
    """Returns the data set of each member: fold by fold and, within one, group of neurons by group."""
    settings = dict(valid_fraction=division["valid_fraction"], seed=division["seed"])
    # The division is part of what a run was trained on: with another one, it must not go on.
    data = dataclasses.replace(data, source=data.source | {"division": division})
    by_fold = [fold_dataset(data, trials, fold == number, **settings) for number in range(division["folds"])]
    return by_fold if hidden is None else [hide_neurons(own, group) for own in by_fold for group in hidden]


def _tested(
    result: PopulationResult,
    datasets: Sequence[Dataset],
    fold: np.ndarray,
    groups: Groups | None,
    n_samples: int,
    seed: int,
    mesh: Mesh | None,
) -> list[FoldResult]:
    """Infers the trials of every fold with its models."""
    tested, folds = [], int(fold.max()) + 1
    for number in range(folds):
        log.info("Testing fold %d of %d.", number + 1, folds)
        members = slice(number * len(datasets) // folds, (number + 1) * len(datasets) // folds)
        models = [member.model for member in result.members[members]]
        rows = np.flatnonzero(fold == number)
        tested.append(
            infer_fold(models, datasets[members], rows, groups=groups, n_samples=n_samples, seed=seed, mesh=mesh)
        )
    return tested


def _builder(config: ModelConfig, whole: Dataset) -> Any:
    """Returns what builds a model for a fold's own data, with all that is static the same for all folds."""
    # The floor of the variance is part of the program, and only a guard against rounding: all folds share that of all
    # trials.
    likelihood = None
    if config.likelihood == "gaussian":
        likelihood = Gaussian(1e-6 * TrainingSums(whole).smallest_variance(whole.input_group))
    return lambda data, rngs: builders.build(data, config, rngs=rngs, likelihood=likelihood)


def _scored(data: Dataset, hidden: np.ndarray | None) -> Dataset:
    """Returns the data set as it is scored: with neuron folds every neuron counts as held out."""
    if hidden is None:
        return data
    sessions = [dataclasses.replace(s, target_index=np.full_like(s.target_index, -1)) for s in data.sessions]
    return dataclasses.replace(data, sessions=tuple(sessions))


def _fold_rows(pooled: Comparison, fold: np.ndarray, datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    """Returns a row for each fold and model."""
    rows, blank = [], [None] * len(datasets)
    for number, data in enumerate(datasets):
        sizes = {f"n_{name}": split.n_trials for name, split in data.splits.items()}
        for name in pooled.models:
            scores = {measure: found.get(name, blank)[number] for measure, found in pooled.folds.items()}
            rows.append({"fold": number, "model": name, **sizes, **scores})
    return rows


def _write_json(
    path: Path,
    data: Dataset,
    trials: Split,
    fold: np.ndarray,
    pooled: Comparison,
    result: PopulationResult,
    division: dict[str, Any],
    warnings: Sequence[str],
) -> Path:
    """Writes all scores, what became of every member, and which fold tested each trial."""
    scores = {
        measure: {
            name: dataclasses.asdict(score) | {"folds": pooled.folds[measure][name]} for name, score in found.items()
        }
        for measure, found in pooled.scores.items()
    }
    differences = {
        measure: {"baseline": pooled.rivals[measure], **dataclasses.asdict(score)}
        for measure, score in pooled.differences.items()
    }
    members = [
        {"seed": seed, "best_score": own.best_score, "best_epoch": own.best_epoch, "reason": own.reason}
        for seed, own in zip(result.seeds, result.members, strict=True)
    ]
    names = [session.name for session in data.sessions]
    by_trial = {
        "trial_id": trials.trial_id.tolist(),
        "session": [names[number] for number in trials.session],
        "fold": fold.tolist(),
    }
    found = {
        "division": division,
        "scores": scores,
        "differences": differences,
        "members": members,
        "training_seconds": result.seconds,
        "warnings": list(warnings),
        "trials": by_trial,
    }
    return write_json(path, found)


def _warnings(result: PopulationResult, trials: Split, folds: int) -> list[str]:
    """Says what a reader of the scores has to know."""
    warnings = []
    if rare := rare_conditions(trials, folds):
        warnings.append(
            f"{rare} condition(s) have fewer trials than the {folds} folds. Each of their trials is tested once, but "
            "some folds test none of them, and what is tested may have no trial of its condition to train on."
        )
    return warnings + [f"{finding.sentence} {finding.remedy}" for finding in result.findings]


def _draw(out: Path, pooled: Comparison) -> tuple[list[Path], list[str]]:
    """Draws the scores; returns the file and what could not be drawn."""
    try:
        from lfadsx import plotting
    except ImportError as error:
        return [], [str(error)]
    return plotting.write_folds_figure(out / "figures", pooled.scores, pooled.folds)

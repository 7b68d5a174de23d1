"""The job that trains a population: fit all members, keep the best one as a run, and average the best few."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from lfadsx.config import FigureFormat, HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.evaluation import Evaluation, score_posteriors
from lfadsx.files import write_json
from lfadsx.findings import attempt
from lfadsx.inference import calibrate, infer, masked_rates
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.after_training import announce, draw, finish, samples_of
from lfadsx.pipeline.finished import JOB, finished, job_record
from lfadsx.pipeline.outcome import Outcome, scores_text, stopped
from lfadsx.processes import on_first
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_posteriors
from lfadsx.search import AbstractStrategy
from lfadsx.training import AbstractCallback, CsvLog, PopulationResult, RunFolder
from lfadsx.training import population as train_population
from lfadsx.training.run_lock import locks_out
from lfadsx.training.training_findings import BROKE_OFF

log = logging.getLogger("lfadsx")

OPTIONAL = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding", "bias", "bias_std")
"""Fields of a posterior that are left out of an average over models."""
ENSEMBLE = "ensemble.h5"
LEAST_SAMPLES = 8
"""Smallest number of posterior samples of each member of an ensemble."""


@locks_out
def population_run(
    data: Dataset,
    out: str | Path,
    *,
    strategy: AbstractStrategy | None = None,
    population: PopulationConfig | None = None,
    model: ModelConfig | LFADS | None = None,
    parts: Mapping[str, Any] | None = None,
    hyper: HyperParams | None = None,
    train: TrainConfig | None = None,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    n_train_samples: int | None = None,
    figures: bool = True,
    figure_format: FigureFormat = "png",
    callbacks: Sequence[AbstractCallback] = (),
    progress: bool = True,
) -> Outcome:
    """Trains a population, and writes the best member and the average of the best few members into a folder.

    The folder then holds `best_member`, a run folder like that of `fit_run`; `population.csv`, every evaluation of
    every member; `ensemble.h5`, the rates averaged over the best members; `metrics.json`; and figures of the search.
    Calling it again with the same settings resumes an interrupted search.

    Args:
        data: The data set.
        out: The folder.
        strategy: As in `lfadsx.population`.
        population: Number of members and generations.
        model: A model that all members start from; or the configuration of a model, initialised by each member's seed.
        parts: As in `fit_run`.
        hyper: Hyperparameters that the strategy does not change.
        train: Run settings.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the averages; the members of the ensemble share them.
        n_train_samples: As in `fit_run`.
        figures: As in `fit_run`.
        figure_format: As in `fit_run`.
        callbacks: Called after epochs and generations, in addition to the CSV file.
        progress: If True, a table of generations is shown.

    Returns:
        Scores and posterior of the ensemble, with the best member in the table; those of the best member alone if the
        ensemble fails. `summary` has the scores of both.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is out of range or the data do not fit the model.
    """
    began, folder = time.monotonic(), RunFolder(out)
    population = population or PopulationConfig()
    announce(data, f"Population of {population.population} models; folder: {out}")
    notes = {} if isinstance(model, LFADS) else {"model": dataclasses.asdict(model or ModelConfig())}
    result = train_population(
        model
        if isinstance(model, LFADS)
        else lambda data, rngs: builders.build(data, model, rngs=rngs, **dict(parts or {})),
        data,
        strategy=strategy,
        population=population,
        hyper=hyper,
        config=train,
        out=out,
        mesh=mesh,
        callbacks=[*callbacks, CsvLog(folder.path / "population.csv")],
        progress=progress,
        notes=notes,
    )
    if result.reason == "interrupted":
        return stopped(result, began)
    others = Outcome(result=result, seconds=time.monotonic() - began)
    how: dict[str, Any] = dict(samples=samples_of(data, n_samples, n_train_samples), mesh=all_data(mesh))
    how |= dict(figures=figures, figure_format=figure_format, began=began)
    return on_first(lambda: _after(data, folder, result, population.ensemble, **how), others)


def _after(
    data: Dataset,
    folder: RunFolder,
    result: PopulationResult,
    n_ensemble: int,
    *,
    samples: dict[str, int],
    mesh: Mesh | None,
    figures: bool,
    figure_format: FigureFormat,
    began: float,
) -> Outcome:
    """Returns the results of a population: the recorded ones of a finished one, or new ones."""
    files = [
        folder.best_member.posterior,
        folder.path / ENSEMBLE,
        *([folder.figures / f"scores.{figure_format}"] if figures else []),
    ]
    if done := finished(folder.metrics, files, samples, result, began):
        return done
    how: dict[str, Any] = dict(samples=samples, mesh=mesh, figures=figures, figure_format=figure_format, began=began)
    best = finish(data, folder.best_member.path, result.best, seed=result.seeds[result.ranking[0]], **how)
    trained = [m for m in result.ranking if np.isfinite(result.members[m].best_score)]
    chosen = (trained or result.ranking[:1])[:n_ensemble]
    outcome = _with_ensemble(best, data, folder, result, chosen, samples, mesh)
    outcome = dataclasses.replace(outcome, seconds=time.monotonic() - began)
    broken = any(finding.name.endswith("failed") for finding in outcome.findings)
    job = {} if broken else job_record(outcome.text, outcome.summary, samples, result)
    files = [write_json(folder.metrics, _metrics(outcome, result, best, chosen) | {JOB: job})]
    failed = []
    if figures:
        drawn = folder.figures, result.rows, figure_format
        files += draw(failed, lambda plotting: plotting.write_population_figures(*drawn))
    return dataclasses.replace(
        outcome,
        files=[*outcome.files, *files],
        findings=(*outcome.findings, *failed),
        seconds=time.monotonic() - began,
    )


def average(posteriors: Sequence[Posterior]) -> Posterior:
    """Returns the first of several models' posteriors with the rates of all: their mean, and the mixture's spread.

    Inputs and encodings are left out. Other latent variables are those of the first model, since those of different
    models cannot be averaged.
    """
    rates = {group: np.mean([p.rates[group] for p in posteriors], axis=0) for group in posteriors[0].rates}
    squares = {
        group: np.mean([p.rates_std[group] ** 2 + (p.rates[group] - mean) ** 2 for p in posteriors], axis=0)
        for group, mean in rates.items()
    }
    variance = {group: np.mean([p.variance[group] for p in posteriors], axis=0) for group in posteriors[0].variance}
    return dataclasses.replace(
        posteriors[0],
        rates=rates,
        rates_std={group: np.sqrt(square) for group, square in squares.items()},
        variance=variance,
        n_samples=sum(p.n_samples for p in posteriors),
        **dict.fromkeys(OPTIONAL),
    )


def _with_ensemble(
    best: Outcome,
    data: Dataset,
    folder: RunFolder,
    result: PopulationResult,
    chosen: Sequence[int],
    samples: dict[str, int],
    mesh: Mesh | None,
) -> Outcome:
    """Returns the outcome of the best member with posteriors and scores of the ensemble, as far as these succeed."""
    failed = []
    averaging = functools.partial(_ensemble, data, folder, result, chosen, samples, mesh)
    averaged = attempt(failed, "ensemble", "", averaging)
    posteriors, files = averaged or (best.posteriors, [])
    scoring = functools.partial(_score, data, posteriors, result, chosen, mesh)
    ensemble = averaged and attempt(failed, "evaluation of the ensemble", "", scoring)
    evaluation = best.evaluation
    if ensemble:
        # The ensemble has the same baselines as the best member, whose posterior they were compared with.
        first, *baselines = best.evaluation.table if best.evaluation else [{}]
        own = ensemble.table[0] | {"model": f"ensemble of {len(chosen)}"}
        member = [first | {"model": "best member"}] if first else []
        evaluation = dataclasses.replace(ensemble, table=[own, *member, *baselines])
    text = f"The best member, {result.ranking[0]}, is the run {folder.best_member.path}."
    if evaluation is not None:
        verdict = "" if best.evaluation is None else f"Best member: {best.evaluation.verdict}"
        text = f"{scores_text(evaluation, verdict=verdict)}\n{text}"
    broken = [finding for finding in result.findings if finding.name == BROKE_OFF]
    return dataclasses.replace(
        best,
        text=text,
        evaluation=evaluation,
        result=result,
        posteriors=posteriors,
        files=[*best.files, *files],
        findings=(*best.findings, *broken, *failed),
        summary=best.summary | ({"ensemble": ensemble.scores} if ensemble else {}),
    )


def _ensemble(
    data: Dataset,
    folder: RunFolder,
    result: PopulationResult,
    chosen: Sequence[int],
    samples: dict[str, int],
    mesh: Mesh | None,
) -> tuple[dict[str, Posterior], list[Path]]:
    """Averages the rates of members and writes them to a file; returns both."""
    models = [(result.members[member].model, result.seeds[member]) for member in chosen]
    source = data.source | {"members": list(map(int, chosen)), "latents_of": int(chosen[0])}
    calibrations = [calibrate(model, data, mesh=mesh) for model, _ in models]
    posteriors = {}
    for name, n in samples.items():
        share = max(LEAST_SAMPLES, n // len(models))
        of_members = [
            infer(model, data, name, n_samples=share, seed=seed, calibration=calibration, mesh=mesh)
            for (model, seed), calibration in zip(models, calibrations, strict=True)
        ]
        posteriors[name] = dataclasses.replace(average(of_members), source=source)
    return posteriors, [write_posteriors(folder.path / ENSEMBLE, posteriors)]


def _score(
    data: Dataset,
    posteriors: dict[str, Posterior],
    result: PopulationResult,
    chosen: Sequence[int],
    mesh: Mesh | None,
) -> Evaluation:
    """Scores the averaged rates of members, without baselines."""
    # One seed, so that the same entries are hidden from all.
    split, seed = split_name(data.splits), result.seeds[chosen[0]]
    hidden = [masked_rates(result.members[member].model, data, split, seed=seed, mesh=mesh) for member in chosen]
    masked = np.mean([rates for rates, _ in hidden], axis=0), hidden[0][1]
    return score_posteriors(data, posteriors, masked, split=split, baselines={})


def _metrics(outcome: Outcome, result: PopulationResult, best: Outcome, chosen: Sequence[int]) -> dict[str, Any]:
    """Returns scores of the best member and the ensemble, results of every member, and findings."""
    hyper = result.hyper
    members = [
        {
            "member": member,
            "seed": result.seeds[member],
            "best_score": found.best_score,
            "best_epoch": found.best_epoch,
            "reason": found.reason,
            "skipped_steps": found.skipped_steps,
            "hyper": {field.name: float(getattr(hyper, field.name)[member]) for field in dataclasses.fields(hyper)},
        }
        for member, found in enumerate(result.members)
    ]
    return {
        "best_member": best.summary,
        "ensemble": {**outcome.summary.get("ensemble", {}), "members": list(chosen)},
        "ranking": result.ranking,
        "members": members,
        "seconds": outcome.seconds,
        "training": {"reason": result.reason, "seconds": result.seconds},
        "findings": outcome.findings,
        "table": [] if outcome.evaluation is None else outcome.evaluation.table,
    }

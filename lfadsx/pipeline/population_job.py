"""The job that trains a population: fit all members, keep the best one as a run, and average the best few."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import Evaluation, score_posteriors
from lfadsx.files import write_json
from lfadsx.inference import infer, masked_rates
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.artifacts import finish, samples_of
from lfadsx.pipeline.outcome import Outcome, scored_split
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_posteriors
from lfadsx.search import AbstractStrategy
from lfadsx.training import AbstractCallback, CsvLog, PopulationResult
from lfadsx.training import population as train_population
from lfadsx.training.run_folder import BEST_MEMBER
from lfadsx.training.training_findings import BROKE_OFF

OPTIONAL = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding")
"""Fields of a posterior that an average over models has none of."""
LEAST_SAMPLES = 8
"""Posterior samples of each member of an ensemble, at least."""


@dataclasses.dataclass(frozen=True)
class PopulationOutcome:
    """What `population_run` returns.

    Attributes:
        best: The outcome of the best member, as `fit_run` returns it; None when training was interrupted.
        ensemble: Scores of the rates averaged over the best members, whose table has the best member and the baselines
            besides; None when training was interrupted.
        result: What `lfadsx.population` returned.
        files: Files written besides those of the best member.
        warnings: What went wrong without stopping the job.
        seconds: Time spent.
    """

    best: Outcome | None
    ensemble: Evaluation | None
    result: PopulationResult
    files: list[Path]
    warnings: list[str]
    seconds: float


def population_run(
    data: Dataset,
    out: str | Path,
    *,
    strategy: AbstractStrategy | None = None,
    population: PopulationConfig | None = None,
    model: ModelConfig | LFADS | None = None,
    hyper: HyperParams | None = None,
    train: TrainConfig | None = None,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    n_train_samples: int | None = None,
    figures: bool = True,
    callbacks: Sequence[AbstractCallback] = (),
) -> PopulationOutcome:
    """Trains a population, and writes the best member and the average of the best few into a folder.

    The folder then holds `best_member`, a run folder like that of `fit_run`; `population.csv`, every evaluation of
    every member; `ensemble.h5`, the rates averaged over the best members; `metrics.json`; and figures of the search.
    Calling it again with the same settings resumes an interrupted search.

    Args:
        data: The data set.
        out: The folder.
        strategy: What decides between generations, as in `lfadsx.population`.
        population: Number of members and generations.
        model: A model that all members start from, or the configuration of one, whose members start from their seeds.
        hyper: Hyperparameters of whatever the strategy leaves alone.
        train: Run settings.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the averages; the members of the ensemble share them.
        n_train_samples: Posterior samples of training trials; as many when None.
        figures: Whether to draw figures; they need matplotlib.
        callbacks: Called after epochs and generations, besides the CSV file.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is out of range or the data do not fit the model.
    """
    began, out = time.monotonic(), Path(out)
    population, train = population or PopulationConfig(), train or TrainConfig()

    def build(data: Dataset, rngs: nnx.Rngs) -> LFADS:
        return builders.build(data, None if isinstance(model, LFADS) else model, rngs=rngs)

    result = train_population(
        model if isinstance(model, LFADS) else build,
        data,
        strategy=strategy,
        population=population,
        hyper=hyper,
        config=train,
        out=out,
        mesh=mesh,
        callbacks=[*callbacks, CsvLog(out / "population.csv")],
        progress=False,
    )
    if result.reason == "interrupted":
        return PopulationOutcome(None, None, result, [], [], time.monotonic() - began)
    own = all_data(mesh) if jax.process_count() == 1 else None  # every process writes all results
    samples = samples_of(data, n_samples, n_train_samples)
    seed = result.seeds[result.ranking[0]]
    best = finish(
        data, out / BEST_MEMBER, result.best, samples=samples, seed=seed, mesh=own, figures=figures, began=began
    )
    trained = [m for m in result.ranking if np.isfinite(result.members[m].best_score)]
    chosen = (trained or result.ranking[:1])[: population.ensemble]
    ensemble, file = _ensemble(data, out, result, chosen, samples, own)
    # The best member has the posterior that its baselines were compared with; they are those of the ensemble, too.
    first, *baselines = best.evaluation.table
    table = [ensemble.table[0] | {"model": f"ensemble of {len(chosen)}"}, first | {"model": "best member"}, *baselines]
    ensemble = dataclasses.replace(ensemble, table=table)
    seconds = time.monotonic() - began
    files = [file, _write_metrics(out / "metrics.json", result, chosen, best, ensemble, seconds)]
    drawn, undrawn = draw_search(out, result) if figures else ([], [])
    broken = [finding for finding in result.findings if finding.name == BROKE_OFF]
    warnings = [*(f"{finding.sentence} {finding.remedy}" for finding in broken), *undrawn]
    return PopulationOutcome(best, ensemble, result, files + drawn, warnings, time.monotonic() - began)


def average(posteriors: Sequence[Posterior]) -> Posterior:
    """Returns the first posterior with the rates of all: their mean, and the spread of the mixture.

    Inputs and what is seen of the data are left out; other latent variables are those of the first one, since those of
    different models have nothing in common.

    Args:
        posteriors: Posterior averages of the same trials by several models.
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


def draw_search(out: Path, result: PopulationResult) -> tuple[list[Path], list[str]]:
    """Draws scores and hyperparameters through the generations; returns the files and what could not be drawn."""
    try:
        from lfadsx import plotting
    except ImportError as error:
        return [], [str(error)]
    return plotting.write_population_figures(out / "figures", result.rows)


def _ensemble(
    data: Dataset,
    out: Path,
    result: PopulationResult,
    chosen: Sequence[int],
    samples: dict[str, int],
    mesh: Mesh | None,
) -> tuple[Evaluation, Path]:
    """Averages the rates of members, scores them without baselines, and writes them to a file."""
    models = [(result.members[member].model, result.seeds[member]) for member in chosen]
    split = scored_split(data)
    posteriors = {
        name: average(
            [infer(model, data, name, n_samples=_share(n, models), seed=seed, mesh=mesh) for model, seed in models]
        )
        for name, n in samples.items()
    }
    # One seed, so that the same entries are hidden from all.
    hidden = [masked_rates(model, data, split, seed=result.seeds[chosen[0]], mesh=mesh) for model, _ in models]
    masked = np.mean([rates for rates, _ in hidden], axis=0), hidden[0][1]
    evaluation = score_posteriors(data, posteriors, masked, split=split, baselines={})
    source = data.source | {"members": list(map(int, chosen)), "latents_of": int(chosen[0])}
    written = {name: dataclasses.replace(posterior, source=source) for name, posterior in posteriors.items()}
    return evaluation, write_posteriors(out / "ensemble.h5", written)


def _share(n_samples: int, models: Sequence[object]) -> int:
    return max(LEAST_SAMPLES, n_samples // len(models))


def _write_metrics(
    path: Path,
    result: PopulationResult,
    chosen: Sequence[int],
    best: Outcome,
    ensemble: Evaluation,
    seconds: float,
) -> Path:
    """Writes the scores of the best member and of the ensemble, and what became of every member."""
    members = [
        {
            "member": member,
            "seed": result.seeds[member],
            "best_score": found.best_score,
            "best_epoch": found.best_epoch,
            "reason": found.reason,
            "skipped_steps": found.skipped_steps,
            "hyper": {f.name: float(getattr(result.hyper, f.name)[member]) for f in dataclasses.fields(result.hyper)},
        }
        for member, found in enumerate(result.members)
    ]
    metrics = {
        "best_member": best.evaluation.scores,
        "ensemble": {**ensemble.scores, "members": list(chosen)},
        "ranking": result.ranking,
        "members": members,
        "seconds": seconds,
        "training": {"reason": result.reason, "seconds": result.seconds},
        "table": ensemble.table,
    }
    return write_json(path, metrics)

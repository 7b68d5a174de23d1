"""The job that chooses sizes and hyperparameters: a grid of models, scored on validation trials."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.data.feed import Feed
from lfadsx.errors import LfadsxError
from lfadsx.files import write_json
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.artifacts import finish, samples_of
from lfadsx.pipeline.csv_tables import write_csv
from lfadsx.pipeline.outcome import Outcome
from lfadsx.pipeline.selection import Ranking, Trained, rank_models, score_members
from lfadsx.pipeline.sweep_grid import Settings, architecture, count_parameters, grid, group_name
from lfadsx.search import Fixed
from lfadsx.training import AbstractCallback, CsvLog, RunFolder
from lfadsx.training import population as train_population

log = logging.getLogger("lfadsx")

CHOSEN = "chosen"
"""Run folder of the chosen model, within that of the sweep."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What `sweep_run` returns.

    Attributes:
        rows: A row of settings and scores for each model, as in `sweep.csv`; empty when training was interrupted.
        measure: What models are compared by: "masked_bps", or "masked_r2" for real data.
        best: Number of the row with the best score.
        chosen: Number of the row of the chosen model.
        outcome: The outcome of the chosen model's best seed, as `fit_run` returns it; None when interrupted.
        files: Files written besides those of the chosen model.
        warnings: What a reader of the scores has to know.
        seconds: Time spent.
        signal: Number of the signal that interrupted the sweep, 0 for none.
    """

    rows: list[dict[str, Any]]
    measure: str
    best: int
    chosen: int
    outcome: Outcome | None
    files: list[Path]
    warnings: list[str]
    seconds: float
    signal: int = 0


def sweep_run(
    data: Dataset,
    out: str | Path,
    *,
    sizes: Settings | None = None,
    hypers: Settings | None = None,
    seeds: int = 3,
    model: ModelConfig | None = None,
    hyper: HyperParams | None = None,
    train: TrainConfig | None = None,
    members_at_once: int = 0,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    figures: bool = True,
    callbacks: Sequence[AbstractCallback] = (),
) -> Sweep:
    """Trains a grid of models and chooses the simplest that predicts hidden validation data as well as the best.

    All combinations are trained. Those with the same sizes are one population, compiled once, in a folder of its own.
    Models are compared by `masked_bps` (real data: `masked_r2`) of the validation trials, the mean over their seeds. Of
    those within one standard error of the best one the one with the fewest parameters is chosen (`Ranking.choose`);
    test trials take no part in it. Its best seed becomes the run folder
    `chosen`, with scores of the test trials if there are any.

    The folder also holds `sweep.csv`, `sweep.json` and a figure. Calling it again with the same settings trains only
    what has not been trained; more values of a size are new populations.

    Args:
        data: The data set.
        out: The folder.
        sizes: Values of fields of `ModelConfig`. With 0 inferred inputs a model has no controller.
        hypers: Values of fields of `HyperParams`.
        seeds: Number of seeds of each model.
        model: The other sizes.
        hyper: The other hyperparameters.
        train: Run settings; member m of a population has the seed `train.seed + m`.
        members_at_once: As in `PopulationConfig`.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the chosen model's averages.
        figures: Whether to draw figures; they need matplotlib.
        callbacks: Called after epochs and generations of each population, besides the CSV file.

    Raises:
        RunError: If the folder cannot be written or holds runs with other settings.
        LfadsxError: If there is nothing to choose from, a setting is out of range or the data do not fit.
    """
    began, out, train = time.monotonic(), Path(out), train or TrainConfig()
    model, hyper = model or ModelConfig(), hyper or HyperParams()
    grid_of_sizes, grid_of_hypers = grid(sizes or {}), grid(hypers or {})
    _check(seeds, len(grid_of_sizes) * len(grid_of_hypers))
    configs = [architecture(model, own) for own in grid_of_sizes]
    n_parameters = [count_parameters(data, config, train) for config in configs]
    strategy = Fixed(tuple(dataclasses.replace(hyper, **own) for own in grid_of_hypers))
    population = PopulationConfig(population=len(grid_of_hypers) * seeds, members_at_once=members_at_once)
    own = all_data(mesh) if jax.process_count() == 1 else None  # every process writes all results
    trained: list[Trained] = []
    for number, (config, own_sizes) in enumerate(zip(configs, grid_of_sizes, strict=True)):
        name = group_name(own_sizes)
        log.info("Group %d of %d: %s, %d models.", number + 1, len(configs), name, population.population)
        result = train_population(
            _builder(config),
            data,
            strategy=strategy,
            population=population,
            hyper=hyper,
            config=train,
            out=out / name,
            mesh=mesh,
            callbacks=[*callbacks, CsvLog(out / name / "population.csv")],
            progress=False,
        )
        if result.reason == "interrupted":
            return Sweep([], "", 0, 0, None, [], [], time.monotonic() - began, result.signal)
        pairs = list(zip(result.members, result.seeds, strict=True))
        for position, own_hypers in enumerate(grid_of_hypers):
            trained.append(
                score_members(
                    data,
                    pairs[position * seeds :][:seeds],
                    settings=own_sizes | own_hypers,
                    group=name,
                    hyper=strategy.hypers[position],
                    n_parameters=n_parameters[number],
                    seconds=result.seconds / len(grid_of_hypers),
                    mask_seed=train.seed,
                    mesh=own,
                )
            )
    names = [*(sizes or {}), *(hypers or {})]
    ranking, measure = rank_models(trained, data.valid.n_trials)
    chosen = ranking.choose([one.complexity for one in trained])
    rows = _rows(trained, ranking, measure, names, chosen)
    outcome = _write_chosen(data, out / CHOSEN, trained[chosen], train, n_samples, figures, own, began)
    warnings = _warnings(trained, seeds)
    drawn, undrawn = _draw(out, rows, names, measure) if figures else ([], [])
    files = [write_csv(out / "sweep.csv", rows)]
    files.append(_write_json(out / "sweep.json", rows, measure, ranking.best, chosen, warnings))
    seconds = time.monotonic() - began
    return Sweep(rows, measure, ranking.best, chosen, outcome, files + drawn, warnings + undrawn, seconds)


def _check(seeds: int, n_models: int) -> None:
    if seeds < 1:
        raise LfadsxError(f"{seeds} seeds leave nothing to train. Give at least 1, and 3 or more to know what they do.")
    if n_models < 2:
        raise LfadsxError(
            f"The settings describe {n_models} model, so there is nothing to choose. Give two or more values of a size "
            "or a hyperparameter, such as factors 4 and 8."
        )


def _builder(config: ModelConfig) -> Any:
    def build(data: Dataset, rngs: nnx.Rngs) -> LFADS:
        return builders.build(data, config, rngs=rngs)

    return build


def _rows(
    trained: Sequence[Trained], ranking: Ranking, measure: str, names: Sequence[str], chosen: int
) -> list[dict[str, Any]]:
    """Returns a row for each model, in the order of the grid; differences have the sign of "higher is better"."""
    rows = []
    for number, one in enumerate(trained):
        difference, error = ranking.differences[number], ranking.difference_errors[number]
        scores = one.selection_scores
        row: dict[str, Any] = {name: one.settings[name] for name in names}
        row |= {
            "group": one.group,
            "seeds": len(one.seeds),
            "n_parameters": one.n_parameters,
            measure: float(ranking.scores[number]),
            "selection_score": float(scores.mean()) if len(scores) else math.nan,
            "standard_error": float(ranking.errors[number]),
            "difference": float(difference),
            "difference_error": float(error),
            "difference_low": float(difference - 1.96 * error),
            "difference_high": float(difference + 1.96 * error),
            "seconds": one.seconds,
            "is_best": number == ranking.best,
            "is_chosen": number == chosen,
        }
        rows.append(row)
    return rows


def _write_chosen(
    data: Dataset,
    folder: Path,
    one: Trained,
    train: TrainConfig,
    n_samples: int,
    figures: bool,
    mesh: Mesh | None,
    began: float,
) -> Outcome:
    """Writes the best seed of a model as the run folder that `fit_run` would have written."""
    best, seed = one.members[0], one.seeds[0]
    config = dataclasses.replace(train, seed=seed)
    shutil.rmtree(folder, ignore_errors=True)  # that of a sweep with fewer values may hold another model
    RunFolder(folder).write_run(best, data, one.hyper, config, Feed.of(data, config, None).train.steps)
    samples = samples_of(data, n_samples)
    return finish(data, folder, best, samples=samples, seed=seed, mesh=mesh, figures=figures, began=began)


def _warnings(trained: Sequence[Trained], seeds: int) -> list[str]:
    """Says what a reader of the scores has to know."""
    warnings = []
    if seeds == 1:
        warnings.append(
            "There is one seed, so errors leave out what another seed would change. Give --seeds 3 or more before "
            "you trust a small difference."
        )
    broken = [one for one in trained if len(one.selection_scores) < len(one.members)]
    if broken:
        warnings.append(
            f"{len(broken)} model(s) have seeds that broke off, since losses or gradients were not finite; these are "
            f"left out. They are in {', '.join(dict.fromkeys(one.group for one in broken))}."
        )
    return warnings


def _write_json(
    path: Path, rows: Sequence[dict[str, Any]], measure: str, best: int, chosen: int, warnings: Sequence[str]
) -> Path:
    rule = (
        "the fewest trained parameters among the models whose difference to the best one is within one standard error "
        "of that difference, paired by trial"
    )
    found = {"measure": measure, "rule": rule, "best": best, "chosen": chosen, "models": rows, "warnings": warnings}
    return write_json(path, found)


def _draw(
    out: Path, rows: Sequence[dict[str, Any]], names: Sequence[str], measure: str
) -> tuple[list[Path], list[str]]:
    """Draws the scores over each setting; returns the file and what could not be drawn."""
    try:
        from lfadsx import plotting
    except ImportError as error:
        return [], [str(error)]
    return plotting.write_sweep_figure(out / "figures", rows, names, measure)

"""The job that chooses sizes and hyperparameters: a grid of models, compared on validation trials."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import FigureFormat, HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.data.batching import Feed
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation import format_table
from lfadsx.files import write_csv, write_json
from lfadsx.findings import Finding
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.after_training import draw, finish, samples_of
from lfadsx.pipeline.outcome import Outcome, folder_for, stopped
from lfadsx.pipeline.selection import Ranking, Trained, rank_models, score_members
from lfadsx.pipeline.sweep_grid import (
    Settings,
    architecture,
    check_likelihoods,
    count_parameters,
    grid,
    group_name,
)
from lfadsx.processes import on_first
from lfadsx.search import Fixed
from lfadsx.settings import JobSettings
from lfadsx.settings_by_name import as_text
from lfadsx.settings_for_data import with_suited
from lfadsx.training import AbstractCallback, CsvLog, PopulationResult, RunFolder
from lfadsx.training import population as train_population

log = logging.getLogger("lfadsx")

CHOSEN = "chosen"
"""Run folder of the chosen model, within that of the sweep."""
GOOD_ENOUGH = (
    "among the models whose difference to the best one is within one standard error of that difference, paired by trial"
)
RULES = {
    "prediction": f"the fewest trained parameters {GOOD_ENOUGH}",
    "dynamics": f"the fewest findings of the trust checks, then the fewest trained parameters, {GOOD_ENOUGH}",
}


def sweep(
    data: Dataset,
    out: str | Path | None = None,
    *,
    sizes: Settings | None = None,
    hypers: Settings | None = None,
    seeds: int = 3,
    model: ModelConfig | None = None,
    parts: Mapping[str, Any] | None = None,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    choose_by: Literal["prediction", "dynamics"] = "prediction",
    members_at_once: int = 0,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    figures: bool = True,
    figure_format: FigureFormat = "png",
    callbacks: Sequence[AbstractCallback] = (),
    progress: bool = True,
    **settings: Unpack[JobSettings],
) -> Outcome:
    """Trains a grid of models and chooses the simplest that predicts hidden validation data as well as the best.

    All combinations are trained. Models of the same sizes form one population, compiled once, in its own folder. Models
    are compared by `masked_bps` (real data: `masked_r2`) of the validation trials, averaged over seeds. Different
    likelihoods are compared by the mean log likelihood of a hidden entry, `masked_nats`, instead. Of the models
    within one standard error of the best one, the model with the fewest parameters is chosen (`Ranking.choose`). Test
    trials are not used for the choice. The best seed of the chosen model becomes the run folder `chosen`, with scores
    of the test trials if there are any. With `choose_by="dynamics"` the models that are good enough are first compared
    by the findings of their trust checks (`lfadsx.dynamics.trust`), so that the dynamics are most likely real.

    The folder also holds `sweep.csv`, `sweep.json` and a figure. Calling it again with the same settings trains only
    models that have not been trained; further values of a size are new populations.

    Example:
        ```python
        found = lfadsx.sweep(data, "runs/sizes", sizes={"factors": (4, 8, 16)}, hypers={"dropout_rate": (0.1, 0.3)})
        print(found)
        ```

    Args:
        data: The data set.
        out: The folder; by default a temporary one that is deleted at the end.
        sizes: Values to try, numbers or names, by field of `ModelConfig`. With 0 inferred inputs a model has no
            controller.
        hypers: Values to try, by field of `HyperParams`.
        seeds: Number of seeds of each model.
        model: Other settings of the architecture.
        parts: Your own parts by the name of their seam, as in `lfadsx.build`.
        hyper: Other hyperparameters. By default as in `fit`, as is `config`.
        config: Run settings; member m of a population has the seed `config.seed + m`.
        choose_by: What the choice among good models goes by: "prediction", or "dynamics" with trust checks.
        members_at_once: As in `PopulationConfig`.
        mesh: Devices to spread members and trials over.
        n_samples: Posterior samples of the chosen model's averages.
        figures: As in `fit_run`.
        figure_format: As in `fit_run`.
        callbacks: Called after epochs and generations of each population, in addition to the CSV file.
        progress: If True, a table of generations is shown.
        settings: Fields of `ModelConfig`, `HyperParams` and `TrainConfig` by name.

    Returns:
        Scores, posterior and training of the chosen model's best seed, and in `rows` a row for each model.

    Raises:
        RunError: If the folder cannot be written or holds runs with other settings.
        LfadsxError: If there is only one model, a setting is unknown or out of range, or the data do not fit.
    """
    began = time.monotonic()
    numbers, run, base = with_suited("sweep", data, settings, hyper, config, model or ModelConfig())
    groups, tried = {group_name(own): own for own in grid(sizes or {})}, grid(hypers or {})
    _check(seeds, len(groups) * len(tried), choose_by)
    likelihoods = (sizes or {}).get("likelihood", ())
    check_likelihoods(likelihoods)
    architectures = {name: architecture(base, own) for name, own in groups.items()}
    n_parameters = {name: count_parameters(data, own, run, parts or {}) for name, own in architectures.items()}
    strategy = Fixed(tuple(dataclasses.replace(numbers, **own) for own in tried))
    how: dict[str, Any] = dict(hyper=numbers, config=run, strategy=strategy, mesh=mesh, progress=progress)
    how["population"] = PopulationConfig(population=len(tried) * seeds, members_at_once=members_at_once)
    own_mesh = all_data(mesh)
    trained: list[Trained] = []
    with folder_for(out) as folder:
        for number, (name, own) in enumerate(groups.items(), 1):
            log.info("Group %d of %d: %s, %d models.", number, len(groups), name, len(tried) * seeds)
            build, table = (
                functools.partial(_build, architectures[name], parts or {}),
                CsvLog(folder / name / "population.csv"),
            )
            result = train_population(build, data, **how, out=folder / name, callbacks=[*callbacks, table])
            if result.reason == "interrupted":
                return stopped(result, began)
            facts: dict[str, Any] = dict(group=name, n_parameters=n_parameters[name], mask_seed=run.seed)
            facts |= dict(by_likelihood=len(likelihoods) > 1, checked=choose_by == "dynamics")
            swept = [own | of_hyper for of_hyper in tried]
            scoring = functools.partial(_scored, data, result, swept, strategy.hypers, seeds, **facts, mesh=own_mesh)
            trained += on_first(scoring, [])
        facts = dict(choose_by=choose_by, n_samples=n_samples, mesh=own_mesh, began=began)
        facts |= dict(figures=figures and out is not None, figure_format=figure_format)
        names = [*(sizes or {}), *(hypers or {})]
        others = Outcome(seconds=time.monotonic() - began)
        outcome = on_first(lambda: _choose(data, folder, trained, names, run, **facts), others)
    return outcome if out is not None else dataclasses.replace(outcome, files=[])


def _check(seeds: int, n_models: int, choose_by: str) -> None:
    if choose_by not in RULES:
        raise LfadsxError(f"`choose_by` must be one of {', '.join(map(repr, RULES))}, got {choose_by!r}.")
    if seeds < 1:
        raise LfadsxError(f"`seeds` must be at least 1, got {seeds}. Give 3 or more to measure their effect.")
    if n_models < 2:
        raise LfadsxError(
            f"The settings must describe at least 2 models, got {n_models}. Give two or more values of a size or a "
            "hyperparameter, such as factors 4 and 8."
        )


def _build(config: ModelConfig, parts: Mapping[str, Any], data: Dataset, rngs: nnx.Rngs) -> LFADS:
    return builders.build(data, config, rngs=rngs, **parts)


def _scored(
    data: Dataset,
    result: PopulationResult,
    settings: Sequence[dict[str, Any]],
    hypers: Sequence[HyperParams],
    seeds: int,
    **facts: Any,
) -> list[Trained]:
    """Returns the models of a population with their scores; the seeds of a model are neighbours."""
    members, seconds = list(zip(result.members, result.seeds, strict=True)), result.seconds / len(settings)
    by_model = [members[first : first + seeds] for first in range(0, len(members), seeds)]
    return [
        score_members(data, own, settings=swept, hyper=hyper, seconds=seconds, **facts)
        for own, swept, hyper in zip(by_model, settings, hypers, strict=True)
    ]


def _choose(
    data: Dataset,
    folder: Path,
    trained: Sequence[Trained],
    names: Sequence[str],
    config: TrainConfig,
    *,
    choose_by: Literal["prediction", "dynamics"],
    n_samples: int,
    mesh: Mesh | None,
    figures: bool,
    figure_format: FigureFormat,
    began: float,
) -> Outcome:
    """Compares the models; writes the tables, and the best seed of the chosen model as a run folder."""
    ranking, measure = rank_models(trained, data.valid.n_trials)
    chosen = ranking.choose([one.complexity for one in trained])
    rows = _rows(trained, ranking, measure, names, chosen)
    findings = _findings(trained)
    found = {"measure": measure, "rule": RULES[choose_by], "best": ranking.best, "chosen": chosen, "models": rows}
    files = [
        write_csv(folder / "sweep.csv", rows),
        write_json(folder / "sweep.json", found | {"findings": findings}),
    ]
    one = trained[chosen]
    seed, best = one.seeds[0], one.members[0]
    config = dataclasses.replace(config, seed=seed)
    shutil.rmtree(
        folder / CHOSEN, ignore_errors=True
    )  # an earlier sweep with fewer values may have chosen another model
    RunFolder(folder / CHOSEN).write_run(best, data, one.hyper, config, Feed.of(data, config, None).train.steps)
    how: dict[str, Any] = dict(
        samples=samples_of(data, n_samples),
        seed=seed,
        mesh=mesh,
        figures=figures,
        figure_format=figure_format,
        began=began,
    )
    outcome = finish(data, folder / CHOSEN, best, **how)
    if figures:
        drawn = folder / "figures", rows, names, measure, figure_format
        files += draw(findings, lambda plots: plots.write_sweep_figure(*drawn))
    text = [format_table(_table(rows, names, measure)), f"Best: {_in_words(rows[ranking.best], names)}."]
    what = "the simplest" if choose_by == "prediction" else "the simplest with the fewest findings on its dynamics"
    text.append(f"Chosen, {what} within one standard error: {_in_words(rows[chosen], names)}.")
    return dataclasses.replace(
        outcome,
        text="\n".join([*text, "", outcome.text]),
        rows=rows,
        files=[*outcome.files, *files],
        findings=(*outcome.findings, *findings),
        summary=outcome.summary | {"chosen": {name: rows[chosen][name] for name in names}},
        seconds=time.monotonic() - began,
    )


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
        if one.trust is not None:
            row |= {name: getattr(one.trust, name) for name in ("shown", "leakage", "alone", "held")}
            row["checks"] = ", ".join(finding.name for finding in one.trust.findings) or "clean"
        rows.append(row)
    return rows


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], measure: str) -> list[dict[str, Any]]:
    """Returns the printed table: swept settings, number of parameters, score, and difference to the best model."""
    marks = {(True, True): "best, chosen", (True, False): "best", (False, True): "chosen"}
    return [
        {
            "model": f"{number} {marks.get((row['is_best'], row['is_chosen']), '')}".strip(),
            **{name: as_text(row[name]) for name in names},
            "parameters": row["n_parameters"],
            measure: _with_error(row[measure], row["standard_error"]),
            "difference": _with_error(row["difference"], row["difference_error"]),
            **{name: row[name] for name in ("shown", "leakage", "checks") if name in row},
            "seconds": f"{row['seconds']:.0f}",
        }
        for number, row in enumerate(rows)
    ]


def _with_error(value: float, error: float) -> str | None:
    """Returns "value ± standard error"; None if the value is NaN."""
    if math.isnan(value):
        return None
    return f"{value:.4f}" if math.isnan(error) else f"{value:.4f} ± {error:.4f}"


def _in_words(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {as_text(row[name])}" for name in names)


def _findings(trained: Sequence[Trained]) -> list[Finding]:
    """Returns findings about the seeds."""
    found = []
    if all(len(one.seeds) == 1 for one in trained):
        sentence = "There is one seed, so errors leave out the variation between seeds."
        remedy = "Give 3 or more seeds (--seeds 3) before you trust a small difference."
        found.append(Finding("note", "one seed", 1.0, 3.0, "", sentence, remedy))
    broken = [one for one in trained if len(one.selection_scores) < len(one.members)]
    if broken:
        where = ", ".join(dict.fromkeys(one.group for one in broken))
        sentence = (
            f"{len(broken)} model(s) of {where} have seeds that stopped early, because losses or gradients were not "
            "finite. These seeds are left out."
        )
        remedy = "Lower learning_rate, or look for extreme values in the data."
        found.append(Finding("warning", "broken seeds", float(len(broken)), 0.0, where, sentence, remedy))
    return found

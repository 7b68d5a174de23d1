"""The job that trains a model: fit, then infer, score, write and draw."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import FigureFormat, HyperParams, ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.errors import LfadsxError
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.models.new_sessions import session_patterns, with_sessions
from lfadsx.parallel import all_data
from lfadsx.pipeline.after_training import announce, finish, samples_of
from lfadsx.pipeline.finished import finished
from lfadsx.pipeline.outcome import Outcome, stopped
from lfadsx.pipeline.scoring import check_bin_width
from lfadsx.processes import on_first
from lfadsx.progress import progress_shown
from lfadsx.settings_for_data import suited_settings
from lfadsx.training import AbstractCallback, CsvLog, FitResult, RunFolder, fit
from lfadsx.training.run_lock import locks_out


@locks_out
def fit_run(
    data: Dataset,
    out: str | Path,
    *,
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
    reset_learning_rate: bool = False,
    on_scores: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Trains a model, infers all trials, evaluates, and writes everything into a run folder.

    The folder then holds `run.json` (settings, data, versions), checkpoints, `history.csv`, `posterior.h5` (rates,
    factors, inputs of all splits), `metrics.json`, `report.md`, figures and the page `report.html`. Calling it again
    with the same settings resumes an interrupted run, and returns the recorded results of a finished one. A score or a
    figure that fails becomes a finding of the outcome.

    Args:
        data: The data set.
        out: The run folder.
        model: A model, or the configuration of a model.
        parts: Your own parts by the name of their seam, as in `lfadsx.build`.
        hyper: Hyperparameters. By default as in `lfadsx.fit`, as is `train`.
        train: Run settings.
        mesh: Devices to spread the trials over.
        n_samples: Posterior samples of the averages.
        n_train_samples: Posterior samples of training trials, which serve only regressions; by default `n_samples`.
        figures: If True, figures and the report page are made; they need the extras `plot` and `report`.
        figure_format: Format of their files: "png", "pdf" or "svg".
        callbacks: Called after every epoch, in addition to the CSV file.
        progress: If True, the progress of training, inference, scoring and drawing is shown.
        reset_learning_rate: If True, a resumed run restarts its learning rate.
        on_scores: Called with scores and verdict, before figures are drawn; not for a run that had finished before.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is out of range or the data do not fit the model.
    """
    began, folder = time.monotonic(), RunFolder(out)
    suited = suited_settings(data)
    hyper, train = hyper or suited[0], train or suited[1]
    notes = {} if isinstance(model, LFADS) else {"model": dataclasses.asdict(model or ModelConfig())}
    if not isinstance(model, LFADS):
        model = builders.build(data, model, rngs=nnx.Rngs(train.seed), **dict(parts or {}))
    announce(data, f"Run folder: {out}")
    result = fit(
        model,
        data,
        hyper=hyper,
        config=train,
        out=out,
        mesh=mesh,
        callbacks=[*callbacks, CsvLog(folder.history)],
        progress=progress,
        reset_learning_rate=reset_learning_rate,
        notes=notes,
    )
    if result.reason == "interrupted":
        return stopped(result, began)
    others = Outcome(result=result, seconds=time.monotonic() - began)
    how: dict[str, Any] = dict(figures=figures, figure_format=figure_format, on_scores=on_scores)
    how |= dict(samples=samples_of(data, n_samples, n_train_samples), seed=train.seed, mesh=all_data(mesh), began=began)
    with progress_shown(progress):
        return on_first(lambda: _after(data, folder, result, **how), others)


def _after(data: Dataset, folder: RunFolder, result: FitResult, **how: Any) -> Outcome:
    """Returns the results of a run: the recorded ones of a finished run, or new ones."""
    page = folder.figures / f"{split_name(data.splits)}_summary.{how['figure_format']}"
    files = [folder.posterior, folder.report, *([page] if how["figures"] else [])]
    done = finished(folder.metrics, files, how["samples"], result, how["began"])
    return done or finish(data, folder.path, result, **how)


def start_from(
    run: str | Path,
    data: Dataset,
    train: TrainConfig,
    *,
    new_sessions_only: bool = False,
    parts: Iterable[type[nnx.Module]] = (),
) -> tuple[LFADS, TrainConfig]:
    """Returns a run's best model for a data set, and run settings to continue its training.

    Args:
        run: The run folder.
        data: The data set; sessions that are new to the model get new read-ins and read-outs.
        train: Run settings; `seed` also seeds new weights.
        new_sessions_only: If True, only the maps of new sessions train.
        parts: Your own classes that the model has.

    Raises:
        RunError: If the folder holds no run.
        LfadsxError: If `new_sessions_only` is True without a new session, or the data do not fit the model.
    """
    folder = RunFolder(run)
    info = folder.info
    check_bin_width(info, data.bin_width)
    known = [session.name for session in info.sessions]
    names = [session.name for session in data.sessions]
    new = [name for name in names if name not in known]
    if new_sessions_only:
        if not new:
            raise LfadsxError(
                f"With `new_sessions_only` the data must have a session that is new to the model of {run}, got "
                f"{names}. Leave it out to train the whole model."
            )
        train = dataclasses.replace(train, train=session_patterns(new))
    model = folder.load(parts=parts)
    return (model if names == known else with_sessions(model, data, rngs=nnx.Rngs(train.seed))), train

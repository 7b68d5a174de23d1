"""The job that trains a model: fit, then infer, score, write and draw."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import jax
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.models.new_sessions import session_patterns, with_sessions
from lfadsx.pipeline.after_training import finish, in_words, samples_of
from lfadsx.pipeline.outcome import Outcome, stopped
from lfadsx.pipeline.scoring import check_bin_width
from lfadsx.training import AbstractCallback, CsvLog, RunFolder, fit

log = logging.getLogger("lfadsx")


def fit_run(
    data: Dataset,
    out: str | Path,
    *,
    model: ModelConfig | LFADS | None = None,
    hyper: HyperParams | None = None,
    train: TrainConfig | None = None,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    n_train_samples: int | None = None,
    figures: bool = True,
    callbacks: Sequence[AbstractCallback] = (),
    progress: bool = True,
    reset_learning_rate: bool = False,
) -> Outcome:
    """Trains a model, infers all trials, evaluates, and writes everything into a run folder.

    The folder then holds `run.json` (settings, data, versions), checkpoints, `history.csv`, `posterior.h5` (rates,
    factors, inputs of all splits), `metrics.json`, `report.md` and figures. Calling it again with the same
    settings resumes an interrupted run. A score or a figure that fails becomes a finding of the outcome.

    Args:
        data: The data set.
        out: The run folder.
        model: A model, or the configuration of one.
        hyper: Hyperparameters.
        train: Run settings.
        mesh: Devices to spread the trials over.
        n_samples: Posterior samples of the averages.
        n_train_samples: Posterior samples of training trials, which are many and serve regressions; as many when None.
        figures: If True, figures are drawn; they need matplotlib.
        callbacks: Called after every epoch, besides the CSV file.
        progress: If True, a progress bar is shown.
        reset_learning_rate: If True, a resumed run starts its learning rate anew.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
        LfadsxError: If a setting is out of range or the data do not fit the model.
    """
    began, train = time.monotonic(), train or TrainConfig()
    if not isinstance(model, LFADS):
        model = builders.build(data, model, rngs=nnx.Rngs(train.seed))
    log.info("%s; run folder %s.", in_words(data), out)
    result = fit(
        model,
        data,
        hyper=hyper,
        config=train,
        out=out,
        mesh=mesh,
        callbacks=[*callbacks, CsvLog(RunFolder(out).history)],
        progress=progress,
        reset_learning_rate=reset_learning_rate,
    )
    if result.reason == "interrupted":
        return stopped(result, began)
    own = mesh if jax.process_count() == 1 else None  # every process writes all results
    samples = samples_of(data, n_samples, n_train_samples)
    return finish(data, out, result, samples=samples, seed=train.seed, mesh=own, figures=figures, began=began)


def start_from(
    run: str | Path, data: Dataset, train: TrainConfig, *, new_sessions_only: bool = False
) -> tuple[LFADS, TrainConfig]:
    """Returns a run's best model for a data set, and the run settings to train it on with.

    Args:
        run: The run folder.
        data: The data set; sessions that the model does not know get read-ins and read-outs of their own.
        train: Run settings; their seed is that of new weights.
        new_sessions_only: If True, only these train.

    Raises:
        RunError: If the folder holds no run.
        LfadsxError: If only new sessions are to train and there is none, or the data do not fit the model.
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
                f"The model of {run} knows all sessions of the data: {names}. Leave out new_sessions_only."
            )
        train = dataclasses.replace(train, train=session_patterns(new))
    model = folder.load()
    return (model if names == known else with_sessions(model, data, rngs=nnx.Rngs(train.seed))), train

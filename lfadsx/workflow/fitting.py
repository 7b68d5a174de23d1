"""The job that trains: fit, infer, score, write and draw."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx import variants
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.evaluation import Evaluation
from lfadsx.inference import posterior_sample_and_average
from lfadsx.model import LFADS
from lfadsx.report import write_report
from lfadsx.sessions import session_patterns, with_sessions
from lfadsx.training import CsvLog, FitResult, fit, load, read_info
from lfadsx.training.callbacks import AbstractCallback
from lfadsx.training.run import write_text
from lfadsx.types import Dataset, Posterior
from lfadsx.workflow.results import Outcome, check_bin_width, score, scored_split, write_results


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
    reset_learning_rate: bool = False,
) -> Outcome:
    """Trains a model, infers all trials, evaluates, and writes everything into a run folder.

    The folder then holds `run.json` (settings, data, versions), checkpoints, `history.csv`, `posterior.h5` (rates,
    factors, inputs of all splits), `metrics.json`, `report.md` and figures. Calling it again with the same
    settings resumes an interrupted run.

    Args:
        data: The data set.
        out: The run folder.
        model: A model, or the configuration of one.
        hyper: Hyperparameters.
        train: Run settings.
        mesh: Devices to spread the trials over.
        n_samples: Posterior samples of the averages.
        n_train_samples: Posterior samples of training trials, which are many and serve regressions; as many when None.
        figures: Whether to draw figures; they need matplotlib.
        callbacks: Called after every epoch, besides the CSV file.
        reset_learning_rate: Whether a run that goes on begins anew with its learning rate.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
        ValueError: If a setting is out of range or the data do not fit the model.
    """
    began, out = time.monotonic(), Path(out)
    train = train or TrainConfig()
    if not isinstance(model, LFADS):
        model = variants.build(data, model, rngs=nnx.Rngs(train.seed))
    log = CsvLog(out / "history.csv")
    result = fit(
        model,
        data,
        hyper=hyper,
        config=train,
        out=out,
        mesh=mesh,
        callbacks=[*callbacks, log],
        reset_learning_rate=reset_learning_rate,
    )
    if result.reason == "interrupted":
        return Outcome(None, result, [], [], time.monotonic() - began)

    model, split = result.model, scored_split(data)
    samples = dict.fromkeys(data.splits, n_samples)
    if n_train_samples is not None:
        samples["train"] = n_train_samples
    own = mesh if jax.process_count() == 1 else None  # every process writes all results
    posteriors = {
        name: posterior_sample_and_average(model, data, name, n_samples=n, seed=train.seed, mesh=own)
        for name, n in samples.items()
    }
    evaluation = score(model, data, split, posteriors, train.seed)
    files = [_write_posteriors(out / "posterior.h5", model, posteriors, data)]
    seconds = time.monotonic() - began
    files += _write_metrics(out, evaluation, result, seconds)
    warnings = _training_warnings(result)
    if figures:
        drawn, undrawn = draw_figures(out, data, split, posteriors, evaluation, result.history)
        files, warnings = files + drawn, warnings + undrawn
    return Outcome(evaluation, result, files, warnings, time.monotonic() - began)


def start_from(
    run: str | Path, data: Dataset, train: TrainConfig, *, new_sessions_only: bool = False
) -> tuple[LFADS, TrainConfig]:
    """Returns a run's best model for a data set, and the run settings to train it on with.

    Args:
        run: The run folder.
        data: The data set; sessions that the model does not know get read-ins and read-outs of their own.
        train: Run settings; their seed is that of new weights.
        new_sessions_only: Whether only these are to train.

    Raises:
        RunError: If the folder holds no run.
        ValueError: If only new sessions are to train and there is none, or the data do not fit the model.
    """
    info, model = read_info(run), load(run)
    check_bin_width(info, data.bin_width)
    known = [session.name for session in info.sessions]
    names = [session.name for session in data.sessions]
    new = [name for name in names if name not in known]
    if new_sessions_only:
        if not new:
            raise ValueError(
                f"The model of {run} knows all sessions of the data: {names}. Leave out new_sessions_only."
            )
        train = dataclasses.replace(train, train=session_patterns(new))
    return (model if names == known else with_sessions(model, data, rngs=nnx.Rngs(train.seed))), train


def draw_figures(
    run: str | Path,
    data: Dataset,
    split: str,
    posteriors: dict[str, Posterior],
    evaluation: Evaluation,
    history: dict[str, np.ndarray],
) -> tuple[list[Path], list[str]]:
    """Draws all figures of a run into its folder; returns the files and what could not be drawn.

    Without matplotlib nothing is drawn and the warning names the extra that brings it.
    """
    try:
        from lfadsx import plotting
    except ImportError as error:
        return [], [str(error)]
    return plotting.write_figures(
        Path(run) / "figures",
        data,
        split,
        data.splits[split],
        posteriors[split],
        history,
        evaluation.table,
        f"{Path(run).name}: {split} trials",
        aligned=evaluation.aligned_inputs,
    )


def _training_warnings(result: FitResult) -> list[str]:
    """Says what a reader of the scores has to know about the training."""
    warnings = []
    if result.reason == "not finite":
        warnings.append(
            f"Training broke off: {result.skipped_steps} steps had a loss or gradient that was not finite. The scores "
            "are those of the model before; lower learning_rate or look for extreme values in the data."
        )
    if not result.best_epoch:
        warnings.append(
            "Training ended before the ramps did, so the last model is scored, not a selected one. Give more epochs, "
            "or shorter ramps (kl_ramp_epochs and l2_ramp_epochs, or kl_ramp_steps and l2_ramp_steps)."
        )
    return warnings


def _write_posteriors(path: Path, model: LFADS, posteriors: dict[str, Posterior], data: Dataset) -> Path:
    small = {
        name: dataclasses.replace(posterior, controller_states=None, encoding=None)
        for name, posterior in posteriors.items()
    }
    return write_results(path, model, small, data.bin_width, [s.name for s in data.sessions], data.source)


def _write_metrics(out: Path, evaluation: Evaluation, result: FitResult, seconds: float) -> list[Path]:
    """Writes the scores and, from them, the report."""
    metrics = {
        **evaluation.scores,
        "seconds": seconds,
        "training": {
            "reason": result.reason,
            "epochs": len(next(iter(result.history.values()), ())),
            "best_epoch": result.best_epoch,
            "best_score": result.best_score,
            "skipped_steps": result.skipped_steps,
            "seconds": result.seconds,
        },
        "detail": evaluation.detail,
        "table": evaluation.table,
    }
    path = out / "metrics.json"
    write_text(path, json.dumps(metrics, indent=1, default=_plain))
    return [path, write_report(out)]


def _plain(value: Any) -> Any:
    """Turns NumPy values into what JSON holds."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)

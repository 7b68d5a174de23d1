"""The standard jobs on a run folder: fit, evaluate, infer. The command line is thin over these."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx import variants
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data import DataError, read_split, write_generated, write_posterior
from lfadsx.evaluation import Evaluation, evaluate
from lfadsx.generation import prior_sample
from lfadsx.inference import infer, masked_rates, posterior_sample_and_average
from lfadsx.model import LFADS
from lfadsx.report import write_report
from lfadsx.sessions import session_patterns, with_sessions
from lfadsx.training import CsvLog, FitResult, fit, load, read_info
from lfadsx.training.callbacks import AbstractCallback
from lfadsx.training.run import RunInfo, Which, versions, write_text
from lfadsx.training.trainer import columns
from lfadsx.types import Dataset, Posterior, Split


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a job returns.

    Attributes:
        evaluation: Scores and table; None when training was interrupted.
        result: What `fit` returned; None for jobs without training.
        files: Files written.
        warnings: What went wrong without stopping the job.
        seconds: Time spent.
    """

    evaluation: Evaluation | None
    result: FitResult | None
    files: list[Path]
    warnings: list[str]
    seconds: float


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
    posteriors = {
        name: posterior_sample_and_average(model, data, name, n_samples=n, seed=train.seed)
        for name, n in samples.items()
    }
    evaluation = _evaluate(model, data, split, posteriors, train.seed)
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


def evaluate_run(
    run: str | Path,
    data: Dataset,
    *,
    split: str | None = None,
    which: Which = "best",
    n_samples: int = 64,
    seed: int = 0,
    build: Callable[[], LFADS] | None = None,
) -> Outcome:
    """Scores a run's model on a data set of the same sessions.

    Args:
        run: The run folder.
        data: The data set; regressions and alignments are fitted on its training trials.
        split: "train", "valid" or "test"; by default test where there is one, else valid.
        which: "best", "last" or the number of a step.
        n_samples: Posterior samples of the averages.
        seed: Seed of the samples.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        ValueError: If the data do not fit the model.
    """
    began, info = time.monotonic(), read_info(run)
    check_bin_width(info, data.bin_width)
    model = load(run, which=which, build=build)
    split = split or scored_split(data)
    posteriors = {
        name: posterior_sample_and_average(model, data, name, n_samples=n_samples, seed=seed)
        for name in dict.fromkeys(("train", split))
    }
    evaluation = _evaluate(model, data, split, posteriors, seed)
    return Outcome(evaluation, None, [], [], time.monotonic() - began)


def infer_run(
    run: str | Path,
    file: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    which: Which = "best",
    n_samples: int = 64,
    seed: int = 0,
    missing: bool = False,
    samples: bool = False,
    controller_states: bool = False,
    encoder_states: bool = False,
    build: Callable[[], LFADS] | None = None,
) -> Outcome:
    """Infers rates, factors and inputs of a file's trials with a run's model and writes them to HDF5.

    Args:
        run: The run folder.
        file: The data, of any one session of the model; one split is enough.
        out: The file to write.
        split: The split to infer; by default all that the file holds.
        which: "best", "last" or the number of a step.
        n_samples: Posterior samples of the averages; 0 pushes the posterior means through.
        seed: Seed of the samples.
        missing: Whether NaN in the data means a missing entry.
        samples: Whether to write single samples, too.
        controller_states: Whether to write the controller's states, too.
        encoder_states: Whether to write what the controller saw of the data, too.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If the file cannot be read or does not fit the model.
    """
    began, info = time.monotonic(), read_info(run)
    model = load(run, which=which, build=build)
    splits = _read_for(info, model, file, split, missing)
    posteriors = {}
    for name, trials in splits.items():
        posterior = infer(model, info.sessions, trials, n_samples, seed, samples=samples)
        posteriors[name] = dataclasses.replace(
            posterior,
            controller_states=posterior.controller_states if controller_states else None,
            encoding=posterior.encoding if encoder_states else None,
        )
    source = {"run": str(run), "file": str(file), **info.data["source"]}
    _write(Path(out), model, posteriors, info.bin_width, [s.name for s in info.sessions], source)
    return Outcome(None, None, [Path(out)], [], time.monotonic() - began)


def generate_run(
    run: str | Path,
    out: str | Path,
    *,
    n_trials: int = 50,
    n_bins: int | None = None,
    session: str | int = 0,
    inputs_of: str | Path | None = None,
    draw_data: bool = False,
    which: Which = "best",
    seed: int = 0,
    build: Callable[[], LFADS] | None = None,
) -> Outcome:
    """Generates new trials with a run's model and writes them to HDF5.

    Args:
        run: The run folder.
        out: The file to write.
        n_trials: Number of trials.
        n_bins: Number of bins of each; by default as many as the trials that the model was trained with.
        session: Name or number of the session whose read-out is used.
        inputs_of: A data file whose known inputs drive the trials, for a model that needs some: those of its first
            split that has as many trials.
        draw_data: Whether to draw data from the likelihood, too.
        which: "best", "last" or the number of a step.
        seed: Seed of the draws.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If a file cannot be read or written.
        ValueError: If there is no such session, or known inputs are missing or do not fit.
    """
    began, info = time.monotonic(), read_info(run)
    model = load(run, which=which, build=build)
    known = None if inputs_of is None else _known_inputs(inputs_of, info, model, n_trials)
    if n_bins is None:
        n_bins = int(info.data["n_bins"]["train"] if known is None else known.shape[1])
    found = prior_sample(model, n_trials, n_bins, session=session, known_inputs=known, draw_data=draw_data, seed=seed)
    write_generated(
        out,
        found,
        bin_width=info.bin_width,
        input_group=model.input_group,
        count_groups=[name for name, density in model.likelihood.items() if density.counts],
        version=versions()["lfadsx"],
        source={"run": str(run), **info.data["source"]},
    )
    return Outcome(None, None, [Path(out)], [], time.monotonic() - began)


def _known_inputs(file: str | Path, info: RunInfo, model: LFADS, n_trials: int) -> np.ndarray:
    splits = _read_for(info, model, file, None, False)
    for split in splits.values():
        if split.known_inputs is not None and split.n_trials >= n_trials:
            return split.known_inputs[:n_trials]
    sizes = {name: split.n_trials for name, split in splits.items()}
    raise DataError(f"{str(file)!r} has no split with known inputs of {n_trials} trials, only {sizes}. Ask for fewer.")


def _read_for(info: RunInfo, model: LFADS, file: str | Path, split: str | None, missing: bool) -> dict[str, Split]:
    """Reads a file's trials as the model of a run wants them."""
    return read_split(
        file,
        info.sessions,
        split=split,
        input_group=info.data["input_group"],
        forward_bins=info.data["forward_bins"],
        n_known_inputs=info.data["n_known_inputs"],
        bin_width=info.bin_width,
        likelihood=likelihood_name(model),
        missing=missing,
    )


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


def scored_split(data: Dataset) -> str:
    """Returns the split that a run is scored on: test where there is one, else valid."""
    return "valid" if data.test is None else "test"


def likelihood_name(model: LFADS) -> Literal["poisson", "gaussian"]:
    """Returns "poisson" if the input group holds counts, else "gaussian"."""
    return "poisson" if model.likelihood[model.input_group].counts else "gaussian"


def check_bin_width(info: RunInfo, bin_width: float | None) -> None:
    """Raises DataError if data have another bin width than the model was trained with."""
    trained = info.bin_width
    if trained is not None and bin_width is not None and not np.isclose(trained, bin_width, rtol=1e-6):
        raise DataError(
            f"The data have bins of {bin_width} s, the model was trained with bins of {trained} s. Bin the data as "
            "those were, or train a model on these."
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
            "or shorter ramps (kl_ramp_epochs, l2_ramp_epochs)."
        )
    return warnings


def _evaluate(model: LFADS, data: Dataset, split: str, posteriors: dict[str, Posterior], seed: int) -> Evaluation:
    likelihood = likelihood_name(model)
    masked = masked_rates(model, data, split, seed=seed) if likelihood == "poisson" else None
    return evaluate(data, split, posteriors, masked=masked, likelihood=likelihood)


def _write_posteriors(path: Path, model: LFADS, posteriors: dict[str, Posterior], data: Dataset) -> Path:
    small = {
        name: dataclasses.replace(posterior, controller_states=None, encoding=None)
        for name, posterior in posteriors.items()
    }
    return _write(path, model, small, data.bin_width, [s.name for s in data.sessions], data.source)


def _write(
    path: Path,
    model: LFADS,
    posteriors: dict[str, Posterior],
    bin_width: float | None,
    sessions: Sequence[str],
    source: dict[str, Any],
) -> Path:
    counts = [name for name, density in model.likelihood.items() if density.counts]
    write_posterior(
        path,
        posteriors,
        bin_width=bin_width,
        sessions=sessions,
        input_group=model.input_group,
        version=versions()["lfadsx"],
        source=source,
        count_groups=counts,
    )
    return path


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


def read_history(run: str | Path) -> dict[str, np.ndarray]:
    """Reads a run's `history.csv`: figures of every epoch by name, shape (epoch,)."""
    import csv

    with (Path(run) / "history.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return columns(rows)

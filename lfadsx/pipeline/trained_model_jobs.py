"""Jobs with a trained model: evaluate, infer, generate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, TrainConfig, with_settings
from lfadsx.data import read_split
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.splits import choose
from lfadsx.errors import DataError, LfadsxError
from lfadsx.inference import infer, infer_trials
from lfadsx.inference.bounds import bounds_of
from lfadsx.inference.generation import generate
from lfadsx.interop import write_posterior_runs, write_prior_run
from lfadsx.models.lfads import LFADS
from lfadsx.models.new_sessions import with_sessions
from lfadsx.pipeline.outcome import Outcome, check_bin_width, score, scored_split
from lfadsx.results.labels import Labels, groups_of_model
from lfadsx.results.results_file import write_generated, write_posteriors
from lfadsx.training import RunFolder, load
from lfadsx.training.run_folder import RunInfo, Which
from lfadsx.types import TimeAxis

Keys = Literal["lfadsx", "tf"]
"""Names of our own, or those of the TensorFlow LFADS."""
BOUND_SAMPLES = 64
"""Samples of the bounds when the posterior means are pushed through: a bound has to be sampled."""


def evaluate_run(
    run: str | Path,
    data: Dataset,
    *,
    split: str | None = None,
    which: Which = "best",
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
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
        mesh: Devices to spread the trials over.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If the model does not know a session of the data.
        LfadsxError: If the data do not fit the model.
    """
    began, info = time.monotonic(), RunFolder(run).info
    check_bin_width(info, data.bin_width)
    data, model = _matched(info, data, load(run, which=which, build=build))
    split = split or scored_split(data)
    posteriors = {
        name: infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh)
        for name in dict.fromkeys(("train", split))
    }
    evaluation = score(model, data, split, posteriors, seed, mesh=mesh)
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
    bounds: bool = False,
    max_trials: int | None = None,
    keys: Keys = "lfadsx",
    mesh: Mesh | None = None,
    build: Callable[[], LFADS] | None = None,
) -> Outcome:
    """Infers rates, factors and inputs of a file's trials with a run's model and writes them to HDF5.

    Args:
        run: The run folder.
        file: The data, of any one session of the model; one split is enough.
        out: The file to write; for the keys of the TensorFlow LFADS a folder.
        split: The split to infer; by default all that the file holds.
        which: "best", "last" or the number of a step.
        n_samples: Posterior samples of the averages; 0 pushes the posterior means through.
        seed: Seed of the samples.
        missing: Whether NaN in the data means a missing entry.
        samples: Whether to write single samples, too.
        controller_states: Whether to write the controller's states, too.
        encoder_states: Whether to write what the controller saw of the data, too.
        bounds: Whether to write bounds of each trial's evidence, too.
        max_trials: How many trials of each split are done, from the first one on; by default all.
        keys: "lfadsx" for the fields of `Posterior`; "tf" for the files and keys of the TensorFlow LFADS
            (`lfadsx.interop.write_posterior_runs`), always with bounds.
        mesh: Devices to spread the trials over, on its axis `data`.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If the file cannot be read or does not fit the model.
        LfadsxError: If `max_trials` is below 1.
    """
    began, info = time.monotonic(), RunFolder(run).info
    if max_trials is not None and max_trials < 1:
        raise LfadsxError(f"max_trials = {max_trials} leaves no trial. Give at least 1, or leave it out.")
    model = load(run, which=which, build=build)
    splits = _read_for(info, model, file, split, missing)
    splits = {name: choose(trials, np.arange(trials.n_trials)[:max_trials]) for name, trials in splits.items()}
    source = {"run": str(run), "file": str(file), **info.data["source"]}
    labels = dataclasses.replace(_labels(info, model), source=source)
    posteriors, found = {}, {}
    for name, trials in splits.items():
        posterior = infer_trials(model, labels, trials, n_samples, seed, samples=samples, mesh=mesh)
        posteriors[name] = dataclasses.replace(
            posterior,
            split=name,
            controller_states=posterior.controller_states if controller_states else None,
            encoding=posterior.encoding if encoder_states else None,
        )
        if bounds or keys == "tf":
            of_bound = n_samples or BOUND_SAMPLES
            found[name] = bounds_of(model, labels, trials, n_samples=of_bound, seed=seed, mesh=mesh)
    if keys == "tf":
        files = write_posterior_runs(
            out,
            model,
            posteriors,
            found,
            sessions=info.sessions,
            hyper=HyperParams(**info.hyper),
            config=with_settings("fit", info.train, TrainConfig())[0],
            step=RunFolder(run).step_of(which),
        )
    else:
        files = [write_posteriors(out, posteriors, bounds=found)]
    return Outcome(None, None, files, [], time.monotonic() - began, found)


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
    keys: Keys = "lfadsx",
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
        keys: "lfadsx" for the fields of `Generated`, "tf" for the keys of the TensorFlow LFADS.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If a file cannot be read or written.
        LfadsxError: If there is no such session, or known inputs are missing or do not fit.
    """
    began, info = time.monotonic(), RunFolder(run).info
    model = load(run, which=which, build=build)
    known = None if inputs_of is None else _known_inputs(inputs_of, info, model, n_trials)
    if n_bins is None:
        n_bins = int(info.data["n_bins"]["train"] if known is None else known.shape[1])
    found = generate(model, n_trials, n_bins, session=session, known_inputs=known, draw_data=draw_data, seed=seed)
    if keys == "tf":
        write_prior_run(out, model, found)
    else:
        labels = _labels(info, model)
        source = {"run": str(run), **labels.source}
        write_generated(out, dataclasses.replace(found, time=labels.time, groups=labels.groups, source=source))
    return Outcome(None, None, [Path(out)], [], time.monotonic() - began)


def _labels(info: RunInfo, model: LFADS) -> Labels:
    """Returns what a run folder says about the data of its model."""
    return Labels(
        sessions=info.sessions,
        time=TimeAxis(info.bin_width),
        groups=groups_of_model(model),
        input_group=model.input_group,
        behaviour_lag=info.data.get("behaviour_lag", 0.0),
        source=info.data["source"],
    )


def _matched(info: RunInfo, data: Dataset, model: LFADS) -> tuple[Dataset, LFADS]:
    """Data and model with the same sessions in the same order; the only session of both may be called otherwise.

    Raises:
        DataError: If the model does not know a session of the data.
    """
    known = [session.name for session in info.sessions]
    if len(known) == len(data.sessions) == 1:
        data = dataclasses.replace(data, sessions=(dataclasses.replace(data.sessions[0], name=known[0]),))
    names = [session.name for session in data.sessions]
    if unknown := [name for name in names if name not in known]:
        raise DataError(
            f"The model knows the sessions {', '.join(known)} and not {unknown[0]!r}. Give files that are called like "
            "its sessions, or add the session to the model (--start-from RUN --new-sessions-only)."
        )
    return data, model if names == known else with_sessions(model, data, rngs=nnx.Rngs(0))


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
        kind=info.kinds or {name: group.kind for name, group in groups_of_model(model).items()},
        missing=missing,
    )

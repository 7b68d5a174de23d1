"""The job that infers the trials of a file with a trained model."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jax.sharding import Mesh

from lfadsx.config import HyperParams, TrainConfig, with_settings
from lfadsx.data import read_split
from lfadsx.data.dataset import Split
from lfadsx.data.splits import choose
from lfadsx.errors import LfadsxError
from lfadsx.findings import Finding, attempt
from lfadsx.inference import infer_trials
from lfadsx.inference.bounds import bounds_of
from lfadsx.interop import write_posterior_runs
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.outcome import Outcome
from lfadsx.results.labels import Labels, groups_of_model
from lfadsx.results.results_file import write_posteriors
from lfadsx.training import RunFolder
from lfadsx.training.run_folder import RunInfo, Which
from lfadsx.types import TimeAxis

Keys = Literal["lfadsx", "tf"]
"""Names of our own, or those of the TensorFlow LFADS."""
BOUND_SAMPLES = 64
"""Samples of the bounds when the posterior means are pushed through: a bound has to be sampled."""


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
        missing: If True, NaN in the data means a missing entry.
        samples: If True, single samples are written, too.
        controller_states: If True, the controller's states are written, too.
        encoder_states: If True, what the controller saw of the data is written, too.
        bounds: If True, bounds of each trial's evidence are written, too.
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
    began, folder = time.monotonic(), RunFolder(run)
    if max_trials is not None and max_trials < 1:
        raise LfadsxError(f"max_trials = {max_trials} leaves no trial. Give at least 1, or leave it out.")
    info, model = folder.info, folder.load(which=which, build=build)
    splits = read_for(info, model, file, split, missing)
    labels = labels_of(info, model)
    labels = dataclasses.replace(labels, source={"run": str(run), "file": str(file), **labels.source})
    posteriors, found = {}, {}
    failed: list[Finding] = []
    for name, trials in splits.items():
        trials = choose(trials, np.arange(trials.n_trials)[:max_trials])
        posterior = infer_trials(model, labels, trials, n_samples, seed, samples=samples, mesh=mesh)
        posteriors[name] = dataclasses.replace(
            posterior,
            split=name,
            controller_states=posterior.controller_states if controller_states else None,
            encoding=posterior.encoding if encoder_states else None,
        )
        bound = functools.partial(
            bounds_of, model, labels, trials, n_samples=n_samples or BOUND_SAMPLES, seed=seed, mesh=mesh
        )
        if keys == "tf":  # its files cannot do without
            found[name] = bound()
        elif bounds and (of_split := attempt(failed, "bounds of the evidence", name, bound)) is not None:
            found[name] = of_split
    if keys == "tf":
        hyper, (config,) = HyperParams(**info.hyper), with_settings("fit", info.train, TrainConfig())
        how: dict[str, Any] = dict(sessions=info.sessions, hyper=hyper, config=config, step=folder.step_of(which))
        files = write_posterior_runs(out, model, posteriors, found, **how)
    else:
        files = [write_posteriors(out, posteriors, bounds=found)]
    return Outcome(
        text="\n".join(f"{name}: {bound}" for name, bound in found.items()),
        posteriors=posteriors,
        bounds=found,
        files=files,
        findings=tuple(failed),
        seconds=time.monotonic() - began,
    )


def labels_of(info: RunInfo, model: LFADS) -> Labels:
    """Returns what a run folder says about the data of its model."""
    return Labels(
        sessions=info.sessions,
        time=TimeAxis(info.bin_width),
        groups=groups_of_model(model),
        input_group=model.input_group,
        behaviour_lag=info.data.get("behaviour_lag", 0.0),
        source=info.data["source"],
    )


def read_for(info: RunInfo, model: LFADS, file: str | Path, split: str | None, missing: bool) -> dict[str, Split]:
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

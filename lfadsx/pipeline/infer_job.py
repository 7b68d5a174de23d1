"""The jobs that use a trained model: infer the trials of a file, and generate new trials."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Split
from lfadsx.data.file_contents import source_of
from lfadsx.data.model_trials import read_trials
from lfadsx.data.splits import choose
from lfadsx.errors import DataError, LfadsxError
from lfadsx.files import check_writable
from lfadsx.findings import Finding, attempt
from lfadsx.inference import infer_trials
from lfadsx.inference.bounds import bounds_of
from lfadsx.inference.generation import generate
from lfadsx.interop import write_posterior_runs, write_prior_run
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.outcome import Outcome
from lfadsx.recordings.formats import format_of
from lfadsx.results.calibration import Calibration
from lfadsx.results.joined_file import write_pieces
from lfadsx.results.labels import Labels, groups_of_model
from lfadsx.results.results_file import write_generated, write_posteriors
from lfadsx.settings_by_name import with_settings
from lfadsx.training.run_folder import RunFolder, Which
from lfadsx.training.run_info import RunInfo
from lfadsx.types import TimeAxis

Keys = Literal["lfadsx", "tf"]
"""Names of arrays in result files: those of lfadsx, or those of the TensorFlow LFADS."""
BOUND_SAMPLES = 64
"""Number of samples for the bounds if `n_samples` is 0, because bounds need samples."""


def infer_run(
    run: str | Path,
    file: str | Path,
    out: str | Path,
    *,
    session: str | None = None,
    split: str | None = None,
    which: Which = "best",
    n_samples: int = 64,
    seed: int = 0,
    missing: bool = False,
    samples: bool = False,
    controller_states: bool = False,
    encoder_states: bool = False,
    without_inputs: bool = False,
    bounds: bool = False,
    max_trials: int | None = None,
    keys: Keys = "lfadsx",
    mesh: Mesh | None = None,
    parts: Iterable[type[nnx.Module]] = (),
) -> Outcome:
    """Infers rates, factors and inputs of a file's trials with a run's model, and writes them to HDF5.

    Args:
        run: The run folder.
        file: The data of one session of the model; one split is enough. It may hold the held-out channels too.
        out: The file to write; with `keys="tf"` a folder.
        session: Session of the model that the trials belong to; by default the session named after the file, or
            the model's only session.
        split: The split to infer; by default all splits of the file.
        which: As in `lfadsx.load`.
        n_samples: Number of posterior samples to average over. With 0, rates are computed from the posterior means.
        seed: Seed of the samples.
        missing: If True, NaN in the data means a missing entry.
        samples: If True, single samples are also written.
        controller_states: If True, states of the controller are also written.
        encoder_states: If True, the encoding of the data that the controller sees is also written.
        without_inputs: If True, the inferred inputs are set to 0, see `lfadsx.infer`.
        bounds: If True, bounds of each trial's evidence are also written.
        max_trials: Number of trials of each split to infer, from the first one on; by default all.
        keys: "lfadsx" for the fields of `Posterior`; "tf" for the files and keys of the TensorFlow LFADS
            (`lfadsx.interop.write_posterior_runs`), always with bounds.
        mesh: Devices to spread the trials over, on its axis `data`.
        parts: As in `lfadsx.load`.

    Raises:
        RunError: If the folder holds no run.
        DataError: If the file cannot be read or does not fit the model.
        LfadsxError: If `max_trials` is below 1, or `without_inputs` is given with bounds.
    """
    began, folder = time.monotonic(), RunFolder(run)
    if without_inputs and (bounds or keys == "tf"):
        raise LfadsxError(
            "`without_inputs` must be given without `bounds` and without keys = 'tf': bounds are those of the model "
            "with its inputs. Leave one of them out."
        )
    if max_trials is not None and max_trials < 1:
        raise LfadsxError(f"`max_trials` must be at least 1, got {max_trials}. Leave it out for all trials.")
    check_writable(Path(out) / "runs" if keys == "tf" else out)
    if Path(file).exists() and (form := format_of(file)) is not None:
        raise DataError(
            f"`infer` needs trials of a data file, got {str(file)!r}, which is a recording ({form.name}). Cut it with "
            "lfadsx prepare, with the flags that the run was trained with."
        )
    info, model = folder.info, folder.load(which=which, parts=parts)
    splits, notes = _read_for(info, model, file, split, missing, session)
    _check_seen(model, splits, file)
    labels = _labels(info, model)
    (number,) = {int(trials.session[0]) for trials in splits.values()}
    source = {**labels.source, info.sessions[number].name: source_of(Path(file))}
    labels = dataclasses.replace(labels, source={"run": str(run), "file": str(file), **source})
    known = which == "best" and n_samples > 1 and not without_inputs and folder.calibration.is_file()
    calibration = Calibration.read(folder.calibration) if known else None
    posteriors, found = {}, {}
    found_odd: list[Finding] = [*notes]
    for name, trials in splits.items():
        trials = choose(trials, np.arange(trials.n_trials)[:max_trials])
        how: dict[str, Any] = dict(samples=samples, without_inputs=without_inputs, mesh=mesh)
        posterior = infer_trials(model, labels, trials, n_samples, seed, **how)
        if calibration is not None:
            posterior = posterior.calibrated(calibration)
        posteriors[name] = dataclasses.replace(
            posterior,
            split=name,
            controller_states=posterior.controller_states if controller_states else None,
            encoding=posterior.encoding if encoder_states else None,
        )
        bound = functools.partial(
            bounds_of, model, labels, trials, n_samples=n_samples or BOUND_SAMPLES, seed=seed, mesh=mesh
        )
        if keys == "tf":  # these files must hold bounds
            found[name] = bound()
        elif bounds and (of_split := attempt(found_odd, "bounds of the evidence", name, bound)) is not None:
            found[name] = of_split
    if keys == "tf":
        hyper, (config,) = HyperParams(**info.hyper), with_settings("fit", info.train, TrainConfig())
        how = dict(sessions=info.sessions, hyper=hyper, config=config, step=folder.step_of(which))
        files = write_posterior_runs(out, model, posteriors, found, **how)
    else:
        files = [write_posteriors(out, posteriors, bounds=found), *write_pieces(out, posteriors)]
    return Outcome(
        text="\n".join(f"{name}: {bound}" for name, bound in found.items()),
        posteriors=posteriors,
        bounds=found,
        files=files,
        findings=tuple(found_odd),
        seconds=time.monotonic() - began,
    )


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
    parts: Iterable[type[nnx.Module]] = (),
) -> Outcome:
    """Generates new trials with a run's model, and writes them to HDF5.

    Args:
        run: The run folder.
        out: The file to write.
        n_trials: Number of trials.
        n_bins: Number of bins of each trial; by default as in the training trials.
        session: Name or number of the session whose read-out is used.
        inputs_of: Data file with the known inputs of the new trials, for a model that needs them. The first split
            with enough trials is used.
        draw_data: If True, data are also drawn from the likelihood.
        which: As in `lfadsx.load`.
        seed: Seed of the draws.
        keys: "lfadsx" for the fields of `Generated`, "tf" for the keys of the TensorFlow LFADS.
        parts: As in `lfadsx.load`.

    Raises:
        RunError: If the folder holds no run.
        DataError: If a file cannot be read or written.
        LfadsxError: If the session is unknown, or known inputs are missing or do not fit.
    """
    began, folder = time.monotonic(), RunFolder(run)
    check_writable(out)
    info, model = folder.info, folder.load(which=which, parts=parts)
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
    return Outcome(files=[Path(out)], seconds=time.monotonic() - began)


def _known_inputs(file: str | Path, info: RunInfo, model: LFADS, n_trials: int) -> np.ndarray:
    splits, _ = _read_for(info, model, file, None, False)
    for split in splits.values():
        if split.known_inputs is not None and split.n_trials >= n_trials:
            return split.known_inputs[:n_trials]
    sizes = {name: split.n_trials for name, split in splits.items()}
    raise DataError(
        f"A split of {str(file)!r} must hold known inputs of at least {n_trials} trials, got {sizes}. Ask for fewer."
    )


def _labels(info: RunInfo, model: LFADS) -> Labels:
    """Returns the description of the data that a run's model was trained on."""
    return Labels(
        sessions=info.sessions,
        time=TimeAxis(info.bin_width, info.data.get("start", 0.0), info.data.get("event", TimeAxis.event)),
        groups=groups_of_model(model),
        input_group=model.input_group,
        behaviour_lag=info.data.get("behaviour_lag", 0.0),
        source=info.data["source"],
    )


def _check_seen(model: LFADS, splits: Mapping[str, Split], file: str | Path) -> None:
    """Raises `DataError` if a file lacks a target group that the encoders see."""
    for group in model.encoder_groups[1:]:
        for name, split in splits.items():
            observed = split.target_observed.get(group)
            if split.targets[group].shape[2] and observed is not None and not observed.any():
                raise DataError(
                    f"The {name} trials of {str(file)!r} must hold the target group {group!r}, which the encoders of "
                    f"this model see. Add {name}_other_targets/{group} (trial, time, channel)."
                )


def _read_for(
    info: RunInfo, model: LFADS, file: str | Path, split: str | None, missing: bool, session: str | None = None
) -> tuple[dict[str, Split], list[Finding]]:
    """Reads a file's trials for the model of a run, with findings about the file."""
    return read_trials(
        file,
        info.sessions,
        session=session,
        split=split,
        input_group=info.data["input_group"],
        forward_bins=info.data["forward_bins"],
        n_known_inputs=info.data["n_known_inputs"],
        bin_width=info.bin_width,
        kind=info.kinds or {name: group.kind for name, group in groups_of_model(model).items()},
        missing=missing,
    )

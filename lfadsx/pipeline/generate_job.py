"""The job that generates new trials with a trained model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lfadsx.errors import DataError
from lfadsx.inference.generation import generate
from lfadsx.interop import write_prior_run
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.infer_job import Keys, labels_of, read_for
from lfadsx.pipeline.outcome import Outcome
from lfadsx.results.results_file import write_generated
from lfadsx.training import RunFolder
from lfadsx.training.run_folder import RunInfo, Which


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
        draw_data: If True, data are drawn from the likelihood, too.
        which: "best", "last" or the number of a step.
        seed: Seed of the draws.
        keys: "lfadsx" for the fields of `Generated`, "tf" for the keys of the TensorFlow LFADS.
        build: For models with parts of your own: a function that builds the model.

    Raises:
        RunError: If the folder holds no run.
        DataError: If a file cannot be read or written.
        LfadsxError: If there is no such session, or known inputs are missing or do not fit.
    """
    began, folder = time.monotonic(), RunFolder(run)
    info, model = folder.info, folder.load(which=which, build=build)
    known = None if inputs_of is None else _known_inputs(inputs_of, info, model, n_trials)
    if n_bins is None:
        n_bins = int(info.data["n_bins"]["train"] if known is None else known.shape[1])
    found = generate(model, n_trials, n_bins, session=session, known_inputs=known, draw_data=draw_data, seed=seed)
    if keys == "tf":
        write_prior_run(out, model, found)
    else:
        labels = labels_of(info, model)
        source = {"run": str(run), **labels.source}
        write_generated(out, dataclasses.replace(found, time=labels.time, groups=labels.groups, source=source))
    return Outcome(files=[Path(out)], seconds=time.monotonic() - began)


def _known_inputs(file: str | Path, info: RunInfo, model: LFADS, n_trials: int) -> np.ndarray:
    splits = read_for(info, model, file, None, False)
    for split in splits.values():
        if split.known_inputs is not None and split.n_trials >= n_trials:
            return split.known_inputs[:n_trials]
    sizes = {name: split.n_trials for name, split in splits.items()}
    raise DataError(f"{str(file)!r} has no split with known inputs of {n_trials} trials, only {sizes}. Ask for fewer.")

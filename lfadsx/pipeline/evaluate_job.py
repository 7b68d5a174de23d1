"""The job that scores a trained model on data files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.errors import DataError
from lfadsx.evaluation import score_posteriors
from lfadsx.inference import infer, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.models.new_sessions import with_sessions
from lfadsx.pipeline.outcome import Outcome, scores_text
from lfadsx.training import RunFolder
from lfadsx.training.run_folder import RunInfo, Which


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
        LfadsxError: If the data do not fit the model or have no such split.
    """
    began, folder, split = time.monotonic(), RunFolder(run), split_name(data.splits, split)
    info = folder.info
    check_bin_width(info, data.bin_width)
    data, model = _matched(info, data, folder.load(which=which, build=build))
    posteriors = {
        name: infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh)
        for name in dict.fromkeys(("train", split))
    }
    masked = masked_rates(model, data, split, seed=seed, mesh=mesh)
    evaluation = score_posteriors(data, posteriors, masked, split=split)
    return Outcome(
        text=scores_text(evaluation),
        evaluation=evaluation,
        posteriors=posteriors,
        findings=(*data.findings, *evaluation.findings),
        summary=evaluation.scores,
        seconds=time.monotonic() - began,
    )


def check_bin_width(info: RunInfo, bin_width: float | None) -> None:
    """Raises DataError if data have another bin width than the model was trained with."""
    trained = info.bin_width
    if trained is not None and bin_width is not None and not np.isclose(trained, bin_width, rtol=1e-6):
        raise DataError(
            f"The data have bins of {bin_width} s, the model was trained with bins of {trained} s. Bin the data as "
            "those were, or train a model on these."
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

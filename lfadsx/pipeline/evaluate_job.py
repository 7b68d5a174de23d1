"""The job that scores a trained model on data files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.inference import infer
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.outcome import Outcome, scores_text
from lfadsx.pipeline.scoring import check_bin_width, evaluate, matched
from lfadsx.training import RunFolder
from lfadsx.training.run_folder import Which


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
    data, model = matched(info, data, folder.load(which=which, build=build))
    posteriors = {
        name: infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh)
        for name in dict.fromkeys(("train", split))
    }
    evaluation = evaluate(model, data, split, seed=seed, posteriors=posteriors, mesh=mesh)
    return Outcome(
        text=scores_text(evaluation),
        evaluation=evaluation,
        posteriors=posteriors,
        findings=(*data.findings, *evaluation.findings),
        summary=evaluation.scores,
        seconds=time.monotonic() - began,
    )

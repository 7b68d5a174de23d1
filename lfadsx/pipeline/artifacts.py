"""What follows training: infer, score, write and draw."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import Evaluation
from lfadsx.files import write_json
from lfadsx.inference import infer
from lfadsx.pipeline.methods_paragraph import write_report
from lfadsx.pipeline.outcome import Outcome, score, scored_split
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_posteriors
from lfadsx.training import FitResult


def samples_of(data: Dataset, n_samples: int, n_train_samples: int | None = None) -> dict[str, int]:
    """Returns the number of posterior samples of each split; that of training trials may differ."""
    return dict.fromkeys(data.splits, n_samples) | ({} if n_train_samples is None else {"train": n_train_samples})


def finish(
    data: Dataset,
    out: Path,
    result: FitResult,
    *,
    samples: dict[str, int],
    seed: int,
    mesh: Mesh | None,
    figures: bool,
    began: float,
) -> Outcome:
    """Infers all trials with a trained model, scores it, and writes posterior, metrics, report and figures.

    Args:
        data: The data set.
        out: The run folder.
        result: What training returned.
        samples: Posterior samples of the averages, for each split.
        seed: Seed of the samples.
        mesh: Devices to spread the trials over.
        figures: Whether to draw figures; they need matplotlib.
        began: When the job began, on the monotonic clock.
    """
    model, split = result.model, scored_split(data)
    posteriors = {name: infer(model, data, name, n_samples=n, seed=seed, mesh=mesh) for name, n in samples.items()}
    evaluation = score(model, data, split, posteriors, seed, mesh=mesh)
    files = [_write_posteriors(out / "posterior.h5", posteriors)]
    seconds = time.monotonic() - began
    files += _write_metrics(out, evaluation, result, seconds)
    warnings = [f"{finding.sentence} {finding.remedy}" for finding in result.findings]
    if figures:
        drawn, undrawn = draw_figures(out, data, split, posteriors, evaluation, result.history)
        files, warnings = files + drawn, warnings + undrawn
    return Outcome(evaluation, result, files, warnings, time.monotonic() - began)


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
        posteriors[split],
        history,
        evaluation.table,
        f"{Path(run).name}: {split} trials",
        aligned=evaluation.aligned_inputs,
    )


def _write_posteriors(path: Path, posteriors: dict[str, Posterior]) -> Path:
    small = {
        name: dataclasses.replace(posterior, controller_states=None, encoding=None)
        for name, posterior in posteriors.items()
    }
    return write_posteriors(path, small)


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
            "findings": result.findings,
        },
        "detail": evaluation.detail,
        "table": evaluation.table,
    }
    return [write_json(out / "metrics.json", metrics), write_report(out)]

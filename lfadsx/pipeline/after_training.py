"""The steps after training: infer, score, write and draw. A step that fails does not affect earlier results."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from jax.sharding import Mesh

from lfadsx.config import FigureFormat
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.errors import MissingExtraError
from lfadsx.evaluation import MEASURES, Evaluation, score_posteriors
from lfadsx.files import plain, write_json
from lfadsx.findings import Finding, attempt
from lfadsx.inference import calibrate, infer, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.finished import JOB, job_record
from lfadsx.pipeline.outcome import Outcome, scores_text
from lfadsx.pipeline.report_job import attempt_page
from lfadsx.pipeline.scoring import with_trust_checks, without_inputs
from lfadsx.progress import step
from lfadsx.report.methods_paragraph import write_methods
from lfadsx.results.joined_file import write_pieces
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_posteriors
from lfadsx.training import FitResult, RunFolder
from lfadsx.training.run_lock import check_held

log = logging.getLogger("lfadsx")


def samples_of(data: Dataset, n_samples: int, n_train_samples: int | None = None) -> dict[str, int]:
    """Returns the number of posterior samples of each split; training trials may have another number."""
    return dict.fromkeys(data.splits, n_samples) | ({} if n_train_samples is None else {"train": n_train_samples})


def announce(data: Dataset, what: str) -> None:
    """Logs the first lines of a job: the data, what looks odd in them, and what is done with them."""
    log.info("%s", data)
    for finding in data.findings:
        log.info("%s", finding)
    log.info("%s", what)


def finish(
    data: Dataset,
    out: str | Path,
    result: FitResult,
    *,
    samples: dict[str, int],
    seed: int,
    mesh: Mesh | None,
    figures: bool,
    figure_format: FigureFormat = "png",
    began: float,
    on_scores: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Infers all trials with a trained model and writes the posterior; then scores, reports and draws.

    Steps after the posterior that fail are left out and become findings.

    Args:
        data: The data set.
        out: The run folder.
        result: The result of training.
        samples: Number of posterior samples for each split.
        seed: Seed of the samples.
        mesh: Devices to spread the trials over.
        figures: If True, figures and the report page are made; they need the extras `plot` and `report`.
        figure_format: Format of their files.
        began: Start of the job on the monotonic clock, in seconds.
        on_scores: Called with scores and verdict, before figures are drawn.
    """
    folder, split, failed = RunFolder(out), split_name(data.splits), []
    calibrating = functools.partial(calibrate, result.model, data, mesh=mesh)
    calibration = attempt(failed, "calibration of the spread", "", calibrating)
    how: dict[str, Any] = dict(seed=seed, calibration=calibration, mesh=mesh)
    posteriors = {
        name: without_states(infer(result.model, data, name, n_samples=n, **how)) for name, n in samples.items()
    }
    check_held(out)
    files = [write_posteriors(folder.posterior, posteriors), *write_pieces(folder.posterior, posteriors)]
    if calibration is not None:
        files.append(calibration.save(folder.calibration))
    scoring = functools.partial(score, result.model, data, split, posteriors, seed, failed, mesh=mesh)
    evaluation = attempt(failed, "evaluation", "", scoring)
    odd = [*data.findings, *result.findings, *(evaluation.findings if evaluation else ())]
    outcome = Outcome(
        text="" if evaluation is None else scores_text(evaluation),
        evaluation=evaluation,
        result=result,
        posteriors=posteriors,
        findings=(*odd, *failed),
        summary={"split": split} | dict.fromkeys(MEASURES) if evaluation is None else evaluation.scores,
        seconds=time.monotonic() - began,
    )
    files += _write_reports(folder, outcome, result, samples, failed)
    on_scores(outcome)
    later = (
        lambda: draw_figures(failed, out, data, split, outcome, figure_format),
        lambda: attempt_page(failed, out, data),
    )
    for make in later if figures else ():
        check_held(out)
        n_failed = len(failed)
        files += make()
        if len(failed) > n_failed:
            outcome = dataclasses.replace(outcome, findings=(*odd, *failed))
            _write_reports(folder, outcome, result, samples, failed)
    return dataclasses.replace(outcome, files=files, findings=(*odd, *failed), seconds=time.monotonic() - began)


def without_states(posterior: Posterior) -> Posterior:
    """Returns a posterior without controller states and encoding, which are large and seldom needed."""
    return dataclasses.replace(posterior, controller_states=None, encoding=None)


def score(
    model: LFADS,
    data: Dataset,
    split: str,
    posteriors: dict[str, Posterior],
    seed: int,
    failed: list[Finding],
    *,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Scores posterior averages of a split; scores of hidden entries are left out if these cannot be inferred."""
    hidden = functools.partial(masked_rates, model, data, split, seed=seed, mesh=mesh)
    masked = attempt(failed, "inference of hidden entries", "", hidden)
    ablating = functools.partial(without_inputs, model, data, split, posteriors[split], mesh=mesh)
    ablated = attempt(failed, "inference without inputs", "", ablating)
    scores = score_posteriors(data, posteriors, masked, split=split, ablated=ablated)
    return with_trust_checks(scores, model, data, posteriors[split])


def draw(failed: list[Finding], figures: Callable[[ModuleType], tuple[list[Path], list[Finding]]]) -> list[Path]:
    """Draws with the module `lfadsx.plotting` and returns the files; figures that fail become findings in `failed`."""
    try:
        from lfadsx import plotting
    except MissingExtraError as error:
        failed.append(Finding("note", "no figures", None, None, "figures", str(error)))
        return []
    with step("drawing"):
        drawn = attempt(failed, "drawing of figures", "", lambda: figures(plotting))
    files, findings = drawn or ([], [])
    failed += findings
    return files


def draw_figures(
    failed: list[Finding],
    run: str | Path,
    data: Dataset,
    split: str,
    outcome: Outcome,
    figure_format: FigureFormat = "png",
) -> list[Path]:
    """Draws all figures of a run into its folder and returns the files; figures that fail become findings."""
    result, folder, posterior = outcome.result, RunFolder(run).figures, outcome.posteriors[split]
    how: dict[str, Any] = dict(
        history=result.history if isinstance(result, FitResult) else None,
        evaluation=outcome.evaluation,
        title=f"{Path(run).name}: {split} trials",
        figure_format=figure_format,
    )
    return draw(failed, lambda plotting: plotting.write_figures(folder, posterior, data, **how))


def _write_reports(
    folder: RunFolder, outcome: Outcome, result: FitResult, samples: dict[str, int], failed: list[Finding]
) -> list[Path]:
    """Writes scores, training and findings as metrics.json, and the report."""
    evaluation, broken = outcome.evaluation, any(finding.level != "note" for finding in failed)
    metrics: dict[str, Any] = plain({
        **outcome.summary,
        "seconds": outcome.seconds,
        "training": {
            "reason": result.reason,
            "epochs": len(next(iter(result.history.values()), ())),
            "best_epoch": result.best_epoch,
            "best_score": result.best_score,
            "skipped_steps": result.skipped_steps,
            "seconds": result.seconds,
        },
        "findings": outcome.findings,
        "detail": {} if evaluation is None else evaluation.detail,
        "table": [] if evaluation is None else evaluation.table,
        JOB: {} if broken else job_record(outcome.text, outcome.summary, samples, result),
    })  # fmt: skip
    steps = {
        "metrics.json": functools.partial(write_json, folder.metrics, metrics),
        "report.md": functools.partial(write_methods, folder, metrics),
    }
    written = [attempt(failed, "file", name, step) for name, step in steps.items()]
    return [file for file in written if file is not None]

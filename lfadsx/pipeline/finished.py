"""Jobs that have finished already: the same command prints their results instead of computing them again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lfadsx.damaged_files import read_json
from lfadsx.errors import RunError
from lfadsx.pipeline.outcome import Outcome
from lfadsx.training import FitResult, PopulationResult

JOB = "job"
"""Key of the record in metrics.json."""


def job_record(
    text: str, summary: Mapping[str, Any], samples: Mapping[str, int], result: FitResult | PopulationResult
) -> dict[str, Any]:
    """Returns what metrics.json records of a job, so that `finished` knows the job again."""
    return {"text": text, "summary": dict(summary), "samples": dict(samples), "training_seconds": result.seconds}


def finished(
    metrics: Path,
    files: Iterable[Path],
    samples: Mapping[str, int],
    result: FitResult | PopulationResult,
    began: float,
) -> Outcome | None:
    """Returns the outcome of a job that has finished, or None if there is something left to do.

    Args:
        metrics: The job's metrics.json.
        files: Other files that the job writes.
        samples: Number of posterior samples for each split.
        result: The result of training, which took no further step.
        began: Start of the job on the monotonic clock, in seconds.
    """
    if not metrics.is_file() or not all(file.exists() for file in files):
        return None
    job = read_json(metrics, "Delete the file to compute the results again.", error=RunError).get(JOB, {})
    if job.get("samples") != dict(samples) or job.get("training_seconds") != result.seconds:
        return None
    said = f"The run in {metrics.parent} is finished ({result.reason}); these are its results."
    return Outcome(f"{said}\n{job['text']}", result=result, summary=job["summary"], seconds=time.monotonic() - began)

"""The result of every job, and the temporary folder of jobs without an output folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lfadsx.errors import LfadsxError
from lfadsx.evaluation import Evaluation, format_table
from lfadsx.files import plain
from lfadsx.findings import Finding
from lfadsx.inference.bounds import Bounds
from lfadsx.processes import count
from lfadsx.results.posterior import Posterior
from lfadsx.training import FitResult, PopulationResult

LINES = 20
"""Largest number of lines of an outcome as text."""


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome:
    """Result of a job. The command line only prints it.

    Attributes:
        text: Tables and sentences for the reader.
        evaluation: Scores; None if the job computes no scores, training was interrupted or scoring failed. For a
            population the scores of the ensemble, with the best member in the table; for a sweep those of the chosen
            model.
        result: Result of training; None for jobs without training.
        posteriors: Posteriors by split, as in the file; a cross-validation has one split, "all".
        bounds: Bounds of the evidence by split; empty unless requested.
        rows: For a sweep, settings and scores of each model, as in `sweep.csv`.
        files: The written files.
        findings: Findings of data, training and scores, and steps after training that failed.
        summary: The figures of the JSON line.
        seconds: Time spent, in seconds.
    """

    text: str = ""
    evaluation: Evaluation | None = None
    result: FitResult | PopulationResult | None = None
    posteriors: dict[str, Posterior] = dataclasses.field(default_factory=dict)
    bounds: dict[str, Bounds] = dataclasses.field(default_factory=dict)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    files: list[Path] = dataclasses.field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def signal(self) -> int:
        """Number of the signal that interrupted training; 0 if none did."""
        return 0 if self.result is None else self.result.signal

    @property
    def json_line(self) -> str:
        """The summary and the seconds as JSON in one line."""
        return json.dumps(plain(self.summary | {"seconds": round(self.seconds, 2)}))

    def __repr__(self) -> str:
        """Returns text, findings and files, in at most 20 lines."""
        lines = [*self.text.splitlines(), *map(str, self.findings), *(f"wrote {file}" for file in self.files)]
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 1], "..."])


def stopped(result: FitResult | PopulationResult, began: float) -> Outcome:
    """Returns the outcome of a job whose training was interrupted; the job began at `began` on the monotonic clock."""
    text = f"Stopped and saved after {result.seconds:.0f} s. Give the same command again to resume."
    return Outcome(text, result=result, seconds=time.monotonic() - began)


def scores_text(evaluation: Evaluation, *, verdict: str = "") -> str:
    """Returns the table of scores, the verdict (by default that of the scores) and notes on missing scores."""
    heading, notes = f"{evaluation.scores['split']} trials", evaluation.detail["notes"]
    return "\n".join([heading, format_table(evaluation.table), verdict or evaluation.verdict, *notes])


@contextlib.contextmanager
def folder_for(out: str | Path | None) -> Iterator[Path]:
    """Yields the folder `out`, or a temporary folder that is deleted when the block ends.

    Raises:
        LfadsxError: If `out` is None with several processes, which may share no temporary folder.
    """
    if out is not None:
        yield Path(out)
        return
    if count() > 1:
        raise LfadsxError("`out` must be given with several processes: a folder that all of them share.")
    with tempfile.TemporaryDirectory(prefix="lfadsx_") as folder:
        yield Path(folder)

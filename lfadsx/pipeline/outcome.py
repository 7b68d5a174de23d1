"""What every job returns, and where a job without a folder of its own works."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lfadsx.evaluation import Evaluation, format_table
from lfadsx.files import plain
from lfadsx.findings import Finding
from lfadsx.inference.bounds import Bounds
from lfadsx.results.posterior import Posterior
from lfadsx.training import FitResult, PopulationResult

LINES = 20
"""Most lines of an outcome as text."""


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome:
    """What a job returns; the command line prints it and computes nothing.

    Attributes:
        text: What the job found, for the reader: tables and sentences.
        evaluation: Scores. None for jobs without, if training was interrupted, or if the scores failed. Of a population
            the scores of the ensemble, with the best member in the table; of a sweep those of the chosen model.
        result: What training returned; None for jobs without.
        posteriors: What was inferred, by split, as it is in the file; of a cross-validation one split, "all".
        bounds: Bounds of the evidence by split, where asked for.
        rows: Of a sweep a row of settings and scores for each model, as in `sweep.csv`.
        files: Files written.
        findings: What looks odd in data, training and scores, and which steps after training failed.
        summary: The figures of the JSON line.
        seconds: Time spent.
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
        """Number of the signal that interrupted training, 0 for none."""
        return 0 if self.result is None else self.result.signal

    @property
    def json_line(self) -> str:
        """The summary and the seconds as JSON in one line."""
        return json.dumps(plain(self.summary | {"seconds": round(self.seconds, 2)}))

    def __repr__(self) -> str:
        """Returns the text, what looks odd and the files, in at most 20 lines."""
        lines = [*self.text.splitlines(), *map(str, self.findings), *(f"wrote {file}" for file in self.files)]
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 1], "..."])


def stopped(result: FitResult | PopulationResult, began: float) -> Outcome:
    """Returns the outcome of a job whose training was interrupted.

    Args:
        result: What training returned.
        began: When the job began, on the monotonic clock.
    """
    text = f"Stopped and saved after {result.seconds:.0f} s. Give the same command again to resume."
    return Outcome(text, result=result, seconds=time.monotonic() - began)


def scores_text(evaluation: Evaluation, *, verdict: str = "") -> str:
    """Returns the closing table, the verdict and what was left out.

    Args:
        evaluation: The scores.
        verdict: Another verdict than that of the scores.
    """
    heading, notes = f"{evaluation.scores['split']} trials", evaluation.detail["notes"]
    return "\n".join([heading, format_table(evaluation.table), verdict or evaluation.verdict, *notes])


@contextlib.contextmanager
def folder_for(out: str | Path | None) -> Iterator[Path]:
    """Gives the folder of a job: the one asked for, or a temporary one that is deleted when the block ends."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="lfadsx_") as folder:
        yield Path(folder)

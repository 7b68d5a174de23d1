"""The page and the methods paragraph of a run: written last by a fit, and again by `lfadsx report`."""

from __future__ import annotations

import time
from pathlib import Path

from lfadsx import report
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError, MissingExtraError
from lfadsx.findings import Finding, attempt
from lfadsx.pipeline.outcome import Outcome
from lfadsx.report.methods_paragraph import finished_metrics, methods, write_methods
from lfadsx.training import RunFolder


def report_run(run: str | Path) -> Outcome:
    """Writes the reports of a finished run again, from its folder; the text is the methods paragraph.

    If the page cannot be written, because its packages or the posterior are missing, a note says so.

    Raises:
        RunError: If the folder holds no finished run.
    """
    began, folder, findings = time.monotonic(), RunFolder(run), []
    metrics = finished_metrics(folder)
    files = [write_methods(folder, metrics)]
    try:
        files.append(report.write_report(run))
    except LfadsxError as error:
        findings.append(no_page(error))
    text = methods(folder.info, metrics)
    return Outcome(text, files=files, findings=tuple(findings), seconds=time.monotonic() - began)


def attempt_page(failed: list[Finding], run: str | Path, data: Dataset) -> list[Path]:
    """Writes the page of a run and returns the file; if that fails, or without its packages, adds a finding instead."""
    try:
        report.check_packages()
    except MissingExtraError as error:
        failed.append(no_page(error))
        return []
    page = attempt(failed, "file", "report.html", lambda: report.write_report(run, data))
    return [] if page is None else [page]


def no_page(error: LfadsxError) -> Finding:
    """Returns a note that the report page is missing, and why."""
    return Finding("note", "no report page", None, None, "report", str(error))

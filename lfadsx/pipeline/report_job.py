"""The job that writes the reports of a run again: methods paragraph and page."""

from __future__ import annotations

import time
from pathlib import Path

from lfadsx.errors import MissingExtraError
from lfadsx.findings import Finding
from lfadsx.pipeline.outcome import Outcome
from lfadsx.report import write_report
from lfadsx.report.methods_paragraph import finished_metrics, methods, write_methods
from lfadsx.training import RunFolder


def report_run(run: str | Path) -> Outcome:
    """Writes the reports of a finished run again, from its folder; the text is the methods paragraph.

    Without the packages of the extra `report` only `report.md` is written, and a note names the extra.

    Raises:
        RunError: If the folder holds no finished run.
    """
    began, folder = time.monotonic(), RunFolder(run)
    metrics = finished_metrics(folder)
    files, findings = [write_methods(folder, metrics)], []
    try:
        files.append(write_report(run))
    except MissingExtraError as error:
        findings.append(Finding("note", "no report page", None, None, "report", str(error)))
    text = methods(folder.info, metrics)
    return Outcome(text, files=files, findings=tuple(findings), seconds=time.monotonic() - began)

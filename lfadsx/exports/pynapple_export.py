"""Results as objects of pynapple, one file for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfadsx.exports.folders import folder_of
from lfadsx.exports.tables_of_sessions import write_tables
from lfadsx.files import atomic_path
from lfadsx.findings import Finding
from lfadsx.results.by_session import SessionResults
from lfadsx.results.pynapple_objects import pynapple_objects
from lfadsx.results.session_clock import clock_findings, has_clock


def write_pynapple(folder: Path, sessions: Sequence[SessionResults]) -> tuple[list[Path], list[Finding]]:
    """Writes each object of `Posterior.to_pynapple` to an NPZ file; returns the files and what the user should know.

    pynapple itself writes the files, which `pynapple.load_file` reads. It keeps metadata as a pickle; the tables in CSV
    hold them, too.

    Args:
        folder: The folder; with several sessions, each has a folder in it.
        sessions: The results by session.

    Raises:
        MissingExtraError: If pynapple is not installed.
        LfadsxError: If the bin width is unknown.
    """
    written, findings = [], []
    for session in sessions:
        objects = pynapple_objects(session)
        own = folder_of(folder, session, sessions)
        for name, value in objects.items():
            with atomic_path(own / f"{name}.npz") as partial:
                value.save(str(partial))
            written.append(own / f"{name}.npz")
        written += write_tables(own, session, {name: f"{name}.npz" for name in objects})
        findings += clock_findings(session) if has_clock(session) else [_without_clock(session)]
    return written, findings


def _without_clock(session: SessionResults) -> Finding:
    sentence = (
        f"The time at which trials of {session.name!r} began is unknown, so times count from the event of each trial, "
        "and arrays are tensors of (time, trial, column)."
    )
    remedy = "To have times of the session, cut the recording again with `lfadsx prepare`."
    return Finding("note", "no clock", None, None, session.name, sentence, remedy)

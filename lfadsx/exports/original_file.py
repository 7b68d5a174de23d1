"""The recording that results came from: where it was, and whether a file is the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.results.by_session import SessionResults

SHOWN = 12
"""Digits of a SHA-256 in messages."""


def original_file(session: SessionResults, given: Sequence[Path]) -> Path:
    """Returns the NWB file that the trials of a session were cut from, with the recorded SHA-256.

    Args:
        session: The results of the session.
        given: Files that the user names; if there are none, the file is searched at its recorded place and in the
            current folder.

    Raises:
        DataError: If the results did not come from an NWB file, or no file has its content.
    """
    facts = _facts(session)
    name, wanted = facts["files"][0]["file"], facts["files"][0]["sha256"]
    places = list(given) or [Path(facts.get("path", name)), Path(name)]
    found: dict[Path, str] = {}
    for path in places:
        if path.is_file():
            found[path] = describe(path)["sha256"]
            if found[path] == wanted:
                return path
    if missing := [path for path in given if path not in found]:
        raise DataError(f"`source` must be the NWB file of session {session.name!r}, but {missing[0]} does not exist.")
    if not found:
        raise DataError(
            f"The NWB file of session {session.name!r} must be there, but {places[0]} does not exist. If it was moved, "
            "name it with `source`."
        )
    seen = " and ".join(f"{path} ({digest[:SHOWN]}...)" for path, digest in found.items())
    raise DataError(
        f"The NWB file of session {session.name!r} must be the one that the data were cut from, SHA-256 "
        f"{wanted[:SHOWN]}..., got {seen}. That is another file, or it was changed. Name the unchanged file with "
        "`source`, or prepare and infer the changed one."
    )


def _facts(session: SessionResults) -> dict[str, Any]:
    """Returns what is recorded of the recording; `made_from` is the record in a data file."""
    facts = session.posterior.source.get(session.name)
    facts = facts if isinstance(facts, dict) else {}
    facts = facts.get("made_from", facts)
    facts = facts if isinstance(facts, dict) else {}
    if facts.get("format") == "NWB" and facts.get("files"):
        return facts
    raise DataError(
        f"Results can be written only to the NWB file that they came from, but session {session.name!r} came from "
        f"{facts.get('format', 'other data')}. Export to matlab, csv or pynapple."
    )

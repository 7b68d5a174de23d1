"""Folders and files of exports: one for each session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfadsx.errors import LfadsxError
from lfadsx.results.by_session import SessionResults


def folder_of(folder: Path, session: SessionResults, sessions: Sequence[SessionResults]) -> Path:
    """Makes and returns the folder of a session: the folder itself, or one in it if there are several sessions."""
    own = folder if len(sessions) == 1 else folder / session.name
    own.mkdir(parents=True, exist_ok=True)
    return own


def files_of(path: Path, sessions: Sequence[SessionResults], ending: str) -> list[Path]:
    """Returns a file for each session and makes its folder.

    Args:
        path: A folder, whose files are named after the sessions; for one session also a file with the ending.
        sessions: The results by session.
        ending: Ending of the files, such as ".nwb".

    Raises:
        LfadsxError: If a file is named for several sessions.
    """
    is_file = path.suffix == ending and not path.is_dir()
    if is_file and len(sessions) > 1:
        raise LfadsxError(
            f"`out` must be a folder, because the results have {len(sessions)} sessions and each needs a file of its "
            f"own, got {path}. Give the name of a folder."
        )
    folder = path.parent if is_file else path
    folder.mkdir(parents=True, exist_ok=True)
    return [path] if is_file else [folder / f"{session.name}{ending}" for session in sessions]

"""What libraries raise for damaged files, turned into an error that says what to do; JSON files.

Libraries raise errors of many kinds for damage: `h5py` alone OSError, RuntimeError, KeyError, ValueError, TypeError and
UnicodeDecodeError. Readers name in one place what they read, and code of ours outside of it keeps its tracebacks.
"""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from lfadsx.errors import DataError, LfadsxError

WRITE_AGAIN = "Copy it again from its source, or write it again."

LARGEST_TEXT = 2**28
"""Bytes of the largest file of settings or facts that is read: 256 MiB."""


@contextlib.contextmanager
def readable(
    failure: str,
    remedy: str = WRITE_AGAIN,
    *,
    libraries: Collection[str] = (),
    error: type[LfadsxError] = DataError,
) -> Iterator[None]:
    """Turns what is raised for a damaged file in the block into an error that the user can understand.

    Example:
        >>> import lfadsx
        >>> from lfadsx.damaged_files import readable
        >>> try:
        ...     with readable("The file 'a.npy' cannot be read"):
        ...         raise EOFError("no data left")
        ... except lfadsx.DataError as error:
        ...     message = str(error)

    Args:
        failure: What has failed, such as "The file 'a.npy' cannot be read".
        remedy: What the user can do.
        libraries: Top-level packages such as "h5py". If given, only errors that arose in them are turned, because the
            block also holds code of ours, whose faults must show. If empty, the block does nothing but read.
        error: Class of the error.

    Raises:
        LfadsxError: Of the class `error`, if the block raised an exception. Errors of the library pass unchanged.
    """
    try:
        yield
    except LfadsxError:
        raise
    except MemoryError as cause:
        raise error(
            f"{failure}, because it needs more memory than is free ({cause}). Free memory, or read a smaller file. If "
            "the file is small, its sizes are damaged: write it again."
        ) from cause
    except Exception as cause:
        if libraries and not _arose_in(cause, libraries):
            raise
        raise error(f"{failure} ({_in_words(cause)}). {remedy}") from cause


def read_json(path: str | Path, remedy: str = WRITE_AGAIN, *, error: type[LfadsxError] = LfadsxError) -> dict[str, Any]:
    """Returns the object in a JSON file; nothing else is read from it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lfadsx.damaged_files import read_json
        >>> file = Path(tempfile.mkdtemp()) / "a.json"
        >>> _ = file.write_text('{"epochs": 5}')
        >>> read_json(file)
        {'epochs': 5}

    Args:
        path: The file.
        remedy: What the user can do if it cannot be read.
        error: Class of the error.

    Raises:
        LfadsxError: Of the class `error`, if the file cannot be read, is too large or does not hold a JSON object.
    """
    with readable(f"The file {path} cannot be read", remedy, error=error):
        found = json.loads(text_of(path))
    if not isinstance(found, dict):
        raise error(f"The file {path} must hold a JSON object, got {type(found).__name__}. {remedy}")
    return found


def text_of(path: str | Path) -> str:
    """Returns the text of a small file in UTF-8; call it inside `readable`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lfadsx.damaged_files import text_of
        >>> file = Path(tempfile.mkdtemp()) / "a.toml"
        >>> _ = file.write_text("epochs = 5")
        >>> text_of(file)
        'epochs = 5'

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large, or no text in UTF-8.
    """
    size = Path(path).stat().st_size
    if size > LARGEST_TEXT:
        raise ValueError(f"it must have at most {LARGEST_TEXT} bytes, but has {size}")
    return Path(path).read_text(encoding="utf-8")


def _arose_in(cause: BaseException, libraries: Collection[str]) -> bool:
    """Returns whether a function of ours called one of the packages, and the error came from there."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(cause.__traceback__)]
    packages = [module.partition(".")[0] for module in modules]
    ours = max((place for place, package in enumerate(packages) if package == "lfadsx"), default=-1)
    return not set(libraries).isdisjoint(packages[ours + 1 :])


def _in_words(cause: Exception) -> str:
    """Returns the message of an exception in one line, with its kind where the message alone says too little."""
    if isinstance(cause, OSError) and (cause.strerror or str(cause)):
        return " ".join((cause.strerror or str(cause)).split())[:300]
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"

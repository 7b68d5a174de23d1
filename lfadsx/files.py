"""Files that are written completely or not at all; JSON and CSV."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lfadsx.errors import LfadsxError, RunError

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
REMEDIES = {
    "Free space there": (errno.ENOSPC, errno.EDQUOT),
    "Raise the limit of file sizes (`ulimit -f`)": (errno.EFBIG,),
    "Get permission to write there": (errno.EACCES, errno.EPERM, errno.EROFS),
    "Its folder was deleted or renamed. Put the folder back": GONE,
}
"""What to do about errors of the operating system, by their numbers."""
NOT_POSSIBLE = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
"""Errors of file systems on which a folder, or a file that is only read, cannot be put on the disk."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of a file. When the block ends, the temporary file replaces the file.

    If the block raises an exception, the temporary file is deleted and the file does not change. That of a process that
    is killed is deleted by `remove_leftovers`. After a power cut there is the old or the new file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lfadsx.files import atomic_path
        >>> file = Path(tempfile.mkdtemp()) / "rates.txt"
        >>> with atomic_path(file) as partial:
        ...     _ = partial.write_text("1 2 3")
        >>> file.read_text()
        '1 2 3'

    Args:
        path: The file. The temporary name has the same ending, which some writers depend on.

    Raises:
        RunError: If the file cannot be written.
    """
    path = Path(path)
    # In the same folder, because moves between file systems are not atomic; with a different name in each process.
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with writing(path):
            yield partial
            put_on_disk(partial)
            os.replace(partial, path)
            put_on_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Says in words why a file or folder cannot be written.

    Raises:
        RunError: If the operating system refuses in the block to write `path`: full disk, missing permission, deleted
            folder and the like. Errors about files in other folders pass unchanged.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        number = _error_number(error)
        if isinstance(error, LfadsxError) or number is None or not _is_near(getattr(error, "filename", None), path):
            raise
        remedy = next((text for text, numbers in REMEDIES.items() if number in numbers), "Check the disk")
        rest = "." if number in GONE else ": what was saved before is unchanged."
        raise RunError(
            f"{path} cannot be written ({os.strerror(number)}). {remedy} and repeat the command{rest}"
        ) from error


def _is_near(named: Any, path: str | Path) -> bool:
    """Returns whether the path that an error names, if any, is in the folder of another path or contains it."""
    folder = Path(path).absolute().parent
    other = Path(named).absolute() if isinstance(named, str) else folder
    return folder in (other, *other.parents) or other in folder.parents


def _error_number(error: Exception) -> int | None:
    """Returns the operating system's number of an error, also of those of HDF5 and Orbax, which only name it."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"errno = (\d+)|os_error_code='(\d+)'", str(error))
    return int(found[1] or found[2]) if found else None


def put_on_disk(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk, where a power cut cannot reach them."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NOT_POSSIBLE:
            raise


def remove_leftovers(folder: str | Path) -> None:
    """Deletes the temporary files that killed processes have left in a folder and the folders in it."""
    for path in Path(folder).rglob(".*.*"):
        number = path.name.split(".")[1]
        if number.isdigit() and path.is_file() and not is_running(int(number)):
            path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Returns whether this computer runs a process with a number; True if that cannot be known."""
    if os.name != "posix":  # elsewhere, signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def check_writable(path: str | Path) -> None:
    """Checks, before any work, that a file can be created; folders that do not exist yet are fine.

    Raises:
        RunError: If the file is a folder, or the nearest folder that exists is not a folder or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise RunError(f"The output file must be a file, but {path} is a folder. Give the name of a file in it.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "is not writable" if nearest.is_dir() else "is a file"
        raise RunError(f"The output {path} cannot be written, because {nearest} {what}. Give another path.")


def write_text(path: str | Path, text: str) -> Path:
    """Writes a text file atomically and returns its path."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Writes a JSON file atomically and returns its path; values as in `to_json`."""
    return write_text(path, to_json(value))


def to_json(value: Any, other: Callable[[Any], str] = str) -> str:
    """Returns JSON text. NaN and infinity become null, NumPy arrays lists, dataclasses objects, paths text.

    Example:
        >>> import numpy as np
        >>> from lfadsx.files import to_json
        >>> to_json([np.float32(0.5), float("nan"), np.arange(2)]).split()
        ['[', '0.5,', 'null,', '[', '0,', '1', ']', ']']
    """
    return json.dumps(plain(value, other), indent=1, allow_nan=False)


def plain(value: Any, other: Callable[[Any], str] = str) -> Any:
    """Returns a value as numbers, text, None, lists and dictionaries; `other` makes text of all other objects."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name if isinstance(name, str | int) else str(name): plain(item, other) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, other) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else other(value)


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows with the same keys to a CSV file and returns its path; None and NaN become empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value

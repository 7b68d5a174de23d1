"""Files that are written completely or not at all; JSON and CSV."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lfadsx.errors import RunError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of a file. When the block ends, the temporary file replaces the file.

    If the block raises an exception, the temporary file is deleted and the file does not change.

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
    """
    path = Path(path)
    # In the same folder, because moves between file systems are not atomic; with a different name in each process.
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


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
        partial.write_text(text, encoding="utf-8")
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

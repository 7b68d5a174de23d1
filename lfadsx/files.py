"""Files that are whole or not there at all, and JSON that any program can read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside a file; what is written there becomes the file when the block ends.

    If the block raises, the temporary file is deleted and the file stays as it was.

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
        path: The file. The temporary name keeps its ending, which some writers go by.
    """
    path = Path(path)
    # Beside the file because a move between file systems is not atomic; each process of a run has a name of its own.
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Writes a text file at once and returns its path."""
    with atomic_path(path) as partial:
        partial.write_text(text)
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Writes a JSON file at once and returns its path; values as in `to_json`."""
    return write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Returns JSON text. NaN and infinity become null, NumPy's values plain ones, dataclasses objects, paths text.

    Example:
        >>> import numpy as np
        >>> from lfadsx.files import to_json
        >>> to_json([np.float32(0.5), float("nan"), np.arange(2)]).split()
        ['[', '0.5,', 'null,', '[', '0,', '1', ']', ']']
    """
    return json.dumps(plain(value), indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """Returns a value as JSON has it: numbers, text, None, lists and objects."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name if isinstance(name, str | int) else str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)

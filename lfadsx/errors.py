"""Errors that users can fix; every other exception is a fault of the library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LfadsxError(ValueError):
    """A mistake that the user can fix: a value, a name, a type, a file, a folder or a missing extra.

    The message names the requirement, the value found and the remedy. The command line prints it without a traceback
    and ends with exit code 2.

    Example:
        >>> import lfadsx
        >>> try:
        ...     lfadsx.TrainConfig(epochs=0)
        ... except lfadsx.LfadsxError as error:
        ...     message = str(error)
    """


class DataError(LfadsxError):
    """Wrong data, or a wrong description of data: a file, an array, a session, a split.

    Example:
        >>> import lfadsx
        >>> try:
        ...     lfadsx.data.read("no_such_file.h5")
        ... except lfadsx.DataError as error:
        ...     message = str(error)
    """


class RunError(LfadsxError):
    """A run folder that cannot be read, written or resumed."""


class CheckpointError(LfadsxError):
    """A checkpoint that is missing, damaged, or does not fit the model."""


class MissingExtraError(LfadsxError, ImportError):
    """A missing optional package; the message names the extra of lfadsx that installs it."""


class PartError(Exception):
    """An exception raised by a user's own part; the message names the part and its arguments.

    It is not an `LfadsxError`, because the traceback is needed to fix the part.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an exception says that the memory of the computer or of a device is full.

    Example:
        >>> from lfadsx.errors import is_out_of_memory
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("RESOURCE_EXHAUSTED: out of memory"))
        (True, True)
    """
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" for the valid name that is nearest to a misspelt one, or an empty text.

    Example:
        >>> from lfadsx.errors import nearest
        >>> nearest("factor", ["factors", "ic_dim"])
        " (did you mean 'factors'?)"
    """
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""

"""The errors that a user can mend; every other exception is a fault of the library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LfadsxError(ValueError):
    """A mistake that the user can mend: a value, a name, a type, a file, a folder or a missing extra.

    The message says what must hold, what was found and what to do. The command line prints it without a traceback
    and ends with exit code 2.

    Example:
        >>> import lfadsx
        >>> try:
        ...     lfadsx.TrainConfig(epochs=0)
        ... except lfadsx.LfadsxError as error:
        ...     message = str(error)
    """


class DataError(LfadsxError):
    """The data, or the description of them, are wrong: a file, an array, a session, a split.

    Example:
        >>> import lfadsx
        >>> try:
        ...     lfadsx.data.read("no_such_file.h5")
        ... except lfadsx.DataError as error:
        ...     message = str(error)
    """


class RunError(LfadsxError):
    """A run folder cannot be read, written or resumed as asked."""


class CheckpointError(LfadsxError):
    """A checkpoint is missing, damaged, or does not fit the model."""


class MissingExtraError(LfadsxError, ImportError):
    """An optional package is needed; the message names the extra of lfadsx that brings it."""


class PartError(Exception):
    """A part of the user's own raised an exception; the message names the part and what it was given.

    It is not an `LfadsxError`: the traceback is needed to mend the part.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" for the valid name that is nearest to a misspelt one, or an empty text.

    Example:
        >>> from lfadsx.errors import nearest
        >>> nearest("factor", ["factors", "ic_dim"])
        " (did you mean 'factors'?)"
    """
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""

"""The error that every mistake in a user's data raises."""

from __future__ import annotations


class DataError(ValueError):
    """A mistake in the user's data or in how they were described; the command line ends with exit code 2.

    Example:
        >>> from lfadsx.data import read
        >>> from lfadsx.errors import DataError
        >>> try:
        ...     read("no_such_file.h5")
        ... except DataError as error:
        ...     message = str(error)
    """

    exit_code = 2

"""Tables in text files: columns by name, as integers, real numbers or text, with missing values."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import numpy as np

from lfadsx.damaged_files import readable
from lfadsx.errors import DataError

DELIMITERS = "\t;,"
"""Characters that may stand between fields; the one that is found most often in the first line does."""

NOT_A_NUMBER = ("", "nan", "na", "n/a", "null")
"""Fields that are missing values among numbers; among text only the empty field is."""


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Returns the columns of a text file with a header, shape (row,) each.

    Columns of whole numbers are int64, other numbers float64 with NaN where they are missing, all else text.
    """
    names, delimiter = read_header(path)
    with _text(path), path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter=delimiter) if row][1:]
    for line, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise DataError(
                f"Every line of {path.name!r} must have {len(names)} fields, as the header has, got {len(row)} in row "
                f"{line}. Write missing values as empty fields."
            )
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: typed(column) for name, column in zip(names, columns, strict=True)}


def read_columns(path: Path, *wanted: str) -> list[np.ndarray]:
    """Returns some columns of a text file that may be long, shape (row,) each; numbers are float64."""
    names, delimiter = read_header(path)
    places = [names.index(name) for name in wanted]
    try:
        options = {"delimiter": delimiter, "quotechar": '"', "comments": None, "encoding": "utf-8-sig"}
        return list(np.loadtxt(path, skiprows=1, usecols=places, ndmin=2, **options).T)
    except ValueError:  # text among the numbers
        table = read_table(path)
        return [table[name] for name in wanted]


def read_header(path: Path) -> tuple[list[str], str]:
    """Returns the names of the columns of a text file, and the character between its fields."""
    if not path.is_file():
        raise DataError(f"The file {str(path)!r} must exist, but was not found. Check the name of the file.")
    with _text(path), path.open(newline="", encoding="utf-8-sig") as file:
        line = file.readline()
        delimiter = max(DELIMITERS, key=line.count)
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not any(names):
        raise DataError(f"The first line of {path.name!r} must name the columns, got an empty line. Add a header.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"The columns of {path.name!r} must have different names, got {twice!r} twice. Rename one.")
    return names, delimiter


def typed(fields: tuple[str, ...] | list[str]) -> np.ndarray:
    """Returns text fields as int64 if all are whole numbers, float64 with NaN if all are numbers, else as text."""
    fields = [field.strip() for field in fields]
    missing = np.array([field.lower() in NOT_A_NUMBER for field in fields], bool)
    there = [field for field, gone in zip(fields, missing, strict=True) if not gone]
    try:
        if not missing.any():
            return np.array([int(field) for field in there], np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        numbers = np.full(len(fields), np.nan)
        numbers[~missing] = np.array([float(field) for field in there])
        return numbers
    except ValueError:
        return np.array(fields)


def _text(path: Path) -> contextlib.AbstractContextManager[None]:
    return readable(f"The file {str(path)!r} cannot be read", "Save it as text in UTF-8.")


def column_of(names: list[str], wanted: tuple[str, ...], path: Path) -> str:
    """Returns the first of some column names that a file has."""
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise DataError(
            f"{path.name!r} must have one of the columns {', '.join(wanted)}, got {', '.join(names)}. Rename one."
        )
    return found

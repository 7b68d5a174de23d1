"""Columns of the tables in NWB files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def ragged(column: Any) -> list[np.ndarray]:
    """Returns the entries of a column, one array a row; a ragged column is stored as ends of stretches of another."""
    if not hasattr(column, "target"):
        return [np.atleast_1d(entry) for entry in np.asarray(column.data[:])]
    ends, flat = np.asarray(column.data[:], np.int64), np.asarray(column.target.data[:])
    return np.split(flat, ends[:-1]) if len(ends) else []


def columns_of(table: Any, skipped: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the columns of a table with one number or text a row, and the names of all others."""
    columns, left_out = {}, []
    for name in table.colnames:
        if name in skipped:
            continue
        column = table[name]
        single = not hasattr(column, "target") and len(getattr(column.data, "shape", (0,))) == 1
        values = tidy(column.data) if single else None
        if values is None:
            left_out.append(name)
        else:
            columns[name] = values
    return columns, left_out


def tidy(data: Any) -> np.ndarray | None:
    """Returns numbers, booleans or text, shape (row,), or None for anything else."""
    values = np.asarray(data[:])
    if values.dtype.kind in "OS" and all(isinstance(value, str | bytes) for value in values.ravel()):
        values = np.array([v.decode() if isinstance(v, bytes) else v for v in values.ravel()], str).reshape(
            values.shape
        )
    return values if values.ndim == 1 and values.dtype.kind in "iufbU" else None

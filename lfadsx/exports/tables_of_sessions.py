"""Tables of trials, units and arrays beside the exported numbers, as CSV and JSON that any program reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.files import atomic_path, write_json
from lfadsx.results.by_session import SessionResults


def write_tables(folder: Path, session: SessionResults, files: Mapping[str, str]) -> list[Path]:
    """Writes `trials.csv`, `units.csv`, `arrays.csv` and `about.json`, and returns them.

    Args:
        folder: The folder; it must exist.
        session: The results of a session.
        files: By name of the array, the file that holds it.
    """
    trials = {"trial": np.arange(session.posterior.n_trials), **session.trials()}
    arrays = [
        (name, files[name], array.unit, array.dims, array.description)
        for name, array in session.arrays.items()
        if name in files
    ]
    return [
        _write_columns(folder / "trials.csv", trials),
        _write_columns(folder / "units.csv", session.units()),
        write_rows(folder / "arrays.csv", ("array", "file", "unit", "dimensions", "description"), arrays),
        write_json(folder / "about.json", session.facts()),
    ]


def write_rows(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Writes rows of text and numbers with a header to a CSV file and returns it."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _write_columns(path: Path, columns: Mapping[str, np.ndarray]) -> Path:
    return write_rows(path, columns, zip(*map(_cells, columns.values()), strict=True))


def _cells(values: np.ndarray) -> list[Any]:
    """Returns cells of CSV: 1 and 0 for booleans, empty for NaN."""
    if values.dtype.kind == "b":
        return values.astype(int).tolist()
    return ["" if value != value else value for value in values.tolist()]

"""Results as a folder of CSV tables, one for each array."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lfadsx.exports.folders import folder_of
from lfadsx.exports.tables_of_sessions import write_tables
from lfadsx.files import atomic_path
from lfadsx.results.by_session import SessionResults


def write_csv_folder(folder: Path, sessions: Sequence[SessionResults]) -> list[Path]:
    """Writes each array to a table with a column for each channel and a row for each bin, and returns the files.

    Rows begin with the row of the trial in `trials.csv`, its id, and the middle of the bin from the event in seconds.
    Bins after a trial's end have no row. Arrays without a time axis have a row for each trial.

    Args:
        folder: The folder; with several sessions, each has a folder in it.
        sessions: The results by session.
    """
    written = []
    for session in sessions:
        own = folder_of(folder, session, sessions)
        files = {name: f"{name}.csv" for name, array in session.arrays.items() if _is_table(array.dims)}
        written += [_write_array(own / file, session, name) for name, file in files.items()]
        written += write_tables(own, session, files)
    return written


def _is_table(dims: str) -> bool:
    return len(dims.split()) == 2 or dims.startswith("trial time ")


def _write_array(path: Path, session: SessionResults, name: str) -> Path:
    timed = session.arrays[name].dims.startswith("trial time ")
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(_line(["trial", "trial_id", *(["time"] if timed else []), *session.columns(name)]) + "\n")
        for line in _lines(session, session.arrays[name].values, timed):
            file.write(line)
    return path


def _lines(session: SessionResults, values: np.ndarray, timed: bool) -> Iterator[str]:
    """Yields the rows of an array, with as many digits as give the same numbers again; NaN becomes an empty cell."""
    digits = 9 if values.dtype.itemsize <= 4 else 17
    pattern = ",".join([f"%.{digits}g"] * values.shape[-1]) + "\n"
    times = [f"{time:.9g}," for time in session.posterior.times] if timed else [""]
    lengths = session.posterior.length if timed else np.ones(session.posterior.n_trials, int)
    for trial, (trial_id, n_bins) in enumerate(zip(session.posterior.trial_id.tolist(), lengths, strict=True)):
        start = _line([trial, trial_id]) + ","
        rows = np.atleast_2d(values[trial])[:n_bins].tolist()
        yield "".join(
            start + time + (pattern % tuple(row)).replace("nan", "") for time, row in zip(times, rows, strict=False)
        )


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()

"""Tables in text files that tell more about units and trials, joined by their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.errors import DataError
from lfadsx.recordings.tables import column_of, read_table

UNIT_COLUMNS = ("unit", "unit_id", "id", "cluster_id")
TRIAL_COLUMNS = ("trial_id", "trial", "trial_number", "id")


def units_from(path: Path, unit_id: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns of a table of units in the order of `unit_id`, shape (unit,) each."""
    table = read_table(path)
    ids = table.pop(column_of(list(table), UNIT_COLUMNS, path))
    return {name: values[_places(ids, unit_id, "unit", path)] for name, values in table.items()}


def trials_from(path: Path, trials: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the columns of trials with those of a table, joined by the id of the trial, else by row."""
    table = read_table(path)
    key = next((name for name in TRIAL_COLUMNS if name in table), None)
    trial_id = trials["trial_id"]
    if key is not None:
        rows = _places(table.pop(key), trial_id, "trial", path)
    elif len(next(iter(table.values()))) == len(trial_id):
        rows = np.arange(len(trial_id))
    else:
        raise DataError(
            f"{path.name!r} must have one row for each of the {len(trial_id)} trials, or a column 'trial_id', got "
            f"{len(next(iter(table.values())))} rows. Add the ids."
        )
    return {name: values[rows] for name, values in table.items()} | trials


def _places(ids: np.ndarray, wanted: np.ndarray, what: str, path: Path) -> np.ndarray:
    """Returns the row of each wanted id in a table."""
    place = {str(one): row for row, one in enumerate(ids.tolist())}
    missing = [str(one) for one in wanted.tolist() if str(one) not in place]
    if missing or len(place) < len(ids):
        raise DataError(
            f"{path.name!r} must have one row for each {what}, but lacks {some(missing) or 'none'} and has "
            f"{len(ids) - len(place)} ids twice. Correct the column of ids."
        )
    return np.array([place[str(one)] for one in wanted.tolist()])

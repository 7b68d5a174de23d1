"""Tables with a row for each event, turned into tables with a row for each trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lfadsx.recordings.recording import MISSING
from lfadsx.recordings.tables import column_of

TIME_COLUMNS = ("sample", "samples", "time", "times", "time_s", "timestamp")
TRIAL_COLUMNS = ("trial_id", "trial", "trial_number")


def is_by_event(table: dict[str, np.ndarray]) -> bool:
    """Whether a table has a row for each event, with the name of the event in the column "event"."""
    return "event" in table


def by_trial(table: dict[str, np.ndarray], path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns a table with a row for each trial and a column for each event, and the names of the events.

    Trials are in the order of their first row. An event without a row is missing (NaN, `MISSING` for integers). If an
    event occurs twice in a trial, the first is used. Other columns have the value of the trial's first row.

    Args:
        table: Columns time, event, trial, and others, shape (event,) each.
        path: File of the table, for messages.
    """
    own_time = column_of(list(table), TIME_COLUMNS, path)
    own_trial = column_of(list(table), TRIAL_COLUMNS, path)
    times, event = table[own_time], table["event"].astype(str)
    found, first, trial = np.unique(table[own_trial], return_index=True, return_inverse=True)
    order = np.argsort(first)
    row = np.argsort(order)[trial]
    columns = {"trial_id": found[order]}
    names = tuple(dict.fromkeys(event.tolist()))
    missing = np.nan if times.dtype.kind == "f" else MISSING
    for name in names:
        own = np.flatnonzero(event == name)[::-1]  # the first of a trial is written last
        columns[name] = np.full(len(found), missing, times.dtype)
        columns[name][row[own]] = times[own]
    others = {
        name: values[first[order]] for name, values in table.items() if name not in (own_time, own_trial, "event")
    }
    return columns | {name: values for name, values in others.items() if name not in columns}, names

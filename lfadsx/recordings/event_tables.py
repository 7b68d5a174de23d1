"""Tables of trials beside a recording; those with a row for each event get a row for each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lfadsx.errors import DataError
from lfadsx.recordings.recording import MISSING, no_trials
from lfadsx.recordings.tables import column_of, read_table

TIME_COLUMNS = ("sample", "samples", "time", "times", "time_s", "timestamp")
TRIAL_COLUMNS = ("trial_id", "trial", "trial_number")


class Events(NamedTuple):
    """A table with a row for each trial.

    Attributes:
        table: Columns of the table, shape (trial,) each.
        names: Names of its events; None if unknown.
        files: The file that it is from.
        missing: If no table was found, what was looked for, in words.
    """

    table: Mapping[str, Any]
    names: tuple[str, ...] | None
    files: list[Path]
    missing: str = ""


def read_events(
    trials: Mapping[str, Any] | str | Path | None, places: Sequence[Path], names: Sequence[str], of: str
) -> Events:
    """Returns the table of trials beside a recording; without `trials` and a file it is empty.

    Args:
        trials: The table, its file, or None for a file in one of the places.
        places: Folders in which files are looked for.
        names: Names of files that are tried if `trials` is None.
        of: What the table belongs to, for messages.

    Raises:
        DataError: If the file is missing or cannot be read.
    """
    if trials is not None and not isinstance(trials, str | Path):
        return Events(trials, None, [])
    wanted = names if trials is None else (Path(trials),)
    candidates = [*map(Path, wanted)] * (trials is not None) + [place / name for name in wanted for place in places]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        missing = (
            f"{of[:1].upper() + of[1:]} needs a table of trials with the times of events, found no "
            f"{' or '.join(map(str, wanted))}. Give one as `trials`, such as events.csv."
        )
        if trials is not None:
            raise DataError(missing)
        return Events(no_trials(), None, [], missing)
    table, events = read_table(path), None
    if is_by_event(table):
        table, events = by_trial(table, path)
    return Events(table, events, [path])


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


def joined_by_id(events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns one row for each trial id that any event has, in order of the first event, with NaN for missing ones."""
    every = np.concatenate([ids for ids, _ in events.values()])
    first = np.sort(np.unique(every, return_index=True)[1])
    trial_id = every[first]
    columns = {"trial_id": trial_id}
    place = {trial: row for row, trial in enumerate(trial_id.tolist())}
    for name, (ids, times) in events.items():
        columns[name] = np.full(len(trial_id), np.nan)
        columns[name][[place[trial] for trial in ids.tolist()]] = times
    return columns

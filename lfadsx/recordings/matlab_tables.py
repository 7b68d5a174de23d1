"""Tables in MATLAB files: from structs and vectors to columns of trials and units, found by their names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.recordings.matlab_values import Unreadable, Value

TRIAL_ID = ("trialid", "trialnumber", "trialnum", "trialno", "trial", "id")
START = ("starttime", "start", "trialstart", "trialstarttime", "tstart", "begintime")
STOP = ("stoptime", "stop", "endtime", "end", "trialend", "trialstop", "trialendtime", "tstop", "tend")
SPIKES = ("spikes", "spiketimes", "spiketime", "spiketimesms", "spikesms", "spk", "spks", "spiketrains", "timestamps")
OF_TRIALS = (*TRIAL_ID[:5], *START, *STOP)
UNIT_ID = ("unitid", "unitids", "unitnumber", "clusterid", "clusterids", "neuronid", "neuronids", "cellid", "id")
AREA = ("unitarea", "unitareas", "area", "areas", "brainarea", "brainareas", "region", "regions", "brainregion")
OBSERVED = ("obsintervals", "observedintervals", "observed", "recordedintervals", "recorded")
"""Names by which a field is known, in small letters without underscores."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A struct array, or a struct of vectors, as columns.

    Attributes:
        name: Name of the variable.
        n: Number of rows.
        columns: One number or text for each row, shape (row,); a missing number is NaN, a missing text "".
        arrays: One numeric array for each row.
        cells: One cell of numeric vectors for each row, all of one size: spikes by unit.
        left_out: Fields that are none of these, and why.
    """

    name: str
    n: int
    columns: dict[str, np.ndarray]
    arrays: dict[str, list[np.ndarray]]
    cells: dict[str, list[np.ndarray]]
    left_out: dict[str, str]

    @property
    def vectors(self) -> dict[str, list[np.ndarray]]:
        """The arrays that are vectors in every row, such as spike times of one unit."""
        return {name: arrays for name, arrays in self.arrays.items() if all(map(is_vector, arrays))}

    def find(self, names: Sequence[str]) -> str | None:
        """Returns the first column that has one of the names, or None."""
        return find(self.columns, names)


def plain(name: str) -> str:
    """Returns a name in small letters without underscores."""
    return name.replace("_", "").lower()


def find(fields: Iterable[str], names: Sequence[str]) -> str | None:
    """Returns the field with the first of the names that any field has, or None."""
    known = {plain(field): field for field in reversed(list(fields))}
    return next((known[name] for name in names if name in known), None)


def last_word(name: str) -> str:
    """Returns the last word of a name in small letters, a unit apart: "time" of `handTimeMs`, "on" of `target_on`."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    words = [word for word in words if word not in ("ms", "msec", "s", "sec")]
    return words[-1] if words else ""


def in_milliseconds(name: str) -> bool:
    """Returns whether a name ends in ms or msec, as in `spikeTimesMs` and `go_cue_ms`."""
    return re.search(r"(_|[a-z0-9](?=M))(ms|msec|Ms|MS|Msec)$", name) is not None


def numeric(value: Value) -> bool:
    """Returns whether a value is an array of real numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iufb"


def is_vector(value: Value) -> bool:
    """Returns whether a value is a numeric array with one long axis at most; an empty array counts."""
    return numeric(value) and (value.size == 0 or max(value.shape) == value.size)


def is_cell(value: Value) -> bool:
    """Returns whether a value is a cell array."""
    return isinstance(value, np.ndarray) and value.dtype == object


def vector_cell(value: Value) -> bool:
    """Returns whether a value is a cell array of numeric vectors only, such as spike times by unit."""
    return is_cell(value) and value.size > 0 and all(is_vector(item) for item in value.ravel())


def texts(value: Value) -> np.ndarray | None:
    """Returns a cell of texts, or rows of text, as an array (entry,); None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value.ravel()
    if is_cell(value) and value.size and all(isinstance(item, str) for item in value.ravel()):
        return np.array([str(item) for item in value.ravel("F")])
    return None


def entries(value: Value) -> np.ndarray | None:
    """Returns a vector of numbers or a list of texts as an array (entry,); None for anything else."""
    return tidy(value.ravel()) if is_vector(value) and value.size else texts(value)


def tidy(values: np.ndarray) -> np.ndarray:
    """Returns whole numbers as integers: MATLAB stores ids and labels as doubles."""
    if values.dtype.kind == "f" and len(values) and np.isfinite(values).all() and (values == np.round(values)).all():
        return values.astype(np.int64) if np.abs(values).max() < 2**53 else values
    return values


def table_of(name: str, value: Value) -> Table | None:
    """Returns a struct array, or a struct of vectors of one length, as a table; None for anything else."""
    if isinstance(value, list) and value:
        fields = dict.fromkeys(field for row in value for field in row)
        return _table(name, len(value), {field: [row.get(field, "") for row in value] for field in fields})
    if isinstance(value, dict) and find(value, SPIKES) and any(map(vector_cell, value.values())):
        return _table(name, 1, {field: [item] for field, item in value.items()})  # a single trial
    if not isinstance(value, dict):
        return None
    found = {field: column for field, item in value.items() if (column := entries(item)) is not None}
    trial = find(found, OF_TRIALS)
    if trial is None or len(found[trial]) < 2:
        return None
    n = len(found[trial])
    return Table(name, n, {field: column for field, column in found.items() if len(column) == n}, {}, {}, {})


def _table(name: str, n: int, fields: Mapping[str, list[Value]]) -> Table:
    table = Table(name, n, {}, {}, {}, {})
    for field, values in fields.items():
        column = _column(values)
        if column is not None:
            table.columns[field] = column
        elif all(map(vector_cell, values)) and len({value.size for value in values}) == 1:
            table.cells[field] = [value.ravel("F") for value in values]
        elif all(map(numeric, values)):
            table.arrays[field] = values
        else:
            table.left_out[field] = _why(values)
    return table


def _column(values: list[Value]) -> np.ndarray | None:
    """Returns one number or text for each row, or None if the values are more than that."""
    empty = [isinstance(value, np.ndarray) and value.size == 0 for value in values]
    if any(isinstance(value, str) and value for value in values):
        if all(isinstance(value, str) or none for value, none in zip(values, empty, strict=True)):
            return np.array([value if isinstance(value, str) else "" for value in values])
        return None
    single = [numeric(value) and value.size == 1 for value in values]
    blank = [isinstance(value, str) for value in values]
    if not any(single) or not all(map(any, zip(single, empty, blank, strict=True))):
        return None
    numbers = [value.ravel()[0] if one else np.nan for value, one in zip(values, single, strict=True)]
    return tidy(np.array(numbers))


def _why(values: list[Value]) -> str:
    unreadable = next((value for value in values if isinstance(value, Unreadable)), None)
    if unreadable is not None:
        return f"of class {unreadable.kind}; in MATLAB use {unreadable.remedy}"
    return "of several kinds or sizes"


def facts_of(variables: Mapping[str, Value]) -> dict[str, Any]:
    """Returns all variables and, beside them, the fields of every struct, by name."""
    facts = dict(variables)
    for value in variables.values():
        if isinstance(value, dict):
            facts |= {name: item for name, item in value.items() if name not in facts}
    return facts


def unit_columns(facts: Mapping[str, Any], n_units: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns ids and columns of the units: their area, and other vectors that are named after units.

    Without ids the units are numbered from 1, as in MATLAB.
    """
    fits = {}
    for name, value in facts.items():
        column = entries(value)
        if column is not None and len(column) == n_units:
            fits[name] = column
    id_name, area_name = find(fits, UNIT_ID), find(fits, AREA)
    columns = {"area": fits[area_name]} if area_name else {}
    for name, column in fits.items():
        if name not in (id_name, area_name) and plain(name).startswith("unit"):
            columns[name] = column
    return (fits[id_name] if id_name else np.arange(1, n_units + 1)), columns


def observed_intervals(facts: Mapping[str, Any]) -> tuple[str, np.ndarray] | None:
    """Returns name and values of the recorded intervals, shape (interval, 2), or None without them."""
    name = find((name for name, value in facts.items() if numeric(value) and value.shape[-1:] == (2,)), OBSERVED)
    return None if name is None else (name, np.asarray(facts[name], np.float64).reshape(-1, 2))

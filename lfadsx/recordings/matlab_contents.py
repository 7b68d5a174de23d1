"""What a MATLAB file holds, and which of its variables hold spikes in which form."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lfadsx.data.data_findings import some
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings import matlab_tables as tables
from lfadsx.recordings.matlab_tables import Table
from lfadsx.recordings.matlab_values import MatlabFile, Unreadable

MOST_EXAMINED = 10**8
"""Entries of a variable above which it is left out: raw voltages, not spike times."""

FORMS = {
    "units": "spike times of the whole session by unit",
    "trials": "spike times by trial",
    "cell": "spike times by unit and trial in a cell",
    "raster": "counts by unit and bin of each trial",
    "counts": "counts",
}
"""What a variable may hold, the form that is cut least first."""


RASTERS = (*tables.SPIKES, "data", "raster", "rasters", "spikeraster", "spikerasters", "binnedspikes", "counts")
"""Names of fields that may hold counts by unit and bin, in small letters without underscores."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a MATLAB file holds, before one of its forms is chosen.

    Attributes:
        path: The file.
        variables: All variables but arrays of three axes and very large ones.
        shapes: Size of every variable.
        tables: Struct arrays and structs of vectors.
        forms: Form of each variable that holds spikes, the form that is cut least first.
    """

    path: Path
    variables: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    tables: dict[str, Table]
    forms: dict[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        """All variables, the fields of all structs, and the columns of all tables but that of trials, by name."""
        facts, trials = tables.facts_of(self.variables), self.trial_table
        for table in self.tables.values():
            if table is not trials:
                facts = {**table.columns, **facts}
        return facts

    @property
    def trial_table(self) -> Table | None:
        """The table of trials: the one with spikes by trial, else the first with ids or times of trials."""
        candidates = [table for name, table in self.tables.items() if self.forms.get(name) != "units"]
        with_spikes = [table for table in candidates if self.forms.get(table.name) == "trials"]
        return next(iter([*with_spikes, *(table for table in candidates if table.find(tables.OF_TRIALS))]), None)


def examine(file: MatlabFile, path: Path) -> Contents:
    """Reads what may be spikes, trials or units, and tells which variable has which form."""
    small = [name for name, shape in file.shapes.items() if len(shape) < 3 and math.prod(shape) <= MOST_EXAMINED]
    variables = {name: file.read(name) for name in small}
    made = {name: tables.table_of(name, value) for name, value in variables.items()}
    found = {name: table for name, table in made.items() if table is not None}
    forms = {name: "counts" for name, shape in file.shapes.items() if len(shape) == 3}
    for name, value in variables.items():
        if name in found and found[name].cells:
            forms[name] = "trials"
        elif name in found and tables.find(found[name].vectors, tables.SPIKES):
            timed = found[name].find((*tables.START, *tables.STOP))
            forms[name] = "trials" if timed else "units"
        elif name in found and raster_field(found[name]) or tables.is_cell(value) and _are_rasters(value.ravel()):
            forms[name] = "raster"
        elif tables.vector_cell(value):
            forms[name] = "cell" if min(value.shape) > 1 else "units"
    ranked = sorted(forms.items(), key=lambda item: list(FORMS).index(item[1]))
    return Contents(path, variables, file.shapes, found, dict(ranked))


def raster_field(table: Table) -> str | None:
    """Returns the field of a table that holds counts by unit and bin, or None."""
    return tables.find((name for name, arrays in table.arrays.items() if _are_rasters(arrays)), RASTERS)


def _are_rasters(values: Iterable[Any]) -> bool:
    """Returns whether values are arrays of two axes, one of which has the same size in all, and not all vectors."""
    arrays = list(values)
    if not arrays or not all(tables.numeric(array) and array.ndim == 2 for array in arrays):
        return False
    equal = any(len({array.shape[axis] for array in arrays}) == 1 for axis in (0, 1))
    return equal and not all(map(tables.is_vector, arrays))


def choose_variable(contents: Contents, variable: str | None) -> str:
    """Returns the variable that holds the spikes: the one named, else the one that is cut least."""
    if variable is None and contents.forms:
        return next(iter(contents.forms))
    if variable is not None and variable in contents.forms:
        return variable
    found = [f"{name!r} ({FORMS[form]})" for name, form in contents.forms.items()]
    found = found or [repr(name) for name in contents.shapes]
    unreadable = _unreadable(contents)
    raise DataError(
        f"{contents.path.name!r} must hold spikes in one of these forms: a struct array of trials or of units with a "
        "field of spike times, a cell of spike times by unit and trial, a raster for each trial, or counts with three "
        "axes. Found "
        f"{some(found) or 'no variables'}{f' ({some(unreadable, 3)})' if unreadable else ''}. "
        "Name one of them with `variable`, or save one of these forms."
    )


def missing_table(contents: Contents, name: str) -> str:
    """Returns what a file without a table of trials should hold, in words; `name` is the variable with the spikes."""
    return (
        f"{contents.path.name!r} needs a table of trials beside {name!r}: a struct array, or a struct of vectors, "
        f"with fields such as 'trialID', 'startTime' and 'goCue'. Found {some(list(contents.shapes))}. "
        "Add one, or use `from_spike_times` with your own table."
    )


def notes(contents: Contents, name: str) -> list[Finding]:
    """Returns which other forms of the data, and which unreadable fields, are left out beside the variable `name`."""
    where, found = contents.path.name, []
    others = [f"{other!r} ({FORMS[form]})" for other, form in contents.forms.items() if other != name]
    if others:
        read = f"{name!r} ({FORMS[contents.forms[name]]})"
        sentence = f"{where!r} holds the data in several forms; {read} is read, not {some(others)}."
        found.append(Finding("note", "several forms", len(others) + 1, 1, where, sentence, "Choose with `variable`."))
    for text in _unreadable(contents):
        found.append(Finding("note", "unread columns", 1, 0, where, f"Left out of {where!r}: {text}."))
    return found


def _unreadable(contents: Contents) -> list[str]:
    """Returns in words which variables and fields cannot be read, and how to save them."""
    fields = [
        f"field {field!r} of {name!r} is {why}"
        for name, table in contents.tables.items()
        for field, why in table.left_out.items()
    ]
    variables = [
        f"variable {name!r} is of class {value.kind}; in MATLAB use {value.remedy}"
        for name, value in contents.variables.items()
        if isinstance(value, Unreadable)
    ]
    return [*variables, *fields]

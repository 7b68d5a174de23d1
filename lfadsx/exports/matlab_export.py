"""Results as a struct in a MATLAB file of version 5."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.errors import LfadsxError
from lfadsx.files import atomic_path, plain
from lfadsx.results.by_session import SessionResults

VARIABLE = "lfads"
"""Name of the variable in the file."""
LARGEST = 2**31 - 1
"""Bytes that one variable of a MATLAB file of version 5 can hold."""
LONGEST = 63
"""Letters of the longest name in MATLAB."""


def write_matlab(path: Path, sessions: Sequence[SessionResults]) -> list[Path]:
    """Writes the struct `lfads`, with one element for each session, and returns the file.

    Arrays have the axes (trial, time, column). `columns`, `unit`, `dims` and `description` are structs with a field for
    each array. Bins after a trial's end hold NaN.

    Raises:
        LfadsxError: If the arrays are too large for this format.
    """
    from scipy.io import savemat

    _check_size(sessions)
    structs = [_struct(session) for session in sessions]
    names = list(dict.fromkeys(name for struct in structs for name in struct))
    elements = np.empty((1, len(structs)), [(name, object) for name in names])
    for number, struct in enumerate(structs):
        for name in names:
            elements[name][0, number] = struct.get(name, np.zeros((0, 0)))
    with atomic_path(path) as partial:
        savemat(partial, {VARIABLE: elements}, do_compression=True, long_field_names=True, oned_as="column")
    return [path]


def _check_size(sessions: Sequence[SessionResults]) -> None:
    sizes: dict[str, int] = {}
    for name, array in (item for session in sessions for item in session.arrays.items()):
        sizes[name] = sizes.get(name, 0) + array.values.nbytes
    if sum(sizes.values()) > LARGEST:
        each = ", ".join(f"{name} {size / 1e9:.1f} GB" for name, size in sizes.items())
        raise LfadsxError(
            f"The arrays must have less than 2 GB together, which is the limit of MATLAB files of version 5, got "
            f"{sum(sizes.values()) / 1e9:.1f} GB: {each}. Name fewer with `arrays`, take one split with `split`, or "
            "read posterior.h5 in MATLAB with h5read."
        )


def _struct(session: SessionResults) -> dict[str, Any]:
    """Returns the fields of the struct of a session."""
    arrays = {field_name(name): (name, array) for name, array in session.arrays.items()}
    table = {name: _column(values) for name, values in session.trials().items()}
    units = {name: _column(values) for name, values in session.units().items()}
    facts = session.facts() | {"source": json.dumps(plain(session.posterior.source))}
    return {
        "session": session.name,
        "time": session.posterior.times[None, :].astype(float),
        "time_unit": "bins" if session.posterior.time.bin_width is None else "s",
        "trials": table,
        "units": units,
        **{field: array.values for field, (_, array) in arrays.items()},
        "columns": {field: np.array(session.columns(name), object)[None, :] for field, (name, _) in arrays.items()},
        "unit": {field: array.unit for field, (_, array) in arrays.items()},
        "dims": {field: np.array(array.dims.split(), object)[None, :] for field, (_, array) in arrays.items()},
        "description": {field: array.description for field, (_, array) in arrays.items()},
        "about": {name: np.zeros((0, 0)) if value is None else value for name, value in facts.items()},
    }


def field_name(name: str) -> str:
    """Returns a name that MATLAB takes for a field.

    Example:
        >>> from lfadsx.exports.matlab_export import field_name
        >>> field_name("left emg-1_rates"), field_name("2p_rates")
        ('left_emg_1_rates', 'x2p_rates')
    """
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return (name if name[:1].isalpha() else f"x{name}")[:LONGEST]


def _column(values: np.ndarray) -> np.ndarray:
    """Returns a column vector: numbers, or a cell of text."""
    return (values.astype(object) if values.dtype.kind in "OSU" else values)[:, None]

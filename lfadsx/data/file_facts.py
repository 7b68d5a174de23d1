"""Single facts of a file, such as the bin width, in the many ways in which other programs store them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import h5py
import numpy as np

from lfadsx.data.hdf5_files import as_text
from lfadsx.errors import DataError

SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6}
"""Units of time in text such as "10 ms", in seconds."""

NUMBER = re.compile(r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ]*)\s*$")


def one_value(value: Any, label: str) -> Any:
    """Returns a fact that is stored as a scalar or as an array of one element; None for an empty one."""
    if value is None or isinstance(value, h5py.Empty) or np.size(value) == 0:
        return None
    if np.size(value) != 1:
        raise DataError(f"{label} must be one number, got shape {np.shape(value)}. Store it as a scalar.")
    value = np.ravel(np.asarray(value, object if isinstance(value, str | bytes) else None))[0]
    return as_text(value) if isinstance(value, str | bytes) else value


def number_in(value: Any, label: str) -> float | None:
    """Returns a number, also from text, without a unit; None if the value is empty."""
    return _number(value, label, {"": 1.0}, "a number")


def seconds_in(value: Any, label: str) -> float | None:
    """Returns a time in seconds; text may name s, ms or us, such as "10 ms"."""
    return _number(value, label, SECONDS, "a number of seconds")


def text_in(value: Any, label: str) -> str | None:
    """Returns text from text, bytes or an array of one of them; None if there is nothing."""
    found = one_value(value, label)
    return None if found is None else str(found)


def names_in(value: Any) -> tuple[str, ...]:
    """Returns names from a list, from a (1, n) array as MATLAB writes it, or from one text with commas."""
    if isinstance(value, str | bytes):
        return tuple(name.strip() for name in as_text(value).split(","))
    return tuple(as_text(name) for name in np.ravel(np.asarray(value)).tolist())


def spelt_as(value: str, allowed: Collection[str]) -> str:
    """Returns the allowed value that differs only in upper and lower case, or the value itself."""
    return next((known for known in allowed if known.lower() == value.strip().lower()), value)


def _number(value: Any, label: str, units: dict[str, float], what: str) -> float | None:
    found = one_value(value, label)
    if found is None:
        return None
    factor = 1.0
    if isinstance(found, str):
        match = NUMBER.match(found)
        if match is None or match[2] not in units:
            raise DataError(f"{label} must be {what}, got the text {found!r}. Store it as a number.")
        found, factor = match[1], units[match[2]]
    try:
        number = float(found) * factor
    except (TypeError, ValueError) as error:
        raise DataError(f"{label} must be {what}, got {found!r}. Store it as a number.") from error
    if not np.isfinite(number):
        raise DataError(f"{label} must be finite, got {number}. Store {what}, or leave it out.")
    return number

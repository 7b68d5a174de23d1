"""Condition labels of trials: numbers or text, and one representation of a missing label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from lfadsx.errors import DataError


def has_label(condition: Shaped[np.ndarray, " trial"]) -> Bool[np.ndarray, " trial"]:
    """Returns True for trials with a condition; NaN, None and empty text are missing labels."""
    if condition.dtype.kind == "f":
        return ~np.isnan(condition)
    if condition.dtype.kind not in "OSU":
        return np.ones(len(condition), bool)
    # NaN is the only label that differs from itself.
    return np.array([label is not None and label == label and label not in ("", b"") for label in condition], bool)


def tidy_labels(values: Sequence[Any] | np.ndarray, label: str) -> np.ndarray | None:
    """Returns the conditions of trials, shape (trial,), with missing labels (None, NaN, blank text) as "" or NaN.

    Returns None if all labels are missing; `label` is the name of the conditions in messages.
    """
    if isinstance(values, np.ndarray) and (values.dtype.kind in "iub" or values.ndim != 1):
        return values
    # Taken one by one, because NumPy turns a NaN among text into the text "nan".
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    items = [value.decode() if isinstance(value, bytes) else value for value in items]
    there = np.array([not _is_blank(value) for value in items], bool)
    kept = [value for value, exists in zip(items, there, strict=True) if exists]
    if not kept:
        return None
    other = next((value for value in kept if isinstance(value, str) != isinstance(kept[0], str)), None)
    if other is not None:
        raise DataError(f"{label} must hold numbers only, or text only, got {kept[0]!r} and {other!r}.")
    found = np.asarray(kept)
    if found.dtype.kind not in "iufbU" or found.ndim != 1:
        raise DataError(f"{label} must hold a number or a text for each trial, got {kept[0]!r}.")
    if there.all():
        return found
    is_text = found.dtype.kind == "U"
    kind = found.dtype if is_text else np.result_type(found, np.float64)
    filled = np.full(len(items), "" if is_text else np.nan, kind)
    filled[there] = found
    return filled


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    # `pandas.NA` and `NaT` cannot be compared, so they are known by their names.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value

"""Lists of the trials of each condition, as programs store them in HDF5 files."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from lfadsx.errors import DataError


def conditions_in(item: Any, label: str) -> list[np.ndarray]:
    """Returns the rows of the trials of each condition, from 0.

    Args:
        item: An array of lists of different length, a matrix with a row for each condition that is filled with NaN or
            negative numbers, or a group with an array for each condition.
        label: Name of the item in messages.

    Raises:
        DataError: If the item has another form.
    """
    if isinstance(item, h5py.Group):
        lists = [np.asarray(item[key]) for key in sorted(item, key=lambda key: (len(key), key))]
    else:
        lists = list(item[()]) if item.shape else []
    rows = [np.ravel(np.asarray(own)) for own in lists]
    if not rows or any(own.dtype.kind not in "iuf" for own in rows):
        raise DataError(f"{label} must hold the rows of the trials of each condition, as lists of numbers.")
    return [own[np.isfinite(own) & (own >= 0)].astype(np.int64) for own in rows]


def labels_of(lists: list[np.ndarray], n_trials: int, label: str) -> np.ndarray:
    """Returns the number of the list that each trial is in, NaN for a trial in none, shape (trial,).

    Raises:
        DataError: If a row is not that of a trial.
    """
    condition = np.full(n_trials, np.nan)
    for number, rows in enumerate(lists):
        if np.any(rows >= n_trials):
            raise DataError(f"{label} must hold rows of {n_trials} trials, from 0, got {rows.max()}. Check the file.")
        condition[rows] = number
    return condition if np.isnan(condition).any() else condition.astype(np.int64)

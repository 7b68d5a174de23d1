"""Choices of channels and trials as users give them: indices, boolean masks or names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from lfadsx.data import validation
from lfadsx.errors import DataError

Choice = Sequence[int] | Sequence[bool] | Sequence[str] | np.ndarray
"""A choice of trials or channels: indices, a boolean mask, or names."""


def chosen(choice: Choice, n: int, label: str, what: str, names: Sequence[str] = ()) -> Bool[np.ndarray, " n"]:
    """Returns a choice as a boolean mask.

    Args:
        choice: Integers are indices from 0, booleans are a mask with one entry each, and text is names. Negative
            indices are an error; they do not count from the end.
        n: Number of entries to choose from.
        label: Name of the choice in messages, such as "`held_out`".
        what: Plural of the entries, such as "channels".
        names: Names of all entries, if they have names.
    """
    values = np.asarray(choice if isinstance(choice, np.ndarray) else list(choice))
    if values.ndim != 1:
        raise DataError(f"{label} must be one list of indices, or one mask, of {n} {what}, got shape {values.shape}.")
    if values.dtype.kind == "b":
        if len(values) != n:
            raise DataError(f"The mask {label} must have one entry for each of the {n} {what}, got {len(values)}.")
        return values
    if values.dtype.kind == "U":
        if not len(names):
            raise DataError(f"{label} holds {str(values[0])!r}, but the {what} have no names. Give indices or a mask.")
        for name in values:
            validation.one_of(str(name), names, f"A name in {label}")
        values = np.array([list(names).index(name) for name in values], int)
    if len(values) and values.dtype.kind not in "iu":
        raise DataError(f"{label} must hold integers (indices) or booleans (a mask), got {values.dtype}.")
    wrong = values[(values < 0) | (values >= n)]
    if len(wrong):
        raise DataError(f"{label} must hold indices from 0 to {n - 1} for {n} {what}, got {wrong[0]}.")
    index, times = np.unique(values, return_counts=True)
    if np.any(times > 1):
        raise DataError(
            f"{label} holds the index {index[times > 1][0]} more than once. Give each index once; a mask must be "
            "boolean (`numpy.asarray(mask, bool)`)."
        )
    mask = np.zeros(n, bool)
    mask[values.astype(int)] = True
    return mask


def held_out_mask(held_out: int | Choice, n_channels: int) -> Bool[np.ndarray, " channel"]:
    """Returns True for channels that the encoder does not see; see `held_out` of `from_arrays`."""
    if isinstance(held_out, bool | np.bool_ | float | str):
        raise DataError(
            f"`held_out` must be a number of channels, a list of indices or a boolean mask, got {held_out!r}."
        )
    if np.ndim(held_out) == 0:
        n = int(held_out)  # pyright: ignore[reportArgumentType]
        if not 0 <= n < n_channels:
            raise DataError(f"`held_out` must be from 0 to {n_channels - 1} for {n_channels} channels, got {n}.")
        return np.arange(n_channels) >= n_channels - n
    mask = chosen(held_out, n_channels, "`held_out`", "channels")  # pyright: ignore[reportArgumentType]
    if mask.all():
        raise DataError(f"`held_out` names all {n_channels} channels. Leave at least one for the encoder.")
    return mask

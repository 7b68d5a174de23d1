"""Choices of channels and trials as users give them: indices, boolean masks or names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from lfadsx.errors import DataError

Choice = Sequence[int] | Sequence[bool] | Sequence[str] | np.ndarray
"""A choice of trials or channels: indices, a boolean mask, or names."""


def chosen(choice: Choice, n: int, label: str, what: str, names: Sequence[str] = ()) -> Bool[np.ndarray, " n"]:
    """Returns a choice as a boolean mask.

    Args:
        choice: Whole numbers are indices from 0, booleans a mask with one entry each, text names. Negative indices
            are an error, not places counted from the end.
        n: How many there are to choose from.
        label: What a message calls the choice, such as "held_out".
        what: What is chosen from, in the plural, such as "channels".
        names: Names of all that there are, where they have any.

    Raises:
        DataError: If an index is out of range or given twice, a mask has another length, a name is unknown or given
            twice, or the choice is something else.
    """
    values = np.asarray(choice if isinstance(choice, np.ndarray) else list(choice))
    if values.ndim != 1:
        raise DataError(f"{label} has shape {values.shape}. Give one list of indices, or one mask, of the {n} {what}.")
    if values.dtype.kind == "b":
        if len(values) != n:
            raise DataError(f"The mask {label} has {len(values)} entries and there are {n} {what}. Give one for each.")
        return values
    if values.dtype.kind == "U":
        values = np.array([_place(str(name), names, label, what) for name in values], int)
    if len(values) and values.dtype.kind not in "iu":
        raise DataError(f"{label} holds {values.dtype}. Give whole numbers as indices, or booleans as a mask.")
    wrong = values[(values < 0) | (values >= n)]
    if len(wrong):
        raise DataError(f"{label} holds the index {wrong[0]} and there are {n} {what}. Give indices from 0 to {n - 1}.")
    index, times = np.unique(values, return_counts=True)
    if np.any(times > 1):
        raise DataError(
            f"{label} holds the index {index[times > 1][0]} more than once. Give each index once; a mask must be "
            "boolean (`numpy.asarray(mask, bool)`)."
        )
    mask = np.zeros(n, bool)
    mask[values.astype(int)] = True
    return mask


def _place(name: str, names: Sequence[str], label: str, what: str) -> int:
    if name in names:
        return list(names).index(name)
    close = difflib.get_close_matches(name, names, 1)
    advice = f"Perhaps {close[0]!r} is meant." if close else "Give indices, or names that exist."
    raise DataError(f"{label} holds {name!r}, which is not a name of the {what}. {advice}")


def held_out_mask(held_out: int | Choice, n_channels: int) -> Bool[np.ndarray, " channel"]:
    """Returns True for channels that the encoder does not see.

    Args:
        held_out: Number of channels, the last ones; or their indices; or a boolean mask of all channels.
        n_channels: Number of channels.
    """
    if isinstance(held_out, bool | np.bool_ | float | str):
        raise DataError(
            f"held_out must be a number of channels, a list of indices or a boolean mask, got {held_out!r}. Give "
            "one of these."
        )
    if np.ndim(held_out) == 0:
        if not 0 <= int(held_out) < n_channels:  # pyright: ignore[reportArgumentType]
            raise DataError(
                f"held_out is {held_out} and there are {n_channels} channels. Hold out 0 to {n_channels - 1}."
            )
        return np.arange(n_channels) >= n_channels - int(held_out)  # pyright: ignore[reportArgumentType]
    mask = chosen(held_out, n_channels, "held_out", "channels")  # pyright: ignore[reportArgumentType]
    if mask.all():
        raise DataError(f"held_out names all {n_channels} channels. Leave at least one for the encoder.")
    return mask

"""Which units the encoder does not see, and which windows train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.choices import Choice, chosen
from lfadsx.data.condition_labels import tidy_labels
from lfadsx.data.splits import checked_shares, random_names
from lfadsx.errors import DataError
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.windows import Windows

SplitBy = Literal["condition", "time"]
"""How trials are drawn: from each condition in proportion, or in blocks of time."""

HeldOut = int | float | str | Choice
"""Units to hold out: their number, their share, the name of a column of the units, their ids, or a mask."""

NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
"""The splits by the names that tables of trials give them."""

NOT_IN_A_SPLIT = "in none of the splits"
SHARED = "window overlaps a window of another split"
MOST_SHARED = 0.5
"""Largest share of windows in one chain of overlapping windows that still allows a draw by condition."""


def draw_held_out(held_out: HeldOut, recording: Recording, rate: np.ndarray, seed: int) -> np.ndarray:
    """Returns True for units that the encoder does not see, shape (unit,); see `cut`.

    A number or a share is drawn evenly over areas and, within an area, over rates.

    Args:
        held_out: What to hold out.
        recording: The recording with the units that are kept.
        rate: Rate of each unit, shape (unit,).
        seed: Seed of the draw.
    """
    n_units = recording.n_units
    if isinstance(held_out, str):
        validation.one_of(held_out, recording.unit_columns, "`held_out`, as the name of a column of the units,")
        return np.asarray(recording.unit_columns[held_out]).astype(bool)
    if np.ndim(held_out) > 0:
        return _named(held_out, recording)  # pyright: ignore[reportArgumentType]
    number = float(held_out)  # pyright: ignore[reportArgumentType]
    n_chosen = round(number * n_units) if 0 < number < 1 else number
    if isinstance(held_out, bool) or not 0 <= n_chosen < n_units or n_chosen != int(n_chosen):
        raise DataError(
            f"`held_out` must be a share below 1 or a number of units from 0 to {n_units - 1}, got {held_out}."
        )
    area = recording.unit_columns.get("area", np.zeros(n_units))
    order = np.lexsort((rate, np.unique(area, return_inverse=True)[1]))
    steps = np.arange(int(n_chosen)) + np.random.default_rng(seed).random()
    mask = np.zeros(n_units, bool)
    mask[order[np.floor(steps * n_units / max(n_chosen, 1)).astype(int)]] = True
    return mask


def draw_splits(
    split: Sequence[float] | str,
    by: SplitBy,
    windows: Windows,
    recording: Recording,
    condition: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the split of each window, and why a window is left out ("" if it is kept), both of shape (window,).

    Windows that overlap share spikes, so they are never drawn into two splits.

    Args:
        split: Shares of train, valid and test, or the name of the column of trials that says it.
        by: "condition": each condition in proportion; "time": the first windows train, the last ones test.
        windows: The windows.
        recording: The recording.
        condition: Condition of each window, or None.
        seed: Seed of the draw.
    """
    why = np.full(len(windows.row), "", object)
    if isinstance(split, str):
        validation.one_of(split, recording.trials, "`split`, as the name of a column of trials,")
        given = recording.trials[split][windows.row]
        names = np.array([NAMES.get(str(name), "") for name in given])
        why[names == ""] = NOT_IN_A_SPLIT
        return names, why
    shares = checked_shares(split)
    validation.one_of(by, get_args(SplitBy), "`split_by`")
    if by == "time":
        return _in_time(shares, windows, why, compare=not recording.trial_clocks)
    own = np.arange(len(windows.row)) if recording.trial_clocks else chains(windows)
    largest = int(np.bincount(own).max())
    if largest > max(MOST_SHARED * len(own), 2):
        raise DataError(
            f"Windows that overlap must be in one split, but {largest} of {len(own)} windows form one chain. "
            "Use split_by='time', or a shorter window."
        )
    first = np.unique(own, return_index=True)[1]
    labels = None if condition is None else tidy_labels(condition, "`condition`")
    what = "trials" if len(first) == len(own) else "groups of trials that overlap"
    names = random_names(None if labels is None else labels[first], len(first), *shares[1:], seed, what)
    return names[own], why


def chains(windows: Windows) -> np.ndarray:
    """Returns the number of the chain of overlapping windows that each window belongs to, shape (window,)."""
    order = np.argsort(windows.start, kind="stable")
    reach = np.maximum.accumulate(windows.stop[order])
    new = windows.start[order][1:] >= reach[:-1] - 1e-3 * windows.width
    own = np.empty(len(order), int)
    own[order] = np.concatenate([[0], np.cumsum(new)])
    return own


def _named(held_out: Choice, recording: Recording) -> np.ndarray:
    """Returns the mask of units that are given as a mask or by their ids."""
    values = np.asarray(held_out)
    if values.dtype.kind == "b":
        return chosen(values, recording.n_units, "`held_out`", "units")
    names = [str(unit) for unit in recording.unit_id]
    return chosen([str(value) for value in values.tolist()], len(names), "`held_out`", "units", names)


def _in_time(
    shares: tuple[float, float, float], windows: Windows, why: np.ndarray, compare: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Blocks in time; a window that reaches back into an earlier block is left out, if times can be compared."""
    n = len(windows.row)
    order = np.argsort(windows.start, kind="stable") if compare else np.arange(n)
    ends = np.round(np.cumsum(shares) * n).astype(int)
    in_order = np.repeat(["train", "valid", "test"], np.diff(ends, prepend=0))
    names = np.empty(n, in_order.dtype)
    names[order] = in_order
    for end in ends[:2]:
        earlier, later = order[:end], order[end:]
        if compare and len(earlier) and len(later):
            reach = windows.stop[earlier].max() - 1e-3 * windows.width
            why[later[windows.start[later] < reach]] = SHARED
    return names, why

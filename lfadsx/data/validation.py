"""Every check of the user's data, with a message about the mistake and its remedy.

Checks return nothing and raise `DataError`. `label` is the name of an array in a message, such as
"'train_data' of 'day1.h5'". `reference` is the name of the array that it is compared with.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from lfadsx.errors import DataError, nearest

AXES = {1: "(trial,)", 3: "(trial, time, channel)"}
"""Axes of an array by their number."""


REVERSED = (
    "If the axes are (channel, time, trial), transpose the arrays, or read the file with "
    '`axes="channel time trial"`, or give '
    "it the attribute 'axes' with this text (MATLAB: h5writeatt(file, '/', 'axes', 'channel time trial'))."
)
"""What to do with data whose axes are reversed."""

LARGEST_COUNT = np.iinfo(np.uint32).max
"""The largest count that a device's integers hold."""
LARGEST_FLOAT = float(np.finfo(np.float32).max)
"""The largest real number in single precision."""


def numbers(values: np.ndarray, label: str) -> None:
    """Raises `DataError` unless an array of any shape holds real numbers or booleans."""
    if values.dtype.kind not in "iufb":
        raise DataError(f"{label} must hold real numbers, got {values.dtype}. Store integers or floats.")


def dimensions(values: np.ndarray, n_axes: int, label: str) -> None:
    """Raises `DataError` unless an array has `n_axes` axes, each with at least one entry."""
    if values.ndim != n_axes:
        raise DataError(
            f"{label} has {values.ndim} dimensions, shape {values.shape}, where {n_axes} are needed. "
            f"Give it the axes {AXES[n_axes]}."
        )
    if values.shape[0] == 0:
        raise DataError(f"{label} holds no trials, shape {values.shape}. Add trials or leave the split out.")
    if 0 in values.shape:
        raise DataError(
            f"{label} has an axis of size 0, shape {values.shape}. "
            f"Every one of {AXES[n_axes]} needs a size of at least 1; leave out empty arrays."
        )


def size(actual: int, expected: int, what: str, label: str, reference: str, advice: str = "") -> None:
    """Raises `DataError` unless two arrays have the same number of `what` (trials, bins, channels, ...)."""
    if actual != expected:
        raise DataError(
            f"{label} has {actual} {what} and {reference} has {expected}. Give both the same number of {what}."
            + (f" {advice}" if advice else "")
        )


def same_shape(values: np.ndarray, shape: tuple[int, ...], label: str, reference: str) -> None:
    """Raises `DataError` unless an array has the shape of the array called `reference`."""
    if values.shape != shape:
        raise DataError(
            f"{label} has shape {values.shape} and {reference} has shape {shape}. Give both the same shape."
        )


def at_least(actual: int, least: int, what: str, label: str, reference: str, advice: str) -> None:
    """Raises `DataError` when an array has fewer of `what` (bins, channels) than `reference` has."""
    if actual < least:
        raise DataError(f"{label} must have at least the {least} {what} of {reference}, got {actual}. {advice}")


def first_channels(encoder: np.ndarray, target: np.ndarray, label: str, reference: str) -> None:
    """Raises `DataError` unless `target` (`label`) starts with the channels of `encoder` (`reference`)."""
    n_bins, n_channels = encoder.shape[1:]
    if not np.array_equal(encoder, target[:, :n_bins, :n_channels]):
        raise DataError(
            f"The first {n_channels} of the {target.shape[2]} channels of {label} are not the channels of "
            f"{reference}. Put the held-out channels last, or add a dataset 'target_index' with the target "
            "channel of each encoder channel."
        )


MISSING = "Use --missing (`missing=True`) when NaN means a missing entry of the data, or replace them."


def finite(values: np.ndarray, known: np.ndarray, label: str, remedy: str = MISSING) -> None:
    """Raises `DataError` when an entry is NaN or infinite where `known`, of the same shape, is True.

    `remedy` says what to do about NaN.
    """
    if values.dtype.kind != "f":
        return
    not_infinite(values, known, label)
    missing = np.isnan(values) & known
    if missing.any():
        raise DataError(f"{label} holds {missing.sum()} NaN, the first at {place(missing)}. {remedy}")


def not_infinite(values: np.ndarray, known: np.ndarray, label: str) -> None:
    """Raises `DataError` when an entry is infinite where `known`, of the same shape, is True."""
    infinite = np.isinf(values) & known
    if infinite.any():
        raise DataError(f"{label} is infinite at {place(infinite)}. Replace it, or mark it as not observed.")


def not_counts(values: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Returns True for entries that are not counts: not whole, below 0, or too large for an integer of 32 bits."""
    if values.dtype.kind == "b" or (values.dtype.kind == "u" and values.dtype.itemsize <= 4):
        return np.broadcast_to(np.False_, values.shape)  # takes no memory
    wrong = (values < 0) | (values > LARGEST_COUNT)
    return wrong | (values != np.floor(values)) if values.dtype.kind == "f" else wrong


def counts(values: np.ndarray, label: str) -> None:
    """Raises `DataError` when an entry is not a count, shape (trial, time, channel)."""
    wrong = not_counts(values)
    if wrong.any():
        value = values[wrong][0]
        kind = "negative" if value < 0 else "too large" if value > LARGEST_COUNT else "fractional"
        raise DataError(
            f"{label} is {kind} ({value:g}) at {place(wrong)}, but the data must be counts. Give spike counts "
            'per bin (rates in Hz are not counts), or read them as real numbers (kind="real", --likelihood '
            "gaussian_by_channel)."
        )


def mask(values: np.ndarray, label: str) -> None:
    """Raises `DataError` unless a mask holds True and False, or 1 and 0."""
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        raise DataError(
            f"{label} must be True where an entry is observed, else False, got {values[wrong][0]}. Give a boolean mask."
        )


def possible_counts(values: np.ndarray, label: str) -> None:
    """Raises `DataError` when counts hold a negative number that wrapped around, or a fill value."""
    if values.dtype.kind in "iu" and values.dtype.itemsize > 1:
        if values.min(initial=0) < 0:
            return  # not counts at all
        wrong, why = values == np.iinfo(values.dtype).max, f"the largest number of {values.dtype}"
    else:
        wrong, why = not_counts(values), "too large for a count"
        if values.dtype.kind != "f" or np.any(values[wrong] <= LARGEST_COUNT):
            return
    if wrong.any():
        value = values[wrong][0]
        shown = f"{value:g}" if values.dtype.kind == "f" else str(value)
        raise DataError(
            f"{label} holds {shown} at {place(wrong)}, {why}: a count below 0 that wrapped around, or a "
            "fill value. Replace it, or mark the entry as missing (a mask, or NaN with --missing, `missing=True`)."
        )


def single_precision(values: np.ndarray, label: str) -> None:
    """Raises `DataError` when a real value is too large for float32, shape (trial, time, channel)."""
    if max(float(values.max(initial=0)), -float(values.min(initial=0))) <= LARGEST_FLOAT:
        return
    wrong = (values > LARGEST_FLOAT) | (values < -LARGEST_FLOAT)
    raise DataError(
        f"{label} must fit single precision, which ends at {LARGEST_FLOAT:.3g}, got {values[wrong][0]:g} at "
        f"{place(wrong)}. Give the data in another unit, or mark a fill value as missing (a mask, or NaN with "
        "--missing, `missing=True`)."
    )


def lengths(values: np.ndarray, lowest: Any, highest: int, n_trials: int, label: str) -> None:
    """Raises `DataError` unless every trial's length is a whole number of bins from `lowest` to `highest`.

    `lowest` is one number or one for every trial, shape (trial,).
    """
    dimensions(values, 1, label)
    numbers(values, label)
    size(len(values), n_trials, "trials", label, "the data")
    lowest = np.broadcast_to(lowest, values.shape)
    wrong = (values < lowest) | (values > highest) | (values != np.floor(values))
    if wrong.any():
        trial = int(np.argmax(wrong))
        raise DataError(
            f"{label} must be a whole number of bins from {lowest[trial]} to {highest}, got {values[trial]:g} for "
            f"trial {trial}."
        )


def target_index(values: np.ndarray, n_channels: int, n_targets: int, label: str) -> None:
    """Raises `DataError` unless `values` names, for each encoder channel, one target channel or -1."""
    dimensions(values, 1, label)
    size(len(values), n_channels, "entries", label, "the encoder data, counted in channels,")
    if values.dtype.kind not in "iu":
        raise DataError(f"{label} must hold integers, got {values.dtype}. Give indices of target channels.")
    used, times = np.unique(values[values != -1], return_counts=True)
    if len(used) and (used[0] < 0 or used[-1] >= n_targets):
        raise DataError(
            f"{label} has entries from {used[0]} to {used[-1]} for {n_targets} target channels. "
            f"Give indices from 0 to {n_targets - 1}, or -1 for an encoder channel that is not a target."
        )
    if np.any(times > 1):
        raise DataError(
            f"{label} names target channel {used[times > 1][0]} more than once. "
            "Give each target channel to at most one encoder channel."
        )


def positive(value: float, label: str) -> None:
    """Raises `DataError` unless a number is finite and above 0."""
    if not (np.isfinite(value) and value > 0):
        raise DataError(f"{label} must be a finite number above 0, got {value}.")


def one_of(value: str, allowed: Collection[str], label: str) -> None:
    """Raises `DataError` unless a setting has one of the allowed values."""
    if value not in allowed:
        near = nearest(str(value), map(str, allowed))
        raise DataError(f"{label} must be one of {_listed(allowed)}, got {value!r}{near}.")


def agree(values: Mapping[str, Any], what: str, advice: str) -> None:
    """Raises `DataError` unless `what` is the same for everything that the keys name."""
    names = list(values)
    for name in names[1:]:
        if not _same(values[name], values[names[0]]):
            raise DataError(
                f"The {what} must agree, but the {what} of {names[0]} is {values[names[0]]!r} and that of {name} is "
                f"{values[name]!r}. {advice}"
            )


def unique(names: Sequence[str]) -> None:
    """Raises `DataError` when two sessions have one name."""
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"{names.count(name)} sessions are called {name!r}. "
                "Rename files so that their names without folder and ending differ, or name the sessions (`sessions`, "
                "on the command line --session-names)."
            )


def has_data(found: Collection[str], wanted: Sequence[str], file: str) -> None:
    """Raises `DataError` unless one of the keys `wanted` is among the keys `found` of a file."""
    if any(key in found for key in wanted):
        return
    pairs = [(key, close) for key in wanted for close in difflib.get_close_matches(key, found, 1, 0.75)]
    advice = "Store the data under one of these keys."
    if pairs:
        advice = f"Rename {pairs[0][1]!r} to {pairs[0][0]!r} if it holds these data."
    raise DataError(f"{file!r} must hold one of the keys {_listed(wanted)}, found {_listed(found)}. {advice}")


def misspelt(found: Collection[str], known: Collection[str], splits: Sequence[str], file: str) -> None:
    """Raises `DataError` when an unknown key of a file is nearly a known key that is absent.

    Without this check a slip in an optional key would be ignored: the trials of 'valid_encode_data' would be left out.
    """
    absent = [key for key in known if key not in found]
    for key in found:
        prefix = next((f"{split}_" for split in splits if key.startswith(f"{split}_")), None)
        if key in known or prefix is None:
            continue
        # The prefix is left out of the comparison because it makes all keys of a split look alike.
        endings = [name.removeprefix(prefix) for name in absent if name.startswith(prefix)]
        close = difflib.get_close_matches(key.removeprefix(prefix), endings, 1, 0.85)
        if close:
            raise DataError(
                f"{file!r} holds an unknown key {key!r} that looks like {prefix + close[0]!r}. "
                "Rename it to that, or to something less similar."
            )


def other_names(found: Collection[str], known: Collection[str], splits: Mapping[str, str], file: str) -> None:
    """Raises `DataError` when a key names its split as other programs do, such as 'val_data' for 'valid_data'."""
    for key in found:
        split, _, rest = key.partition("_")
        ours = f"{splits.get(split.lower(), split.lower())}_{rest}"
        if key not in known and ours in known and ours not in found:
            raise DataError(f"{file!r} holds an unknown key {key!r} that looks like {ours!r}. Rename it to that.")


def place(wrong: np.ndarray, axes: Sequence[str] = ("trial", "bin", "channel")) -> str:
    """Returns where the first True of a mask is, in words."""
    return ", ".join(f"{axis} {i}" for axis, i in zip(axes, np.argwhere(wrong)[0], strict=False))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-6)  # files may hold single precision
    return left == right


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(str(name)) for name in names) or "nothing"

"""Every check of the user's data, each with the sentence that says what is wrong and what to do.

Checks return nothing and raise `DataError`. `label` is what a message calls an array, such as
"'train_data' of 'day1.h5'".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from lfadsx.errors import DataError

AXES = {
    1: "(trial,)",
    3: "(trial, time, channel)",
}
"""What the axes of an array are, by their number."""

TRUTH_UNITS = ("counts per bin", "Hz", "data", "relative")
"""Units that true rates may have; "data" is the unit of the data themselves."""


def numbers(values: np.ndarray, label: str) -> None:
    """Raises `DataError` unless an array of any shape holds real numbers or booleans."""
    if values.dtype.kind not in "iufb":
        raise DataError(f"{label} holds {values.dtype}, not real numbers. Store integers or floats.")


def dimensions(values: np.ndarray, n_axes: int, label: str) -> None:
    """Raises `DataError` unless an array has `n_axes` axes, none of them empty."""
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
            f"Every one of {AXES[n_axes]} needs a size of at least 1; leave out what is not there."
        )


def same_trials(values: np.ndarray, n_trials: int, label: str, reference: str) -> None:
    """Raises `DataError` unless an array has one row per trial of the data called `reference`."""
    if len(values) != n_trials:
        raise DataError(
            f"{label} has {len(values)} trials and {reference} has {n_trials}. "
            "Both need the same trials in the same order."
        )


def size(actual: int, expected: int, what: str, label: str, reference: str) -> None:
    """Raises `DataError` unless the number of `what` (bins, channels, ...) of two arrays agrees."""
    if actual != expected:
        raise DataError(
            f"{label} has {actual} {what} and {reference} has {expected}. Give both the same number of {what}."
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
        raise DataError(f"{label} has {actual} {what} and {reference} has {least}. {advice}")


def first_channels(encoder: np.ndarray, target: np.ndarray, label: str, reference: str) -> None:
    """Raises `DataError` unless the first channels of `target` are the channels of `encoder`.

    Args:
        encoder: Counts that the encoder sees, shape (trial, encoder_time, channel).
        target: Counts to explain, shape (trial, time, target_channel).
        label: What to call `target`.
        reference: What to call `encoder`.
    """
    n_bins, n_channels = encoder.shape[1:]
    if np.array_equal(encoder, target[:, :n_bins, :n_channels]):
        return
    raise DataError(
        f"The first {n_channels} of the {target.shape[2]} channels of {label} are not the channels of "
        f"{reference}. Put the held-out channels last, or add a dataset 'target_index' that says which "
        "channel of the targets each encoder channel is."
    )


def finite(values: np.ndarray, known: np.ndarray, label: str) -> None:
    """Raises `DataError` when an entry that `known` marks True is NaN or infinite; both of one shape."""
    if values.dtype.kind != "f":
        return
    infinite = np.isinf(values) & known
    if infinite.any():
        raise DataError(f"{label} is infinite at {_place(infinite)}. Replace it, or mark it as not observed.")
    missing = np.isnan(values) & known
    if missing.any():
        raise DataError(
            f"{label} holds {missing.sum()} NaN, the first at {_place(missing)}. "
            "Use --missing (`missing=True`) when NaN means a missing entry of the data, or replace them."
        )


LARGEST_COUNT = np.iinfo(np.uint32).max
"""The largest count that a device's integers hold."""


def not_counts(values: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Returns True for entries that are not counts: not whole, below 0, or too large for an integer of 32 bits."""
    if values.dtype.kind == "b":
        return np.zeros(values.shape, bool)
    wrong = (values < 0) | (values > LARGEST_COUNT)
    return wrong | (values != np.floor(values)) if values.dtype.kind == "f" else wrong


def counts(values: np.ndarray, label: str) -> None:
    """Raises `DataError` when an entry is not a count, shape (trial, time, channel)."""
    wrong = not_counts(values)
    if wrong.any():
        value = values[np.unravel_index(np.argmax(wrong), wrong.shape)]
        kind = "negative" if value < 0 else "too large" if value > LARGEST_COUNT else "fractional"
        raise DataError(
            f"{label} is {kind} ({value:g}) at {_place(wrong)}, and the data were said to be counts. Give spike counts "
            'per bin (rates in Hz are not counts), or read them as real numbers (kind="real", --likelihood gaussian).'
        )


def lengths(values: np.ndarray, lowest: Any, highest: int, n_trials: int, label: str) -> None:
    """Raises `DataError` unless every trial's length is a whole number from `lowest` to `highest` bins.

    Args:
        values: Length of every trial in bins, shape (trial,).
        lowest: The shortest length allowed in bins, or one for every trial, shape (trial,).
        highest: The longest length allowed in bins.
        n_trials: Number of trials.
        label: What to call `values`.
    """
    dimensions(values, 1, label)
    numbers(values, label)
    same_trials(values, n_trials, label, "the data")
    lowest = np.broadcast_to(lowest, values.shape)
    wrong = (values < lowest) | (values > highest) | (values != np.floor(values))
    if wrong.any():
        trial = int(np.argmax(wrong))
        raise DataError(
            f"{label} is {values[trial]:g} bins for trial {trial}, outside {lowest[trial]} to {highest}. "
            "Give the number of bins that the trial has."
        )


def target_index(values: np.ndarray, n_channels: int, n_targets: int, label: str) -> None:
    """Raises `DataError` unless `values` names, for each encoder channel, one target channel or -1."""
    dimensions(values, 1, label)
    size(len(values), n_channels, "entries", label, "the encoder data, counted in channels,")
    if values.dtype.kind not in "iu":
        raise DataError(f"{label} holds {values.dtype}, not integers. Give indices of target channels.")
    used = values[values != -1]
    if len(used) and (used.min() < 0 or used.max() >= n_targets):
        raise DataError(
            f"{label} has entries from {used.min()} to {used.max()} for {n_targets} target channels. "
            f"Give indices from 0 to {n_targets - 1}, or -1 for an encoder channel that is no target."
        )
    if len(np.unique(used)) < len(used):
        repeated = used[np.argmax([np.sum(used == index) > 1 for index in used])]
        raise DataError(
            f"{label} names target channel {repeated} more than once. "
            "Every target channel belongs to one encoder channel at most."
        )


def positive(value: float, what: str) -> None:
    """Raises `DataError` unless a number such as the bin width in seconds is finite and above 0."""
    if not (np.isfinite(value) and value > 0):
        raise DataError(f"The {what} is {value}, which is not a positive number. Give it in seconds.")


def one_of(value: str, allowed: Collection[str], what: str) -> None:
    """Raises `DataError` unless a setting has one of the allowed values."""
    if value not in allowed:
        close = difflib.get_close_matches(str(value), [str(name) for name in allowed], 1)
        advice = f" Perhaps {close[0]!r} is meant." if close else ""
        raise DataError(f"{what} is {value!r}. Choose one of {_listed(allowed)}.{advice}")


def agree(values: Mapping[str, Any], what: str, advice: str) -> None:
    """Raises `DataError` unless `what` is the same for everything that the keys name."""
    names = list(values)
    for name in names[1:]:
        if not _same(values[name], values[names[0]]):
            raise DataError(
                f"The {what} of {names[0]} is {values[names[0]]!r} and that of {name} is {values[name]!r}. {advice}"
            )


def unique(names: Sequence[str]) -> None:
    """Raises `DataError` when two sessions have one name."""
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"{names.count(name)} sessions are called {name!r}. "
                "Rename files so that their names without folder and ending differ."
            )


def has_data(found: Collection[str], wanted: Sequence[str], file: str) -> None:
    """Raises `DataError` when none of the keys `wanted` is among the keys `found` of a file."""
    if any(key in found for key in wanted):
        return
    pairs = [(key, close) for key in wanted for close in difflib.get_close_matches(key, found, 1, 0.75)]
    advice = (
        f"Perhaps {pairs[0][1]!r} should be called {pairs[0][0]!r}."
        if pairs
        else "Call the data by one of these names."
    )
    raise DataError(f"{file!r} has none of the keys {_listed(wanted)}; it holds {_listed(found)}. {advice}")


def misspelt(found: Collection[str], known: Collection[str], splits: Sequence[str], file: str) -> None:
    """Raises `DataError` when a key of a file is no known key of its split but nearly one that is absent.

    A slip in an optional key would otherwise be ignored: the trials of 'valid_encode_data' would be left out.
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
                "Rename it, or give it a name of its own."
            )


def _same(left: Any, right: Any) -> bool:
    """Compares two settings; numbers may differ by what a file in single precision loses."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-6)
    return left == right


def _place(wrong: np.ndarray) -> str:
    first = np.unravel_index(np.argmax(wrong), wrong.shape)
    return ", ".join(f"{axis} {int(i)}" for axis, i in zip(("trial", "bin", "channel"), first, strict=False))


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(str(name)) for name in names) or "nothing"

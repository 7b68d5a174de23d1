"""Arrays as callers hold them: with masks, with units, sparse, as a list of trials or in a dictionary by trial."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.errors import DataError

Trials = np.ndarray | Sequence[np.ndarray]
"""Arrays by trial: one array (trial, time, channel), or one array (time, channel) for each trial."""

NO_UNIT = ("", "1", "dimensionless", "count", "counts", "ct", "spikes", "counts per bin", "spikes per bin")
"""Units of counts, as packages with units write them."""


def stack(trials: Any, name: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Returns trials as one array padded with 0, with their lengths and the mask of observed entries.

    Args:
        trials: One array, a sequence of one array for each trial, or a dictionary of them.
        name: Name of the array in messages.

    Returns:
        Three values: the array; the length of each trial, or None for a single array; and the mask, True where a masked
        array has a value (padded with False), or None without masked arrays.
    """
    if isinstance(trials, Mapping):
        trials = list(trials.values())
    if _is_one_array(trials):
        values = plain(trials)
        return np.ma.getdata(values), None, _observed(values)
    arrays = [_dense(plain(trial)) for trial in trials]
    if not arrays:
        raise DataError(f"'{name}' holds no trials. Give at least two.")
    _check_trials(arrays, name)
    length = np.array([len(trial) for trial in arrays])
    shape = (len(arrays), int(length.max()), arrays[0].shape[1])
    stacked = np.zeros(shape, np.result_type(*arrays))
    observed = np.zeros(shape, bool) if any(np.ma.isMaskedArray(trial) for trial in arrays) else None
    for row, trial in enumerate(arrays):
        stacked[row, : len(trial)] = np.ma.getdata(trial)
        if observed is not None:
            observed[row, : len(trial)] = ~np.ma.getmaskarray(trial)
    return stacked, length, observed


def stack_along(values: Any, name: str, length: np.ndarray | None, n_bins: int, first: str = "spikes") -> np.ndarray:
    """Returns another array by trial (such as behaviour) as one array, with NaN where a masked array has no value.

    Trials with one number per bin and no channel axis become one column.

    Args:
        values: As for `stack`.
        name: Name of the array in messages.
        length: Length of each trial of the data; None if all trials have all bins.
        n_bins: Bins of the longest trial of the data.
        first: Name of the data in messages.
    """
    if isinstance(values, Mapping):
        values = list(values.values())
    if _is_one_array(values):
        if np.ndim(values) == 2 and np.shape(values)[1] == n_bins:
            values = plain(values)[:, :, None]
    else:
        values = [trial[:, None] if np.ndim(trial := plain(own)) == 1 else trial for own in values]
    stacked, own, observed = stack(values, name)
    if own is not None and length is not None and len(own) == len(length) and not np.array_equal(own, length):
        trial = int(np.argmax(own != length))
        raise DataError(
            f"Trial {trial} has {own[trial]} bins in '{name}' and {length[trial]} bins in '{first}'. "
            "Give every trial the same number of bins in both."
        )
    if observed is None or observed.all() or stacked.dtype.kind == "b":
        return stacked
    return np.where(observed, stacked, np.nan)


def plain(values: Any) -> Any:
    """Returns an array of any package as plain numbers, without units; masked arrays keep their mask."""
    if np.ma.isMaskedArray(values):
        return values
    for name in ("magnitude", "value"):  # Pint and Quantities; Astropy
        if unit_of(values) and hasattr(values, name):
            return np.asarray(getattr(values, name))
    if type(values) is np.ndarray:
        return values
    try:
        return _dense(values if _is_sparse(values) else np.asarray(values))
    except ValueError as error:
        raise DataError(
            f"Each trial must be one array (time, channel), got sequences of different length ({error}). Spike times "
            "are read by `from_spike_times`; pad other data with NaN."
        ) from error


def unit_of(values: Any) -> str:
    """Returns the unit of an array of Quantities, Pint, Astropy or xarray, or an empty string."""
    if hasattr(values, "rescale"):  # Quantities
        return str(values.dimensionality)
    found = getattr(values, "units", None)
    found = getattr(values, "unit", None) if found is None else found
    if found is None and isinstance(getattr(values, "attrs", None), Mapping):
        found = values.attrs.get("units")
    text = "" if found is None or callable(found) else str(found)
    return text.strip()


def check_unit(values: Any, name: str, kind: Any) -> None:
    """Raises `DataError` when an array that may be counts carries a unit such as Hz."""
    unit = unit_of(values)
    if unit.lower() not in NO_UNIT and kind != "real" and not isinstance(kind, Mapping):
        raise DataError(
            f"'{name}' must be counts per bin without a unit, but carries the unit {unit!r}. Convert them to counts "
            'and give plain numbers, or read them as real numbers (kind="real").'
        )


def seconds(value: Any, label: str) -> Any:
    """Returns a time in seconds as a plain number; times with a unit are converted."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    if not unit_of(value):
        return value
    convert = getattr(value, "rescale", None) or getattr(value, "to", None)
    try:
        if convert is not None:
            return float(plain(convert("s")))
    except Exception as error:  # each package raises its own exception
        raise DataError(f"{label} must be a time, got {value} ({error}). Give it in seconds.") from error
    raise DataError(f"{label} must be a number of seconds, got {value}. Give it without a unit.")


def labels_of(values: Any) -> Any:
    """Returns labels of trials with None where a masked array has no value."""
    return values.tolist() if np.ma.isMaskedArray(values) else values


def _is_one_array(trials: Any) -> bool:
    if isinstance(trials, list | tuple) or getattr(getattr(trials, "dtype", None), "hasobject", False):
        return False
    return hasattr(trials, "__array__")


def _observed(values: Any) -> np.ndarray | None:
    return ~np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None


def _is_sparse(values: Any) -> bool:
    return hasattr(values, "toarray")


def _dense(values: Any) -> Any:
    return values.toarray() if _is_sparse(values) else values


def _check_trials(arrays: Sequence[Any], name: str) -> None:
    """Raises `DataError` unless all trials have the axes (time, channel), the same channels and at least one bin."""
    first = arrays[0].shape
    swapped = all(trial.ndim == 2 and trial.shape[0] == first[0] for trial in arrays)
    for number, trial in enumerate(arrays):
        if trial.ndim != 2 or trial.shape[1] != first[1]:
            advice = " They look like (channel, time): transpose each trial." if swapped else ""
            raise DataError(
                f"Trial {number} of '{name}' has shape {trial.shape} and trial 0 has {first}. "
                f"Every trial needs the axes (time, channel) and the same channels.{advice}"
            )
        if not len(trial):
            raise DataError(
                f"Trial {number} of '{name}' must have at least one bin, got shape {trial.shape}. Leave it out."
            )

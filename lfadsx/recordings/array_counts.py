"""Counts in bare arrays: (trial, time, unit), (time, unit) of all trials joined, or (time, unit) never cut."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.axis_order import doubtful_order, parse_axes
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.binned_counts import NEEDS_LENGTHS, Bins, counts_as_recording, counts_never_cut
from lfadsx.recordings.recording import Recording, Signal
from lfadsx.types import INPUT_GROUP

ZERO = "trial start"
"""Event at time 0 of counts."""


def counts_in_arrays(
    path: Path,
    names: Mapping[str, str],
    found: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    source: Mapping[str, Any],
    bin_width: float | None,
    axes: str | None,
) -> Recording:
    """Returns the counts of a file of arrays as a recording.

    Args:
        path: The file.
        names: Name of the array of each role.
        found: Array of each role.
        vectors: Further vectors of the file; those of the right length are columns of trials or of units.
        source: Where the counts come from.
        bin_width: Width of a bin in seconds; needed if the file has none.
        axes: Order of the axes of counts; None for (trial, time, unit).
    """
    label = f"{names['counts']!r} of {path.name!r}"
    counts, order = found["counts"], parse_axes(axes, "`axes`")
    if order is not None and counts.ndim == 3:
        counts = counts.transpose(order)
    validation.finite(counts, np.ones(counts.shape, bool), label)
    validation.counts(counts, label)
    if counts.ndim == 2 and "lengths" not in found:
        return _never_cut(path, names, found, vectors, source, bin_width)
    number = _lengths(counts, found.get("lengths"), label)
    n_trials, n_units = len(number), counts.shape[-1]
    columns = _trial_columns(found, vectors, n_trials, label)
    unit_id, unit_columns = _unit_columns(found, vectors, n_units, n_trials, label)
    width = _width(found, names, bin_width, label)
    bins, joined = Bins(0.0, width, number, ZERO), counts.reshape(-1, n_units)
    signals = {}
    if "behaviour" in found:
        values = _behaviour(found["behaviour"], counts, names["behaviour"], label)
        signals[names["behaviour"]] = Signal(bins.middle, values, trial=bins.trial)
    return counts_as_recording(
        joined,
        bins,
        session=path.stem,
        trials=columns,
        unit_id=unit_id,
        unit_columns=unit_columns,
        source=source,
        signals=signals,
        findings=tuple(_order(counts, columns, axes, unit_columns, path.name)),
    )


def _never_cut(
    path: Path,
    names: Mapping[str, str],
    found: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    source: Mapping[str, Any],
    bin_width: float | None,
) -> Recording:
    """Returns counts (time, unit) of a recording without trials."""
    counts, label = found["counts"], f"{names['counts']!r} of {path.name!r}"
    n_bins, n_units = counts.shape
    if n_units > n_bins:
        raise DataError(
            f"{label} must have the axes (time, unit), got shape {counts.shape} with more units than bins. Transpose "
            "it if its axes are the other way round."
        )
    if bin_width is None and "bin_width" not in found:
        raise DataError(
            f"{label} {NEEDS_LENGTHS} Give `bin_width` and `chop` for a recording that was never cut: the lengths of a "
            "bin and of a piece in seconds (--bin-width 0.01 --chop 1)."
        )
    first = np.ravel(found.get("start", 0.0))
    bins = Bins(float(first[0]), _width(found, names, bin_width, label), np.array([n_bins]), ZERO)
    unit_id, unit_columns = _unit_columns(found, vectors, n_units, n_bins, label)
    signals = {}
    if "behaviour" in found:
        values = _behaviour(found["behaviour"], counts, names["behaviour"], label)
        signals[names["behaviour"]] = Signal(bins.middle, values)
    return counts_never_cut(
        counts,
        bins,
        _observed(found.get("observed"), n_bins, label),
        session=path.stem,
        unit_id=unit_id,
        unit_columns=unit_columns,
        source=source,
        signals=signals,
        label=label,
    )


def _observed(values: np.ndarray | None, n_bins: int, label: str) -> np.ndarray:
    """Returns True for observed bins, shape (bin,)."""
    mask = np.ones(n_bins, bool) if values is None else np.ravel(values)
    if len(mask) != n_bins:
        raise DataError(
            f"The array of 'observed' must have one entry for each bin of {label}, {n_bins}, got {len(mask)}. Choose "
            "another array with `map`."
        )
    validation.mask(mask, "The array of 'observed'")
    return mask.astype(bool)


def _lengths(counts: np.ndarray, lengths: np.ndarray | None, label: str) -> np.ndarray:
    """Returns the number of bins of each trial, shape (trial,)."""
    if lengths is None:
        return np.full(counts.shape[0], counts.shape[1])
    number = np.ravel(lengths)
    if number.dtype.kind not in "iuf" or np.any(number != np.floor(number)) or np.any(number < 1):
        raise DataError(f"`lengths` must hold whole numbers of at least 1, got {number.min()}. Check the array.")
    number = number.astype(np.int64)
    if number.sum() != len(counts):
        raise DataError(
            f"The lengths of the trials must add up to the bins of {label}, {len(counts)}, got {number.sum()}. "
            "Check `lengths`."
        )
    return number


def _trial_columns(
    found: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], n_trials: int, label: str
) -> dict[str, np.ndarray]:
    columns = {name: values for name, values in vectors.items() if len(values) == n_trials}
    for role in ("trial_id", "condition"):
        if role in found:
            columns[role] = np.ravel(found[role])
            _check_size(role, columns[role], n_trials, "trial", label)
    columns.setdefault("trial_id", np.arange(n_trials))
    return columns


def _unit_columns(
    found: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], n_units: int, n_trials: int, label: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    columns = {name: values for name, values in vectors.items() if len(values) == n_units != n_trials}
    for role in ("unit_id", "area"):
        if role in found:
            columns[role] = np.ravel(found[role])
            _check_size(role, columns[role], n_units, "unit", label)
    unit_id = columns.pop("unit_id", np.arange(n_units))
    return unit_id, columns


def _check_size(role: str, values: np.ndarray, n: int, what: str, label: str) -> None:
    if len(values) != n:
        raise DataError(
            f"The array of {role!r} must have one entry for each {what} of {label}, {n}, got {len(values)}. Choose "
            "another array with `map`."
        )


def _width(found: Mapping[str, np.ndarray], names: Mapping[str, str], asked: float | None, label: str) -> float:
    """Returns the width of the file's bins in seconds."""
    if "bin_width" not in found:
        if asked is None:
            raise DataError(f"{label} needs the width of its bins in seconds. Give `bin_width` (--bin-width 0.01).")
        return float(asked)
    values = np.ravel(found["bin_width"])
    if len(values) != 1 or values.dtype.kind not in "iuf":
        raise DataError(f"{names['bin_width']!r} must be one width of a bin, got shape {found['bin_width'].shape}.")
    in_ms = re.search(r"ms$", names["bin_width"]) is not None
    width = float(values[0]) * (0.001 if in_ms else 1.0)
    validation.positive(width, f"The width of a bin, {names['bin_width']!r},")
    return width


def _behaviour(values: np.ndarray, counts: np.ndarray, name: str, label: str) -> np.ndarray:
    """Returns behaviour with all trials joined, shape (bin, column)."""
    n_axes = counts.ndim - 1
    if values.shape[:n_axes] != counts.shape[:n_axes]:
        raise DataError(
            f"The behaviour {name!r} must have one entry for each bin of {label}, {counts.shape[:n_axes]}, got shape "
            f"{values.shape}. Leave it out of `map`, or choose another array."
        )
    return np.asarray(values, np.float64).reshape(int(np.prod(counts.shape[:n_axes])), -1)


def _order(
    counts: np.ndarray, columns: Mapping[str, np.ndarray], axes: str | None, unit_columns: Mapping[str, Any], where: str
) -> list[Finding]:
    """Returns a finding if the axes of counts may have another order."""
    if counts.ndim != 3:
        return []
    arrays = {"encoder_input": counts, f"targets/{INPUT_GROUP}": counts}
    labelled = {"condition": columns["condition"]} if "condition" in columns else {}
    return doubtful_order(
        {"all": RawTrials(arrays | labelled, {})}, where, known=axes is not None or bool(unit_columns)
    )

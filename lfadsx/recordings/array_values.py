"""Real values in bare arrays, such as EMG: alone, or beside counts of the same trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import from_arrays
from lfadsx.data.axis_order import parse_axes
from lfadsx.data.dataset import Dataset
from lfadsx.data.splits import random_names
from lfadsx.errors import DataError
from lfadsx.recordings.array_map import JOINED
from lfadsx.recordings.drawing import NAMES, HeldOut, SplitBy
from lfadsx.types import INPUT_GROUP

FITS = 1e-6
"""Difference from a whole number of bins that is forgiven."""


def values_in_arrays(
    session: str,
    names: Mapping[str, str],
    found: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    *,
    align: str | None = None,
    bin_width: float | None = None,
    axes: str | None = None,
    condition: str | Sequence[str] | None = (),
    behaviour_lag: float = 0.0,
    held_out: HeldOut = 0,
    split: Sequence[float] | str = (0.7, 0.15, 0.15),
    split_by: SplitBy = "condition",
    seed: int = 0,
    **others: Any,
) -> Dataset:
    """Returns trials of real values as a data set: the input group, or a further target group beside counts.

    Args:
        session: Name of the session.
        names: Name of the array of each role.
        found: Array of each role.
        vectors: Further vectors of the file; those with one entry for each trial can be named.
        align: Name of the event at the first bin.
        bin_width: Width of a bin in seconds; a multiple of that of the file, if the file has one.
        axes: Order of the axes of values and counts; None for (trial, time, channel).
        condition: Vectors that are the condition; by default "condition", if there is one.
        behaviour_lag: Delay of behaviour after rates in seconds.
        held_out: Number or share of channels of the input group that the encoder does not see, drawn at random.
        split: Shares of train, valid and test, or the vector that names the split of each trial.
        split_by: "condition" or "time", as in `cut`.
        seed: Seed of all draws.
        others: Further arguments of `cut`, which are refused.
    """
    for name in others:
        raise DataError(
            f"`{name}` cannot be used with `values`, whose trials are cut already. Leave it out; `data.select` of "
            "the data set takes trials, channels and windows."
        )
    group = group_of(names)
    groups = {INPUT_GROUP: _trials("counts", names, found, axes)} if "counts" in found else {}
    groups[group] = _trials("values", names, found, axes)
    first, *rest = groups
    n_trials, n_channels = len(groups[first]), groups[first][0].shape[-1]
    columns = {name: values for name, values in vectors.items() if len(values) == n_trials}
    columns |= {role: np.ravel(found[role]) for role in ("trial_id", "condition") if role in found}
    labels = _condition(columns, condition)
    stored = stored_width(found)
    data = from_arrays(
        groups[first],
        group=first,
        other_targets={name: groups[name] for name in rest},
        kind={group: "real"},
        held_out=drawn_channels(held_out, n_channels, seed),
        bin_width=bin_width if stored is None else stored,
        event=align or "trial start",
        condition=labels,
        behaviour=_trials("behaviour", names, found, axes) if "behaviour" in found else None,
        behaviour_name=names.get("behaviour", "velocity"),
        behaviour_lag=behaviour_lag,
        trial_id=columns.get("trial_id"),
        channel_names=[str(name) for name in np.ravel(found["unit_id"])] if "unit_id" in found else None,
        missing=True,
        split=_splits(split, split_by, columns, labels, n_trials, seed),
        session=session,
    )
    if axes is not None:  # the order is known
        data = dataclasses.replace(data, findings=tuple(own for own in data.findings if own.name != "order of axes"))
    n_joined = bins_in_one(bin_width, stored)
    return data if n_joined == 1 else data.rebin(n_joined)


def group_of(names: Mapping[str, str]) -> str:
    """Returns the name of the target group of real values: that of their array."""
    return names["values"].replace(JOINED, "_")


def stored_width(found: Mapping[str, np.ndarray]) -> float | None:
    """Returns the width of the bins of the file in seconds, or None if it is unknown."""
    return float(np.ravel(found["bin_width"])[0]) if "bin_width" in found else None


def bins_in_one(asked: float | None, stored: float | None) -> int:
    """Returns how many bins of the file make one of the width that is asked for."""
    if asked is None or stored is None:
        return 1
    n = asked / stored
    if round(n) < 1 or abs(n - round(n)) > FITS * n:
        raise DataError(f"`bin_width` must be a multiple of the bins of the file, {stored:g} s, got {asked:g}.")
    return round(n)


def _trials(
    role: str, names: Mapping[str, str], found: Mapping[str, np.ndarray], axes: str | None
) -> np.ndarray | list[np.ndarray]:
    """Returns the trials of a role, (trial, time, channel), or one array (time, channel) for each trial."""
    values, order = np.asarray(found[role]), parse_axes(axes, "`axes`")
    label = f"The array {names[role]!r}"
    if "lengths" not in found:
        validation.dimensions(values, 3, label)
        return values if order is None else values.transpose(order)
    validation.dimensions(values, 2, label)
    ends = np.cumsum(np.ravel(found["lengths"]).astype(int))
    validation.size(len(values), int(ends[-1]), "bins", label, f"the sum of {names['lengths']!r}")
    return np.split(values, ends[:-1])


def _condition(columns: Mapping[str, np.ndarray], condition: str | Sequence[str] | None) -> np.ndarray | None:
    """Returns the condition of each trial; several vectors are joined as text."""
    if condition is None:
        return None
    asked = [condition] if isinstance(condition, str) else list(condition)
    for name in asked:
        validation.one_of(name, columns, "A vector of `condition`")
    if len(asked) < 2:
        return columns.get(asked[0] if asked else "condition")
    return np.array([", ".join(map(str, row)) for row in zip(*(columns[name].tolist() for name in asked), strict=True)])


def drawn_channels(held_out: Any, n_channels: int, seed: int) -> Any:
    """Returns the channels that the encoder does not see."""
    if isinstance(held_out, str) or np.ndim(held_out):
        return held_out
    n = round(held_out * n_channels) if 0 < held_out < 1 else held_out
    if not 0 <= n < n_channels or n != int(n):
        raise DataError(
            f"`held_out` must be a share below 1 or a number of channels from 0 to {n_channels - 1}, got {held_out}."
        )
    return np.sort(np.random.default_rng(seed).permutation(n_channels)[: int(n)])


def _splits(
    split: Sequence[float] | str,
    by: SplitBy,
    columns: Mapping[str, np.ndarray],
    condition: np.ndarray | None,
    n_trials: int,
    seed: int,
) -> np.ndarray:
    """Returns the name of the split of each trial."""
    if isinstance(split, str):
        validation.one_of(split, columns, "`split`, as the name of a vector with one entry for each trial,")
        return np.array([NAMES.get(str(name), str(name)) for name in columns[split]])
    validation.one_of(by, get_args(SplitBy), "`split_by`")
    if by == "condition":
        return random_names(condition, n_trials, split[1], split[2], seed)
    ends = np.round(np.cumsum(split) * n_trials).astype(int)
    return np.repeat(["train", "valid", "test"], np.diff(ends, prepend=0))

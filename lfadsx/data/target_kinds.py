"""The kind of data, counts or real numbers, decided once when they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, Split
from lfadsx.types import Kind, TargetGroup

Asked = Kind | Mapping[str, Kind] | None
"""The kind that a user asks for: of the input group, by target group, or None to go by the numbers."""

COUNT_UNIT = "counts per bin"


def by_group(value: Any, input_group: str) -> dict[str, Any]:
    """Returns a setting by target group; a single value applies to the input group."""
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    return {input_group: value}


def target_groups(
    parts: Sequence[tuple[Split, Mapping[str, str]]],
    input_group: str,
    kind: Asked = None,
    unit: str | Mapping[str, str] | None = None,
) -> dict[str, TargetGroup]:
    """Decides the kind and the unit of each target group, one kind in all splits and sessions.

    Args:
        parts: All splits of all sessions, 0 where an entry is missing, each with the labels of its arrays in messages.
        input_group: The target group whose channels the encoder sees.
        kind: As for `from_arrays`.
        unit: As for `from_arrays`.
    """
    names = list(dict.fromkeys(group for split, _ in parts for group in split.targets))
    kinds, units = by_group(kind, input_group), by_group(unit, input_group)
    for name in [*kinds, *units]:
        validation.one_of(name, names, "A target group of `kind` or `unit`")
    groups = {}
    for name in names:
        wanted = kinds.get(name)
        arrays = [pair for split, labels in parts for pair in _arrays(split, labels, name, input_group)]
        if wanted is not None:
            validation.one_of(wanted, get_args(Kind), f"The kind of {name!r}")
        if wanted == "counts":
            for values, label in arrays:
                validation.counts(values, label)
        if wanted == "counts" or (wanted is None and name not in units):
            for values, label in arrays:
                validation.possible_counts(values, label)
        counts = wanted == "counts"
        if wanted is None:
            counts = not any(validation.not_counts(values).any() for values, _ in arrays)
        if not counts:
            for values, label in arrays:
                validation.single_precision(values, label)
        groups[name] = TargetGroup("counts" if counts else "real", units.get(name, COUNT_UNIT if counts else ""))
    return groups


def cast(split: Split, groups: Mapping[str, TargetGroup], input_group: str) -> Split:
    """Returns a split with counts in the smallest integer type that holds them, and real numbers in float32."""

    def smallest(values: np.ndarray, group: str) -> np.ndarray:
        counts = groups[group].kind == "counts"
        return values.astype(np.min_scalar_type(int(values.max())) if counts else np.float32, copy=False)

    seen = smallest(split.encoder_input, input_group)
    targets = {
        group: seen if values is split.encoder_input else smallest(values, group)
        for group, values in split.targets.items()
    }
    return dataclasses.replace(split, encoder_input=seen, targets=targets)


def first_not_count(data: Dataset, group: str) -> tuple[str, float, str] | None:
    """Returns split, value and place of the first entry of a target group that is not a count, or None."""
    for name, split in data.splits.items():
        values = split.targets[group]
        wrong = validation.not_counts(values)
        if wrong.any():
            return name, float(values[wrong][0]), validation.place(wrong)
    return None


def _arrays(split: Split, labels: Mapping[str, str], group: str, input_group: str) -> Iterator[tuple[np.ndarray, str]]:
    if group == input_group:
        yield split.encoder_input, labels["encoder_input"]
    if f"targets/{group}" in labels:
        yield split.targets[group], labels[f"targets/{group}"]

"""Whether data are counts or real numbers, decided once when they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, Split
from lfadsx.types import Kind, TargetGroup

Asked = Kind | Mapping[str, Kind] | None
"""What a user asks for: a kind for the input group, kinds by target group, or None to go by the numbers."""

COUNT_UNIT = "counts per bin"


def target_groups(
    parts: Sequence[tuple[Split, Mapping[str, str]]],
    input_group: str,
    kind: Asked = None,
    unit: str | Mapping[str, str] | None = None,
) -> dict[str, TargetGroup]:
    """Decides what the numbers of each target group are.

    Whole numbers from 0 are counts and all others real, unless `kind` says otherwise. A group is one kind in all
    splits and sessions.

    Args:
        parts: All splits of all sessions, 0 where an entry is missing, each with what messages call its arrays.
        input_group: The target group whose channels the encoder sees.
        kind: "counts" or "real" for the input group, or by group; decided by the numbers when None.
        unit: Unit of the data of the input group, or by group; counts have "counts per bin" when None.
    """
    names = list(dict.fromkeys(group for split, _ in parts for group in split.targets))
    kinds = {input_group: kind} if isinstance(kind, str) else dict(kind or {})
    units = {input_group: unit} if isinstance(unit, str) else dict(unit or {})
    for name in [*kinds, *units]:
        validation.one_of(name, names, "A target group of `kind` or `unit`")
    groups = {}
    for name in names:
        if name in kinds:
            validation.one_of(kinds[name], get_args(Kind), f"The kind of {name!r}")
        wanted = kinds.get(name)
        arrays = [pair for split, labels in parts for pair in _arrays(split, labels, name, input_group)]
        if wanted == "counts":
            for values, label in arrays:
                validation.counts(values, label)
        counts = all(not_count(values) is None for values, _ in arrays) if wanted is None else wanted == "counts"
        groups[name] = TargetGroup("counts" if counts else "real", units.get(name, COUNT_UNIT if counts else ""))
    return groups


def cast(split: Split, groups: Mapping[str, TargetGroup], input_group: str) -> Split:
    """Returns a split whose counts have the smallest integer type that holds them; real numbers become float32."""

    def smallest(values: np.ndarray, group: str) -> np.ndarray:
        counts = groups[group].kind == "counts"
        return values.astype(np.min_scalar_type(int(values.max())) if counts else np.float32, copy=False)

    targets = {group: smallest(values, group) for group, values in split.targets.items()}
    return dataclasses.replace(split, encoder_input=smallest(split.encoder_input, input_group), targets=targets)


def not_count(values: np.ndarray) -> tuple[int, ...] | None:
    """Returns the place of the first entry that is not a count (a whole number from 0), or None."""
    wrong = validation.not_counts(values)
    return tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.any() else None


def first_not_count(data: Dataset, group: str) -> tuple[str, float, str] | None:
    """Returns split, value and place of the first entry of a target group that is not a count, or None."""
    for name, split in data.splits.items():
        place = not_count(split.targets[group])
        if place is not None:
            where = ", ".join(f"{axis} {i}" for axis, i in zip(("trial", "bin", "channel"), place, strict=True))
            return name, float(split.targets[group][place]), where
    return None


def _arrays(split: Split, labels: Mapping[str, str], group: str, input_group: str) -> Iterator[tuple[np.ndarray, str]]:
    if group == input_group:
        yield split.encoder_input, labels["encoder_input"]
    if f"targets/{group}" in labels:
        yield split.targets[group], labels[f"targets/{group}"]

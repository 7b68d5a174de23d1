"""The split that a name refers to: one split, all of them, or the default for results."""

from __future__ import annotations

from collections.abc import Collection

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.fold_datasets import all_trials

ALL = "all"
"""Name of all trials of all splits together, in the order of the input."""


def split_name(names: Collection[str], split: str | None = None) -> str:
    """Returns the name of the requested split or "all"; by default test if it exists, else valid."""
    if split is None:
        return next((name for name in ("test", "valid", *names) if name in names), ALL)
    validation.one_of(split, list(dict.fromkeys([*names, ALL])), "`split`")
    return split


def trials_of(data: Dataset, split: str | None = None) -> tuple[str, Split]:
    """Returns the name and the trials of a split of a data set; see `split_name`."""
    name = split_name(data.splits, split)
    return name, all_trials(data) if name == ALL else data.splits[name]

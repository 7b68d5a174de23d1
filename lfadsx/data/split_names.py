"""Which split is meant: by name, all of them, or by default the one that results are about."""

from __future__ import annotations

from collections.abc import Collection

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.fold_datasets import all_trials
from lfadsx.errors import LfadsxError, nearest

ALL = "all"
"""Name of all trials of all splits together, in the order of the input."""


def split_name(names: Collection[str], split: str | None = None) -> str:
    """Returns the name of the split that is asked for; by default test if there is one, else valid.

    Example:
        >>> from lfadsx.data.split_names import split_name
        >>> split_name(["train", "valid"]), split_name(["train", "valid"], "train")
        ('valid', 'train')

    Args:
        names: Names of the splits that there are.
        split: One of these, "all", or None for the default.
    """
    if split is None:
        return next((name for name in ("test", "valid", *names) if name in names), ALL)
    known = [*names] if ALL in names else [*names, ALL]
    if split not in known:
        raise LfadsxError(
            f"`split` must be one of {', '.join(map(repr, known))}, got {split!r}{nearest(split, known)}."
        )
    return split


def trials_of(data: Dataset, split: str | None = None) -> tuple[str, Split]:
    """Returns the name and the trials of a split of a data set; arguments and errors as in `split_name`."""
    name = split_name(data.splits, split)
    return name, all_trials(data) if name == ALL else data.splits[name]

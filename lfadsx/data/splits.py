"""Choosing trials: subsets of a split, and random train, valid and test trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from lfadsx.data import validation
from lfadsx.data.condition_labels import has_label, tidy_labels
from lfadsx.data.dataset import Split
from lfadsx.errors import DataError


def map_arrays(split: Split, function: Callable[[np.ndarray], np.ndarray]) -> Split:
    """Returns a split with `function` applied to every array; None stays None.

    An array that occurs twice stays one array: the encoder's data are the targets, if nothing is held out.
    """
    done: dict[int, np.ndarray] = {}

    def apply(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: apply(value) for name, value in values.items()}
        if values is None:
            return None
        if id(values) not in done:
            done[id(values)] = function(values)
        return done[id(values)]

    return Split(**{field.name: apply(getattr(split, field.name)) for field in dataclasses.fields(split)})


def choose(split: Split, rows: np.ndarray | slice) -> Split:
    """Returns the chosen trials of a split, in the order of `rows`.

    Args:
        split: Any split.
        rows: Row numbers, shape (chosen trial,), or True for chosen trials, shape (trial,); a slice copies nothing.
    """
    return map_arrays(split, lambda values: values[rows])


def split(
    condition: np.ndarray | Sequence[Any],
    *,
    by: Literal["trials", "conditions"] = "trials",
    valid_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Draws which trials train, validate and test: trials of every condition, or whole conditions.

    By trials, the splits share conditions: scores tell how well new trials of known conditions are described.
    By conditions, each condition is in one split only: scores tell how well new conditions are described.

    Example:
        >>> import numpy as np
        >>> from lfadsx.data import split
        >>> condition = np.repeat([0, 1, 2, 3, 4], 10)
        >>> names = split(condition, by="conditions", test_fraction=0.2)
        >>> [len(set(condition[names == name])) for name in ("train", "valid", "test")]
        [3, 1, 1]

    Args:
        condition: Condition of each trial, number or text, shape (trial,). Trials without a condition (None, NaN, "")
            count as one more condition by trials, and all train by conditions.
        by: "trials" for trials of each condition in proportion, "conditions" for whole conditions.
        valid_fraction: Share of trials, or of conditions, for validation, above 0.
        test_fraction: Share of trials, or of conditions, for the test; 0 for no test.
        seed: Seed of the draw.

    Returns:
        "train", "valid" or "test" for each trial, shape (trial,), as `from_arrays(..., split=...)` takes it.

    Raises:
        DataError: If the fractions leave a split empty, or `condition` is not a list of conditions.
    """
    validation.one_of(by, ("trials", "conditions"), "`by`")
    n_trials, labels = len(condition), tidy_labels(condition, "`condition`")
    if labels is not None:
        validation.dimensions(labels, 1, "`condition`")
    if by == "trials":
        return random_names(labels, n_trials, valid_fraction, test_fraction, seed)
    if labels is None:
        raise DataError("No trial has a condition, so whole conditions cannot be split. Use by='trials'.")
    labelled, names = has_label(labels), np.full(n_trials, "train")
    found, place = np.unique(labels[labelled], return_inverse=True)
    names[labelled] = random_names(None, len(found), valid_fraction, test_fraction, seed, "conditions")[place]
    return names


def names_in_order(n_trials: int, valid_fraction: float, test_fraction: float) -> np.ndarray:
    """Returns the split of each trial of a condition, shape (trial,): first train, then valid, then test."""
    n_valid, n_test = round(n_trials * valid_fraction), round(n_trials * test_fraction)
    if n_valid < 1 or (test_fraction > 0 and n_test < 1) or n_valid + n_test >= n_trials:
        raise DataError(
            f"{n_trials} trials per condition with `valid_fraction` {valid_fraction} and `test_fraction` "
            f"{test_fraction} give {n_valid} valid and {n_test} test trials. Give more trials per condition, "
            "or fractions that leave at least one trial for each split."
        )
    return np.repeat(["train", "valid", "test"], [n_trials - n_valid - n_test, n_valid, n_test])


def checked_shares(split: Sequence[float]) -> tuple[float, float, float]:
    """Returns the shares of train, valid and test; raises `DataError` unless they are shares that sum to 1."""
    shares = tuple(float(share) for share in split)
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or 0 in shares[:2]:
        raise DataError(
            "`split` must hold the shares of train, valid and test, which sum to 1 (only test may be 0), got "
            f"{', '.join(f'{share:g}' for share in shares)}. Use for example (0.7, 0.15, 0.15)."
        )
    return shares


def random_names(
    condition: np.ndarray | None,
    n_trials: int,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
    what: str = "trials",
) -> np.ndarray:
    """Draws "train", "valid" or "test" for each trial, each condition in proportion; see `split`.

    `condition` has shape (trial,) or is None; `what` is the plural of the unit that is split, for messages.
    """
    if not (valid_fraction > 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise DataError(
            "`valid_fraction` must be above 0, `test_fraction` at least 0 and their sum below 1, got "
            f"{valid_fraction} and {test_fraction}."
        )
    rng = np.random.default_rng(seed)
    names = np.full(n_trials, "train")
    for name, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        rows = np.flatnonzero(names == "train")
        n_chosen = max(1, round(fraction * n_trials)) if fraction > 0 else 0
        if n_chosen >= len(rows):
            raise DataError(
                f"{n_trials} {what} cannot be split with `valid_fraction` {valid_fraction} and `test_fraction` "
                f"{test_fraction}: no {what} would be left to train on. Give more {what} or smaller fractions."
            )
        names[rows[_evenly(None if condition is None else condition[rows], len(rows), n_chosen, rng)]] = name
    return names


def names_by_group(
    group: np.ndarray, condition: np.ndarray | None, valid_fraction: float, test_fraction: float, seed: int
) -> np.ndarray:
    """Draws names as `random_names` does, one for each group of trials; `group` has shape (trial,)."""
    _, first, own = np.unique(group, return_index=True, return_inverse=True)
    labels, what = None if condition is None else condition[first], "groups of pieces that share bins"
    what = "trials" if len(first) == len(group) else what
    return random_names(labels, len(first), valid_fraction, test_fraction, seed, what)[own]


def _evenly(condition: np.ndarray | None, n: int, n_chosen: int, rng: np.random.Generator) -> np.ndarray:
    """Draws every (n / n_chosen)-th of the rows sorted by condition, so each condition gets its share."""
    if n_chosen == 0:
        return np.empty(0, int)
    order = rng.permutation(n)
    if condition is not None:
        order = order[np.argsort(condition[order], kind="stable")]
    return order[np.floor((np.arange(n_chosen) + rng.random()) * n / n_chosen).astype(int)]

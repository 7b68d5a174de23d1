"""Choosing trials: subsets of a split, and random train, valid and test trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from lfadsx.data.errors import DataError
from lfadsx.types import Split


def map_arrays(split: Split, function: Callable[[np.ndarray], np.ndarray]) -> Split:
    """Returns a split with `function` applied to every array, of whatever shape; None stays None."""

    def apply(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: apply(value) for name, value in values.items()}
        return None if values is None else function(values)

    return Split(**{field.name: apply(getattr(split, field.name)) for field in dataclasses.fields(split)})


def choose(split: Split, rows: np.ndarray) -> Split:
    """Returns the chosen trials of a split.

    Args:
        split: Any split.
        rows: Row numbers, shape (chosen trial,), or True for chosen trials, shape (trial,).

    Returns:
        The split with these trials only, in the order of `rows`.
    """
    return map_arrays(split, lambda values: values[rows])


def random_names(
    condition: np.ndarray | None, n_trials: int, valid_fraction: float, test_fraction: float, seed: int
) -> np.ndarray:
    """Draws which trials train, validate and test, each condition in proportion.

    Args:
        condition: Condition of each trial, shape (trial,), or None.
        n_trials: Number of trials.
        valid_fraction: Share of trials for validation, above 0.
        test_fraction: Share of trials for the test, 0 for no test.
        seed: Seed of the draw.

    Returns:
        "train", "valid" or "test" for each trial, shape (trial,).

    Raises:
        DataError: If the fractions or the number of trials leave a split empty.
    """
    if not (valid_fraction > 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise DataError(
            f"valid_fraction is {valid_fraction} and test_fraction is {test_fraction}. "
            "Give a valid_fraction above 0, and two fractions that leave trials to train on."
        )
    rng = np.random.default_rng(seed)
    names = np.full(n_trials, "train")
    for name, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        rows = np.flatnonzero(names == "train")
        n_chosen = max(1, round(fraction * n_trials)) if fraction > 0 else 0
        if n_chosen >= len(rows):
            raise DataError(
                f"{n_trials} trials cannot be split with valid_fraction {valid_fraction} and test_fraction "
                f"{test_fraction}: none would be left to train on. Give more trials or smaller fractions."
            )
        names[rows[_evenly(None if condition is None else condition[rows], len(rows), n_chosen, rng)]] = name
    return names


def _evenly(condition: np.ndarray | None, n: int, n_chosen: int, rng: np.random.Generator) -> np.ndarray:
    """Draws `n_chosen` of `n` rows: every (n / n_chosen)-th of the rows sorted by condition.

    Within a condition the order is random, so each condition gets its share up to one trial.
    """
    if n_chosen == 0:
        return np.empty(0, int)
    order = rng.permutation(n)
    if condition is not None:
        order = order[np.argsort(condition[order], kind="stable")]
    return order[np.floor((np.arange(n_chosen) + rng.random()) * n / n_chosen).astype(int)]

"""The trials of each condition with its name and its colour in the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from matplotlib import colormaps
from matplotlib.colors import to_hex

from lfadsx.data.condition_labels import has_label
from lfadsx.plotting.condition_colours import QUALITATIVE
from lfadsx.plotting.style import BLUE, GREY


class ConditionGroup(NamedTuple):
    """The trials of one condition.

    Attributes:
        name: Name of the condition.
        members: Positions of its trials, shape (trial of the condition,).
        colour: Its colour.
        known: False for the only group of trials without conditions.
    """

    name: str
    members: np.ndarray
    colour: str
    known: bool = True


def condition_groups(
    condition: Shaped[np.ndarray, " trial"] | None,
    n_trials: int,
    others: Iterable[Shaped[np.ndarray, " other"] | None] = (),
) -> list[ConditionGroup]:
    """Returns the trials of each condition in sorted order; without conditions one group of all trials.

    Example:
        >>> import numpy as np
        >>> [(group.name, group.members.tolist()) for group in condition_groups(np.array([1.0, np.nan, 0.5]), 3)]
        [('0.5', [2]), ('1', [0]), ('no condition', [1])]

    Args:
        condition: Condition of each trial, or None.
        n_trials: Number of trials.
        others: Conditions of the trials of other splits, so that a condition has one colour in all of them.
    """
    labelled = np.zeros(n_trials, bool) if condition is None else has_label(condition)
    if condition is None or not labelled.any():
        return [ConditionGroup("all trials", np.arange(n_trials), BLUE, known=False)]
    labels = [of[has_label(of)] for of in (condition, *others) if of is not None]
    values = np.unique(np.concatenate(labels))
    named = zip(values, _colours(len(values)), strict=True)
    groups = [ConditionGroup(_name(value), np.flatnonzero(condition == value), colour) for value, colour in named]
    groups.append(ConditionGroup("no condition", np.flatnonzero(~labelled), GREY))
    return [group for group in groups if len(group.members)]


def _colours(n: int) -> list[str]:
    if n <= len(QUALITATIVE):
        return list(QUALITATIVE[:n])
    # The ends of the map would vanish on a dark or on a white page.
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0.25, 0.85, n))]


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)

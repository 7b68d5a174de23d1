"""Trials by condition, with the colour that each condition has in all figures of a data set."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset, Split
from lfadsx.plotting.style import BLUE, BOLD, GREY, image_map, legend_beside

QUALITATIVE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#882255", "#262626", "#D55E00")
"""Colours distinct for any colour vision: those of Okabe and Ito without yellow, which fades on white, and the wine red
of Tol. The orange of `style.ORANGE`, which marks what the encoder did not see, comes last."""
N_GROUPS = 6
"""Groups that more conditions than `QUALITATIVE` has colours are joined into."""


class Group(NamedTuple):
    """The trials of one condition, or of neighbouring conditions.

    Attributes:
        name: Name of the condition, or of the first and the last one.
        members: Positions of its trials in the split, shape (trial of the condition,).
        colour: Its colour.
    """

    name: str
    members: np.ndarray
    colour: str


@dataclasses.dataclass(frozen=True)
class Conditions:
    """The conditions of a split's trials.

    Attributes:
        groups: The trials of each condition that occurs in the split, or of each group of conditions; without
            conditions one group of all trials.
        n_conditions: Number of conditions of the data set; 0 if the data have none.
    """

    groups: list[Group]
    n_conditions: int

    @property
    def known(self) -> bool:
        """True if the data have conditions."""
        return self.n_conditions > 0

    @property
    def joined(self) -> bool:
        """True if each group holds several conditions."""
        return self.n_conditions > len(QUALITATIVE)

    @property
    def average_name(self) -> str:
        """Name of an average over the trials of each group."""
        return "average over trials" if not self.known else f"{'group' if self.joined else 'condition'} averages"

    @property
    def key_colour(self) -> str:
        """Colour of legend entries for all conditions."""
        return GREY if self.known else BLUE

    def trial_colours(self, n_trials: int) -> list[str]:
        """Return the colour of every trial, in the order of the split."""
        colours = [BLUE] * n_trials
        for group in self.groups:
            for trial in group.members:
                colours[trial] = group.colour
        return colours

    def within(self, trials: np.ndarray) -> list[Group]:
        """Return the groups that have some of the given trials of the split, with only these as members."""
        groups = [group._replace(members=np.intersect1d(group.members, trials)) for group in self.groups]
        return [group for group in groups if len(group.members)]

    def add_legend(self, figure: FigureBase) -> None:
        """Add a legend with the number of trials of each condition beside the panels; none without conditions."""
        if not self.known:
            return
        handles = [
            Line2D([], [], color=group.colour, lw=BOLD, label=f"{group.name} (n = {len(group.members)})")
            for group in self.groups
        ]
        title = f"{self.n_conditions} conditions\nin groups" if self.joined else "Condition"
        legend_beside(figure, handles, f"{title} (trials)")


def conditions_of(dataset: Dataset, split: Split) -> Conditions:
    """Return the conditions of a split in sorted order; conditions of all splits together decide the colours.

    More conditions than there are colours are joined into groups of neighbours in sorted order.
    """
    if split.condition is None:
        return Conditions([Group("all trials", np.arange(split.n_trials), BLUE)], 0)
    labels = [of.condition[of.labelled] for of in (*dataset.splits.values(), split) if of.condition is not None]
    values = np.unique(np.concatenate(labels))
    colours = np.array(condition_colours(values))
    groups = [
        Group(_range(part), np.flatnonzero(np.isin(split.condition, part)), colour)
        for part, colour in ((values[colours == colour], colour) for colour in dict.fromkeys(colours))
    ]
    groups.append(Group("no condition", np.flatnonzero(~split.labelled), GREY))
    return Conditions([group for group in groups if len(group.members)], len(values))


def condition_colours(values: np.ndarray) -> list[str]:
    """Return a colour for each of the sorted conditions: distinct ones for labels, from dark to light for quantities.

    Text and consecutive whole numbers are labels; other numbers, such as angles or contrasts, are quantities.
    Neighbours share a colour if there are more conditions than colours.
    """
    n = len(values) if len(values) <= len(QUALITATIVE) else N_GROUPS
    if not np.issubdtype(values.dtype, np.number) or np.all(np.diff(values.astype(float)) == 1.0):
        colours = list(QUALITATIVE[:n])
    else:  # the yellow end of the map fades on white
        colours = [to_hex(colour) for colour in image_map("viridis")(np.linspace(0.0, 0.88, n))]
    return [colour for colour, part in zip(colours, np.array_split(values, max(n, 1)), strict=False) for _ in part]


def condition_name(value: object) -> str:
    """Return a condition as text, without byte prefix and without .0 after whole numbers."""
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most `most` of the positions 0 to n - 1, evenly spread, shape (chosen,)."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _range(values: np.ndarray) -> str:
    first, last = condition_name(values[0]), condition_name(values[-1])
    return first if len(values) == 1 else f"{first} to {last}"

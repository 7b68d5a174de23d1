"""Trials by condition, with the colour that each condition has in all figures of a data set."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset, Split
from lfadsx.plotting.style import BLUE, BOLD, GREY, MEDIUM, legend_beside

QUALITATIVE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#262626")
"""Colours of Okabe and Ito, distinct for any colour vision, without yellow, which fades on white."""
MOST_IN_LEGEND = 12
"""Most conditions in a legend."""


class Group(NamedTuple):
    """The trials of one condition.

    Attributes:
        name: Name of the condition.
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
        groups: The trials of each condition that occurs in the split; without conditions one group of all trials.
        known: True if the data have conditions.
    """

    groups: list[Group]
    known: bool

    @property
    def average_name(self) -> str:
        """Name of an average over the trials of each group."""
        return "condition averages" if self.known else "average over trials"

    @property
    def key_colour(self) -> str:
        """Colour of legend entries for all conditions."""
        return GREY if self.known else BLUE

    @property
    def average_width(self) -> float:
        """Width of the line of an average, slimmer if there are many."""
        return BOLD if len(self.groups) <= MOST_IN_LEGEND else MEDIUM

    def trial_colours(self, n_trials: int) -> list[str]:
        """Return the colour of every trial, in the order of the split."""
        colours = [BLUE] * n_trials
        for group in self.groups:
            for trial in group.members:
                colours[trial] = group.colour
        return colours

    def name_of(self, trial: int) -> str | None:
        """Return the name of a trial's condition, or None without conditions."""
        names = (group.name for group in self.groups if trial in group.members)
        return next(names, None) if self.known else None

    def within(self, trials: np.ndarray, most: int) -> list[Group]:
        """Return at most `most` conditions, evenly selected, with only the given trials of the split as members."""
        groups = [group._replace(members=np.intersect1d(group.members, trials)) for group in self.groups]
        groups = [group for group in groups if len(group.members)]
        return [groups[i] for i in evenly(len(groups), most)]

    def add_legend(self, figure: FigureBase, most: int = MOST_IN_LEGEND) -> None:
        """Add a legend of at most `most` conditions, evenly selected, beside the panels; none without conditions."""
        if not self.known:
            return
        n = len(self.groups)
        shown = [self.groups[i] for i in evenly(n, most)]
        handles = [Line2D([], [], color=group.colour, lw=BOLD, label=group.name) for group in shown]
        legend_beside(figure, handles, "Condition" if n <= most else f"Condition\n({most} of {n})")


def conditions_of(dataset: Dataset, split: Split) -> Conditions:
    """Return the conditions of a split in sorted order; conditions of all splits together decide the colours."""
    if split.condition is None:
        return Conditions([Group("all trials", np.arange(split.n_trials), BLUE)], known=False)
    labels = [of.condition[of.labelled] for of in (*dataset.splits.values(), split) if of.condition is not None]
    values = np.unique(np.concatenate(labels))
    named = zip(values, condition_colours(values), strict=True)
    groups = [Group(_name(value), np.flatnonzero(split.condition == value), colour) for value, colour in named]
    groups.append(Group("no condition", np.flatnonzero(~split.labelled), GREY))
    return Conditions([group for group in groups if len(group.members)], known=True)


def condition_colours(values: np.ndarray) -> list[str]:
    """Return a colour for each of the sorted conditions: a colour circle for numbers, else distinct colours."""
    ordered = np.issubdtype(values.dtype, np.number) and len(values) > 3
    if ordered or len(values) > len(QUALITATIVE):
        return cyclic_colours(len(values))
    return list(QUALITATIVE[: len(values)])


def cyclic_colours(n: int) -> list[str]:
    """Return `n` colours at equal steps round a circle in the perceptual space Oklab.

    Neighbours also differ in lightness, for red-green blindness and black-and-white prints. Yellow is lighter than
    blue, as the eye expects.
    """
    hue = 2 * np.pi * np.arange(n) / max(n, 1) + np.deg2rad(255)
    lightness = 0.63 + 0.11 * np.cos(hue - np.deg2rad(85))
    return [_hex(light, 0.135 * np.cos(h), 0.135 * np.sin(h)) for light, h in zip(lightness, hue, strict=True)]


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most `most` of the positions 0 to n - 1, evenly spread, shape (chosen,)."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _hex(lightness: float, a: float, b: float) -> str:
    """Return the sRGB code of a colour in Oklab."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.array(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ]
    ).clip(0.0, 1.0)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (255 * rgb).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _name(value: object) -> str:
    """Return a condition as text, without byte prefix and without .0 after whole numbers."""
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)

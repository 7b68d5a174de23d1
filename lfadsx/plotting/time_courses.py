"""Panels of latent time courses: single trials thin, averages bold with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lfadsx.plotting.averaging import mean_and_interval
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.style import BOLD, ORANGE, THIN, few_ticks
from lfadsx.plotting.view import View

MOST_TRIALS = 150
"""Single trials in a panel; more hide each other."""
MOST_INTERVALS = 12
"""Conditions that get an interval; more cover each other."""


def draw_single_trials(ax: Axes, view: View, values: np.ndarray) -> None:
    """Draw the time courses of single trials in the colours of their conditions.

    Args:
        values: Shape (trial, time), NaN where there is none.
    """
    lines = [np.column_stack([view.time, course]) for course in values]
    draw_lines(ax, view, lines)


def draw_lines(ax: Axes, view: View, lines: Sequence[np.ndarray]) -> None:
    """Draw one thin line per trial, an even selection of them when they are many.

    Args:
        lines: Corners of each trial's line, each of shape (corner, 2); corners with NaN are left out.
    """
    colours = view.conditions.trial_colours(view.split.n_trials)
    shown = evenly(len(lines), MOST_TRIALS)
    corners = [lines[trial][np.isfinite(lines[trial]).all(axis=1)] for trial in shown]
    # Many lines must be fainter than few to leave the same impression.
    alpha = float(np.clip(1.2 / np.sqrt(len(shown)), 0.12, 0.6))
    drawn = LineCollection(corners, colors=[colours[i] for i in shown], linewidths=THIN, alpha=alpha, zorder=1)
    ax.add_collection(drawn)
    ax.autoscale_view()


def draw_averages(ax: Axes, view: View, values: np.ndarray, dashed: bool = False) -> None:
    """Draw the average of each condition, or of all trials, with its 95 % interval over trials.

    Args:
        values: Shape (trial, time), NaN where there is none.
        dashed: True for true values: dashed, without interval.
    """
    groups = view.conditions.groups
    style = {"lw": 1.0, "ls": "--"} if dashed else {"lw": view.conditions.average_width, "ls": "-"}
    for group in groups:
        mean, half = mean_and_interval(values[group.members])
        if not dashed and len(groups) <= MOST_INTERVALS:
            low, high = mean - half, mean + half
            ax.fill_between(view.time, low, high, color=group.colour, alpha=0.2, lw=0, zorder=2)
        ax.plot(view.time, mean, color=group.colour, zorder=3, **style)


def frame_courses(ax: Axes, view: View) -> None:
    """Give a panel of time courses the common time axis and the line where forward prediction begins."""
    start = view.forward_start()
    if start is not None:
        ax.axvline(start, color=ORANGE, lw=1.0, zorder=0)
    ax.set_xlim(view.units.start, view.end)
    few_ticks(ax, x=4, y=4)


def course_handles(view: View) -> list[Artist]:
    """Return the legend entries of time courses; colours are explained by the legend of the conditions."""
    n, shown = view.split.n_trials, min(view.split.n_trials, MOST_TRIALS)
    colour, groups = view.conditions.key_colour, view.conditions.groups
    single = "single trials" if n == shown else f"single trials ({shown} of {n})"
    handles: list[Artist] = [
        Line2D([], [], color=colour, lw=THIN, alpha=0.7, label=single),
        Line2D([], [], color=colour, lw=BOLD, label=view.conditions.average_name),
    ]
    if any(len(group.members) > 1 for group in groups) and len(groups) <= MOST_INTERVALS:
        handles.append(Patch(color=colour, alpha=0.25, lw=0, label="95 % interval of the average"))
    if view.forward_start() is not None:
        handles.append(Line2D([], [], color=ORANGE, lw=1.0, label="forward prediction starts"))
    return handles

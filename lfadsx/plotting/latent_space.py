"""Latent variables: trajectories, time courses with averages, and the initial conditions of the trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lfadsx.data.dataset import Dataset
from lfadsx.plotting.averaging import mean_and_interval, principal_components
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.style import BOLD, DOTTED, INK, ORANGE, THIN, few_ticks, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

PLANES = ((0, 1), (0, 2))
HALVES = np.array([-0.5, 0.5])
MOST_TRIALS = 150
"""Most single trials in a panel; more hide each other."""


def factors(posterior: Posterior, data: Dataset) -> Figure:
    """Draw the first principal components of the factors: up to two planes, and up to three time courses.

    The components are those of all trials and bins of the split together. Planes are drawn instead of three
    dimensions, because distances in a plane can be read off.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    scores, share = principal_components(posterior.factors)
    n_components = len(share)
    planes = [plane for plane in PLANES if max(plane) < n_components]
    width = 2.3 * n_components + (1.6 if view.conditions.known else 0.7)
    title = f"Factors of {view.split.n_trials} {posterior.split} trials, principal components"
    figure = new_figure(width, (3.0 if planes else 0.0) + 2.6, title)
    grid = figure.add_gridspec(2 if planes else 1, 6, height_ratios=[3.0, 1.9] if planes else None)
    for i, plane in enumerate(planes):
        ax = figure.add_subplot(grid[0, :] if len(planes) == 1 else grid[0, 3 * i : 3 * i + 3])
        draw_plane(ax, view, scores, share, plane)
    step = 6 // n_components
    for i in range(n_components):
        ax = figure.add_subplot(grid[-1, step * i : step * i + step])
        panel(ax, f"PC {i + 1} over time", view.units.time_label, "Score (a.u.)" if i == 0 else "")
        draw_single_trials(ax, view, scores[:, :, i])
        draw_averages(ax, view, scores[:, :, i])
        frame_courses(ax, view)
    key = {"color": view.conditions.key_colour, "ls": "", "ms": 5, "mec": "white"}
    start = [Line2D([], [], marker="o", label="first bin", **key)] if planes else []
    legend_below(figure, [*course_handles(view), *start])
    view.conditions.add_legend(figure)
    return figure


def draw_plane(ax: Axes, view: View, scores: np.ndarray, share: np.ndarray, plane: tuple[int, int]) -> None:
    """Draw trajectories in the plane of two principal components: single trials thin, averages bold.

    Args:
        ax: The axes.
        view: The split and its posterior.
        scores: Projections, shape (trial, time, component).
        share: Share of the variance of each component, shape (component,).
        plane: The components of the horizontal and of the vertical axis.
    """
    x, y = plane
    panel(ax, "", component_label(share, x), component_label(share, y))
    draw_lines(ax, view, [trial[:, [x, y]] for trial in scores])
    for group in view.conditions.groups:
        across, up = (mean_and_interval(scores[group.members, :, i])[0] for i in plane)
        ax.plot(across, up, color=group.colour, lw=BOLD, zorder=3)
        ax.plot(across[:1], up[:1], color=group.colour, marker="o", ls="", ms=5, mec="white", zorder=4)
    _frame_plane(ax, scores[..., x], scores[..., y])


def component_label(share: np.ndarray, component: int) -> str:
    """Return the name of a principal component with its share of the variance."""
    name = f"PC {component + 1}"
    return f"{name} ({100 * share[component]:.0f} % of variance)" if share.sum() > 0 else f"{name} (a.u.)"


def initial_conditions(posterior: Posterior, data: Dataset) -> Figure:
    """Draw the posterior means of initial conditions, one dot per trial, in the plane of their first two components.

    Initial conditions of one dimension are drawn against the order of the trials.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    n = view.split.n_trials
    scores, share = principal_components(posterior.ic_mean, most=2)
    flat = len(share) == 1
    x = np.arange(n) if flat else scores[:, 0]
    y = scores[:, -1]
    title = f"Initial conditions of {n} {posterior.split} trials"
    figure = new_figure(5.4 if view.conditions.known else 3.9, 3.6, title)
    ax = figure.subplots()
    across = "Trial (in the order of the split)" if flat else component_label(share, 0)
    panel(ax, "", across, component_label(share, len(share) - 1))
    size = float(np.clip(600.0 / n, 8.0, 30.0))
    colours = view.conditions.trial_colours(n)
    ax.scatter(x, y, s=size, c=colours, alpha=0.85, edgecolors="white", linewidths=0.4)
    if flat:
        few_ticks(ax, x=4, y=4)
    else:
        _frame_plane(ax, x, y)
    view.conditions.add_legend(figure)
    return figure


def _frame_plane(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Make a plane square, with one scale for both axes unless one would be too small to see."""
    low, high = np.array([[np.nanmin(values), np.nanmax(values)] for values in (x, y)]).T
    middle, size = (low + high) / 2, 1.08 * (high - low)
    size = np.where(size < size.max() / 4, size, size.max())
    size = np.where(size > 0, size, 1.0)
    ax.set(xlim=middle[0] + size[0] * HALVES, ylim=middle[1] + size[1] * HALVES)
    ax.set_box_aspect(1.0)
    few_ticks(ax, x=4, y=4)


def draw_single_trials(ax: Axes, view: View, values: np.ndarray) -> None:
    """Draw the time courses of single trials, shape (trial, time), in the colours of their conditions."""
    draw_lines(ax, view, [np.column_stack([view.time, course]) for course in values])


def draw_lines(ax: Axes, view: View, lines: Sequence[np.ndarray]) -> None:
    """Draw one thin line per trial, of an even selection if they are many.

    Lines have the shape (corner, 2); corners with NaN are left out.
    """
    colours = view.conditions.trial_colours(view.split.n_trials)
    shown = evenly(len(lines), MOST_TRIALS)
    corners = [lines[trial][np.isfinite(lines[trial]).all(axis=1)] for trial in shown]
    # Many lines must be fainter than few for the same impression.
    alpha = float(np.clip(1.2 / np.sqrt(len(shown)), 0.12, 0.6))
    drawn = LineCollection(corners, colors=[colours[i] for i in shown], linewidths=THIN, alpha=alpha, zorder=1)
    ax.add_collection(drawn)
    ax.autoscale_view()


def draw_averages(ax: Axes, view: View, values: np.ndarray) -> None:
    """Draw the average of each condition of values, shape (trial, time), with its 95 % interval over trials."""
    for group in view.conditions.groups:
        mean, half = mean_and_interval(values[group.members])
        ax.fill_between(view.time, mean - half, mean + half, color=group.colour, alpha=0.2, lw=0, zorder=2)
        ax.plot(view.time, mean, color=group.colour, lw=BOLD, zorder=3)


def frame_courses(ax: Axes, view: View) -> None:
    """Give a panel the common time axis, and lines at the event and where forward prediction begins."""
    start = view.forward_start()
    if start is not None:
        ax.axvline(start, color=ORANGE, lw=1.0, zorder=0)
    mark_event(ax, view)
    ax.set_xlim(view.units.start, view.end)
    few_ticks(ax, x=4, y=4)


def mark_event(ax: Axes, view: View, colour: str = INK) -> None:
    """Draw a dotted line at the event if trials begin before it."""
    if view.units.has_event:
        ax.axvline(0.0, color=colour, lw=0.8, ls=DOTTED, zorder=1)


def course_handles(view: View) -> list[Artist]:
    """Return the legend entries of time courses; the legend of the conditions explains the colours."""
    n, shown = view.split.n_trials, min(view.split.n_trials, MOST_TRIALS)
    colour, groups = view.conditions.key_colour, view.conditions.groups
    single = "single trials" if n == shown else f"single trials ({shown} of {n})"
    handles: list[Artist] = [
        Line2D([], [], color=colour, lw=THIN, alpha=0.7, label=single),
        Line2D([], [], color=colour, lw=BOLD, label=view.conditions.average_name),
    ]
    if any(len(group.members) > 1 for group in groups):
        handles.append(Patch(color=colour, alpha=0.25, lw=0, label="95 % interval of the average"))
    return [*handles, *mark_handles(view)]


def mark_handles(view: View) -> list[Artist]:
    """Return the legend entries of the lines at the event and where forward prediction begins."""
    handles = event_handles(view)
    if view.forward_start() is not None:
        handles.append(Line2D([], [], color=ORANGE, lw=1.0, label="forward prediction starts"))
    return handles


def event_handles(view: View) -> list[Artist]:
    """Return the legend entry of the line at the event, if there is one."""
    return [Line2D([], [], color=INK, lw=0.8, ls=DOTTED, label=view.units.event)] if view.units.has_event else []

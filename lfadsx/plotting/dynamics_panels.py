"""Dynamics of a generator: fixed points among its trajectories, their modes, and roll-outs without inputs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.dynamics import Autonomy, FixedPoints, Visited
from lfadsx.plotting.averaging import principal_axes
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.latent_space import component_label
from lfadsx.plotting.style import BLUE, DASHED, GREY, INK, MEDIUM, ORANGE, RULE, THIN, legend_below, new_figure, panel

MOST_TRIALS, MOST_POINTS = 60, 100
LOOKS = {"stable": ("o", INK), "saddle": ("D", ORANGE), "unstable": ("^", BLUE)}
"""Marker and colour of each kind of point; slow points are hollow."""


def dynamics_figure(visited: Visited, points: FixedPoints, alone: Autonomy, title: str = "") -> Figure:
    """Draw fixed points among the trajectories, the eigenvalues of their modes, and roll-outs without inputs.

    Args:
        visited: States that the generator visits.
        points: Its fixed and slow points; the first 100 are drawn.
        alone: What roll-outs without inputs predict.
        title: Title of the figure.
    """
    figure = new_figure(10.6, 3.2, title)
    plane, circle, modes, share = figure.subplots(1, 4)
    _draw_points(plane, visited, points)
    _draw_circle(circle, points)
    _draw_modes(modes, points)
    _draw_autonomy(share, alone)
    handles = [
        Line2D([], [], marker=marker, color=colour, ls="", ms=5, label=f"{kind} point")
        for kind, (marker, colour) in LOOKS.items()
        if any(found.endswith(kind) for found in points.kind)
    ]
    if any(found.startswith("slow") for found in points.kind):
        handles.append(Line2D([], [], marker="o", mfc="white", color=INK, ls="", ms=5, label="hollow: slow point"))
    handles.append(Line2D([], [], color=BLUE, lw=MEDIUM, label="without inputs"))
    handles.append(Line2D([], [], color=GREY, lw=MEDIUM, ls=DASHED, label="as if nothing moved"))
    legend_below(figure, handles)
    return figure


def _draw_points(ax: Axes, visited: Visited, points: FixedPoints) -> None:
    """Draw trajectories and points in the plane of the first two principal components of the visited states."""
    centre, directions, share = principal_axes(visited.points, 2)
    trials = evenly(len(visited.states), MOST_TRIALS)
    flat = directions.shape[1] == 1  # a system of one state is drawn along one axis
    lines = [(visited.states[trial][visited.inside[trial]] - centre) @ directions for trial in trials]
    where = (points.states - centre) @ directions
    if flat:
        lines, where, share = [_along(line) for line in lines], _along(where), np.append(share, 0.0)
    ax.add_collection(LineCollection(lines, colors=GREY, linewidths=THIN, alpha=0.5, zorder=1))
    for place, kind in list(zip(where, points.kind, strict=True))[:MOST_POINTS]:
        marker, colour = LOOKS[kind.removeprefix("slow ")]
        fill = "white" if kind.startswith("slow") else colour
        ax.plot(*place, marker=marker, ms=5, mec=colour, mfc=fill, ls="", zorder=3)
    ax.autoscale_view()
    panel(ax, "Generator states", component_label(share, 0), component_label(share, 1))


def _along(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.zeros(len(values))])


def _draw_circle(ax: Axes, points: FixedPoints) -> None:
    """Draw all eigenvalues in the complex plane; inside of the unit circle modes decay."""
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color=RULE, lw=MEDIUM, zorder=0)
    for values, colour in _drawn(points, points.modes.eigenvalues):
        ax.plot(np.real(values), np.imag(values), color=colour, marker="o", ms=2, ls="", alpha=0.6)
    ax.set_aspect("equal")
    panel(ax, "Eigenvalues", "Real part", "Imaginary part")


def _draw_modes(ax: Axes, points: FixedPoints) -> None:
    """Draw time constants against frequencies; hollow markers are modes that grow."""
    known = points.modes.bin_width is not None
    scale = 1e3 if known else 1.0
    constants, frequencies = points.modes.time_constants, points.modes.frequencies
    pairs = zip(_drawn(points, constants), _drawn(points, frequencies), strict=True)
    for (values, colour), (rate, _) in pairs:
        for grows in (False, True):
            own = (values < 0) == grows
            fill = "white" if grows else colour
            ax.plot(rate[own], np.abs(values[own]) * scale, marker="o", ms=3, mec=colour, mfc=fill, mew=0.7, ls="")
    ax.set_yscale("log")
    labels = ("Frequency (Hz)", "Time constant (ms)") if known else ("Cycles per bin", "Time constant (bins)")
    panel(ax, "Modes (hollow: growing)", *labels)


def _drawn(points: FixedPoints, values: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Returns the modes of each point that is drawn, with its colour."""
    kinds = [kind.removeprefix("slow ") for kind in points.kind][:MOST_POINTS]
    return [(own, LOOKS[kind][1]) for own, kind in zip(values, kinds, strict=False)]


def _draw_autonomy(ax: Axes, alone: Autonomy) -> None:
    """Draw what roll-outs without inputs predict of the factors, by the time after their start."""
    scale = 1.0 if alone.bin_width is None else 1e3 * alone.bin_width
    time = np.append(0.0, alone.bins * scale)
    ax.axhline(0.0, color=RULE, lw=THIN)
    ax.plot(time, np.append(1.0, alone.alone), color=BLUE, lw=MEDIUM)
    ax.plot(time, np.append(1.0, alone.held), color=GREY, lw=MEDIUM, ls=DASHED)
    ax.set_ylim(-0.55, 1.05)
    unit = "bins" if alone.bin_width is None else "ms"
    panel(ax, "Factors from here on", f"Time after the start ({unit})", "R2")

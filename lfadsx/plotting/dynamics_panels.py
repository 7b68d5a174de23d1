"""Dynamics of a generator: fixed points, their modes, the flow between them, and what it does without inputs."""

from __future__ import annotations

import itertools
from typing import Literal

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.dynamics import (
    Autonomy,
    FixedPoints,
    Influence,
    StepMap,
    Visited,
    flow_field,
    influence,
    roll_out,
    speed_between,
)
from lfadsx.plotting.averaging import principal_axes
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.latent_space import component_label
from lfadsx.plotting.style import (
    BLUE,
    DASHED,
    GREY,
    INK,
    LEGEND,
    MEDIUM,
    NOTE,
    ORANGE,
    RULE,
    THIN,
    legend_below,
    new_figure,
    panel,
)

MOST_TRIALS, MOST_POINTS = 60, 100
MOST_JOINED, MOST_ROLLED = 4, 4
"""Most points between which the speed is drawn, and most trials with roll-outs."""
LOOKS = {"stable": ("o", INK), "saddle": ("D", ORANGE), "unstable": ("^", BLUE)}
"""Marker and colour of each kind of point; slow points are hollow."""


def dynamics_figure(
    system: StepMap,
    visited: Visited,
    points: FixedPoints,
    alone: Autonomy,
    title: str = "",
    *,
    inputs: Literal["zero", "mean"] = "zero",
) -> Figure:
    """Draw what a generator does, in two rows of panels.

    Above: fixed points among the trajectories, the eigenvalues of their modes, time constants against frequencies, and
    what roll-outs without inputs predict. Below: the flow in the plane of the trajectories, the speed on the lines
    between fixed points, roll-outs beside single trials, and who moves the factors in each bin.

    Args:
        system: The system.
        visited: States that it visits.
        points: Its fixed and slow points; the first 100 are drawn.
        alone: What roll-outs without inputs predict.
        title: Title of the figure.
        inputs: Inputs that were held in the search for points.
    """
    figure = new_figure(10.6, 6.0, title)
    (plane, circle, modes, share), (flow, between, trials, moved) = figure.subplots(2, 4)
    _draw_points(plane, visited, points)
    _draw_circle(circle, points)
    _draw_modes(modes, points)
    _draw_autonomy(share, alone)
    _draw_flow(flow, system, visited, points, inputs)
    _draw_speed(between, system, visited, points, inputs)
    _draw_trials(trials, system, visited)
    _draw_influence(moved, influence(system, visited))
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
    _draw_markers(ax, where, points)
    ax.autoscale_view()
    panel(ax, "Generator states", component_label(share, 0), component_label(share, 1))


def _draw_markers(ax: Axes, places: np.ndarray, points: FixedPoints) -> None:
    for place, kind in list(zip(places, points.kind, strict=True))[:MOST_POINTS]:
        marker, colour = LOOKS[kind.removeprefix("slow ")]
        fill = "white" if kind.startswith("slow") else colour
        ax.plot(*place, marker=marker, ms=5, mec=colour, mfc=fill, ls="", zorder=3)


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


def _draw_flow(
    ax: Axes, system: StepMap, visited: Visited, points: FixedPoints, inputs: Literal["zero", "mean"]
) -> None:
    """Draw the flow in the plane of the first two principal components; dark is slow."""
    labels = "PC 1", "PC 2"
    if system.n_states < 2:
        panel(ax, "Flow (one state only)", *labels)
        return
    centre, axes, share = principal_axes(visited.points, 2)
    field = flow_field(system, visited, inputs=inputs, axes=axes, centre=centre)
    x, y = field.places[0, :, 0], field.places[:, 0, 1]
    ax.pcolormesh(x, y, np.log10(np.maximum(field.speed, 1e-2)), cmap="Greys_r", shading="gouraud", rasterized=True)
    ax.streamplot(x, y, *np.moveaxis(field.flow, 2, 0), color=BLUE, density=0.8, linewidth=THIN, arrowsize=0.6)
    _draw_markers(ax, (points.states - centre) @ axes, points)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    panel(ax, f"Flow with {inputs} inputs (dark: slow)", component_label(share, 0), component_label(share, 1))


def _draw_speed(
    ax: Axes, system: StepMap, visited: Visited, points: FixedPoints, inputs: Literal["zero", "mean"]
) -> None:
    """Draw the speed on the lines between the points that most starts reached."""
    pairs = list(itertools.combinations(range(min(len(points), MOST_JOINED)), 2))
    for first, second in pairs:
        speed = speed_between(system, visited, points.states[first], points.states[second], inputs=inputs)
        share = np.linspace(0, 1, len(speed))
        ax.plot(share, speed, color=INK, lw=THIN)
        ax.annotate(
            f"{first + 1} to {second + 1}", (0.5, speed[len(speed) // 2]), fontsize=NOTE, color=INK, ha="center"
        )
    if not pairs:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "fewer than 2 points:\nno way between points", ha="center", fontsize=NOTE, color=GREY)
        return
    panel(ax, "Speed between points", "Way from one point to the other", "Speed (1: median of trials)")


def _draw_trials(ax: Axes, system: StepMap, visited: Visited) -> None:
    """Draw the first principal component of the factors of a few trials, and roll-outs without inputs from a third."""
    observed = np.asarray(system.observed(jnp.asarray(visited.states)))
    centre, axes, share = principal_axes(observed[visited.inside], 1)
    n_time, shown = observed.shape[1], evenly(len(observed), MOST_ROLLED)
    start = n_time // 3
    none = jnp.zeros((len(shown), n_time - start - 1, system.n_inputs))
    alone = system.observed(roll_out(system, jnp.asarray(visited.states[shown, start]), none))
    scale = 1.0 if system.bin_width is None else 1e3 * system.bin_width
    time = scale * (np.arange(n_time) + 1)
    for trial, own in zip(shown, np.asarray(alone), strict=True):
        length = int(visited.inside[trial].sum())
        path = ((observed[trial] - centre) @ axes)[:, 0]
        ax.plot(time[:length], path[:length], color=GREY, lw=THIN)
        rolled = np.append(path[start], ((own - centre) @ axes)[:, 0])[: max(length - start, 0)]
        ax.plot(time[start : start + len(rolled)], rolled, color=BLUE, lw=THIN)
    unit = "bins" if system.bin_width is None else "ms"
    panel(ax, "Factors: trials, and without inputs", f"Time ({unit})", component_label(share, 0))


def _draw_influence(ax: Axes, found: Influence) -> None:
    """Draw how much dynamics and inputs move the factors in each bin."""
    scale = 1.0 if found.bin_width is None else 1e3 * found.bin_width
    time = scale * (np.arange(len(found.own)) + 1)
    ax.plot(time, found.own, color=BLUE, lw=MEDIUM, label="dynamics")
    ax.plot(time, found.inputs, color=ORANGE, lw=MEDIUM, label="inputs")
    ax.legend(**LEGEND)
    ax.set_ylim(bottom=0)
    unit = "bins" if found.bin_width is None else "ms"
    panel(ax, "Who moves the factors", f"Time ({unit})", "Movement in a bin (SD)")

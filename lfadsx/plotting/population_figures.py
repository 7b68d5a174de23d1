"""Training of a population: scores and hyperparameters of all members, and the lineage of the best one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.plotting.loss_curves import NATS
from lfadsx.plotting.style import (
    BLUE,
    BOLD,
    GREY,
    ORANGE,
    balanced,
    colour_bar,
    few_ticks,
    image_map,
    legend_below,
    new_figure,
    panel,
    panel_grid,
)
from lfadsx.training.history import Row, Table, ancestry, generations, lineage, parents, ranking

MOST_COLUMNS = 4
LOG_SPAN = 10
"""Positive values get a logarithmic axis if the largest is more than this many times the smallest."""
SLIM = 0.9
"""Width of a member's line."""
Path = list[tuple[float, float]]
"""Points of a line."""


def scores_figure(rows: Sequence[Row]) -> Figure:
    """Draw the selection score of every member over the epochs, the copies of weights, and the best lineage.

    A dot is the end of a generation. If a member gets the weights of another one, its line breaks, and a coloured line
    leads to it from the other one. Scores far above most are off the axis; the title counts them.

    Args:
        rows: History of the population, with one row for each member and epoch.

    Raises:
        LfadsxError: If the history holds no finite score.
    """
    finite = sorted((row for row in rows if np.isfinite(row["score"])), key=lambda row: row["epoch"])
    if not finite:
        raise LfadsxError("The history must have a finite score, but has none. Pass rows of members that trained.")
    best = ranking(rows)[0]
    bottom, top = _limits(finite)
    n_off = sum(row["score"] > top for row in finite)
    off = f", {n_off} of {len(finite)} off the axis" if n_off else ""
    figure = new_figure(6.4, 3.8, _title(rows, best))
    ax = panel(figure.subplots(), f"Selection score{off}", "Epoch", NATS)
    members, copies = _score_lines(finite)
    _draw_paths(ax, members)
    ax.add_collection(LineCollection(copies, colors=BLUE, linewidths=SLIM, zorder=2.2))
    path = [row for row in ancestry(rows, best) if np.isfinite(row["score"])]
    ends = [i for i, row in enumerate(path) if row is path[-1] or path[i + 1]["generation"] > row["generation"]]
    _draw_lineage(ax, [row["epoch"] for row in path], [row["score"] for row in path], ends)
    _number_axis(ax, [row["epoch"] for row in rows])
    ax.set_ylim(bottom, top)
    few_ticks(ax, y=5)
    copy = Line2D([], [], color=BLUE, lw=SLIM, label="weights copied")
    legend_below(figure, [_member_handle("a member"), *([copy] if copies else []), _lineage_handle()])
    return figure


def hyperparameters_figure(rows: Sequence[Row]) -> Figure | None:
    """Draw each hyperparameter that differs between members or changes, one per panel, over the generations.

    A line leads to each member from the origin of its weights, in the colour of the member's rank by the best score;
    lines branch where weights were copied. Replaced members are grey.

    Args:
        rows: History of the population, with one row for each member and epoch.

    Returns:
        The figure, or None if all members have the same hyperparameters throughout.
    """
    table = generations(rows)
    names = [field.name for field in dataclasses.fields(HyperParams) if _varies(table, field.name)]
    if not names:
        return None
    order = ranking(rows)
    lineages = [lineage(rows, member) for member in order]
    # The yellow end of the map fades on white.
    colours = ListedColormap(image_map("viridis")(np.linspace(0.0, 0.9, len(order))))
    n_columns = balanced(len(names), MOST_COLUMNS)
    figure, axes = panel_grid(len(names), n_columns, (2.3, 2.1), (1.2, 0.8), _title(rows, order[0]))
    for number, (ax, name) in enumerate(zip(axes, names, strict=True)):
        panel(ax, name, "Generation", "Value" if number % n_columns == 0 else "")
        _draw_hyperparameter(ax, table, name, lineages, colours)
    ranks = ScalarMappable(Normalize(0.5, len(order) + 0.5), colours)
    colour_bar(figure, ranks, axes[n_columns - 1 : n_columns], "Rank at the end (1: best)", integer=True)
    given_up = any(len(set(slots)) < len(order) for slots in zip(*lineages, strict=True))
    legend_below(figure, [*([_member_handle("given up")] if given_up else []), _lineage_handle()])
    return figure


def _score_lines(rows: Sequence[Row]) -> tuple[list[Path], list[Path]]:
    """Return a line for each member and generation, joined to the previous one, and the lines of the copies."""
    points: dict[tuple[int, int], Path] = {}
    origin: dict[tuple[int, int], int] = {}
    for row in rows:
        key = int(row["generation"]), int(row["member"])
        points.setdefault(key, []).append((row["epoch"], row["score"]))
        origin[key] = int(row["parent"])
    members, copies = [], []
    for (generation, member), own in points.items():
        parent = origin[generation, member]
        start = points.get((generation - 1, parent), [])[-1:]
        members.append(start + own if parent == member else own)
        if start and parent != member:
            copies.append(start + own[:1])
    return members, copies


def _draw_hyperparameter(ax: Axes, table: Table, name: str, lineages: list[list[int]], colours: Colormap) -> None:
    """Draw a hyperparameter of all members in grey, and over it the lineages in colour, the first one on top."""
    number, values = np.nanmax(table["generation"], axis=1), _values(table, name)
    before = values[np.arange(len(number) - 1)[:, None], parents(table)[1:]]
    steps = [
        [(number[i], start), (number[i + 1], end)]
        for i in range(len(number) - 1)
        for start, end in zip(before[i], values[i + 1], strict=True)
    ]
    _draw_paths(ax, [*([(number[0], value)] for value in values[0]), *steps])
    paths = [values[np.arange(len(number)), slots] for slots in lineages]
    for rank, path in reversed(list(enumerate(paths))):
        ax.plot(number, path, color=colours(rank), lw=SLIM, marker="o", ms=2)
    _draw_lineage(ax, number, paths[0], list(range(len(number))))
    finite = values[np.isfinite(values)]
    if finite.min() > 0 and finite.max() > LOG_SPAN * finite.min():
        _make_logarithmic(ax, finite.max() / finite.min())
    else:
        few_ticks(ax, y=4)
    _number_axis(ax, number)


def _draw_paths(ax: Axes, paths: list[Path]) -> None:
    """Draw faded lines with a dot at the end of each."""
    ax.add_collection(LineCollection(paths, colors=GREY, linewidths=SLIM, alpha=0.5))
    ax.plot(*np.array([path[-1] for path in paths]).T, "o", color=GREY, ms=2, alpha=0.7)


def _draw_lineage(ax: Axes, x: ArrayLike, y: ArrayLike, ends: list[int]) -> None:
    """Draw the best member's line, with a dot where a generation ends."""
    ax.plot(x, y, color=ORANGE, lw=BOLD, marker="o", ms=3, markevery=ends, zorder=3)


def _member_handle(label: str) -> Artist:
    return Line2D([], [], color=GREY, lw=SLIM, marker="o", ms=2, alpha=0.7, label=label)


def _lineage_handle() -> Artist:
    return Line2D([], [], color=ORANGE, lw=BOLD, marker="o", ms=3, label="where the best member came from")


def _make_logarithmic(ax: Axes, span: float) -> None:
    """Make the vertical axis logarithmic, with labels between the powers of ten if the span is short."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if span < 100 else (1.0,), numticks=6))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _number_axis(ax: Axes, numbers: Sequence[float] | Float[np.ndarray, " generation"]) -> None:
    """Give the horizontal axis whole numbers, even if there is only one."""
    if min(numbers) == max(numbers):
        ax.set_xticks([numbers[0]])
    else:
        few_ticks(ax, x=6, integer=True)


def _values(table: Table, name: str) -> Float[np.ndarray, "generation member"]:
    """Return a hyperparameter of the members that trained; NaN for others."""
    return np.where(table["active"] > 0, table[name], np.nan)


def _varies(table: Table, name: str) -> bool:
    if name not in table:
        return False
    values = _values(table, name)
    return len(np.unique(values[np.isfinite(values)])) > 1


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return vertical limits for the better scores after the first generation and for scores near them."""
    scores = np.array([row["score"] for row in rows])
    number = np.array([row["generation"] for row in rows])
    later = scores[number > number.min()] if np.ptp(number) else scores
    low, high = scores.min(), scores.max()
    worse = later[later > low]
    if len(worse):
        # Below the median, so that one of two members may fail.
        usual = np.quantile(worse, 0.4, method="lower") - low
        high = min(high, low + 8 * usual)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _title(rows: Sequence[Row], best: int) -> str:
    n_generations, n_members = generations(rows)["score"].shape
    plural = "" if n_generations == 1 else "s"
    return f"Population of {n_members}, {n_generations} generation{plural}, member {best} is the best"

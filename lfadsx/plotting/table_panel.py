"""A table of scores drawn into a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from lfadsx.plotting.style import GREY, INK, LABEL

DASH = "–"


def draw_table(ax: Axes, rows: Sequence[Mapping[str, object]]) -> None:
    """Draw a table with rules above, below and under its head.

    Args:
        ax: Axes to draw on; their frame is hidden.
        rows: One mapping per row. The keys are the columns, in the order in which they first come; the first
            column names the row. None, NaN and missing keys become a dash.
    """
    ax.set_axis_off()
    ax.set(xlim=(-0.015, 1.015), ylim=(len(rows) + 0.1, -1.5))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    heads = [textwrap.fill(key.replace("_", " "), 11) for key in columns]
    cells = [[format_cell(row.get(key)) for key in columns] for row in rows]
    widths = np.array([_width([heads[j], *(line[j] for line in cells)]) for j in range(len(columns))], float)
    edges = np.concatenate([[0.0], np.cumsum(widths + 2.5)]) / (widths.sum() + 2.5 * len(columns))
    size = float(np.clip(LABEL * 105.0 / (widths.sum() + 2.5 * len(columns)), 4.5, LABEL))
    for j, head in enumerate(heads):
        left = j == 0
        x, align = (edges[0], "left") if left else (edges[j + 1], "right")
        ax.text(x, -0.2, head, ha=align, va="bottom", fontsize=size, color=GREY, linespacing=1.0)
        for i, line in enumerate(cells):
            ax.text(x, i + 0.5, line[j], ha=align, va="center", fontsize=size, color=INK)
    for y, width in ((-1.5, 0.9), (0.0, 0.5), (len(rows), 0.9)):
        ax.plot([0.0, 1.0], [y, y], color=INK, lw=width, clip_on=False)


def format_cell(value: object) -> str:
    """Write a value of a table: numbers with three decimals, whole numbers as they are, nothing as a dash."""
    if value is None:
        return DASH
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    if not isinstance(value, float | np.floating):
        return str(value)
    if not np.isfinite(value):
        return DASH
    value = value + 0.0  # Turns -0.0 into 0.0.
    text = f"{value:.3f}" if 0.001 <= abs(value) < 10_000 or value == 0 else f"{value:.2e}"
    # A hyphen is shorter than a minus sign; scores below zero must not be overlooked.
    return text.replace("-", "\u2212")


def _width(texts: Sequence[str]) -> int:
    """Return the number of characters of the longest line."""
    return max(len(line) for text in texts for line in text.split("\n"))

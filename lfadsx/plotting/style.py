"""The common look of all figures: sizes, colours of roles, frames, legends, colour bars.

All settings are made on the artists, not in `matplotlib.rcParams`, so that the user's settings stay as they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

INK = "#262626"
"""Text, axes and true values."""
GREY = "#8c8c8c"
"""Data as recorded, training curves, reference lines."""
RULE = "#c8c8c8"
"""Lines at zero."""
PALE = "#ececec"
"""Shaded spans and missing data."""
BLUE = "#0072B2"
"""Inferred values, unless conditions have colours."""
ORANGE = "#D55E00"
"""Data that the encoder did not see: held-out neurons, forward-predicted bins."""

TITLE, LABEL, TICK, NOTE = 8.5, 8.0, 7.0, 6.5
THIN, MEDIUM, BOLD = 0.6, 1.2, 1.8
DASHED = (0, (3, 1.5))
DOTTED = (0, (1, 1.5))
STEPS = [1, 2, 2.5, 5, 10]
ROW_TITLE: dict[str, Any] = {"fontsize": LABEL, "color": INK, "ha": "left", "va": "bottom", "annotation_clip": False}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": TICK + 0.5, "labelcolor": INK}


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure that belongs to no window, laid out so that labels never overlap.

    Args:
        width: Width in inches.
        height: Height in inches.
        title: Title at the top left, or "" for no title.
    """
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    # Constrained layout spaces panels in inches and in shares of the figure; small shares suit all sizes.
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    if title:
        text = textwrap.fill(title, max(20, int(width / 0.092)))
        figure.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    return figure


def panel_grid(
    n: int, n_columns: int, size: tuple[float, float], margin: tuple[float, float], title: str = "", **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with the axes of `n` panels, row by row.

    Args:
        n: Number of panels.
        n_columns: Number of panels in a row.
        size: Width and height of a panel in inches.
        margin: Width and height in inches that the figure has besides its panels.
        title: As in `new_figure`.
        shared: Further arguments of `Figure.subplots`, such as `sharey`.
    """
    n_rows = -(-n // n_columns)
    figure = new_figure(size[0] * n_columns + margin[0], size[1] * n_rows + margin[1], title)
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for ax in axes[n:]:
        ax.set_axis_off()
    return figure, axes[:n]


def balanced(n: int, most: int) -> int:
    """Return the number of columns, at most `most`, that gives rows of about equal length."""
    return -(-n // -(-n // most))


def panel(ax: Axes, title: str = "", x: str = "", y: str = "", image: bool = False) -> Axes:
    """Give axes the common frame, fonts and labels; later labels keep the fonts.

    Args:
        ax: The axes to style.
        title: Title at the top left.
        x: Label of the horizontal axis with its unit.
        y: Label of the vertical axis with its unit.
        image: If True, the spines touch the pixels.
    """
    ax.set_facecolor("white")
    ax.grid(False)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_linewidth(0.6)
        spine.set_color(INK)
    if not image:
        ax.spines[["left", "bottom"]].set_position(("outward", 3))
    ax.tick_params(which="both", labelsize=TICK, width=0.6, length=2.5, pad=2, color=INK, labelcolor=INK)
    ax.set_title(title, loc="left", fontsize=TITLE, color=INK, pad=5)
    ax.set_xlabel(x, fontsize=LABEL, color=INK, labelpad=2.5)
    ax.set_ylabel(y, fontsize=LABEL, color=INK, labelpad=3)
    return ax


def row_title(ax: Axes, text: str) -> None:
    """Write what a row of panels shows at the top left of its first panel, below a title of the column."""
    ax.annotate(text, (0, 1), xytext=(0, 3), textcoords="offset points", xycoords="axes fraction", **ROW_TITLE)


def square(ax: Axes, low: float, high: float) -> None:
    """Give both axes of a comparison the same limits, with the line of equality."""
    margin = 0.05 * (high - low) or 1.0
    limits = low - margin, high + margin
    ax.plot(limits, limits, color=RULE, lw=0.8, zorder=0)
    ax.set(xlim=limits, ylim=limits)
    ax.set_box_aspect(1.0)
    few_ticks(ax, x=4, y=4)


def few_ticks(ax: Axes, x: int | None = None, y: int | None = None, integer: bool = False) -> None:
    """Limit the number of ticks of linear axes.

    Args:
        ax: The axes.
        x: Most intervals on the horizontal axis; by default unchanged.
        y: Most intervals on the vertical axis; by default unchanged.
        integer: If True, ticks are at whole numbers, for epochs and indices.
    """
    for axis, intervals in ((ax.xaxis, x), (ax.yaxis, y)):
        if intervals is not None:
            axis.set_major_locator(_locator(intervals, integer))


def legend_below(figure: FigureBase, handles: Sequence[Artist]) -> None:
    """Put one legend under all panels of a figure or a part of it, in as few rows as fit; none without handles."""
    if handles:
        needed = sum(0.62 + 0.056 * len(str(handle.get_label())) for handle in handles)
        width = figure.bbox.width / figure.get_figure(root=True).dpi  # type: ignore[union-attr]
        columns = -(-len(handles) // int(np.ceil(needed / width)))
        spacing = {"handlelength": 1.8, "columnspacing": 1.6}
        figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, **spacing, **LEGEND)


def legend_beside(place: FigureBase | Axes, handles: Sequence[Artist], title: str, **where: Any) -> None:
    """Put one legend to the right of all panels of a figure, or of one panel with arguments of `Axes.legend`."""
    look = {"loc": "outside right upper", "handlelength": 1.4, "alignment": "left"} | LEGEND | where
    legend = place.legend(handles=list(handles), title=title, **look)
    legend.get_title().set(fontsize=look["fontsize"], color=INK)


def colour_bar(
    figure: FigureBase,
    image: ScalarMappable,
    axes: Sequence[Axes],
    label: str,
    integer: bool = False,
    extend: Literal["neither", "both", "max"] = "neither",
) -> None:
    """Add a slim colour bar to the right of some axes.

    Args:
        figure: The figure.
        image: An image in the axes.
        axes: The axes that share the colours.
        label: Quantity and unit.
        integer: As in `few_ticks`.
        extend: Ends that stand for all larger or smaller values.
    """
    bar = figure.colorbar(image, ax=list(axes), fraction=0.045 / len(axes), pad=0.03 / len(axes), extend=extend)
    bar.ax.set_box_aspect(None)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=TICK, width=0.6, length=2, pad=2, color=INK, labelcolor=INK)
    bar.ax.yaxis.set_major_locator(_locator(4, integer))
    bar.set_label(label, fontsize=LABEL, color=INK, labelpad=4)


def image_map(name: str) -> Colormap:
    """Return matplotlib's colour map of this name with pale grey for missing data."""
    return colormaps[name].with_extremes(bad=PALE)


def _locator(intervals: int, integer: bool) -> MaxNLocator:
    # With a minimum of three ticks, short integer axes would get fractions.
    return MaxNLocator(intervals, integer=integer, steps=STEPS, min_n_ticks=2 if integer else 3)

"""The look that all figures share: sizes, colours of roles, frames, legends, colour bars.

Everything is set on the artists themselves and nothing in `matplotlib.rcParams`, so that drawing a figure
leaves the user's own settings alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

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
"""Whatever the model infers, when nothing else gives a colour."""
ORANGE = "#D55E00"
"""What the encoder did not see: held-out neurons, forward-predicted bins."""

TITLE, LABEL, TICK, NOTE = 8.5, 8.0, 7.0, 6.5
THIN, MEDIUM, BOLD = 0.6, 1.2, 1.8
DASHED = (0, (3, 1.5))
STEPS = [1, 2, 2.5, 5, 10]


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Make an empty figure that no backend knows of.

    Args:
        width: Width in inches.
        height: Height in inches.
        title: Title at the top left, or "" for none.

    Returns:
        The figure, laid out so that labels never overlap.

    Example:
        figure = new_figure(4.0, 3.0, "One panel")
    """
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    # Constrained layout spaces panels in inches and in shares of the figure; small shares suit all sizes.
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    if title:
        figure.suptitle(
            textwrap.fill(title, max(20, int(width / 0.092))),
            x=0.01,
            ha="left",
            fontsize=10.5,
            fontweight="bold",
            color=INK,
        )
    return figure


def panel(ax: Axes, title: str = "", x: str = "", y: str = "", image: bool = False) -> Axes:
    """Give axes the common frame, fonts and labels.

    Args:
        ax: The axes to style.
        title: What is seen, at the top left.
        x: Label of the horizontal axis with its unit.
        y: Label of the vertical axis with its unit.
        image: True for images, whose spines touch the pixels.

    Example:
        panel(ax, "Loss", "Epoch", "Nats per trial")
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


def few_ticks(ax: Axes, x: int | None = None, y: int | None = None, integer: bool = False) -> None:
    """Thin out the ticks of linear axes.

    Args:
        ax: The axes.
        x: Most intervals on the horizontal axis, or None to leave it.
        y: Most intervals on the vertical axis, or None to leave it.
        integer: True to keep ticks at whole numbers, for epochs and indices.
    """
    for axis, intervals in ((ax.xaxis, x), (ax.yaxis, y)):
        if intervals is not None:
            axis.set_major_locator(_locator(intervals, integer))


def hide_tick_labels(ax: Axes, x: bool = False, y: bool = False) -> None:
    """Leave out tick labels that a neighbour with the same axis already shows."""
    if x:
        ax.tick_params(labelbottom=False)
    if y:
        ax.tick_params(labelleft=False)


def legend_below(figure: FigureBase, handles: Sequence[Artist]) -> None:
    """Put one legend for all panels under them, off the data, in as few rows as fit.

    Args:
        figure: The figure or a part of it.
        handles: Artists with labels; none gives no legend.
    """
    if handles:
        needed = sum(0.62 + 0.056 * len(str(handle.get_label())) for handle in handles)
        width = figure.bbox.width / figure.get_figure(root=True).dpi  # type: ignore[union-attr]
        n_rows = int(np.ceil(needed / width))
        figure.legend(
            handles=list(handles),
            loc="outside lower center",
            ncols=-(-len(handles) // n_rows),
            frameon=False,
            fontsize=TICK + 0.5,
            labelcolor=INK,
            handlelength=1.8,
            columnspacing=1.6,
        )


def legend_beside(figure: FigureBase, handles: Sequence[Artist], title: str) -> None:
    """Put one legend for all panels to their right, off the data."""
    if handles:
        legend = figure.legend(
            handles=list(handles),
            title=title,
            loc="outside right upper",
            frameon=False,
            fontsize=TICK + 0.5,
            labelcolor=INK,
            handlelength=1.4,
            alignment="left",
        )
        legend.get_title().set(fontsize=TICK + 0.5, color=INK)


def colour_bar(
    figure: FigureBase, image: ScalarMappable, axes: Sequence[Axes], label: str, integer: bool = False
) -> None:
    """Add a slim colour bar to the right of some axes.

    Args:
        figure: The figure or a part of it.
        image: The image that it explains.
        axes: The axes that it takes its place from.
        label: Quantity and unit.
        integer: True to keep its ticks at whole numbers.
    """
    bar = figure.colorbar(image, ax=list(axes), fraction=0.045 / len(axes), pad=0.03 / len(axes))
    bar.ax.set_box_aspect(None)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=TICK, width=0.6, length=2, pad=2, color=INK, labelcolor=INK)
    bar.ax.yaxis.set_major_locator(_locator(4, integer))
    bar.set_label(label, fontsize=LABEL, color=INK, labelpad=4)


def image_map(name: str) -> Colormap:
    """Return a perceptually uniform colour map in which missing data are pale grey.

    Args:
        name: A name that matplotlib knows.
    """
    return colormaps[name].with_extremes(bad=PALE)


def _locator(intervals: int, integer: bool) -> MaxNLocator:
    # Asking for three ticks makes short integer axes fall back to fractions.
    return MaxNLocator(intervals, integer=integer, steps=STEPS, min_n_ticks=2 if integer else 3)

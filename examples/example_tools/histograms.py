"""Histograms of scores, side by side on one axis, with their means."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx import LfadsxError
from lfadsx.plotting import style

LINES = (":", style.DASHED, "-.")


def histograms_figure(
    values: Mapping[str, np.ndarray],
    label: str,
    title: str = "",
    *,
    floors: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    unit: str = "",
) -> Figure:
    """Draw one histogram for each of several sets of values, on a common axis, with the mean of each.

    Args:
        values: By name, values of any shape; NaN is left out.
        label: What the values are, for the horizontal axis, with its unit.
        title: Title of the figure.
        floors: By name, what knowing nothing gives; drawn into every panel.
        limits: Ends of the axis; values beyond are counted in the outermost bins. By default from the smallest to the
            largest value.
        unit: What is counted, such as "trials", for the vertical axis.

    Returns:
        The figure, one panel per name.

    Raises:
        LfadsxError: If there is no value at all.

    Example:
        histograms_figure({"PCA": r2_pca, "LFADS": r2_lfads}, "R2", limits=(0, 1)).savefig("r2.png")
    """
    known = {name: np.ravel(of)[np.isfinite(np.ravel(of))].astype(float) for name, of in values.items()}
    everything = np.concatenate(list(known.values()))
    if not len(everything):
        raise LfadsxError("At least one value must be a number, got NaN only.")
    floors = floors or {}
    low, high = limits or (float(everything.min()), float(everything.max()))
    edges = np.linspace(low, high if high > low else low + 1.0, 41)
    figure = style.new_figure(2.7 * len(known) + 0.4, 2.7 if floors else 2.4, title)
    axes = figure.subplots(1, len(known), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (name, of) in zip(axes, known.items(), strict=True):
        draw_histogram(ax, of, edges)
        mean = f", mean {of.mean():.3f}" if len(of) else ""
        style.panel(ax, f"{name}{mean}", label, f"Number of {unit or 'values'}" if ax is axes[0] else "")
        for line, floor in zip(LINES, floors.values(), strict=False):
            ax.axvline(floor, color=style.GREY, lw=style.MEDIUM, ls=line)  # type: ignore[arg-type]
    handles = [Line2D([], [], color=style.INK, lw=style.MEDIUM, label="mean")]
    for line, (name, floor) in zip(LINES, floors.items(), strict=False):
        handles.append(Line2D([], [], color=style.GREY, lw=style.MEDIUM, ls=line, label=f"{name} {floor:.3f}"))  # type: ignore[arg-type]
    style.legend_below(figure, handles)
    return figure


def draw_histogram(ax: Axes, values: np.ndarray, edges: np.ndarray) -> None:
    """Draw one histogram and a line at the mean.

    Args:
        ax: Axes to draw on.
        values: Shape (value,), without NaN; those beyond the edges are counted in the outermost bins.
        edges: Ends of the bins, shape (bin + 1,).
    """
    ax.hist(np.clip(values, edges[0], edges[-1]), bins=edges, color=style.BLUE, alpha=0.75)  # type: ignore[arg-type]
    if len(values):
        ax.axvline(values.mean(), color=style.INK, lw=style.MEDIUM)
    ax.set_xlim(edges[0], edges[-1])
    style.few_ticks(ax, x=5)
    style.few_ticks(ax, y=4, integer=True)  # it counts

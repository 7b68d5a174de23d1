"""Plain panels side by side: curves and images of anything, in the look of the other figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.plotting.condition_colours import QUALITATIVE
from lfadsx.plotting.style import (
    DASHED,
    GREY,
    INK,
    MEDIUM,
    THIN,
    colour_bar,
    image_map,
    legend_below,
    new_figure,
    panel,
)

MOST_COLUMNS = 4


def curves_figure(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    title: str = "",
    *,
    x: np.ndarray | None = None,
    x_label: str = "",
    y_label: str = "",
    log: Collection[str] = (),
    stems: Collection[str] = (),
    references: Collection[str] | None = None,
    share_y: bool = False,
) -> Figure:
    """Draw one panel per entry, with named curves in it; a name has one colour in all panels.

    Names of references, by default those that begin with "true", are dashed and dark. Several curves of one name are
    drawn thin.

    Args:
        panels: By title of the panel, curves by name, shape (point,) or (point, curve); NaN is left out.
        title: Title of the figure.
        x: Common horizontal positions, shape (point,); 0, 1, 2, ... when None.
        x_label: What they are, with its unit.
        y_label: What the values are, with their unit.
        log: Titles of panels with a logarithmic vertical axis.
        stems: Names that are drawn as stems, such as spike counts.
        references: Names that others are compared with; those that begin with "true" when None.
        share_y: Whether all panels have the same vertical axis.

    Returns:
        The figure, with at most four panels in a row.

    Example:
        curves_figure({"Neuron 3": {"spikes": counts, "true rate": rate}}, stems=["spikes"]).savefig("neuron.png")
    """
    figure, axes = _grid(len(panels), title, share_y)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    dark = [name for name in names if name.startswith("true")] if references is None else references
    colours = _colours(names, dark, stems)
    for number, (ax, (name, curves)) in enumerate(zip(axes, panels.items(), strict=True)):
        panel(ax, name, x_label, y_label if number % MOST_COLUMNS == 0 else "")
        for curve, values in curves.items():
            across = np.arange(len(values)) if x is None else x
            if curve in stems:
                _draw_stems(ax, across, np.asarray(values), colours[curve])
            else:
                _draw_line(ax, across, np.asarray(values), colours[curve], curve in dark)
        if name in log:
            ax.set_yscale("log")
    legend_below(figure, _handles(colours, dark) if len(colours) > 1 else [])
    return figure


def images_figure(
    images: Mapping[str, np.ndarray], title: str = "", *, x_label: str = "", y_label: str = "", label: str = ""
) -> Figure:
    """Draw one image per entry, each with its own colour bar; values of both signs have white at zero.

    Args:
        images: By title of the panel, shape (row, column), drawn with the first row at the bottom.
        title: Title of the figure.
        x_label: What the columns are.
        y_label: What the rows are.
        label: What the values are, with their unit.

    Returns:
        The figure, with at most four panels in a row.

    Example:
        images_figure({"Spikes": counts.T}, x_label="Bin", y_label="Neuron", label="Count").savefig("trial.png")
    """
    figure, axes = _grid(len(images), title, share_y=False)
    for number, (ax, (name, values)) in enumerate(zip(axes, images.items(), strict=True)):
        panel(ax, name, x_label, y_label if number % MOST_COLUMNS == 0 else "", image=True)
        largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        both = bool(np.nanmin(values, initial=0.0) < 0)
        image = ax.imshow(
            values,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap=image_map("RdBu_r" if both else "viridis"),
            vmin=-largest if both else 0.0,
            vmax=largest,
        )
        colour_bar(figure, image, [ax], label)
    return figure


def _grid(n: int, title: str, share_y: bool) -> tuple[Figure, list[Axes]]:
    columns = min(n, MOST_COLUMNS)
    rows = -(-n // columns)
    figure = new_figure(2.5 * columns + 0.6, 2.1 * rows + 0.8, title)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for ax in axes[n:]:
        ax.set_axis_off()
    return figure, axes[:n]


def _colours(names: Sequence[str], references: Collection[str], stems: Collection[str]) -> dict[str, str]:
    """Give every name a colour: dark for references, grey for stems, others in the order in which they first come."""
    others = [name for name in names if name not in references and name not in stems]
    cycle = {name: QUALITATIVE[i % (len(QUALITATIVE) - 1)] for i, name in enumerate(others)}
    return {name: GREY if name in stems else cycle.get(name, INK) for name in names}


def _draw_stems(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str) -> None:
    ax.vlines(x, 0.0, values, color=colour, lw=MEDIUM)
    ax.plot(x, values, color=colour, marker="o", ms=2.5, ls="")


def _draw_line(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, dashed: bool) -> None:
    many = values.ndim == 2 and values.shape[1] > 1
    known = np.isfinite(values) if values.ndim == 1 else np.ones(len(values), bool)
    ax.plot(
        x[known],
        values[known],
        color=colour,
        lw=THIN if many else MEDIUM,
        alpha=0.6 if many else 1.0,
        ls=DASHED if dashed else "-",  # type: ignore[arg-type]
    )


def _handles(colours: Mapping[str, str], references: Collection[str]) -> list[Artist]:
    return [
        Line2D([], [], color=colour, lw=MEDIUM, ls=DASHED if name in references else "-", label=name)  # type: ignore[arg-type]
        for name, colour in colours.items()
    ]

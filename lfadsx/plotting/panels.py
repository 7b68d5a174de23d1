"""Plain panels of named curves side by side, and the components that aligned sessions share."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset
from lfadsx.data.session_alignment import shared_components
from lfadsx.plotting.condition_colours import QUALITATIVE
from lfadsx.plotting.style import DASHED, GREY, INK, MEDIUM, THIN, legend_below, panel, panel_grid

MOST_COLUMNS = 4
MOST_COMPONENTS, MOST_CONDITIONS = 8, 4


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
    """Draw one panel per entry with named curves, at most four in a row; a name has one colour in all panels.

    References are dashed and dark. Several curves of one name are drawn thin.

    Args:
        panels: By title of the panel, curves by name, shape (point,) or (point, curve); NaN is left out.
        title: Title of the figure.
        x: Common horizontal positions, shape (point,); by default 0, 1, 2, ...
        x_label: Label of the horizontal axis, with its unit.
        y_label: Label of the vertical axis, with its unit.
        log: Titles of panels with a logarithmic vertical axis.
        stems: Names that are drawn as stems, such as spike counts.
        references: Names that others are compared with; by default those that begin with "true".
        share_y: If True, all panels have the same vertical axis.
    """
    columns = min(len(panels), MOST_COLUMNS)
    figure, axes = panel_grid(len(panels), columns, (2.5, 2.1), (0.6, 0.8), title, sharey=share_y)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    dark = [name for name in names if name.startswith("true")] if references is None else references
    colours = _colours(names, dark, stems)
    for number, (ax, (name, curves)) in enumerate(zip(axes, panels.items(), strict=True)):
        panel(ax, name, x_label, y_label if number % columns == 0 else "")
        for curve, values in curves.items():
            across, values = np.arange(len(values)) if x is None else x, np.asarray(values)
            if curve in stems:
                ax.vlines(across, 0.0, values, color=colours[curve], lw=MEDIUM)
                ax.plot(across, values, color=colours[curve], marker="o", ms=2.5, ls="")
            else:
                _draw_line(ax, across, values, colours[curve], curve in dark)
        if name in log:
            ax.set_yscale("log")
    handles = [
        Line2D([], [], color=colour, lw=MEDIUM, ls=DASHED if name in dark else "-", label=name)  # type: ignore[arg-type]
        for name, colour in colours.items()
    ]
    legend_below(figure, handles if len(handles) > 1 else [])
    return figure


def alignment_figure(data: Dataset, *, taps: int = 6) -> Figure:
    """Draw the first 8 shared components of aligned sessions, and their estimates from each session.

    The courses of the first conditions follow one another. Each title names the session that agrees least with the
    others, and the share of the component's variance that it explains.

    Args:
        data: Sessions with an alignment.
        taps: Bins of the moving average, as in `lfadsx.align`.
    """
    found, mean, panels = shared_components(data, taps=taps), "mean over sessions", {}

    def line(course: np.ndarray) -> np.ndarray:
        return np.concatenate([np.append(of_condition, np.nan) for of_condition in course[:MOST_CONDITIONS]])

    for number, course in enumerate(found.components[:MOST_COMPONENTS]):
        worst = min(found.r2, key=lambda name: found.r2[name][number])
        title = textwrap.fill(f"Component {number + 1}: R2 from {found.r2[worst][number]:.2f} ({worst})", 34)
        panels[title] = {mean: line(course)} | {name: line(own[number]) for name, own in found.rebuilt.items()}
    width = "" if data.bin_width is None else f" of {1000 * data.bin_width:g} ms"
    title = "Components that the sessions share"
    return curves_figure(panels, title, x_label=f"Bin{width}", y_label="Component", references=[mean])


def _colours(names: Sequence[str], references: Collection[str], stems: Collection[str]) -> dict[str, str]:
    """Return a colour for every name: dark for references, grey for stems, others in order of appearance."""
    others = [name for name in names if name not in references and name not in stems]
    light = [colour for colour in QUALITATIVE if colour != INK]
    cycle = {name: light[i % len(light)] for i, name in enumerate(others)}
    return {name: GREY if name in stems else cycle.get(name, INK) for name in names}


def _draw_line(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, dashed: bool) -> None:
    many = values.ndim == 2 and values.shape[1] > 1
    known = np.isfinite(values) if values.ndim == 1 else np.ones(len(values), bool)
    width, alpha, style = THIN if many else MEDIUM, 0.6 if many else 1.0, DASHED if dashed else "-"
    ax.plot(x[known], values[known], color=colour, lw=width, alpha=alpha, ls=style)  # type: ignore[arg-type]

"""One page with the results of a model: scores, training, an example trial, latent space, averages."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from lfadsx.data.dataset import Dataset
from lfadsx.plotting.averaging import principal_components
from lfadsx.plotting.example_trials import KIND_TITLES, draw_images, image_kinds
from lfadsx.plotting.input_panels import draw_input_averages
from lfadsx.plotting.latent_space import (
    PLANES,
    component_label,
    draw_averages,
    draw_plane,
    draw_single_trials,
    frame_courses,
)
from lfadsx.plotting.loss_curves import PARTS, draw_part, has_part, loss_handles
from lfadsx.plotting.psth_panels import draw_pairs, smoothing_label
from lfadsx.plotting.style import GREY, INK, LABEL, TITLE, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

PAGE = (8.27, 11.69)
"""Width and height of A4 in inches."""
N_COLUMNS = 3
HISTORY = ("Loss", "Reconstruction", "Selection score", *PARTS)
"""Parts of the loss in the order in which they are chosen for the page."""
DASH = "–"


def summary(
    posterior: Posterior,
    data: Dataset,
    *,
    history: Mapping[str, np.ndarray] | None = None,
    table: Sequence[Mapping[str, object]] = (),
    title: str | None = None,
) -> Figure:
    """Draw one A4 page: an example trial, the factors, PSTHs and inputs, and if given the scores and the loss.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        history: As for `loss_figure`; None leaves the loss out.
        table: One mapping per model or baseline: its name first, then its scores, None for missing ones.
        title: Title of the page; by default the names of sessions and split.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view, history = View.of(posterior, data), history or {}
    title = f"{', '.join(posterior.sessions[:3])}: {posterior.split} trials" if title is None else title
    parts: list[tuple[float, Callable[[SubFigure], None]]] = []
    if table:
        parts.append((0.6 + 0.2 * len(table), lambda part: _draw_table(part.subplots(), table)))
    if any(has_part(history, name) for name in PARTS):
        parts.append((2.0, lambda part: _draw_history(part, history)))
    parts.append((2.3, lambda part: _draw_example(part, view)))
    parts.append((2.4, lambda part: _draw_factors(part, view)))
    parts.append((2.2, lambda part: _draw_psths(part, view)))
    inputs = posterior.inputs
    if inputs is not None and inputs.shape[2] > 0:
        parts.append((1.8, lambda part: _draw_inputs(part, view, inputs)))
    heights = [height for height, _ in parts]
    figure = new_figure(PAGE[0], min(PAGE[1], sum(heights) + 0.5), title)
    places = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for place, (_, draw) in zip(places, parts, strict=True):
        draw(place)
    return figure


def _draw_table(ax: Axes, rows: Sequence[Mapping[str, object]]) -> None:
    """Draw a table with rules above and below it and under its head; the first column names the row."""
    ax.set_axis_off()
    ax.set(xlim=(-0.015, 1.015), ylim=(len(rows) + 0.1, -1.5))
    columns = list(dict.fromkeys(key for row in rows for key in row if row[key] is not None))
    heads = [textwrap.fill(key.replace("_", " "), 11) for key in columns]
    cells = [[format_cell(row.get(key)) for key in columns] for row in rows]
    texts = [[*head.split("\n"), *(line[j] for line in cells)] for j, head in enumerate(heads)]
    widths = np.array([max(map(len, column)) for column in texts], float)
    edges = np.concatenate([[0.0], np.cumsum(widths + 2.5)]) / (widths.sum() + 2.5 * len(columns))
    size = float(np.clip(LABEL * 105.0 / (widths.sum() + 2.5 * len(columns)), 4.5, LABEL))
    for j, head in enumerate(heads):
        x, align = (edges[0], "left") if j == 0 else (edges[j + 1], "right")
        ax.text(x, -0.2, head, ha=align, va="bottom", fontsize=size, color=GREY, linespacing=1.0)
        for i, line in enumerate(cells):
            ax.text(x, i + 0.5, line[j], ha=align, va="center", fontsize=size, color=INK)
    for y, width in ((-1.5, 0.9), (0.0, 0.5), (len(rows), 0.9)):
        ax.plot([0.0, 1.0], [y, y], color=INK, lw=width, clip_on=False)


def format_cell(value: object) -> str:
    """Return a value of a table as text: numbers with three decimals, whole numbers as they are, a dash for None."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float | np.floating):
        return DASH if value is None else str(value)
    if not np.isfinite(value):
        return DASH
    text = f"{value:z.3f}" if abs(value) < 10_000 else f"{value:.2e}"
    # A minus sign is longer than a hyphen: scores below zero must not be overlooked.
    return text.replace("-", "\u2212")


def _draw_history(part: SubFigure, history: Mapping[str, np.ndarray]) -> None:
    """Draw the first three parts of the loss in the history."""
    names = [name for name in HISTORY if has_part(history, name)][:N_COLUMNS]
    for ax, name in zip(part.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_part(ax, history, name)
    legend_below(part, loss_handles(history))


def _draw_example(part: SubFigure, view: View) -> None:
    """Draw one trial: its spikes, the inferred rates, and the true ones if they are known."""
    trial, kinds = view.choose_trials(view.choose_session(None), 1), image_kinds(view)
    names = KIND_TITLES | {"counts": view.trial_name(trial[0])}
    for ax, kind in zip(part.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        draw_images([ax], view, trial, kind, bar_in=part)
        ax.set_title(names[kind], loc="left", fontsize=TITLE, color=INK, pad=12)
        ax.set_xlabel(view.units.time_label)


def _draw_factors(part: SubFigure, view: View) -> None:
    """Draw the factors in planes of principal components, and the first component over time."""
    scores, share = principal_components(view.posterior.factors)
    planes = [plane for plane in PLANES if max(plane) < len(share)]
    axes = part.subplots(1, len(planes) + 1, squeeze=False)[0]
    for ax, plane in zip(axes, planes, strict=False):
        draw_plane(ax, view, scores, share, plane)
    panel(axes[-1], "", view.units.time_label, component_label(share, 0))
    draw_averages(axes[-1], view, scores[:, :, 0])
    frame_courses(axes[-1], view)
    axes[0].set_title("Factors", loc="left", fontsize=TITLE, color=INK)
    view.conditions.add_legend(part)


def _draw_psths(part: SubFigure, view: View) -> None:
    """Draw the PSTHs of up to three neurons, data beside model."""
    session = view.choose_session(None)
    neurons = view.choose_neurons(session, N_COLUMNS)
    pairs = draw_pairs(part, view, session, neurons, 1, len(neurons))
    pairs[0][0].set_ylabel(view.rate_label)
    part.suptitle(f"PSTHs, {smoothing_label(view)}", x=0.01, ha="left", fontsize=TITLE, color=INK)
    part.supxlabel(view.units.time_label, fontsize=LABEL, color=INK)


def _draw_inputs(part: SubFigure, view: View, inputs: np.ndarray) -> None:
    """Draw the averages of up to three inferred inputs, or single trials beside the averages of a single one."""
    n = inputs.shape[2]
    axes = part.subplots(1, min(N_COLUMNS, max(n, 2)), squeeze=False)[0]
    for i, ax in enumerate(axes if n > 1 else axes[1:]):
        draw_input_averages(ax, view, inputs[:, :, i])
        panel(ax, f"Inferred input {i}, {view.conditions.average_name}", view.units.time_label)
    if n == 1:
        panel(axes[0], "Inferred input 0, single trials", view.units.time_label)
        draw_single_trials(axes[0], view, inputs[:, :, 0])
        frame_courses(axes[0], view)
    axes[0].set_ylabel("a.u.", fontsize=LABEL, color=INK)

"""Inferred inputs: single trials, condition averages, and true inputs if they are known."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.latent_space import course_handles, draw_averages, draw_single_trials, frame_courses
from lfadsx.plotting.style import BLUE, DASHED, GREY, INK, MEDIUM, RULE, TITLE, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

N_EXAMPLES = 3
Row = tuple[str, np.ndarray, np.ndarray | None]
"""Label, inferred values and, if they can be compared, true values of one input."""


def inputs(posterior: Posterior, data: Dataset, *, aligned: np.ndarray | None = None) -> Figure | None:
    """Draw the inferred inputs, one per row: single trials, and averages with their 95 % intervals over trials.

    The model infers inputs only up to scale, sign and mixing. Without `aligned`, true inputs therefore have axes of
    their own. With it, they are drawn over the aligned inputs, and example trials are added.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        aligned: The inferred inputs after a regression onto the true ones that was fitted on training trials,
            in the unit of the true inputs, shape (trial, time, true_input), or None.

    Returns:
        The figure, or None if the model infers no inputs.

    Raises:
        LfadsxError: If `aligned` does not have the shape of the true inputs.
    """
    if posterior.inputs is None or posterior.inputs.shape[2] == 0:
        return None
    view = View.of(posterior, data)
    rows = _rows(view, posterior.inputs, aligned)
    n_columns = 2 if aligned is None else 3
    width = 2.7 * n_columns + (1.2 if view.conditions.known else 0.4)
    title = f"Inferred inputs of {view.split.n_trials} {posterior.split} trials"
    figure = new_figure(width, 1.5 * len(rows) + 1.2, title)
    axes = figure.subplots(len(rows), n_columns, sharex=True, squeeze=False)
    for row, (name, values, truth) in zip(axes, rows, strict=True):
        panel(row[0], y=name)
        draw_single_trials(row[0], view, values)
        frame_courses(row[0], view)
        draw_input_averages(row[1], view, values, truth)
        if truth is not None:
            _draw_examples(row[2], view, values, truth)
    titles = ("Single trials", view.conditions.average_name.capitalize(), "Example trials")
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, loc="left", fontsize=TITLE, color=INK)
    for ax in axes[-1]:
        ax.set_xlabel(view.units.time_label)
    legend_below(figure, [*course_handles(view), *_truth_handles(aligned)])
    view.conditions.add_legend(figure)
    return figure


def draw_input_averages(ax: Axes, view: View, values: np.ndarray, truth: np.ndarray | None = None) -> None:
    """Draw the averages of one input, and dashed those of the truth if given; values of shape (trial, time)."""
    panel(ax)
    ax.axhline(0.0, color=RULE, lw=0.6, zorder=0)
    draw_averages(ax, view, values)
    if truth is not None:
        draw_averages(ax, view, truth, dashed=True)
    frame_courses(ax, view)


def _rows(view: View, inferred: np.ndarray, aligned: np.ndarray | None) -> list[Row]:
    """Return the rows of the figure."""
    true = view.split.true_inputs
    if aligned is not None and (true is None or aligned.shape != true.shape):
        raise LfadsxError(
            "`aligned` must have the shape of the true inputs of the split, "
            f"{'which has none' if true is None else true.shape}, got {aligned.shape}."
        )
    masked = None if true is None else view.in_trial(true)
    if aligned is not None and masked is not None:
        return [(f"Input {i} (aligned)", aligned[:, :, i], masked[:, :, i]) for i in range(masked.shape[2])]
    rows: list[Row] = [(f"Input {i} (a.u.)", inferred[:, :, i], None) for i in range(inferred.shape[2])]
    if masked is not None:
        rows += [(f"True input {i} (data units)", masked[:, :, i], None) for i in range(masked.shape[2])]
    return rows


def _draw_examples(ax: Axes, view: View, values: np.ndarray, truth: np.ndarray) -> None:
    """Draw a few trials one above the other, with the truth dashed over the inferred input."""
    panel(ax)
    shown = evenly(view.split.n_trials, N_EXAMPLES)
    both = np.concatenate([values[shown], truth[shown]])
    step = 1.05 * float(np.nanmax(both) - np.nanmin(both)) or 1.0
    for place, trial in enumerate(shown[::-1]):
        ax.axhline(place * step, color=RULE, lw=0.6, zorder=0)
        ax.plot(view.time, values[trial] + place * step, color=BLUE, lw=MEDIUM)
        ax.plot(view.time, truth[trial] + place * step, color=INK, lw=0.9, ls=DASHED)
    frame_courses(ax, view)
    ax.set_yticks(step * np.arange(len(shown)), [f"trial {view.split.trial_id[trial]}" for trial in shown[::-1]])


def _truth_handles(aligned: np.ndarray | None) -> list[Artist]:
    if aligned is None:
        return []
    example = Line2D([], [], color=BLUE, lw=MEDIUM, label="inferred in examples")
    return [example, Line2D([], [], color=GREY, lw=1.0, ls="--", label="truth")]

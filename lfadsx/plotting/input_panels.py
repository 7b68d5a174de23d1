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
from lfadsx.plotting.style import BLUE, DASHED, INK, MEDIUM, RULE, TITLE, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

N_EXAMPLES = 3
Row = tuple[str, np.ndarray, np.ndarray | None]
"""Label, inferred values and, if they can be compared, true values of one input."""


def inputs(posterior: Posterior, data: Dataset, *, aligned: np.ndarray | None = None) -> Figure | None:
    """Draw the inferred inputs, one per row and each at its own scale: single trials, and averages over trials.

    The model infers inputs only up to scale, sign and mixing. True inputs therefore always have separate axes.
    Without `aligned` they have separate rows. With `aligned` they stand beside it, and example trials show both.

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
    averages = view.conditions.average_name
    titles = ["Single trials", averages.capitalize()]
    titles += [] if aligned is None else [f"Truth, {averages}", "Examples, own scales"]
    width = (2.7 if aligned is None else 2.1) * len(titles) + (1.2 if view.conditions.known else 0.4)
    title = f"Inferred inputs of {view.split.n_trials} {posterior.split} trials"
    figure = new_figure(width, 1.5 * len(rows) + 1.2, title)
    axes = figure.subplots(len(rows), len(titles), sharex=True, squeeze=False)
    for row, (name, values, truth) in zip(axes, rows, strict=True):
        panel(row[0], y=name)
        draw_single_trials(row[0], view, values)
        frame_courses(row[0], view)
        draw_input_averages(row[1], view, values)
        row[1].set_ylim(row[0].get_ylim())
        if truth is not None:
            draw_input_averages(row[2], view, truth)
            _draw_examples(row[3], view, values, truth)
    for ax, text in zip(axes[0], titles, strict=True):
        ax.set_title(text, loc="left", fontsize=TITLE, color=INK)
    for ax in axes[-1]:
        ax.set_xlabel(view.units.time_label)
    legend_below(figure, [*course_handles(view), *_example_handles(aligned)])
    view.conditions.add_legend(figure)
    return figure


def draw_input_averages(ax: Axes, view: View, values: np.ndarray) -> None:
    """Draw the averages of one input, shape (trial, time), with their intervals."""
    panel(ax)
    ax.axhline(0.0, color=RULE, lw=0.6, zorder=0)
    draw_averages(ax, view, values)
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
    """Draw a few trials one above the other: the inferred input, and the truth dashed, each scaled to its own range."""
    panel(ax)
    shown = evenly(view.split.n_trials, N_EXAMPLES)
    for place, trial in enumerate(shown[::-1]):
        for of, look in ((values, {"color": BLUE, "lw": MEDIUM}), (truth, {"color": INK, "lw": 0.9, "ls": DASHED})):
            low, high = np.nanmin(of[shown]), np.nanmax(of[shown])
            ax.plot(view.time, place + (of[trial] - low) / (1.1 * (high - low) or 1.0), **look)
    frame_courses(ax, view)
    ax.set_yticks(np.arange(len(shown)), [f"trial {view.split.trial_id[trial]}" for trial in shown[::-1]])


def _example_handles(aligned: np.ndarray | None) -> list[Artist]:
    if aligned is None:
        return []
    inferred = Line2D([], [], color=BLUE, lw=MEDIUM, label="inferred in examples")
    return [inferred, Line2D([], [], color=INK, lw=0.9, ls=DASHED, label="truth in examples")]  # type: ignore[arg-type]

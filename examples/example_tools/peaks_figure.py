"""Inferred against true times of a brief input."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from example_tools.histograms import draw_histogram
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.peak_times import PeakErrors
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.style import (
    BLUE,
    DASHED,
    INK,
    MEDIUM,
    ORANGE,
    PALE,
    few_ticks,
    hide_tick_labels,
    legend_below,
    new_figure,
    panel,
)
from lfadsx.plotting.units import units_of
from lfadsx.results.labels import Labels

N_EXAMPLES = 4
MOST = 20
"""Largest error in bins on the axis; larger ones are counted in the outermost bars."""


def peaks_figure(dataset: Dataset, split: Split, inputs: np.ndarray, peaks: PeakErrors) -> Figure:
    """Draw by how much the peaks of an inferred input miss the true pulses, and example trials.

    Args:
        dataset: The data set.
        split: The trials, with a true input.
        inputs: The inferred input, shape (trial, time), any unit.
        peaks: What `lfadsx.evaluation.metrics.peak_errors` returned for these trials.

    Returns:
        The figure: a histogram of errors to the left, example trials to the right.

    Raises:
        LfadsxError: If `inputs` and `peaks` are of other trials.

    Example:
        peaks_figure(dataset, dataset.valid, posterior.inputs[:, :, 0], peaks).savefig("peaks.png")
    """
    if len(inputs) != len(peaks.errors) or len(inputs) != split.n_trials:
        raise LfadsxError(
            f"There are inputs of {len(inputs)} trials, peaks of {len(peaks.errors)}, and {split.n_trials} trials. "
            "Pass all three for the same split."
        )
    figure = new_figure(6.8, 3.2, "Times of inferred pulses")
    grid = figure.add_gridspec(N_EXAMPLES, 2)
    _draw_errors(figure.add_subplot(grid[:, 0]), peaks)
    labels = Labels.of(dataset)
    units = units_of(labels.time, labels.groups[dataset.input_group], split.n_bins)
    shown = evenly(len(inputs), N_EXAMPLES)
    for place, trial in enumerate(shown):
        ax = figure.add_subplot(grid[place, 1])
        panel(ax, "Example trials" if place == 0 else "", "", f"Trial {split.trial_id[trial]}")
        ax.plot(units.centres(inputs.shape[1]), peaks.sign * inputs[trial], color=BLUE, lw=MEDIUM)
        true = peaks.times[trial] - peaks.errors[trial]
        for bin_, colour, style in ((true, INK, DASHED), (peaks.times[trial], ORANGE, "-")):
            if np.isfinite(bin_):
                ax.axvline(units.edge(bin_ + 0.5), color=colour, lw=1.0, ls=style)  # type: ignore[arg-type]
        few_ticks(ax, x=4)
        ax.set_yticks([])
        if place == len(shown) - 1:
            ax.set_xlabel(units.time_label, fontsize=8)
        else:
            hide_tick_labels(ax, x=True)
    handles = [
        Line2D([], [], color=BLUE, lw=MEDIUM, label="inferred input"),
        Line2D([], [], color=ORANGE, lw=1.0, label=f"its peak, less the lag of {peaks.lag} bins"),
        Line2D([], [], color=INK, lw=1.0, ls=DASHED, label="true pulse"),  # type: ignore[arg-type]
    ]
    legend_below(figure, handles)
    return figure


def _draw_errors(ax: Axes, peaks: PeakErrors) -> None:
    errors = peaks.errors[np.isfinite(peaks.errors)]
    within = peaks.tolerance
    ax.axvspan(-within - 0.5, within + 0.5, color=PALE, lw=0, zorder=0)
    draw_histogram(ax, errors, np.arange(-MOST, MOST + 2) - 0.5)
    percent = f"{100 * peaks.share:.0f} % within ±{within} bins (chance {100 * peaks.chance:.0f} %)"
    panel(ax, percent, "Inferred minus true time (bins)", "Number of trials")

"""Inferred against true times of a brief input."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from example_tools.histograms import draw_histogram
from example_tools.peak_times import PeakErrors
from lfadsx import LfadsxError
from lfadsx.plotting import style

N_EXAMPLES = 4
MOST = 20
"""Largest error in bins on the axis; larger ones are counted in the outermost bars."""


def peaks_figure(inputs: np.ndarray, peaks: PeakErrors, times: np.ndarray, trial_id: np.ndarray) -> Figure:
    """Draw the errors of an inferred input's peak times, and example trials.

    Args:
        inputs: The inferred input, shape (trial, time), any unit.
        peaks: Result of `peak_errors` for these trials.
        times: Middle of each bin in seconds, shape (time,).
        trial_id: Ids of the trials, shape (trial,).

    Returns:
        The figure: a histogram of errors to the left, example trials to the right.

    Raises:
        LfadsxError: If the arguments are of other trials.

    Example:
        peaks_figure(post.inputs[:, :, 0], peaks, post.times, post.trial_id).savefig("peaks.png")
    """
    if not len(inputs) == len(peaks.errors) == len(trial_id):
        raise LfadsxError(
            f"All arguments must be of the same trials, got inputs of {len(inputs)}, peaks of {len(peaks.errors)} and "
            f"ids of {len(trial_id)}."
        )
    figure = style.new_figure(6.8, 3.2, "Times of inferred pulses")
    grid, width = figure.add_gridspec(N_EXAMPLES, 2), times[1] - times[0]

    ax, within = figure.add_subplot(grid[:, 0]), peaks.tolerance
    ax.axvspan(-within - 0.5, within + 0.5, color=style.PALE, lw=0, zorder=0)
    draw_histogram(ax, peaks.errors[np.isfinite(peaks.errors)], np.arange(-MOST, MOST + 2) - 0.5)
    percent = f"{100 * peaks.share:.0f} % within ±{within} bins (chance {100 * peaks.chance:.0f} %)"
    style.panel(ax, percent, "Inferred minus true time (bins)", "Number of trials")

    shown = np.unique(np.linspace(0, len(inputs) - 1, N_EXAMPLES).round().astype(int))
    for place, trial in enumerate(shown):
        ax, last = figure.add_subplot(grid[place, 1]), place == len(shown) - 1
        title, x_label = "Example trials" if place == 0 else "", "Time (s)" if last else ""
        style.panel(ax, title, x_label, f"Trial {trial_id[trial]}")
        ax.plot(times, peaks.sign * inputs[trial], color=style.BLUE, lw=style.MEDIUM)
        true = peaks.times[trial] - peaks.errors[trial]
        for found, colour, line in ((true, style.INK, style.DASHED), (peaks.times[trial], style.ORANGE, "-")):
            if np.isfinite(found):
                ax.axvline(times[0] + found * width, color=colour, lw=1.0, ls=line)  # type: ignore[arg-type]
        style.few_ticks(ax, x=4)
        ax.set_yticks([])
        ax.tick_params(labelbottom=last)
    handles = [
        Line2D([], [], color=style.BLUE, lw=style.MEDIUM, label="inferred input"),
        Line2D([], [], color=style.ORANGE, lw=1.0, label=f"its peak, less the lag of {peaks.lag} bins"),
        Line2D([], [], color=style.INK, lw=1.0, ls=style.DASHED, label="true pulse"),  # type: ignore[arg-type]
    ]
    style.legend_below(figure, handles)
    return figure

"""PSTHs: smoothed data against the model's rates, averaged over the trials of each condition."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.plotting.averaging import mean_and_interval, smooth
from lfadsx.plotting.style import BOLD, INK, LABEL, hide_tick_labels, legend_below, new_figure, panel
from lfadsx.plotting.time_courses import frame_courses
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

MOST_CONDITIONS = 8
"""Conditions in a panel; more cannot be told apart."""


def psth_figure(
    dataset: Dataset, split: Split, posterior: Posterior, n_neurons: int = 6, session: int | None = None
) -> Figure:
    """Draw PSTHs: smoothed data (thin) and inferred rates (bold), averaged over the trials of each condition.

    Without conditions the averages are over all trials. The neurons are those whose inferred rates vary most,
    a third of them held out where there are any.

    Args:
        dataset: The data set.
        split: The trials.
        posterior: Posterior of that split.
        n_neurons: How many neurons; all of them when there are fewer.
        session: Index of the session; None for the one with the most trials.

    Returns:
        The figure, one panel per neuron.

    Raises:
        LfadsxError: If `n_neurons` is below 1, or if the posterior is of other trials.

    Example:
        psth_figure(dataset, dataset.valid, posterior, n_neurons=9).savefig("psth.png")
    """
    if n_neurons < 1:
        raise LfadsxError(f"n_neurons is {n_neurons}, but a figure needs at least one neuron. Pass 1 or more.")
    view = View.of(dataset, split, posterior)
    session = view.choose_session(session)
    neurons = view.telling_neurons(session, n_neurons)
    n_columns = min(3, len(neurons))
    n_rows = -(-len(neurons) // n_columns)
    what = "PSTHs" if view.conditions.known else "Average time courses"
    width = 2.2 * n_columns + (1.6 if view.conditions.known else 0.8)
    figure = new_figure(width, 1.75 * n_rows + 1.1, f"{what}, data and model{view.session_title(session)}")
    axes = figure.subplots(n_rows, n_columns, sharex=True, squeeze=False)
    for i, ax in enumerate(axes.flat):
        if i >= len(neurons):
            ax.set_axis_off()
            continue
        draw_psth(ax, view, session, int(neurons[i]))
        if i % n_columns == 0:
            ax.set_ylabel(view.rate_label, fontsize=LABEL, color=INK)
        if i + n_columns >= len(neurons):
            ax.set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)
            ax.tick_params(labelbottom=True)
        else:
            hide_tick_labels(ax, x=True)
    legend_below(figure, psth_handles(view))
    view.conditions.add_legend(figure, most=MOST_CONDITIONS)
    return figure


def draw_psth(ax: Axes, view: View, session: int, neuron: int) -> None:
    """Draw the PSTHs of one neuron."""
    panel(ax, view.neuron_name(session, neuron))
    only = np.array([neuron])
    for group in view.conditions.within(view.trials_of(session), MOST_CONDITIONS):
        data = mean_and_interval(view.counts(group.members, only)[..., 0])[0] * view.units.rate_scale
        model = mean_and_interval(view.rates(group.members, only)[..., 0])[0]
        ax.plot(view.time, smooth(data, view.units.kernel), color=group.colour, lw=0.8, alpha=0.6)
        ax.plot(view.time, model, color=group.colour, lw=BOLD)
    frame_courses(ax, view)
    if view.units.are_counts:
        ax.set_ylim(bottom=0.0)


def psth_handles(view: View) -> list[Artist]:
    """Return the legend entries that tell data from model."""
    colour = view.conditions.key_colour
    smoothed = f"data, Gaussian of sd {view.units.kernel_label}" if view.units.kernel >= 0.5 else "data"
    return [
        Line2D([], [], color=colour, lw=0.8, alpha=0.6, label=smoothed),
        Line2D([], [], color=colour, lw=BOLD, label="inferred rate" if view.units.are_counts else "inferred mean"),
    ]

"""PSTHs of data and model side by side: single neurons by condition, and all neurons sorted by peak."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.plotting.averaging import mean_and_interval
from lfadsx.plotting.example_trials import mark_held_out
from lfadsx.plotting.latent_space import frame_courses, mark_event, mark_handles
from lfadsx.plotting.style import (
    BOLD,
    INK,
    LABEL,
    TICK,
    TITLE,
    balanced,
    colour_bar,
    few_ticks,
    image_map,
    legend_below,
    new_figure,
    panel,
    row_title,
)
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

MOST_PAIRS = 2
"""Most neurons in a row."""
Z_LIMIT = 3.0
"""Largest z-score of the colour scale."""


def psths(posterior: Posterior, data: Dataset, *, n_neurons: int = 6, session: int | None = None) -> Figure:
    """Draw the PSTHs of some neurons, data beside model with the same smoothing and the same axes.

    Without conditions the averages are over all trials. The neurons are those whose inferred rates vary most; a third
    of them is held out if there are held-out neurons.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        n_neurons: Number of neurons; all if there are fewer.
        session: Index of the session; by default the one with the most trials.

    Raises:
        LfadsxError: If `n_neurons` is below 1, or the posterior is not of the trials of its split in the data.
    """
    if n_neurons < 1:
        raise LfadsxError(f"`n_neurons` must be at least 1, got {n_neurons}.")
    view = View.of(posterior, data)
    session = view.choose_session(session)
    neurons = view.choose_neurons(session, n_neurons)
    n_pairs = balanced(len(neurons), MOST_PAIRS)
    n_rows = -(-len(neurons) // n_pairs)
    width = 3.3 * n_pairs + (1.3 if view.conditions.known else 0.2)
    title = f"PSTHs of {len(view.trials_of(session))} {posterior.split} trials{view.session_title(session)}"
    figure = new_figure(width, 1.55 * n_rows + 1.0, f"{view.units.say(title)}, {smoothing_label(view)}")
    axes = draw_pairs(figure, view, session, neurons, n_rows, n_pairs)
    for ax in itertools.chain(*axes[-n_pairs:]):
        ax.set_xlabel(view.units.time_label, fontsize=TICK)
    for data_ax, _ in axes[::n_pairs]:
        data_ax.set_ylabel(view.rate_label)
    legend_below(figure, mark_handles(view))
    view.conditions.add_legend(figure)
    return figure


def draw_pairs(
    figure: FigureBase, view: View, session: int, neurons: np.ndarray, n_rows: int, n_pairs: int
) -> list[tuple[Axes, Axes]]:
    """Draw data and model of one neuron in each pair of panels, row by row, and return the pairs."""
    grid, pairs = figure.add_gridspec(n_rows, 2 * n_pairs), []
    for place, neuron in enumerate(neurons):
        row, column = divmod(place, n_pairs)
        data_ax = figure.add_subplot(grid[row, 2 * column])
        model_ax = figure.add_subplot(grid[row, 2 * column + 1], sharey=data_ax)
        _draw_pair(data_ax, model_ax, view, session, int(neuron))
        pairs.append((data_ax, model_ax))
    for pair in pairs[:n_pairs]:
        for ax, name in zip(pair, ("Data", "Model"), strict=True):
            # The title leaves room for the name of the neuron.
            ax.set_title(name, loc="left", fontsize=TITLE, fontweight="bold", color=INK, pad=14)
    return pairs


def smoothing_label(view: View) -> str:
    """Return how data and model are smoothed, as the end of a title."""
    return f"smoothed by {view.units.kernel_label} (sd)" if view.smooths else "not smoothed"


def _draw_pair(data_ax: Axes, model_ax: Axes, view: View, session: int, neuron: int) -> None:
    """Draw the averages of one neuron over each condition: of the data left, of the inferred rates right."""
    only = np.array([neuron])
    for ax in (data_ax, model_ax):
        panel(ax)
    row_title(data_ax, view.neuron_name(session, neuron))
    for group in view.conditions.within(view.trials_of(session)):
        recorded = view.counts(group.members, only) * view.units.rate_scale
        for ax, values in ((data_ax, recorded), (model_ax, view.rates(group.members, only))):
            mean = view.smoothed(mean_and_interval(values)[0])[:, 0]
            ax.plot(view.time, mean, color=group.colour, lw=0.8 * BOLD)
    for ax in (data_ax, model_ax):
        frame_courses(ax, view)
        few_ticks(ax, x=3, y=3)
    model_ax.tick_params(labelleft=False)
    if view.units.are_counts:
        data_ax.set_ylim(bottom=0.0)


def all_neurons(posterior: Posterior, data: Dataset, *, session: int | None = None) -> Figure:
    """Draw the averages of all neurons over the trials as images, data beside model, sorted by the time of the peak.

    Both sides have the same smoothing, the same order and the same z-scores: mean and standard deviation of a neuron
    are those of its average over the training trials, which also gives the order.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        session: Index of the session; by default the one with the most trials.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    session = view.choose_session(session)
    trials, order = view.trials_of(session), view.sorted_neurons(session)
    training = view.training_average(session)[:, order]
    with np.errstate(invalid="ignore"):
        known = np.ma.masked_invalid(training)
        centre, spread = known.mean(axis=0).filled(np.nan), known.std(axis=0).filled(np.nan)
    spread[spread == 0] = np.nan
    n_seen = int((~view.held_out(session)).sum())
    title = f"Averages over {len(trials)} {posterior.split} trials{view.session_title(session)}"
    figure = new_figure(5.6, 3.4, title)
    axes = figure.subplots(1, 2, sharey=True)
    rates = view.rates(trials, order) / view.units.rate_scale
    sides = {"Data": view.counts(trials, order), "Model": rates}
    extent = (view.units.start, view.units.edge(view.split.n_bins), len(order), 0.0)
    for ax, (name, values) in zip(axes, sides.items(), strict=True):
        panel(ax, "", view.units.time_label, image=True)
        score = (view.smoothed(mean_and_interval(values)[0]) - centre) / spread
        colours = image_map("RdBu_r")
        image = ax.imshow(score.T, aspect="auto", extent=extent, cmap=colours, interpolation="nearest")
        image.set_clim(-Z_LIMIT, Z_LIMIT)
        ax.set_title(f"{name}, {smoothing_label(view)}", loc="left", fontsize=TITLE, color=INK)
        ax.set_xlim(view.units.start, view.end)
        mark_event(ax, view)
        few_ticks(ax, x=4)
        few_ticks(ax, y=4, integer=True)
        mark_held_out(ax, n_seen, len(order), named=ax is axes[-1])
    axes[0].set_ylabel(view.units.say("Neuron, by peak in training trials"), fontsize=LABEL)
    colour_bar(figure, image, list(axes), "z-score (mean and sd of training trials)", extend="both")
    return figure

"""Inferred against true rates: example neurons, and the R2 of all of them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from example_tools.histograms import draw_histogram
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.plotting.rates_figure import choose_trials
from lfadsx.plotting.single_neurons import draw_neuron, neuron_handles
from lfadsx.plotting.style import INK, LABEL, hide_tick_labels, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior


def truth_figure(
    dataset: Dataset,
    split: Split,
    posterior: Posterior,
    r2: np.ndarray,
    label: str = "R2 of a neuron",
    *,
    n_trials: int = 2,
    n_neurons: int = 4,
    seed: int = 0,
    session: int | None = None,
) -> Figure:
    """Draw inferred over true rates of example neurons, and a histogram of the R2 of all neurons.

    Args:
        dataset: The data set.
        split: The trials, with true rates.
        posterior: Posterior of that split.
        r2: A score of each neuron, shape (neuron,), at most 1; NaN is left out.
        label: What the score is.
        n_trials: How many example trials.
        n_neurons: How many example neurons, those whose inferred rates vary most.
        seed: Seed of the choice of trials.
        session: Index of the session; None for the one with the most trials.

    Returns:
        The figure: one column per example trial, and the histogram to the right.

    Raises:
        LfadsxError: If the posterior is of other trials or no score is a number.

    Example:
        r2 = lfadsx.evaluation.metrics.r2_by_channel(posterior.rates["spikes"], dataset.valid.truth)
        truth_figure(dataset, dataset.valid, posterior, r2).savefig("truth.png")
    """
    known = r2[np.isfinite(r2)]
    if not len(known):
        raise LfadsxError("No R2 is a number, so there is nothing to draw. Pass the R2 of at least one neuron.")
    view = View.of(dataset, split, posterior)
    session = view.choose_session(session)
    trials = choose_trials(view, session, n_trials, seed)
    neurons = view.telling_neurons(session, n_neurons)
    title = f"Inferred and true rates{view.session_title(session)}"
    figure = new_figure(2.3 * len(trials) + 3.2, 1.05 * len(neurons) + 0.9, title)
    left, right = figure.subfigures(1, 2, width_ratios=[2.3 * len(trials) + 0.6, 2.6], squeeze=False)[0]
    axes = left.subplots(len(neurons), len(trials), sharex=True, sharey="row", squeeze=False)
    for row, neuron in zip(axes, neurons, strict=True):
        draw_neuron(row, view, trials, int(neuron))
        row[0].set_title(view.neuron_name(session, int(neuron)), loc="left", fontsize=LABEL, color=INK, pad=3)
    for ax in axes[-1]:
        ax.set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)
    for ax in axes[:-1].flat:
        hide_tick_labels(ax, x=True)
    ax = right.subplots()
    draw_histogram(ax, known, np.linspace(min(0.0, max(-1.0, float(known.min()))), 1.0, 31))
    panel(ax, f"All {len(known)} neurons, mean {known.mean():.3f}", label, "Number of neurons")
    legend_below(figure, neuron_handles(view))
    return figure

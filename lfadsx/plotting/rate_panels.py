"""Example trials: what was recorded, what the model infers, and the truth where it is known."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError
from lfadsx.plotting.images import Kind, draw_images, image_label
from lfadsx.plotting.single_neurons import draw_neuron, neuron_handles
from lfadsx.plotting.style import INK, LABEL, TITLE, colour_bar, hide_tick_labels, legend_below, new_figure
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

N_NEURONS = 3
"""Single neurons below the images."""


def rates_figure(
    dataset: Dataset,
    split: Split,
    posterior: Posterior,
    n_trials: int = 3,
    seed: int = 0,
    session: int | None = None,
) -> Figure:
    """Draw example trials: spikes and inferred rates of all neurons, then a few single neurons in detail.

    Neurons that the encoder does not see lie below a line, forward-predicted bins to the right of one. Bands
    are one standard deviation over posterior samples.

    Args:
        dataset: The data set.
        split: Trials to choose from.
        posterior: Posterior of that split.
        n_trials: How many trials; all of them when there are fewer.
        seed: Seed of the choice.
        session: Index of the session; None for the one with the most trials.

    Returns:
        The figure, one column per trial.

    Raises:
        LfadsxError: If `n_trials` is below 1, or if the posterior is of other trials.

    Example:
        rates_figure(dataset, dataset.valid, posterior, n_trials=4).savefig("rates.png")
    """
    if n_trials < 1:
        raise LfadsxError(f"n_trials is {n_trials}, but a figure needs at least one trial. Pass 1 or more.")
    view = View.of(dataset, split, posterior)
    session = view.choose_session(session)
    trials = choose_trials(view, session, n_trials, seed)
    kinds: list[Kind] = ["counts", "rates"] if split.truth is None else ["counts", "rates", "truth"]
    neurons = view.telling_neurons(session, N_NEURONS)
    ratios = [2.0] * len(kinds) + [1.0] * len(neurons)
    title = f"Example trials{view.session_title(session)}"
    figure = new_figure(2.3 * len(trials) + 1.5, 0.8 * sum(ratios) + 1.1, title)
    axes = figure.subplots(len(ratios), len(trials), sharex=True, sharey="row", squeeze=False, height_ratios=ratios)
    for kind, row in zip(kinds, axes, strict=False):
        image = draw_images(row, view, trials, kind)
        colour_bar(figure, image, row, image_label(view, kind), integer=kind == "counts")
    for neuron, row in zip(neurons, axes[len(kinds) :], strict=True):
        draw_neuron(row, view, trials, neuron)
        row[0].set_title(view.neuron_name(session, neuron), loc="left", fontsize=LABEL, color=INK, pad=3)
    # The titles leave room for the word that marks forward prediction.
    for ax, trial in zip(axes[0], trials, strict=True):
        ax.set_title(view.trial_name(trial), loc="left", fontsize=TITLE, color=INK, pad=12)
    for ax in axes[-1]:
        ax.set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)
    for ax in axes[:-1].flat:
        hide_tick_labels(ax, x=True)
    for ax in axes[:, 1:].flat:
        hide_tick_labels(ax, y=True)
    legend_below(figure, neuron_handles(view))
    return figure


def choose_trials(view: View, session: int, n_trials: int, seed: int) -> np.ndarray:
    """Draw trials of a session at random.

    Args:
        view: The split and its posterior.
        session: Index of the session.
        n_trials: How many; all of the session's when it has fewer.
        seed: Seed of the choice.

    Returns:
        Positions in the split, in its order, shape (chosen trial,).
    """
    trials = view.trials_of(session)
    chosen = np.random.default_rng(seed).choice(trials, min(n_trials, len(trials)), replace=False)
    return np.sort(chosen)

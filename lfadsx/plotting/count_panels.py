"""Predicted against observed data: calibration, means of neurons, and the distribution of counts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.baselines import held_out_channels
from lfadsx.evaluation.baselines.session_data import seen_bins
from lfadsx.evaluation.metrics import poisson_nll
from lfadsx.plotting.style import BLUE, GREY, INK, MEDIUM, ORANGE, few_ticks, legend_below, new_figure, panel, square
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

N_LEVELS = 12
"""Groups of entries by predicted value."""
MOST_COUNTS = 12
"""Largest count of the distribution."""


def predicted_counts(posterior: Posterior, data: Dataset) -> Figure:
    """Draw predicted against observed data in bins and in neurons, and for counts their distribution.

    Entries that the encoder saw are blue. Held-out neurons and forward-predicted bins are orange. The distribution
    that the model predicts is the mean over entries of Poisson distributions at the inferred rates.

    Args:
        posterior: Posterior of a split.
        data: The data set.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    split, counts = view.split, view.units.are_counts
    observed = np.asarray(split.targets[data.input_group], float)
    predicted = np.asarray(posterior.rates[data.input_group], float)
    scored = scored_mask(split, data)
    held_out = np.broadcast_to(held_out_channels(data)[split.session][:, None, :], scored.shape)
    unseen = held_out | ~seen_bins(split)
    parts = {colour: scored & part for colour, part in ((BLUE, ~unseen), (ORANGE, unseen)) if (scored & part).any()}
    title = f"Predicted and observed data of {split.n_trials} {posterior.split} trials"
    figure = new_figure(7.2 if counts else 4.9, 2.9, title)
    axes = figure.subplots(1, 3 if counts else 2)
    unit = "counts per bin" if counts else view.units.rate_unit
    panel(axes[0], f"Bins, in {N_LEVELS} groups", f"Predicted mean ({unit})", f"Observed mean ({unit})")
    panel(
        axes[1],
        view.units.say("Neurons"),
        f"Predicted mean ({view.units.rate_unit})",
        f"Observed mean ({view.units.rate_unit})",
    )
    for colour, part in parts.items():
        _draw_calibration(axes[0], predicted, observed, part, colour)
    neurons = [_means_of_neurons(view, predicted, observed, scored & side) for side in (~held_out, held_out)]
    for colour, (x, y) in zip((BLUE, ORANGE), neurons, strict=True):
        axes[1].plot(x, y, "o", color=colour, ms=3, alpha=0.8, mec="white", mew=0.3)
    for ax in axes[:2]:
        points = np.concatenate([np.concatenate(line.get_data()) for line in ax.get_lines()] or [[0.0, 1.0]])
        square(ax, *((0.0, float(np.nanmax(points))) if counts else (np.nanmin(points), np.nanmax(points))))
    if counts:
        _draw_distribution(axes[2], predicted[scored], observed[scored])
    names = {BLUE: "seen by the encoder", ORANGE: "held out or forward-predicted"}
    dots = [Line2D([], [], color=colour, marker="o", ls="", ms=4, label=names[colour]) for colour in parts]
    legend_below(figure, [*dots, Line2D([], [], color=GREY, lw=0.8, label="equality")])
    return figure


def _draw_calibration(ax: Axes, predicted: np.ndarray, observed: np.ndarray, part: np.ndarray, colour: str) -> None:
    """Draw the means of entries with about the same prediction, with the 95 % interval over trials."""
    edges = np.unique(np.quantile(predicted[part], np.linspace(0.0, 1.0, N_LEVELS + 1)))
    level = np.clip(np.searchsorted(edges, np.where(part, predicted, edges[0]), side="right") - 1, 0, len(edges) - 2)
    for number in range(max(len(edges) - 1, 1)):
        inside = part & (level == number)
        n, total = inside.sum(axis=(1, 2)), np.where(inside, observed, 0.0).sum(axis=(1, 2))
        if n.sum() == 0:
            continue
        mean = total.sum() / n.sum()
        # Entries of a trial are not independent, so the error is that of a ratio of sums over trials.
        half = 1.96 * np.sqrt(((total - mean * n) ** 2).sum()) / n.sum()
        ax.errorbar(predicted[inside].mean(), mean, half, color=colour, marker="o", ms=3.5, lw=MEDIUM)


def _means_of_neurons(
    view: View, predicted: np.ndarray, observed: np.ndarray, scored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean prediction and the mean of the data of each neuron of each session, in the unit of rates."""
    means = []
    for session in np.unique(view.split.session):
        own = scored[view.trials_of(session)]
        n = own.sum(axis=(0, 1))
        both = [np.where(own, of[view.trials_of(session)], 0.0).sum(axis=(0, 1)) for of in (predicted, observed)]
        means.append(np.stack(both)[:, n > 0] / n[n > 0] * view.units.rate_scale)
    x, y = np.concatenate(means, axis=1)
    return x, y


def _draw_distribution(ax: Axes, predicted: np.ndarray, observed: np.ndarray) -> None:
    """Draw the share of bins with each count, as observed and as Poisson distributions at the rates predict."""
    panel(ax, "Distribution of counts", "Count per bin", "Share of bins")
    counts = np.arange(min(int(observed.max()), MOST_COUNTS) + 1)
    share = np.array([(observed == count).mean() for count in counts])
    expected = np.array([np.exp(-poisson_nll(predicted, np.full(predicted.shape, count))).mean() for count in counts])
    fired = share > 0
    ax.plot(counts[fired], share[fired], "o", color=INK, ms=4, mfc="none", label="observed")
    ax.plot(counts, expected, color=BLUE, lw=MEDIUM, label="Poisson at the\ninferred rates")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.4 * share[fired].min())
    ax.set_box_aspect(1.0)
    few_ticks(ax, x=5, integer=True)
    ax.legend(frameon=False, fontsize=7, loc="upper right", handlelength=1.2, labelcolor=INK)

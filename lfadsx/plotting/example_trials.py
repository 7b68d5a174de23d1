"""One trial from top to bottom: rates and truth, inputs, factors, generator states, data and rates as images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset, Split
from lfadsx.plotting.images import draw_images
from lfadsx.plotting.style import BLUE, GREY, INK, LABEL, MEDIUM, THIN, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

MOST_TRACES = 10
"""Neurons, factors and states that are drawn, one above the other."""


def example_figure(dataset: Dataset, trials: Mapping[str, tuple[Split, Posterior]]) -> Figure:
    """Draw everything about single trials, one column for each: what a training is watched by.

    The rows are inferred and true rates, inferred and known inputs, rates and data, factors, generator states, and
    images of data and rates; of rates, factors and states the first ten, one above the other.

    Args:
        dataset: The data set.
        trials: By title of the column a split and its posterior, of which the first trial is drawn.

    Example:
        example_figure(dataset, {"Validation": (split, posterior)}).savefig("trial.png")
    """
    figure = new_figure(4.0 * len(trials) + 0.6, 11.0)
    axes = figure.subplots(7, len(trials), squeeze=False)
    for number, (column, (title, (split, posterior))) in enumerate(zip(axes.T, trials.items(), strict=True)):
        view = View.of(dataset, split, posterior)
        _draw_trial(column, view, labelled=number == 0)
        column[0].set_title(f"{title}: {view.trial_name(0)}", loc="left", fontsize=LABEL, color=INK)
        column[-1].set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)
    roles = {"inferred": BLUE, "true": INK, "recorded or known": GREY}
    legend_below(figure, [Line2D([], [], color=colour, lw=MEDIUM, label=name) for name, colour in roles.items()])
    return figure


def _draw_trial(column: np.ndarray, view: View, labelled: bool) -> None:
    """Draw the first trial of a view into seven axes, with or without the names of what they show."""
    first = np.array([0])
    n = view.dataset.sessions[view.split.session[0]].n_targets[view.dataset.input_group]
    neurons = np.arange(min(n, MOST_TRACES))
    rates, counts = view.rates(first, neurons)[0], view.counts(first, neurons)[0] * view.units.rate_scale
    truth = view.truth(first, neurons)[0] if view.truth_is_comparable else np.full_like(rates, np.nan)
    posterior, known = view.posterior, view.split.known_inputs
    _draw_traces(column[0], view, [(truth, INK), (rates, BLUE)], view.rate_label, labelled)
    inputs = [(posterior.inputs[0], BLUE)] if posterior.inputs is not None else []
    inputs += [(known[0], GREY)] if known is not None else []
    _draw_traces(column[1], view, inputs, "Inputs (a.u.)", labelled)
    _draw_traces(column[2], view, [(counts, GREY), (rates, BLUE)], f"Data, {view.units.rate_unit}", labelled)
    _draw_traces(column[3], view, [(posterior.factors[0], BLUE)], "Factors (a.u.)", labelled)
    _draw_traces(column[4], view, [(posterior.generator_states[0], BLUE)], "Generator (a.u.)", labelled)
    draw_images([column[5]], view, first, "counts")
    draw_images([column[6]], view, first, "rates")


def _draw_traces(ax: Axes, view: View, groups: list[tuple[np.ndarray, str]], label: str, labelled: bool) -> None:
    """Draw groups of traces of shape (time, trace), trace i of all groups at the same height."""
    panel(ax, "", "", label if labelled else "")
    ax.set_yticks([])
    ax.set_xlim(view.units.start, view.end)
    shown = [(values[:, :MOST_TRACES], colour) for values, colour in groups]
    spans = [np.ptp(values[np.isfinite(values)]) for values, _ in shown if np.isfinite(values).any()]
    step = 0.7 * max(spans, default=1.0) or 1.0
    for values, colour in shown:
        heights = -step * np.arange(values.shape[1])
        ax.plot(view.time[: len(values)], values + heights, color=colour, lw=THIN if colour == GREY else MEDIUM)

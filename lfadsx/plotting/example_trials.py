"""Single trials: images of all neurons, and figures of one trial in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset, Split
from lfadsx.plotting.latent_space import mark_event
from lfadsx.plotting.style import (
    BLUE,
    GREY,
    INK,
    LABEL,
    MEDIUM,
    NOTE,
    ORANGE,
    THIN,
    colour_bar,
    few_ticks,
    image_map,
    legend_below,
    new_figure,
    panel,
)
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

Kind = Literal["counts", "rates", "truth"]
"""Recorded counts, inferred rates or true rates."""
KIND_TITLES: dict[Kind, str] = {"counts": "Recorded data", "rates": "Inferred rates", "truth": "True rates"}
MOST_BRIGHT = 98.5
"""Percentile of the rates at the end of the colour scale, so that a few active neurons do not darken all others."""
MOST_TRACES = 10
"""Most neurons, factors and states, which are drawn one above the other."""


def kind_titles(view: View) -> dict[Kind, str]:
    """Return the title of each kind of image, in words that fit the data."""
    return {kind: view.units.say(title) for kind, title in KIND_TITLES.items()}


def image_kinds(view: View) -> list[Kind]:
    """Return the kinds of images that can be drawn."""
    return ["counts", "rates"] if view.split.truth is None else ["counts", "rates", "truth"]


def draw_images(
    row: Sequence[Axes], view: View, trials: np.ndarray, kind: Kind, bar_in: FigureBase | None = None
) -> None:
    """Draw all neurons in some trials of one session, one per axes, as images with a common colour scale.

    Neurons are sorted by the time of their peak. Those held out from the encoder are below a line, bins after the
    encoder's window to the right of one.

    Args:
        row: One axes per trial.
        view: The split and its posterior.
        trials: Positions of the trials in the split, shape (chosen trial,).
        kind: The values to draw.
        bar_in: Figure that gets a colour bar beside the axes, or None.
    """
    session = int(view.split.session[trials[0]])
    held_out, order = view.held_out(session), view.sorted_neurons(session)
    values = _values(view, trials, order, kind)
    low, high = _limits(view, trials, order, kind)
    extent = (view.units.start, view.units.edge(view.split.n_bins), len(order), 0.0)
    colours = image_map("Greys" if kind == "counts" else "viridis")
    for ax, trial, one in zip(row, trials, values, strict=True):
        panel(ax, image=True)
        image = ax.imshow(one.T, aspect="auto", extent=extent, cmap=colours, interpolation="nearest")
        image.set_clim(low, high)
        ax.set_xlim(view.units.start, view.end)
        few_ticks(ax, x=4)
        few_ticks(ax, y=4, integer=True)
        mark_event(ax, view, INK if kind == "counts" else "white")
        _mark_forward(ax, view, trial, named=kind == "counts" and ax is row[-1])
        mark_held_out(ax, int((~held_out).sum()), len(order), named=kind == "counts" and ax is row[-1])
    row[0].set_ylabel(view.units.say("Neuron, by peak"))
    if bar_in is not None:
        counts = kind == "counts"
        colour_bar(bar_in, image, row, _label(view, kind), integer=counts, extend="neither" if counts else "max")


def _label(view: View, kind: Kind) -> str:
    if kind == "counts":
        return "Spikes per bin" if view.units.are_counts else f"Data ({view.units.rate_unit})"
    return view.rate_label if kind == "rates" else f"True rate ({view.truth_unit})"


def _mark_forward(ax: Axes, view: View, trial: int, named: bool) -> None:
    """Draw a line where forward prediction begins, with its name above the image."""
    start = view.forward_start(trial)
    if start is None:
        return
    ax.axvline(start, color=ORANGE, lw=1.0)
    if named:
        above = ax.get_xaxis_transform()
        ax.text(start, 1.02, "forward", color=ORANGE, fontsize=NOTE, va="bottom", ha="left", transform=above)


def mark_held_out(ax: Axes, n_seen: int, n_neurons: int, named: bool) -> None:
    """Draw a line above the held-out neurons, with their name to the right of the image."""
    if n_seen == n_neurons:
        return
    ax.axhline(n_seen, color=ORANGE, lw=1.0)
    if named:
        middle, beside = (n_seen + n_neurons) / 2, ax.get_yaxis_transform()
        ax.text(1.02, middle, "held\nout", color=ORANGE, fontsize=NOTE, va="center", transform=beside)


def _values(view: View, trials: np.ndarray, neurons: np.ndarray, kind: Kind) -> np.ndarray:
    return {"counts": view.counts, "rates": view.rates, "truth": view.truth}[kind](trials, neurons)


def _limits(view: View, trials: np.ndarray, neurons: np.ndarray, kind: Kind) -> tuple[float, float]:
    """Return a colour scale without outliers, the same for rates and truth in one unit."""
    both = kind != "counts" and view.split.truth is not None and view.truth_is_comparable
    kinds: tuple[Kind, ...] = ("rates", "truth") if both else (kind,)
    finite = np.concatenate([_values(view, trials, neurons, each).ravel() for each in kinds])
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, [0.2, 99.8 if kind == "counts" else MOST_BRIGHT])
    if view.units.are_counts:
        low, high = 0.0, max(high, 1.0) if kind == "counts" else high
    return float(low), float(high) if high > low else float(low) + 1.0


def example_figure(dataset: Dataset, trials: Mapping[str, tuple[Split, Posterior]]) -> Figure:
    """Draw single trials, one per column, to watch a training.

    The rows are inferred and true rates, inferred and known inputs, rates and data, factors, generator states, and
    images of data and rates. Of rates, factors and states the first ten are drawn.

    Args:
        dataset: The data set.
        trials: By title of the column, a split and its posterior, whose first trial is drawn.
    """
    figure = new_figure(4.0 * len(trials) + 0.6, 11.0)
    axes = figure.subplots(7, len(trials), squeeze=False)
    for number, (column, (title, (split, posterior))) in enumerate(zip(axes.T, trials.items(), strict=True)):
        view = View.of(posterior, dataset, split)
        _draw_trial(column, view, labelled=number == 0)
        column[0].set_title(f"{title}: {view.trial_name(0)}", loc="left", fontsize=LABEL, color=INK)
        column[-1].set_xlabel(view.units.time_label)
    roles = {"inferred": BLUE, "true": INK, "recorded or known": GREY}
    legend_below(figure, [Line2D([], [], color=colour, lw=MEDIUM, label=name) for name, colour in roles.items()])
    return figure


def _draw_trial(column: np.ndarray, view: View, labelled: bool) -> None:
    """Draw the first trial of a view into seven axes; only the labelled column has labels."""
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
    """Draw groups of traces, shape (time, trace); traces of the same number have the same height."""
    panel(ax, "", "", label if labelled else "")
    ax.set_yticks([])
    ax.set_xlim(view.units.start, view.end)
    shown = [(values[:, :MOST_TRACES], colour) for values, colour in groups]
    spans = [np.ptp(values[np.isfinite(values)]) for values, _ in shown if np.isfinite(values).any()]
    step = 0.7 * max(spans, default=1.0) or 1.0
    for values, colour in shown:
        heights = -step * np.arange(values.shape[1])
        ax.plot(view.time[: len(values)], values + heights, color=colour, lw=THIN if colour == GREY else MEDIUM)

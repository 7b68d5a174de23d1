"""Rates of neurons in example trials, with data and truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.plotting.example_trials import draw_images, image_kinds, kind_titles
from lfadsx.plotting.latent_space import event_handles, mark_event
from lfadsx.plotting.style import (
    BLUE,
    DASHED,
    GREY,
    INK,
    MEDIUM,
    ORANGE,
    THIN,
    TICK,
    TITLE,
    few_ticks,
    legend_below,
    new_figure,
    panel,
    row_title,
)
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

N_NEURONS = 3
"""Single neurons below the images."""
STRIP = 0.22
"""Share of a panel, at its top, for the spikes."""


def rates(
    posterior: Posterior, data: Dataset, *, n_trials: int = 3, seed: int = 0, session: int | None = None
) -> Figure:
    """Draw example trials, one per column: spikes and inferred rates of all neurons, then single neurons in detail.

    Neurons are sorted by the time of their peak. Those that the encoder does not see are below a line,
    forward-predicted bins to the right of one. Bands are one standard deviation, calibrated or over posterior samples.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        n_trials: Number of trials; all if there are fewer.
        seed: Seed of the choice.
        session: Index of the session; by default the one with the most trials.

    Raises:
        LfadsxError: If `n_trials` is below 1, or the posterior is not of the trials of its split in the data.
    """
    if n_trials < 1:
        raise LfadsxError(f"`n_trials` must be at least 1, got {n_trials}.")
    view = View.of(posterior, data)
    session = view.choose_session(session)
    trials, neurons = view.choose_trials(session, n_trials, seed), view.choose_neurons(session, N_NEURONS)
    kinds = image_kinds(view)
    ratios = [2.0] * len(kinds) + [1.0] * len(neurons)
    title = f"{posterior.split.capitalize()} trials, data and model{view.session_title(session)}"
    figure = new_figure(2.3 * len(trials) + 1.5, 0.8 * sum(ratios) + 1.1, title)
    axes = figure.subplots(len(ratios), len(trials), sharex=True, sharey="row", squeeze=False, height_ratios=ratios)
    for kind, row in zip(kinds, axes, strict=False):
        draw_images(row, view, trials, kind, bar_in=figure)
        row_title(row[0], kind_titles(view)[kind])
    for neuron, row in zip(neurons, axes[len(kinds) :], strict=True):
        draw_neuron(row, view, trials, neuron)
        row_title(row[0], view.neuron_name(session, neuron))
    # The titles leave room for that of the first row.
    for ax, trial in zip(axes[0], trials, strict=True):
        ax.set_title(view.trial_name(trial), loc="left", fontsize=TITLE, fontweight="bold", color=INK, pad=14)
    for ax in axes[-1]:
        ax.set_xlabel(view.units.time_label)
    legend_below(figure, _neuron_handles(view))
    return figure


def draw_neuron(row: Sequence[Axes], view: View, trials: np.ndarray, neuron: int) -> None:
    """Draw a neuron in trials of one session, one per axes: data, inferred rate with its band, true rate."""
    only = np.array([neuron])
    counts, rates = view.counts(trials, only)[..., 0], view.rates(trials, only)[..., 0]
    std, truth = view.rates_std(trials, only), view.truth(trials, only)[..., 0]
    band = np.zeros_like(rates) if std is None else std[..., 0]
    if not view.truth_is_comparable:
        truth = _scaled_to(rates, truth)
    for i, (ax, trial) in enumerate(zip(row, trials, strict=True)):
        panel(ax)
        _draw_data(ax, view, counts[i], float(np.nanmax(counts, initial=1.0)))
        if std is not None:
            ax.fill_between(view.time, rates[i] - band[i], rates[i] + band[i], color=BLUE, alpha=0.25, lw=0)
        if view.split.truth is not None:
            ax.plot(view.time, truth[i], color=INK, lw=0.9, ls=DASHED, label="truth")
        ax.plot(view.time, rates[i], color=BLUE, lw=MEDIUM, label="inferred")
        start = view.forward_start(trial)
        if start is not None:
            ax.axvline(start, color=ORANGE, lw=1.0)
        mark_event(ax, view)
        ax.set_xlim(view.units.start, view.end)
        few_ticks(ax, x=4, y=3)
    shown = [rates + band, rates - band, truth] + [counts] * (not view.units.are_counts)
    row[0].set_ylim(*_limits(np.concatenate([values.ravel() for values in shown]), view.units.are_counts))
    # Two lines, because the panels are low.
    row[0].set_ylabel(view.rate_label.replace(" (", "\n("), fontsize=TICK, color=INK)


def _neuron_handles(view: View) -> list[Artist]:
    data = Line2D([], [], color=GREY, lw=0.8, label="data")
    if view.units.are_counts:
        data = Line2D([], [], color=INK, marker="|", ls="", ms=6, label="spikes (height: count)")
    handles: list[Artist] = [data, Line2D([], [], color=BLUE, lw=MEDIUM, label="inferred")]
    if view.has_samples:
        post = view.posterior
        what = f"±1 sd over {post.n_samples} samples" if post.kappa is None else "±1 sd, calibrated"
        handles.append(Patch(color=BLUE, alpha=0.25, lw=0, label=what))
    if view.split.truth is not None:
        label = "truth" if view.truth_is_comparable else "truth, scaled to the inferred rate"
        handles.append(Line2D([], [], color=INK, lw=0.9, ls=DASHED, label=label))
    if np.any(view.split.target_length > view.split.encoder_length):
        handles.append(Line2D([], [], color=ORANGE, lw=1.0, label="forward prediction starts"))
    return [*handles, *event_handles(view)]


def _draw_data(ax: Axes, view: View, counts: np.ndarray, most: float) -> None:
    """Draw counts as ticks whose height is the count, other data as steps on the axis of the rates."""
    if not view.units.are_counts:
        ax.plot(view.time, counts, color=GREY, lw=0.8, drawstyle="steps-mid")
        return
    fired = np.flatnonzero(np.nan_to_num(counts) > 0)
    tops = 1.0 - STRIP + 0.03 + (STRIP - 0.03) * counts[fired] / most
    ax.vlines(view.time[fired], 1.0 - STRIP + 0.03, tops, color=INK, lw=THIN, transform=ax.get_xaxis_transform())


def _scaled_to(rates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return a relative truth times the factor that brings it closest to the inferred rates."""
    both = np.isfinite(rates) & np.isfinite(truth)
    power = float((truth[both] ** 2).sum())
    return truth * (float((truth[both] * rates[both]).sum()) / power if power > 0 else 1.0)


def _limits(values: np.ndarray, are_counts: bool) -> tuple[float, float]:
    """Return vertical limits that hold all values, with the strip above them for the spikes."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low = 0.0 if are_counts else low
    room = 1.05 * (high - low) or 1.0
    return low, low + room / (1.0 - STRIP if are_counts else 1.0)

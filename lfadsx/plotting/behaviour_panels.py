"""Behaviour decoded from the rates beside the measured one."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics import r2_by_channel, velocity_decoding
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.latent_space import draw_averages, draw_single_trials, frame_courses, mark_handles
from lfadsx.plotting.style import BLUE, INK, TITLE, few_ticks, legend_below, new_figure, panel, square
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

MOST_DIMENSIONS = 4
MOST_DOTS = 4000
"""Most bins in a scatter of measured against decoded behaviour."""


def behaviour(
    posterior: Posterior, data: Dataset, *, decoded: np.ndarray | None = None, session: int | None = None
) -> Figure:
    """Draw measured behaviour, decoded behaviour at the same scale, and one against the other, one dimension per row.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        decoded: Decoded behaviour of the split, such as `Evaluation.decoded`, shape (trial, time, behaviour), in the
            unit of the behaviour, NaN where nothing is decoded. By default, half of the trials are decoded by ridge
            regression fitted on the other half, and the other way round.
        session: Index of the session; by default the one with the most trials.

    Raises:
        LfadsxError: If the data have no behaviour, `decoded` has another shape, there are fewer than two trials to
            decode, or the posterior is not of the trials of its split in the data.
        MissingExtraError: If behaviour is to be decoded and scikit-learn is missing.
    """
    view = View.of(posterior, data)
    measured = view.split.behaviour
    if measured is None:
        raise LfadsxError("The data must hold behaviour, but have none. Read them with their behaviour.")
    if decoded is not None and decoded.shape != measured.shape:
        raise LfadsxError(
            f"`decoded` must have the shape of the behaviour, {measured.shape}, got shape {decoded.shape}."
        )
    session = view.choose_session(session)
    trials = view.trials_of(session)
    own = view.in_trial(measured[trials].astype(float), trials)
    found = _decoded(view, trials, own) if decoded is None else decoded[trials]
    # Measured bins without a decoded value, at an end of the trial, would move the averages apart.
    own = np.where(np.isnan(found), np.nan, own)
    n_rows = min(own.shape[2], MOST_DIMENSIONS)
    name = data.behaviour_name
    title = (
        f"{name.capitalize()} decoded from rates, {len(trials)} {posterior.split} trials{view.session_title(session)}"
    )
    figure = new_figure(7.2 + (1.0 if view.conditions.known else 0.0), 1.9 * n_rows + 0.9, title)
    axes = figure.subplots(n_rows, 3, squeeze=False)
    r2 = r2_by_channel(found, own)
    for number, row in enumerate(axes):
        full = [np.full((view.split.n_trials, own.shape[1]), np.nan) for _ in range(2)]
        for values, of in zip(full, (own, found), strict=True):
            values[trials] = of[:, :, number]
        _draw_courses(row, view, full[0], full[1], f"{name} {number}")
        _draw_scatter(row[2], own[:, :, number], found[:, :, number], r2[number], f"{name} {number}")
    for ax, text in zip(axes[0], ("Measured", "Decoded", ""), strict=True):
        if text:
            ax.set_title(text, loc="left", fontsize=TITLE, color=INK)
    for ax, label in zip(
        axes[-1], (view.units.time_label, view.units.time_label, "Measured (data units)"), strict=True
    ):
        ax.set_xlabel(label)
    legend_below(figure, mark_handles(view))
    view.conditions.add_legend(figure)
    return figure


def _draw_courses(row: np.ndarray, view: View, measured: np.ndarray, decoded: np.ndarray, label: str) -> None:
    """Draw single trials and averages of both, shape (trial, time), with one vertical scale."""
    for ax, values in ((row[0], measured), (row[1], decoded)):
        panel(ax, "", "", f"{label.capitalize()} (data units)" if ax is row[0] else "")
        draw_single_trials(ax, view, values)
        draw_averages(ax, view, values)
        frame_courses(ax, view)
    limits = np.array([ax.get_ylim() for ax in row[:2]])
    for ax in row[:2]:
        ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        few_ticks(ax, x=4, y=4)


def _draw_scatter(ax: Axes, measured: np.ndarray, decoded: np.ndarray, r2: float, label: str) -> None:
    """Draw decoded against measured values of all bins, of an even selection if they are many."""
    panel(ax, f"{label.capitalize()}, all bins: R² = {r2:.2f}", "", "Decoded (data units)")
    both = np.isfinite(measured) & np.isfinite(decoded)
    x, y = measured[both], decoded[both]
    shown = evenly(len(x), MOST_DOTS)
    ax.plot(x[shown], y[shown], ".", color=BLUE, ms=2, alpha=0.25, mew=0, rasterized=True)
    square(ax, float(min(x.min(), y.min())), float(max(x.max(), y.max())))


def _decoded(view: View, trials: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return behaviour of each half of the trials, decoded by a regression on the other half."""
    if len(trials) < 2:
        raise LfadsxError(f"Decoding needs at least 2 trials, got {len(trials)}. Pass the decoded behaviour.")
    data, width = view.dataset, view.dataset.bin_width
    n_neurons = len(view.held_out(int(view.split.session[trials[0]])))
    rates = view.posterior.rates[data.input_group][trials][:, :, :n_neurons]
    features = np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if view.units.are_counts else rates
    lag = round(data.behaviour_lag / width) if width else 0
    length, found = view.split.encoder_length[trials], np.full(measured.shape, np.nan)
    half = np.arange(len(trials)) % 2 == 0
    for tested, fitted in ((half, ~half), (~half, half)):
        found[tested] = velocity_decoding(
            features[fitted],
            measured[fitted],
            features[tested],
            measured[tested],
            lag_bins=lag,
            train_length=length[fitted],
            length=length[tested],
        ).prediction
    return found

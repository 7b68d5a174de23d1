"""Single neurons in single trials: spikes, inferred rate with its band, true rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lfadsx.plotting.style import BLUE, DASHED, GREY, INK, MEDIUM, ORANGE, THIN, TICK, few_ticks, panel
from lfadsx.plotting.view import View

STRIP = 0.22
"""Share of a panel, at its top, that belongs to the spikes."""


def draw_neuron(row: Sequence[Axes], view: View, trials: np.ndarray, neuron: int) -> None:
    """Draw one neuron in some trials of one session, with a common vertical axis.

    Args:
        row: One axes per trial.
        view: The split and its posterior.
        trials: Positions of the trials in the split, shape (chosen trial,).
        neuron: Index of the neuron in its session.

    Example:
        draw_neuron([ax], view, np.array([0]), neuron=3)
    """
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
        ax.set_xlim(view.units.start, view.end)
        few_ticks(ax, x=4, y=3)
    shown = [rates + band, rates - band, truth] + [counts] * (not view.units.are_counts)
    row[0].set_ylim(*_limits(np.concatenate([values.ravel() for values in shown]), view.units.are_counts))
    # Two lines, because the panels are low.
    row[0].set_ylabel(view.rate_label.replace(" (", "\n("), fontsize=TICK, color=INK)


def neuron_handles(view: View) -> list[Artist]:
    """Return the legend entries of single neurons."""
    data = Line2D([], [], color=GREY, lw=0.8, label="data")
    if view.units.are_counts:
        data = Line2D([], [], color=INK, marker="|", ls="", ms=6, label="spikes (height: count)")
    handles: list[Artist] = [data, Line2D([], [], color=BLUE, lw=MEDIUM, label="inferred")]
    if view.has_samples:
        label = f"±1 sd over {view.posterior.n_samples} samples"
        handles.append(Patch(color=BLUE, alpha=0.25, lw=0, label=label))
    if view.split.truth is not None:
        label = "truth" if view.truth_is_comparable else "truth, scaled to the inferred rate"
        handles.append(Line2D([], [], color=INK, lw=0.9, ls=DASHED, label=label))
    if np.any(view.split.target_length > view.split.encoder_length):
        handles.append(Line2D([], [], color=ORANGE, lw=1.0, label="forward prediction starts"))
    return handles


def _draw_data(ax: Axes, view: View, counts: np.ndarray, most: float) -> None:
    """Draw counts as ticks whose height is the count, other data as steps on the axis of the rates."""
    if not view.units.are_counts:
        ax.plot(view.time, counts, color=GREY, lw=0.8, drawstyle="steps-mid")
        return
    fired = np.flatnonzero(np.nan_to_num(counts) > 0)
    tops = 1.0 - STRIP + 0.03 + (STRIP - 0.03) * counts[fired] / most
    ax.vlines(view.time[fired], 1.0 - STRIP + 0.03, tops, color=INK, lw=THIN, transform=ax.get_xaxis_transform())


def _scaled_to(rates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Scale a relative truth by the one factor that brings it closest to the inferred rates."""
    both = np.isfinite(rates) & np.isfinite(truth)
    power = float((truth[both] ** 2).sum())
    return truth * (float((truth[both] * rates[both]).sum()) / power if power > 0 else 1.0)


def _limits(values: np.ndarray, are_counts: bool) -> tuple[float, float]:
    """Choose vertical limits that hold all values, and leave the strip above them to the spikes."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low = 0.0 if are_counts else low
    room = 1.05 * (high - low) or 1.0
    return low, low + room / (1.0 - STRIP if are_counts else 1.0)

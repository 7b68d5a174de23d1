"""Images of all neurons over time, with lines round what the encoder did not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from lfadsx.plotting.style import INK, LABEL, NOTE, ORANGE, few_ticks, image_map, panel
from lfadsx.plotting.view import View

Kind = Literal["counts", "rates", "truth"]
MAPS: dict[Kind, str] = {"counts": "Greys", "rates": "viridis", "truth": "viridis"}


def draw_images(row: Sequence[Axes], view: View, trials: np.ndarray, kind: Kind) -> AxesImage:
    """Draw all neurons in some trials of one session, as images with a common colour scale.

    Neurons held out from the encoder lie below a line, bins after the encoder's window to the right of one.

    Args:
        row: One axes per trial.
        trials: Positions of the trials in the split, shape (chosen trial,).
        kind: Recorded counts, inferred rates or true rates.
    """
    held_out = view.held_out(int(view.split.session[trials[0]]))
    order = np.argsort(held_out, kind="stable")
    values = _values(view, trials, order, kind)
    low, high = _limits(view, trials, order, kind)
    extent = (view.units.start, view.units.edge(view.split.n_bins), len(order), 0.0)
    images = []
    for ax, trial, one in zip(row, trials, values, strict=True):
        panel(ax, image=True)
        images.append(ax.imshow(one.T, aspect="auto", extent=extent, cmap=image_map(MAPS[kind]), vmin=low, vmax=high))
        ax.set_xlim(view.units.start, view.end)
        few_ticks(ax, x=4)
        few_ticks(ax, y=4, integer=True)
        _mark_forward(ax, view, trial, named=kind == "counts")
        _mark_held_out(ax, int((~held_out).sum()), len(order), named=kind == "counts" and ax is row[-1])
    row[0].set_ylabel("Neuron" if np.all(np.diff(order) > 0) else "Neuron (sorted)", fontsize=LABEL, color=INK)
    return images[-1]


def image_label(view: View, kind: Kind) -> str:
    """Return the label of an image's colour bar, with its unit."""
    if kind == "counts":
        return "Spikes per bin" if view.units.are_counts else f"Data ({view.units.rate_unit})"
    if kind == "rates":
        return view.rate_label
    return f"True rate ({view.truth_unit})"


def _mark_forward(ax: Axes, view: View, trial: int, named: bool) -> None:
    """Draw a line where forward prediction begins; its name stands above the image, off the data."""
    start = view.forward_start(trial)
    if start is None:
        return
    ax.axvline(start, color=ORANGE, lw=1.0)
    if named:
        above = ax.get_xaxis_transform()
        ax.text(start, 1.02, "forward", color=ORANGE, fontsize=NOTE, va="bottom", transform=above)


def _mark_held_out(ax: Axes, n_seen: int, n_neurons: int, named: bool) -> None:
    """Draw a line above the held-out neurons; their name stands to the right of the image."""
    if n_seen == n_neurons:
        return
    ax.axhline(n_seen, color=ORANGE, lw=1.0)
    if named:
        middle, beside = (n_seen + n_neurons) / 2, ax.get_yaxis_transform()
        ax.text(1.02, middle, "held\nout", color=ORANGE, fontsize=NOTE, va="center", transform=beside)


def _values(view: View, trials: np.ndarray, neurons: np.ndarray, kind: Kind) -> np.ndarray:
    """Return what the images show, shape (chosen trial, time, neuron)."""
    if kind == "counts":
        return view.counts(trials, neurons)
    if kind == "rates":
        return view.rates(trials, neurons)
    return view.truth(trials, neurons)


def _limits(view: View, trials: np.ndarray, neurons: np.ndarray, kind: Kind) -> tuple[float, float]:
    """Choose a colour scale that outliers cannot wash out, the same for rates and truth in one unit."""
    values = [_values(view, trials, neurons, kind).ravel()]
    if kind != "counts" and view.split.truth is not None and view.truth_is_comparable:
        values = [_values(view, trials, neurons, other).ravel() for other in ("rates", "truth")]
    finite = np.concatenate(values)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, [0.2, 99.8])
    if view.units.are_counts:
        low, high = 0.0, max(high, 1.0) if kind == "counts" else high
    return float(low), float(high) if high > low else float(low) + 1.0

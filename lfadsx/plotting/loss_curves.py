"""Curves of training: the parts of the loss, the ramps, the learning rate and the chosen epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lfadsx.errors import LfadsxError
from lfadsx.plotting.style import (
    BLUE,
    DASHED,
    GREY,
    INK,
    MEDIUM,
    ORANGE,
    PALE,
    few_ticks,
    legend_below,
    panel,
    panel_grid,
)

NATS = "Nats per trial"
PARTS = {
    "Loss": ("loss", "valid_loss", NATS),
    "Reconstruction": ("reconstruction", "valid_reconstruction", NATS),
    "KL of the initial condition": ("kl_ic", "valid_kl_ic", NATS),
    "KL of the bias": ("kl_bias", "valid_kl_bias", NATS),
    "KL of the inferred inputs": ("kl_inputs", "valid_kl_inputs", NATS),
    "Trained and withheld entries": ("sv_trained", "sv_withheld", NATS),
    "Selection score": ("", "score", NATS),
    "L2 penalty": ("l2", "", NATS),
    "Correlation of the inferred inputs": ("correlation", "", "Before its weight"),
}
"""By title of a panel: the key of its training curve, of its validation curve, and the unit."""
RAMPS = {
    "kl_ic_weight": ("KL of the initial condition", BLUE, "-"),
    "kl_co_weight": ("KL of the inputs", GREY, "-"),
    "l2_weight": ("L2", ORANGE, DASHED),
}
"""By key of a ramp: its name, colour and line; one is dashed, so that equal ramps can be told apart."""


def loss_figure(history: Mapping[str, np.ndarray]) -> Figure:
    """Draw the loss and its parts for training and validation, the ramps and the learning rate.

    Epochs with rising weights of KL and L2 are shaded, and the chosen epoch is marked.

    Args:
        history: One value per epoch, each of shape (epoch,): `epoch`; `loss`, `reconstruction`, `kl_ic`,
            `kl_inputs`, `kl_bias`, `l2`, `correlation` and the same with `valid_` in front, in nats per trial; `score`,
            NaN where it was not evaluated; `kl_ic_weight`, `kl_co_weight`, `l2_weight`, `learning_rate`; and the
            number `best_epoch`; with sample validation, `sv_trained` and `sv_withheld`, the negative log likelihood of
            trained and of withheld entries of training trials. Curves that are missing, or 0 in all epochs, are left
            out.

    Raises:
        LfadsxError: If the history has no curve.
    """
    titles, curves = [title for title in PARTS if has_part(history, title)], _curves(history)
    has_ramp, has_rate = any(key in curves for key in RAMPS), "learning_rate" in curves
    n_panels = len(titles) + has_ramp + has_rate
    if not n_panels:
        raise LfadsxError("`history` must have at least 1 curve, got no curve. Pass the history of `lfadsx.fit`.")
    n_columns = n_panels if n_panels <= 3 else -(-n_panels // 2)
    figure, axes = panel_grid(n_panels, n_columns, (2.5, 2.15), (0.4, 0.7), _title(curves))
    for title, ax in zip(titles, axes, strict=False):
        draw_part(ax, history, title)
    if has_ramp:
        _draw_ramps(axes[len(titles)], curves)
    if has_rate:
        _draw_learning_rate(axes[n_panels - 1], curves)
    legend_below(figure, loss_handles(history))
    return figure


def has_curves(history: Mapping[str, np.ndarray]) -> bool:
    """Return True if `loss_figure` can draw something of a history."""
    return bool({*RAMPS, "learning_rate"} & {*_curves(history)}) or any(has_part(history, title) for title in PARTS)


def has_part(history: Mapping[str, np.ndarray], title: str) -> bool:
    """Return True if a history has a curve of the panel with this title (a key of `PARTS`)."""
    curves = _curves(history)
    return any(key in curves and bool(np.nan_to_num(curves[key]).any()) for key in PARTS[title][:2])


def draw_part(ax: Axes, history: Mapping[str, np.ndarray], title: str) -> None:
    """Draw one part of the loss for training and validation."""
    (train, valid, unit), curves = PARTS[title], _curves(history)
    panel(ax, title, "Epoch", unit)
    keys = {key: colour for key, colour in ((train, GREY), (valid, BLUE)) if key in curves}
    for key, colour in keys.items():
        _draw_curve(ax, curves, key, colour)
    _mark_epochs(ax, curves)
    _set_limits(ax, [curves[key] for key in keys])


def loss_handles(history: Mapping[str, np.ndarray]) -> list[Artist]:
    """Return the legend entries for the panels of a history."""
    curves, handles = _curves(history), []
    held = "validation, withheld entries" if "sv_withheld" in curves else "validation"
    for number, (name, colour) in enumerate((("training", GREY), (held, BLUE))):
        if any(part[number] in curves for part in PARTS.values()):
            handles.append(Line2D([], [], color=colour, lw=MEDIUM, label=name))
    if _ramp_end(curves) is not None:
        handles.append(Patch(color=PALE, label="weights of KL and L2 still rise"))
    best = _best_epoch(curves)
    if best is not None:
        handles.append(Line2D([], [], color=INK, lw=0.8, ls=DASHED, label=f"chosen epoch {best:g}"))
    return handles


def _draw_ramps(ax: Axes, curves: Mapping[str, np.ndarray]) -> None:
    panel(ax, "Weights of KL and L2", "Epoch", "Weight")
    shown = [(key, *RAMPS[key]) for key in RAMPS if key in curves]
    for number, (key, name, colour, line) in enumerate(shown):
        _draw_curve(ax, curves, key, colour, line)
        height = 0.07 + 0.13 * (len(shown) - 1 - number)
        ax.text(0.97, height, name, color=colour, fontsize=8, ha="right", transform=ax.transAxes)
    _mark_epochs(ax, curves)
    top = max(float(np.nanmax(curves[key])) for key, *_ in shown)
    ax.set_ylim(0.0, 1.08 * (top or 1.0))


def _draw_learning_rate(ax: Axes, curves: Mapping[str, np.ndarray]) -> None:
    panel(ax, "Learning rate", "Epoch", "Step size")
    _draw_curve(ax, curves, "learning_rate", INK)
    _mark_epochs(ax, curves)
    positive = curves["learning_rate"][curves["learning_rate"] > 0]
    if len(positive):
        ax.set_yscale("log")
        ax.set_ylim(positive.min() / 1.6, positive.max() * 1.6)


def _draw_curve(ax: Axes, curves: Mapping[str, np.ndarray], key: str, colour: str, line: Any = "-") -> None:
    """Draw a curve through the epochs that have a value; a single value is a dot."""
    finite = np.isfinite(curves[key])
    marker = "o" if finite.sum() == 1 else ""
    ax.plot(_epochs(curves)[finite], curves[key][finite], color=colour, lw=MEDIUM, ls=line, marker=marker, ms=3)


def _mark_epochs(ax: Axes, curves: Mapping[str, np.ndarray]) -> None:
    """Shade the ramps, mark the chosen epoch, and give the axis whole numbers."""
    end, best, epochs = _ramp_end(curves), _best_epoch(curves), _epochs(curves)
    if end is not None:
        ax.axvspan(epochs[0], end, color=PALE, lw=0, zorder=0)
    if best is not None:
        ax.axvline(best, color=INK, lw=0.8, ls=DASHED, zorder=1)
    if len(epochs) > 1:
        ax.set_xlim(epochs[0], epochs[-1])
    few_ticks(ax, x=4, integer=True)


def _set_limits(ax: Axes, curves: list[np.ndarray]) -> None:
    """Fit the vertical axis to the curves, without the first twentieth of training if it is far off."""
    everything = _finite(np.concatenate(curves))
    settled = _finite(np.concatenate([curve[len(curve) // 20 :] for curve in curves]))
    shown = settled if len(settled) and 2 * np.ptp(settled) < np.ptp(everything) else everything
    low, high = shown.min(), shown.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - margin, high + margin)
    few_ticks(ax, y=4)


def _title(curves: Mapping[str, np.ndarray]) -> str:
    n, best = len(_epochs(curves)), _best_epoch(curves)
    chosen = "" if best is None else f", epoch {best:g} chosen"
    return f"Training, {n} epoch{'' if n == 1 else 's'}{chosen}"


def _curves(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the entries of a history that have a finite value, shape (epoch,)."""
    found = {key: np.atleast_1d(np.asarray(values, float)) for key, values in history.items()}
    return {key: values for key, values in found.items() if np.isfinite(values).any()}


def _epochs(curves: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers of the epochs; counted from 0 if the history does not have them."""
    return curves.get("epoch", np.arange(max(map(len, curves.values()), default=0), dtype=float))


def _best_epoch(curves: Mapping[str, np.ndarray]) -> float | None:
    """Return the last entry of the epoch of the best score; None if it is 0."""
    best = float(curves["best_epoch"][-1]) if "best_epoch" in curves else 0.0
    return best if best > 0 else None


def _ramp_end(curves: Mapping[str, np.ndarray]) -> float | None:
    """Return the first epoch in which all weights are at their largest, or None without a ramp."""
    ends = [int(np.nanargmax(curves[key])) for key in RAMPS if key in curves]
    return float(_epochs(curves)[max(ends)]) if ends and max(ends) > 0 else None


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]

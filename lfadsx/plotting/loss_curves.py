"""How training went: the parts of the loss, the ramps, the learning rate and the epoch that was chosen."""

from __future__ import annotations

from collections.abc import Mapping

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
    new_figure,
    panel,
)

NATS = "Nats per trial"
PARTS = {
    "Loss": ("loss", "valid_loss", NATS),
    "Reconstruction": ("reconstruction", "valid_reconstruction", NATS),
    "KL of the initial condition": ("kl_ic", "valid_kl_ic", NATS),
    "KL of the inferred inputs": ("kl_inputs", "valid_kl_inputs", NATS),
    "Selection score": ("", "score", "Score"),
    "L2 penalty": ("l2", "", NATS),
    "Correlation of the inferred inputs": ("correlation", "", "Before its weight"),
}
"""Title of a panel: the key of its training curve, of its validation curve, and the unit."""
RAMPS = {
    "kl_ic_weight": ("KL of the initial condition", BLUE, "-"),
    "kl_co_weight": ("KL of the inputs", GREY, "-"),
    "l2_weight": ("L2", ORANGE, DASHED),
}
"""Key of a ramp: its name, colour and line; the dashed one on top lets two equal ramps be told apart."""


def loss_figure(history: Mapping[str, np.ndarray]) -> Figure:
    """Draw the loss and its parts for training and validation, the ramps and the learning rate.

    The epochs in which the weights of KL and L2 still rise are shaded, and the chosen epoch is marked.

    Args:
        history: One value per epoch, each of shape (epoch,): `epoch`; `loss`, `reconstruction`, `kl_ic`,
            `kl_inputs`, `l2`, `correlation` and the same with `valid_` in front, in nats per trial; `score`, NaN
            where it was not evaluated; `kl_ic_weight`, `kl_co_weight`, `l2_weight`, `learning_rate`; and the number
            `best_epoch`. What is missing, or 0 in all epochs, is left out.

    Raises:
        LfadsxError: If the history holds nothing that can be drawn.

    Example:
        loss_figure({"loss": loss, "valid_loss": valid_loss}).savefig("loss.png")
    """
    titles = [title for title in PARTS if has_part(history, title)]
    has_ramp = any(_has(history, key) for key in RAMPS)
    has_rate = _has(history, "learning_rate")
    n_panels = len(titles) + has_ramp + has_rate
    if not has_curves(history):
        raise LfadsxError("The history holds no curve that can be drawn. Pass the history that fit returned.")
    n_rows, n_columns = (1, n_panels) if n_panels <= 3 else (2, -(-n_panels // 2))
    figure = new_figure(2.5 * n_columns + 0.4, 2.15 * n_rows + 0.7, _title(history))
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for ax in axes[n_panels:]:
        ax.set_axis_off()
    for title, ax in zip(titles, axes, strict=False):
        draw_part(ax, history, title)
    if has_ramp:
        _draw_ramps(axes[len(titles)], history)
    if has_rate:
        _draw_learning_rate(axes[n_panels - 1], history)
    legend_below(figure, loss_handles(history))
    return figure


def has_curves(history: Mapping[str, np.ndarray]) -> bool:
    """True when a history holds anything that `loss_figure` can draw."""
    others = (*RAMPS, "learning_rate")
    return any(has_part(history, title) for title in PARTS) or any(_has(history, key) for key in others)


def has_part(history: Mapping[str, np.ndarray], title: str) -> bool:
    """True when a history holds a curve of the panel with this title (a key of `PARTS`)."""
    return any(_has(history, key) and bool(np.any(_finite(_series(history, key)))) for key in PARTS[title][:2])


def draw_part(ax: Axes, history: Mapping[str, np.ndarray], title: str) -> None:
    """Draw one part of the loss for training and validation."""
    train, valid, unit = PARTS[title]
    panel(ax, title, "Epoch", unit)
    keys = {key: colour for key, colour in ((train, GREY), (valid, BLUE)) if _has(history, key)}
    for key, colour in keys.items():
        _curve(ax, _epochs(history), _series(history, key), colour)
    _mark_epochs(ax, history)
    _set_limits(ax, [_series(history, key) for key in keys])


def loss_handles(history: Mapping[str, np.ndarray]) -> list[Artist]:
    """Return the legend entries that the panels of a history need."""
    handles: list[Artist] = []
    if any(_has(history, train) for train, _, _ in PARTS.values()):
        handles.append(Line2D([], [], color=GREY, lw=MEDIUM, label="training"))
    if any(_has(history, valid) for _, valid, _ in PARTS.values()):
        handles.append(Line2D([], [], color=BLUE, lw=MEDIUM, label="validation"))
    if _ramp_end(history) is not None:
        handles.append(Patch(color=PALE, label="weights of KL and L2 still rise"))
    best = _best_epoch(history)
    if best is not None:
        handles.append(Line2D([], [], color=INK, lw=0.8, ls=DASHED, label=f"chosen epoch {best:g}"))
    return handles


def _draw_ramps(ax: Axes, history: Mapping[str, np.ndarray]) -> None:
    panel(ax, "Weights of KL and L2", "Epoch", "Weight")
    shown = [(key, *RAMPS[key]) for key in RAMPS if _has(history, key)]
    for number, (key, name, colour, line) in enumerate(shown):
        _curve(ax, _epochs(history), _series(history, key), colour, line)
        height = 0.07 + 0.13 * (len(shown) - 1 - number)
        ax.text(0.97, height, name, color=colour, fontsize=8, ha="right", transform=ax.transAxes)
    _mark_epochs(ax, history)
    top = max(float(np.nanmax(_series(history, key))) for key, *_ in shown)
    ax.set_ylim(0.0, 1.08 * (top or 1.0))


def _draw_learning_rate(ax: Axes, history: Mapping[str, np.ndarray]) -> None:
    panel(ax, "Learning rate", "Epoch", "Step size")
    rate = _series(history, "learning_rate")
    _curve(ax, _epochs(history), rate, INK)
    _mark_epochs(ax, history)
    positive = rate[rate > 0]
    if len(positive):
        ax.set_yscale("log")
        ax.set_ylim(positive.min() / 1.6, positive.max() * 1.6)


def _curve(ax: Axes, epochs: np.ndarray, values: np.ndarray, colour: str, style: object = "-") -> None:
    """Draw a curve through the epochs that have a value; a single one is a dot."""
    finite = np.isfinite(values)
    marker = "o" if finite.sum() == 1 else ""
    ax.plot(epochs[finite], values[finite], color=colour, lw=MEDIUM, ls=style, marker=marker, ms=3)  # type: ignore[arg-type]


def _mark_epochs(ax: Axes, history: Mapping[str, np.ndarray]) -> None:
    """Shade the ramps, mark the chosen epoch, and give the axis whole numbers."""
    end, best, epochs = _ramp_end(history), _best_epoch(history), _epochs(history)
    if end is not None:
        ax.axvspan(epochs[0], end, color=PALE, lw=0, zorder=0)
    if best is not None:
        ax.axvline(best, color=INK, lw=0.8, ls=DASHED, zorder=1)
    if len(epochs) > 1:
        ax.set_xlim(epochs[0], epochs[-1])
    few_ticks(ax, x=4, integer=True)


def _set_limits(ax: Axes, curves: list[np.ndarray]) -> None:
    """Fit the vertical axis to the curves, without the first twentieth of training when it is off by far."""
    everything = _finite(np.concatenate(curves))
    settled = _finite(np.concatenate([curve[len(curve) // 20 :] for curve in curves]))
    shown = settled if len(settled) and 2 * np.ptp(settled) < np.ptp(everything) else everything
    low, high = shown.min(), shown.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - margin, high + margin)
    few_ticks(ax, y=4)


def _title(history: Mapping[str, np.ndarray]) -> str:
    n, best = len(_epochs(history)), _best_epoch(history)
    chosen = "" if best is None else f", epoch {best:g} chosen"
    return f"Training, {n} epoch{'' if n == 1 else 's'}{chosen}"


def _epochs(history: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers of the epochs, counted from 0 when the history does not tell them."""
    if "epoch" in history:
        return _series(history, "epoch")
    return np.arange(max((np.size(values) for values in history.values()), default=0), dtype=float)


def _has(history: Mapping[str, np.ndarray], key: str) -> bool:
    return key in history and bool(np.any(np.isfinite(_series(history, key))))


def _best_epoch(history: Mapping[str, np.ndarray]) -> float | None:
    """Return the epoch of the best score: the history's last word on it, None while it is 0."""
    best = float(_series(history, "best_epoch")[-1]) if _has(history, "best_epoch") else 0.0
    return best if best > 0 else None


def _ramp_end(history: Mapping[str, np.ndarray]) -> float | None:
    """Return the first epoch in which all weights are at their largest, or None when none ever rises."""
    ends = [int(np.nanargmax(_series(history, key))) for key in RAMPS if _has(history, key)]
    return float(_epochs(history)[max(ends)]) if ends and max(ends) > 0 else None


def _series(history: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """Return the values of one key, shape (epoch,)."""
    return np.atleast_1d(np.asarray(history[key], float))


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]

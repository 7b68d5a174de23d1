"""Scores of a sweep over its settings, and scores of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.errors import LfadsxError
from lfadsx.plotting.style import (
    BLUE,
    BOLD,
    DASHED,
    GREY,
    INK,
    MEDIUM,
    ORANGE,
    RULE,
    THIN,
    TICK,
    balanced,
    few_ticks,
    image_map,
    legend_below,
    legend_beside,
    panel,
    panel_grid,
)
from lfadsx.settings_by_name import as_text
from lfadsx.thresholds import LEAST_SHOWN, MOST_LEAKAGE

MOST_COLUMNS = 3
MOST_NAMED = 8
"""Most lines of a panel with colours and names; more are grey."""
TITLES = {
    "masked_nats": "Hidden entries (nats per entry)",
    "masked_bps": "Hidden entries (bits per spike)",
    "co_bps": "Held-out neurons (bits per spike)",
    "fp_bps": "Forward prediction (bits per spike)",
    "masked_r2": "Hidden entries (R²)",
    "co_r2": "Held-out channels (R²)",
    "fp_r2": "Forward prediction (R²)",
    "velocity_r2": "Decoded behaviour (R²)",
    "readout_r2": "Behaviour by the model (R²)",
    "psth_r2": "Condition averages (R²)",
    "rates_r2": "True rates (R²)",
}
"""Titles of the measures in the panels."""
Row = Mapping[str, Any]


def sweep_figure(rows: Sequence[Row], names: Sequence[str], measure: str = "masked_bps") -> Figure:
    """Draw the scores of a sweep over each setting that varies, with a line for each combination of the others.

    A bar is one standard error of the difference to the best model. A model whose bar reaches the dashed line counts
    as good as the best.

    Args:
        rows: Models with their settings and scores, as in `sweep.csv`.
        names: Names of the swept settings.
        measure: Score to compare the models by: "masked_bps", "masked_r2" or "masked_nats".

    Raises:
        LfadsxError: If no setting has more than one value.
    """
    swept = [name for name in names if len({row[name] for row in rows}) > 1]
    if not swept:
        raise LfadsxError(f"One of the settings {list(names)} must have more than one value. Pass the rows of a sweep.")
    chosen = next(row for row in rows if row["is_chosen"])
    title = "Chosen: " + ", ".join(f"{_word(name)} {as_text(chosen[name])}" for name in swept)
    n_columns = balanced(len(swept), MOST_COLUMNS)
    figure, axes = panel_grid(len(swept), n_columns, (3.4, 2.8), (0.4, 0.7), title, sharey=True)
    for number, (ax, name) in enumerate(zip(axes, swept, strict=True)):
        panel(ax, "", _word(name).capitalize(), TITLES.get(measure, measure) if number % n_columns == 0 else "")
        _draw_setting(ax, rows, name, [other for other in swept if other != name], measure)
        few_ticks(ax, y=5)
    bar = Line2D([], [], color=GREY, lw=THIN, marker="|", ms=7, label="standard error of the difference to the best")
    legend_below(figure, [bar, _ring("best", 6, GREY), _ring("chosen", 9, ORANGE)])
    return figure


def trust_figure(rows: Sequence[Row], names: Sequence[str], measure: str = "masked_bps") -> Figure:
    """Draw the models of a sweep by their score and by the trust checks of their dynamics, with the Pareto front.

    A model of the front is beaten by no other one in both. Filled: all checks are clean.

    Args:
        rows: Models with their settings, scores and checks, as in `sweep.csv`.
        names: Names of the swept settings.
        measure: The score, as in `sweep_figure`.
    """
    checks = {"shown": ("States that the factors show", LEAST_SHOWN, 1.0)}
    if any(row["leakage"] is not None for row in rows):
        checks["leakage"] = ("Inputs that follow from the state (R²)", MOST_LEAKAGE, -1.0)
    swept = [name for name in names if len({row[name] for row in rows}) > 1]
    title = f"Models by {', '.join(map(_word, swept))}"
    figure, axes = panel_grid(len(checks), len(checks), (3.6, 3.0), (0.4, 0.7), title)
    for ax, (name, (label, limit, sign)) in zip(axes, checks.items(), strict=True):
        panel(ax, "", TITLES.get(measure, measure), label)
        ax.axhline(limit, color=GREY, lw=THIN, ls=DASHED, zorder=0)
        known = [row for row in rows if row[name] is not None and np.isfinite(row[measure])]
        points = np.array([(row[measure], row[name]) for row in known])
        ax.plot(*points[_front(points * (1.0, sign))].T, color=GREY, lw=THIN, zorder=1)
        for row, (x, y) in zip(known, points, strict=True):
            ax.plot(x, y, "o", ms=5, color=BLUE, mfc=BLUE if row["checks"] == "clean" else "white", zorder=3)
            text = ", ".join(as_text(row[one]) for one in swept)
            ax.annotate(text, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=TICK, color=INK)
            _mark(ax, x, y, row)
        few_ticks(ax, x=4, y=5)
    clean = Line2D([], [], color=BLUE, lw=0, marker="o", ms=5, label="all checks clean")
    not_clean = Line2D([], [], color=BLUE, lw=0, marker="o", ms=5, mfc="white", label="findings")
    limit = Line2D([], [], color=GREY, lw=THIN, ls=DASHED, label="limit of the check")
    legend_below(figure, [clean, not_clean, limit, _ring("best", 6, GREY), _ring("chosen", 9, ORANGE)])
    return figure


def folds_figure(scores: Mapping[str, Mapping[str, Any]], folds: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw the scores of a cross-validation, one panel per measure: of each fold, and of all trials with 95 % interval.

    Args:
        scores: By measure and model, the score of all trials with its `value`, `low` and `high`; the first model is the
            tested one.
        folds: By measure and model, the scores of the trials of each fold.

    Raises:
        LfadsxError: If the scores are empty.
    """
    if not scores:
        raise LfadsxError("`scores` must have at least 1 measure, got none. Pass the scores of a cross-validation.")
    models = list(dict.fromkeys(name for found in scores.values() for name in found))
    n_folds = max(len(values) for found in folds.values() for values in found.values())
    size, n_columns = (2.6, 0.3 * len(models) + 0.9), balanced(len(scores), MOST_COLUMNS)
    title = f"Cross-validation, {n_folds} folds"
    figure, axes = panel_grid(len(scores), n_columns, size, (1.2, 0.8), title, sharey=True)
    for ax, (measure, found) in zip(axes, scores.items(), strict=True):
        panel(ax, "", TITLES.get(measure, measure), "")
        ax.axvline(0.0, color=RULE, lw=THIN, zorder=0)
        for name, score in found.items():
            _draw_model(ax, models.index(name), score, folds[measure][name], BLUE if name == models[0] else INK)
        ax.set_yticks(range(len(models)), models, fontsize=TICK + 0.5)
        ax.set_ylim(len(models) - 0.5, -0.5)
        few_ticks(ax, x=4)
    fold = Line2D([], [], color=GREY, lw=0, marker="o", ms=3, label="trials of one fold")
    whole = Line2D([], [], color=INK, lw=MEDIUM, marker="o", ms=5, label="all trials, 95 % interval over trials")
    legend_below(figure, [fold, whole])
    return figure


def _draw_setting(ax: Axes, rows: Sequence[Row], name: str, others: Sequence[str], measure: str) -> None:
    """Draw the scores over one setting, with its values at equal distances."""
    values = sorted({row[name] for row in rows})
    place = {value: number for number, value in enumerate(values)}
    lines: dict[tuple, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row[name]):
        lines.setdefault(tuple(row[other] for other in others), []).append(row)
    named = len(lines) <= MOST_NAMED
    colours = image_map("viridis")(np.linspace(0.0, 0.85, len(lines)))
    best = next(row for row in rows if row["is_best"])
    ax.axhline(best[measure], color=GREY, lw=THIN, ls=DASHED, zorder=0)
    handles = []
    for number, (key, own) in enumerate(sorted(lines.items())):
        colour = colours[number] if named and others else GREY
        # Side by side, so that bars of different lines do not cover each other.
        shift = 0.3 * (number / max(len(lines) - 1, 1) - 0.5) if len(lines) > 1 else 0.0
        x = [place[row[name]] + shift for row in own]
        y, error = [row[measure] for row in own], [row["difference_error"] for row in own]
        ax.errorbar(x, y, error, color=colour, lw=MEDIUM, marker="o", ms=3.5, elinewidth=THIN, capsize=2, capthick=THIN)
        handles.append(Line2D([], [], color=colour, lw=MEDIUM, marker="o", ms=3.5, label=", ".join(map(as_text, key))))
        for at, height, row in zip(x, y, own, strict=True):
            _mark(ax, at, height, row)
    ax.set_xticks(range(len(values)), list(map(as_text, values)))
    if any(isinstance(value, str) for value in values):  # names would overlap
        ax.tick_params(axis="x", rotation=20)
    ax.set_xlim(-0.5, len(values) - 0.5)
    if others and named:
        where = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "fontsize": TICK}
        legend_beside(ax, handles, ", ".join(map(_word, others)), **where)


def _front(points: Float[np.ndarray, "point 2"]) -> list[int]:
    """Returns the points that no other one beats in both values, where higher is better, by their first value."""
    beaten = [((points >= one).all(1) & (points > one).any(1)).any() for one in points]
    return [point for point in np.argsort(points[:, 0]).tolist() if not beaten[point]]


def _mark(ax: Axes, x: float, y: float, row: Row) -> None:
    for name, size, colour in (("is_best", 6, GREY), ("is_chosen", 9, ORANGE)):
        if row[name]:
            ax.plot(x, y, "o", ms=size, mfc="none", mec=colour, mew=MEDIUM, zorder=4)


def _ring(label: str, size: float, colour: str) -> Artist:
    return Line2D([], [], color=colour, lw=0, marker="o", ms=size, mfc="none", mew=MEDIUM, label=label)


def _draw_model(ax: Axes, place: int, score: Any, folds: Sequence[float], colour: str) -> None:
    """Draw a model's score of each fold, and the score over all trials."""
    spread = place + np.linspace(-0.15, 0.15, len(folds)) if len(folds) > 1 else [place]
    ax.plot(folds, spread, "o", color=GREY, ms=3, alpha=0.7)
    if np.isfinite(score.low):
        ax.plot([score.low, score.high], [place, place], color=colour, lw=BOLD, zorder=3)
    ax.plot(score.value, place, "o", color=colour, ms=5, zorder=3)


def _word(name: str) -> str:
    return name.replace("_", " ")

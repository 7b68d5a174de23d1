"""Files of all figures of a run, a population, a sweep or a cross-validation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.files import atomic_path
from lfadsx.findings import Finding, attempt
from lfadsx.plotting.input_panels import inputs_figure
from lfadsx.plotting.latent_space import factors_figure, initial_conditions_figure
from lfadsx.plotting.loss_curves import has_curves, loss_figure
from lfadsx.plotting.panels import alignment_figure
from lfadsx.plotting.population_figures import hyperparameters_figure, scores_figure
from lfadsx.plotting.rate_panels import psth_figure, rates_figure
from lfadsx.plotting.summary_page import summary
from lfadsx.plotting.sweep_figures import folds_figure, sweep_figure
from lfadsx.results.posterior import Posterior
from lfadsx.training.history import Row

DPI = 150


def write_figures(
    folder: str | os.PathLike[str],
    dataset: Dataset,
    posterior: Posterior,
    history: Mapping[str, np.ndarray],
    table: Sequence[Mapping[str, object]],
    title: str,
    aligned: np.ndarray | None = None,
) -> tuple[list[Path], list[Finding]]:
    """Write all figures that apply as PNG files; a figure that fails becomes a finding and does not stop the others.

    Args:
        folder: Folder of the files; created if needed.
        dataset: The data set.
        posterior: Posterior of a split; the file names begin with its name.
        history: As for `loss_figure`; may be empty.
        table: As for `summary`; may be empty.
        title: Title of the summary.
        aligned: As for `inputs_figure`.

    Returns:
        The files written, and one finding for each figure that failed.
    """
    split_name, split = trials_of(dataset, posterior.split)
    figures: dict[str, Callable[[], Figure | None]] = {
        "alignment": lambda: alignment_figure(dataset) if _are_aligned(dataset) else None,
        "loss": lambda: loss_figure(history) if has_curves(history) else None,
        f"{split_name}_rates": lambda: rates_figure(dataset, split, posterior),
        f"{split_name}_factors": lambda: factors_figure(dataset, split, posterior),
        f"{split_name}_inputs": lambda: inputs_figure(dataset, split, posterior, aligned),
        f"{split_name}_psth": lambda: psth_figure(dataset, split, posterior),
        f"{split_name}_initial_conditions": lambda: initial_conditions_figure(dataset, split, posterior),
        f"{split_name}_summary": lambda: summary(posterior, dataset, history=history, table=table, title=title),
    }
    return _write_all(folder, figures)


def write_population_figures(folder: str | os.PathLike[str], rows: Sequence[Row]) -> tuple[list[Path], list[Finding]]:
    """Write `scores_figure` and `hyperparameters_figure` of a population's history; returns as `write_figures`."""
    figures = {"scores": lambda: scores_figure(rows), "hyperparameters": lambda: hyperparameters_figure(rows)}
    return _write_all(folder, figures)


def write_sweep_figure(
    folder: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], names: Sequence[str], measure: str
) -> tuple[list[Path], list[Finding]]:
    """Write `sweep_figure` of a sweep as a PNG file; returns as `write_figures`."""
    return _write_all(folder, {"sweep": lambda: sweep_figure(rows, names, measure)})


def write_folds_figure(
    folder: str | os.PathLike[str],
    scores: Mapping[str, Mapping[str, Any]],
    folds: Mapping[str, Mapping[str, Sequence[float]]],
) -> tuple[list[Path], list[Finding]]:
    """Write `folds_figure` of a cross-validation as a PNG file; returns as `write_figures`."""
    return _write_all(folder, {"cv": lambda: folds_figure(scores, folds)})


def _write_all(
    folder: str | os.PathLike[str], figures: Mapping[str, Callable[[], Figure | None]]
) -> tuple[list[Path], list[Finding]]:
    """Write figures by the names of their files; a function that returns None has nothing to draw."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    findings: list[Finding] = []
    files = [
        attempt(findings, "figure", name, partial(_draw, folder / f"{name}.png", figures[name])) for name in figures
    ]
    return [file for file in files if file is not None], findings


def _are_aligned(dataset: Dataset) -> bool:
    return len(dataset.sessions) > 1 and all(session.alignment is not None for session in dataset.sessions)


def _draw(path: Path, draw: Callable[[], Figure | None]) -> Path | None:
    """Draw a figure, write it and return the file; None if there is nothing to draw."""
    figure = draw()
    if figure is None:
        return None
    with atomic_path(path) as partial_file:
        figure.savefig(partial_file, format="png", dpi=DPI, facecolor="white")
    return path

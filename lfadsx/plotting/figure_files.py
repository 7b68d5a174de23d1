"""Writing all figures of a run into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.files import atomic_path
from lfadsx.findings import Finding, attempt
from lfadsx.plotting.input_panels import inputs_figure
from lfadsx.plotting.latent_space import factors_figure, initial_conditions_figure
from lfadsx.plotting.loss_curves import has_curves, loss_figure
from lfadsx.plotting.population_figures import hyperparameters_figure, scores_figure
from lfadsx.plotting.psth_panels import psth_figure
from lfadsx.plotting.rate_panels import rates_figure
from lfadsx.plotting.session_components import alignment_figure
from lfadsx.plotting.summary_page import summary
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
    """Write all figures that apply as PNG files; a figure that fails does not stop the others.

    Args:
        folder: Folder of the files; made when it is missing.
        dataset: The data set.
        posterior: Posterior of a split; the file names begin with its name.
        history: As for `loss_figure`; empty when there is none.
        table: As for `summary`; empty when there is none.
        title: Title of the summary.
        aligned: As for `inputs_figure`.

    Returns:
        The files written, and one finding for each figure that could not be drawn or written.

    Example:
        files, findings = write_figures("run/figures", dataset, posterior, {}, [], "A run")
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
    return write_all(Path(folder), figures)


def write_population_figures(folder: str | os.PathLike[str], rows: Sequence[Row]) -> tuple[list[Path], list[Finding]]:
    """Write the figures of a population's search as PNG files; a figure that fails does not stop the other.

    Args:
        folder: Folder of the files; made when it is missing.
        rows: History of the population, as for `scores_figure`.

    Returns:
        The files written, and one finding for each figure that could not be drawn or written.

    Example:
        files, findings = write_population_figures("search/figures", result.rows)
    """
    figures = {"scores": lambda: scores_figure(rows), "hyperparameters": lambda: hyperparameters_figure(rows)}
    return write_all(Path(folder), figures)


def write_all(folder: Path, figures: Mapping[str, Callable[[], Figure | None]]) -> tuple[list[Path], list[Finding]]:
    """Write figures as PNG files; one that fails does not stop the others.

    Args:
        folder: Folder of the files; made when it is missing.
        figures: What draws each figure, by the name of its file; what returns None is left out.

    Returns:
        The files written, and one finding for each figure that could not be drawn or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    findings: list[Finding] = []
    files = [
        attempt(findings, "figure", name, partial(_draw, folder / f"{name}.png", figures[name])) for name in figures
    ]
    return [file for file in files if file is not None], findings


def _are_aligned(dataset: Dataset) -> bool:
    return len(dataset.sessions) > 1 and all(session.alignment is not None for session in dataset.sessions)


def _draw(path: Path, draw: Callable[[], Figure | None]) -> Path | None:
    """Draw a figure and write it; returns the file, or None where there is nothing to draw."""
    figure = draw()
    if figure is None:
        return None
    with atomic_path(path) as partial_file:
        figure.savefig(partial_file, format="png", dpi=DPI, facecolor="white")
    return path

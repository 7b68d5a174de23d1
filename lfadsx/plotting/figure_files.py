"""Files of all figures of a run, a population, a sweep or a cross-validation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lfadsx.config import FigureFormat
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import Evaluation
from lfadsx.files import atomic_path, writing
from lfadsx.findings import Finding, attempt
from lfadsx.plotting.behaviour_panels import behaviour
from lfadsx.plotting.count_panels import predicted_counts
from lfadsx.plotting.gain_panels import gain_per_neuron
from lfadsx.plotting.input_panels import inputs
from lfadsx.plotting.joined_panels import joined_rates
from lfadsx.plotting.kl_panels import kl_per_dimension
from lfadsx.plotting.latent_space import factors, initial_conditions
from lfadsx.plotting.loss_curves import has_curves, loss_figure
from lfadsx.plotting.panels import alignment_figure
from lfadsx.plotting.population_figures import hyperparameters_figure, scores_figure
from lfadsx.plotting.psth_panels import all_neurons, psths
from lfadsx.plotting.rate_panels import rates
from lfadsx.plotting.summary_page import summary
from lfadsx.plotting.sweep_figures import folds_figure, sweep_figure, trust_figure
from lfadsx.results.posterior import Posterior
from lfadsx.training.history import Row

DPI = 150
EDITABLE: Any = {"pdf.fonttype": 42, "svg.fonttype": "none"}
"""Text stays text in PDF and SVG files, so that journals and drawing programs can edit it."""


def write_figures(
    folder: str | os.PathLike[str],
    posterior: Posterior,
    data: Dataset,
    *,
    history: Mapping[str, np.ndarray] | None = None,
    evaluation: Evaluation | None = None,
    title: str | None = None,
    figure_format: FigureFormat = "png",
) -> tuple[list[Path], list[Finding]]:
    """Write all figures that apply; a figure that fails becomes a finding and does not stop the others.

    Args:
        folder: Folder of the files; created if needed.
        posterior: Posterior of a split; the file names begin with its name.
        data: The data set.
        history: As for `loss_figure`; None leaves the loss out.
        evaluation: Scores of the split; without them the figures of scores and decoded behaviour are left out.
        title: As for `summary`.
        figure_format: Format of the files.

    Returns:
        The files written, and one finding for each figure that failed.
    """
    curves, has_inputs = history or {}, posterior.inputs is not None and posterior.inputs.shape[2] > 0
    has_kl = any(kl is not None for kl in (posterior.kl_ic, posterior.kl_bias, posterior.kl_inputs))
    both: dict[str, Callable[[], Figure | None]] = {
        "summary": lambda: summary(posterior, data, history=curves, table=table, title=title),
        "psths": lambda: psths(posterior, data),
        "all_neurons": lambda: all_neurons(posterior, data),
        "rates": lambda: rates(posterior, data),
        "predicted_counts": lambda: predicted_counts(posterior, data),
        "factors": lambda: factors(posterior, data),
        "initial_conditions": lambda: initial_conditions(posterior, data),
    }
    table: Sequence[Mapping[str, object]] = ()
    if posterior.first_bin is not None:
        both["joined_rates"] = lambda: joined_rates(posterior, data)
    if has_inputs:
        aligned = None if evaluation is None else evaluation.aligned_inputs
        both["inputs"] = lambda: inputs(posterior, data, aligned=aligned)
    if has_kl:
        both["kl_per_dimension"] = lambda: kl_per_dimension(posterior, data)
    if evaluation is not None:
        table = evaluation.table
        both["gain_per_neuron"] = lambda: gain_per_neuron(posterior, data, evaluation.detail)
        if evaluation.decoded is not None:
            both["behaviour"] = lambda: behaviour(posterior, data, decoded=evaluation.decoded)
    figures = {f"{posterior.split}_{name}": draw for name, draw in both.items()}
    if has_curves(curves):
        figures["loss"] = lambda: loss_figure(curves)
    if _are_aligned(data):
        figures["alignment"] = lambda: alignment_figure(data)
    return _write_all(folder, figures, figure_format)


def write_population_figures(
    folder: str | os.PathLike[str], rows: Sequence[Row], figure_format: FigureFormat = "png"
) -> tuple[list[Path], list[Finding]]:
    """Write `scores_figure` and `hyperparameters_figure` of a population's history; returns as `write_figures`."""
    figures = {"scores": lambda: scores_figure(rows), "hyperparameters": lambda: hyperparameters_figure(rows)}
    return _write_all(folder, figures, figure_format)


def write_sweep_figure(
    folder: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    measure: str,
    figure_format: FigureFormat = "png",
) -> tuple[list[Path], list[Finding]]:
    """Write `sweep_figure` of a sweep, and `trust_figure` if its dynamics were checked; returns as `write_figures`."""
    figures: dict[str, Callable[[], Figure]] = {"sweep": lambda: sweep_figure(rows, names, measure)}
    if "shown" in rows[0]:
        figures["sweep_dynamics"] = lambda: trust_figure(rows, names, measure)
    return _write_all(folder, figures, figure_format)


def write_folds_figure(
    folder: str | os.PathLike[str],
    scores: Mapping[str, Mapping[str, Any]],
    folds: Mapping[str, Mapping[str, Sequence[float]]],
    figure_format: FigureFormat = "png",
) -> tuple[list[Path], list[Finding]]:
    """Write `folds_figure` of a cross-validation; returns as `write_figures`."""
    return _write_all(folder, {"cv": lambda: folds_figure(scores, folds)}, figure_format)


def _write_all(
    folder: str | os.PathLike[str], figures: Mapping[str, Callable[[], Figure | None]], figure_format: FigureFormat
) -> tuple[list[Path], list[Finding]]:
    """Write figures by the names of their files; a function that returns None has nothing to draw."""
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    findings: list[Finding] = []
    files = [
        attempt(findings, "figure", name, partial(_draw, folder / f"{name}.{figure_format}", figures[name]))
        for name in figures
    ]
    return [file for file in files if file is not None], findings


def _are_aligned(dataset: Dataset) -> bool:
    return len(dataset.sessions) > 1 and all(session.alignment is not None for session in dataset.sessions)


def _draw(path: Path, draw: Callable[[], Figure | None]) -> Path | None:
    """Draw a figure, write it and return the file; None if there is nothing to draw."""
    figure = draw()
    return None if figure is None else write_figure(path, figure)


def write_figure(path: Path, figure: Figure) -> Path:
    """Write a figure to a file and return the file; the folder is created if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial_file, rc_context(EDITABLE):
        figure.savefig(partial_file, format=path.suffix[1:], dpi=DPI, facecolor="white")
    return path

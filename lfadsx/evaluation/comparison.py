"""The comparison: every measure of every candidate with its error, the model against the best baseline, the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.measures import statistics
from lfadsx.evaluation.statistics import N_RESAMPLES, Score, Statistic, drawn, score_of
from lfadsx.evaluation.task import BITS, LOWER_IS_BETTER, R2, Task
from lfadsx.progress import steps

RECONSTRUCTION = (BITS[0], R2[0])
"""Measures of entries that the encoder sees: reported, but never compared with baselines."""

N_RESAMPLES_PSTH = 200
"""Most resamples of PSTH R2: each costs as much as the score itself."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Measures of the model and of its baselines on the same trials.

    Attributes:
        scores: By measure and name of the model ("lfads") or baseline.
        differences: By measure, model minus best baseline, paired by trial; reconstruction is left out.
        rivals: By measure, the name of the best baseline.
        folds: By measure and name, the score of each fold's trials alone.
        statistics: By name and measure.
    """

    scores: dict[str, dict[str, Score]]
    differences: dict[str, Score]
    rivals: dict[str, str]
    folds: dict[str, dict[str, list[float]]]
    statistics: dict[str, dict[str, Statistic]]

    @property
    def models(self) -> list[str]:
        """Names of the model and of all baselines, in the order of the table."""
        return list(self.statistics)


def compare_candidates(
    task: Task, candidates: Sequence[Candidate], *, fold: np.ndarray | None = None, n: int = N_RESAMPLES
) -> Comparison:
    """Scores candidates on the same trials and the same resamples of them.

    Args:
        task: The trials to score.
        candidates: The model and, after it, its baselines.
        fold: Number of the fold that tested each trial, and reconstruction is left out; None for a single model.
        n: Number of resamples behind an error.
    """
    by_model = {candidate.name: statistics(task, candidate, fold) for candidate in candidates}
    n_trials, numbers = task.split.n_trials, [] if fold is None else np.unique(fold)
    found = Comparison({}, {}, {}, {}, by_model)
    for measure in steps(dict.fromkeys(name for of in by_model.values() for name in of), "scoring"):
        if fold is not None and measure in RECONSTRUCTION:
            continue
        resamples = min(n, N_RESAMPLES_PSTH) if measure == "psth_r2" else n
        own = {name: of[measure] for name, of in by_model.items() if measure in of}
        draws = {name: drawn(statistic, n_trials, n=resamples, seed=task.seed) for name, statistic in own.items()}
        found.scores[measure] = {name: score_of(values) for name, values in draws.items()}
        found.folds[measure] = {name: [float(of((fold == k) * 1.0)) for k in numbers] for name, of in own.items()}
        model, *rivals = draws
        if not rivals or n_trials < 2 or model != candidates[0].name or measure in RECONSTRUCTION:
            continue
        sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
        best = max(rivals, key=lambda name: sign * found.scores[measure][name].value)
        found.rivals[measure], found.differences[measure] = best, score_of(draws[model] - draws[best])
    return found


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table as text: names left-aligned, numbers right-aligned, a dash for None.

    Columns without any value are left out.

    Args:
        rows: One mapping per row with the same keys; the first key names the row.

    Example:
        >>> rows = [{"model": "lfads", "co_bps": 0.1257}, {"model": "time course", "co_bps": None}]
        >>> format_table(rows).splitlines()
        ['model        co_bps', 'lfads         0.126', 'time course       -']
    """
    label, *names = dict.fromkeys(key for row in rows for key in row)
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    columns = [[name, *(_cell(row.get(name)) for row in rows)] for name in (label, *names)]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for first, *others in zip(*columns, strict=True):
        numbers = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:z.3f}" if isinstance(value, float) else str(value)

"""The table of scores with intervals, from the metrics of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lfadsx.report.measure_meanings import ROWS, meaning, scales

HALF_WIDTH = 1.96
"""Half the width of a 95 % interval in standard errors."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One score.

    Attributes:
        value: The score; None if it does not apply.
        low: Lower end of its 95 % interval; None if the error is not known.
        high: Upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class ScoreTable:
    """Scores of the model and its baselines.

    Attributes:
        columns: Names of the measures, with what they mean.
        rows: Names of the model and its baselines, with one cell for each column.
        differences: For each column the best baseline's name and the model's lead with its interval; None without one.
        explained: What each row is, by its name.
        scales: How to read bits per spike and R2, if a column has them.
    """

    columns: dict[str, str]
    rows: dict[str, list[Cell]]
    differences: list[tuple[str, Cell] | None]
    explained: dict[str, str]
    scales: list[str]


def score_table(metrics: Mapping[str, Any]) -> ScoreTable:
    """Returns the table of `metrics.json`; columns without any value are left out.

    Example:
        >>> found = score_table({"table": [{"model": "lfads", "co_bps": 0.1, "fp_bps": None}]})
        >>> list(found.columns), found.rows["lfads"][0].value
        (['co_bps'], 0.1)
    """
    table, detail = metrics.get("table") or [], metrics.get("detail") or {}
    errors, differences = detail.get("errors", {}), detail.get("difference", {})
    names = dict.fromkeys(name for row in table for name in row if name != "model")
    names = [name for name in names if any(row.get(name) is not None for row in table)]
    return ScoreTable(
        columns={name: meaning(name) for name in names},
        rows={
            row["model"]: [_cell(row.get(name), errors.get(row["model"], {}).get(name)) for name in names]
            for row in table
        },
        differences=[_difference(differences.get(name)) for name in names],
        explained={row["model"]: ROWS[row["model"]] for row in table if row["model"] in ROWS},
        scales=scales(names),
    )


def _cell(value: float | None, error: float | None) -> Cell:
    if value is None or error is None:
        return Cell(value)
    return Cell(value, value - HALF_WIDTH * error, value + HALF_WIDTH * error)


def _difference(found: Mapping[str, Any] | None) -> tuple[str, Cell] | None:
    return None if found is None else (found["baseline"], Cell(found["value"], found["low"], found["high"]))

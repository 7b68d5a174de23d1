"""The history of a run on the host: one row of figures for each member and epoch."""

from __future__ import annotations

import csv
import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.config import HyperParams
from lfadsx.training.lineage import Row, ancestry

log = logging.getLogger("lfadsx")

STEP_SIZE = "step_size"
"""Name of the learning rate of an epoch's last step, schedule included. In rows of a population `learning_rate` is the
hyperparameter."""

OF_POPULATIONS = frozenset(
    ("generation", "member", "parent", "active", "evaluated", "best_score", STEP_SIZE)
    + tuple(field.name for field in dataclasses.fields(HyperParams))
)
"""Figures of a row that are left out of the history of a single model."""


def single(row: Row) -> Row:
    """Returns a row of the history of a single model: without the figures that distinguish members."""
    return {name: value for name, value in row.items() if name == "learning_rate" or name not in OF_POPULATIONS} | {
        "learning_rate": row[STEP_SIZE]
    }


def history_of(rows: Sequence[Row], member: int) -> dict[str, np.ndarray]:
    """Returns the figures of a member by name, shape (epoch,); before a copy, those of the member that was copied."""
    own = [single(row) for row in ancestry(rows, member) if row["active"]] if rows else []
    return {name: np.array([row[name] for row in own]) for name in (own[0] if own else ())}


def rows_of(history: Mapping[str, np.ndarray]) -> list[Row]:
    """Returns the rows of a history."""
    return [dict(zip(history, map(float, values), strict=True)) for values in zip(*history.values(), strict=True)]


def names_of(rows: Iterable[Row]) -> list[str]:
    """Returns the names of all figures in rows, in order of first occurrence."""
    return list(dict.fromkeys(name for row in rows for name in row))


def write_rows(path: str | Path, rows: Sequence[Row], names: Sequence[str] | None = None) -> None:
    """Writes rows to a CSV file. With `names`, the columns of an existing file, the rows are appended to it."""
    with Path(path).open("a" if names else "w", newline="") as file:
        writer = csv.DictWriter(file, names or names_of(rows))
        if not names and rows:
            writer.writeheader()
        # Eight digits distinguish all float32 values.
        writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)


def read_rows(path: str | Path) -> list[Row]:
    """Reads the rows of a file that `CsvLog` wrote; missing values are NaN.

    Example:
        ```python
        plot_scores(read_rows("run/population.csv")).savefig("scores.png")
        ```
    """
    with Path(path).open(newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def valid_loss(row: Row, hyper: HyperParams) -> float:
    """Returns the loss of validation trials, in nats per trial, with the weights at the end of the epoch.

    The penalty on correlated inputs is that of the training trials.
    """
    kl_ic = row["kl_ic_weight"] * float(hyper.kl_ic_scale) * row["valid_kl_ic"]
    kl_inputs = row["kl_co_weight"] * float(hyper.kl_co_scale) * row["valid_kl_inputs"]
    penalties = row["l2_weight"] * row["l2"] + float(hyper.co_corr_scale) * row["correlation"]
    return row["valid_reconstruction"] + kl_ic + kl_inputs + penalties


def report_skipped(steps: Mapping[str, np.ndarray], epoch: int, who: str = "") -> None:
    """Logs the skipped steps of a block, with the terms of the loss that were not finite."""
    for step in np.flatnonzero(steps["skipped"]).tolist():
        terms = ("reconstruction", "kl_ic", "kl_inputs", "correlation", "l2")
        broken = [name for name in terms if not np.isfinite(steps[name][step])] or ["gradient"]
        log.warning(
            "%sA step of epoch %d was skipped because %s was not finite. If this continues, lower learning_rate or "
            "look for extreme values in the data.",
            who,
            epoch,
            " and ".join(broken),
        )


def summarise(steps: Mapping[str, np.ndarray]) -> Row:
    """Averages the steps of an epoch: terms of the loss in nats per trial, without skipped steps."""
    used = (steps["n_trials"] > 0) & (steps["skipped"] == 0)
    if not used.any():
        used = ~(steps["n_trials"] == 0)  # a member that does not train has NaN everywhere
    n = steps["n_trials"][used]
    penalty = steps["l2_weight"][used] * steps["l2"][used]
    # The loss of a short batch has been divided by the size of a full batch; the penalty has not.
    row: dict[str, Any] = {"loss": np.sum(steps["loss"][used] - penalty) * n.max() / n.sum() + penalty.mean()}
    per_trial = ("reconstruction", "kl_ic", "kl_inputs", "correlation")
    row |= {name: steps[name][used].sum() / n.sum() for name in per_trial}
    row |= {name: steps[name][used].mean() for name in ("l2", "grad_norm")}
    row |= {name: steps[name][used][-1] for name in ("kl_ic_weight", "kl_co_weight", "l2_weight", "learning_rate")}
    row["skipped"] = steps["skipped"].sum()
    return {name: float(value) for name, value in row.items()}

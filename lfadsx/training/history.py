"""From the figures of steps to rows: one for each member and epoch, on the host."""

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
"""Learning rate of an epoch's last step, schedule included, in a population's row, whose `learning_rate` is the
hyperparameter."""

OF_POPULATIONS = frozenset(
    ("generation", "member", "parent", "active", "evaluated", "best_score", STEP_SIZE)
    + tuple(field.name for field in dataclasses.fields(HyperParams))
)
"""Figures of a row that the history of a single model does not have."""


def single(row: Row) -> Row:
    """Returns a row as the history of a single model has it: without what tells members apart."""
    return {name: value for name, value in row.items() if name == "learning_rate" or name not in OF_POPULATIONS} | {
        "learning_rate": row[STEP_SIZE]
    }


def history_of(rows: Sequence[Row], member: int) -> dict[str, np.ndarray]:
    """Returns the figures of a member, and of those whose weights it had before, by name; shape (epoch,)."""
    own = [single(row) for row in ancestry(rows, member) if row["active"]] if rows else []
    return {name: np.array([row[name] for row in own]) for name in (own[0] if own else ())}


def rows_of(history: Mapping[str, np.ndarray]) -> list[Row]:
    """Returns the rows that make a history."""
    return [dict(zip(history, map(float, values), strict=True)) for values in zip(*history.values(), strict=True)]


def names_of(rows: Iterable[Row]) -> list[str]:
    """Returns the names that occur in rows, in the order in which they first come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def write_rows(path: str | Path, rows: Sequence[Row], names: Sequence[str] | None = None) -> None:
    """Writes rows to a CSV file; with names, the columns that the file has already, it appends them."""
    with Path(path).open("a" if names else "w", newline="") as file:
        writer = csv.DictWriter(file, names or names_of(rows))
        if not names and rows:
            writer.writeheader()
        # Eight digits tell apart what float32 can.
        writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)


def read_rows(path: str | Path) -> list[Row]:
    """Reads rows that `CsvLog` wrote; a value that a row did not have is NaN.

    Args:
        path: The file.

    Example:
        ```python
        plot_scores(read_rows("run/population.csv")).savefig("scores.png")
        ```
    """
    with Path(path).open(newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def valid_loss(row: Row, hyper: HyperParams) -> float:
    """Returns the loss of validation trials with the weights that the epoch ended with, in nats per trial.

    The penalty on correlated inputs is that of the training trials.
    """
    kl_ic = row["kl_ic_weight"] * float(hyper.kl_ic_scale) * row["valid_kl_ic"]
    kl_inputs = row["kl_co_weight"] * float(hyper.kl_co_scale) * row["valid_kl_inputs"]
    penalties = row["l2_weight"] * row["l2"] + float(hyper.co_corr_scale) * row["correlation"]
    return row["valid_reconstruction"] + kl_ic + kl_inputs + penalties


def report_skipped(steps: Mapping[str, np.ndarray], epoch: int, who: str = "") -> None:
    """Logs the steps of a block that were skipped, and the terms that broke."""
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
    """Averages the steps of an epoch, given by name: parts in nats per trial, skipped steps left out."""
    used = (steps["n_trials"] > 0) & (steps["skipped"] == 0)
    if not used.any():
        used = ~(steps["n_trials"] == 0)  # a member that rests has NaN there, and everywhere
    n = steps["n_trials"][used]
    penalty = steps["l2_weight"][used] * steps["l2"][used]
    # The loss of a short batch is divided by the full batch's size already, the penalty is not.
    row: dict[str, Any] = {"loss": np.sum(steps["loss"][used] - penalty) * n.max() / n.sum() + penalty.mean()}
    per_trial = ("reconstruction", "kl_ic", "kl_inputs", "correlation")
    row |= {name: steps[name][used].sum() / n.sum() for name in per_trial}
    row |= {name: steps[name][used].mean() for name in ("l2", "grad_norm")}
    row |= {name: steps[name][used][-1] for name in ("kl_ic_weight", "kl_co_weight", "l2_weight", "learning_rate")}
    row["skipped"] = steps["skipped"].sum()
    return {name: float(value) for name, value in row.items()}

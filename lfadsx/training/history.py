"""The history of a run on the host: rows of figures, their files, and the descent of members.

A row belongs to one member and epoch. `evaluated` is 1 if its score was computed in that epoch. `parent` is the member
whose weights it had at the start of the generation: its own number unless weights were copied.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float, Int

from lfadsx.config import HyperParams
from lfadsx.damaged_files import readable
from lfadsx.errors import LfadsxError, RunError
from lfadsx.files import write_text, writing

Row = dict[str, float]
"""Figures of a member and an epoch by name."""
Table = dict[str, Float[np.ndarray, "generation member"]]


class Summary(TypedDict):
    """Result of a generation. Scores are in nats per trial, lower is better; those that are not finite are left out.

    Attributes:
        generation: Number of the generation.
        epoch: Number of epochs trained at its end.
        best: Best score; NaN, like `median` and `worst`, if no score is finite.
        median: Median score.
        worst: Worst score.
        best_member: Member with the best score, None if no score is finite.
        copies: Winner and loser of every copy of weights at the start of the generation.
        n_inactive: Number of members that do not train.
        not_finite: Members that trained without a finite score.
    """

    generation: int
    epoch: int
    best: float
    median: float
    worst: float
    best_member: int | None
    copies: list[tuple[int, int]]
    n_inactive: int
    not_finite: list[int]


def generations(rows: Sequence[Row]) -> Table:
    """Returns the last row of every generation and member as arrays by name, shape (generation, member).

    Rows of active members with an evaluation are preferred. Values are NaN where a member has no row.

    Example:
        >>> one = {"generation": 1, "member": 0, "parent": 0}
        >>> generations([one | {"epoch": 2, "score": 9.0}, one | {"epoch": 4, "score": 7.0}])["score"].tolist()
        [[7.0]]
    """
    if not rows:
        return {}
    place = {number: i for i, number in enumerate(_numbers(rows))}
    n_members = 1 + max(int(row["member"]) for row in rows)
    names = dict.fromkeys(name for row in rows for name in row)
    table = {name: np.full((len(place), n_members), np.nan) for name in names}
    # Later rows overwrite earlier ones. Rows of members that have stopped have no score, so they come first.
    for row in sorted(rows, key=lambda row: (row.get("active", 1.0), row.get("evaluated", 1.0), row["epoch"])):
        for name, value in row.items():
            table[name][place[int(row["generation"])], int(row["member"])] = value
    return table


def parents(table: Table) -> Int[np.ndarray, "generation member"]:
    """Returns each member's parent in each generation of a table; its own number if no weights were copied."""
    own = np.arange(table["parent"].shape[1])
    return np.where(np.isfinite(table["parent"]), table["parent"], own).astype(int)


def lineage(rows: Sequence[Row], member: int) -> list[int]:
    """Returns the number of a member's ancestor in each generation; the last entry is the member itself.

    Raises:
        LfadsxError: If the history has no such member.

    Example:
        Member 0 begins the second generation with a copy of member 1:

        >>> parents = [(1, 0, 0), (1, 1, 1), (2, 0, 1), (2, 1, 1)]
        >>> rows = [{"generation": g, "epoch": g, "member": m, "parent": p} for g, m, p in parents]
        >>> lineage(rows, 0)
        [1, 0]
    """
    n_members = 1 + max((int(row["member"]) for row in rows), default=-1)
    if not 0 <= member < n_members:
        raise LfadsxError(f"`member` must be below {n_members}, the number of members in the history, got {member}.")
    slots = [member]
    for parent in parents(generations(rows))[:0:-1]:
        slots.append(int(parent[slots[-1]]))
    return slots[::-1]


def ancestry(rows: Sequence[Row], member: int) -> list[Row]:
    """Returns the rows of a member and of its ancestors before it was copied from them, in order of epochs.

    Example:
        >>> parents = [(1, 0, 0), (1, 1, 1), (2, 0, 1), (2, 1, 1)]
        >>> rows = [{"generation": g, "epoch": 5 * g, "member": m, "parent": p} for g, m, p in parents]
        >>> [(row["epoch"], row["member"]) for row in ancestry(rows, 0)]
        [(5, 1), (10, 0)]
    """
    slots = dict(zip(_numbers(rows), lineage(rows, member), strict=True))
    return sorted((row for row in rows if int(row["member"]) == slots[int(row["generation"])]), key=itemgetter("epoch"))


def ranking(rows: Sequence[Row]) -> list[int]:
    """Returns all members, the best first: by best score or, for members without one, by last score.

    Example:
        >>> row = {"generation": 1, "epoch": 10, "score": 7.0}
        >>> ranking([row | {"member": member, "best_score": best} for member, best in enumerate([6.0, np.inf, 5.0])])
        [2, 0, 1]
    """
    if not rows:
        return []
    table = generations(rows)
    best, score = _last_finite(table["best_score"]), _last_finite(table["score"])
    return np.argsort(np.where(np.isfinite(best), best, score), kind="stable").tolist()


def summary(rows: Sequence[Row]) -> Summary:
    """Summarises the last generation.

    Raises:
        LfadsxError: If there are no rows.

    Example:
        >>> row = {"generation": 2, "epoch": 20, "parent": 1, "active": 1.0}
        >>> found = summary([row | {"member": 0, "score": 7.0}, row | {"member": 1, "score": 5.0}])
        >>> found["best"], found["median"], found["best_member"], found["copies"]
        (5.0, 6.0, 1, [(1, 0)])
    """
    if not rows:
        raise LfadsxError("The history must have rows, got none. Call `summary` after the first evaluation.")
    number = _numbers(rows)[-1]
    last = sorted((row for row in rows if int(row["generation"]) == number), key=itemgetter("epoch"))
    rests = {int(row["member"]): not row["active"] for row in last}
    table = generations(last)
    score, trained = table["score"][0], table["active"][0] > 0
    finite = np.isfinite(score)
    best, median, worst = np.quantile(score[finite], [0.0, 0.5, 1.0]) if finite.any() else [np.nan] * 3
    return Summary(
        generation=number,
        epoch=int(np.nanmax(table["epoch"])),
        best=float(best),
        median=float(median),
        worst=float(worst),
        best_member=int(np.nanargmin(np.where(finite, score, np.nan))) if finite.any() else None,
        copies=[(int(winner), loser) for loser, winner in enumerate(parents(table)[0]) if winner != loser],
        n_inactive=sum(rests.values()),
        not_finite=np.flatnonzero(trained & ~finite).tolist(),
    )


def _numbers(rows: Sequence[Row]) -> list[int]:
    """Returns the numbers of all generations in order."""
    return sorted({int(row["generation"]) for row in rows})


def _last_finite(values: Float[np.ndarray, "generation member"]) -> Float[np.ndarray, " member"]:
    """Returns each member's last finite value; infinity if there is none."""
    number = np.arange(1, len(values) + 1)[:, None]
    last = np.where(np.isfinite(values), number, 0).max(axis=0)
    return np.where(last > 0, values[last - 1, np.arange(len(last))], np.inf)


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
    """Writes rows to a CSV file. With `names`, the columns of an existing file, the rows are appended to it.

    Raises:
        RunError: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names or names_of(rows))
    if not names and rows:
        writer.writeheader()
    # Eight digits distinguish all float32 values.
    writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)
    if not names:
        write_text(path, text.getvalue())
        return
    with writing(path), Path(path).open("a", newline="", encoding="utf-8") as file:
        file.write(text.getvalue())


def read_rows(path: str | Path) -> list[Row]:
    """Reads the rows of a file that `CsvLog` wrote; missing values are NaN.

    Example:
        ```python
        plot_scores(read_rows("run/population.csv")).savefig("scores.png")
        ```
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        remedy = "Remove the damaged rows, or restore the file from a copy."
        with readable(f"The file {path} must be a table of numbers, but is not", remedy, error=RunError):
            return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def valid_loss(row: Row, hyper: HyperParams) -> float:
    """Returns the loss of validation trials, in nats per trial, with the weights at the end of the epoch.

    The penalty on correlated inputs is computed on the training trials.
    """
    kl_ic = row["kl_ic_weight"] * float(hyper.kl_ic_scale) * row["valid_kl_ic"]
    kl_inputs = row["kl_co_weight"] * float(hyper.kl_co_scale) * row["valid_kl_inputs"]
    kl_bias = row["kl_ic_weight"] * float(hyper.kl_bias_scale) * row.get("valid_kl_bias", 0.0)
    penalties = row["l2_weight"] * row["l2"] + float(hyper.co_corr_scale) * row["correlation"]
    return row["valid_reconstruction"] + kl_ic + kl_inputs + kl_bias + penalties


def summarise(steps: Mapping[str, np.ndarray]) -> Row:
    """Averages the steps of an epoch: terms of the loss in nats per trial, without skipped steps."""
    used = (steps["n_trials"] > 0) & (steps["skipped"] == 0)
    if not used.any():
        used = ~(steps["n_trials"] == 0)  # a member that does not train has NaN everywhere
    n = steps["n_trials"][used]
    penalty = steps["l2_weight"][used] * steps["l2"][used]
    # The loss of a smaller step has been divided by the size of a full one; the penalty has not.
    row: dict[str, Any] = {"loss": np.sum(steps["loss"][used] - penalty) * n.max() / n.sum() + penalty.mean()}
    extra = _present(steps, "kl_bias", "sv_trained", "sv_withheld")
    per_trial = ("reconstruction", "kl_ic", "kl_inputs", "correlation", *extra)
    row |= {name: steps[name][used].sum() / n.sum() for name in per_trial}
    row |= {name: steps[name][used].mean() for name in ("l2", "grad_norm")}
    row |= {name: steps[name][used][-1] for name in ("kl_ic_weight", "kl_co_weight", "l2_weight", "learning_rate")}
    row["skipped"] = steps["skipped"].sum()
    return {name: float(value) for name, value in row.items()}


def _present(steps: Mapping[str, np.ndarray], *names: str) -> list[str]:
    """Returns those of the figures that the program has."""
    return [name for name in names if np.ndim(steps[name])]

"""Who descends from whom in a population: pure functions on the rows of its history.

A row is of one member and epoch; `evaluated` says whether its score was computed then. Its `parent` is the member whose
weights this one began the row's generation with: its own number unless weights were copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Int

from lfadsx.errors import LfadsxError

Row = dict[str, float]
"""Figures of a member and an epoch by name."""
Table = dict[str, Float[np.ndarray, "generation member"]]


class Summary(TypedDict):
    """What a generation came to; scores are in nats per trial, lower is better.

    Attributes:
        generation: Its number.
        epoch: Number of epochs trained at its end.
        best: Best score; like the next two of the finite ones only, NaN if there are none.
        median: Median score.
        worst: Worst score.
        best_member: Member with the best score, None if no score is finite.
        copies: Winner and loser of every copy of weights at the start of the generation.
        n_inactive: Number of members that do not train, or no longer.
        not_finite: Members that trained and have no finite score.
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
    """Collects the last row of every generation and member.

    Rows that are evaluated and in which the member trained come before others.

    Args:
        rows: History of the population.

    Returns:
        By name, the values of shape (generation, member), NaN where a member has no row; empty if there are no rows.

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
    # What comes later overwrites what came before. The rows of a member that has stopped have no score.
    for row in sorted(rows, key=lambda row: (row.get("active", 1.0), row.get("evaluated", 1.0), row["epoch"])):
        for name, value in row.items():
            table[name][place[int(row["generation"])], int(row["member"])] = value
    return table


def parents(table: Table) -> Int[np.ndarray, "generation member"]:
    """Returns the member whose weights each member began each generation with, its own number if none were copied.

    Args:
        table: What `generations` returned.
    """
    own = np.arange(table["parent"].shape[1])
    return np.where(np.isfinite(table["parent"]), table["parent"], own).astype(int)


def lineage(rows: Sequence[Row], member: int) -> list[int]:
    """Returns the slot that held a member's ancestor in each generation, the member itself at the end.

    Args:
        rows: History of the population.
        member: Slot after the last generation.

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
        raise LfadsxError(f"Member {member} is not among the {n_members} of the history. Give a slot that has rows.")
    slots = [member]
    for parent in parents(generations(rows))[:0:-1]:
        slots.append(int(parent[slots[-1]]))
    return slots[::-1]


def ancestry(rows: Sequence[Row], member: int) -> list[Row]:
    """Returns the rows that led to a member, in order of epochs: the history of one run in which nothing was copied.

    Example:
        >>> parents = [(1, 0, 0), (1, 1, 1), (2, 0, 1), (2, 1, 1)]
        >>> rows = [{"generation": g, "epoch": 5 * g, "member": m, "parent": p} for g, m, p in parents]
        >>> [(row["epoch"], row["member"]) for row in ancestry(rows, 0)]
        [(5, 1), (10, 0)]
    """
    slots = dict(zip(_numbers(rows), lineage(rows, member), strict=True))
    return sorted((row for row in rows if int(row["member"]) == slots[int(row["generation"])]), key=_epoch)


def ranking(rows: Sequence[Row]) -> list[int]:
    """Returns all members, the best first: by their best score, or by the last score of one that has none yet.

    Args:
        rows: History of the population.

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
    """Sums up the last generation.

    Args:
        rows: History of the population.

    Raises:
        LfadsxError: If there are no rows.

    Example:
        >>> row = {"generation": 2, "epoch": 20, "parent": 1, "active": 1.0}
        >>> found = summary([row | {"member": 0, "score": 7.0}, row | {"member": 1, "score": 5.0}])
        >>> found["best"], found["median"], found["best_member"], found["copies"]
        (5.0, 6.0, 1, [(1, 0)])
    """
    if not rows:
        raise LfadsxError("The history has no rows. Sum it up after the first evaluation.")
    number = _numbers(rows)[-1]
    last = sorted((row for row in rows if int(row["generation"]) == number), key=_epoch)
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
    """Returns the numbers of the generations in order."""
    return sorted({int(row["generation"]) for row in rows})


def _last_finite(values: Float[np.ndarray, "generation member"]) -> Float[np.ndarray, " member"]:
    """Returns each member's last finite value, infinity if it has none."""
    number = np.arange(1, len(values) + 1)[:, None]
    last = np.where(np.isfinite(values), number, 0).max(axis=0)
    return np.where(last > 0, values[last - 1, np.arange(len(last))], np.inf)


def _epoch(row: Row) -> float:
    return row["epoch"]

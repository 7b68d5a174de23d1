"""Callbacks of a population: a table on the terminal and a CSV file of all members."""

from __future__ import annotations

import abc
import csv
import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lfadsx.training.history import Row
from lfadsx.training.lineage import Summary, summary

MOST_COPIES = 6
"""Copies that a line of the table names."""
HEAD = f"{'generation':>10} {'epoch':>6} {'best':>10} {'median':>10} {'worst':>10} {'best member':>11} {'minutes':>8}  "
HEAD += "copies (winner -> loser)"


@dataclasses.dataclass(frozen=True)
class PopulationProgress:
    """What a callback is told after a generation.

    Attributes:
        generation: Number of generations trained.
        epoch: Number of epochs trained.
        epochs: Largest number of epochs.
        rows: One row for each member at each evaluation since the beginning, the latest at the end.
    """

    generation: int
    epoch: int
    epochs: int
    rows: list[Row]


class AbstractPopulationCallback(abc.ABC):
    """What a callback of a population provides. Write `on_generation_end`; the others are optional."""

    @abc.abstractmethod
    def on_generation_end(self, progress: PopulationProgress) -> None:
        """Is called after every generation."""

    def on_start(self, rows: Sequence[Row]) -> None:
        """Is called once before the first epoch, with what a resumed run has done already."""
        del rows

    def on_epoch_end(self, epoch: int, rows: Sequence[Row]) -> None:
        """Is called after every epoch with the number of epochs trained and all rows so far."""
        del epoch, rows

    def on_end(self, reason: str) -> None:
        """Is called once after the last epoch with the reason why training stopped."""
        del reason


class GenerationTable(AbstractPopulationCallback):
    """A table with one line per generation, and under it a bar with the time left.

    A line has the best, median and worst selection score in nats per trial, the best member, the minutes since the
    run began or went on, and the copies of weights with which the generation began.

    Example:
        ```python
        fit_population(..., callbacks=[GenerationTable(epochs=120)])
        ```

    Args:
        epochs: Largest number of epochs; None: the bar shows the time left from the second generation on.
    """

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs
        self._bar: Any = None
        self._start = 0.0

    def on_start(self, rows: Sequence[Row]) -> None:
        """Writes the head of the table and opens the bar."""
        self._start = time.monotonic()
        done = max((int(row["epoch"]) for row in rows), default=0)
        self._write(HEAD)
        self._bar = tqdm(total=self.epochs, initial=done, unit="epoch", desc="training", dynamic_ncols=True)

    def on_epoch_end(self, epoch: int, rows: Sequence[Row]) -> None:
        """Moves the bar."""
        if rows:
            now = summary(rows)
            self._bar.set_postfix_str(f"generation {now['generation']}, best {_number(now['best'])}", refresh=False)
        self._bar.update(epoch - self._bar.n)

    def on_generation_end(self, progress: PopulationProgress) -> None:
        """Writes a line of the table."""
        self._write(table_line(summary(progress.rows), (time.monotonic() - self._start) / 60))
        self._bar.total = progress.epochs
        self._bar.update(progress.epoch - self._bar.n)
        self._bar.refresh()

    def on_end(self, reason: str) -> None:
        """Closes the bar."""
        self._bar.set_description(f"training ({reason})")
        self._bar.close()

    def _write(self, line: str) -> None:
        # tqdm takes the bar away, writes, and draws the bar again; print would write into it.
        tqdm.write(line, file=sys.stderr)


class PopulationCsv(AbstractPopulationCallback):
    """A CSV file of the whole history: one line for each member at each evaluation.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._names: list[str] = []
        self._n_written = 0

    def on_start(self, rows: Sequence[Row]) -> None:
        """Writes the lines that a resumed run has done already, and nothing that it has to do again."""
        self._rewrite(rows)

    def on_generation_end(self, progress: PopulationProgress) -> None:
        """Appends the lines that the file does not have yet."""
        rows = progress.rows
        if len(rows) < self._n_written or set(_names(rows)) - set(self._names):
            self._rewrite(rows)
        else:
            self._append(rows)

    def _rewrite(self, rows: Sequence[Row]) -> None:
        self._names, self._n_written = _names(rows), 0
        with self.path.open("w", newline="") as file:
            if self._names:
                csv.writer(file).writerow(self._names)
        self._append(rows)

    def _append(self, rows: Sequence[Row]) -> None:
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self._names)
            # Eight digits tell apart what float32 can.
            writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows[self._n_written :])
        self._n_written = len(rows)


def read_rows(path: str | Path) -> list[Row]:
    """Reads the history that `PopulationCsv` wrote; a value that a row did not have is NaN.

    Args:
        path: The file.

    Example:
        ```python
        plot_scores(read_rows("run/population.csv")).savefig("scores.png")
        ```
    """
    with Path(path).open(newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def table_line(found: Summary, minutes: float) -> str:
    """Returns the line of the table for a generation.

    Args:
        found: What `lfadsx.training.lineage.summary` returned.
        minutes: Minutes that the run has taken so far.
    """
    member = "-" if found["best_member"] is None else str(found["best_member"])
    scores = " ".join(f"{_number(found[name]):>10}" for name in ("best", "median", "worst"))
    start = f"{found['generation']:>10} {found['epoch']:>6} {scores} {member:>11} {minutes:>8.1f}"
    return f"{start}  {_news(found)}".rstrip()


def _news(found: Summary) -> str:
    """Returns what happened besides the scores."""
    copies, failed = found["copies"], found["not_finite"]
    news = []
    if copies:
        more = f" and {len(copies) - MOST_COPIES} more" if len(copies) > MOST_COPIES else ""
        news.append(", ".join(f"{winner} -> {loser}" for winner, loser in copies[:MOST_COPIES]) + more)
    if found["n_inactive"]:
        news.append(f"{found['n_inactive']} inactive")
    if failed:
        news.append("not finite: " + ", ".join(map(str, failed)))
    return "; ".join(news)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.2e}"


def _names(rows: Sequence[Row]) -> list[str]:
    """Returns the names that occur in the rows, in the order in which they first come."""
    return list(dict.fromkeys(name for row in rows for name in row))

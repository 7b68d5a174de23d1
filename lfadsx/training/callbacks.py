"""Callbacks: what happens on the host after every epoch, of a single model as of a population."""

from __future__ import annotations

import abc
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lfadsx.models.lfads import LFADS
from lfadsx.training.history import names_of, write_rows
from lfadsx.training.lineage import Row, Summary, summary

MOST_COPIES = 6
"""Copies that a line of the table names."""
HEAD = f"{'generation':>10} {'epoch':>6} {'best':>10} {'median':>10} {'worst':>10} {'best member':>11} {'minutes':>8}  "
HEAD += "copies (winner -> loser)"


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a callback is told.

    Attributes:
        epoch: Number of epochs trained.
        epochs: Largest number of epochs.
        rows: Figures by name: of `fit` one row per epoch, of a population one per member and epoch, the latest last.
        model: Returns the model of a member, 0 for `fit`, as it is now. Its arrays are given up when the callback
            returns.
        generation: Number of the generation, the first being 1; 1 throughout for `fit`.
        reason: Why training stopped; empty before.
    """

    epoch: int
    epochs: int
    rows: Sequence[Row]
    model: Callable[[int], LFADS]
    generation: int = 1
    reason: str = ""

    @property
    def latest(self) -> list[Row]:
        """The rows of the last epoch."""
        return [row for row in self.rows[-self._n_members :] if row["epoch"] == self.epoch]

    @property
    def _n_members(self) -> int:
        return 1 + int(self.rows[-1].get("member", 0)) if self.rows else 1


class AbstractCallback(abc.ABC):
    """What `fit` and `population` call as training proceeds. Write `on_epoch_end`; the others are optional.

    Example:
        >>> from lfadsx.training import AbstractCallback
        >>> class PrintLoss(AbstractCallback):
        ...     def on_epoch_end(self, progress):
        ...         print(progress.epoch, progress.rows[-1]["loss"])
    """

    @abc.abstractmethod
    def on_epoch_end(self, progress: Progress) -> None:
        """Is called after every epoch."""

    def on_start(self, progress: Progress) -> None:
        """Is called once before the first epoch, with what a resumed run has done already."""
        del progress

    def on_generation_end(self, progress: Progress) -> None:
        """Is called after every generation of a population, before the search decides."""
        del progress

    def on_end(self, progress: Progress) -> None:
        """Is called once after the last epoch."""
        del progress


class ProgressBar(AbstractCallback):
    """A bar with the time left, the current loss and the selection score; of a population those of the best member."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_start(self, progress: Progress) -> None:
        """Opens the bar."""
        total, done = progress.epochs, progress.epoch
        self._bar = tqdm(total=total, initial=done, unit="epoch", desc="training", dynamic_ncols=True)

    def on_epoch_end(self, progress: Progress) -> None:
        """Moves the bar."""
        self._bar.set_postfix_str(self._words(progress), refresh=False)
        self._bar.update(progress.epoch - self._bar.n)

    def on_end(self, progress: Progress) -> None:
        """Closes the bar."""
        self._bar.set_description(f"training ({progress.reason})")
        self._bar.close()

    def _words(self, progress: Progress) -> str:
        loss = min((row["loss"] for row in progress.latest), default=math.nan)
        scores = [row["score"] for row in progress.rows if math.isfinite(row["score"])]
        return f"loss {loss:.2f}" + (f", validation {scores[-1]:.2f} (best {min(scores):.2f})" if scores else "")


class GenerationTable(ProgressBar):
    """A table with one line per generation of a population, and under it a bar with the time left.

    A line has the best, median and worst selection score in nats per trial, the best member, the minutes since the
    run began or was resumed, and the copies of weights with which the generation began.

    Example:
        ```python
        lfadsx.population(build, data, callbacks=[GenerationTable()])
        ```
    """

    _began = 0.0

    def on_start(self, progress: Progress) -> None:
        """Writes the head of the table and opens the bar."""
        self._began = time.monotonic()
        self._write(HEAD)
        super().on_start(progress)

    def on_generation_end(self, progress: Progress) -> None:
        """Writes a line of the table."""
        self._write(table_line(summary(progress.rows), (time.monotonic() - self._began) / 60))
        self._bar.refresh()

    def _words(self, progress: Progress) -> str:
        scores = [row["score"] for row in progress.rows if row["generation"] == progress.generation]
        best = min(filter(math.isfinite, scores), default=math.nan)
        return f"generation {progress.generation}, best {_number(best)}"

    def _write(self, line: str) -> None:
        # tqdm takes the bar away, writes, and draws the bar again; print would write into it.
        tqdm.write(line, file=sys.stderr)


class CsvLog(AbstractCallback):
    """A CSV file of the whole history: one line per epoch, of a population one per member and epoch.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._names: list[str] = []
        self._n_written = 0

    def on_start(self, progress: Progress) -> None:
        """Writes the lines that a resumed run has done already, and nothing that it has to do again."""
        self._names, self._n_written = names_of(progress.rows), len(progress.rows)
        write_rows(self.path, progress.rows)

    def on_epoch_end(self, progress: Progress) -> None:
        """Appends the lines that the file does not have yet."""
        new = progress.rows[self._n_written :]
        if set(names_of(new)) - set(self._names):
            self.on_start(progress)
            return
        write_rows(self.path, new, self._names)
        self._n_written = len(progress.rows)


def table_line(found: Summary, minutes: float) -> str:
    """Returns the line of the table for a generation."""
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

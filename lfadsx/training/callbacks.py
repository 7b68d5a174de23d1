"""Callbacks: code that runs on the host after every epoch, of a single model and of a population."""

from __future__ import annotations

import abc
import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lfadsx.models.lfads import LFADS
from lfadsx.progress import is_live, write
from lfadsx.training.history import Row, Summary, names_of, summary, write_rows

MOST_COPIES = 6
"""Largest number of copies in a line of the table."""
HEAD = f"{'gen':>3} {'epoch':>5} {'best':>8} {'median':>8} {'worst':>8} {'member':>6} {'min':>5}  copies"
"""Columns of the table: scores, member with the best one, minutes, and copies as winner -> loser."""
LINES = 20
"""Lines of progress of a run without a terminal."""
WIDE = 80
"""Columns of a terminal that has space for a bar."""
NARROW = "{n_fmt}/{total_fmt} {remaining} left{postfix}"


@dataclasses.dataclass(frozen=True)
class Progress:
    """State of a training run, as callbacks see it.

    Attributes:
        epoch: Number of epochs trained.
        epochs: Largest number of epochs.
        rows: Figures by name, the latest last. `fit` has one row per epoch, a population one per member and epoch.
        model: Returns the current model of a member; the member of `fit` is 0. Its arrays become invalid when the
            callback returns.
        generation: Number of the generation, the first being 1; always 1 for `fit`.
        reason: Why training stopped; empty while it runs.
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
        n_members = 1 + int(self.rows[-1].get("member", 0)) if self.rows else 1
        return [row for row in self.rows[-n_members:] if row["epoch"] == self.epoch]


class AbstractCallback(abc.ABC):
    """Base class of callbacks for `fit` and `population`. Write `on_epoch_end`; the other methods are optional.

    Example:
        >>> from lfadsx.training import AbstractCallback
        >>> class PrintLoss(AbstractCallback):
        ...     def on_epoch_end(self, progress):
        ...         print(progress.epoch, progress.rows[-1]["loss"])
    """

    @abc.abstractmethod
    def on_epoch_end(self, progress: Progress) -> None:
        """Called after every epoch."""

    def on_start(self, progress: Progress) -> None:
        """Called once before the first epoch. A resumed run passes the epochs that it has trained already."""
        del progress

    def on_generation_end(self, progress: Progress) -> None:
        """Called after every generation of a population, before the strategy decides."""
        del progress

    def on_end(self, progress: Progress) -> None:
        """Called once after the last epoch."""
        del progress


class ProgressBar(AbstractCallback):
    """A bar with the time left, loss and selection score; for a population, those of the best member.

    Without a terminal or notebook, such as in the log of a cluster, it writes a line for every 5 % of the epochs.
    """

    def __init__(self) -> None:
        self._bar: Any = None

    def on_start(self, progress: Progress) -> None:
        """Opens the bar."""
        narrow = None if shutil.get_terminal_size().columns >= WIDE else NARROW
        how: dict[str, Any] = dict(unit="epoch", desc="compiling", dynamic_ncols=True, bar_format=narrow)
        self._bar = tqdm(total=progress.epochs, initial=progress.epoch, disable=not is_live(), **how)
        if self._bar.disable and progress.epoch < progress.epochs:
            self._write("compiling and training ...")
        self._began, self._first = time.monotonic(), progress.epoch

    def on_epoch_end(self, progress: Progress) -> None:
        """Moves the bar, or writes a line."""
        if self._bar.disable:
            if progress.epoch * LINES // progress.epochs > (progress.epoch - 1) * LINES // progress.epochs:
                self._write(self._line(progress))
            return
        self._bar.set_description("training", refresh=False)
        self._bar.set_postfix_str(self._words(progress), refresh=False)
        self._bar.update(progress.epoch - self._bar.n)

    def on_end(self, progress: Progress) -> None:
        """Closes the bar."""
        self._bar.set_description(f"training ({progress.reason})")
        self._bar.close()

    def _line(self, progress: Progress) -> str:
        left = (time.monotonic() - self._began) * (progress.epochs - progress.epoch) / (progress.epoch - self._first)
        return (
            f"epoch {progress.epoch} of {progress.epochs}, {tqdm.format_interval(left)} left, {self._words(progress)}"
        )

    def _words(self, progress: Progress) -> str:
        loss = min((row["loss"] for row in progress.latest), default=math.nan)
        scores = [row["score"] for row in progress.rows if math.isfinite(row["score"])]
        return f"loss {loss:.2f}" + (f", validation {scores[-1]:.2f} (best {min(scores):.2f})" if scores else "")

    def _write(self, line: str) -> None:
        write(line)


class GenerationTable(ProgressBar):
    """A table with one line per generation of a population, above a progress bar.

    A line has the best, median and worst selection score in nats per trial, the best member, the minutes since the
    start (or the resumption) of the run, and the copies of weights at the start of the generation.

    Example:
        ```python
        lfadsx.population(build, data, callbacks=[GenerationTable()])
        ```
    """

    def on_start(self, progress: Progress) -> None:
        """Writes the head of the table and opens the bar."""
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


class CsvLog(AbstractCallback):
    """A CSV file of the whole history: one line per epoch, for a population one per member and epoch.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._names: list[str] = []
        self._n_written = 0

    def on_start(self, progress: Progress) -> None:
        """Writes the lines of the epochs that a resumed run has trained already."""
        self._names, self._n_written = names_of(progress.rows), len(progress.rows)
        write_rows(self.path, progress.rows)

    def on_epoch_end(self, progress: Progress) -> None:
        """Appends the new lines."""
        new = progress.rows[self._n_written :]
        if set(names_of(new)) - set(self._names) or not self.path.exists():
            self.on_start(progress)
            return
        write_rows(self.path, new, self._names)
        self._n_written = len(progress.rows)


def table_line(found: Summary, minutes: float) -> str:
    """Returns the line of the table for a generation."""
    member = "-" if found["best_member"] is None else str(found["best_member"])
    scores = " ".join(f"{_number(found[name]):>8}" for name in ("best", "median", "worst"))
    start = f"{found['generation']:>3} {found['epoch']:>5} {scores} {member:>6} {minutes:>5.1f}"
    copies, failed, news = found["copies"], found["not_finite"], []
    if copies:
        more = f" and {len(copies) - MOST_COPIES} more" if len(copies) > MOST_COPIES else ""
        news.append(", ".join(f"{winner} -> {loser}" for winner, loser in copies[:MOST_COPIES]) + more)
    if found["n_inactive"]:
        news.append(f"{found['n_inactive']} inactive")
    if failed:
        news.append("not finite: " + ", ".join(map(str, failed)))
    return f"{start}  {'; '.join(news)}".rstrip()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.2e}"

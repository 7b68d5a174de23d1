"""Callbacks: what happens on the host after every epoch."""

from __future__ import annotations

import abc
import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lfadsx.training.history import Row
from lfadsx.training.state import Program, TrainState


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a callback is told.

    Attributes:
        epoch: Number of epochs trained.
        epochs: Largest number of epochs.
        history: One row per epoch, the last one new.
        program: What is compiled; `program.merge(state)` gives model and augmentations.
        state: State of the model.
    """

    epoch: int
    epochs: int
    history: Sequence[Row]
    program: Program
    state: TrainState


class AbstractCallback(abc.ABC):
    """What a callback provides. Write `on_epoch_end`; `on_start` and `on_end` are optional."""

    @abc.abstractmethod
    def on_epoch_end(self, progress: Progress) -> None:
        """Is called after every epoch."""

    def on_start(self, epoch: int, epochs: int, history: Sequence[Row]) -> None:
        """Is called once before the first epoch, with what a resumed run has done already."""
        del epoch, epochs, history

    def on_end(self, reason: str) -> None:
        """Is called once after the last epoch with the reason why training stopped."""
        del reason


class ProgressBar(AbstractCallback):
    """A bar with the time left, the current loss and the selection score."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_start(self, epoch: int, epochs: int, history: Sequence[Row]) -> None:
        """Opens the bar."""
        del history
        self._bar = tqdm(total=epochs, initial=epoch, unit="epoch", desc="training", dynamic_ncols=True)

    def on_epoch_end(self, progress: Progress) -> None:
        """Moves the bar."""
        row = progress.history[-1]
        scores = [r["score"] for r in progress.history if math.isfinite(r["score"])]
        score = f", validation {scores[-1]:.2f} (best {min(scores):.2f})" if scores else ""
        self._bar.set_postfix_str(f"loss {row['loss']:.2f}{score}", refresh=False)
        self._bar.update(progress.epoch - self._bar.n)

    def on_end(self, reason: str) -> None:
        """Closes the bar."""
        self._bar.set_description(f"training ({reason})")
        self._bar.close()


class CsvLog(AbstractCallback):
    """A CSV file with one line per epoch: the loss in parts, in nats per trial.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_start(self, epoch: int, epochs: int, history: Sequence[Row]) -> None:
        """Writes the lines of the epochs that a resumed run has done already."""
        del epoch, epochs
        self.path.unlink(missing_ok=True)
        for row in history:
            self._append(row)

    def on_epoch_end(self, progress: Progress) -> None:
        """Appends a line."""
        self._append(progress.history[-1])

    def _append(self, row: Row) -> None:
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})

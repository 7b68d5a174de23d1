"""The command `few-shot`: read-outs of neurons that a model never saw, fitted to a few trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.model_commands import mesh_of, which_of
from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import report


@dataclasses.dataclass(kw_only=True)
class FewShotCommand(Command):
    """Score read-outs of neurons that a model never saw, fitted to a few training trials (few-shot co-smoothing).

    FILE has the trials that the run was trained on, with more neurons.
    """

    examples = (
        "lfadsx few-shot runs/first all_neurons.h5 --unseen 30 31 32 33",
        "lfadsx few-shot runs/first all_neurons.h5 --k 4 16 64 --draws 10 --json",
    )

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    files: tuple[Path, ...] = positional("FILE")
    """HDF5 files with all neurons, one for each session."""
    unseen: tuple[str, ...] = ()
    """Neurons that the model never saw, by number (from 0) or name; by default those whose names the run lacks."""
    k: tuple[int, ...] = ()
    """Numbers of training trials; by default 8, 32 and 128, if there are as many."""
    draws: int = 5
    """Random draws of these trials."""
    split: Literal["train", "valid", "test"] | None = None
    """Split to score; by default test, or valid for data without test trials."""
    which: str = "best"
    """Model of the run: best (by its selection score), last, or the number of a step whose checkpoint is kept."""
    samples: int = 64
    """Posterior samples per trial that are averaged."""
    reading: Reading = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    seed: int = 0
    """Seed of the samples."""
    devices: int | None = None
    """Devices that share the trials. By default one GPU, or all cores of a CPU, each as a device."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Scores and prints."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.pipeline import few_shot_run
        from lfadsx.training import RunFolder

        mesh = mesh_of(self.devices)
        data = self.reading.read(self.files, RunFolder(self.run_folder).info.kinds, self.seed)
        numbers = all(word.isdecimal() for word in self.unseen)
        outcome = few_shot_run(
            self.run_folder,
            data,
            ([*map(int, self.unseen)] if numbers else list(self.unseen)) or None,
            which=which_of(self.which),
            k=self.k or None,
            n_draws=self.draws,
            split=self.split,
            n_samples=self.samples,
            seed=self.seed,
            mesh=mesh,
            parts=parts_in(self.parts).values(),
        )
        return report(outcome, self.json)

"""The command `dynamics`: what a trained generator does by itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.model_commands import which_of
from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import report


@dataclasses.dataclass(kw_only=True)
class DynamicsCommand(Command):
    """Find the fixed points of a trained generator, their time constants and frequencies, and what it does alone."""

    examples = (
        "lfadsx dynamics runs/first",
        "lfadsx dynamics runs/first --inputs mean --starts 2048 --json",
    )

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    files: tuple[Path, ...] = positional("FILE", default=())
    """HDF5 files with trials, one for each session; by default the files that the run was trained on."""
    inputs: Literal["zero", "mean", "bias"] = "zero"
    """Inputs that are held: zero, the mean of the inputs in the trials, or the bias of each trial alone."""
    starts: int = 512
    """Number of starts of the search."""
    split: Literal["train", "valid", "test", "all"] | None = None
    """Trials whose states are the starts; by default test, or valid for data without test trials."""
    which: str = "best"
    """Model of the run: best (by its selection score), last, or the number of a step whose checkpoint is kept."""
    reading: Reading = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    seed: int = 0
    """Seed of the starts."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""

    def run(self) -> int:
        """Analyses the generator and prints what was found."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.pipeline import dynamics_run
        from lfadsx.training import RunFolder
        from lfadsx.training.recorded_data import data_of_run

        if self.files:
            data = self.reading.read(self.files, RunFolder(self.run_folder).info.kinds, self.seed)
        else:
            data = data_of_run(self.run_folder)
        how = dict(which=which_of(self.which), split=self.split, inputs=self.inputs, n_starts=self.starts)
        parts = parts_in(self.parts).values()
        outcome = dynamics_run(self.run_folder, data, **how, seed=self.seed, parts=parts)  # pyright: ignore
        return report(outcome, self.json)

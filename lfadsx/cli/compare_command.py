"""The command `compare`: runs beside each other."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.model_commands import mesh_of
from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import DONE


@dataclasses.dataclass(kw_only=True)
class Compare(Command):
    """Compare runs on the same trials: scores, paired differences to the first run, settings that differ."""

    run_folders: tuple[Path, ...] = positional("RUN")
    """Run folders; differences are to the first one."""
    data: tuple[Path, ...] = ()
    """HDF5 files to score on, one for each session; by default those that the runs were trained on."""
    split: Literal["train", "valid", "test"] | None = None
    """Split to score; by default test where there is one, else valid."""
    samples: int = 64
    """Posterior samples of the averages."""
    reading: Reading = dataclasses.field(default_factory=Reading)
    """How the files of --data are read."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    seed: int = 0
    """Seed of the samples, and of the draw of valid trials for files of --data without any."""
    devices: int | None = None
    """Devices that share the trials. By default one GPU, or all cores of a CPU, each as a device."""
    json: bool = False
    """Print scores, differences and settings as one JSON object on the last line."""

    def run(self) -> int:
        """Scores and prints."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.pipeline.comparing import compare
        from lfadsx.training import RunFolder

        mesh, data = mesh_of(self.devices), None
        if self.data:
            kinds = RunFolder(self.run_folders[0]).info.kinds if self.run_folders else None
            data = self.reading.read(self.data, kinds, self.seed)
        own = parts_in(self.parts).values()
        found = compare(
            *self.run_folders, data=data, split=self.split, n_samples=self.samples, seed=self.seed, mesh=mesh, parts=own
        )
        (sys.stderr if self.json else sys.stdout).write(f"{found}\n")
        if self.json:
            sys.stdout.write(json.dumps(found.to_dict()) + "\n")
        return DONE

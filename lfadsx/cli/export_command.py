"""The command that writes results for other tools: lfadsx export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.terminal import report


@dataclasses.dataclass(kw_only=True)
class Export(Command):
    """Write rates, factors, inferred inputs and biases of a run for other tools.

    Results are those of the posterior.h5 of the run, or of a file of lfadsx infer. Files that are there already are
    replaced, except the original NWB file.
    """

    choices = {
        "nwb": "A copy of the NWB file of the recording with the results, on the clock of the session.",
        "matlab": "A struct lfads of arrays (trial, time, column) in a file of version 5.",
        "pynapple": "A folder with a file for each object of pynapple.",
        "csv": "A folder with a table for each array.",
        "ayna": "Spikes, rates and states of the generator, for checks of the dynamics with ayna.",
        "nlb": "A submission to the Neural Latents Benchmark.",
    }
    examples = (
        "lfadsx export runs/day1 --to matlab",
        "lfadsx export runs/day1 --to nwb --out day1_rates.nwb --source /data/day1.nwb",
        "lfadsx export runs/day1/day2_posterior.h5 --to csv --arrays rates_hz factors",
        "lfadsx export runs/maze --to nlb --benchmark mc_maze",
    )

    run_folder: Path = positional("RUN")
    """Run folder, or a file of lfadsx infer."""
    to: Literal["nwb", "matlab", "pynapple", "csv", "ayna", "nlb"]
    """The tool."""
    out: Path | None = None
    """File or folder to write; by default RUN/nwb, RUN/lfads.mat, RUN/pynapple, RUN/csv, RUN/ayna or
    RUN/submission.h5. With several sessions, nwb and ayna need a folder."""
    split: str | None = None
    """nwb, matlab, pynapple, csv: the split; by default all trials, in the order of the data file."""
    arrays: tuple[str, ...] = ()
    """nwb, matlab, pynapple, csv: names of arrays of posterior.h5; by default rates in Hz, factors, inputs, biases."""
    benchmark: str | None = None
    """nlb: the set, such as mc_maze."""
    source: tuple[Path, ...] = ()
    """nwb: the original files, all of them, if they were moved."""

    def run(self) -> int:
        """Writes."""
        from lfadsx.pipeline import export

        return report(
            export(
                self.run_folder,
                self.to,
                self.out,
                split=self.split,
                arrays=self.arrays,
                benchmark=self.benchmark,
                source=self.source,
            )
        )

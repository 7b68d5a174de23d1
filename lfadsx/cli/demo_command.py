"""The command that shows what the library does: lfadsx demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.command_flags import Command
from lfadsx.cli.fit_commands import report_fit
from lfadsx.cli.terminal import say, use_devices
from lfadsx.config import FigureFormat, HyperParams, ModelConfig, TrainConfig

if TYPE_CHECKING:
    from lfadsx.pipeline import Outcome

MODEL = ModelConfig(
    factors=16,  # the network that makes the data is simple, so a small model suffices
    generator_dim=64,
    ic_dim=16,
    ic_encoder_dim=32,
    input_encoder_dim=32,
    controller_dim=32,
    inferred_inputs=1,  # as in the simulation
    controller_lag=0,  # the input of a bin changes the spikes of that bin already
    input_prior_tau=0.5,  # bins; the input is noise without memory
)
HYPER = HyperParams(
    learning_rate=1e-2,  # high, so that a minute is enough
    kl_ic_scale=1.0,  # KL weights of 1 are the evidence bound, whose best model infers as well as can be
    kl_co_scale=1.0,
    cd_rate=0.0,  # there are enough trials to do without dropout
    dropout_rate=0.0,
)


@dataclasses.dataclass(kw_only=True)
class Demo(Command):
    """Simulate spikes of a network that sums a noisy input, then do all that `fit` does.

    From the spikes of 80 of its 100 units LFADS infers the input, and the rates of all units.
    """

    out: Path = Path("demo")
    """Run folder to write."""
    epochs: int = 40
    """Number of epochs."""
    seed: int = 0
    """Seed of the simulation, the initial weights and the noise."""
    figure_format: FigureFormat = "png"
    """Format of the figures: png for screens; pdf or svg for print, with text that can be edited."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Simulates, trains, infers, scores and writes."""
        from lfadsx.data import read, write_dataset
        from lfadsx.datasets import integrator
        from lfadsx.parallel import make_mesh

        (file,) = write_dataset(self.out, integrator(seed=self.seed))
        data = read(file)  # the run records the file, so that `evaluate` and `report` find the data again
        # The KL costs nothing at first. If its weights rose from the start, some seeds would give their input up before
        # they have learned to use it.
        quarter = self.epochs // 4
        ramp: dict[str, Any] = dict(kl_ramp_start=quarter, kl_ramp_epochs=max(1, quarter))
        how: dict[str, Any] = dict(model=MODEL, hyper=HYPER, figure_format=self.figure_format)
        how["train"] = TrainConfig(epochs=self.epochs, patience=self.epochs, seed=self.seed, **ramp)
        devices = use_devices(None, how["train"].batch_size)
        mesh = make_mesh(devices) if devices > 1 else None
        code, outcome = report_fit(data, self.out, self.json, **how, mesh=mesh)
        if not outcome.signal and not self.json:
            for line in _closing(outcome, self.out, file):
                say(line)
        return code


def _closing(outcome: Outcome, run: Path, file: Path) -> list[str]:
    """Returns the last lines: how much of the truth was found, where the results are, and the next command."""
    lines, page = [], run / "report.html"
    if outcome.evaluation is not None:
        inputs, rates = (outcome.evaluation.detail[name]["r2_pooled"] for name in ("inputs", "rates"))
        lines.append(f"R2 with the simulation's truth (1 is perfect): input {inputs:.2f}, rates {rates:.2f}.")
    return [
        *lines,
        f"Report: {page if page.exists() else run / 'report.md'}; figures: {run / 'figures'}; data: {file}.",
        "Next, your own data: a data file (HDF5), or a recording that is cut into trials first.",
        "  lfadsx fit my_recording.h5 --out runs/first",
        "  lfadsx prepare my_recording.nwb --out my_recording.h5 --align go_cue --window -0.25 0.45",
    ]

"""Commands that train: fit, demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.command_flags import Command
from lfadsx.cli.population_flags import Population
from lfadsx.cli.terminal import report, say, use_devices
from lfadsx.cli.training_flags import Training
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.pipeline import Outcome


@dataclasses.dataclass(kw_only=True)
class Fit(Training):
    """Train LFADS on data files, infer all trials, score them and draw figures.

    The same command resumes an interrupted run; with more --epochs it trains a finished run further.
    """

    common = (
        *("files", "out", "variant", "factors", "generator_dim", "inferred_inputs", "likelihood", "bin_width"),
        *("learning_rate", "epochs", "batch_size", "population", "start_from", "figures", "devices", "seed"),
        *("config", "set", "json"),
    )
    examples = (
        "lfadsx fit day1.h5 --out runs/day1",
        "lfadsx fit day1.h5 day2.h5 --out runs/both --align-sessions 20",
        "lfadsx fit day1.nwb --out runs/day1 --align go_cue --window -0.25 0.45",
        "lfadsx fit day1.h5 --out runs/search --population 16",
    )

    start_from: Path | None = None
    """Run folder whose best model is trained further, instead of a new one. Flags of the architecture are then without
    effect. Sessions that the model lacks get new read-ins and read-outs."""
    new_sessions_only: bool = False
    """Train only the read-ins and read-outs of sessions that the model of --start-from lacks."""
    reset_learning_rate: bool = False
    """Restart the learning rate when a run is resumed."""
    population: Population = dataclasses.field(default_factory=Population)
    """Population of models, and its search."""
    tensorboard: bool = False
    """Write a TensorBoard log into the run folder: scalars and, with --figures, single trials."""

    def run(self) -> int:
        """Trains, infers, scores and writes."""
        from lfadsx.cli.own_parts import parts_by_seam, parts_in
        from lfadsx.pipeline import fit_run, population_run, start_from
        from lfadsx.pipeline.tensorboard import TensorBoard
        from lfadsx.training import RunFolder

        self._check()
        RunFolder(self.out).check_own()
        RunFolder(self.out).begun(population=self.population.population > 1)
        n_members = self.population.population
        mesh, model, train = self.mesh(n_members), self.model, self.train
        data = self.read_aligned(None if self.start_from is None else RunFolder(self.start_from).info.kinds)
        if self.start_from is not None:
            model, train = start_from(
                self.start_from,
                data,
                train,
                new_sessions_only=self.new_sessions_only,
                parts=parts_in(self.parts).values(),
            )
        how: dict[str, Any] = dict(model=model, hyper=self.hyper, train=train, mesh=mesh)
        how["parts"] = parts_by_seam(self.parts)
        how |= dict(n_samples=self.samples, figures=self.figures)
        if n_members > 1:
            how |= dict(strategy=self.population.strategy(), population=self.population.sizes)
            return report(population_run(data, self.out, **how), self.json)
        if self.tensorboard:
            how["callbacks"] = [TensorBoard(self.out / "tensorboard", data if self.figures else None)]
        return report(fit_run(data, self.out, **how, reset_learning_rate=self.reset_learning_rate), self.json)

    def _check(self) -> None:
        """Raises LfadsxError if a flag is given that needs another one, or does not go with it."""
        if self.new_sessions_only and self.start_from is None:
            raise LfadsxError("`--new-sessions-only` needs a trained model. Give its run folder: --start-from RUN.")
        if self.population.population == 1:
            self.population.check_single()
        elif self.tensorboard or self.reset_learning_rate:
            raise LfadsxError(
                "`--tensorboard` and `--reset-learning-rate` need a single model, got --population "
                f"{self.population.population}. Leave them out, or train one model."
            )


@dataclasses.dataclass(kw_only=True)
class Demo(Command):
    """Simulate spikes of a network that sums a noisy input, then do all that `fit` does.

    From the spikes of 80 of its 100 units LFADS infers the input, and the rates of all units.
    """

    out: Path = Path("demo")
    """Run folder to write."""
    epochs: int = 30
    """Number of epochs."""
    seed: int = 0
    """Seed of the simulation, the initial weights and the noise."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Simulates, trains, infers, scores and writes."""
        from lfadsx.data import write_dataset
        from lfadsx.datasets import integrator
        from lfadsx.parallel import make_mesh
        from lfadsx.pipeline import fit_run

        data = integrator(seed=self.seed)
        # The network is simple, so a small model suffices. One input, as in the simulation.
        sizes: dict[str, Any] = dict(factors=16, generator_dim=64, ic_dim=16, ic_encoder_dim=32, input_encoder_dim=32)
        model = ModelConfig(
            **sizes,
            controller_dim=32,
            inferred_inputs=1,
            controller_lag=0,  # the input of a bin changes the spikes of that bin already
            input_prior_tau=0.5,  # bins; the input is noise that does not last from bin to bin
        )
        # KL weights of 1 are the evidence bound. With enough trials no dropout is needed.
        hyper = HyperParams(learning_rate=1e-2, kl_ic_scale=1.0, kl_co_scale=1.0, cd_rate=0.0, dropout_rate=0.0)
        # A long ramp of the KL weights, so that the model learns to use its input before the input costs anything.
        ramp = max(1, self.epochs // 2)
        train = TrainConfig(epochs=self.epochs, patience=self.epochs, kl_ramp_epochs=ramp, seed=self.seed)
        devices = use_devices(None, train.batch_size)
        mesh = make_mesh(devices) if devices > 1 else None
        outcome = fit_run(data, self.out, model=model, hyper=hyper, train=train, mesh=mesh)
        code = report(outcome, self.json)
        if not outcome.signal and not self.json:
            (file,) = write_dataset(self.out, data)
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

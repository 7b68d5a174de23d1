"""Commands that train: fit, demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.population_flags import Population
from lfadsx.cli.reading_flags import Reading, kind_for
from lfadsx.cli.terminal import DONE, Files, Flat, close, say, use_devices
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset
    from lfadsx.models.lfads import LFADS


@dataclasses.dataclass
class Fit:
    """Train LFADS on data files, infer all trials, score them and draw figures.

    The same command on the folder of an interrupted run resumes it.
    """

    files: Files
    """HDF5 files, one for each session."""
    out: Path
    """Run folder to write."""
    model: Flat[ModelConfig] = dataclasses.field(default_factory=ModelConfig)
    """Architecture."""
    hyper: Flat[HyperParams] = dataclasses.field(default_factory=HyperParams)
    """Hyperparameters."""
    train: Flat[TrainConfig] = dataclasses.field(default_factory=TrainConfig)
    """The run."""
    reading: Flat[Reading] = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    align: int = 0
    """Align the sessions by so many components, computed from their training trials; 0: as their files say."""
    start_from: Path | None = None
    """Run folder whose best model is trained on, instead of a new one: what the flags say of the architecture does not
    count. Sessions that it does not know get read-ins and read-outs of their own."""
    new_sessions_only: bool = False
    """Train only the read-ins and read-outs of sessions that this model does not know."""
    reset_learning_rate: bool = False
    """Begin anew with the learning rate when a run goes on."""
    samples: int = 64
    """Posterior samples of the averages."""
    figures: bool = True
    """Draw figures."""
    population: Flat[Population] = dataclasses.field(default_factory=Population)
    """Many models at once, and the search of their hyperparameters."""
    tensorboard: bool = False
    """Write scalars, and with figures single trials, for TensorBoard into the run folder's tensorboard/."""
    devices: int | None = None
    """Devices to spread the trials over; by default one GPU, or all cores of a CPU, of which each becomes a device."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Trains, infers, scores and writes."""
        from lfadsx.data.session_alignment import align
        from lfadsx.pipeline import start_from
        from lfadsx.training import RunFolder

        if self.new_sessions_only and self.start_from is None:
            raise LfadsxError(
                "--new-sessions-only is for a model that is trained on. Give its run folder: --start-from RUN."
            )
        is_single = self.population.population == 1
        if is_single:
            self.population.check_single()
        elif self.tensorboard or self.reset_learning_rate:
            raise LfadsxError(
                "--tensorboard and --reset-learning-rate are for a single model, and --population is "
                f"{self.population.population}. Leave them out, or train one model."
            )
        devices = use_devices(self.devices, self.train.batch_size * self.population.population)
        model, train, kind = self.model, self.train, kind_for(self.model.likelihood)
        if self.start_from is not None:
            kind = RunFolder(self.start_from).info.kinds
        data = self.reading.read(self.files, kind, self.train.seed)
        if self.align:
            data = align(data, self.align)
        if self.start_from is not None:
            model, train = start_from(self.start_from, data, train, new_sessions_only=self.new_sessions_only)
        settings: dict[str, Any] = dict(
            n_samples=self.samples, figures=self.figures, devices=devices, as_json=self.json
        )
        if not is_single:
            return self.population.fit_and_report(data, self.out, model, self.hyper, train, **settings)
        settings |= dict(tensorboard=self.tensorboard, reset_learning_rate=self.reset_learning_rate)
        return fit_and_report(data, self.out, model, self.hyper, train, **settings)


@dataclasses.dataclass
class Demo:
    """Simulate spikes of a chaotic network kicked by pulses, and do with them all that `fit` does."""

    out: Path = Path("demo")
    """Run folder to write."""
    epochs: int = 120
    """Number of epochs."""
    seed: int = 0
    """Seed of the simulation, the initial weights and the noise."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Simulates, trains, infers, scores and writes."""
        from lfadsx.data import write_dataset

        model, hyper, train = demo_settings(self.epochs, self.seed)
        devices = use_devices(None, train.batch_size)
        data = demo_data(self.seed)
        code = fit_and_report(data, self.out, model, hyper, train, devices=devices, as_json=self.json)
        if code == DONE and not self.json:
            (file,) = write_dataset(self.out, data)
            say(f"The simulated data are in {file}; train on them, or on a file of yours like it, with")
            say(f"  lfadsx fit {file} --out runs/first")
        return code


def fit_and_report(
    data: Dataset,
    out: Path,
    model: ModelConfig | LFADS,
    hyper: HyperParams,
    train: TrainConfig,
    *,
    n_samples: int = 64,
    figures: bool = True,
    tensorboard: bool = False,
    devices: int = 1,
    as_json: bool = False,
    reset_learning_rate: bool = False,
) -> int:
    """Fits, prints the closing table and returns the exit code."""
    from lfadsx.parallel import make_mesh
    from lfadsx.pipeline import fit_run
    from lfadsx.pipeline.tensorboard import TensorBoard
    from lfadsx.training import AbstractCallback, ProgressBar

    callbacks: list[AbstractCallback] = [ProgressBar()]
    if tensorboard:
        callbacks.append(TensorBoard(out / "tensorboard", data if figures else None))

    trials = ", ".join(f"{split.n_trials} {name}" for name, split in data.splits.items())
    say(f"{trials} trials of {data.train.n_bins} bins, {len(data.sessions)} session(s); run folder {out}.")
    outcome = fit_run(
        data,
        out,
        model=model,
        hyper=hyper,
        train=train,
        mesh=make_mesh(devices) if devices > 1 else None,
        n_samples=n_samples,
        figures=figures,
        callbacks=callbacks,
        reset_learning_rate=reset_learning_rate,
    )
    if outcome.evaluation is None:
        say(f"Stopped and saved after {outcome.result.seconds:.0f} s. Give the same command again to resume.")
        return 128 + outcome.result.signal
    close(outcome, as_json)
    return DONE


def demo_data(seed: int) -> Dataset:
    """Returns the demonstration's data: a chaotic network kicked once per trial, ten neurons held out."""
    from lfadsx.datasets import chaotic_rnn

    return chaotic_rnn(
        conditions=40,
        trials_per_condition=20,
        duration=0.5,
        max_rate=60.0,
        held_out=10,
        valid_fraction=0.1,
        test_fraction=0.1,
        seed=5 + seed,
    )


def demo_settings(epochs: int, seed: int) -> tuple[ModelConfig, HyperParams, TrainConfig]:
    """Returns the demonstration's settings."""
    ramp = max(1, epochs // 5)
    train = TrainConfig(epochs=epochs, kl_ramp_epochs=ramp, l2_ramp_epochs=ramp, patience=epochs, seed=seed)
    return ModelConfig(factors=20, inferred_inputs=1), HyperParams(), train

"""Commands on a trained model: infer, evaluate, generate, parameters, report."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import DONE, report, say, use_devices
from lfadsx.errors import LfadsxError
from lfadsx.files import check_writable

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from lfadsx.training.run_folder import Which


@dataclasses.dataclass(kw_only=True)
class Infer(Command):
    """Infer rates, factors and inputs of a file's trials with a trained model."""

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    file: Path = positional("FILE")
    """HDF5 file with trials of one session of the model, in one split or several."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/FILE_posterior.h5, with --without-inputs
    RUN/FILE_posterior_without_inputs.h5. With --keys tf: a folder; by default RUN."""
    session: str | None = None
    """Session of the model that the trials belong to; by default the one named after the file, or the only one."""
    split: str | None = None
    """Split to infer; by default all splits of the file."""
    which: str = "best"
    """Model of the run: best (by its selection score), last, or the number of a step whose checkpoint is kept."""
    samples: int = 64
    """Posterior samples per trial that are averaged. 0: the posterior means are propagated instead."""
    missing: bool = False
    """Treat NaN in the data as missing entries."""
    keep_samples: bool = False
    """Also write single samples of rates, factors and inputs."""
    controller_states: bool = False
    """Also write the controller's states."""
    encoder_states: bool = False
    """Also write the encoder states that the controller received."""
    without_inputs: bool = False
    """Set the inferred inputs to 0: what the initial condition alone predicts."""
    bounds: bool = False
    """Also write bounds of each trial's log evidence, and print their means."""
    max_trials: int | None = None
    """Infer only the first trials of each split; by default all."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """lfadsx: names of this library. tf: files and keys of the TensorFlow LFADS, always with bounds."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    seed: int = 0
    """Seed of the samples."""
    devices: int | None = None
    """Devices that share the trials. By default one GPU, or all cores of a CPU, each as a device."""

    def run(self) -> int:
        """Infers and writes."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.pipeline import infer_run

        mesh = mesh_of(self.devices)
        name = f"{self.file.stem}_posterior{'_without_inputs' * self.without_inputs}.h5"
        own = self.run_folder if self.keys == "tf" else self.run_folder / name
        outcome = infer_run(
            self.run_folder,
            self.file,
            self.out or own,
            session=self.session,
            split=self.split,
            which=which_of(self.which),
            parts=parts_in(self.parts).values(),
            n_samples=self.samples,
            seed=self.seed,
            missing=self.missing,
            samples=self.keep_samples,
            controller_states=self.controller_states,
            encoder_states=self.encoder_states,
            without_inputs=self.without_inputs,
            bounds=self.bounds,
            max_trials=self.max_trials,
            keys=self.keys,
            mesh=mesh,
        )
        return report(outcome)


@dataclasses.dataclass(kw_only=True)
class Evaluate(Command):
    """Score a trained model on data files, beside its baselines."""

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    files: tuple[Path, ...] = positional("FILE", default=())
    """HDF5 files, one for each session, with training trials; by default the files that the run was trained on."""
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
        from lfadsx.pipeline import evaluate_run
        from lfadsx.training import RunFolder
        from lfadsx.training.recorded_data import data_of_run

        mesh = mesh_of(self.devices)
        if self.files:
            data = self.reading.read(self.files, RunFolder(self.run_folder).info.kinds, self.seed)
        else:
            data = data_of_run(self.run_folder)
        outcome = evaluate_run(
            self.run_folder,
            data,
            split=self.split,
            which=which_of(self.which),
            parts=parts_in(self.parts).values(),
            n_samples=self.samples,
            seed=self.seed,
            mesh=mesh,
        )
        return report(outcome, self.json)


@dataclasses.dataclass(kw_only=True)
class Generate(Command):
    """Generate new trials: rates from initial conditions and inputs that are drawn from their priors."""

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/generated.h5."""
    trials: int = 50
    """Number of trials."""
    bins: int | None = None
    """Bins per trial; by default as in training."""
    session: str | None = None
    """Session whose read-out is used; by default the first."""
    inputs_of: Path | None = None
    """Data file whose known inputs drive the trials, for models with known inputs."""
    draw_data: bool = False
    """Also draw data (for spikes: counts) from the likelihood."""
    which: str = "best"
    """Model of the run: best (by its selection score), last, or the number of a step whose checkpoint is kept."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    seed: int = 0
    """Seed of the draws."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """lfadsx: names of this library. tf: those of the TensorFlow LFADS, in a file model_runs_prior_sample."""

    def run(self) -> int:
        """Generates and writes."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.pipeline import generate_run

        outcome = generate_run(
            self.run_folder,
            self.out or self.run_folder / ("generated.h5" if self.keys == "lfadsx" else "model_runs_prior_sample"),
            n_trials=self.trials,
            n_bins=self.bins,
            session=0 if self.session is None else self.session,
            inputs_of=self.inputs_of,
            draw_data=self.draw_data,
            which=which_of(self.which),
            parts=parts_in(self.parts).values(),
            seed=self.seed,
            keys=self.keys,
        )
        return report(outcome)


@dataclasses.dataclass(kw_only=True)
class Parameters(Command):
    """Write all parameters of a trained model to an HDF5 file."""

    run_folder: Path = positional("RUN")
    """Run folder of the model."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/parameters.h5."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """lfadsx: names of this library. tf: those of the TensorFlow LFADS."""
    which: str = "best"
    """Model of the run: best (by its selection score), last, or the number of a step whose checkpoint is kept."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""

    def run(self) -> int:
        """Writes."""
        from lfadsx.cli.own_parts import parts_in
        from lfadsx.interop import write_parameters
        from lfadsx.training import load

        out = self.out or self.run_folder / "parameters.h5"
        check_writable(out)
        model = load(self.run_folder, which=which_of(self.which), parts=parts_in(self.parts).values())
        names = write_parameters(out, model, keys=self.keys)
        say(f"Wrote {len(names)} arrays to {out}.")
        return DONE


@dataclasses.dataclass(kw_only=True)
class Report(Command):
    """Write the report page of a run, with scores, figures and a browser of trials, and its methods paragraph."""

    run_folder: Path = positional("RUN")
    """Run folder."""

    def run(self) -> int:
        """Writes report.html and report.md, and prints the methods paragraph."""
        from lfadsx.pipeline import report_run

        return report(report_run(self.run_folder))


def mesh_of(devices: int | None) -> Mesh | None:
    """Returns the devices that trials are spread over, or None for a single one; must come before JAX is used.

    By default every core of a CPU gets trials, however few: in inference devices do not wait for each other.

    Args:
        devices: Number of devices; None for one GPU, or for all cores of a CPU.

    Raises:
        LfadsxError: If there are fewer devices, or `devices` is below 1.
    """
    from lfadsx.parallel import make_mesh

    n_devices = use_devices(devices, sys.maxsize)
    return make_mesh(n_devices) if n_devices > 1 else None


def which_of(word: str) -> Which:
    """Returns the model of a run that a word names."""
    if word.isdecimal():
        return int(word)
    if word not in ("best", "last"):
        raise LfadsxError(f"`which` must be best, last or the number of a step, got {word!r}.")
    return word

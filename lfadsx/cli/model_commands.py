"""Commands on a trained model: infer, evaluate, generate, parameters, report."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import DONE, Files, Flat, Run, report, say, use_devices
from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from lfadsx.training.run_folder import Which


@dataclasses.dataclass
class Infer:
    """Infer rates, factors and inputs of a file's trials with a trained model."""

    run_folder: Run
    """Run folder of the model."""
    file: Annotated[Path, tyro.conf.Positional]
    """HDF5 file with trials of one session of the model; one split is enough."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/FILE_posterior.h5. With --keys tf a folder; by default RUN."""
    split: str | None = None
    """Split to infer; by default all that the file holds."""
    which: str = "best"
    """best: the model with the best selection score; last; or the number of a step whose checkpoint is kept."""
    samples: int = 64
    """Posterior samples of the averages; 0 pushes the posterior means through."""
    missing: bool = False
    """NaN in the data means a missing entry."""
    keep_samples: bool = False
    """Write single samples of rates, factors and inputs, too."""
    controller_states: bool = False
    """Write the controller's states, too."""
    encoder_states: bool = False
    """Write what the controller saw of the data, too."""
    bounds: bool = False
    """Write bounds of each trial's evidence, too, and print their means."""
    max_trials: int | None = None
    """Trials of each split to infer, from the first one on; by default all."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """Names of our own, or files and keys of the TensorFlow LFADS, always with bounds."""
    seed: int = 0
    """Seed of the samples."""
    devices: int | None = None
    """Devices to spread the trials over; by default one GPU, or all cores of a CPU, of which each becomes a device."""

    def run(self) -> int:
        """Infers and writes."""
        from lfadsx.pipeline import infer_run

        mesh = mesh_of(self.devices)
        own = self.run_folder if self.keys == "tf" else self.run_folder / f"{self.file.stem}_posterior.h5"
        outcome = infer_run(
            self.run_folder,
            self.file,
            self.out or own,
            split=self.split,
            which=which_of(self.which),
            n_samples=self.samples,
            seed=self.seed,
            missing=self.missing,
            samples=self.keep_samples,
            controller_states=self.controller_states,
            encoder_states=self.encoder_states,
            bounds=self.bounds,
            max_trials=self.max_trials,
            keys=self.keys,
            mesh=mesh,
        )
        return report(outcome)


@dataclasses.dataclass
class Evaluate:
    """Score a trained model on data files, beside its baselines."""

    run_folder: Run
    """Run folder of the model."""
    files: Files
    """HDF5 files, one for each session, with training trials for regressions and alignments."""
    split: Literal["train", "valid", "test"] | None = None
    """Split to score; by default test where there is one, else valid."""
    which: str = "best"
    """best: the model with the best selection score; last; or the number of a step whose checkpoint is kept."""
    samples: int = 64
    """Posterior samples of the averages."""
    reading: Flat[Reading] = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    seed: int = 0
    """Seed of the samples."""
    devices: int | None = None
    """Devices to spread the trials over; by default one GPU, or all cores of a CPU, of which each becomes a device."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Scores and prints."""
        from lfadsx.pipeline import evaluate_run
        from lfadsx.training import RunFolder

        mesh = mesh_of(self.devices)
        data = self.reading.read(self.files, RunFolder(self.run_folder).info.kinds, self.seed)
        outcome = evaluate_run(
            self.run_folder,
            data,
            split=self.split,
            which=which_of(self.which),
            n_samples=self.samples,
            seed=self.seed,
            mesh=mesh,
        )
        return report(outcome, self.json)


@dataclasses.dataclass
class Generate:
    """Generate new trials: initial conditions and inputs drawn from their priors, and the rates that follow."""

    run_folder: Run
    """Run folder of the model."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/generated.h5."""
    trials: int = 50
    """Number of trials."""
    bins: int | None = None
    """Number of bins of each; by default as many as in training."""
    session: str | None = None
    """Name of the session whose read-out is used; by default the first."""
    inputs_of: Path | None = None
    """Data file whose known inputs drive the trials, for a model that needs some."""
    draw_data: bool = False
    """Draw data (for spikes: counts) from the likelihood, too."""
    which: str = "best"
    """best: the model with the best selection score; last; or the number of a step whose checkpoint is kept."""
    seed: int = 0
    """Seed of the draws."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """Names of our own, or those of the TensorFlow LFADS; its file is called model_runs_prior_sample."""

    def run(self) -> int:
        """Generates and writes."""
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
            seed=self.seed,
            keys=self.keys,
        )
        return report(outcome)


@dataclasses.dataclass
class Parameters:
    """Write all parameters of a trained model to an HDF5 file."""

    run_folder: Run
    """Run folder of the model."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/parameters.h5."""
    keys: Literal["lfadsx", "tf"] = "lfadsx"
    """Names of our own, or those of the TensorFlow LFADS."""
    which: str = "best"
    """best: the model with the best selection score; last; or the number of a step whose checkpoint is kept."""

    def run(self) -> int:
        """Writes."""
        from lfadsx.interop import write_parameters
        from lfadsx.training import load

        out = self.out or self.run_folder / "parameters.h5"
        names = write_parameters(out, load(self.run_folder, which=which_of(self.which)), keys=self.keys)
        say(f"Wrote {len(names)} arrays to {out}.")
        return DONE


@dataclasses.dataclass
class Report:
    """Write the methods paragraph of a run: data, split, command, versions, device, seeds, scores."""

    run_folder: Run
    """Run folder."""

    def run(self) -> int:
        """Writes report.md and prints it."""
        from lfadsx.pipeline import report_run

        return report(report_run(self.run_folder))


def mesh_of(devices: int | None) -> Mesh | None:
    """Returns the devices that trials are spread over, or None for a single one; must come before JAX is used.

    By default every core of a CPU gets trials, however few: unlike in training, devices need not wait for each other.

    Args:
        devices: Number of devices; None for one GPU, or for all cores of a CPU.

    Raises:
        LfadsxError: If there are fewer devices, or `devices` is below 1.
    """
    from lfadsx.parallel import make_mesh

    n_devices = use_devices(devices, sys.maxsize)
    return make_mesh(n_devices) if n_devices > 1 else None


def which_of(word: str) -> Which:
    """Returns which model of a run is meant."""
    if word.isdecimal():
        return int(word)
    if word not in ("best", "last"):
        raise LfadsxError(f"--which is {word!r}. Give best, last, or the number of a step.")
    return word

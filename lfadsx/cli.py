"""The command line `lfadsx`: the standard jobs on data files."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json as json_module
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax

from lfadsx.config import HyperParams, ModelConfig, TrainConfig

if TYPE_CHECKING:
    from lfadsx.types import Dataset
    from lfadsx.workflow import Outcome

try:
    import tyro
except ImportError:  # the command then says which extra brings it
    sys.exit('The command lfadsx needs the package tyro. Install it with: pip install "lfadsx[cli]"')

DONE, OURS, USER = 0, 1, 2
Flat = tyro.conf.OmitArgPrefixes
Files = Annotated[tuple[Path, ...], tyro.conf.Positional]


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
    bin_width: float | None = None
    """Width of a bin in seconds, for files that do not say it."""
    behaviour_lag: float | None = None
    """Behaviour at time t + lag belongs to rates at t, in seconds."""
    missing: bool = False
    """NaN in the data means a missing entry."""
    samples: int = 64
    """Posterior samples of the averages."""
    figures: bool = True
    """Draw figures."""
    devices: int = 1
    """Devices to spread the trials over; on a CPU as many are made."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Trains, infers, scores and writes."""
        from lfadsx.data import read

        use_devices(self.devices)
        data = read(
            *self.files,
            bin_width=self.bin_width,
            behaviour_lag=self.behaviour_lag,
            likelihood=self.model.likelihood,
            missing=self.missing,
            seed=self.train.seed,
        )
        return fit_and_report(
            data,
            self.out,
            self.model,
            self.hyper,
            self.train,
            self.samples,
            self.figures,
            self.devices,
            self.json,
        )


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

        data = demo_data(self.seed)
        model, hyper, train = demo_settings(self.epochs, self.seed)
        code = fit_and_report(data, self.out, model, hyper, train, 64, True, 1, self.json)
        if code == DONE and not self.json:
            (file,) = write_dataset(self.out, data)
            say(f"The simulated data are in {file}; train on them, or on a file of yours like it, with")
            say(f"  lfadsx fit {file} --out runs/first")
        return code


@dataclasses.dataclass
class Infer:
    """Infer rates, factors and inputs of a file's trials with a trained model."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of the model."""
    file: Annotated[Path, tyro.conf.Positional]
    """HDF5 file with trials of one session of the model; one split is enough."""
    out: Path | None = None
    """HDF5 file to write; by default RUN/FILE_posterior.h5."""
    split: str | None = None
    """Split to infer; by default all that the file holds."""
    which: Literal["best", "last"] = "best"
    """The model with the best selection score, or the last one."""
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
    seed: int = 0
    """Seed of the samples."""

    def run(self) -> int:
        """Infers and writes."""
        from lfadsx.workflow import infer_run

        out = self.out or self.run_folder / f"{self.file.stem}_posterior.h5"
        outcome = infer_run(
            self.run_folder,
            self.file,
            out,
            split=self.split,
            which=self.which,
            n_samples=self.samples,
            seed=self.seed,
            missing=self.missing,
            samples=self.keep_samples,
            controller_states=self.controller_states,
            encoder_states=self.encoder_states,
        )
        say(f"Wrote {outcome.files[0]} in {outcome.seconds:.0f} s.")
        return DONE


@dataclasses.dataclass
class Evaluate:
    """Score a trained model on data files, beside its baselines."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of the model."""
    files: Files
    """HDF5 files, one for each session, with training trials for regressions and alignments."""
    split: Literal["train", "valid", "test"] | None = None
    """Split to score; by default test where there is one, else valid."""
    which: Literal["best", "last"] = "best"
    """The model with the best selection score, or the last one."""
    samples: int = 64
    """Posterior samples of the averages."""
    bin_width: float | None = None
    """Width of a bin in seconds, for files that do not say it."""
    behaviour_lag: float | None = None
    """Behaviour at time t + lag belongs to rates at t, in seconds."""
    missing: bool = False
    """NaN in the data means a missing entry."""
    seed: int = 0
    """Seed of the samples."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Scores and prints."""
        from lfadsx.data import read
        from lfadsx.training import load
        from lfadsx.workflow import evaluate_run, likelihood_name

        data = read(
            *self.files,
            bin_width=self.bin_width,
            behaviour_lag=self.behaviour_lag,
            likelihood=likelihood_name(load(self.run_folder, which=self.which)),
            missing=self.missing,
            seed=self.seed,
        )
        outcome = evaluate_run(
            self.run_folder, data, split=self.split, which=self.which, n_samples=self.samples, seed=self.seed
        )
        close(outcome, self.json)
        return DONE


@dataclasses.dataclass
class Report:
    """Write the methods paragraph of a run: data, split, command, versions, device, seeds, scores."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder."""

    def run(self) -> int:
        """Writes report.md and prints it."""
        from lfadsx.report import methods, write_report

        sys.stdout.write(methods(self.run_folder) + "\n")
        say(f"Wrote {write_report(self.run_folder)}.")
        return DONE


@dataclasses.dataclass
class Simulate:
    """Simulate spikes whose true rates are known: lfadsx simulate NAME --out PATH.

    Each data set has the settings of its original, and a flag for every one; `all` makes all of them.
    """

    # The flags of `simulations` fill these in; they are none themselves.
    names: tyro.conf.Suppress[tuple[str, ...]] = ()
    """Data sets to simulate."""
    out: tyro.conf.Suppress[Path] = Path()
    """File to write (.h5), or a folder."""
    changes: tyro.conf.Suppress[dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Settings other than the defaults."""

    def run(self) -> int:
        """Simulates, writes, and prints what was written and how to train on it."""
        from lfadsx.data import RECIPES, simulate

        if len(self.names) > 1 and self.out.suffix in (".h5", ".hdf5"):
            raise ValueError(f"{str(self.out)!r} is one file for {len(self.names)} data sets. Name a folder.")
        for name in self.names:
            known = {field.name for field in dataclasses.fields(RECIPES[name])}
            changes = {setting: value for setting, value in self.changes.items() if setting in known}
            files = simulate(name, self.out, **changes)
            flags = [describe_file(file) for file in files]
            say(f"  lfadsx fit {' '.join(map(str, files))} --out runs/{name}{flags[0]}")
        return DONE


def simulations() -> dict[str, Callable[..., Simulate]]:
    """Returns the commands of `lfadsx simulate`, whose arguments are the settings of each recipe."""
    from lfadsx.data import RECIPES
    from lfadsx.data.synthetic.recipe import AbstractRecipe, SplitBy
    from lfadsx.data.synthetic.table import TITLES

    where = Annotated[Path, tyro.conf.arg(help="File to write (.h5), or a folder; several files need a folder.")]
    settings = tyro.conf.arg(help="Settings of the simulation, by default those of the original.")

    def command_for(name: str, default: AbstractRecipe) -> Callable[..., Simulate]:
        def command(out: Path, recipe: AbstractRecipe = default) -> Simulate:
            return Simulate((name,), out, {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)})

        # Tyro makes flags out of the annotations, so these name the class of the recipe.
        command.__annotations__ = {"out": where, "recipe": Annotated[Flat[type(default)], settings]}
        command.__doc__ = TITLES[name]
        return command

    def everything(out: Path, split: SplitBy = "trials") -> Simulate:
        """All data sets with the settings of their originals."""
        return Simulate(tuple(RECIPES), out, {"split": split})

    everything.__annotations__ = {
        "out": Annotated[Path, tyro.conf.arg(help="Folder to write to.")],
        "split": Annotated[SplitBy, tyro.conf.arg(help="conditions: some whole conditions are kept apart as a test.")],
    }
    return {name: command_for(name, recipe) for name, recipe in RECIPES.items()} | {"all": everything}


COMMANDS = {
    "simulate": Simulate,
    "demo": Demo,
    "fit": Fit,
    "infer": Infer,
    "evaluate": Evaluate,
    "report": Report,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: done; 2: something that the user can mend; 1: a fault of ours. A run that Ctrl-C or SIGTERM has stopped ends
    with 128 plus the signal's number, as shells expect.

    Args:
        arguments: Words after `lfadsx`; by default those of the process.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("lfadsx").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", module="orbax")
    use_compilation_cache()
    try:
        return parse(sys.argv[1:] if arguments is None else list(arguments)).run()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        say("Stopped.")
        return 128 + signal.SIGINT
    except (ValueError, TypeError, OSError, ImportError) as error:
        if not is_users(error):
            return fault()
        say(f"{error}")
        return USER
    except Exception:
        return fault()


def parse(words: list[str]) -> Any:
    """Returns the command that the words of a command line ask for."""
    commands, prog = COMMANDS, "lfadsx"
    description = "LFADS: single-trial dynamics, inputs and denoised rates of neural recordings."
    if words[:1] == ["simulate"]:  # the names of data sets are commands of their own, each with its flags
        commands, prog, words, description = simulations(), "lfadsx simulate", words[1:], inspect.getdoc(Simulate)
    config = (tyro.conf.FlagCreatePairsOff,)
    return tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=description, args=words, config=config)


def describe_file(file: Path) -> str:
    """Prints what a simulated file holds and returns the flags that `fit` needs for it."""
    from lfadsx.data.files import open_to_read, read_array

    with open_to_read(file) as content:
        keys = {name: f"{name}_data" for name in ("train", "valid", "test") if f"{name}_data" in content}
        data = {name: read_array(content, key, key) for name, key in keys.items()}
        known = "train_ext_input" in content
    trials = ", ".join(f"{len(values)} {name}" for name, values in data.items())
    _, n_bins, n_neurons = data["train"].shape
    are_counts, mean = data["train"].dtype.kind in "iu", data["train"].mean()
    average = f"{mean:.3g} spikes per bin on average" if are_counts else f"{mean:.3g} on average"
    say(f"Wrote {file}: {trials} trials of {n_bins} bins, {n_neurons} neurons, {average}.")
    return ("" if are_counts else " --likelihood gaussian") + (" --variant external_input" if known else "")


def fit_and_report(
    data: Dataset,
    out: Path,
    model: ModelConfig,
    hyper: HyperParams,
    train: TrainConfig,
    n_samples: int,
    figures: bool,
    devices: int,
    as_json: bool,
) -> int:
    """Fits, prints the closing table and returns the exit code."""
    from lfadsx.training import ProgressBar, make_mesh
    from lfadsx.workflow import fit_run

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
        callbacks=[ProgressBar()],
    )
    if outcome.evaluation is None:
        say(f"Stopped and saved after {outcome.result.seconds:.0f} s. Give the same command again to resume.")
        return 128 + outcome.result.signal
    close(outcome, as_json)
    return DONE


def close(outcome: Outcome, as_json: bool) -> None:
    """Prints warnings, the closing table, the files, and the JSON line if asked."""
    from lfadsx.evaluation import format_table

    for warning in outcome.warnings:
        say(warning)
    text = format_table(outcome.evaluation.table)
    (sys.stderr if as_json else sys.stdout).write(f"\n{outcome.evaluation.scores['split']} trials\n{text}\n")
    if outcome.files:
        say("Wrote " + ", ".join(str(file) for file in outcome.files))
    if as_json:
        scores = outcome.evaluation.scores | {"seconds": round(outcome.seconds, 2)}
        sys.stdout.write(json_module.dumps(scores) + "\n")


def demo_data(seed: int) -> Dataset:
    """Returns the demonstration's data: a chaotic network kicked once per trial, ten neurons held out."""
    from lfadsx.data import chaotic_rnn

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


def use_devices(n: int) -> None:
    """Makes as many host devices on a CPU; must come before JAX has looked for devices."""
    if n < 1:
        raise ValueError(f"devices = {n} is no number of devices. Give at least 1.")
    if n > 1:
        with contextlib.suppress(RuntimeError):  # devices exist already; make_mesh says if they are too few
            jax.config.update("jax_num_cpu_devices", n)


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, so that a second run starts at once."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(base) / "lfadsx" / "compiled"))


def is_users(error: BaseException) -> bool:
    """Returns whether an error was raised by our own checks, hence is the user's to mend."""
    if isinstance(error, OSError):
        return True
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
    return module.split(".")[0] == "lfadsx" or module == __name__  # "__main__" under python -m


def fault() -> int:
    """Prints the traceback of a fault of ours and returns its exit code."""
    traceback.print_exc()
    say("This is a fault of lfadsx, not yours. Please report it with the lines above; the run folder is as it was.")
    return OURS


def say(text: str) -> None:
    """Writes a line for the reader; results alone go to the standard output."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())

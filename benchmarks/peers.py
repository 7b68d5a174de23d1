"""Latents of simulated data by other programs, to compare with LFADS in `benchmarks.accuracy`.

    python -m benchmarks.peers gpfa FILE --out gpfa.h5 --components 3
    python -m benchmarks.peers lfads_torch FILE --repository CLONE --out torch.h5

Fits on the training trials of a file of `lfadsx simulate` and writes the latents of all its trials, which
`python -m benchmarks.accuracy lorenz --latents gpfa.h5 torch.h5` scores. Nothing of lfadsx is imported, so that each
program can run in a separate environment, with numpy and h5py.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.changes import changed
from benchmarks.gpfa import fit_gpfa
from benchmarks.torch_lfads import SAMPLES, SETTINGS, factors_of, fit_lfads_torch, load, version_of

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Latents:
    """Latents that a program has inferred.

    Attributes:
        program: Its name, with the settings that distinguish its runs.
        version: Its version.
        settings: Its settings, by name.
        seconds: Time of fitting.
        latents: By split, shape (trial, time, latent).
    """

    program: str
    version: str
    settings: dict[str, Any]
    seconds: float
    latents: dict[str, np.ndarray]


def main(arguments: list[str] | None = None) -> None:
    """Runs a program on a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs = parser.add_subparsers(dest="program", required=True)
    gpfa = programs.add_parser("gpfa", help="Gaussian-process factor analysis of elephant")
    gpfa.add_argument("--components", type=int, default=3, help="number of processes; 3 by default")
    gpfa.add_argument("--iterations", type=int, default=100, help="steps of expectation maximisation")
    torch = programs.add_parser("lfads_torch", help="LFADS of lfads-torch")
    torch.add_argument("--repository", type=Path, required=True, help="clone of lfads-torch")
    torch.add_argument("--epochs", type=int, default=1000, help="number of epochs at most")
    torch.add_argument("--seed", type=int, default=0, help="seed of model and training")
    changes = "settings other than those of benchmarks/torch_lfads.py, by name"
    torch.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help=changes)
    for one in (gpfa, torch):
        one.add_argument("file", type=Path, help="HDF5 file of `lfadsx simulate`")
        one.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    options = parser.parse_args(arguments)
    try:
        counts, bin_width = read_counts(options.file)
        if options.program == "gpfa":
            found = by_gpfa(counts, bin_width, options.components, options.iterations)
        else:
            settings = changed(SETTINGS, options.set)
            found = by_lfads_torch(counts, options.repository, options.epochs, options.seed, settings)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    write_latents(options.out, found)
    print(f"{found.program}, {found.version}: {found.seconds:.0f} s of fitting, latents in {options.out}")


def by_gpfa(counts: dict[str, np.ndarray], bin_width: float, n_components: int, n_iterations: int = 100) -> Latents:
    """Latents of GPFA: posterior means of its processes.

    Args:
        counts: Counts by split, shape (trial, time, neuron); fitted to "train".
        bin_width: In seconds.
        n_components: Number of processes.
        n_iterations: Steps of expectation maximisation.
    """
    began = time.monotonic()
    fitted = fit_gpfa(counts["train"], bin_width=bin_width, n_components=n_components, n_iterations=n_iterations)
    seconds = time.monotonic() - began
    latents = {name: fitted.latents(values) for name, values in counts.items()}
    settings = {"components": n_components, "iterations": n_iterations}
    return Latents(f"GPFA, {n_components} components", f"elephant {version('elephant')}", settings, seconds, latents)


def by_lfads_torch(
    counts: dict[str, np.ndarray], repository: Path, epochs: int, seed: int, settings: dict[str, Any]
) -> Latents:
    """Latents of lfads-torch: factors, the mean over posterior samples.

    Args:
        counts: Counts by split, shape (trial, time, neuron); fitted to "train", chosen by "valid".
        repository: Clone of lfads-torch.
        epochs: Number of epochs at most.
        seed: Seed of model and training.
        settings: As `benchmarks.torch_lfads.SETTINGS`.
    """
    if "valid" not in counts:
        raise ValueError("The file has no 'valid_data', by which lfads-torch chooses its model. Add validation trials.")
    library = load(repository)
    began = time.monotonic()
    model = fit_lfads_torch(library, counts["train"], counts["valid"], epochs=epochs, seed=seed, settings=settings)
    seconds = time.monotonic() - began
    latents = {name: factors_of(library, model, values) for name, values in counts.items()}
    settings = settings | {"epochs": epochs, "seed": seed, "posterior_samples": SAMPLES}
    return Latents(f"lfads-torch, seed {seed}", version_of(repository), settings, seconds, latents)


def read_counts(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Reads counts of each split that a file has, shape (trial, time, neuron), and the bin width in seconds.

    Raises:
        ValueError: The file is not a simulated file with training trials.
    """
    with h5py.File(path) as file:
        if "train_data" not in file or "bin_width_s" not in file.attrs:
            raise ValueError(
                f"{path.name!r} lacks 'train_data' or the attribute 'bin_width_s'. Give a file of `lfadsx simulate`."
            )
        counts = {name: file[f"{name}_data"][:] for name in SPLITS if f"{name}_data" in file}
        return counts, float(file.attrs["bin_width_s"])


def write_latents(path: Path, found: Latents) -> None:
    """Writes an array `{split}_latents` for each split, and all other fields as attributes of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in found.latents.items():
            file.create_dataset(f"{name}_latents", data=values.astype(np.float32), compression="gzip")
        facts = {"program": found.program, "version": found.version, "settings": json.dumps(found.settings)}
        file.attrs.update(facts | {"seconds": found.seconds})


def read_latents(path: Path, sizes: Mapping[str, tuple[int, int]]) -> Latents:
    """Reads the latents of a program and checks their numbers of trials and bins.

    Args:
        path: A file of `write_latents`.
        sizes: Numbers of trials and bins of each split that is asked for, by its name.

    Raises:
        ValueError: The file was not written by `write_latents`, a split is missing, or trials or bins differ.
    """
    with h5py.File(path) as file:
        if "program" not in file.attrs:
            raise ValueError(f"{path.name!r} does not say which program made it. Give a file of `benchmarks.peers`.")
        latents = {name: file[f"{name}_latents"][:] for name in sizes if f"{name}_latents" in file}
        facts = dict(file.attrs)
    for name, (n_trials, n_bins) in sizes.items():
        if name not in latents:
            raise ValueError(f"{path.name!r} has no '{name}_latents'. Infer the {name} trials of the data too.")
        if latents[name].shape[:2] != (n_trials, n_bins):
            trials, bins = latents[name].shape[:2]
            raise ValueError(
                f"{path.name!r} has {trials} {name} trials of {bins} bins, and the data {n_trials} of {n_bins}. "
                "Infer the latents from the same file as the benchmark's."
            )
    settings = json.loads(facts["settings"])
    return Latents(str(facts["program"]), str(facts["version"]), settings, float(facts["seconds"]), latents)


if __name__ == "__main__":
    main()

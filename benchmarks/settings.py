"""Settings of the accuracy benchmarks, taken from the example scripts so that both agree."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from example_tools.quick_settings import shorter

import lfadsx
from benchmarks.changes import changed
from lfadsx.cli.reading_flags import kind_for
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset

EXAMPLES = Path(__file__).parents[1] / "examples"

SCRIPTS = {
    "integrator_rnn": "jax_tutorial",
    # How much input does the model that finds pulses infer without any pulses?
    "chaotic_rnn_no_inputs_controller": "chaotic_rnn_inputs_g1p5",
    # Is a session that is added later modelled as well as a session of the first training?
    "chaotic_rnn_multisession_new_session": "chaotic_rnn_multisession",
    # Does the model learn the attractor, or each of its 65 trajectories?
    "lorenz_conditions": "lorenz",
}
"""Examples whose names differ from the benchmark's."""

RECIPES = {"chaotic_rnn_no_inputs_controller": "chaotic_rnn_no_inputs"}
"""Data of benchmarks that differ from their example's data."""

ELSEWHERE = ("seed", "epochs")
"""Settings that have their own options in the benchmark."""

CHANGES = {"lorenz_conditions": {"split": "conditions"}}
"""Settings of the simulation other than their example's."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Model, training and data of a benchmark.

    Attributes:
        recipe: Name of the simulation.
        changes: Settings of the simulation other than its defaults.
        model: Architecture.
        hyper: Hyperparameters.
        train: The run.
    """

    recipe: str
    changes: dict
    model: ModelConfig
    hyper: HyperParams
    train: TrainConfig


def settings_of(name: str, epochs: int | None = None) -> Settings:
    """Returns the settings of a benchmark, taken from its example.

    Args:
        name: Name of the benchmark.
        epochs: Number of epochs, other than the example's; ramps keep their share.

    Raises:
        ValueError: If there is no such benchmark.
    """
    example = _load(SCRIPTS.get(name, name))
    train = example.TRAIN if epochs is None else shorter(example.TRAIN, epochs)
    recipe = RECIPES.get(name, example.NAME)
    changes = example.DATA | CHANGES.get(name, {})
    return Settings(recipe, changes, example.MODEL, example.HYPER, train)


def with_changes(settings: Settings, changes: Sequence[str]) -> Settings:
    """Returns settings with some of the model's, the hyperparameters' or the training's set by "name=value".

    Raises:
        ValueError: The setting is unknown, or its value has a wrong type or is out of range.
    """
    parts = {name: getattr(settings, name) for name in ("model", "hyper", "train")}
    values = {name: value for part in parts.values() for name, value in vars(part).items() if name not in ELSEWHERE}
    found = changed(values, changes)
    new = {
        kind: dataclasses.replace(part, **{name: found[name] for name in vars(part) if name in found})
        for kind, part in parts.items()
    }
    new["hyper"].check()
    return dataclasses.replace(settings, **new)


def simulated(settings: Settings, folder: Path, seed: int | None = None) -> tuple[list[Path], Dataset]:
    """Simulates the data unless the files are there, and reads them.

    Args:
        settings: Settings of the benchmark.
        folder: Where the files go, one folder for each data seed.
        seed: Seed of the data; the original's when None.
    """
    changes = settings.changes | ({} if seed is None else {"seed": seed})
    folder = folder / ("data" if seed is None else f"data_seed{seed}")
    if not folder.exists():
        # Under a temporary name until all sessions are written, so that an incomplete folder is never read.
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        lfadsx.datasets.simulate(settings.recipe, unfinished, **changes)
        unfinished.rename(folder)
    files = sorted(folder.glob("*.h5"))
    return files, lfadsx.data.read(*files, kind=kind_for(settings.model.likelihood))


def _load(name: str) -> ModuleType:
    path = EXAMPLES / f"{name}.py"
    if not path.exists():
        names = sorted(file.stem for file in EXAMPLES.glob("*.py"))
        raise ValueError(f"There is no example {name!r}. Give one of {', '.join(names)}.")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

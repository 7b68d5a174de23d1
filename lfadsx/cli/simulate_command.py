"""The command that simulates: lfadsx simulate NAME."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from lfadsx.cli.command_flags import Command, hidden, positional
from lfadsx.cli.terminal import DONE, say
from lfadsx.datasets import RECIPES
from lfadsx.datasets.named_datasets import TITLES
from lfadsx.datasets.recipe import AbstractRecipe, SplitBy
from lfadsx.errors import LfadsxError, nearest

ALL = "all"


@dataclasses.dataclass(kw_only=True)
class Simulate(Command):
    """Simulate spikes whose true rates are known.

    Each data set has the settings of its original and a flag for each of them:
    """

    name: str = positional("NAME")
    """Data set to simulate; its own flags are listed by: lfadsx simulate NAME --help."""
    out: Path
    """File to write (.h5), or a folder; several files need a folder."""

    choices = {**TITLES, ALL: "All of these."}
    examples = ("lfadsx simulate lorenz --out data/lorenz.h5", "lfadsx simulate lorenz --help")

    @classmethod
    def chosen(cls, prog: str, words: list[str]) -> tuple[type[Command], str, list[str]]:
        """Returns the command of the data set that is named first."""
        if not words or words[0].startswith("-"):
            return cls, prog, words
        name, *others = words
        if name != ALL and name not in RECIPES:
            known = [*RECIPES, ALL]
            raise LfadsxError(f"`{name}` is not a data set{nearest(name, known)}. {prog} --help lists them.")
        return (SimulateAll if name == ALL else _command(name, RECIPES[name])), f"{prog} {name}", others


@dataclasses.dataclass(kw_only=True)
class SimulateOne(Command):
    """One data set."""

    name: ClassVar[str]
    recipe: AbstractRecipe = hidden(kw_only=True)
    out: Path
    """File to write (.h5), or a folder; several files need a folder."""

    def run(self) -> int:
        """Simulates, writes, and prints what was written and how to train on it."""
        settings = {field.name: getattr(self.recipe, field.name) for field in dataclasses.fields(self.recipe)}
        _write(self.name, self.out, settings)
        return DONE


@dataclasses.dataclass(kw_only=True)
class SimulateAll(Command):
    """All data sets with the settings of their originals."""

    out: Path
    """Folder to write to."""
    split: SplitBy = "trials"
    """trials: train and valid share conditions. conditions: some whole conditions are the test split."""

    def run(self) -> int:
        """Simulates, writes, and prints what was written and how to train on it."""
        if self.out.suffix in (".h5", ".hdf5"):
            raise LfadsxError(f"`out` must be a folder for {len(RECIPES)} data sets, got the file {self.out}.")
        for name, recipe in RECIPES.items():
            _write(name, self.out, {"split": self.split} if hasattr(recipe, "split") else {})
        return DONE


def _command(name: str, recipe: AbstractRecipe) -> type[Command]:
    """Returns the command of a data set, with the settings of its recipe as flags."""
    fields: list[Any] = [("recipe", type(recipe), dataclasses.field(default=recipe, kw_only=True))]
    names = {"__doc__": TITLES[name], "name": name}
    return dataclasses.make_dataclass("SimulateOne", fields, bases=(SimulateOne,), namespace=names)


def _write(name: str, out: Path, settings: dict[str, Any]) -> None:
    from lfadsx.datasets import simulate

    files = simulate(name, out, **settings)
    flags = [describe_file(file) for file in files]
    say(f"  lfadsx fit {' '.join(map(str, files))} --out runs/{name}{flags[0]}")


def describe_file(file: Path) -> str:
    """Prints what a simulated file holds and returns the flags that `fit` needs for it."""
    from lfadsx.data.hdf5_files import open_to_read, read_array

    with open_to_read(file) as content:
        keys = [f"{name}_{kind}" for kind in ("recon_data", "data") for name in ("train", "valid", "test")]
        data = {key.split("_")[0]: read_array(content, key, key) for key in keys if key in content}
        known = "train_ext_input" in content
    trials = ", ".join(f"{len(values)} {name}" for name, values in data.items())
    _, n_bins, n_neurons = data["train"].shape
    are_counts, mean = data["train"].dtype.kind in "iu", data["train"].mean()
    average = f"{mean:.3g} spikes per bin on average" if are_counts else f"{mean:.3g} on average"
    say(f"Wrote {file}: {trials} trials of {n_bins} bins, {n_neurons} neurons, {average}.")
    return ("" if are_counts else " --likelihood gaussian") + (" --variant external_input" if known else "")

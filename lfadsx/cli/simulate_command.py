"""The command that simulates: lfadsx simulate NAME."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from lfadsx.cli.terminal import DONE, Flat, say
from lfadsx.errors import LfadsxError


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
        from lfadsx.datasets import RECIPES, simulate

        if len(self.names) > 1 and self.out.suffix in (".h5", ".hdf5"):
            raise LfadsxError(f"{str(self.out)!r} is one file for {len(self.names)} data sets. Name a folder.")
        for name in self.names:
            known = {field.name for field in dataclasses.fields(RECIPES[name])}
            changes = {setting: value for setting, value in self.changes.items() if setting in known}
            files = simulate(name, self.out, **changes)
            flags = [describe_file(file) for file in files]
            say(f"  lfadsx fit {' '.join(map(str, files))} --out runs/{name}{flags[0]}")
        return DONE


def simulations() -> dict[str, Callable[..., Simulate]]:
    """Returns the commands of `lfadsx simulate`, whose arguments are the settings of each recipe."""
    from lfadsx.datasets import RECIPES
    from lfadsx.datasets.named_datasets import TITLES
    from lfadsx.datasets.recipe import AbstractRecipe, SplitBy

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


def describe_file(file: Path) -> str:
    """Prints what a simulated file holds and returns the flags that `fit` needs for it."""
    from lfadsx.data.hdf5_files import open_to_read, read_array

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

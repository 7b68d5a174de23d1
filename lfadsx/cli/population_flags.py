"""The flags of a population and of its search."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lfadsx.config import PopulationConfig
from lfadsx.errors import LfadsxError, nearest

if TYPE_CHECKING:
    from lfadsx.search import AbstractStrategy, Space


@dataclasses.dataclass(frozen=True)
class Population(PopulationConfig):
    """A population of models in one program."""

    population: int = 1
    """Models that are trained side by side. 1: a single model, without a search."""
    search: Literal["pbt", "random", "ensemble"] | None = None
    """Search of the hyperparameters: population-based training (AutoLFADS; the default), random values, or the same
    values with other seeds."""
    space: str = "default"
    """Hyperparameters that pbt and random search: default, autolfads, or a JSON file (docs/how_to/populations.md)."""
    halvings: int = 0
    """Random search: number of times that the worse half of the models stops."""

    def strategy(self) -> AbstractStrategy:
        """Returns the search that the flags ask for.

        Raises:
            LfadsxError: If the space is unknown, or a flag belongs to another search.
        """
        from lfadsx.search import PBT, Ensemble, RandomSearch

        if self.halvings and self.search != "random":
            raise LfadsxError(f"`--halvings` needs --search random, got --search {self.kind}. Leave it out.")
        if self.kind == "ensemble":
            if self.space != "default":
                raise LfadsxError("`--space` needs --search pbt or random, got --search ensemble. Leave it out.")
            return Ensemble()
        if self.kind == "pbt" and self.space == "autolfads":
            return PBT.autolfads()
        space = _space(self.space)
        return PBT(space) if self.kind == "pbt" else RandomSearch(space, halvings=self.halvings)

    @property
    def sizes(self) -> PopulationConfig:
        """The settings of the population without those of the search."""
        return PopulationConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(PopulationConfig)})

    @property
    def kind(self) -> str:
        """Name of the search."""
        return self.search or "pbt"

    def check_single(self) -> None:
        """Raises LfadsxError if a flag of a population is given and a single model is to be trained."""
        given = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise LfadsxError(
                f"{flags} need a population, got a single model. Add --population 8, for example, or leave them out."
            )


def _space(name: str) -> Space:
    """The space of a preset's name or of a file."""
    from lfadsx.search import Space

    presets = {"default": Space.default, "autolfads": Space.autolfads}
    if name in presets:
        return presets[name]()
    if not Path(name).exists():
        raise LfadsxError(
            f"`--space` must be {', '.join(presets)} or the path of a JSON file, got {name!r}{nearest(name, presets)}."
        )
    return Space.from_json(name)

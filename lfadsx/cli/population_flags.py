"""The flags of a population, and what the command prints of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lfadsx.cli.terminal import DONE, close, say
from lfadsx.config import HyperParams, ModelConfig, PopulationConfig, TrainConfig
from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset
    from lfadsx.models.lfads import LFADS
    from lfadsx.search import AbstractStrategy, Space


@dataclasses.dataclass(frozen=True)
class Population(PopulationConfig):
    """A population of models in one program."""

    population: int = 1
    """Number of models that are trained side by side; 1: a single one, without a search."""
    search: Literal["pbt", "random", "ensemble"] | None = None
    """Population-based training (AutoLFADS; what None means), random hyperparameters, or the same ones with other
    seeds."""
    space: str = "default"
    """What pbt and random search: "default", "autolfads", or a JSON file (docs/populations.md)."""
    halvings: int = 0
    """Random search: generations after which the worse half of the models stops."""

    def strategy(self) -> AbstractStrategy:
        """Returns the search that the flags ask for.

        Raises:
            LfadsxError: If the space is none, or a flag is for another search.
        """
        from lfadsx.search import PBT, Ensemble, RandomSearch

        if self.halvings and self.search != "random":
            raise LfadsxError(f"--halvings is for --search random, not for {self.kind}. Leave it out.")
        if self.kind == "ensemble":
            if self.space != "default":
                raise LfadsxError("--space is for --search pbt and random; seeds alone search nothing. Leave it out.")
            return Ensemble()
        if self.kind == "pbt" and self.space == "autolfads":
            return PBT.autolfads()
        space = _space(self.space)
        return PBT(space) if self.kind == "pbt" else RandomSearch(space, halvings=self.halvings)

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
                f"{flags}: for a population, and there is a single model. Add --population 8, say, or leave them out."
            )

    def fit_and_report(
        self,
        data: Dataset,
        out: Path,
        model: ModelConfig | LFADS,
        hyper: HyperParams,
        train: TrainConfig,
        *,
        n_samples: int,
        figures: bool,
        devices: int,
        as_json: bool,
    ) -> int:
        """Trains the population, prints the closing table and returns the exit code."""
        from lfadsx.pipeline import Outcome, population_run
        from lfadsx.training import GenerationTable, make_mesh
        from lfadsx.training.run_folder import BEST_MEMBER

        config = PopulationConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(PopulationConfig)})
        trials = ", ".join(f"{split.n_trials} {name}" for name, split in data.splits.items())
        say(f"{trials} trials of {data.train.n_bins} bins; {config.population} models, search {self.kind}; {out}.")
        # As many devices as possible see to members of their own, which need not wait for each other.
        mesh = make_mesh(devices, members=math.gcd(config.population, devices)) if devices > 1 else None
        outcome = population_run(
            data,
            out,
            strategy=self.strategy(),
            population=config,
            model=model,
            hyper=hyper,
            train=train,
            mesh=mesh,
            n_samples=n_samples,
            figures=figures,
            callbacks=[GenerationTable()],
        )
        best, ensemble = outcome.best, outcome.ensemble
        if best is None or best.evaluation is None or ensemble is None:
            say(f"Stopped and saved after {outcome.result.seconds:.0f} s. Give the same command again to resume.")
            return 128 + outcome.result.signal
        shown = dataclasses.replace(ensemble, scores=best.evaluation.scores | {"ensemble": ensemble.scores})
        files, warnings = best.files + outcome.files, best.warnings + outcome.warnings
        close(Outcome(shown, None, files, warnings, outcome.seconds), as_json)
        say(f"The best member, {outcome.result.ranking[0]}, is the run {out / BEST_MEMBER}.")
        return DONE


def _space(name: str) -> Space:
    """The space of a preset's name or of a file."""
    from lfadsx.search import Space

    presets = {"default": Space.default, "autolfads": Space.autolfads}
    if name in presets:
        return presets[name]()
    if not Path(name).exists():
        raise LfadsxError(f"--space {name} is neither {' nor '.join(presets)} nor a file. Give one of them.")
    return Space.from_json(name)

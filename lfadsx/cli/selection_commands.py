"""Commands that choose and test models: sweep, cv, controls."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from lfadsx.cli.command_flags import hidden
from lfadsx.cli.terminal import report
from lfadsx.cli.training_flags import Training
from lfadsx.config import HyperParams
from lfadsx.files import check_writable


@dataclasses.dataclass(kw_only=True)
class Sweep(Training):
    """Train a grid of models, and choose the simplest one that predicts hidden validation data as well as the best.

    Sizes, names of parts and hyperparameters take lists such as 4,8,16. The chosen model is the run folder OUT/chosen.
    The same command resumes an interrupted sweep. docs/how_to/choosing_sizes.md explains the choice.
    """

    lists = ("model", "hyper")
    common = (
        *(
            "files",
            "out",
            "factors",
            "generator_dim",
            "inferred_inputs",
            "likelihood",
            "cd_rate",
            "kl_co_scale",
            "seeds",
            "choose_by",
        ),
        *("learning_rate", "epochs", "figures", "devices", "seed", "set", "json"),
    )
    examples = (
        "lfadsx sweep day1.h5 --out runs/sizes --factors 8,16,32 --cd-rate 0.2,0.3",
        "lfadsx sweep day1.h5 --out runs/noise --likelihood poisson,negative_binomial",
    )

    grids: dict[str, tuple] = hidden(default_factory=dict)
    """Lists of settings of the architecture and of hyperparameters by name."""
    seeds: int = 3
    """Seeds of each model."""
    members_at_once: int = 0
    """Models that a device computes at once. 0: one on a CPU, all on a GPU."""
    choose_by: Literal["prediction", "dynamics"] = "prediction"
    """Choice among models as good as the best: fewest parameters, or clean dynamics first. prediction: the fewest
    parameters. dynamics: the fewest findings of the trust checks, then the fewest parameters."""

    def run(self) -> int:
        """Trains, compares, chooses and writes."""
        from lfadsx.cli.own_parts import parts_by_seam
        from lfadsx.pipeline import sweep

        check_writable(self.out / "sweep.json")

        continuous = {field.name for field in dataclasses.fields(HyperParams)}
        sizes: dict[str, Any] = {name: values for name, values in self.grids.items() if name not in continuous}
        hypers: dict[str, Any] = {name: values for name, values in self.grids.items() if name in continuous}
        mesh = self.mesh(self.seeds * math.prod(map(len, hypers.values())))
        data = self.read_aligned()
        hyper, train = self.suited(data)
        outcome = sweep(
            data,
            self.out,
            sizes=sizes,
            hypers=hypers,
            seeds=self.seeds,
            model=self.model,
            parts=parts_by_seam(self.parts),
            hyper=hyper,
            config=train,
            choose_by=self.choose_by,
            members_at_once=self.members_at_once,
            mesh=mesh,
            n_samples=self.samples,
            figures=self.figures,
            figure_format=self.figure_format,
        )
        return report(outcome, self.json, data.findings)


@dataclasses.dataclass(kw_only=True)
class CrossValidate(Training):
    """Score a model on every trial, each by a model that was trained without it.

    The trials of all splits are divided into folds. The same command resumes an interrupted cross-validation.
    docs/how_to/choosing_sizes.md explains it.
    """

    common = (
        *("files", "out", "folds", "neuron_folds", "valid_fraction", "factors", "generator_dim", "inferred_inputs"),
        *("learning_rate", "epochs", "batch_size", "figures", "devices", "seed", "config", "set", "json"),
    )
    examples = ("lfadsx cv day1.h5 --out runs/cv --folds 5",)

    folds: int = 5
    """Folds of the trials; each condition is divided evenly."""
    neuron_folds: int = 0
    """Groups of neurons. Every fold trains one model for each group, with the group hidden from the encoder. 0: off."""
    fold_seed: int = 0
    """Seed of the division into folds."""
    valid_fraction: float = 0.2
    """Share of the other folds' trials that validates."""
    members_at_once: int = 0
    """Models that a device computes at once. 0: one on a CPU, all on a GPU."""

    def run(self) -> int:
        """Trains the folds, tests them and writes."""
        from lfadsx.cli.own_parts import parts_by_seam
        from lfadsx.pipeline import cross_validate

        check_writable(self.out / "cv.json")

        mesh = self.mesh(self.folds * max(1, self.neuron_folds))
        data = self.read()
        hyper, train = self.suited(data)
        outcome = cross_validate(
            data,
            self.out,
            folds=self.folds,
            neuron_folds=self.neuron_folds,
            fold_seed=self.fold_seed,
            valid_fraction=self.valid_fraction,
            components=self.align_sessions,
            model=self.model,
            parts=parts_by_seam(self.parts),
            hyper=hyper,
            config=train,
            members_at_once=self.members_at_once,
            mesh=mesh,
            n_samples=self.samples,
            figures=self.figures,
            figure_format=self.figure_format,
        )
        return report(outcome, self.json, data.findings)


@dataclasses.dataclass(kw_only=True)
class Controls(Training):
    """Check a model on data with a known answer, made from the files: does it find only what is there?

    Spikes exchanged between trials of a condition have no single-trial dynamics in common; spikes drawn from averages
    have no single-trial variance and no inputs; shuffled conditions cannot be decoded. The same command resumes.
    """

    common = (
        *("files", "out", "variant", "factors", "generator_dim", "inferred_inputs", "kl_co_scale", "cd_rate"),
        *("learning_rate", "epochs", "batch_size", "devices", "seed", "config", "set", "json"),
    )
    examples = ("lfadsx controls day1.h5 --out runs/controls",)

    def run(self) -> int:
        """Trains three models, measures and writes."""
        from lfadsx.cli.own_parts import parts_by_seam
        from lfadsx.pipeline import controls

        check_writable(self.out / "controls.json")

        mesh, data = self.mesh(), self.read_aligned()
        hyper, train = self.suited(data)
        outcome = controls(
            data,
            self.out,
            model=self.model,
            parts=parts_by_seam(self.parts),
            hyper=hyper,
            config=train,
            mesh=mesh,
            n_samples=self.samples,
        )
        return report(outcome, self.json, data.findings)

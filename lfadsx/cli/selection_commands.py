"""Commands that choose and test models: sweep, cv."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, get_type_hints

import tyro

from lfadsx.cli.terminal import Flat, report
from lfadsx.cli.training_flags import Training
from lfadsx.config import HyperParams, ModelConfig


def with_lists(settings: type, kind: type) -> type:
    """Returns a class of settings whose numbers of one kind are tuples, given as "4,8,16" on the command line.

    Args:
        settings: A dataclass of settings with defaults.
        kind: The kind: int or float.
    """
    numbers = tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{kind.__name__.upper()}[,...]",
        instance_from_str=lambda words: tuple(kind(word) for word in words[0].split(",")),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda values: [",".join(f"{value:g}" for value in values)],
    )
    hints = get_type_hints(settings)
    listed: list[Any] = [
        (field.name, Annotated[tuple[kind, ...], numbers], dataclasses.field(default=(field.default,)))
        for field in dataclasses.fields(settings)
        if hints[field.name] is kind
    ]
    # Derived, so that the help is that of the settings; what they check is checked when they are made of single values.
    unchecked = {"__post_init__": lambda self: None}
    return dataclasses.make_dataclass(
        f"{settings.__name__}Lists", listed, bases=(settings,), frozen=True, namespace=unchecked
    )


ModelLists: Any = with_lists(ModelConfig, int)
HyperLists: Any = with_lists(HyperParams, float)


def split_lists(settings: Any, kind: type) -> tuple[Any, dict[str, tuple]]:
    """Returns settings with the first value of every list, and the lists of more than one value by name.

    Args:
        settings: What `with_lists` has made, with values.
        kind: The class of the settings that are returned.
    """
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)}
    lists = {name: value for name, value in values.items() if isinstance(value, tuple) and name not in _tuples(kind)}
    swept = {name: value for name, value in lists.items() if len(value) > 1}
    return kind(**(values | {name: value[0] for name, value in lists.items()})), swept


def _tuples(kind: type) -> set[str]:
    """Names of the settings that are tuples by themselves."""
    return {field.name for field in dataclasses.fields(kind) if isinstance(field.default, tuple)}


@dataclasses.dataclass
class Sweep(Training):
    """Train a grid of models, and choose the simplest that predicts hidden validation data as well as the best.

    Every size and every hyperparameter takes a list such as 4,8,16. The chosen model is the run folder OUT/chosen. The
    same command on the folder of an interrupted sweep resumes it. See docs/choosing.md.
    """

    model: Flat[ModelLists] = dataclasses.field(default_factory=ModelLists)
    """Architecture."""
    hyper: Flat[HyperLists] = dataclasses.field(default_factory=HyperLists)
    """Hyperparameters."""
    seeds: int = 3
    """Seeds of each model."""
    members_at_once: int = 0
    """Models that a device computes at once; 0: one after the other on a CPU, all of its own on a GPU."""

    def run(self) -> int:
        """Trains, compares, chooses and writes."""
        from lfadsx.pipeline import sweep

        (model, sizes), (hyper, hypers) = split_lists(self.model, ModelConfig), split_lists(self.hyper, HyperParams)
        mesh = self.mesh(self.seeds * math.prod(map(len, hypers.values())))
        outcome = sweep(
            self.read_aligned(),
            self.out,
            sizes=sizes,
            hypers=hypers,
            seeds=self.seeds,
            model=model,
            hyper=hyper,
            config=self.train,
            members_at_once=self.members_at_once,
            mesh=mesh,
            n_samples=self.samples,
            figures=self.figures,
        )
        return report(outcome, self.json)


@dataclasses.dataclass
class CrossValidate(Training):
    """Score a model on every trial, each by a model that was trained without it.

    The trials of all splits are divided into folds. The same command on the folder of an interrupted cross-validation
    resumes it. See docs/choosing.md.
    """

    folds: int = 5
    """Folds of the trials, each condition divided evenly."""
    neuron_folds: int = 0
    """Groups of the neurons, each hidden from the encoder in a model of its own for every fold; 0: none."""
    fold_seed: int = 0
    """Seed of the division."""
    valid_fraction: float = 0.2
    """Share of a fold's other trials that validates."""
    members_at_once: int = 0
    """Models that a device computes at once; 0: one after the other on a CPU, all of its own on a GPU."""

    def run(self) -> int:
        """Trains the folds, tests them and writes."""
        from lfadsx.pipeline import cross_validate

        mesh = self.mesh(self.folds * max(1, self.neuron_folds))
        outcome = cross_validate(
            self.read(),
            self.out,
            folds=self.folds,
            neuron_folds=self.neuron_folds,
            fold_seed=self.fold_seed,
            valid_fraction=self.valid_fraction,
            components=self.align,
            model=self.model,
            hyper=self.hyper,
            config=self.train,
            members_at_once=self.members_at_once,
            mesh=mesh,
            n_samples=self.samples,
            figures=self.figures,
        )
        return report(outcome, self.json)

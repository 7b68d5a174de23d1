"""Commands that choose and test models: sweep, cv."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from lfadsx.cli.reading_flags import Reading, kind_for
from lfadsx.cli.terminal import DONE, Files, Flat, close, say, use_devices
from lfadsx.config import HyperParams, ModelConfig, TrainConfig

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from lfadsx.evaluation.comparison import Comparison


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
class Sweep:
    """Train a grid of models, and choose the simplest that predicts hidden validation data as well as the best.

    Every size and every hyperparameter takes a list such as 4,8,16. The same command on the folder of an interrupted
    sweep resumes it. See docs/choosing.md.
    """

    files: Files
    """HDF5 files, one for each session."""
    out: Path
    """Folder to write; the chosen model is the run folder OUT/chosen."""
    model: Flat[ModelLists] = dataclasses.field(default_factory=ModelLists)
    """Architecture."""
    hyper: Flat[HyperLists] = dataclasses.field(default_factory=HyperLists)
    """Hyperparameters."""
    seeds: int = 3
    """Seeds of each model."""
    train: Flat[TrainConfig] = dataclasses.field(default_factory=TrainConfig)
    """The run."""
    reading: Flat[Reading] = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    align: int = 0
    """Align the sessions by so many components, computed from their training trials; 0: as their files say."""
    members_at_once: int = 0
    """Models that a device computes at once; 0: one after the other on a CPU, all of its own on a GPU."""
    samples: int = 64
    """Posterior samples of the chosen model's averages."""
    figures: bool = True
    """Draw figures."""
    devices: int | None = None
    """Devices to spread models and trials over; by default one GPU, or all cores of a CPU."""
    json: bool = False
    """Print the chosen model and its scores as one JSON object on the last line."""

    def run(self) -> int:
        """Trains, compares, chooses and writes."""
        from lfadsx.data.session_alignment import align
        from lfadsx.pipeline import Outcome, sweep_run
        from lfadsx.training import GenerationTable

        model, sizes = split_lists(self.model, ModelConfig)
        hyper, hypers = split_lists(self.hyper, HyperParams)
        n_members = self.seeds * math.prod(map(len, hypers.values()))
        devices = use_devices(self.devices, self.train.batch_size * max(1, n_members))
        data = self.reading.read(self.files, kind_for(model.likelihood), self.train.seed)
        if self.align:
            data = align(data, self.align)
        outcome = sweep_run(
            data,
            self.out,
            sizes=sizes,
            hypers=hypers,
            seeds=self.seeds,
            model=model,
            hyper=hyper,
            train=self.train,
            members_at_once=self.members_at_once,
            mesh=_mesh(devices, n_members),
            n_samples=self.samples,
            figures=self.figures,
            callbacks=[GenerationTable()],
        )
        if outcome.outcome is None or outcome.outcome.evaluation is None:
            return _stopped(outcome.seconds, outcome.signal)
        names = [*sizes, *hypers]
        _write_table(_sweep_table(outcome.rows, names, outcome.measure), self.json)
        chosen, best = outcome.rows[outcome.chosen], outcome.rows[outcome.best]
        say(f"Best: {_settings(best, names)}.")
        say(f"Chosen, the simplest within one standard error of it: {_settings(chosen, names)}.")
        evaluation = outcome.outcome.evaluation
        evaluation = dataclasses.replace(
            evaluation, scores=evaluation.scores | {"chosen": {name: chosen[name] for name in names}}
        )
        files, warnings = outcome.outcome.files + outcome.files, outcome.warnings + outcome.outcome.warnings
        close(Outcome(evaluation, None, files, warnings, outcome.seconds), self.json)
        return DONE


@dataclasses.dataclass
class CrossValidate:
    """Test a model on every trial of data files, each by a model that was trained without it.

    The trials of all splits are divided into folds. The same command on the folder of an interrupted cross-validation
    resumes it. See docs/choosing.md.
    """

    files: Files
    """HDF5 files, one for each session."""
    out: Path
    """Folder to write."""
    folds: int = 5
    """Folds of the trials, each condition divided evenly."""
    neuron_folds: int = 0
    """Groups of the neurons, each hidden from the encoder in a model of its own for every fold; 0: none."""
    fold_seed: int = 0
    """Seed of the division."""
    valid_fraction: float = 0.2
    """Share of a fold's other trials that validates."""
    model: Flat[ModelConfig] = dataclasses.field(default_factory=ModelConfig)
    """Architecture."""
    hyper: Flat[HyperParams] = dataclasses.field(default_factory=HyperParams)
    """Hyperparameters."""
    train: Flat[TrainConfig] = dataclasses.field(default_factory=TrainConfig)
    """The run."""
    reading: Flat[Reading] = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    align: int = 0
    """Align the sessions by so many components, computed from their training trials; 0: as their files say."""
    members_at_once: int = 0
    """Models that a device computes at once; 0: one after the other on a CPU, all of its own on a GPU."""
    samples: int = 64
    """Posterior samples of the averages."""
    figures: bool = True
    """Draw a figure."""
    devices: int | None = None
    """Devices to spread models and trials over; by default one GPU, or all cores of a CPU."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def run(self) -> int:
        """Trains the folds, tests them and writes."""
        from lfadsx.pipeline import cross_validation_run
        from lfadsx.training import GenerationTable

        n_members = self.folds * max(1, self.neuron_folds)
        devices = use_devices(self.devices, self.train.batch_size * max(1, n_members))
        data = self.reading.read(self.files, kind_for(self.model.likelihood), self.train.seed)
        found = cross_validation_run(
            data,
            self.out,
            folds=self.folds,
            neuron_folds=self.neuron_folds,
            fold_seed=self.fold_seed,
            valid_fraction=self.valid_fraction,
            components=self.align,
            model=self.model,
            hyper=self.hyper,
            train=self.train,
            members_at_once=self.members_at_once,
            mesh=_mesh(devices, n_members),
            n_samples=self.samples,
            figures=self.figures,
            callbacks=[GenerationTable()],
        )
        if found.pooled is None:
            return _stopped(found.seconds, found.result.signal)
        for warning in found.warnings:
            say(warning)
        _write_table(_folds_table(found.pooled), self.json)
        for measure, score in found.pooled.differences.items():
            say(
                f"{measure}: {found.pooled.models[0]} minus {found.pooled.rivals[measure]} {score.value:.3f} "
                f"(95 % interval {score.low:.3f} to {score.high:.3f})"
            )
        say("Wrote " + ", ".join(map(str, found.files)))
        if self.json:
            scores = {
                measure: dataclasses.asdict(of[found.pooled.models[0]]) for measure, of in found.pooled.scores.items()
            }
            sys.stdout.write(json.dumps(scores | {"seconds": round(found.seconds, 2)}) + "\n")
        return DONE


def _mesh(devices: int, n_members: int) -> Mesh | None:
    """Returns a mesh on which as many devices as possible see to members of their own."""
    from lfadsx.training import make_mesh

    return make_mesh(devices, members=math.gcd(max(1, n_members), devices)) if devices > 1 else None


def _stopped(seconds: float, signal: int) -> int:
    say(f"Stopped and saved after {seconds:.0f} s. Give the same command again to resume.")
    return 128 + signal


def _write_table(rows: list[dict[str, Any]], as_json: bool) -> None:
    from lfadsx.evaluation import format_table

    (sys.stderr if as_json else sys.stdout).write(f"\n{format_table(rows)}\n\n")


def _settings(row: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {row[name]:g}" for name in names)


def _sweep_table(rows: list[dict[str, Any]], names: list[str], measure: str) -> list[dict[str, Any]]:
    """Returns the table of a sweep as text: what is swept, size, score, and the difference to the best model."""
    from lfadsx.pipeline.csv_tables import with_error

    marks = {(True, True): "best, chosen", (True, False): "best", (False, True): "chosen"}
    return [
        {
            "model": f"{number} {marks.get((row['is_best'], row['is_chosen']), '')}".strip(),
            **{name: f"{row[name]:g}" for name in names},
            "parameters": row["n_parameters"],
            measure: with_error(row[measure], row["standard_error"], 4),
            "difference": with_error(row["difference"], row["difference_error"], 4),
            "seconds": f"{row['seconds']:.0f}",
        }
        for number, row in enumerate(rows)
    ]


def _folds_table(pooled: Comparison) -> list[dict[str, Any]]:
    """Returns the table of a cross-validation as text: every score with its standard error."""
    from lfadsx.pipeline.csv_tables import with_error

    def cell(measure: str, name: str) -> str | None:
        score = pooled.scores[measure].get(name)
        return None if score is None else with_error(score.value, score.error)

    return [{"model": name, **{measure: cell(measure, name) for measure in pooled.scores}} for name in pooled.models]

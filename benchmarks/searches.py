"""The gain from hyperparameter searches: a single model, the best of several seeds, ensembles, and searches.

    python -m benchmarks.searches recording.h5 --seeds 0 100 200 --out runs/searches
    python -m benchmarks.searches simulated.h5 --searches ensemble pbt --batch-size 32

All populations have the same numbers of members and epochs. Validation trials choose members, epochs and
hyperparameters. The test split (or valid if there is none) is scored once: co-smoothing of held-out neurons, or R2 with
the true rates.

Every figure is a mean over seeds, with its standard error over trials. The table also has the difference from the best
of several seeds, with its 95 % interval over trials (resampled alike for both), and the work in epochs of single
models. Each population has its own folder in --out; an existing one is resumed or only scored. Prints a table and then
one JSON object for each kind of model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flax import nnx

import lfadsx
from benchmarks.speed import machine
from lfadsx.cli.population_flags import Population
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.evaluation import format_table, mean_of
from lfadsx.evaluation.measures import bits, correlated
from lfadsx.evaluation.statistics import Statistic, minus, resample
from lfadsx.evaluation.task import Task
from lfadsx.pipeline.population_job import average
from lfadsx.results.posterior import Posterior
from lfadsx.training import GenerationTable, PopulationResult

SAMPLES = 64
"""Posterior samples of rates; the members of an ensemble share them."""
REFERENCE = "best of the seeds"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--searches", nargs="+", default=["ensemble", "random", "pbt"], help="kinds of populations")
    parser.add_argument("--population", type=int, default=8, help="members of each")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 100, 200], help="first seeds of the populations")
    parser.add_argument("--epochs", type=int, default=lfadsx.TrainConfig().epochs)
    parser.add_argument("--batch-size", type=int, default=lfadsx.TrainConfig().batch_size)
    parser.add_argument("--out", type=Path, default=Path("runs/searches"))
    options = parser.parse_args()
    use_compilation_cache()
    data, found = lfadsx.data.read(options.file), {}
    split = split_name(data.splits)
    for seed in options.seeds:
        train = lfadsx.TrainConfig(epochs=options.epochs, batch_size=options.batch_size, seed=seed)
        for name in options.searches:
            out = options.out / f"{options.file.stem}_{name}_{seed}"
            result = trained(data, name, options.population, train, out)
            if result.reason == "interrupted":
                raise SystemExit(f"Stopped and saved in {out}. Give the same command again to go on.")
            for kind, members, epochs in kinds(name, result):
                posterior = rates_of(data, split, result, members)
                found.setdefault(kind, []).append((statistic(data, split, posterior), epochs))
    lines = [line(kind, of, found, data.splits[split].n_trials) for kind, of in found.items()]
    print(f"{options.file.name}, {split} trials, seeds {options.seeds}")
    print(format_table(lines))
    for each in lines:
        print(json.dumps({"file": options.file.name, "split": split} | each | {"machine": machine()}))


def trained(data: Dataset, name: str, members: int, train: lfadsx.TrainConfig, out: Path) -> PopulationResult:
    """Trains a population as the command line does, or resumes the population in a folder."""

    def build(data: Dataset, rngs: nnx.Rngs) -> lfadsx.LFADS:
        return lfadsx.build(data, rngs=rngs)

    flags = Population(population=members, search=name)  # pyright: ignore[reportArgumentType]
    return lfadsx.population(
        build,
        data,
        strategy=flags.strategy(),
        population=lfadsx.PopulationConfig(population=members),
        config=train,
        out=out,
        callbacks=[GenerationTable()],
    )


def kinds(name: str, result: PopulationResult) -> list[tuple[str, list[int], float]]:
    """Returns models from a population: a name, the members whose rates are averaged, and the epochs of training."""
    best, top = result.ranking[:1], result.ranking[: lfadsx.PopulationConfig().ensemble]
    # Paused members also have rows, but take no time.
    epochs = sum(row["active"] for row in result.rows)
    if name != "ensemble":
        return [(f"{name}, best member", best, epochs), (f"{name}, ensemble of {len(top)}", top, epochs)]
    single = sum(row["active"] for row in result.rows if row["member"] == 0)
    averages = {len(members): members for members in (top, result.ranking)}  # the same members in a small population
    return [
        ("single model", [0], single),
        (REFERENCE, best, epochs),
        *((f"ensemble of {n} seeds", members, epochs) for n, members in averages.items()),
    ]


def rates_of(data: Dataset, split: str, result: PopulationResult, members: Sequence[int]) -> Posterior:
    """Returns posterior averages of a split, averaged over members."""
    n_samples = max(8, SAMPLES // len(members))
    return average(
        [
            lfadsx.infer(result.members[member].model, data, split, n_samples=n_samples, seed=result.seeds[member])
            for member in members
        ]
    )


def statistic(data: Dataset, split: str, posterior: Posterior) -> Statistic:
    """Returns co-smoothing in bits per spike, or R2 with the true rates where no neuron is held out."""
    rates, truth = posterior.rates[data.input_group], data.splits[split].truth
    task = Task(data, split)
    found = bits(task, rates, task.regions["co_bps"]) or correlated(rates, truth, task.scored)
    if found is None:
        raise ValueError("The file has neither held-out neurons nor true rates. Give one that has either.")
    return found


def line(
    kind: str, of: list[tuple[Statistic, float]], found: dict[str, list[tuple[Statistic, float]]], n_trials: int
) -> dict[str, object]:
    """Returns a row of the table: mean over seeds, and the difference to the best of several seeds."""
    own, work = mean_of([score for score, _ in of]), float(np.mean([epochs for _, epochs in of]))
    score = resample(own, n_trials)
    row: dict[str, object] = {"model": kind, "score": score.value, "error": score.error}
    row |= {"seeds": " ".join(f"{each(np.ones(n_trials)):.4f}" for each, _ in of), "epochs": work}
    if REFERENCE in found and kind != REFERENCE:
        gain = resample(minus(own, mean_of([score for score, _ in found[REFERENCE]])), n_trials)
        row |= {"gain": gain.value, "low": gain.low, "high": gain.high}
    return row


if __name__ == "__main__":
    main()

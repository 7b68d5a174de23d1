"""Behaviour inside the model: velocity by its own read-out beside ridge regression outside, over five folds of trials.

    python -m benchmarks.behaviour
    python -m benchmarks.behaviour --quick

The set is `macaque_reach_day31` with 6 of 24 channels held out. Every trial is predicted by a model that was not
trained on it. The ways are weights of the velocity in the loss; with weight 0 the model sees spikes alone. For each:

* `inside`: velocity by the read-out of the model; `inside without inputs`: the same with inferred inputs set to 0.
* `ridge`: velocity by ridge regression from log rates, fitted on the training trials of the fold; also without inputs.
* `beyond`: 1 - error / error of the mean reach of a target, mean over targets: what is explained beyond the mean reach.
  The mean reach alone explains much of the velocity, so it stands beside them.
* `co_bps`: bits per spike of held-out neurons, which training on behaviour may cost.

Brackets are 95 % intervals over trials, paired: of inside minus ridge, and of each way minus weight 0 (ridge). One JSON
line for each way, written when all of its folds are done.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lfadsx
from benchmarks.data_sets import SETS
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.data.fold_datasets import all_trials, fold_dataset, stratified_folds
from lfadsx.evaluation import format_table
from lfadsx.evaluation.candidates import Candidate, lag_bins, readout_behaviour, with_behaviour
from lfadsx.evaluation.measures import bits, decoded
from lfadsx.evaluation.statistics import Statistic, minus, ratio, resample
from lfadsx.evaluation.task import Task

FOLDS, SAMPLES, WEIGHTS = 5, 32, (0.0, 0.1, 1.0)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", type=float, default=list(WEIGHTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 epochs, weights 0 and 1")
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/behaviour.jsonl"))
    options = parser.parse_args()
    use_compilation_cache()
    weights, settings = ((0.0, 1.0), {"epochs": 40}) if options.quick else (options.weights, {})
    data = SETS["day31"]()
    task = Task(dataclasses.replace(data, test=all_trials(data)), "test")
    reach = decoded(task, mean_reach(task, folds_of(data)))
    print("mean reach of a target:", resample(reach, task.split.n_trials), flush=True)
    rows, first = [], None
    for weight in weights:
        began = time.monotonic()
        found = predictions(data, task, weight, options.seed, settings)
        first = found["ridge"] if first is None else first
        line = {"set": "day31", "weight": weight, "seed": options.seed, **settings, **scores(task, found, first)}
        line |= {"mean_reach": rounded(resample(reach, task.split.n_trials).value)}
        line["seconds"] = round(time.monotonic() - began, 1)
        with options.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        rows.append({name: str(value) if isinstance(value, list) else value for name, value in line.items()})
        print(json.dumps(line), flush=True)
    print(format_table(rows))


def folds_of(data: Dataset) -> list[tuple[np.ndarray, Dataset]]:
    """Returns the tested trials of each fold, and its data."""
    trials = all_trials(data)
    fold = stratified_folds(trials, FOLDS)
    return [(np.flatnonzero(fold == k), fold_dataset(data, trials, fold == k)) for k in range(FOLDS)]


def predictions(data: Dataset, task: Task, weight: float, seed: int, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns predicted velocity by name, and rates, of all trials by the model of the fold that tested them."""
    found: dict[str, np.ndarray] = {"rates": np.full(task.values.shape, np.nan)}
    for rows, own in folds_of(data):
        own = own.with_behaviour_target() if weight else own
        model = lfadsx.build(own, seed=seed)
        if weight:
            settings = settings | {"other_targets_scale": weight}
        run = lfadsx.fit(model, own, seed=seed, progress=False, **settings)
        for name, without in (("", False), (" without inputs", True)):
            how: dict[str, Any] = dict(n_samples=SAMPLES, without_inputs=without)
            train, test = (lfadsx.infer(run.model, own, split, **how) for split in ("train", "test"))
            tested = Task(own, "test")
            group = own.input_group
            candidate = Candidate("lfads", test.rates[group], train_rates=train.rates[group])
            made = {"ridge": with_behaviour(tested, candidate).behaviour, "inside": readout_behaviour(tested, test)}
            for kind, values in made.items():
                if values is not None:
                    found.setdefault(kind + name, np.full(task.split.behaviour.shape, np.nan))[rows] = values
            if not without:
                found["rates"][rows] = test.rates[group]
    return found


def mean_reach(task: Task, folds: Sequence[tuple[np.ndarray, Dataset]]) -> np.ndarray:
    """Returns the mean velocity of the training trials of the same target."""
    found = np.full(task.split.behaviour.shape, np.nan)
    for rows, own in folds:
        for target in np.unique(own.test.condition):
            mean = np.nanmean(own.train.behaviour[own.train.condition == target], axis=0)
            found[rows[own.test.condition == target]] = mean
    found[:, : lag_bins(task)] = np.nan  # bins that the others do not predict
    return np.where(np.isnan(task.split.behaviour), np.nan, found)


def beyond(task: Task, prediction: np.ndarray) -> Statistic:
    """Returns 1 - error / error of the mean of each target, mean over targets, in bins with a prediction."""
    truth, condition, known = task.split.behaviour, task.split.condition, ~np.isnan(prediction)
    targets = np.unique(condition)
    means = {target: np.nanmean(truth[condition == target], axis=0) for target in targets}
    error = np.where(known, (prediction - truth) ** 2, 0.0).sum((1, 2))
    total = np.where(known, (truth - np.array([means[of] for of in condition])) ** 2, 0.0).sum((1, 2))
    of = condition[:, None] == targets
    return ratio((total - error)[:, None] * of, total[:, None] * of)


def scores(task: Task, found: dict[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
    """Returns R2 and what is explained beyond the mean reach by name, and paired differences with their intervals."""
    n, line = task.split.n_trials, {}
    by_name = {name: decoded(task, values) for name, values in found.items() if name != "rates"}
    of_first = decoded(task, first)
    for name, statistic in by_name.items():
        line[name] = rounded(resample(statistic, n).value)
        line[f"beyond: {name}"] = rounded(resample(beyond(task, found[name]), n).value)
        line[f"{name} - ridge of the first"] = interval(minus(statistic, of_first), n)
    if "inside" in by_name:
        line["inside - ridge"] = interval(minus(by_name["inside"], by_name["ridge"]), n)
    co_bps = bits(task, found["rates"], task.regions["co_bps"])
    return line | {"co_bps": rounded(resample(co_bps, n).value)}


def interval(statistic: Statistic, n_trials: int) -> list[float]:
    """Returns a difference and the ends of its 95 % interval."""
    score = resample(statistic, n_trials)
    return [rounded(value) for value in (score.value, score.low, score.high)]


def rounded(value: float) -> float:
    """Returns a score with four digits."""
    return round(float(value), 4)


if __name__ == "__main__":
    main()

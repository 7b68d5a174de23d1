"""How much of an ensemble's gain one training can have: averaged weights, snapshots, dropout at inference, heads.

    python -m benchmarks.single_model_gains chaotic_60 day31 --seeds 0 1 2
    python -m benchmarks.single_model_gains --summary

A set is one of `benchmarks.data_sets.SETS`, trained with the default settings. The ways:

* `single`: the selected model; `ensemble`: rates averaged over 8 seeds, which take 8 times as long.
* `averaged`: the mean of the weights of the last quarter of the epochs; `averaged_constant`: the same with a constant
  learning rate.
* `snapshots`: rates averaged over the models at four times of one training at a constant learning rate.
* `dropout`: rates averaged over passes with dropout in encoders and read-outs.
* `heads`: 4 read-outs of the same factors, each with its own start, whose rates are averaged. Coordinated dropout acts
  on all of them.

One JSON line for each way and seed: bits per spike of held-out neurons in test trials, R2 with true rates, seconds of
training. Lines that the file holds are skipped. --summary prints means over seeds and their shares of the ensemble's
gain.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import lfadsx
from benchmarks.data_sets import SETS
from benchmarks.defaults import lines
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import bits_saved
from lfadsx.evaluation.task import Task
from lfadsx.modules.hidden_entries import CoordinatedDropout
from lfadsx.training import AbstractCallback, Progress

MEMBERS, PARTS, HEADS, SAMPLES = 8, 4, 4, 32
WAYS = ("single", "ensemble", "averaged", "averaged_constant", "snapshots", "dropout", "heads")


class OnAllHeads(CoordinatedDropout):
    """Coordinated dropout whose masks hold for all target groups, which are heads of the same neurons."""

    def __call__(self, batch: lfadsx.Batch, hyper: lfadsx.HyperParams, key: Any) -> Any:
        """Returns the batch with hidden entries, no weights, and the open entries of all groups."""
        batch, weights, opened = super().__call__(batch, hyper, key)
        return batch, weights, dict.fromkeys(batch.targets, opened[self.group])


class Kept(AbstractCallback):
    """Keeps the weights after some epochs."""

    def __init__(self, wanted: Callable[[int, int], bool]) -> None:
        self.wanted, self.states = wanted, []

    def on_epoch_end(self, progress: Progress) -> None:
        """Copies the weights."""
        if self.wanted(progress.epoch, progress.epochs):
            state = nnx.state(progress.model(0), nnx.Param)
            self.states.append(jax.tree.map(lambda x: np.array(x), state))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["chaotic_60", "day31"], help="names of sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/single_model_gains.jsonl"))
    parser.add_argument("--summary", action="store_true", help="print the table; trains nothing")
    options = parser.parse_args()
    if options.summary:
        print(format_table(summary(options.file)))
        return
    use_compilation_cache()
    done = {(line["set"], line["way"], line["seed"]) for line in lines(options.file)}
    for name in options.sets:
        data = SETS[name]()
        for seed in options.seeds:
            for way in options.ways:
                if (name, way, seed) in done:
                    continue
                began = time.monotonic()
                rates, seconds = globals()[way](data, seed)
                line = {"set": name, "way": way, "seed": seed, **scores(data, rates), "seconds": round(seconds, 1)}
                line["seconds_in_all"] = round(time.monotonic() - began, 1)
                with options.file.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def summary(file: Path) -> list[dict[str, Any]]:
    """Returns a row for each set and way: means over seeds and shares of the ensemble's gain."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines(file):
        found.setdefault((line["set"], line["way"]), []).append(line)
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        mean = {way: np.mean([line["score"] for line in of]) for (own, way), of in found.items() if own == name}
        gain = mean.get("ensemble", np.nan) - mean["single"]
        for way, value in mean.items():
            of = found[name, way]
            once = np.mean([line["seconds"] for line in found[name, "single"]])
            rows.append({
                "set": name,
                "way": way,
                "seeds": len(of),
                of[0]["measure"]: round(float(value), 4),
                "share of the gain": round(float((value - mean["single"]) / gain), 2),
                "times the training": round(float(np.mean([line["seconds"] for line in of]) / once), 2),
            })  # fmt: skip
    return rows


def scores(data: Dataset, rates: np.ndarray) -> dict[str, Any]:
    """Returns R2 with the truth of test trials, or bits per spike of held-out neurons without a truth."""
    task, truth = Task(data, "test"), data.test.truth
    if truth is not None:
        there = task.scored
        error, total = rates[there] - truth[there], truth[there] - truth[there].mean()
        return {"measure": "rates_r2_pooled", "score": round(float(1 - (error**2).sum() / (total**2).sum()), 5)}
    saved, spikes = bits_saved(rates, task.values, mask=task.regions["co_bps"])
    return {"measure": "co_bps", "score": round(float(saved.sum() / spikes.sum()), 5)}


def trained(data: Dataset, seed: int, *callbacks: AbstractCallback, **settings: Any) -> lfadsx.FitResult:
    """Returns the result of a training with the default settings, or others."""
    model = lfadsx.build(data, rngs=nnx.Rngs(seed))
    return lfadsx.fit(model, data, progress=False, seed=seed, callbacks=callbacks, **settings)


def rates_of(model: lfadsx.LFADS, data: Dataset) -> np.ndarray:
    """Returns the rates of test trials."""
    return lfadsx.infer(model, data, "test", n_samples=SAMPLES).rates[data.input_group]


def with_weights(model: lfadsx.LFADS, state: Any) -> lfadsx.LFADS:
    """Returns a copy of the model with other weights."""
    copy = nnx.clone(model)
    nnx.update(copy, state)
    return copy


def single(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """Trains one model."""
    run = trained(data, seed)
    return rates_of(run.model, data), run.seconds


def ensemble(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """Averages the rates of models of several seeds."""
    runs = [trained(data, 1000 * seed + member) for member in range(MEMBERS)]
    return np.mean([rates_of(run.model, data) for run in runs], axis=0), sum(run.seconds for run in runs)


def averaged(data: Dataset, seed: int, **settings: Any) -> tuple[np.ndarray, float]:
    """Averages the weights of the last quarter of the epochs."""
    kept = Kept(lambda epoch, epochs: epoch > 0.75 * epochs)
    run = trained(data, seed, kept, patience=10**6, **settings)
    mean = jax.tree.map(lambda *x: np.mean(x, axis=0), *kept.states)
    return rates_of(with_weights(run.model, mean), data), run.seconds


def averaged_constant(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """The same with a constant learning rate."""
    return averaged(data, seed, schedule="constant")


def snapshots(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """Averages the rates of models at the ends of the last parts of one training at a constant learning rate."""
    kept = Kept(lambda epoch, epochs: epoch in {round(epochs * (1 - part / (2 * PARTS))) for part in range(PARTS)})
    run = trained(data, seed, kept, patience=10**6, schedule="constant")
    return np.mean([rates_of(with_weights(run.model, own), data) for own in kept.states], axis=0), run.seconds


def dropout(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """Averages the rates of passes with dropout."""
    run = trained(data, seed)
    hyper, _ = lfadsx.suited_settings(data)
    graph, state = nnx.split(run.model)

    @jax.jit
    def passed(state: Any, batch: lfadsx.Batch, key: Any) -> Any:
        model = nnx.merge(graph, state)
        return model.expected(model(batch, model.draw(key, batch, hyper)))[data.input_group]

    batch, keys = lfadsx.data.batch(data, "test"), jax.random.split(jax.random.key(seed), SAMPLES)
    return np.mean([np.asarray(passed(state, batch, key)) for key in keys], axis=0), run.seconds


def heads(data: Dataset, seed: int) -> tuple[np.ndarray, float]:
    """Averages the rates of several read-outs of the same factors."""
    group, names = data.input_group, [f"head{number}" for number in range(1, HEADS)]

    def repeated(of: Any) -> Any:
        return {group: of[group]} | {name: of[group] for name in names if group in of} if group in of else of

    splits = {
        name: dataclasses.replace(
            split, targets=repeated(split.targets), target_observed=repeated(split.target_observed)
        )
        for name, split in data.splits.items()
    }
    sessions = tuple(
        dataclasses.replace(own, n_targets=repeated(own.n_targets), channel_names=repeated(own.channel_names))
        for own in data.sessions
    )
    groups = dict.fromkeys([group, *names], data.groups[group])
    several = dataclasses.replace(data, **splits, sessions=sessions, groups=groups)
    kl = {name: HEADS * getattr(lfadsx.HyperParams(), name) for name in ("kl_ic_scale", "kl_co_scale")}
    run = trained(several, seed, augmentations=[OnAllHeads(group)], max_grad_norm=HEADS * 200.0, **kl)
    found = lfadsx.infer(run.model, several, "test", n_samples=SAMPLES).rates
    return np.mean([found[name] for name in groups], axis=0), run.seconds


if __name__ == "__main__":
    main()

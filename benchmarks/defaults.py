"""Chooses and judges default settings by the amount of data, one JSON line for each training.

    python -m benchmarks.defaults kiani_100 day31 --vary dropout_rate=0.05,0.1,0.2 cd_rate=0.3,0.5
    python -m benchmarks.defaults --seeds 0 1 2 --label rule
    python -m benchmarks.defaults --seeds 0 1 2 --label fixed --set epochs=120 dropout_rate=0.2 patience=50
    python -m benchmarks.defaults --compare fixed rule

Every set is one of `benchmarks.data_sets.SETS`. Settings are fields of `HyperParams`, `TrainConfig` and `ModelConfig`;
`steps` stands for the number of epochs with about so many steps. With --vary, each value is tried by itself, the others
being those of --set. A line has validation scores, which choose, and test scores with their terms by trial, which
judge. Lines that the file holds are skipped. --compare prints two labels side by side: means over seeds of bits per
spike of held-out neurons in test trials, and their difference with its 95 % interval over trials, paired.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import lfadsx
from benchmarks.data_sets import SETS
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table, mean_of, minus, ratio, resample
from lfadsx.evaluation.metrics import bits_saved
from lfadsx.evaluation.task import Task

SAMPLES = 32
"""Posterior samples of the rates."""
FIELDS = {of: {field.name for field in dataclasses.fields(of)} for of in (lfadsx.HyperParams, lfadsx.TrainConfig)}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets; by default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of all trainings")
    parser.add_argument("--vary", nargs="*", default=[], metavar="NAME=VALUE,VALUE", help="settings tried one by one")
    parser.add_argument("--label", default="", help="name of these settings")
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/defaults.jsonl"))
    parser.add_argument("--compare", nargs=2, metavar="LABEL", help="print two labels side by side; trains nothing")
    options = parser.parse_args()
    if options.compare:
        print(format_table(compared(options.file, *options.compare)))
        return
    use_compilation_cache()
    devices = use_devices(None, lfadsx.TrainConfig().batch_size)
    mesh = lfadsx.make_mesh(devices) if devices > 1 else None
    done = {key(line) for line in lines(options.file)}
    for name in options.sets or SETS:
        data = SETS[name]()
        for settings in combinations(options.set, options.vary):
            for seed in options.seeds:
                line: dict[str, Any] = {"set": name, "label": options.label, "settings": settings, "seed": seed}
                if key(line) in done:
                    continue
                line |= trained(data, settings, seed, mesh)
                with options.file.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                shown = {key: value for key, value in line.items() if key != "terms"}
                print(json.dumps(shown), flush=True)


def compared(file: Path, first: str, second: str) -> list[dict[str, Any]]:
    """Returns a row for each set that both labels have."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines(file):
        found.setdefault((line["set"], line["label"]), []).append(line)
    rows = []
    for name in SETS:
        pair = found.get((name, first)), found.get((name, second))
        if not pair[0] or not pair[1]:
            continue
        statistics = [mean_of([ratio(*map(np.array, own["terms"].values())) for own in of]) for of in pair if of]
        difference = resample(minus(statistics[1], statistics[0]), len(pair[0][0]["terms"]["saved"]), n=2000)
        row: dict[str, Any] = {"set": name}
        for label, of in zip((first, second), pair, strict=True):
            row[label] = float(np.mean([own["test_co_bps"] for own in of or ()]))
        row["difference"] = f"{difference.value:+z.4f} [{difference.low:+z.4f}, {difference.high:+z.4f}]"
        if "test_rates_r2_pooled" in pair[0][0]:
            means = [np.mean([own["test_rates_r2_pooled"] for own in of or ()]) for of in pair]
            row["rates R2"] = f"{means[0]:.3f} -> {means[1]:.3f}"
        rows.append(row)
    return rows


def key(line: dict[str, Any]) -> str:
    """Returns what tells one training from another."""
    return json.dumps([line["set"], line["label"], line["settings"], line["seed"]], sort_keys=True)


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """Returns the lines of a file that exists."""
    if file.is_file():
        yield from map(json.loads, file.read_text().splitlines())


def combinations(fixed: Sequence[str], varied: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the settings of each training: the fixed ones, with one varied value at a time."""
    base = dict(map(pair, fixed))
    found = [base] if not varied else []
    for text in varied:
        name, values = text.split("=")
        found += [base | dict([pair(f"{name}={value}")]) for value in values.split(",")]
    return found


def pair(text: str) -> tuple[str, Any]:
    """Returns name and value of NAME=VALUE."""
    name, value = text.split("=")
    return name, json.loads(value)


def trained(data: Dataset, settings: dict[str, Any], seed: int, mesh: Any) -> dict[str, Any]:
    """Trains a model and returns its scores."""
    given = dict(settings)
    batch = min(given.get("batch_size", lfadsx.TrainConfig().batch_size), data.train.n_trials)
    if (steps := given.pop("steps", None)) is not None:
        given["epochs"] = max(4, round(steps / -(-data.train.n_trials // batch)))
    if (kl := given.pop("kl", None)) is not None:
        given |= {"kl_ic_scale": kl, "kl_co_scale": kl}
    epochs = given.get("epochs", lfadsx.TrainConfig().epochs)
    if steps is not None:
        given |= {"patience": epochs, "validate_every": max(1, epochs // 60)}
    sizes = {name: given.pop(name) for name in list(given) if not any(name in of for of in FIELDS.values())}
    model = lfadsx.build(data, lfadsx.ModelConfig(**sizes), rngs=nnx.Rngs(seed))
    began = time.monotonic()
    run = lfadsx.fit(model, data, mesh=mesh, progress=False, seed=seed, **given)
    seconds = time.monotonic() - began
    scores = {name: co_smoothing(run.model, data, name, mesh) for name in ("valid", "test")}
    return {
        "epochs": len(run.history["loss"]),
        "best_epoch": run.best_epoch,
        "selection": run.best_score,
        "seconds": round(seconds, 1),
        **{f"{name}_{measure}": value for name, (found, _) in scores.items() for measure, value in found.items()},
        "terms": scores["test"][1],
    }


def co_smoothing(model: lfadsx.LFADS, data: Dataset, split: str, mesh: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Returns bits per spike of held-out neurons and R2 with the truth, and the bits and spikes of each trial."""
    post = lfadsx.infer(model, data, split, n_samples=SAMPLES, mesh=mesh)
    rates, task = post.rates[data.input_group], Task(data, split)
    saved, spikes = bits_saved(rates, task.values, mask=task.regions["co_bps"])
    fires = spikes.any(0)
    saved, spikes = saved[:, fires].sum(1), spikes[:, fires].sum(1)
    found = {"co_bps": round(float(saved.sum() / spikes.sum()), 5)}
    truth = data.splits[split].truth
    if truth is not None:
        there = task.scored
        error, total = rates[there] - truth[there], truth[there] - truth[there].mean()
        found["rates_r2_pooled"] = round(float(1 - (error**2).sum() / (total**2).sum()), 5)
    return found, {"saved": np.round(saved, 3).tolist(), "spikes": spikes.astype(int).tolist()}


if __name__ == "__main__":
    main()

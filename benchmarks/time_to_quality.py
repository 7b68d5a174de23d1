"""Seconds of training until the selected model is as good as another program's final one, both in the same run.

    python -m benchmarks.time_to_quality FILE --against "PYTHON -m benchmarks.torch_quality FILE --repository CLONE" \\
        --seeds 0 1 2

For each seed in turn, the other program trains first (`--seed N --out rates.npz` are added to its command; it writes
rates of the test trials and prints JSON with its `seconds` of training), then a model with the default settings.
Its score is bits per spike of held-out neurons in test trials. Every model that was the selected one at some time is
scored after training, so that scoring takes no time from training; the seconds are those from the start of `fit` to the
epoch of the first model with at least the other program's score, compilation included. Validation trials alone select.
Nothing else should run. One JSON line for each seed; lines that the file holds are skipped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import lfadsx
from benchmarks.defaults import lines
from benchmarks.speed import machine
from lfadsx.cli.terminal import use_devices
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.metrics import bits_per_spike
from lfadsx.evaluation.task import Task
from lfadsx.training import AbstractCallback, Progress

SAMPLES = 64


class Selected(AbstractCallback):
    """Keeps every model that became the selected one, and the seconds until then."""

    def __init__(self) -> None:
        self.began, self.kept, self.best = time.monotonic(), [], np.inf

    def on_epoch_end(self, progress: Progress) -> None:
        """Copies the weights if the score of this epoch is the best one."""
        row = progress.rows[-1]
        score = row.get("score")
        if score is not None and np.isfinite(score) and row["best_epoch"] == progress.epoch and score < self.best:
            self.best, seconds = score, time.monotonic() - self.began
            state = jax.tree.map(lambda x: np.array(x), nnx.state(progress.model(0), nnx.Param))
            self.kept.append((progress.epoch, seconds, state))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path, help="data file with held-out neurons and test trials")
    parser.add_argument("--against", required=True, help="command of the other program")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--devices", type=int, help="devices to spread the trials of a step over; by default all cores")
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/time_to_quality.jsonl"))
    options = parser.parse_args()
    devices = use_devices(options.devices, lfadsx.TrainConfig().batch_size)
    mesh, data = lfadsx.make_mesh(devices) if devices > 1 else None, lfadsx.read(options.recording)
    done = {(line["data"], line["against"], line["seed"]) for line in lines(options.file)}
    for seed in options.seeds:
        line: dict[str, Any] = {"data": options.recording.name, "against": options.against, "seed": seed}
        if tuple(line.values()) in done:
            continue
        line["other"] = other(options.against, seed, data)
        line |= ours(data, seed, mesh, line["other"]["co_bps"]) | {"machine": machine()}
        with options.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    found = [line for line in lines(options.file) if line["data"] == options.recording.name]
    times = [line["other"]["seconds"] / line["seconds_to_quality"] for line in found if line["seconds_to_quality"]]
    if times:
        print(f"{statistics.median(times):.1f} times as fast, the median of {len(times)} of {len(found)} seeds")


def other(command: str, seed: int, data: Dataset) -> dict[str, float]:
    """Trains the other program and scores its rates."""
    with tempfile.TemporaryDirectory() as folder:
        rates = Path(folder) / "rates.npz"
        words = [*shlex.split(command), "--seed", str(seed), "--out", str(rates)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        with np.load(rates) as file:
            score = co_bps(data, file["rates"])
    return {"seconds": json.loads(said.strip().splitlines()[-1])["seconds"], "co_bps": score}


def ours(data: Dataset, seed: int, mesh: Any, wanted: float) -> dict[str, Any]:
    """Trains a model with the default settings, and returns when its score was first that of the other program."""
    model, selected = lfadsx.build(data, rngs=nnx.Rngs(seed)), Selected()
    run = lfadsx.fit(model, data, mesh=mesh, progress=False, seed=seed, callbacks=[selected])
    scored = []
    for epoch, seconds, state in selected.kept:
        own = nnx.clone(run.model)
        nnx.update(own, state)
        rates = lfadsx.infer(own, data, "test", n_samples=SAMPLES, mesh=mesh).rates[data.input_group]
        scored.append((epoch, seconds, co_bps(data, rates)))
    reached = next((seconds for _, seconds, score in scored if score >= wanted), None)
    return {
        "seconds_to_quality": None if reached is None else round(reached, 1),
        "seconds": round(run.seconds, 1),
        "co_bps": scored[-1][2],
        "course": [(epoch, round(seconds, 1), score) for epoch, seconds, score in scored],
    }


def co_bps(data: Dataset, rates: np.ndarray) -> float:
    """Returns bits per spike of held-out neurons in test trials."""
    task = Task(data, "test")
    return round(bits_per_spike(rates, task.values, mask=task.regions["co_bps"]).value, 5)


if __name__ == "__main__":
    main()

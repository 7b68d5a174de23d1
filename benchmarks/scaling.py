"""How time and memory of training grow with trials, bins, neurons and the size of the generator.

    python -m benchmarks.scaling --out scaling

Each size is doubled three times from the configuration's value, in separate processes. For trials the time is an epoch
of `lfadsx.fit`, for other sizes a step. Memory is the peak. Writes scaling.png, and prints a table with log-log slopes
and then one JSON object for each size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import lfadsx
from benchmarks.speed import Trainer, machine, make_data, median_ms, model_config, peak_memory_mb
from benchmarks.workloads import WORKLOADS, Workload
from lfadsx.evaluation import format_table

AXES = ("trials", "bins", "neurons", "generator")
FACTORS = (1, 2, 4, 8)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tutorial", choices=list(WORKLOADS), help="configuration to start from")
    parser.add_argument("--out", type=Path, default=Path("scaling"), help="folder for the figure")
    parser.add_argument("--point", nargs=2, metavar=("AXIS", "FACTOR"), help="measure a single point, in this process")
    options = parser.parse_args()
    load = WORKLOADS[options.config]
    if options.point:
        print(json.dumps(point(load, options.point[0], int(options.point[1]))))
        return
    lines = [measure(options.config, axis) for axis in AXES]
    options.out.mkdir(parents=True, exist_ok=True)
    draw(lines, options.out / "scaling.png")
    print(format_table([{key: value for key, value in line.items() if key != "points"} for line in lines]))
    about = machine()
    for line in lines:
        print(json.dumps(line | {"machine": about}))


def measure(config: str, axis: str) -> dict[str, Any]:
    """Returns the points of one axis and their log-log slopes, from end to end and at the upper end.

    Args:
        config: Name of the workload.
        axis: What grows.
    """
    points = []
    for factor in FACTORS:
        words = [sys.executable, "-m", "benchmarks.scaling", "--config", config, "--point", axis, str(factor)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        points.append(json.loads(done.stdout.splitlines()[-1]))
    time, memory = (np.log([p[key] for p in points]) for key in ("ms", "memory_mb"))
    whole = np.log(FACTORS[-1] / FACTORS[0])
    return {
        "axis": axis,
        "slope_of_time": round(float(time[-1] - time[0]) / whole, 2),
        "slope_at_the_end": round(float(time[-1] - time[-2]) / np.log(FACTORS[-1] / FACTORS[-2]), 2),
        "slope_of_memory": round(float(memory[-1] - memory[0]) / whole, 2),
        "points": points,
    }


def point(load: Workload, axis: str, factor: int) -> dict[str, float]:
    """Returns size, milliseconds and memory of one point.

    Args:
        load: The workload to start from.
        axis: What grows.
        factor: Multiple of the size's original value.
    """
    if axis == "trials":
        return _epoch(load, 4 * factor)
    load = dataclasses.replace(load, **{axis: factor * getattr(load, axis)})
    trainer = Trainer(load, steps=2)
    trainer.run()
    return {"size": getattr(load, axis), "ms": median_ms(trainer.run, 5), "memory_mb": peak_memory_mb()}


def _epoch(load: Workload, n_batches: int) -> dict[str, float]:
    """The time of an epoch of a number of batches, and the memory without the data."""
    data = make_data(load, n_batches)
    model = lfadsx.build(data, model_config(load), rngs=nnx.Rngs(0))
    epochs = 5
    config = lfadsx.TrainConfig(epochs=epochs, batch_size=load.batch, kl_ramp_epochs=1, l2_ramp_epochs=1)
    seconds = np.diff(lfadsx.fit(model, data, config=config).history["seconds"])  # the first epoch compiles
    own = sum(x.nbytes for split in data.splits.values() for x in (split.encoder_input, *split.targets.values())) / 1e6
    return {
        "size": data.train.n_trials,
        "ms": 1e3 * float(np.median(seconds)),
        "memory_mb": peak_memory_mb() - own,
        "data_mb": own,
    }


def draw(lines: list[dict[str, Any]], file: Path) -> None:
    """Draws time and memory against size.

    Args:
        lines: What `measure` returns, for each axis.
        file: The picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for line in lines:
        factor = np.array(FACTORS)
        for panel, key, slope in zip(panels, ("ms", "memory_mb"), ("slope_of_time", "slope_of_memory"), strict=True):
            values = np.array([p[key] for p in line["points"]])
            panel.loglog(factor, values / values[0], "o-", label=f"{line['axis']}: slope {line[slope]:.2f}")
    for panel, title in zip(panels, ("time of a step (trials: of an epoch)", "most memory in use"), strict=True):
        panel.plot(FACTORS, FACTORS, "k:", label="linear")
        panel.set(title=title, xlabel="size, times the first", ylabel="times the first")
        panel.set_xticks(FACTORS, [str(factor) for factor in FACTORS])
        panel.set_yticks(FACTORS, [str(factor) for factor in FACTORS])
        panel.minorticks_off()
        panel.legend()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()

"""How fast posteriors are averaged: samples of whole trials per second.

    python -m benchmarks.posterior --config mc_maze --samples 50
    python -m benchmarks.posterior --config mc_maze --against "python samples_of_another_program.py"

With `--against` another program is timed in turn with ours; the last line that it prints is its samples per second.
Prints a table and then one JSON object for each configuration.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from flax import nnx
from jax.sharding import Mesh

import lfadsx
from benchmarks.speed import figure_of, machine, make_data, model_config, peak_memory_mb, use_devices
from benchmarks.workloads import WORKLOADS
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table
from lfadsx.parallel import make_mesh


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["tutorial"], choices=list(WORKLOADS), help="configurations")
    parser.add_argument("--samples", type=int, default=50, help="posterior samples of a trial")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes, of which the median counts")
    parser.add_argument("--devices", type=int, default=1, help="devices; on a CPU as many are made")
    parser.add_argument("--against", metavar="COMMAND", help="another program, timed in turn with ours")
    options = parser.parse_args()
    use_devices(options.devices)
    about = machine()
    sizes = (options.samples, options.repeats, options.devices)
    lines = [measure(name, *sizes, options.against) for name in options.config]
    print(format_table(lines))
    for line in lines:
        print(json.dumps(line | {"machine": about}))


def measure(name: str, n_samples: int, repeats: int, devices: int = 1, against: str | None = None) -> dict[str, Any]:
    """Returns the figures of one configuration.

    Args:
        name: Name of the workload.
        n_samples: Posterior samples of a trial.
        repeats: Timed passes over the trials of one batch.
        devices: Devices to spread the trials over.
        against: Command line of another program, or None.
    """
    load = WORKLOADS[name]
    data = make_data(load)
    model = lfadsx.build(data, model_config(load), rngs=nnx.Rngs(0))
    mesh = make_mesh(devices) if devices > 1 else None
    _average(model, data, n_samples, mesh)  # compiles
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(load.batch * n_samples / _average(model, data, n_samples, mesh))
        if against:
            theirs.append(figure_of(against, "samples_per_s"))
    rate = statistics.median(ours)
    line = {"config": name, "samples_per_s": round(rate, 1), "peak_memory_mb": round(peak_memory_mb())}
    if against:
        other = statistics.median(theirs)
        line |= {"against_per_s": round(other, 1), "ratio": round(rate / other, 2)}
    return line


def _average(model: lfadsx.LFADS, data: Dataset, n_samples: int, mesh: Mesh | None) -> float:
    """Averages the posterior of the training trials and returns the seconds."""
    began = time.perf_counter()
    lfadsx.infer(model, data, "train", n_samples=n_samples, mesh=mesh)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""The time of a training step, compared with the time of its matrix products alone.

    python -m benchmarks.train_step --config tutorial mc_maze
    python -m benchmarks.train_step --config tutorial --devices 2
    python -m benchmarks.train_step --config mc_maze --against "python step_of_another_program.py"

The bound is the FLOPs of three forward passes (one forward, two backward) at the rate of a large matrix product that is
measured in the same run. With `--against` another program is timed in turn with ours; the last line that it prints is
its milliseconds per step, or a JSON object with `ms_per_step`. Prints a table and then one JSON object for each
configuration.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from benchmarks.speed import (
    Trainer,
    figure_of,
    forward_flops,
    machine,
    median_ms,
    peak_flops,
    peak_memory_mb,
    use_devices,
)
from benchmarks.workloads import WORKLOADS
from lfadsx.evaluation import format_table


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["tutorial"], choices=list(WORKLOADS), help="configurations")
    parser.add_argument("--repeats", type=int, default=15, help="timed blocks, of which the median counts")
    parser.add_argument("--steps", type=int, default=4, help="steps of a compiled block")
    parser.add_argument("--devices", type=int, default=1, help="devices; on a CPU as many are made")
    parser.add_argument("--against", metavar="COMMAND", help="another program, timed in turn with ours")
    parser.add_argument("--rounds", type=int, default=3, help="turns of both programs")
    options = parser.parse_args()
    use_devices(options.devices)
    about, lines = machine(), []
    for name in options.config:
        line = measure(name, options.steps, options.devices, options.repeats, options.against, options.rounds)
        lines.append(line | {"machine": about})
    print(format_table([{key: value for key, value in line.items() if key != "machine"} for line in lines]))
    for line in lines:
        print(json.dumps(line))


def measure(
    name: str, steps: int, devices: int, repeats: int, against: str | None = None, rounds: int = 3
) -> dict[str, Any]:
    """Returns the figures of one configuration.

    Args:
        name: Name of the workload.
        steps: Steps of a compiled block.
        devices: Devices to spread the trials over.
        repeats: Timed blocks.
        against: Command line of another program, or None.
        rounds: How often both programs take turns.
    """
    load = WORKLOADS[name]
    trainer = Trainer(load, steps=steps, devices=devices)
    began = time.perf_counter()
    trainer.lower().compile()
    compiled = time.perf_counter() - began
    first = trainer.run() * steps  # includes the overhead of a first call
    peak = peak_flops()
    bound = 1e3 * 3 * forward_flops(trainer.model, trainer.data, load.batch) / peak
    theirs, ours = [], []
    for _ in range(rounds if against else 1):
        ours.append(median_ms(trainer.run, repeats))
        if against:
            theirs.append(figure_of(against, "ms_per_step"))
    ms = statistics.median(ours)
    line = {
        "config": name,
        "ms_per_step": round(ms, 2),
        "bound_ms": round(bound, 4),
        "times_bound": round(ms / bound, 2),
        "compile_s": round(compiled, 2),
        "first_step_s": round(first, 2),
        "peak_memory_mb": round(peak_memory_mb()),
        "gflops_of_products": round(peak / 1e9, 1),
        "devices": devices,
    }
    if against:
        other = statistics.median(theirs)
        line |= {"against_ms": round(other, 2), "ratio": round(other / ms, 2)}
    return line


if __name__ == "__main__":
    main()

"""The time of a member's training step in populations of several sizes, relative to that of a single model.

    python -m benchmarks.population --config small --members 1 2 4 8 16
    python -m benchmarks.population --config small mc_maze --devices 2
    python -m benchmarks.population --config small --members 8 --members-at-once 4

A single model is timed as `lfadsx.fit` trains it, with its trials spread over all devices; populations as the command
line trains them, with members on as many devices as possible. All sizes take turns in the same run, block by block,
and medians are compared, because the speed of a machine may change from minute to minute. Prints a
table and, last, one JSON object for each size.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.speed import PopulationTrainer, Trainer, machine, use_devices
from benchmarks.workloads import WORKLOADS
from lfadsx.evaluation import format_table


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["small"], choices=list(WORKLOADS), help="configurations")
    parser.add_argument("--members", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="sizes; 1 is always timed")
    parser.add_argument(
        "--members-at-once", type=int, default=0, help="members that a device computes at once; 0: auto"
    )
    parser.add_argument("--devices", type=int, default=1, help="devices; on a CPU as many are made")
    parser.add_argument("--repeats", type=int, default=15, help="turns of all sizes, of which the median counts")
    parser.add_argument("--steps", type=int, default=4, help="steps of a compiled block")
    options = parser.parse_args()
    use_devices(options.devices)
    about, lines = machine(), []
    for name in options.config:
        lines += measure(
            name,
            options.members,
            devices=options.devices,
            at_once=options.members_at_once,
            repeats=options.repeats,
            steps=options.steps,
        )
    print(format_table(lines))
    for line in lines:
        print(json.dumps(line | {"machine": about}))


def measure(
    name: str, members: Sequence[int], *, devices: int = 1, at_once: int = 0, repeats: int = 15, steps: int = 4
) -> list[dict[str, Any]]:
    """Returns the figures of one configuration, for each size of the population.

    Args:
        name: Name of the workload.
        members: Sizes of the population; 1 is added.
        devices: Devices to spread members and trials over.
        at_once: Members that a device computes at once; 0: as many as `lfadsx.population` chooses.
        repeats: Turns.
        steps: Steps of a compiled block.
    """
    load = WORKLOADS[name]
    trainers: dict[int, Trainer | PopulationTrainer] = {1: Trainer(load, steps=steps, devices=devices)}
    for n in sorted(set(members) - {1}):
        trainers[n] = PopulationTrainer(load, n, steps=steps, devices=devices, at_once=at_once)
    for trainer in trainers.values():
        trainer.run()  # compiles
    turns = [{n: trainer.run() for n, trainer in trainers.items()} for _ in range(repeats)]
    ms = {n: 1e3 * statistics.median(turn[n] for turn in turns) for n in trainers}
    return [
        {
            "config": name,
            "members": n,
            "ms_per_member_step": round(ms[n], 2),
            "relative_to_one": round(ms[n] / ms[1], 3),
            "devices": devices,
            "members_at_once": trainer.at_once if isinstance(trainer, PopulationTrainer) else 1,
        }
        for n, trainer in trainers.items()
    ]


if __name__ == "__main__":
    main()

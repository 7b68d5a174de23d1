"""Where the time of a training step goes on a CPU, in words.

    taskset -c 0 python -m benchmarks.profile --config tutorial --batch 64 --at-once 32

Traces a compiled block, sums the time of operations by purpose, and names the longest operations. On one core
(`taskset`) operations do not wait for each other, so the times add up; on several cores waiting counts as work. Prints
two tables and then one JSON object for each configuration.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import gzip
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import jax

from benchmarks.speed import Trainer, forward_flops, machine, peak_flops
from benchmarks.workloads import WORKLOADS, Workload
from lfadsx.evaluation import format_table

KINDS = {
    "products in the loops over time": lambda name, path: _is_product(name) and _in_time(path),
    "products before and after the loops": lambda name, path: _is_product(name),
    "random numbers": lambda name, path: re.search(r"\brandom\b", path) is not None,
    "copies": lambda name, path: name.startswith(
        ("copy", "wrapped_copy", "broadcast", "wrapped_broadcast", "transpose")
    ),
    "elementwise in the loops over time": lambda name, path: _in_time(path) and "dynamic_update" not in path,
    "results of the loops written": lambda name, path: _in_time(path) or "dynamic_update" in path,
    "optimiser": lambda name, path: "jvp" not in path,
    "elementwise before and after the loops": lambda name, path: True,
}
"""Purposes of operations by patterns of their name and source path; the first matching pattern is used."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["tutorial"], choices=list(WORKLOADS), help="configurations")
    parser.add_argument("--batch", type=int, help="trials of a step, instead of the configuration's")
    parser.add_argument("--at-once", type=int, default=0, help="trials that are computed at once; 0: all")
    parser.add_argument("--steps", type=int, default=8, help="steps of the block that is traced")
    parser.add_argument("--longest", type=int, default=15, help="how many of the longest operations are named")
    options = parser.parse_args()
    about, lines = machine(), []
    for name in options.config:
        load = WORKLOADS[name]
        load = dataclasses.replace(load, batch=options.batch or load.batch)
        line, longest = measure(load, options.steps, options.at_once)
        lines.append({"config": name, "batch": load.batch} | line)
        print(format_table([{"what": kind, "ms": ms} for kind, ms in line.items()]))
        print(format_table(longest[: options.longest]))
    for line in lines:
        print(json.dumps(line | {"machine": about}))


def measure(load: Workload, steps: int, at_once: int = 0) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Returns the milliseconds of a step by purpose, and its operations, the longest first.

    Args:
        load: The workload.
        steps: Steps of the block that is traced.
        at_once: Trials that are computed at once; 0: all.
    """
    trainer = Trainer(load, steps=steps, at_once=at_once)
    paths = _paths(trainer.lower().compile().as_text())
    trainer.run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            whole = 1e3 * trainer.run()
        (file,) = Path(folder).rglob("perfetto_trace.json.gz")
        found = json.loads(gzip.decompress(file.read_bytes()))
    own, count = _own_times(found["traceEvents"] if isinstance(found, dict) else found, set(paths))
    by_kind: collections.Counter[str] = collections.Counter()
    longest = []
    for name, ms in own.most_common():
        shape, path = paths[name]
        kind = next(kind for kind, fits in KINDS.items() if fits(name, path))
        by_kind[kind] += ms / steps
        times = round(count[name] / steps, 1)
        longest.append(
            {"ms": round(ms / steps, 2), "times": times, "operation": name, "makes": shape, "of": path[-60:]}
        )
    bound = 1e3 * 3 * forward_flops(trainer.model, trainer.data, load.batch) / peak_flops()
    rest = whole - sum(by_kind.values())
    line = {kind: round(ms, 2) for kind, ms in by_kind.most_common()} | {"between operations": round(rest, 2)}
    return line | {"whole step": round(whole, 2), "bound": round(bound, 2)}, longest


def _is_product(name: str) -> bool:
    return name.startswith(("dot", "ynn", "xnn", "onednn"))


def _in_time(path: str) -> bool:
    """Whether a path goes through a loop of the model, within the loops over steps and portions of trials."""
    return "while/body" in path.partition("jvp")[2]


def _paths(program: str) -> dict[str, tuple[str, str]]:
    """Returns the result and the source path of each operation of a compiled program."""
    found = {}
    for line in program.splitlines():
        operation = re.match(r" *(?:ROOT )?%?([\w.\-]+) = (\S+) ", line)
        if operation:
            path = re.search(r'op_name="([^"]*)"', line)
            found[operation[1]] = operation[2].split("{")[0], path[1] if path else ""
    return found


def _own_times(
    events: list[dict[str, Any]], operations: set[str]
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """Returns the milliseconds that operations take without those inside them, and how often they run."""
    own: collections.Counter[str] = collections.Counter()
    count: collections.Counter[str] = collections.Counter()
    threads = collections.defaultdict(list)
    for event in events:
        if event.get("ph") == "X" and event["name"] in operations:
            threads[event["pid"], event["tid"]].append(event)
    for thread in threads.values():
        around: list[dict[str, Any]] = []
        for event in sorted(thread, key=lambda event: (event["ts"], -event["dur"])):
            while around and around[-1]["ts"] + around[-1]["dur"] <= event["ts"]:
                around.pop()
            if around:
                own[around[-1]["name"]] -= event["dur"] / 1e3
            own[event["name"]] += event["dur"] / 1e3
            count[event["name"]] += 1
            around.append(event)
    return own, count


if __name__ == "__main__":
    main()

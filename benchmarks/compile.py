"""How long a user waits before the first step: import, model, compilation, first step, with an empty and a full cache.

    python -m benchmarks.compile --config tutorial mc_maze

Every figure comes from a separate process. Prints a table and then one JSON object for each configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.speed import machine
from benchmarks.workloads import WORKLOADS
from lfadsx.evaluation import format_table

IMPORT = "import lfadsx"
TRAIN = """
import json, sys, time
from benchmarks.speed import Trainer
from benchmarks.workloads import WORKLOADS
first = time.perf_counter()
trainer = Trainer(WORKLOADS[sys.argv[1]])
began = time.perf_counter()
traced = trainer.lower()
lowered = time.perf_counter()
traced.compile()
compiled = time.perf_counter()
trainer.run()
times = {"build_s": began - first, "trace_s": lowered - began, "compile_s": compiled - lowered}
print(json.dumps(times | {"first_step_s": time.perf_counter() - compiled}))
"""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["tutorial"], choices=list(WORKLOADS), help="configurations")
    options = parser.parse_args()
    about, lines = machine(), [measure(name) for name in options.config]
    print(format_table(lines))
    for line in lines:
        print(json.dumps(line | {"machine": about}))


def measure(name: str) -> dict[str, Any]:
    """Returns the figures of one configuration."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORT], check=True)
    line: dict[str, Any] = {"config": name, "import_s": round(time.perf_counter() - began, 2)}
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "warm"):
            line |= {f"{state}_{key}": round(value, 2) for key, value in _train(name, cache).items()}
    return line


def _train(name: str, cache: str) -> dict[str, float]:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    words = [sys.executable, "-c", TRAIN, name]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

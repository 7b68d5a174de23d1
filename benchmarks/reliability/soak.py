"""Short runs again and again in one process: do memory, open files and threads grow?

    python -m benchmarks.reliability.soak --minutes 60

Every round trains a model and a population, saves and resumes them, infers, evaluates, and writes and reads results.
After each round, garbage is collected and the process measured. The last line is one JSON object: medians of the first
and the last tenth of the rounds, without those before the programs were compiled. `grows` names what grew: memory by
more than 5 %, files or threads at all.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.reliability.processes import QUICK

WARM = 2
"""Rounds that are not counted: programs are compiled in them."""
GROWTH = 1.05
"""Largest ratio of memory between the last and the first tenth."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="minutes")
    options = parser.parse_args()
    os.environ.update(QUICK)
    with tempfile.TemporaryDirectory(prefix="lfadsx_soak_") as folder:
        print(json.dumps(soak(Path(folder), 60 * options.minutes)))


def soak(folder: Path, seconds: float) -> dict[str, Any]:
    """Returns the figures of the JSON line."""
    import numpy as np

    import lfadsx

    began, rows = time.monotonic(), []
    rng = np.random.default_rng(0)
    data = lfadsx.from_arrays(rng.poisson(0.5, (40, 20, 12)), bin_width=0.01, valid_fraction=0.2)
    while len(rows) < WARM + 2 or time.monotonic() - began < seconds:
        _round(data, folder)
        gc.collect()
        rows.append(_measured())
        seconds_now = time.monotonic() - began
        print(f"round {len(rows)}, {seconds_now:.0f} s: {json.dumps(rows[-1])}", flush=True)
    counted = rows[WARM:]
    tenth = max(1, len(counted) // 10)
    ends = counted[:tenth], counted[-tenth:]
    first, last = ({name: median(row[name] for row in own) for name in rows[0]} for own in ends)
    grows = [name for name in rows[0] if last[name] > first[name] * (GROWTH if name == "memory_mb" else 1)]
    minutes = round((time.monotonic() - began) / 60, 1)
    return {"benchmark": "soak", "minutes": minutes, "rounds": len(rows), "first": first, "last": last, "grows": grows}


def _round(data: Any, folder: Path) -> None:
    """Trains, resumes, infers, evaluates, writes and reads once."""
    from flax import nnx

    import lfadsx
    from lfadsx.training import CsvLog

    def build(data: Any, rngs: nnx.Rngs) -> Any:
        return lfadsx.autonomous(data, generator_dim=8, factors=3, rngs=rngs)

    settings: dict[str, Any] = dict(batch_size=8, kl_ramp_epochs=1, l2_ramp_epochs=1, progress=False)
    settings["checkpoints"] = (0.0, 2)
    for epochs in (3, 6):  # the second call resumes the run with more epochs
        log = CsvLog(folder / "run" / "history.csv")
        run = lfadsx.fit(build(data, nnx.Rngs(0)), data, out=folder / "run", epochs=epochs, callbacks=[log], **settings)
    lfadsx.population(build, data, members=2, epochs=4, epochs_per_generation=2, out=folder / "population", **settings)
    model = lfadsx.load(folder / "run")
    posterior = lfadsx.infer(model, data, n_samples=4)
    posterior.save(folder / "rates.h5")
    lfadsx.read_posterior(folder / "rates.h5")
    lfadsx.evaluate(run.model, data, n_samples=4)
    for name in ("run", "population"):
        shutil.rmtree(folder / name)


def _measured() -> dict[str, float]:
    """Returns the memory of this process in MB, its open files and its threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    tasks = len(os.listdir("/proc/self/task"))
    return {
        "memory_mb": round(memory, 1),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": tasks,
    }


if __name__ == "__main__":
    main()

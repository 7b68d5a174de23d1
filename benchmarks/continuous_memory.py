"""Time and memory for cutting a long recording into pieces, and for joining the rates of its pieces.

    python -m benchmarks.continuous_memory
    python -m benchmarks.continuous_memory --hours 1 --neurons 200

Counts are uint8 in bins of 10 ms, pieces 1 s long with an overlap of 0.2 s. Every size is measured in a separate
process. `cut` is `from_continuous`; its counts are there before the call. `join` joins rates of all neurons; the rates
of the pieces take no memory here, because all pieces share one array. Prints one JSON object for each, with seconds,
the peak memory that the call adds, and the size of its result, in GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

BIN_WIDTH, LENGTH, OVERLAP = 0.01, 1.0, 0.2


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 6, 24], help="lengths of the recording")
    parser.add_argument("--neurons", type=int, default=200, help="neurons")
    parser.add_argument("--steps", nargs="+", default=["cut", "join"], choices=("cut", "join"))
    parser.add_argument("--point", action="store_true", help="measure the first size in this process")
    options = parser.parse_args()
    if options.point:
        measure = {"cut": measure_cut, "join": measure_join}[options.steps[0]]
        print(json.dumps(measure(int(options.hours[0] * 3600 / BIN_WIDTH), options.neurons)))
        return
    for step in options.steps:
        for hours in options.hours:
            sizes = ["--hours", hours, "--neurons", options.neurons, "--steps", step]
            command = [sys.executable, "-m", "benchmarks.continuous_memory", *map(str, sizes), "--point"]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


def measure_cut(n_bins: int, n_neurons: int) -> dict[str, Any]:
    """Returns seconds and memory of cutting counts into pieces."""
    import lfadsx

    rng = np.random.default_rng(0)
    lfadsx.from_continuous(rng.poisson(0.1, (1000, 5)), bin_width=BIN_WIDTH, length=LENGTH)  # imports what it needs
    counts = np.zeros((n_bins, n_neurons), np.uint8)
    for first in range(0, n_bins, 10**6):  # a part at a time, so that the draw does not set the peak
        part = counts[first : first + 10**6]
        for row in range(0, len(part), 10**4):
            part[row : row + 10**4] = rng.random((len(part[row : row + 10**4]), n_neurons), np.float32) < 0.1
    before, began = peak(), time.monotonic()
    data = lfadsx.from_continuous(counts, bin_width=BIN_WIDTH, length=LENGTH, overlap=OVERLAP)
    seconds = time.monotonic() - began
    size = sum(split.encoder_input.nbytes for split in data.splits.values())
    return facts("cut", n_bins, n_neurons, seconds, peak() - before, size) | {
        "counts_gb": round(counts.nbytes / 1e9, 3)
    }


def measure_join(n_bins: int, n_neurons: int) -> dict[str, Any]:
    """Returns seconds and memory of joining the rates of pieces."""
    import lfadsx
    from lfadsx.data.pieces import lay_pieces

    n, shared = round(LENGTH / BIN_WIDTH), round(OVERLAP / BIN_WIDTH)
    pieces = lay_pieces(np.array([[0, n_bins]]), n, shared)
    number = len(pieces.first_bin)
    rates = np.broadcast_to(np.random.default_rng(0).random((n, n_neurons), np.float32), (number, n, n_neurons))
    few, bare = rates[:, :, :1], np.zeros((number, 1), np.float32)
    none = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding")
    posterior = lfadsx.Posterior(
        rates={"spikes": rates},
        rates_std={},
        factors=few,
        generator_states=few,
        **dict.fromkeys(("initial_condition", "ic_mean", "ic_std", "initial_state"), bare),
        **dict.fromkeys(none),  # pyright: ignore[reportArgumentType]
        trial_id=np.arange(number),
        session=np.zeros(number, np.int32),
        length=pieces.n_bins,
        n_samples=1,
        seed=0,
        sessions=("day",),
        time=lfadsx.TimeAxis(BIN_WIDTH, 0.0, "piece start"),
        groups={"spikes": lfadsx.TargetGroup("counts", "counts per bin")},
        start_time=BIN_WIDTH * pieces.first_bin,
        piece_of=np.zeros(number, np.int64),
        first_bin=pieces.first_bin,
    )
    before, began = peak(), time.monotonic()
    joined = lfadsx.join(posterior)["day"]
    seconds = time.monotonic() - began
    return facts("join", n_bins, n_neurons, seconds, peak() - before, joined.rates["spikes"].nbytes)


def facts(step: str, n_bins: int, n_neurons: int, seconds: float, added: float, size: float) -> dict[str, Any]:
    """Returns the results of one size."""
    return {
        "step": step,
        "hours": round(n_bins * BIN_WIDTH / 3600, 2),
        "neurons": n_neurons,
        "seconds": round(seconds, 1),
        "added_gb": round(added, 3),
        "result_gb": round(size / 1e9, 3),
    }


def peak() -> float:
    """Returns the peak memory of this process so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()

"""Time and memory for cutting spike times into trials.

    python -m benchmarks.importing
    python -m benchmarks.importing --spikes 20000000

Spikes are in seconds, in samples of 30 kHz, or both; units have different rates; trials stand one after another.
Every size is cut in a separate process. Prints one JSON object for each, with the seconds of `from_spike_times`, the
peak memory during and before the call, and the seconds without the checks of `from_arrays` (counting alone).
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

WINDOW, BIN_WIDTH, CLOCK = (-0.25, 0.45), 0.01, 30_000
TRIAL = 1.5
"""Seconds from one event to the next."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spikes", type=int, nargs="+", default=[2_500_000, 5_000_000, 10_000_000], help="spikes")
    parser.add_argument("--units", type=int, default=500, help="units")
    parser.add_argument("--trials", type=int, default=2000, help="trials")
    parser.add_argument("--times", nargs="+", default=["seconds", "samples"], choices=("seconds", "samples"))
    parser.add_argument("--point", action="store_true", help="measure the first size in this process")
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(options.spikes[0], options.units, options.trials, options.times[0])))
        return
    for times in options.times:
        for n_spikes in options.spikes:
            sizes = ["--spikes", n_spikes, "--units", options.units, "--trials", options.trials, "--times", times]
            command = [sys.executable, "-m", "benchmarks.importing", *map(str, sizes), "--point"]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


def measure(n_spikes: int, n_units: int, n_trials: int, times: str) -> dict[str, Any]:
    """Returns seconds and memory of one size.

    Args:
        n_spikes: Spikes of all units together.
        n_units: Units; their rates spread over a factor of about 100.
        n_trials: Trials.
        times: "seconds" or "samples".
    """
    import lfadsx
    from lfadsx.recordings import read_spike_times
    from lfadsx.recordings.binning import count_spikes
    from lfadsx.recordings.windows import lay_windows

    units, trials, observed = draw(n_spikes, n_units, n_trials)
    clock = None
    if times == "samples":
        clock = CLOCK
        units = [(own * clock).astype(np.int64) for own in units]
        trials, observed = {"go": (trials["go"] * clock).astype(np.int64)}, np.round(observed * clock)
    before = memory_mb()
    begin = time.perf_counter()
    data = lfadsx.from_spike_times(
        units, trials, align="go", window=WINDOW, bin_width=BIN_WIDTH, clock_hz=clock, observed=observed
    )
    seconds = time.perf_counter() - begin
    peak = memory_mb()
    recording = read_spike_times(units, trials, clock_hz=clock, observed=observed, align="go")
    begin = time.perf_counter()
    count_spikes(recording, lay_windows(recording, "go", WINDOW, BIN_WIDTH)[0])
    counting = time.perf_counter() - begin
    return {
        "benchmark": "importing",
        "times": times,
        "spikes": sum(map(len, units)),
        "units": n_units,
        "trials": sum(split.n_trials for split in data.splits.values()),
        "bins": data.train.n_bins,
        "seconds": round(seconds, 3),
        "seconds_counting": round(counting, 3),
        "peak_mb": round(peak),
        "mb_before": round(before),
    }


def draw(n_spikes: int, n_units: int, n_trials: int) -> tuple[list[np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Returns sorted spike times of each unit in seconds, a table of trials, and the recorded interval."""
    rng = np.random.default_rng(0)
    end = n_trials * TRIAL
    shares = rng.lognormal(0.0, 0.8, n_units)
    numbers = np.floor(n_spikes * shares / shares.sum()).astype(int)
    numbers[0] += n_spikes - numbers.sum()
    units = [np.sort(rng.uniform(0, end, n)) for n in numbers]
    return units, {"go": TRIAL * np.arange(n_trials) + 0.5}, np.array([[0.0, end]])


def memory_mb() -> float:
    """Returns the peak memory of this process so far, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


if __name__ == "__main__":
    main()

"""One run on several hosts: the same numbers as in one process, what happens when a host dies, and the restart.

    python -m benchmarks.reliability.hosts --hosts 2 3

Network namespaces stand in for hosts if the machine allows, otherwise processes on the loopback device. The last line
is one JSON object:

* `difference`: by number of hosts, the largest difference of the trained arrays of a whole run in float64 between the
  hosts and one process;
* `deaths`: for each host that was killed (host 0 is the coordinator), or whose network was unplugged: seconds until all
  others had ended, their exit codes, and whether each said what to do;
* `resumed_difference`: by number of hosts, that of a run in which the hosts died one after the other, each time
  resumed by the same commands, and the uninterrupted run (0: bit-identical).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.stand_in_hosts import Loopback, hosts

PATIENCE = 1800.0
"""Seconds after which a process counts as stuck."""
EPOCHS = 12
SIZES = "--variant autonomous --factors 4 --generator-dim 8 --ic-dim 4 --ic-encoder-dim 6 --batch-size 16 --samples 4"
SETTINGS = f"--epochs {EPOCHS} --kl-ramp-epochs 2 --l2-ramp-epochs 2 --no-figures --connect-timeout 900"
SAVING = "--set checkpoints=0.0001,50"
"""A checkpoint after every block."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--ways", nargs="*", default=["killed", "unplugged"], help="how hosts die")
    options = parser.parse_args()
    began, found = time.monotonic(), {"benchmark": "hosts", "difference": {}, "deaths": [], "resumed_difference": {}}
    with tempfile.TemporaryDirectory() as name, hosts(max(options.hosts)) as network:
        folder, found["hosts"] = Path(name), network.kind
        data = write_data(folder)
        for n in options.hosts:
            with ThreadPoolExecutor() as pool:  # the runs are independent of each other
                one = pool.submit(run_one, data, folder / f"one_{n}", n)
                whole = pool.submit(run_whole, network, n, data, folder / f"whole_{n}")
                resumed = pool.submit(run_dying, network, n, data, folder / f"resumed_{n}", options.ways, began)
            found["deaths"] += resumed.result()
            found["difference"][n] = difference(one.result(), whole.result())
            found["resumed_difference"][n] = difference(whole.result(), folder / f"resumed_{n}")
            say(began, f"{n} hosts and one process differ by {found['difference'][n]:.1e}")
            say(began, f"the run that was resumed differs by {found['resumed_difference'][n]:.1e}")
    found["seconds"] = round(time.monotonic() - began)
    sys.stdout.write(json.dumps(found) + "\n")


def run_whole(network: Loopback, n: int, data: Path, out: Path) -> Path:
    """Trains on all hosts without interruption."""
    finish(start(network, n, data, out))
    return out


def run_dying(
    network: Loopback, n: int, data: Path, out: Path, ways: Sequence[str], began: float
) -> list[dict[str, Any]]:
    """Trains on all hosts, of which one after the other dies; each time the same commands resume the run."""
    found, dying = [], [death for death in deaths(network, n) if death[0] in ways]
    for number, (way, victim) in enumerate(dying, 1):
        found.append(die(network, n, data, out, way, victim, number * EPOCHS // (len(dying) + 1)))
        say(began, str(found[-1]))
    finish(start(network, n, data, out))
    return found


def say(began: float, text: str) -> None:
    sys.stderr.write(f"{time.monotonic() - began:6.0f} s  {text}\n")


def deaths(network: Loopback, n: int) -> list[tuple[str, int]]:
    """How which host dies: each by SIGKILL, and the last one without a network if there is one to unplug."""
    unplugged = [("unplugged", n - 1)] if network.kind != Loopback.kind else []
    return [*(("killed", victim) for victim in reversed(range(n))), *unplugged]


def write_data(folder: Path) -> Path:
    import lfadsx

    (file,) = lfadsx.data.write_dataset(folder, lfadsx.datasets.chaotic_rnn(conditions=8, duration=0.1))
    return file


def command(data: Path, out: Path, *flags: Any) -> list[str]:
    words = f"{SIZES} {SETTINGS} {SAVING}".split()
    return [sys.executable, "-m", "lfadsx.cli", "fit", str(data), "--out", str(out), *words, *map(str, flags)]


def environment() -> dict[str, str]:
    return os.environ | {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def run_one(data: Path, out: Path, n: int) -> Path:
    """Trains in one process with as many devices as there are hosts."""
    done = subprocess.run(command(data, out, "--devices", n), env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return out


def start(network: Loopback, n: int, data: Path, out: Path) -> list[subprocess.Popen[str]]:
    """Starts one process with one device on every host; the lines of all are in files beside `out`."""
    coordinator, started = f"{network.address(0)}:{free_port()}", []
    for index in range(n):
        flags = ("--devices", 1, "--coordinator", coordinator, "--num-processes", n, "--process-id", index)
        words = [*network.command(index), *command(data, out, *flags)]
        with lines(out, index).open("w") as log:
            started.append(subprocess.Popen(words, env=environment(), stdout=log, stderr=log, text=True))
    return started


def lines(out: Path, index: int) -> Path:
    return out.with_name(f"{out.name}_{index}.log")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


def finish(started: list[subprocess.Popen[str]]) -> None:
    codes = [process.wait(PATIENCE) for process in started]
    if any(codes):
        raise SystemExit(f"The processes ended with {codes}.")


def die(network: Loopback, n: int, data: Path, out: Path, way: str, victim: int, epoch: int) -> dict[str, Any]:
    """Starts or resumes a run, ends one host after some epochs, and returns how the others end."""
    started = start(network, n, data, out)
    wait_for_epochs(out, epoch, started)
    if way == "killed":
        started[victim].send_signal(signal.SIGKILL)
    else:
        network.unplug(victim)
    began = time.monotonic()
    others = [process for index, process in enumerate(started) if index != victim]
    try:
        codes = [process.wait(PATIENCE) for process in others]
        seconds = time.monotonic() - began
        started[victim].wait(PATIENCE)  # a host without a network ends by itself, too
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            network.unplug(victim, out=False)
    logs = {index: lines(out, index) for index in range(n) if index != victim}
    told = [_says_what_to_do(log) for log in logs.values()]
    for index, log in logs.items():
        if not _says_what_to_do(log):
            sys.stderr.write(f"host {index}:\n{log.read_text()[-3000:]}\n")
    return dict(host=victim, of=n, way=way, epoch=epoch, seconds=round(seconds, 1), codes=codes, told=all(told))


def _says_what_to_do(log: Path) -> bool:
    return "the run resumes from its newest checkpoint" in log.read_text()


def wait_for_epochs(out: Path, n: int, started: list[subprocess.Popen[str]]) -> None:
    until, file = time.monotonic() + PATIENCE, out / "history.csv"
    while not file.is_file() or file.read_text().count("\n") <= n:
        if time.monotonic() > until or any(process.poll() is not None for process in started):
            raise SystemExit("\n".join(log.read_text()[-2000:] for log in out.parent.glob(f"{out.name}_*.log")))
        time.sleep(0.05)


def difference(one: Path, other: Path) -> float:
    """Returns the largest difference between the arrays of two finished runs; infinity if one has NaN."""
    import jax

    from lfadsx.training import checkpoint

    jax.config.update("jax_enable_x64", True)  # float64 would be read as float32
    first, second = (checkpoint.read_arrays(checkpoint.numbered(run / "checkpoints")[-1]) for run in (one, other))
    apart = []
    for name in first:
        unequal = (first[name] != second[name]) & ~(np.isnan(first[name]) & np.isnan(second[name]))
        apart.append(np.abs(first[name][unequal] - second[name][unequal]))
    return max(float(np.max(np.nan_to_num(own, nan=np.inf), initial=0.0)) for own in apart)


if __name__ == "__main__":
    main()

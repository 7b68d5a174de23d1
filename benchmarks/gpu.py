"""All figures of a GPU in one call of at most 8 minutes: runs the parts of `benchmarks.gpu_parts` one after the other.

    bash benchmarks/gpu.sh FOLDER

Each part is a separate process with a time limit, so a crash, full memory or a hang affects only that part. A part
that no longer fits before the deadline is skipped. FOLDER then holds, even if the machine is lost during the run:

* `results.jsonl`: every figure as soon as it is measured, and after each part one line with its `status` ("done",
  "failed" or "skipped"), its seconds and the reason. Later runs append to it.
* `log.txt`: what the parts printed, tracebacks included.
* `trace.json.gz`: the trace of a training step, for https://ui.perfetto.dev.

Imports only the standard library, because JAX would occupy the GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Part:
    """A group of figures.

    Attributes:
        name: Name of the function in `benchmarks.gpu_parts`.
        limit: Seconds after which it is stopped.
        least: Seconds that must be left for it to start.
    """

    name: str
    limit: float
    least: float


PARTS = (
    Part("facts", 45, 15),
    Part("tests", 100, 30),
    Part("steps", 140, 30),
    Part("populations", 80, 25),
    Part("posterior", 60, 20),
    Part("memory", 45, 20),
    Part("precisions", 60, 25),
    Part("unroll", 60, 20),
    Part("trace", 45, 25),
    Part("torch", 60, 20),
)
"""In order of value. The limits add up to more than the deadline: most parts need less."""
DEADLINE = 460.0
SKIPPED = 77
"""Exit status of a part that cannot run here."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("out", nargs="?", type=Path, default=Path("gpu_results"), help="folder to write")
    parser.add_argument("--parts", nargs="+", default=names, choices=names, help="parts to run, in the usual order")
    parser.add_argument("--seconds", type=float, default=DEADLINE, help="time for all parts together")
    parser.add_argument("--miniature", action="store_true", help="tiny sizes, also without a GPU")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is stopped, too
    options.out.mkdir(parents=True, exist_ok=True)

    def command(part: Part) -> list[str]:
        words = [sys.executable, "-m", "benchmarks.gpu_parts", part.name, str(options.out)]
        return [*words, "--miniature"] if options.miniature else words

    with tempfile.TemporaryDirectory(prefix="gpu_cache_") as cache:
        # Parts share compiled programs. Compile times are for an empty cache unless the caller names a full cache.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory for processes of other parts
        os.environ["PYTHONUNBUFFERED"] = "1"
        if options.miniature:
            os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # small programs: compiling takes longest
        run([part for part in PARTS if part.name in options.parts], command, options.out, options.seconds)


def run(parts: Sequence[Part], command: Callable[[Part], list[str]], out: Path, seconds: float) -> None:
    """Runs parts one after the other; a failed part does not stop the others.

    Args:
        parts: What to run.
        command: Gives the command line of a part.
        out: Folder to write.
        seconds: Time for all parts together.
    """
    began = time.monotonic()
    for part in parts:
        left = seconds - (time.monotonic() - began)
        if left < part.least:
            reason = f"{max(left, 0):.0f} of {seconds:.0f} s are left, and this part needs {part.least:.0f} s."
            line: dict[str, Any] = {"status": "skipped", "reason": reason}
        else:
            line = _run(part, command(part), out, min(left, part.limit))
        write(out, {"part": part.name} | line)


def write(out: Path, line: dict[str, Any]) -> None:
    """Prints a JSON line and appends it to `results.jsonl`, so that a later crash does not lose it."""
    text = json.dumps(line, default=str)
    print(text, flush=True)
    with (out / "results.jsonl").open("a") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _run(part: Part, words: list[str], out: Path, limit: float) -> dict[str, Any]:
    """Runs one part and returns how it ended. The part writes its JSON lines; its printed output goes to the log."""
    began, path = time.monotonic(), out / "log.txt"
    with path.open("ab") as log:
        log.write(f"\n===== {part.name} =====\n".encode())
        log.flush()
        start = log.tell()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _kill(process)
    with path.open("rb") as log:
        log.seek(start)
        said = log.read().decode(errors="replace").strip().splitlines()
    line: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1)}
    last = said[-1] if said else "It printed nothing."
    if status == 0:
        return {"status": "done"} | line
    if status == SKIPPED:
        return {"status": "skipped", "reason": last} | line
    if status is None:
        reason = f"Stopped after {limit:.0f} s. Last line of the log: {last}"
    else:
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        reason = f"{last} ({ended})"
    return {"status": "failed", "reason": reason[:1000]} | line


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


if __name__ == "__main__":
    main()

"""Reads damaged files of every format: each must end in the right values or in one of our errors.

    python -m benchmarks.reliability.fuzz --files 20000
    python -m benchmarks.reliability.fuzz --files 200 --formats "nwb,matlab 7.3"
    python -m benchmarks.reliability.fuzz --formats nwb --seed 1234 --files 1 --keep kept

Files are damaged one after another by seeds: flipped bits, overwritten ranges, truncation, swapped blocks. They are
read in a process that is started again when it crashes or hangs. Prints each file that ended badly and, last, one JSON
object. `silently_wrong` counts files that were read with other values although h5py reads the same from both, or
although checksums cover the values. `changed` counts those whose damage is in what nothing protects: other numbers in
a file that looks whole. `longest_s` is time of the processor.
"""

from __future__ import annotations

import argparse
import json
import math
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST = 10.0
"""Seconds of the processor that reading a file may take at most."""

HANGING = 150.0
"""Seconds of the clock after which reading a file counts as hanging; other programs may use the machine."""

STARTING = 1200.0
"""Seconds of the clock that a worker may need to start."""

LARGEST = 2.0
"""GiB that reading may use at most."""

ENDS = ("clean_errors", "read_correctly", "changed", "raw_errors", "crashes", "hangs", "silently_wrong")
BAD = ("raw_errors", "crashes", "hangs", "silently_wrong")


class Worker:
    """The process that reads damaged files, started again after a crash or a hang.

    Args:
        folder: Folder of originals and damaged copies.
        formats: Names of the formats; by default all.
    """

    def __init__(self, folder: Path, formats: Sequence[str] = ()) -> None:
        self.folder, self._formats = folder, formats
        self.originals: dict[str, Path] = {}
        self._process: subprocess.Popen[str] | None = None
        self._started()

    def read(self, seed: int, name: str) -> dict[str, Any]:
        """Returns the answer of the process, or that it has crashed or hangs."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"seed": seed, "name": name}) + "\n")
        process.stdin.flush()
        line = self._line(HANGING)
        if line:
            return json.loads(line)
        end = "hangs" if line is None else "crashes"
        self.stop()
        return {"end": end, "said": f"exit code {process.returncode}", "s": 0.0, "gib": 0.0}

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.reliability.worker", str(self.folder)]
            command += self._formats
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            line = self._line(STARTING)
            if not line:
                raise RuntimeError("The worker did not start; its messages are above.")
            self.originals = {name: Path(path) for name, path in json.loads(line).items()}
        return self._process

    def _line(self, seconds: float) -> str | None:
        """Returns the next line of the process, "" if it has ended, None if there is none in time."""
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(seconds) else None


def fuzz(
    files: int,
    folder: Path,
    formats: Sequence[str] = (),
    seed: int = 0,
    keep: Path | None = None,
    minutes: float = math.inf,
) -> dict[str, Any]:
    """Reads damaged files of the formats in turn and returns how often each end came.

    Args:
        files: Number of damaged files.
        folder: An empty folder for originals and damaged copies.
        formats: Names of the formats; by default all.
        seed: Seed of the first file; each further one has the next.
        keep: Folder for files that ended badly.
        minutes: Time after which no further file is read.
    """
    worker, longest, largest = Worker(folder, formats), 0.0, 0.0
    names, until = list(formats) or list(worker.originals), time.monotonic() + 60 * minutes
    ends = {name: Counter() for name in names}
    try:
        for number in range(seed, seed + files):
            if time.monotonic() > until:
                break
            name = names[number % len(names)]
            found = worker.read(number, name)
            ends[name][found["end"]] += 1
            longest, largest = max(longest, found["s"]), max(largest, found["gib"])
            if found["end"] in BAD:
                print(f"{found['end']}: {name}, seed {number}: {found['said']}", flush=True)
                if keep is not None:
                    _keep(folder / "damaged" / worker.originals[name].name, keep / f"{found['end']}_{number}")
    finally:
        worker.stop()
    for name, counts in ends.items():
        print(f"{name}: {', '.join(f'{counts[end]} {end}' for end in ENDS if counts[end])}")
    total = {end: sum(counts[end] for counts in ends.values()) for end in ENDS}
    return {"tried": sum(total.values()), **total, "largest_gib": round(largest, 3), "longest_s": round(longest, 3)}


def _keep(path: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, place / path.name, dirs_exist_ok=True)
    elif path.exists():
        shutil.copy(path, place)


def main() -> int:
    """Runs the benchmark; the exit code is 1 if a file ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="damaged files")
    parser.add_argument("--formats", default="", help="formats, separated by commas; by default all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first file")
    parser.add_argument("--keep", type=Path, help="folder for files that ended badly")
    parser.add_argument("--minutes", type=float, default=math.inf, help="time after which no further file is read")
    options = parser.parse_args()
    formats = [name.strip() for name in options.formats.split(",") if name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(options.files, Path(folder), formats, options.seed, options.keep, options.minutes)
    print(json.dumps(found | {"seed": options.seed, "seconds": round(time.monotonic() - began)}))
    return int(any(found[end] for end in BAD) or found["longest_s"] > LONGEST or found["largest_gib"] > LARGEST)


if __name__ == "__main__":
    sys.exit(main())

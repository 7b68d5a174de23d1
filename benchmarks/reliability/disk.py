"""`lfadsx fit` on a disk that fails: what does the command say, and does the run resume?

    python -m benchmarks.reliability.disk

Every case starts `lfadsx fit`, waits until it has saved, and then takes something away: space (a file system of a few
MB, or a limit of file sizes without the rights of root), permission, the folder, the clock. The command must end with
exit code 2 and a sentence, or keep training. Then the cause is mended, and the same command must resume from the last
save. Prints a line for each case and one JSON object last; `resumed_at` is the epoch, `unexplained` lists cases without
a sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.processes import SMALL, begin, ended, prepare, write_data

FLAGS = (*SMALL, "--generator-dim", 8, "--factors", 3, "--set", "checkpoints=0.01,2")
FLAGS += ("--epochs", 100_000, "--patience", 100_000, "--schedule", "constant")
"""Flags of a run that would take hours."""
LIMIT = 900.0
"""Seconds within which a process must do what a case waits for."""


class Run:
    """A run of `lfadsx fit` in a folder; `within` is called in its process before the command."""

    def __init__(self, data: Path, out: Path) -> None:
        self.words, self.out, self.log = ("fit", data, *FLAGS), out, data.with_name("log")
        self.process = 0

    def start(self, within: Callable[[], Any] = lambda: None) -> Run:
        """Starts the command."""
        from lfadsx.cli import main

        words = [str(word) for word in (*self.words, "--out", self.out)]
        self.process = begin(lambda: (within(), main(words))[1], self.log)
        return self

    def until_saved(self) -> Run:
        """Waits until the run has saved twice."""
        newest = self._saved()
        self._wait(lambda: self._saved() > newest)
        newest = self._saved()
        return self._wait(lambda: self._saved() > newest)

    def _saved(self) -> int:
        return max((int(path.name) for path in self.out.glob("checkpoints/[0-9]*")), default=0)

    def _wait(self, for_: Callable[[], Any]) -> Run:
        until = time.monotonic() + LIMIT
        while not for_():
            if ended(self.process) is not None or time.monotonic() > until:
                raise RuntimeError(f"The command did not do what was expected:\n{self.log.read_text()}")
            time.sleep(0.02)
        return self

    def end(self) -> dict[str, Any]:
        """Waits for the end and returns the exit code and the last line that was printed."""
        until = time.monotonic() + LIMIT
        while (code := ended(self.process)) is None:
            if time.monotonic() > until:
                os.kill(self.process, signal.SIGKILL)
            time.sleep(0.02)
        lines = self.log.read_text().strip().splitlines()
        traced = any("Traceback" in line for line in lines)
        return {"code": code, "said": lines[-1] if lines else "", "traceback": traced}

    def resume(self, within: Callable[[], Any] = lambda: None) -> int | None:
        """Resumes, stops after the next save, and returns the epoch from which the command resumed."""
        self.start(within).until_saved()
        os.kill(self.process, signal.SIGTERM)
        found = self.end()
        said = self.log.read_text()
        resumed = re.search(r"Resuming the run in .* after epoch (\d+)", said)
        saved = found["code"] == 128 + signal.SIGTERM and "Saved after step" in said
        return int(resumed[1]) if resumed and saved else None


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, help="cases")
    parser.add_argument("--folder", type=Path, help="folder to work in, which is kept; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lfadsx_disk_") as temporary:
        folder = options.folder or Path(temporary)
        prepare(folder)
        data, results = write_data(folder / "data.h5"), {}
        for name in options.cases:
            own = folder / name.replace(" ", "_")
            own.mkdir()
            shutil.copy(data, own / "data.h5")
            results[name] = CASES[name](own)
            print(f"{name}: {json.dumps(results[name])}", flush=True)
    unexplained = [name for name, found in results.items() if found["code"] not in EXPECTED[name] or found["traceback"]]
    lost = [name for name, found in results.items() if not found["resumed_at"] and name != "deleted"]
    print(json.dumps({"benchmark": "disk", "unexplained": unexplained, "not_resumed": lost, "cases": results}))


def full(folder: Path) -> dict[str, Any]:
    """Fills the disk while the run trains."""
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", disk):
        try:
            run = Run(folder / "data.h5", disk / "run").start().until_saved()
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            found = run.end()
            (disk / "filler").unlink()
            return found | {"by": "a file system of 16 MB", "resumed_at": run.resume()}
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
    run = Run(folder / "data.h5", disk / "run").start().until_saved()
    os.kill(run.process, signal.SIGKILL)
    run.end()
    found = run.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))).end()
    return found | {"by": "a limit of file sizes", "resumed_at": run.resume()}


def read_only(folder: Path) -> dict[str, Any]:
    """Starts on a read-only file system; without the rights of root takes the permission away instead."""
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", disk):
        return no_permission(folder)
    try:
        run = Run(folder / "data.h5", disk / "run").start().until_saved()
        os.kill(run.process, signal.SIGKILL)
        run.end()
        _mount("-o", "remount,ro", disk)
        found = run.start().end()
        _mount("-o", "remount,rw", disk)
        return found | {"resumed_at": run.resume()}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def no_permission(folder: Path) -> dict[str, Any]:
    """Takes the permission to write away while the run trains; from root by making the folders immutable."""
    run = Run(folder / "data.h5", folder / "run").start().until_saved()
    folders = run.out / "checkpoints", run.out

    def permit(write: bool) -> None:
        for path in folders:
            if os.geteuid() == 0:
                subprocess.run(["chattr", "-i" if write else "+i", path], check=True)
            else:
                path.chmod(0o700 if write else 0o500)

    permit(False)
    try:
        found = run.end()
    finally:
        permit(True)
    return found | {"resumed_at": run.resume()}


def deleted(folder: Path) -> dict[str, Any]:
    """Deletes the run folder while the run trains; the run begins anew."""
    run = Run(folder / "data.h5", folder / "run").start().until_saved()
    while run.out.exists():
        shutil.rmtree(run.out, ignore_errors=True)
    found = run.end()
    left = run.out.exists()
    run.resume()
    return found | {"left": left, "resumed_at": None}


def renamed(folder: Path) -> dict[str, Any]:
    """Renames the run folder while the run trains; the run resumes under the new name."""
    run = Run(folder / "data.h5", folder / "run").start().until_saved()
    run.out.rename(folder / "moved")
    found = run.end()
    left = run.out.exists()
    return found | {"left": left, "resumed_at": Run(folder / "data.h5", folder / "moved").resume()}


def clock_back(folder: Path) -> dict[str, Any]:
    """Sets the clock back by a day while the run trains, and by another day when it resumes."""
    run = Run(folder / "data.h5", folder / "run").start(lambda: _clock(folder, 1)).until_saved()
    (folder / "back").touch()
    run.until_saved()
    os.kill(run.process, signal.SIGTERM)
    found = run.end()
    newest = run._saved()
    resumed = run.resume(lambda: _clock(folder, 2))
    steps = 4
    return found | {"newest": newest // steps, "resumed_at": resumed}


def second_writer(folder: Path) -> dict[str, Any]:
    """Starts the same command twice, then kills the first process."""
    first = Run(folder / "data.h5", folder / "run").start().until_saved()
    return _second(folder, first)


def second_writer_without_locks(folder: Path) -> dict[str, Any]:
    """The same where the file system has no locks."""
    first = Run(folder / "data.h5", folder / "run").start(_no_locks).until_saved()
    return _second(folder, first, _no_locks)


def _second(folder: Path, first: Run, within: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    second = Run(folder / "data.h5", first.out)
    second.log = folder / "second_log"
    found = second.start(within).end()
    names = str(first.process) in found["said"]
    os.kill(first.process, signal.SIGKILL)
    first.end()
    return found | {"names_first": names, "resumed_at": first.resume(within)}


def _no_locks() -> None:
    from lfadsx.training import run_lock

    def refuse(*given: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    run_lock.fcntl.flock = refuse  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    run_lock.BEAT = 1.0


def _clock(folder: Path, days: int) -> None:
    real, real_ns = time.time, time.time_ns

    def back() -> int:
        return 86_400 * days * ((folder / "back").exists())

    time.time, time.time_ns = lambda: real() - back(), lambda: real_ns() - 10**9 * back()


def _mount(*words: Any) -> bool:
    return subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode == 0


CASES = {
    "full disk": full,
    "read-only": read_only,
    "no permission": no_permission,
    "deleted": deleted,
    "renamed": renamed,
    "clock back": clock_back,
    "second writer": second_writer,
    "second writer without locks": second_writer_without_locks,
}
EXPECTED = dict.fromkeys(CASES, (2,)) | {"clock back": (128 + signal.SIGTERM,)}


if __name__ == "__main__":
    main()

"""Files are tried in another process first: damage that crashes the HDF5 library must not end the user's program."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Literal, cast

from lfadsx.errors import DataError

Kind = Literal["hdf5", "matlab"]

MOST_SECONDS = 120.0
"""Time in seconds that a file may need in the other process. Its time of the processor has a shorter limit."""

log = logging.getLogger("lfadsx")


class _Prober:
    """The other process. It starts with the first file and ends with this process; a crash starts it anew."""

    def __init__(self) -> None:
        self._lock, self._owner = threading.Lock(), 0
        self._process: subprocess.Popen[bytes] | None = None
        self._works = bool(sys.executable) and not getattr(sys, "frozen", False)

    def ask(self, path: Path, size: int, kind: Kind = "hdf5") -> Any:
        """Returns the answer of the process; None if it ended, and "" if there can be no such process here."""
        with self._lock:
            if not self._works:
                return ""
            process = self._process
            if process is None or self._owner != os.getpid():  # a fork must not share the pipes
                process = self._start()
            return "" if process is None else self._answer(process, json.dumps([str(path), size, kind]))

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Starts the process and returns it; None if there can be none here."""
        # Without -P the folder of the script would come first among the modules that can be imported.
        command = [sys.executable, "-P", str(Path(__file__).with_name("probe_process.py"))]
        pipe, hidden = subprocess.PIPE, getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows no window opens
        with contextlib.suppress(OSError):
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, creationflags=hidden
            )
            if _line(process) == b"ready":
                self._process, self._owner = process, os.getpid()
                return process
        self._works = False
        log.info("HDF5 files are opened without a trial, because no other process can be started here.")
        return None

    def _answer(self, process: subprocess.Popen[bytes], question: str) -> Any:
        with contextlib.suppress(OSError):
            to_process = cast(IO[bytes], process.stdin)
            to_process.write(question.encode() + b"\n")
            to_process.flush()
            if line := _line(process):
                return json.loads(line)
        self.stop()
        return None

    def stop(self) -> None:
        """Ends the process of this process, if there is one."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """Returns the next line; an empty one if the process has ended, or was ended because it took too long."""
    timer = threading.Timer(MOST_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        return cast(IO[bytes], process.stdout).readline().strip()
    finally:
        timer.cancel()


_PROBER = _Prober()
atexit.register(_PROBER.stop)

_KNOWN: set[tuple[str, int, int]] = set()
"""Path, size and time of change of files that were tried or written by this process."""


def trust(path: Path) -> None:
    """Marks a file that this process has written, so that it is not tried."""
    _KNOWN.add(_identity(path))


def probe(path: Path, kind: Kind = "hdf5") -> None:
    """Opens a file in another process, unless it is known, and then the files that it refers to.

    Raises:
        DataError: If a library crashes or does not end, or the file refers to a file outside its folder.
    """
    identity = _identity(path)
    if identity in _KNOWN:
        return
    answer = _PROBER.ask(path.absolute(), identity[1], kind)
    if answer is None or answer == "memory":
        library = "HDF5 library" if kind == "hdf5" else "reader of SciPy for MATLAB files"
        what = "needed more than 4 GiB of memory to open" if answer else "crashed on it or did not come to an end"
        raise DataError(
            f"The file {str(path)!r} must be whole, but the {library} {what}. Copy it again from its source, or "
            "write it again."
        )
    _KNOWN.add(identity)
    for way, place, name in answer or ():
        if name != ".":  # the file itself
            _check_reference(path, way, place, name)


def _check_reference(path: Path, way: str, place: str, name: str) -> None:
    """Raises `DataError` if a file refers to another one that does not lie in its folder; else tries that one."""
    here, there = path.parent / name, Path(name)
    if there.is_absolute():
        inside = any(there.is_relative_to(folder) for folder in (path.parent.absolute(), path.parent.resolve()))
    else:
        inside = here.exists() or not there.exists()  # HDF5 also looks in the current folder
    elsewhere = not inside or ".." in there.parts
    if way == "chunk":
        _KNOWN.discard(_identity(path))
        raise DataError(
            f"{place!r} of {path.name!r} must be whole, but one of its chunks {name}. Copy the file again from its "
            "source, or write it again."
        )
    if way == "raw" or elsewhere:
        _KNOWN.discard(_identity(path))
        raise DataError(
            f"{place!r} of {path.name!r} must be stored in the file, or linked to another HDF5 file in the same "
            f"folder, but its numbers are in {name!r}. Store the array itself, or put that HDF5 file beside this one "
            "and link it by its name."
        )
    if here.is_file():
        probe(here)


def _identity(path: Path) -> tuple[str, int, int]:
    facts = path.stat()
    return str(path.absolute()), facts.st_size, facts.st_mtime_ns

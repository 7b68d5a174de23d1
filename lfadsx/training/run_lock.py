"""The lock of a run folder: at most one process at a time trains in it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import logging
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from lfadsx import processes
from lfadsx.errors import LfadsxError, RunError
from lfadsx.files import check_writable, is_running, remove_leftovers, write_json, writing

try:
    import fcntl
except ImportError:  # not on Windows, where the heartbeat is used
    fcntl = None

log = logging.getLogger("lfadsx")

P = ParamSpec("P")
R = TypeVar("R")

LOCK, HEARTBEAT = ".lock", ".heartbeat"
BEAT = 10.0
"""Seconds between two heartbeats."""
SILENCE = 60.0
"""Seconds without a heartbeat after which a process counts as dead."""


class _Lock(Protocol):
    def holds(self) -> bool: ...

    def release(self) -> None: ...


_held: dict[Path, tuple[int, _Lock]] = {}
"""Locks of this process by folder, with the thread that took them."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Holds the lock of a run folder, which is made if it is missing. Blocks inside such a block need no lock.

    The lock is one of the operating system and ends with the process, however that ends. Where the file system has no
    locks, a file is the heartbeat of the process. With several processes of one run, the first one holds the lock.

    Raises:
        RunError: If another process or thread holds the lock, or the folder cannot be written.
    """
    folder, thread = Path(folder).resolve(), threading.get_ident()
    if not processes.is_first() or _holder(folder, thread):
        yield
        return
    check_writable(folder / LOCK)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with writing(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take(folder)
    _held[folder] = thread, lock
    try:
        if processes.count() == 1:  # other processes of this run may be writing already
            remove_leftovers(folder)
        yield
    finally:
        _held.pop(folder, None)
        if made and lock.holds() and {file.name for file in folder.glob("*")} <= {LOCK, HEARTBEAT}:
            shutil.rmtree(folder, ignore_errors=True)  # a run with wrong settings leaves nothing
            with contextlib.suppress(OSError):  # a parent that holds other files stays
                for parent in made[1:]:
                    parent.rmdir()
        lock.release()


def locks_out(job: Callable[P, R]) -> Callable[P, R]:
    """Makes a function hold the lock of its argument `out`, a run folder or None, while it runs."""
    signature = inspect.signature(job)

    @functools.wraps(job)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        out = signature.bind(*args, **kwargs).arguments.get("out")
        with contextlib.nullcontext() if out is None else locked(out):
            return job(*args, **kwargs)

    return inner


def check_held(folder: str | Path) -> None:
    """Checks before writing that a locked folder is still the one that was locked.

    Raises:
        RunError: If the folder was deleted, renamed or taken over by another process.
    """
    folder = Path(folder).resolve()
    held = _holder(folder, threading.get_ident())
    if held and not held.holds():
        raise RunError(
            f"The run folder {folder} must stay in place during a run, but it was deleted, renamed or taken over by "
            "another process. Put the folder back, or give its new place as `out`, and repeat the command: it resumes "
            "from the newest checkpoint in the folder."
        )


def _holder(folder: Path, thread: int) -> _Lock | None:
    """Returns the lock that a thread of this process holds of a folder, or of a folder that contains it."""
    locks = (_held.get(own) for own in (folder, *folder.parents))
    return next((lock for owner, lock in filter(None, locks) if owner == thread), None)


def _take(folder: Path) -> _Lock:
    if fcntl is not None:
        try:
            return _SystemLock(folder / LOCK)
        except BlockingIOError:
            raise _in_use(folder / LOCK) from None
        except _NoLocksError:
            pass
    return _Heartbeat(folder / HEARTBEAT)


def _in_use(file: Path) -> RunError:
    """Returns the error for a folder that another process holds."""
    owner = _read(file)
    pid, host = owner.get("pid", "unknown"), owner.get("host", "unknown")
    return RunError(
        f"The run folder {file.parent} is in use by process {pid} on {host}. Wait until that process ends, stop it "
        f"with `kill {pid}`, or give another folder."
    )


def _owner() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": platform.node()}


def _read(file: Path) -> dict[str, Any]:
    """Returns what a lock or a heartbeat says of its process; nothing if it cannot be read."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class _NoLocksError(Exception):
    """The file system has no locks."""


class _SystemLock:
    """A lock of the operating system on a file, which stays when the lock ends. Raises BlockingIOError if taken."""

    def __init__(self, file: Path) -> None:
        self._file, self._descriptor = file, os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock()
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, json.dumps(_owner()).encode())
        except BaseException:
            os.close(self._descriptor)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _NoLocksError from error

    def holds(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._file.stat())
        except OSError:
            return False

    def release(self) -> None:
        os.close(self._descriptor)


class _Heartbeat:
    """A file that this process writes anew every few seconds. Its age is measured by waiting, not by clocks."""

    def __init__(self, file: Path) -> None:
        self._file, self._token, self._beats = file, uuid.uuid4().hex, 0
        self._wait_for_silence()
        self._beat()
        self._ended = threading.Event()
        threading.Thread(target=self._keep_beating, daemon=True).start()

    def _wait_for_silence(self) -> None:
        first = _read(self._file)
        if not first or (first.get("host") == platform.node() and not is_running(first.get("pid", 0))):
            return
        log.info("Waiting up to %.0f s to see whether process %s still uses %s.", SILENCE, first, self._file.parent)
        until = time.monotonic() + SILENCE
        while time.monotonic() < until:
            time.sleep(BEAT / 10)
            now = _read(self._file)
            if not now:
                return
            if now != first:
                raise _in_use(self._file)

    def _beat(self) -> None:
        self._beats += 1
        write_json(self._file, _owner() | {"token": self._token, "beats": self._beats})

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT) and self.holds():
            # A beat that fails once, as on a full disk, may succeed the next time.
            with contextlib.suppress(OSError, LfadsxError):
                self._beat()

    def holds(self) -> bool:
        return _read(self._file).get("token") == self._token

    def release(self) -> None:
        self._ended.set()
        if self.holds():
            self._file.unlink(missing_ok=True)


def _forget() -> None:
    """Closes the locks in a forked process, which would keep them when this process has been killed."""
    for _, lock in _held.values():
        if isinstance(lock, _SystemLock):
            lock.release()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

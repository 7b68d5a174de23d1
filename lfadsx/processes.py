"""Several processes of one run, on one machine or several: how they connect, agree and end together."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src import distributed  # Orbax uses the same client; JAX has no public name for it

from lfadsx.errors import LfadsxError

T = TypeVar("T")

HEARTBEAT = 30
"""Seconds without a sign of life after which a process counts as dead."""
PARTING = 15
"""Seconds that a process which ends waits for the others to end, too."""
LOST = 3
"""Exit code of a process that ends because another one has."""
WORDS = (
    "Another process of this run has ended or cannot be reached, so this one ends, too. Mend what its log names, if "
    "anything, and start all processes again with the same commands: the run resumes from its newest checkpoint."
)
NOT_CONNECTED = (
    "The processes must all connect within {timeout} s, but some did not. Start every process with the same "
    "--coordinator and --num-processes and its own --process-id, and check that all hosts can reach {address}."
)

_rounds = itertools.count()


def count() -> int:
    """Returns the number of processes of the run; unlike `jax.process_count` it does not start the devices."""
    return distributed.global_state.num_processes if distributed.global_state.client else 1


def is_first() -> bool:
    """Returns whether this process is the one that writes files, logs and figures."""
    return distributed.global_state.process_id == 0


def connect(address: str, n: int, index: int, *, timeout: int) -> None:
    """Connects this process with the others of its run, before JAX has looked for devices.

    If another process ends or cannot be reached, this one says so and ends with the code `LOST`.

    Args:
        address: Host and port of the process 0, "HOST:PORT".
        n: Number of processes.
        index: Number of this process, from 0.
        timeout: Seconds to wait for the others.

    Raises:
        LfadsxError: If a value is out of range, or the process 0 cannot be reached.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise LfadsxError(f"`coordinator` must be HOST:PORT, such as node1:8476, got {address!r}.")
    if n < 1:
        raise LfadsxError(f"`num_processes` must be at least 1, got {n}.")
    if not 0 <= index < n:
        raise LfadsxError(f"`process_id` must be from 0 to {n - 1} for {n} processes, got {index}.")
    if n > 1:
        _reach(host.strip("[]"), int(port), timeout, own=index == 0)
        own = dict(coordinator_address=address, num_processes=n, process_id=index)
        _initialize(address, timeout, **own, cluster_detection_method="deactivate")


def connect_scheduled(*, timeout: int) -> None:
    """Connects the tasks of a Slurm or Open MPI job, as JAX detects them; with a single task it does nothing.

    Raises:
        LfadsxError: If no scheduler has started this process, or JAX cannot detect the tasks.
    """
    if scheduled_tasks() is None:
        raise LfadsxError(
            "`coordinator` can be `auto` in a process that Slurm (srun) or Open MPI (mpirun) has started, but neither "
            "has. Give HOST:PORT with --num-processes and --process-id."
        )
    if scheduled_tasks() == 1:
        return
    try:
        _initialize("the first task", timeout)
    except ValueError as error:
        raise LfadsxError(
            f"JAX cannot detect the tasks of this job ({error}). Give --coordinator HOST:PORT, --num-processes and "
            "--process-id."
        ) from error


def scheduled_tasks() -> int | None:
    """Returns how many tasks Slurm or Open MPI has started of this program; None without them."""
    names = {"SLURM_NTASKS": "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK"}
    return next((int(os.environ[n]) for n, index in names.items() if n in os.environ and index in os.environ), None)


def _reach(host: str, port: int, timeout: int, *, own: bool) -> None:
    """Waits until the process 0 listens; in the process 0 itself, checks that its port is free."""
    until = time.monotonic() + timeout
    while not own:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise LfadsxError(
                    f"The process 0 must listen at {host}:{port}, but it could not be reached within {timeout} s "
                    f"({error.strerror or error}). Start it there, or correct --coordinator."
                ) from error
            time.sleep(0.2)
    try:
        socket.create_server(("", port), reuse_port=False).close()
    except OSError as error:
        raise LfadsxError(
            f"The process 0 must be able to listen at port {port}, but cannot ({error.strerror}). Give another port "
            "in --coordinator."
        ) from error


def _initialize(address: str, timeout: int, **how: Any) -> None:
    end_with(NOT_CONNECTED.format(timeout=timeout, address=address), LOST)
    limits: Any = dict(
        initialization_timeout=timeout, heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=PARTING
    )
    jax.distributed.initialize(**how, **limits)
    end_with(WORDS, LOST)


def end_with(words: str, code: int) -> None:
    """Sets what this process says, and its exit code, when JAX ends it because of another process.

    JAX then calls `abort` in another thread. Only a handler of its signal, written for C, can still say something.
    """

    def end(number: int) -> None:
        os.write(2, f"{words}\n".encode() if words else b"")
        os._exit(code)

    if os.name == "posix":
        handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
        _kept.append(handler)
        ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGABRT), handler)


_kept: list[Any] = []
"""Handlers that C code may call, which must stay in memory."""


def is_loss(error: BaseException | None) -> bool:
    """Returns whether an exception, or what caused it, says that another process has ended or cannot be reached."""
    lost = ("Gloo", "oordination", "Connection closed by peer", "Connection reset by peer")
    while error is not None and count() > 1:
        if any(word in str(error) for word in lost):
            return True
        error = error.__cause__ or error.__context__
    return False


def leave(code: int) -> None:
    """Parts from the other processes when this one is about to end with an exit code.

    If the others do not end within `PARTING` seconds, this process ends at once, which the others notice.
    """
    client = distributed.global_state.client
    if count() == 1 or client is None:
        return
    end_with("", code)
    sys.stdout.flush()
    client.key_value_set(f"lfadsx/end/{distributed.global_state.process_id}", "")
    try:
        for index in range(count()):
            client.blocking_key_value_get(f"lfadsx/end/{index}", 1000 * PARTING)
        jax.distributed.shutdown()
    except jax.errors.JaxRuntimeError:
        os._exit(code)


def exchange(value: Any) -> list[Any]:
    """Returns the values (as JSON) of all processes; every process must call this at the same place."""
    client, n, own = distributed.global_state.client, count(), distributed.global_state.process_id
    if n == 1 or client is None:
        return [value]
    number = next(_rounds)
    client.key_value_set(f"lfadsx/{number}/{own}", json.dumps(value))
    found = [json.loads(_get(client, f"lfadsx/{number}/{index}")) for index in range(n)]
    if number:  # all have read the values of the round before, or they would not be in this one
        client.key_value_delete(f"lfadsx/{number - 1}/{own}")
    return found


def _get(client: Any, key: str) -> str:
    while True:
        try:
            return client.blocking_key_value_get(key, 1000)  # in portions, so that signals are handled
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def wait() -> None:
    """Waits until all processes have come to the same place."""
    exchange(None)


def on_first(job: Callable[[], T], otherwise: T) -> T:
    """Runs a job in the first process, while the others wait; these return `otherwise`."""
    result = job() if is_first() else otherwise
    wait()
    return result

"""Processes that run the command line, start at once, and can be killed.

The library is imported once; each process is a fork of this one. JAX must not be used here before, because its threads
do not survive a fork. What needs JAX runs in a process of its own (`in_process`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MODULES = ("fit_commands", "model_commands")
QUICK = {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "MPLBACKEND": "agg",
}
"""Small programs: compiling them takes longer than running them."""
SMALL = ("--devices", 1, "--samples", 4, "--batch-size", 8, "--kl-ramp-epochs", 2, "--l2-ramp-epochs", 2)
"""Flags of short runs."""


def prepare(folder: Path) -> None:
    """Imports the library; programs that JAX compiles are kept in a folder, which later processes read."""
    os.environ.update(QUICK | {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")})
    for name in (*(f"lfadsx.cli.{module}" for module in MODULES), "lfadsx.pipeline", "lfadsx.plotting"):
        importlib.import_module(name)
    import orbax.checkpoint  # noqa: F401


def begin(does: Callable[[], int | None], log: Path) -> int:
    """Starts a process that calls a function, and returns its number. What it prints goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    log.unlink(missing_ok=True)
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = does() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(words: Sequence[Any], log: Path) -> int:
    """Starts `lfadsx` with words and returns the number of its process."""
    from lfadsx.cli import main

    return begin(lambda: main([str(word) for word in words]), log)


def ended(process: int, *, wait: bool = False) -> int | None:
    """Returns the exit code of a process, negative for a signal; None if it still runs."""
    found, status = os.waitpid(process, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def in_process(does: Callable[[], Any]) -> Any:
    """Calls a function in a process of its own and returns its result, which JSON must be able to hold."""
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result", Path(folder) / "log"

        def write() -> None:
            result.write_text(json.dumps(does()))

        code = ended(begin(write, log), wait=True)
        if code:
            raise RuntimeError(f"The process ended with {code}:\n{log.read_text()}")
        return json.loads(result.read_text())


def write_data(path: Path, *, n_trials: int = 40, n_bins: int = 20, n_neurons: int = 12) -> Path:
    """Writes a data file of random counts."""
    import numpy as np

    import lfadsx
    from lfadsx.data.writing import write_dataset

    def make() -> None:
        rng = np.random.default_rng(0)
        rates = np.exp(rng.normal(-1, 0.5, (n_trials, 1, n_neurons)) + np.sin(np.arange(n_bins) / 4)[:, None])
        write_dataset(path, lfadsx.from_arrays(rng.poisson(rates), bin_width=0.01, valid_fraction=0.2))

    in_process(make)
    return path

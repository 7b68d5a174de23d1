"""What all commands share: exit codes, lines for the reader, the closing table, devices and caches."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import jax
import tyro

from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.pipeline import Outcome

DONE, OURS, USER = 0, 1, 2
Flat = tyro.conf.OmitArgPrefixes
Files = Annotated[tuple[Path, ...], tyro.conf.Positional]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def close(outcome: Outcome, as_json: bool) -> None:
    """Prints warnings, the closing table, the files, and the JSON line if asked."""
    from lfadsx.evaluation import format_table

    for warning in outcome.warnings:
        say(warning)
    text = format_table(outcome.evaluation.table)
    (sys.stderr if as_json else sys.stdout).write(f"\n{outcome.evaluation.scores['split']} trials\n{text}\n")
    if outcome.files:
        say("Wrote " + ", ".join(str(file) for file in outcome.files))
    if as_json:
        scores = outcome.evaluation.scores | {"seconds": round(outcome.seconds, 2)}
        sys.stdout.write(json.dumps(scores) + "\n")


LEAST_TRIALS = 16
"""Trials of a batch that a core has at least when all cores are used: with fewer its products are slow."""


def use_devices(n: int | None, batch_size: int = 1) -> int:
    """Makes as many host devices on a CPU, and returns their number; must come before JAX has looked for devices.

    Args:
        n: Number of devices; None for one GPU, or for as many cores of a CPU as have enough to do.
        batch_size: Number of trials that share them, which `None` depends on.

    Raises:
        LfadsxError: If `n` is below 1.
    """
    if n is not None and n < 1:
        raise LfadsxError(f"devices = {n} is no number of devices. Give at least 1.")
    wanted = min(_cores(), max(1, batch_size // LEAST_TRIALS)) if n is None else n
    if wanted > 1:
        with contextlib.suppress(RuntimeError):  # devices exist already; make_mesh says if they are too few
            jax.config.update("jax_num_cpu_devices", wanted)
    if n is None:
        return min(wanted, len(jax.devices())) if jax.default_backend() == "cpu" else 1
    return n


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, so that a second run starts at once."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(base) / "lfadsx" / "compiled"))


def is_users(error: BaseException) -> bool:
    """Returns whether the user can mend an error."""
    return isinstance(error, LfadsxError | OSError)


def fault() -> int:
    """Prints the traceback of a fault of ours and returns its exit code."""
    traceback.print_exc()
    say("This is a fault of lfadsx, not yours. Please report it with the lines above; the run folder is as it was.")
    return OURS


def say(text: str) -> None:
    """Writes a line for the reader; results alone go to the standard output."""
    sys.stderr.write(text + "\n")

"""What all commands share: exit codes, what is printed of a job, devices and caches."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.findings import Finding
    from lfadsx.pipeline import Outcome

DONE, OURS, USER = 0, 1, 2


def print_scores(outcome: Outcome, as_json: bool = False) -> None:
    """Prints the tables and sentences of a job; arguments as in `report`."""
    if outcome.text:
        (sys.stderr if as_json else sys.stdout).write(f"\n{outcome.text}\n")
        sys.stdout.flush()


def report(
    outcome: Outcome, as_json: bool = False, said: Collection[Finding] = (), *, scores_printed: bool = False
) -> int:
    """Prints what a job returned, in the first of several processes, and returns the exit code.

    Args:
        outcome: What the job returned.
        as_json: If True, the JSON line is the only line of the standard output.
        said: Findings that were printed before the job; notes among them are not repeated.
        scores_printed: If True, `print_scores` has printed the scores already.
    """
    from lfadsx.processes import is_first

    if not is_first():
        return 128 + outcome.signal if outcome.signal else DONE
    if not scores_printed:
        print_scores(outcome, as_json)
    for finding in outcome.findings:
        if finding.level != "note" or finding not in said:
            say(str(finding))
    if outcome.files:
        say(f"Wrote {_names(outcome.files)} in {outcome.seconds:.0f} s.")
    if outcome.signal:
        return 128 + outcome.signal
    if as_json:
        sys.stdout.write(outcome.json_line + "\n")
    return DONE


def _names(files: Sequence[Path]) -> str:
    """Returns the paths of files; figures only by their number and folder."""
    figures = [file for file in files if file.parent.name == "figures"]
    names = [str(file) for file in files if file not in figures]
    if figures:
        names.append(f"{len(figures)} figure{'s' * (len(figures) > 1)} in {figures[0].parent}")
    return ", ".join(names)


LEAST_TRIALS = 16
"""Trials of a batch that a core has at least when all cores are used: with fewer its products are slow."""


def use_devices(n: int | None, batch_size: int = 1) -> int:
    """Makes as many host devices on a CPU, and returns their number; must come before JAX has looked for devices.

    With several processes these are the devices of each of them.

    Args:
        n: Number of devices; None for one GPU, or for as many cores of a CPU as have enough to do.
        batch_size: Number of trials that share them, which `None` depends on.

    Raises:
        LfadsxError: If `n` is below 1.
    """
    import jax

    from lfadsx.processes import exchange

    if n is not None and n < 1:
        raise LfadsxError(f"`--devices` must be at least 1, got {n}.")
    wanted = min(_cores(), max(1, batch_size // LEAST_TRIALS)) if n is None else n
    wanted = min(exchange(wanted))
    if wanted > 1:
        with contextlib.suppress(RuntimeError):  # devices exist already; make_mesh says if they are too few
            jax.config.update("jax_num_cpu_devices", wanted)
    if n is None:
        return min(wanted, len(jax.local_devices())) if jax.default_backend() == "cpu" else 1
    return wanted


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, so that a second run starts at once.

    JAX_COMPILATION_CACHE_DIR names another folder; JAX_ENABLE_COMPILATION_CACHE=false switches the cache off.
    """
    import jax

    # A run has some 50 programs that each compile in far less than the second from which JAX keeps them by default.
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(base) / "lfadsx" / "compiled"))


def say(text: str) -> None:
    """Writes a line for the reader; results alone go to the standard output."""
    sys.stderr.write(text + "\n")

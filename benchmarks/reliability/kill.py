"""`lfadsx fit` is killed at random moments and resumed: what is lost, and is the end the same?

    python -m benchmarks.reliability.kill --kills 100

Four runs (two sizes; a single model and a population) are trained once without interruption. Then the same commands are
killed by SIGKILL again and again, while they train, save, score or draw, and resumed until they end. The last line is
one JSON object:

* `kills`, `resumed`: kills, and processes that took up a run which had been killed;
* `by_phase`: kills by what the process was doing;
* `runs`, `identical`: runs that were killed and brought to their end, and those whose final parameters, best parameters
  and state of the optimiser equal those of the uninterrupted run bit for bit;
* `max_lost_steps`: the most steps that had been trained and had to be trained again;
* `lost_saves`: resumed processes that did not use the newest complete checkpoint (0 is right);
* `torn_files`: files under their own names that were incomplete after a kill (0 is right).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import re
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py

from benchmarks.reliability.processes import SMALL, command, ended, in_process, prepare, write_data

EPOCHS, STEPS = 8, 4
"""Epochs of a run, and steps of an epoch: 32 trials in batches of 8."""
RUNS = {
    "small": ("--generator-dim", 8, "--factors", 3),
    "small population": ("--generator-dim", 8, "--factors", 3, "--population", 2, "--epochs-per-generation", 2),
    "large": ("--generator-dim", 24, "--factors", 6),
    "large population": ("--generator-dim", 24, "--factors", 6, "--population", 2, "--epochs-per-generation", 2),
}
SAVING = ("--set", "checkpoints=0.005,2")
"""A checkpoint as soon as 0.3 s have passed: some steps lie between two saves, and a run has several saves."""
PHASES = ("training", "saving", "scoring", "figures")
TRAINS, ENDED = "compiling and training", "ended after epoch"
"""What the command prints before it trains, and when it finds that the training has ended."""
PATIENCE = 1800.0
"""Seconds after which a process that prints nothing new counts as stuck."""


@dataclasses.dataclass
class Killed:
    """A killed process: the phase, epochs trained, the epoch of its newest complete checkpoint, and torn files."""

    phase: str
    epoch: int
    saved: int
    torn: list[str]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills")
    parser.add_argument("--per-run", type=int, default=6, help="kills of a run before it is left to end")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS, help="runs")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no further kill after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="folder to work in, which is kept; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lfadsx_kill_") as temporary:
        print(json.dumps(measure(options.folder or Path(temporary), options)))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of the JSON line."""
    began, rng = time.monotonic(), random.Random(options.seed)
    prepare(folder)
    data = write_data(folder / "data.h5")
    words = {name: ("fit", data, *RUNS[name], *SMALL, *SAVING, "--epochs", EPOCHS) for name in options.runs}
    whole: dict[str, dict[str, float]] = {}
    kills: list[Killed] = []
    resumed, lost_saves, lost, runs, identical = 0, 0, 0, 0, 0
    (folder / "killed").mkdir()

    def is_late() -> bool:
        return time.monotonic() - began > 60 * options.minutes

    while len(kills) < options.kills and not is_late():
        name = options.runs[runs % len(options.runs)]
        if name not in whole:
            whole[name] = _uninterrupted(folder / "whole" / name, words[name])
            print(f"{name}: {whole[name]} s by phase, {time.monotonic() - began:.0f} s in all", flush=True)
        out, targets = folder / "killed" / f"{runs}", _targets(rng, min(options.per_run, options.kills - len(kills)))
        last: Killed | None = None
        for target in (*targets, None):
            if target and is_late():
                continue
            process = command((*words[name], "--out", out), _log(out))
            resumed += last is not None
            now = _kill(process, out, target, whole[name], rng)
            if last is not None and (epoch := _resumed_at(_log(out))) is not None:
                lost_saves += epoch < last.saved
                lost = max(lost, (last.epoch - epoch) * STEPS)
            if now is None:
                break
            kills.append(now)
            last = now
        runs += 1
        same = in_process(lambda name=name, out=out: _same(folder / "whole" / name, out))
        identical += same
        seconds = time.monotonic() - began
        print(f"{name}: {len(kills)} kills, identical {identical} of {runs}, {seconds:.0f} s in all", flush=True)
    return {
        "benchmark": "kill",
        "commands": options.runs,
        "kills": len(kills),
        "resumed": resumed,
        "runs": runs,
        "identical": identical,
        "max_lost_steps": lost,
        "lost_saves": lost_saves,
        "torn_files": sorted({file for killed in kills for file in killed.torn}),
        "by_phase": dict(Counter(killed.phase for killed in kills)),
        "steps": EPOCHS * STEPS,
        "seconds": round(time.monotonic() - began),
    }


def _targets(rng: random.Random, n: int) -> list[str]:
    """Returns the phases in which a run is to be killed, in the order in which a run reaches them."""
    chosen = [PHASES[i % len(PHASES)] for i in range(n)]
    early = [phase for phase in chosen if phase in ("training", "saving")]
    rng.shuffle(early)
    return early + sorted((phase for phase in chosen if phase not in early), key=PHASES.index)


def _uninterrupted(out: Path, words: tuple[Any, ...]) -> dict[str, float]:
    """Trains a run to its end and returns the seconds of its phases; an earlier one in the folder is used again."""
    phases = out.with_name(f"{out.name}.json")
    if phases.exists():
        return json.loads(phases.read_text())
    out.parent.mkdir(parents=True, exist_ok=True)
    process, since, began = command((*words, "--out", out), _log(out)), time.time_ns(), {}
    while (code := ended(process)) is None:
        for phase in _reached(out, since):
            began.setdefault(phase, time.monotonic())
        time.sleep(0.02)
    if code:
        raise RuntimeError(f"The command ended with {code}:\n{_log(out).read_text()}")
    ends = [*list(began.values())[1:], time.monotonic()]
    seconds = {phase: round(end - start, 1) for (phase, start), end in zip(began.items(), ends, strict=True)}
    phases.write_text(json.dumps(seconds))
    return seconds


def _kill(process: int, out: Path, target: str | None, seconds: dict[str, float], rng: random.Random) -> Killed | None:
    """Kills a process at a random moment of a phase; returns None if it ends before."""
    at, until, left, since = None, time.monotonic() + PATIENCE, _partial(out), time.time_ns()
    while (code := ended(process)) is None:
        if time.monotonic() > until:
            raise RuntimeError(f"The process is stuck:\n{_log(out).read_text()}")
        if target and at is None and (_partial(out) - left if target == "saving" else target in _reached(out, since)):
            at = time.monotonic() + rng.uniform(0, 0.05 if target == "saving" else seconds[target])
        if at is not None and time.monotonic() >= at:
            return _killed(process, out, left, since)
        time.sleep(0.005)
    if code:
        raise RuntimeError(f"The command ended with {code}:\n{_log(out).read_text()}")
    return None


def _killed(process: int, out: Path, left: set[tuple[str, int]], since: int) -> Killed | None:
    os.kill(process, signal.SIGKILL)
    if ended(process, wait=True) != -signal.SIGKILL:
        return None
    phase = "saving" if _partial(out) - left else ["start", *_reached(out, since)][-1]
    table = next((file for name in ("history.csv", "population.csv") if (file := out / name).exists()), None)
    lines = [] if table is None else table.read_text().splitlines()
    epoch = 0 if len(lines) < 2 else int(float(lines[-2 if _is_torn_line(lines) else -1].split(",")[_column(lines)]))
    saved = [int(path.name) for path in (out / "checkpoints").glob("[0-9]*")]
    return Killed(phase, epoch, max(saved, default=0) // STEPS, _torn(out))


def _column(lines: list[str]) -> int:
    return lines[0].split(",").index("epoch")


def _is_torn_line(lines: list[str]) -> bool:
    return lines[-1].count(",") != lines[0].count(",") or len(lines) == 1


def _reached(out: Path, since: int) -> list[str]:
    """Returns the phases that a process has begun, which was started at a time of the clock of files, in ns."""
    said = _said(out)
    reached = ["training"] if TRAINS in said else []
    if (TRAINS in said or ENDED in said) and (out / "checkpoints" / f"{EPOCHS * STEPS:08d}").exists():
        reached.append("scoring")
    scores = (out / "metrics.json", out / "best_member" / "metrics.json")
    return reached + ["figures"] * any(file.exists() and file.stat().st_mtime_ns > since for file in scores)


def _said(out: Path) -> str:
    return _log(out).read_text() if _log(out).exists() else ""


def _partial(out: Path) -> set[tuple[str, int]]:
    """Returns the checkpoints that are being written or were when a process was killed, with their last change."""
    found = set()
    for folder in (out, out / "checkpoints"):
        for path in folder.glob(".*.*"):
            try:
                if path.is_dir():
                    found.add((path.name, path.stat().st_ctime_ns))
            except FileNotFoundError:
                pass
    return found


def _torn(out: Path) -> list[str]:
    """Returns the files under their own names that are not complete."""
    torn = []
    for path in out.rglob("[!.]*"):
        if path.suffix not in (".json", ".h5", ".png", ".html") or any(p.startswith(".") for p in path.parts):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".h5":
                h5py.File(path).close()
            else:
                end = {".png": b"IEND\xaeB`\x82", ".html": b"</html>"}[path.suffix]
                assert path.read_bytes().rstrip().endswith(end)
        except (OSError, ValueError, AssertionError):
            torn.append(path.name)
    return torn


def _resumed_at(log: Path) -> int | None:
    """Returns the epoch from which a process took up the run; None if it ended before it said so."""
    found = re.search(r"(?:Resuming the run in .*|The run in .* ended) after epoch (\d+)", log.read_text())
    if found:
        return int(found[1])
    return 0 if TRAINS in log.read_text() else None


def _log(out: Path) -> Path:
    return out.with_name(f"{out.name}.log")


def _same(one: Path, other: Path) -> bool:
    """Returns whether two runs have the same last state and the same models, bit for bit."""
    from lfadsx.training import checkpoint

    def arrays(run: Path) -> dict[str, Any]:
        models = run if (run / "best").is_dir() else run / "best_member"
        folders = (checkpoint.numbered(run / "checkpoints")[-1], models / "best", models / "last")
        return {f"{folder.name}/{name}": a for folder in folders for name, a in checkpoint.read_arrays(folder).items()}

    first, second = arrays(one), arrays(other)
    return first.keys() == second.keys() and all(first[name].tobytes() == second[name].tobytes() for name in first)


if __name__ == "__main__":
    main()

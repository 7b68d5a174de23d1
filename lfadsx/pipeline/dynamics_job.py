"""The job `dynamics`: fixed points, modes, autonomy and trust checks of a run's generator, in files and sentences."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from flax import nnx

from lfadsx import __version__
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.dynamics import (
    Autonomy,
    FixedPoints,
    Observability,
    autonomy,
    fixed_points,
    observability,
    step_map,
    trust,
    visit,
)
from lfadsx.evaluation import format_table
from lfadsx.files import write_csv, write_json
from lfadsx.findings import attempt
from lfadsx.pipeline.outcome import Outcome
from lfadsx.pipeline.report_job import attempt_page
from lfadsx.pipeline.scoring import check_bin_width, matched
from lfadsx.training.run_folder import RunFolder, Which

SHOWN = 10
"""Most points in the printed table."""


def dynamics_run(
    run: str | Path,
    data: Dataset,
    *,
    which: Which = "best",
    split: str | None = None,
    inputs: Literal["zero", "mean", "bias"] = "zero",
    n_starts: int = 512,
    seed: int = 0,
    parts: Iterable[type[nnx.Module]] = (),
) -> Outcome:
    """Writes `dynamics.json`, `dynamics.csv` and `figures/dynamics.png` into a run folder, and its page again.

    `which` and `parts` are as in `lfadsx.load`, `split` is as in `lfadsx.infer`, the other arguments as in
    `lfadsx.dynamics.fixed_points`.

    Raises:
        RunError: If the folder holds no run.
        LfadsxError: If the data do not fit the model.
    """
    began, folder = time.monotonic(), RunFolder(run)
    check_bin_width(folder.info, data.bin_width)
    data, model = matched(folder.info, data, folder.load(which=which, parts=parts))
    system = step_map(model, data)
    seen = visit(model, data, system, split)
    points = fixed_points(system, seen, inputs=inputs, n_starts=n_starts, seed=seed)
    read, alone = observability(system, seen), autonomy(system, seen)
    checked = trust(system, seen, read=read, alone=alone)
    rows, failed = points.rows(), []
    facts: dict[str, Any] = {"version": __version__, "which": which, "split": split_name(data.splits, split)}
    facts |= {"inputs": inputs, "n_starts": n_starts, "seed": seed, "bin_width": data.bin_width, "fixed_points": rows}
    facts["autonomy"] = {"seconds": alone.bins * (alone.bin_width or 1.0), "alone": alone.alone, "held": alone.held}
    said = [*sentences(points, alone, inputs, system.n_inputs), _filled(read)]
    facts |= {"trust": checked, "dimensions": read.dimensions, "sentences": said}
    files = [write_json(folder.dynamics, facts)]
    if rows:
        files.append(write_csv(folder.path / "dynamics.csv", [_flat(row) for row in rows]))
    drawn = attempt(failed, "figure", "dynamics", lambda: _draw(folder, system, seen, points, alone, inputs=inputs))
    files += [] if drawn is None else [drawn]
    if folder.report_page.is_file():
        files += attempt_page(failed, folder.path, data)
    table = format_table([_shown(i, row) for i, row in enumerate(rows[:SHOWN])]) if rows else ""
    text = "\n".join([*table.splitlines(), *said])
    summary = {"n_points": len(points), "kinds": {kind: points.kind.count(kind) for kind in sorted(set(points.kind))}}
    summary |= {"autonomy_lasts": alone.lasts, "shown": checked.shown, "leakage": checked.leakage}
    return Outcome(
        text, files=files, findings=(*checked.findings, *failed), summary=summary, seconds=time.monotonic() - began
    )


def sentences(points: FixedPoints, alone: Autonomy, inputs: str, n_inputs: int) -> list[str]:
    """Returns what the dynamics are, in words."""
    held = (
        f"With {'the bias of each trial and no other' if inputs == 'bias' else inputs} inputs"
        if n_inputs
        else "Without inputs, which the model has none of,"
    )
    unit, scale = ("bins", 1.0) if alone.bin_width is None else ("ms", 1e3)
    found = [f"{held} the generator has {_counted(points)}."]
    if len(points):
        near = int(points.distance.argmin())
        constant = points.modes.time_constants[near, 0] * scale
        how = "grows" if constant < 0 else "decays"
        slowest = f"its slowest mode {how} by a factor e in {abs(constant):.3g} {unit}"
        rate = points.modes.frequencies[near, 0]
        turns = f" and turns at {rate:.3g} {'Hz' if scale > 1 else 'cycles per bin'}" if rate > 0 else ""
        found.append(
            f"The one nearest to the trials is a {points.kind[near]} point, {points.distance[near]:.2f} of the spread "
            f"of the states away from a visited one; {slowest}{turns}."
        )
        if points.n_lasting[near]:
            n = int(points.n_lasting[near])
            found.append(f"{n} of its modes last{'s' * (n == 1)} longer than a trial: {_attractor(n)}.")
    if n_inputs:
        lasts, last = (value * scale for value in (alone.lasts, alone.bins[-1] * (alone.bin_width or 1.0)))
        found.append(
            f"Without any input, roll-outs predict at least half of the factors' variance for {lasts:.3g} {unit}. "
            f"After {last:.3g} {unit} R2 is {alone.alone[-1]:.2f}; if nothing moved, it would be {alone.held[-1]:.2f}."
        )
    return found


def _filled(read: Observability) -> str:
    return (
        f"Its states fill {read.dimensions:.1f} dimensions; {100 * read.shown:.0f} % of their variance shows in the "
        "factors of the same or later bins."
    )


def _attractor(n: int) -> str:
    return "a direction along which it holds a value" if n == 1 else f"{n} directions along which it holds values"


def _counted(points: FixedPoints) -> str:
    kinds = points.kind
    if not kinds:
        return "no fixed or slow point near the visited states"
    numbers = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return " and ".join(f"{n} {kind} point{'s' * (n > 1)}" for kind, n in numbers.items())


def _shown(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Returns the row of a point in the printed table."""
    constants = next(value for name, value in row.items() if name.startswith("time_constants"))
    known = "frequencies_hz" in row
    rates = row["frequencies_hz"] if known else row["cycles_per_bin"]
    cells: dict[str, Any] = {"point": str(number + 1), "kind": row["kind"]}
    cells |= {name: row[name] for name in ("n_growing", "n_lasting", "distance", "starts")}
    cells["slowest (ms)" if known else "slowest (bins)"] = f"{constants[0] * (1e3 if known else 1.0):.4g}"
    cells["Hz" if known else "cycles per bin"] = f"{rates[0]:.3g}"
    return cells


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of a CSV file: a column for each of the slowest modes."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}_{i + 1}": one for i, one in enumerate(value)} if isinstance(value, list) else {name: value}
    return flat


def _draw(folder: RunFolder, *found: Any, inputs: Literal["zero", "mean", "bias"]) -> Path:
    from lfadsx.plotting.dynamics_panels import dynamics_figure
    from lfadsx.plotting.figure_files import write_figure

    # One picture cannot hold the bias of every trial.
    figure = dynamics_figure(*found, title=folder.path.name, inputs="mean" if inputs == "bias" else inputs)
    return write_figure(folder.path / "figures" / "dynamics.png", figure)

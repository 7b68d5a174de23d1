"""Trust checks of runs beside those of ayna, an outside check of the same failures.

    python -m benchmarks.trust runs/first runs/second

A run's results are exported for ayna, with one step of its generator as the dynamics. Prints, for each check, our value
and verdict beside ayna's, and where they differ, why. Verdicts that neither explains are marked "differ".

| ours             | ayna                                                        |
|------------------|-------------------------------------------------------------|
| information left | UNDERFITTING, tier 0                                        |
| unread states    | FEATURE_INVENTION, tier 0: linear cycle consistency         |
| input leakage    | DYNAMICAL_MISATTRIBUTION, tier 0: inputs from latents       |
| autonomy gap     | DYNAMICAL_MISATTRIBUTION, tier 1: roll-outs without inputs  |
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import ayna
import jax.numpy as jnp
import numpy as np

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.evaluation import format_table
from lfadsx.training.recorded_data import data_of_run

CHECKS = {
    "information left": ("UNDERFITTING", 0, "recoverable_fraction", None),
    "unread states": ("FEATURE_INVENTION", 0, "cycle_consistency", "shown"),
    "input leakage": ("DYNAMICAL_MISATTRIBUTION", 0, "input_leakage_r2", "leakage"),
    "autonomy gap": ("DYNAMICAL_MISATTRIBUTION", 1, "rollout_hold_gap", None),
}
"""By our name of a check, ayna's name, its tier, the name of its value, and that of ours."""
EFFECT = "inputs that do little are no finding here"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    options = parser.parse_args()
    use_compilation_cache()
    print(format_table([row for run in options.runs for row in compared(run)]))


def compared(run: Path) -> list[dict[str, Any]]:
    """Returns a row for each check of a run."""
    data, model = data_of_run(run), lfadsx.load(run)
    score = lfadsx.evaluate(model, data, n_samples=16, baselines={})
    ours, names = score.detail["dynamics"], {finding.name: finding for finding in score.findings}
    theirs = scanned(run, data, model)
    status = {(check.id, check.tier): (check.status, check.reason) for check in theirs.checks}
    rows = []
    for name, (theirs_name, tier, their_value, our_value) in CHECKS.items():
        verdict, reason = status.get((theirs_name, tier), ("not_assessed", "absent"))
        flagged = name in names
        value = ours.get(our_value) if our_value else names[name].value if flagged else None
        if name == "autonomy gap":
            value = ours["held"] - ours["alone"]
        agree = verdict == "not_assessed" or (verdict == "flagged") == flagged
        why = reason if verdict == "not_assessed" else "" if agree else "differ"
        if not agree and name == "input leakage" and value is not None and value > lfadsx.thresholds.MOST_LEAKAGE:
            why = f"R2 without inputs is {ours['alone']:.2f}: {EFFECT}"
        row = {"run": run.name, "check": name, "ours": value, "verdict": "flagged" if flagged else "clean"}
        rows.append(row | {"ayna": theirs.metrics.get(their_value), "ayna's": verdict, "why": why})
    return rows


def scanned(run: Path, data: lfadsx.Dataset, model: lfadsx.LFADS) -> ayna.Report:
    """Returns ayna's report on the results of a run with one session."""
    system = lfadsx.dynamics.step_map(model, data)

    def step(states: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(system.step(jnp.asarray(states, jnp.float32), jnp.asarray(inputs, jnp.float32)))

    with tempfile.TemporaryDirectory() as folder:
        (file,) = lfadsx.export(run, "ayna", Path(folder) / "bundle.npz").files
        return ayna.scan(ayna.load_bundle(file, dynamics=step))


if __name__ == "__main__":
    main()

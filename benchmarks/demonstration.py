"""How good the demonstration is: its inputs and rates beside the optimum and beside the baselines.

    lfadsx demo --seed 0 --out runs/demo0
    lfadsx demo --seed 1 --out runs/demo1
    python -m benchmarks.demonstration runs/demo0 runs/demo1

Prints a table with a column for each run: scores of the test trials, the optimum of an observer that sees the same
neurons, and the run's share of it; then the lead over each baseline, on the neurons that this baseline predicts, with
its 95 % interval over trials.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.optimum import optimum
from lfadsx.data import read
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table, minus, ratio, resample
from lfadsx.evaluation.baselines import fit_baselines
from lfadsx.evaluation.metrics import r2_of_trials
from lfadsx.evaluation.metrics.r2 import error_and_total
from lfadsx.evaluation.statistics import Score, Statistic
from lfadsx.results.results_file import read_posterior

SPLIT, DATA = "test", "integrator.h5"


def main() -> None:
    """Scores runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of `lfadsx demo`")
    runs = parser.parse_args().runs
    columns: dict[str, dict[str, float | str]] = {}
    for run in runs:
        scores, found = scores_and_leads(run)
        columns[str(run)] = scores | {name: _text(lead) for name, lead in found.items()}
    first = next(iter(columns.values()))
    print(format_table([{"": name} | {run: of[name] for run, of in columns.items()} for name in first]))


def scores_and_leads(run: Path) -> tuple[dict[str, float], dict[str, Score]]:
    """Returns a run's scores beside the optimum, and its leads over the baselines."""
    data, detail = read(run / DATA), json.loads((run / "metrics.json").read_text())["detail"]
    return beside_optimum(detail, optimum(run / DATA, data, SPLIT)), dict(leads(run, data, detail))


def beside_optimum(detail: dict, best: dict[str, float]) -> dict[str, float]:
    """Returns a run's scores against the truth, the optimum of each, and the share of it that is reached."""
    row = {}
    for measure in ("inputs_r2_pooled", "inputs_r2", "rates_r2_pooled", "rates_r2"):
        what, name = measure.split("_", 1)
        own = detail[what][name]
        row |= {measure: own, f"{measure}, optimum": best[measure], f"{measure}, share": own / best[measure]}
    return row


def leads(run: Path, data: Dataset, detail: dict) -> Iterator[tuple[str, Score]]:
    """Yields measure and baseline, and the run's lead with its interval."""
    for measure in ("co_bps", "masked_bps"):
        found = detail["difference"][measure]
        yield f"{measure} - {found['baseline']}", Score(*(found[key] for key in ("value", "error", "low", "high")))
    split, group = data.splits[SPLIT], data.input_group
    rates, truth = read_posterior(run / "posterior.h5", SPLIT).rates[group], np.asarray(split.truth)
    for name, other in fit_baselines(data, split).items():
        known = ~np.isnan(other)
        for measure, of in (("rates_r2", correlation), ("rates_r2_pooled", explained)):
            lead = minus(of(rates, truth, known), of(other, truth, known))
            yield f"{measure} - {name}", resample(lead, len(rates))


def correlation(estimate: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Statistic:
    """Returns the mean squared correlation over known neurons and trials, all (trial, time, neuron)."""
    found = r2_of_trials(estimate, truth, known)
    scored = ~np.isnan(found) & known.any(1)
    return ratio(np.where(scored, found, 0.0).sum(1), scored.sum(1))


def explained(estimate: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Statistic:
    """Returns the pooled R2 of known entries, all (trial, time, neuron)."""
    error, total = (of.sum(1) for of in error_and_total(np.where(known, estimate, 0.0), truth, known))
    unexplained = ratio(error, total)
    return lambda weights: 1 - unexplained(weights)


def _text(score: Score) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


if __name__ == "__main__":
    main()

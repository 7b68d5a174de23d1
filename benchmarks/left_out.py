"""Fits the constants of the dropout rule with each set left out in turn, on validation scores of a grid of rates.

    python -m benchmarks.defaults --label grid --vary dropout_rate=0.05,0.1,0.2,0.3
    python -m benchmarks.left_out

The rule is `0.2 * (A0 / A) ** p` within its bounds, with the amount of data A. For each set the score of a rate is
interpolated over the logarithm of the rate, as a share of the set's best one; the constants have the best mean share
over the other sets. Prints the rate that the left-out set gets, beside the rule's, and what share of its best
validation score both have; then its test score at the fitted rate, interpolated likewise, beside that of the fixed
settings.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import numpy as np

from benchmarks.data_sets import SETS
from benchmarks.defaults import lines
from lfadsx.evaluation import format_table
from lfadsx.settings_for_data import AMOUNT, DROPOUT, DROPOUT_POWER, amount_of

AMOUNTS, POWERS = np.geomspace(8e3, 1.2e5, 25), np.linspace(0.1, 1.0, 19)


def main() -> None:
    """Prints a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/defaults.jsonl"))
    parser.add_argument("--label", default="grid", help="label of the lines with the grid")
    options = parser.parse_args()
    curves, tests = (curves_of(options.file, options.label, measure) for measure in ("valid_co_bps", "test_co_bps"))
    fixed = fixed_scores(options.file)
    rows = []
    for left_out, (amount, *_) in curves.items():
        others = [own for name, own in curves.items() if name != left_out]
        chosen = max(itertools.product(AMOUNTS, POWERS), key=lambda constants: mean_share(others, *constants))
        fitted, rule = rate(amount, *chosen), rate(amount, AMOUNT, DROPOUT_POWER)
        rows.append({
            "left out": left_out,
            "amount": round(amount),
            "A0": round(float(chosen[0])),
            "p": round(float(chosen[1]), 2),
            "dropout": round(fitted, 3),
            "of the rule": round(rule, 3),
            "share": round(share(curves[left_out], fitted), 4),
            "of the rule's": round(share(curves[left_out], rule), 4),
            "test, fitted": round(tests[left_out][3] * share(tests[left_out], fitted), 4),
            "test, fixed settings": round(fixed[left_out], 4),
        })  # fmt: skip
    print(format_table(rows))


Curve = tuple[float, np.ndarray, np.ndarray, float]
"""Amount of data of a set, logarithms of dropout rates, scores as shares of the best one, and the best one."""


def curves_of(file: Path, label: str, measure: str) -> dict[str, Curve]:
    """Returns the curve of each set, from its lines of a label with the number of epochs that most of them have."""
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for line in lines(file):
        if line["label"] == label:
            own = found.setdefault(line["set"], {}).setdefault(line["settings"].get("epochs", 0), [])
            own.append((line["settings"]["dropout_rate"], line[measure]))
    curves = {}
    for name, by_epochs in found.items():
        rates, scores = np.array(sorted(max(by_epochs.values(), key=len))).T
        curves[name] = amount_of(SETS[name]()), np.log(rates), scores / scores.max(), float(scores.max())
    return curves


def fixed_scores(file: Path) -> dict[str, float]:
    """Returns the mean test score of each set with the fixed settings."""
    found: dict[str, list[float]] = {}
    for line in lines(file):
        if line["label"] == "fixed":
            found.setdefault(line["set"], []).append(line["test_co_bps"])
    return {name: float(np.mean(of)) for name, of in found.items()}


def rate(amount: float, at: float, power: float) -> float:
    """Returns the dropout rate of the rule with these constants."""
    return min(max(0.2 * math.pow(at / amount, power), DROPOUT[0]), DROPOUT[1])


def share(curve: Curve, dropout: float) -> float:
    """Returns the score of a rate as a share of the best."""
    return float(np.interp(math.log(dropout), curve[1], curve[2]))


def mean_share(curves: list[Curve], at: float, power: float) -> float:
    """Returns the mean share over sets."""
    return float(np.mean([share(curve, rate(curve[0], at, power)) for curve in curves]))


if __name__ == "__main__":
    main()

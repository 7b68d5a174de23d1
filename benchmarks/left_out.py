"""Fits the constants of two default rules with each set left out in turn, on validation scores of grids.

    python -m benchmarks.defaults --label grid --vary dropout_rate=0.05,0.1,0.2,0.3
    python -m benchmarks.defaults --label pass_rate --vary cd_pass_rate=0.25,0.5,1
    python -m benchmarks.left_out

The rules are those of `lfadsx/settings_for_data.py`: dropout `0.2 * (A0 / A) ** p` within its bounds, with the amount
of data A; and the share of visible entries `N / N0` from `q0` to 1, with the neurons N of the largest session. For each
set the score of a value is interpolated between the values of the grid, as a share of the set's best score; the
constants have the best mean share over the other sets. Prints the value that the left-out set gets, beside the rule's,
and what share of its best validation score both have; then its test score at the fitted value, interpolated likewise,
beside that of the fixed settings.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data_sets import SETS
from benchmarks.defaults import lines
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table
from lfadsx.settings_for_data import (
    AMOUNT,
    DROPOUT,
    DROPOUT_POWER,
    LEAST_PASS,
    NEURONS_OF_FULL_PASS,
    amount_of,
)


class Rule(NamedTuple):
    """A default that follows from the data.

    Attributes:
        setting: Name of the setting.
        label: Label of the lines with the grid; lines of the label "rule" with the same seed count too.
        size: What the setting follows from.
        value: The setting for a size and two constants.
        constants: The constants of the library.
        grid: The constants that are tried.
        axis: Along what scores are interpolated.
    """

    setting: str
    label: str
    size: Callable[[Dataset], float]
    value: Callable[[float, float, float], float]
    constants: tuple[float, float]
    grid: Iterable[tuple[float, float]]
    axis: Callable[[Any], Any]


class Curve(NamedTuple):
    """Scores of one set over the values of a setting, and its size."""

    size: float
    at: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def neurons_of(data: Dataset) -> float:
    """Returns the neurons of the largest session."""
    return max(session.n_channels for session in data.sessions)


def dropout(amount: float, at: float, power: float) -> float:
    """Returns the dropout rate of the rule with these constants."""
    return min(max(0.2 * (at / amount) ** power, DROPOUT[0]), DROPOUT[1])


def pass_rate(neurons: float, full: float, least: float) -> float:
    """Returns the share of visible entries of the rule with these constants."""
    return min(max(neurons / full, least), 1.0)


RULES = (
    Rule(
        *("dropout_rate", "grid", amount_of, dropout, (AMOUNT, DROPOUT_POWER)),
        tuple(itertools.product(np.geomspace(8e3, 1.2e5, 25), np.linspace(0.1, 1.0, 19))),
        np.log,
    ),
    Rule(
        *("cd_pass_rate", "pass_rate", neurons_of, pass_rate, (NEURONS_OF_FULL_PASS, LEAST_PASS)),
        tuple(itertools.product(np.geomspace(30, 3000, 41), np.linspace(0.0, 1.0, 21))),
        np.asarray,
    ),
)


def main() -> None:
    """Prints a table for each rule, with a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/defaults.jsonl"))
    options = parser.parse_args()
    every = list(lines(options.file))
    fixed = fixed_scores(every)
    for rule in RULES:
        curves = curves_of(every, rule)
        print(f"\n{rule.setting}")
        print(format_table([row(rule, name, curves) | {"test, fixed settings": fixed[name]} for name in curves]))


def row(rule: Rule, left_out: str, curves: dict[str, Curve]) -> dict[str, Any]:
    """Returns the row of a set, with the constants that suit the other sets."""
    own, others = curves[left_out], [curve for name, curve in curves.items() if name != left_out]
    chosen = max(rule.grid, key=lambda constants: np.mean([share(rule, curve, constants) for curve in others]))
    fitted = rule.value(own.size, *chosen)
    return {
        "left out": left_out,
        "size": round(own.size),
        "constants": f"{chosen[0]:.0f}, {chosen[1]:.2f}",
        "value": round(fitted, 3),
        "of the rule": round(rule.value(own.size, *rule.constants), 3),
        "share": round(share(rule, own, chosen), 4),
        "of the rule's": round(share(rule, own, rule.constants), 4),
        "test, fitted": round(float(np.interp(rule.axis(fitted), own.at, own.test)), 4),
    }


def curves_of(every: list[dict[str, Any]], rule: Rule) -> dict[str, Curve]:
    """Returns the curve of each set that has a grid, from the lines of seed 0."""
    sizes = {name: rule.size(SETS[name]()) for name in {line["set"] for line in every if line["label"] == rule.label}}
    found: dict[str, dict[float, tuple[float, float]]] = {name: {} for name in sizes}
    for line in every:
        if line["label"] in (rule.label, "rule") and line["seed"] == 0 and line["set"] in sizes:
            at = line["settings"].get(rule.setting, rule.value(sizes[line["set"]], *rule.constants))
            found[line["set"]][float(at)] = (line["valid_co_bps"], line["test_co_bps"])
    curves = {}
    for name, scores in found.items():
        at = np.array(sorted(scores))
        valid, test = np.array([scores[value] for value in at]).T
        curves[name] = Curve(sizes[name], rule.axis(at), valid, test)
    return curves


def fixed_scores(every: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean test score of each set with the fixed settings."""
    found: dict[str, list[float]] = {}
    for line in every:
        if line["label"] == "fixed":
            found.setdefault(line["set"], []).append(line["test_co_bps"])
    return {name: round(float(np.mean(of)), 4) for name, of in found.items()}


def share(rule: Rule, curve: Curve, constants: tuple[float, float]) -> float:
    """Returns the validation score at the value of some constants, as a share of the best of the grid."""
    value = rule.axis(rule.value(curve.size, *constants))
    return float(np.interp(value, curve.at, curve.valid) / curve.valid.max())


if __name__ == "__main__":
    main()

"""Trust checks of models whose truth is known, and how often they say what is true.

Labels are fixed beforehand: a model invents if its `state_r2` is below 0.9, and underfits if its `rate_r2` is below 0.9
of that of the best model of the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import lfadsx
from lfadsx.inference.posterior_inference import has_posterior

LEAST_STATE_R2 = 0.9
"""State R2 below which a model counts as inventing."""
LEAST_RATE_R2 = 0.9
"""Share of the best model's rate R2 below which a model counts as underfitting."""
CHECKS = {"invents": "unread states", "underfits": "information left"}
"""By label, the finding that should be there."""


def checks_of(model: lfadsx.LFADS, data: lfadsx.Dataset) -> dict[str, Any]:
    """Returns values of the trust checks of a model on its scored split, and the names of its findings."""
    score = lfadsx.evaluate(model, data, n_samples=0 if has_posterior(model) else 1, baselines={})
    values = score.detail["dynamics"] | {"information_left": score.detail["information_left"]}
    values.pop("bins")  # of the roll-outs, not of the trials
    rounded = {name: value if value is None else round(float(value), 4) for name, value in values.items()}
    return rounded | {"findings": [finding.name for finding in score.findings]}


def labels_of(line: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """Returns what is wrong with a model, by the truth; `lines` are all models, of these and of other data."""
    alike = [other["rate_r2"] for other in lines if all(other[name] == line[name] for name in ("trials", "bins"))]
    return {
        "invents": line["state_r2"] < LEAST_STATE_R2,
        "underfits": line["rate_r2"] < LEAST_RATE_R2 * max(alike),
    }


def agreement(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row for each check: how many models have the label, the finding, both, and how often they agree."""
    known = [line for line in lines if "findings" in line and line["inputs"] != "optimum"]
    rows = []
    for label, name in CHECKS.items():
        wrong = [labels_of(line, known)[label] for line in known]
        found = [name in line["findings"] for line in known]
        agree = [a == b for a, b in zip(wrong, found, strict=True)]
        row = {"label": label, "finding": name, "models": len(known), "label is true": sum(wrong)}
        both = sum(a and b for a, b in zip(wrong, found, strict=True))
        rows.append(row | {"finding is there": sum(found), "both": both, "agree": sum(agree) / max(len(agree), 1)})
    return rows

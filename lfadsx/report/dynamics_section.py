"""What the page says about dynamics: the trust checks of the fit, and the results of `lfadsx dynamics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfadsx import thresholds
from lfadsx.damaged_files import read_json
from lfadsx.errors import RunError
from lfadsx.training import RunFolder

SHOWN = 10
"""Most fixed points in the table."""


def dynamics_section(folder: RunFolder, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns checks as rows (what, value, what it should be), and sentences and fixed points of `dynamics.json`."""
    found: dict[str, Any] = {}
    if folder.dynamics.is_file():
        found = read_json(folder.dynamics, "Write it again with `lfadsx dynamics`.", error=RunError)
    detail = metrics.get("detail") or {}
    checked = found.get("trust") or detail.get("dynamics") or {}
    checked = checked and {"left": detail.get("information_left")} | checked
    points = [_point(number, row) for number, row in enumerate(found.get("fixed_points", [])[:SHOWN], 1)]
    return {"checks": _checks(checked), "sentences": found.get("sentences", []), "points": points}


def _checks(found: Mapping[str, Any]) -> list[tuple[str, float | None, str]]:
    if not found:
        return []
    bins = f"{found['bins']} bins"
    rows = [
        ("Share of what smoothed spikes tell that the rates leave out", "left", "below", "MOST_INFORMATION_LEFT"),
        ("Share of the variance of the generator's states that its factors show", "shown", "above", "LEAST_SHOWN"),
        ("R2 of inferred inputs, predicted from the state before them", "leakage", "below", "MOST_LEAKAGE"),
        (f"R2 of factors {bins} after the inputs stop", "alone", "", ""),
        (f"R2 of factors after {bins} if nothing moved", "held", "", ""),
    ]
    return [
        (what, found.get(name), f"{side} {getattr(thresholds, limit):g}" if limit else "")
        for what, name, side, limit in rows
        if found.get(name) is not None
    ]


def _point(number: int, row: Mapping[str, Any]) -> dict[str, str]:
    """Returns the cells of a fixed point: its slowest mode and how far it is from the trials."""
    in_seconds = "time_constants_s" in row
    constants = row["time_constants_s" if in_seconds else "time_constants_bins"]
    rates = row["frequencies_hz" if in_seconds else "cycles_per_bin"]
    return {
        "Point": str(number),
        "Kind": row["kind"],
        "Growing modes": str(row["n_growing"]),
        "Distance to the trials": f"{row['distance']:.2f}",
        f"Slowest mode ({'ms' if in_seconds else 'bins'})": f"{constants[0] * (1e3 if in_seconds else 1):.4g}",
        "Hz" if in_seconds else "Cycles per bin": f"{rates[0]:.3g}",
    }

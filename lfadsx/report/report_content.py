"""The values that the page shows besides its browser of trials, from the files of a run folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lfadsx.findings import Finding
from lfadsx.plotting.condition_colours import evenly
from lfadsx.plotting.loss_curves import PARTS
from lfadsx.plotting.units import in_words_for
from lfadsx.report.dynamics_section import dynamics_section
from lfadsx.report.methods_paragraph import methods
from lfadsx.report.score_table import score_table
from lfadsx.training import RunFolder
from lfadsx.training.history import Row, read_rows
from lfadsx.training.run_info import RunInfo

MOST_EPOCHS = 500
"""Most epochs in the curves of training."""
LEVELS = ("error", "warning", "note")
"""Levels of findings, the most important first."""


def report_content(folder: RunFolder, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the page's template; metrics are those of `metrics.json`."""
    info = folder.info
    findings = [Finding(**finding) for finding in metrics.get("findings", [])]
    rows = read_rows(folder.history) if folder.history.is_file() else []
    return {
        "name": folder.path.resolve().name,
        "split": metrics["split"],
        "verdict": (metrics.get("detail") or {}).get("verdict", []),
        "notes": (metrics.get("detail") or {}).get("notes", []),
        "table": score_table(metrics),
        "findings": sorted(findings, key=lambda finding: LEVELS.index(finding.level)),
        "methods": methods(info, metrics).split("\n\n"),
        "facts": _facts(info),
        "training": _training(metrics["training"]),
        "curves": training_curves(rows, metrics["training"]["best_epoch"]),
        "dynamics": dynamics_section(folder, metrics),
        "settings": _settings(info),
        "version": info.versions.get("lfadsx", ""),
    }


def _facts(info: RunInfo) -> dict[str, str]:
    """Returns what was recorded, in a few lines."""
    data, group = info.data, info.data["input_group"]
    width = "width not known" if data["bin_width"] is None else f"{1000 * data['bin_width']:g} ms each"
    sessions, counts = data["sessions"], data.get("groups", {}).get(group, {}).get("kind", "counts") == "counts"
    neurons = sum(session["n_targets"][group] for session in sessions)
    seen = sum(session["n_channels"] for session in sessions)
    return {
        "Sessions": ", ".join(session["name"] for session in sessions),
        in_words_for(counts, "Neurons"): f"{neurons}, of which the encoder sees {seen}",
        "Trials": ", ".join(f"{n} {name}" for name, n in data["n_trials"].items()),
        "Bins": f"up to {max(data['n_bins'].values())}, {width}",
        "Started": info.created.replace("T", " ").replace("+00:00", " UTC"),
    }


def _training(training: Mapping[str, Any]) -> dict[str, str]:
    best, score = training["best_epoch"], training["best_score"]
    return {
        "Stopped because of": str(training["reason"]),
        "Epochs": str(training["epochs"]),
        "Chosen epoch": str(best) if best else "none: the ramps had not ended",
        "Selection score": f"{score:.4f} nats per trial" if best and score is not None else "none",
        "Skipped steps": str(training["skipped_steps"]),
        "Time": f"{training['seconds']:.0f} s",
    }


def training_curves(rows: list[Row], best_epoch: int) -> dict[str, Any]:
    """Returns the parts of the loss over epochs, without those that are 0 throughout.

    Args:
        rows: The history, one row per epoch.
        best_epoch: The chosen epoch, or 0.
    """
    kept = [rows[i] for i in evenly(len(rows), MOST_EPOCHS)] if rows else []
    panels = [
        {"title": title, "unit": unit, "train": _curve(kept, train), "valid": _curve(kept, valid)}
        for title, (train, valid, unit) in PARTS.items()
    ]
    panels = [panel for panel in panels if any(panel["train"]) or any(panel["valid"])]
    epochs = [int(row["epoch"]) for row in kept]
    return {"epochs": epochs, "n_epochs": len(rows), "best_epoch": best_epoch, "panels": panels}


def _curve(rows: list[Row], name: str) -> list[float | None]:
    values = (row.get(name, math.nan) for row in rows)
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _settings(info: RunInfo) -> dict[str, dict[str, str]]:
    """Returns all settings of the run by topic, with dotted names."""
    topics = {
        "Hyperparameters": info.hyper,
        "Training": info.train,
        "Model settings": info.notes.get("model", {}),
        "Parts of the model": info.model,
        "Data": {name: value for name, value in info.data.items() if name != "sessions"},
        "Own parts of training": info.parts,
        "Software": info.versions | {"device": info.device, "command": info.command, "created": info.created},
    }
    return {topic: dict(_flat(values)) for topic, values in topics.items() if values}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)

"""What looks odd in a training: steps that were skipped, no selected model, collapsed latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.findings import Finding
from lfadsx.training.stopping import MAX_SKIPPED_STEPS

BROKE_OFF = "broke off"
LEAST_KL_IC = 0.1
"""Nats per trial below which an initial condition counts as collapsed."""
LEAST_KL_INPUTS = 0.01
"""Nats per bin below which inferred inputs count as collapsed."""


def training_findings(
    history: Mapping[str, np.ndarray],
    *,
    reason: str,
    best_epoch: int,
    skipped_steps: int,
    hyper: HyperParams,
    config: TrainConfig,
    n_bins: float,
) -> tuple[Finding, ...]:
    """Returns what a reader of the scores has to know about a training.

    Args:
        history: Figures of every epoch by name, shape (epoch,).
        reason: Why training stopped.
        best_epoch: Epoch of the best score, 0 if none was selected.
        skipped_steps: Steps skipped because loss or gradient were not finite.
        hyper: Hyperparameters, for what to do.
        n_bins: Mean number of bins of a validation trial.
    """
    found = [
        _skipped(skipped_steps, reason),
        None if best_epoch or reason in ("interrupted", "not finite", "search") else _not_selected(config),
        *_collapsed(history, best_epoch, hyper, n_bins),
    ]
    return tuple(finding for finding in found if finding is not None)


def pooled_findings(members: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """Returns the findings of all members of a population: one for each kind, which names its members."""
    found: dict[str, dict[int, Finding]] = {}
    for member, own in enumerate(members):
        for finding in own:
            found.setdefault(finding.name, {})[member] = finding
    pooled = []
    for own in found.values():
        first = next(iter(own.values()))
        who = "all members" if len(own) == len(members) else f"members {list(own)}"
        sentence = f"{who[0].upper()}{who[1:]}: {first.sentence}" if len(own) < len(members) else first.sentence
        pooled.append(dataclasses.replace(first, where=who, sentence=sentence))
    return tuple(pooled)


def _skipped(n: int, reason: str) -> Finding | None:
    if not n:
        return None
    limit, remedy = float(MAX_SKIPPED_STEPS), "Lower learning_rate, or look for extreme values in the data."
    skipped = f"{n} steps had a loss or gradient that was not finite"
    if reason == "not finite":
        sentence = f"Training broke off: {skipped}. The scores are those of the model before."
        return Finding("warning", BROKE_OFF, float(n), limit, "", sentence, remedy)
    return Finding("note", "skipped steps", float(n), limit, "", f"{skipped}, and were skipped.", remedy)


def _not_selected(config: TrainConfig) -> Finding:
    sentence = "Training ended before the ramps did, so the last model is scored, not a selected one."
    remedy = "Give more epochs, or shorter ramps (kl_ramp_epochs and l2_ramp_epochs)."
    return Finding("warning", "no selected model", float(config.epochs), None, "", sentence, remedy)


def _collapsed(
    history: Mapping[str, np.ndarray], best_epoch: int, hyper: HyperParams, n_bins: float
) -> list[Finding | None]:
    """Looks at the validation KLs of the selected model, or of the last one that was evaluated."""
    ic, inputs = history.get("valid_kl_ic", np.zeros(0)), history.get("valid_kl_inputs", np.zeros(0))
    evaluated = np.flatnonzero(np.isfinite(ic) & np.isfinite(inputs))
    if not len(evaluated):
        return []
    row = best_epoch - 1 if best_epoch - 1 in evaluated else evaluated[-1]
    per_trial, per_bin = float(ic[row]), float(inputs[row]) / n_bins
    found: list[Finding | None] = []
    # A KL of exactly 0 throughout is that of a model without this latent.
    if per_trial < LEAST_KL_IC and np.any(ic[evaluated] != 0):
        sentence = (
            f"The initial condition has collapsed: it carries {per_trial:.2g} nats per validation trial, so it hardly "
            "differs between trials."
        )
        remedy = f"Lower kl_ic_scale (it was {float(hyper.kl_ic_scale):g}) or raise kl_ramp_epochs."
        where = "initial condition"
        found.append(Finding("warning", "collapsed latents", per_trial, LEAST_KL_IC, where, sentence, remedy))
    if per_bin < LEAST_KL_INPUTS and np.any(inputs[evaluated] != 0):
        sentence = (
            f"The inferred inputs have collapsed: they carry {per_bin:.2g} nats per validation bin, so the model runs "
            "without inputs."
        )
        remedy = (
            f"Lower kl_co_scale (it was {float(hyper.kl_co_scale):g}) or raise kl_ramp_epochs; if the data need no "
            "inputs, set inferred_inputs to 0."
        )
        where = "inferred inputs"
        found.append(Finding("warning", "collapsed latents", per_bin, LEAST_KL_INPUTS, where, sentence, remedy))
    return found

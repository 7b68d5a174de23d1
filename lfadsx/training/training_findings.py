"""Findings about a training, from its history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx import thresholds
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.findings import Finding
from lfadsx.training.broken_steps import Skip, in_words, remedy
from lfadsx.training.rescue import FACTOR, Rescue
from lfadsx.training.stopping import MAX_SKIPPED_STEPS

BROKE_OFF = "broke off"
RAMPS = ("kl_ic_weight", "kl_co_weight", "l2_weight")
"""Weights of the ramps in a history."""


def training_findings(
    history: Mapping[str, np.ndarray],
    *,
    reason: str,
    best_epoch: int,
    skipped_steps: int,
    hyper: HyperParams,
    config: TrainConfig,
    n_bins: float,
    skips: Sequence[Skip] = (),
    rescues: Sequence[Rescue] = (),
) -> tuple[Finding, ...]:
    """Returns the findings of a training.

    `history` holds figures of every epoch, shape (epoch,). `best_epoch` is 0 if no model was selected. `n_bins` is the
    mean number of bins of a validation trial. `skips` are the causes of skipped steps,
    `rescues` the rescues of the model.
    """
    found = [
        _skipped(skipped_steps, reason, skips, config),
        _rescued(rescues),
        None if best_epoch or reason in ("interrupted", "not finite", "search") else _not_selected(history, config),
        _rising(history, hyper),
        _clipped(history, config),
        *_collapsed(history, best_epoch, hyper, n_bins),
    ]
    return tuple(finding for finding in found if finding is not None)


def pooled_findings(members: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """Returns the findings of a population: one of each kind, with the members that have it."""
    found: dict[str, dict[int, Finding]] = {}
    for member, own in enumerate(members):
        for finding in own:
            found.setdefault(finding.name, {})[member] = finding
    pooled = []
    for own in found.values():
        first = next(iter(own.values()))
        of = "all members" if len(own) == len(members) else f"members {list(own)}"
        sentence = f"{of[0].upper()}{of[1:]}: {first.sentence}" if len(own) < len(members) else first.sentence
        pooled.append(dataclasses.replace(first, where=of, sentence=sentence))
    return tuple(pooled)


def _skipped(n: int, reason: str, skips: Sequence[Skip], config: TrainConfig) -> Finding | None:
    if not n:
        return None
    limit, skipped = float(MAX_SKIPPED_STEPS), f"{n} steps had a loss or gradient that was not finite"
    first = [skip for skip in skips if skip["epoch"] == skips[0]["epoch"]]
    why = f" In epoch {first[0]['epoch']}, {in_words(first)}." if first else ""
    if reason == "not finite":
        sentence = f"Training stopped early: {skipped}. The scores are those of the model before these steps.{why}"
        again = remedy(first)
        if not config.rescue:
            again += " With rescue=3 (--rescue 3), a new run halves the learning rate by itself."
        return Finding("warning", BROKE_OFF, float(n), limit, "", sentence, again)
    return Finding("note", "skipped steps", float(n), limit, "", f"{skipped}; they were skipped.{why}", remedy(first))


def _rescued(rescues: Sequence[Rescue]) -> Finding | None:
    if not rescues:
        return None
    n, epochs = len(rescues), ", ".join(str(rescue["epoch"]) for rescue in rescues)
    sentence = (
        f"The model was rescued {n} time{'s' * (n > 1)} (epoch {epochs}): it went back to its last good state, and "
        f"its learning rate was multiplied by {FACTOR**n:g}."
    )
    return Finding("warning", "rescued", float(n), 0.0, "", sentence, "Train again with a lower learning_rate.")


def _not_selected(history: Mapping[str, np.ndarray], config: TrainConfig) -> Finding:
    sentence = "Training ended before the ramps, so no model was selected and the scores are those of the last model."
    weights = {name: float(history[name][-1]) for name in RAMPS if len(history.get(name, ()))}
    if weights:
        name = min(weights, key=weights.__getitem__)
        sentence += f" The lowest weight of a ramp ({name}) was {weights[name]:.2f} of 1."
    remedy = "Give more epochs, or shorter ramps (kl_ramp_epochs and l2_ramp_epochs)."
    return Finding("warning", "no selected model", float(config.epochs), None, "", sentence, remedy)


def _rising(history: Mapping[str, np.ndarray], hyper: HyperParams) -> Finding | None:
    """Looks for a training reconstruction that rises far above that of the first epoch."""
    values = history.get("reconstruction", np.zeros(0))
    values = values[np.isfinite(values)]
    if len(values) < thresholds.FEWEST_EPOCHS:
        return None
    rise, fall = float(values.max() - values[0]), float(values[0] - values.min())
    noise = float(np.median(np.abs(np.diff(values))))
    # A model that was trained before hardly falls, so that noise alone could exceed any share of the fall.
    if rise <= thresholds.MOST_RISE * fall or rise <= thresholds.MOST_RISE_OF_NOISE * noise:
        return None
    sentence = (
        f"The learning rate is too high: the training reconstruction rose by {rise:.3g} nats per trial above that "
    )
    sentence += f"of the first epoch, and fell by only {fall:.3g} below it."
    remedy = f"Lower learning_rate (it was {float(hyper.learning_rate):g}) by a factor of 3 to 10."
    share = rise / fall if fall > 0 else np.inf
    return Finding("warning", "learning rate too high", share, thresholds.MOST_RISE, "", sentence, remedy)


def _clipped(history: Mapping[str, np.ndarray], config: TrainConfig) -> Finding | None:
    """Looks for gradients that clipping shortens in most epochs, so that few entries of the data steer the others."""
    norms = history.get("grad_norm", np.zeros(0))
    norms = norms[np.isfinite(norms)]
    share = float(np.median(norms)) / config.max_grad_norm if len(norms) >= thresholds.FEWEST_EPOCHS else 0.0
    if share <= thresholds.MOST_CLIPPED:
        return None
    sentence = f"The gradient is {share:.3g} times as long as max_grad_norm ({config.max_grad_norm:g}) in most epochs."
    remedy = "With the likelihood gaussian this happens where channels rest: use gaussian_by_channel, or beside spikes "
    remedy += "squared_error_by_channel. Otherwise lower learning_rate, or look for extreme values in the data."
    return Finding("warning", "clipped gradients", share, thresholds.MOST_CLIPPED, "", sentence, remedy)


def _collapsed(
    history: Mapping[str, np.ndarray], best_epoch: int, hyper: HyperParams, n_bins: float
) -> list[Finding | None]:
    """Checks the validation KLs of the selected model, or of the last evaluated one."""
    ic, inputs = history.get("valid_kl_ic", np.zeros(0)), history.get("valid_kl_inputs", np.zeros(0))
    bias = history.get("valid_kl_bias", np.zeros_like(ic))
    evaluated = np.flatnonzero(np.isfinite(ic) & np.isfinite(inputs))
    if not len(evaluated):
        return []
    row = best_epoch - 1 if best_epoch - 1 in evaluated else evaluated[-1]
    checks = (
        (
            "initial condition",
            "trial",
            ic,
            1.0,
            thresholds.LEAST_KL_IC,
            "kl_ic_scale",
            "it hardly differs between trials",
        ),
        ("bias", "trial", bias, 1.0, thresholds.LEAST_KL_IC, "kl_bias_scale", "it hardly differs between trials"),
        (
            "inferred inputs",
            "bin",
            inputs,
            n_bins,
            thresholds.LEAST_KL_INPUTS,
            "kl_co_scale",
            "the model runs without inputs",
        ),
    )
    found: list[Finding | None] = []
    for where, per, kl, n, least, scale, effect in checks:
        value = float(kl[row]) / n
        # A model without the latent variable has a KL of exactly 0 throughout.
        if value < least and np.any(kl[evaluated] != 0):
            sentence = (
                f"The posterior of the {where} has collapsed: its KL is {value:.2g} nats per validation {per}, so "
                f"{effect}."
            )
            also = "; if the data need no inputs, set inferred_inputs to 0" if kl is inputs else ""
            remedy = f"Lower {scale} (it was {float(getattr(hyper, scale)):g}) or raise kl_ramp_epochs{also}."
            found.append(Finding("warning", "collapsed latents", value, least, where, sentence, remedy))
    return found

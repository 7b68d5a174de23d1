"""Results of training, and their findings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.findings import Finding
from lfadsx.models.lfads import LFADS
from lfadsx.training.history import Row
from lfadsx.training.stopping import MAX_SKIPPED_STEPS, Reason

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
    """Returns the findings of a training.

    `history` holds figures of every epoch, shape (epoch,). `best_epoch` is 0 if no model was selected. `n_bins` is the
    mean number of bins of a validation trial.
    """
    found = [
        _skipped(skipped_steps, reason),
        None if best_epoch or reason in ("interrupted", "not finite", "search") else _not_selected(config),
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


def _skipped(n: int, reason: str) -> Finding | None:
    if not n:
        return None
    limit, remedy = float(MAX_SKIPPED_STEPS), "Lower learning_rate, or look for extreme values in the data."
    skipped = f"{n} steps had a loss or gradient that was not finite"
    if reason == "not finite":
        sentence = f"Training stopped early: {skipped}. The scores are those of the model before these steps."
        return Finding("warning", BROKE_OFF, float(n), limit, "", sentence, remedy)
    return Finding("note", "skipped steps", float(n), limit, "", f"{skipped}; they were skipped.", remedy)


def _not_selected(config: TrainConfig) -> Finding:
    sentence = "Training ended before the ramps, so no model was selected and the scores are those of the last model."
    remedy = "Give more epochs, or shorter ramps (kl_ramp_epochs and l2_ramp_epochs)."
    return Finding("warning", "no selected model", float(config.epochs), None, "", sentence, remedy)


def _collapsed(
    history: Mapping[str, np.ndarray], best_epoch: int, hyper: HyperParams, n_bins: float
) -> list[Finding | None]:
    """Checks the validation KLs of the selected model, or of the last evaluated one."""
    ic, inputs = history.get("valid_kl_ic", np.zeros(0)), history.get("valid_kl_inputs", np.zeros(0))
    evaluated = np.flatnonzero(np.isfinite(ic) & np.isfinite(inputs))
    if not len(evaluated):
        return []
    row = best_epoch - 1 if best_epoch - 1 in evaluated else evaluated[-1]
    checks = (
        ("initial condition", "trial", ic, 1.0, LEAST_KL_IC, "kl_ic_scale", "it hardly differs between trials"),
        ("inferred inputs", "bin", inputs, n_bins, LEAST_KL_INPUTS, "kl_co_scale", "the model runs without inputs"),
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


MOST_MEMBERS = 10
"""Largest number of members that the text of a population lists."""


@dataclasses.dataclass(frozen=True, repr=False)
class FitResult:
    """Result of `fit`.

    Attributes:
        model: The model with the best selection score; the last model if the ramps had not ended.
        last: The model after the last step.
        history: Figures of every epoch by name, shape (epoch,); NaN where nothing was evaluated. For a
            member of a population, epochs before a copy of weights are those of the member that was copied.
        reason: Why training stopped: "patience", "epochs", "learning rate", "interrupted" or "not finite".
        best_epoch: Number of epochs trained at the best score; 0 if the ramps had not ended.
        best_score: The best selection score, in nats per trial; the last one if the ramps had not ended, infinite if
            there is none.
        skipped_steps: Steps skipped because loss or gradient were not finite.
        seconds: Time spent, in seconds; includes the time before a run was resumed.
        signal: Number of the signal that interrupted the run; 0 if none did.
        findings: Findings of the training.
    """

    model: LFADS
    last: LFADS
    history: dict[str, np.ndarray]
    reason: Reason
    best_epoch: int
    best_score: float
    skipped_steps: int
    seconds: float
    signal: int = 0
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        """Returns a summary in a few lines."""
        epochs = len(next(iter(self.history.values()), ()))
        best = f"epoch {self.best_epoch}" if self.best_epoch else "none, the ramps had not ended"
        lines = [
            f"FitResult: stopped after {epochs} epochs ({self.reason}), {self.seconds:.0f} s",
            f"  best model: {best}; selection score {_number(self.best_score)} nats per trial",
            f"  skipped steps: {self.skipped_steps}",
            *(f"  {finding}" for finding in self.findings),
        ]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, repr=False)
class PopulationResult:
    """Result of `population`.

    Attributes:
        members: Result of each member, as `fit` returns it.
        hyper: Hyperparameters of each member at its best score, arrays of shape (member,).
        seeds: Seeds of the members.
        rows: Figures by name, one row for every member and epoch.
        reason: Why training stopped: "epochs", "converged" (rule of the search), "finished" (every member stopped, for
            its own reason or because of the search), "not finite" (all members broke down) or "interrupted".
        seconds: Time spent, in seconds; includes the time before a run was resumed.
        signal: Number of the signal that interrupted the run; 0 if none did.
    """

    members: tuple[FitResult, ...]
    hyper: HyperParams
    seeds: tuple[int, ...]
    rows: list[Row]
    reason: Reason
    seconds: float
    signal: int = 0

    @property
    def ranking(self) -> list[int]:
        """The members by their best selection scores, the best one first."""
        return sorted(range(len(self.members)), key=lambda member: self.members[member].best_score)

    @property
    def best(self) -> FitResult:
        """The member with the best selection score."""
        return self.members[self.ranking[0]]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of the training, each with the members that it concerns."""
        return pooled_findings([member.findings for member in self.members])

    def __repr__(self) -> str:
        """Returns a summary with the best members."""
        n, shown = len(self.members), self.ranking[:MOST_MEMBERS]
        lines = [f"PopulationResult: {n} members, stopped ({self.reason}) after {self.seconds:.0f} s"]
        lines += [
            f"  member {m}: score {_number(own.best_score)} nats per trial, epoch {own.best_epoch}, {own.reason}"
            for m, own in zip(shown, (self.members[m] for m in shown), strict=True)
        ]
        lines += [f"  and {n - len(shown)} more"] if n > len(shown) else []
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"

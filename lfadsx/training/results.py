"""Results of training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from lfadsx.config import HyperParams
from lfadsx.findings import Finding
from lfadsx.models.lfads import LFADS
from lfadsx.training.history import Row
from lfadsx.training.stopping import Reason
from lfadsx.training.training_findings import pooled_findings

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

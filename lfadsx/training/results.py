"""What training returns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from lfadsx.config import HyperParams
from lfadsx.findings import Finding
from lfadsx.models.lfads import LFADS
from lfadsx.training.lineage import Row
from lfadsx.training.stopping import Reason
from lfadsx.training.training_findings import pooled_findings

MOST_MEMBERS = 10
"""Members that the text of a population names."""


@dataclasses.dataclass(frozen=True, repr=False)
class FitResult:
    """What `fit` returns.

    Attributes:
        model: The model with the best selection score (the last one if the ramps had not ended).
        last: The model after the last step.
        history: Figures of every epoch by name, shape (epoch,); NaN where nothing was evaluated. A member of a
            population has here, of the time before its weights were copied, the figures of the one they come from.
        reason: Why training stopped: "patience", "epochs", "learning rate", "interrupted" or "not finite".
        best_epoch: Number of epochs trained at the best score; 0 if the ramps had not ended.
        best_score: The best selection score, in nats per trial. If the ramps had not ended, the last one; infinite if
            there is none.
        skipped_steps: Steps skipped because loss or gradient were not finite.
        seconds: Time spent, all runs of a resumed one together.
        signal: Number of the signal that interrupted the run, 0 for none.
        findings: What looked odd in training.
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
    """What `population` returns.

    Attributes:
        members: What `fit` would return of each member.
        hyper: Hyperparameters that each member's best model was being trained with, arrays of shape (member,).
        seeds: Seeds of the members.
        rows: A row of figures for every member and epoch.
        reason: Why training stopped: "epochs", "converged" (the search's own rule), "finished" (every
            member had its own reason, which may be "search": it was dismissed), "not finite" (all broke down) or
            "interrupted".
        seconds: Time spent, all runs of a resumed one together.
        signal: Number of the signal that interrupted the run, 0 for none.
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
        """What looked odd in training; each says in which members."""
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

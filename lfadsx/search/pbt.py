"""Population-based training: losers of a tournament copy winners and perturb their hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, Self, get_args

import jax
import numpy as np

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Perturbation, Space, repeat
from lfadsx.search.strategy import AbstractStrategy, Decision, Generation

Begin = Literal["run", "space"]


@dataclasses.dataclass(frozen=True)
class PBT(AbstractStrategy):
    """Population-based training by a binary tournament.

    After each generation, members are paired at random (one sits out if the number is odd). The loser copies the
    winner's weights and perturbed hyperparameters. Equal scores change nothing. A member whose score is not finite
    always loses. If its opponent's score is not finite either, or it has no opponent, it copies the best member.
    Members do not stop early: a member that is bad now may copy a better one later.

    Source: Jaderberg et al. (2017) for population-based training; Keshtkaran et al. (2022), AutoLFADS, for the
    tournament and the stopping rule.

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import PBT, Generation, Space
        >>> strategy, rng = PBT(Space.default()), np.random.default_rng(0)
        >>> hyper = strategy.start(rng, 2, HyperParams())
        >>> decision = strategy.decide(rng, Generation(1, np.array([2.0, 1.0]), hyper, np.ones(2, bool)))
        >>> decision.parents, bool(decision.hyper.cd_rate[1] == hyper.cd_rate[1])
        (array([1, 1]), True)

    Raises:
        LfadsxError: If a setting is out of its range.
    """

    early_stopping: ClassVar[bool] = False

    space: Space = dataclasses.field(default_factory=Space.default)
    """Ranges of the hyperparameters that change."""
    begin: Begin = "run"
    """Hyperparameters of the first generation. "run": `Range.start` where a range has one, otherwise the run's
    hyperparameters; they are perturbed in all members but the first. "space": `Range.start` where a range has one,
    otherwise a draw from the range, as in AutoLFADS. "space" finds good values far from the run's. Where the run's
    values are good, it spends most members on bad ones."""
    perturbation: Perturbation = "log"
    """Rule of perturbation, see `Space.perturb`."""
    patience: int = 4
    """Number of generations within which the best score must improve; otherwise the search ends."""
    min_improvement: float = 0.0
    """Largest relative improvement within `patience` generations that counts as none. If the learning rate decays
    until the last epoch, the best scores come late, and a value above 0 may end the search too early."""

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.perturbation not in get_args(Perturbation):
            raise LfadsxError(f"`perturbation` must be 'log' or 'linear', got {self.perturbation!r}.")
        if self.begin not in get_args(Begin):
            raise LfadsxError(f"`begin` must be 'run' or 'space', got {self.begin!r}.")
        if self.patience < 2:
            raise LfadsxError(f"`patience` must be at least 2 generations, got {self.patience}.")
        if not self.min_improvement >= 0:
            raise LfadsxError(f"`min_improvement` must be at least 0, got {self.min_improvement}.")

    @classmethod
    def autolfads(cls) -> Self:
        """Returns the search of AutoLFADS with the settings of lfads-torch, which perturbs linearly."""
        return cls(Space.autolfads(), "space", perturbation="linear", patience=4, min_improvement=5e-4)

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the hyperparameters of the first generation, see `begin`."""
        if self.begin == "space":
            return self.space.sample(rng, n, hyper)
        begun = {name: span.start for name, span in self.space.ranges.items() if span.start is not None}
        members = repeat(dataclasses.replace(hyper, **begun), n)
        return self.space.perturb(rng, members, np.arange(n) > 0, self.perturbation)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns the parents after a tournament, with perturbed hyperparameters for copies; all stay active."""
        scores = np.where(np.isfinite(generation.scores), generation.scores, np.inf)
        own = np.arange(len(scores))
        order, opponents = rng.permutation(len(scores)), own.copy()
        first, second = order[: len(own) - len(own) % 2].reshape(-1, 2).T
        opponents[first], opponents[second] = second, first
        parents = np.where(scores[opponents] < scores, opponents, own)
        if np.isfinite(scores).any():
            parents = np.where(np.isinf(scores[parents]), np.argmin(scores), parents)
        copied = jax.tree.map(lambda values: values[parents], generation.hyper)
        hyper = self.space.perturb(rng, copied, parents != own, self.perturbation)
        return Decision(parents, hyper, np.ones(len(own), bool))

    def check(self, n_members: int) -> None:
        """Raises LfadsxError for fewer than two members."""
        if n_members < 2:
            raise LfadsxError(f"Population-based training must have at least 2 members, got {n_members}.")

    def is_done(self, best: Sequence[float]) -> bool:
        """Returns True if the best score has improved too little within the last `patience` generations.

        The improvement is (oldest - lowest) / mean |score|. As in lfads-torch, the first generation is not counted,
        since its members begin untrained.

        Args:
            best: Score of the best member at the end of each generation so far, the newest last.
        """
        last = np.asarray(best[-self.patience :], np.float64)
        if len(best) <= self.patience or not np.isfinite(last).all():
            return False
        return bool(last[0] - last.min() <= self.min_improvement * np.abs(last).mean())

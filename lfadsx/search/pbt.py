"""Population-based training: members take over each other's weights and vary their hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, Self, get_args

import jax
import numpy as np
from jaxtyping import Float, Int

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Perturbation, Reduction, Space, repeat
from lfadsx.search.strategy import AbstractStrategy, Decision, Generation

Begin = Literal["run", "space"]


@dataclasses.dataclass(frozen=True)
class PBT(AbstractStrategy):
    """Population-based training by a binary tournament.

    After each generation all members meet in random pairs; of an odd number, one meets nobody. Who has the worse score
    goes on with the other's weights and a perturbed copy of its hyperparameters. Equal scores change nothing. A member
    whose score is not finite always loses, and where its opponent's is not either, or it has none, the best member's
    weights and hyperparameters take that place. Members do not stop one by one: what is bad now may learn from others.

    Source: Jaderberg et al. (2017) for population-based training; Keshtkaran et al. (2022) for the tournament and the
    rule to stop, AutoLFADS.

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
    """What is searched."""
    begin: Begin = "run"
    """Where members begin. run: at the start of the ranges or, where they have none, at the run's hyperparameters, all
    but the first member with a perturbation. space: at the start of the ranges, or drawn from them, as in AutoLFADS,
    which finds good values far from the run's, and spends most members on bad ones where the run's are good."""
    perturbation: Perturbation = "log"
    """How hyperparameters are perturbed; see `Space.perturb`."""
    patience: int = 4
    """Generations over which the best score has to improve, or the search ends."""
    min_improvement: float = 0.0
    """Relative improvement over these that is too small to go on. Where the learning rate decays until the last epoch,
    the best scores come late, and anything above 0 may end the search before."""

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.perturbation not in get_args(Perturbation):
            raise LfadsxError(f"perturbation = {self.perturbation!r} is none of the choices. Give 'log' or 'linear'.")
        if self.begin not in get_args(Begin):
            raise LfadsxError(f"begin = {self.begin!r} is none of the choices. Give 'run' or 'space'.")
        if self.patience < 2:
            raise LfadsxError(f"patience = {self.patience} leaves no two generations to compare. Give at least 2.")
        if not self.min_improvement >= 0:
            raise LfadsxError(f"min_improvement = {self.min_improvement} is no improvement. Give 0 or more.")

    @classmethod
    def autolfads(cls) -> Self:
        """Returns the search of AutoLFADS with the settings of lfads-torch, which perturbs linearly."""
        return cls(Space.autolfads(), "space", perturbation="linear", patience=4, min_improvement=5e-4)

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the hyperparameters of the first generation, as `begin` says."""
        if self.begin == "space":
            return self.space.sample(rng, n, hyper)
        begun = {name: span.start for name, span in self.space.ranges.items() if span.start is not None}
        members = repeat(dataclasses.replace(hyper, **begun), n)
        return self.space.perturb(rng, members, np.arange(n) > 0, self.perturbation)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns who goes on with whose weights, and with which hyperparameters; all stay active."""
        scores = np.where(np.isfinite(generation.scores), generation.scores, np.inf)
        parents = _winners(scores, _opponents(rng, len(scores)))
        copied = jax.tree.map(lambda values: values[parents], generation.hyper)
        hyper = self.space.perturb(rng, copied, parents != np.arange(len(parents)), self.perturbation)
        return Decision(parents, hyper, np.ones(len(parents), bool))

    def prepared(self, reduction: Reduction, entries: float) -> Self:
        """Returns the search with its space in the run's convention."""
        return dataclasses.replace(self, space=self.space.converted(reduction, entries))

    def check(self, n_members: int) -> None:
        """Raises LfadsxError for fewer than two members."""
        if n_members < 2:
            raise LfadsxError(
                f"A population of {n_members} members has no pairs to compare. "
                "Give population-based training at least 2."
            )

    def is_done(self, best: Sequence[float]) -> bool:
        """Returns whether the best score has hardly improved within the last `patience` generations.

        Their improvement is (oldest - lowest) / mean |score|. As in lfads-torch, one generation more must have ended,
        so that the first, which begins with untrained members, is not among them.

        Args:
            best: Score of the best member at the end of each generation so far, the newest last.
        """
        last = np.asarray(best[-self.patience :], np.float64)
        if len(best) <= self.patience or not np.isfinite(last).all():
            return False
        return bool(last[0] - last.min() <= self.min_improvement * np.abs(last).mean())


def _opponents(rng: np.random.Generator, n: int) -> Int[np.ndarray, " member"]:
    """Pairs all members at random; one that meets nobody is its own opponent."""
    order, opponents = rng.permutation(n), np.arange(n)
    first, second = order[: n - n % 2].reshape(-1, 2).T
    opponents[first], opponents[second] = second, first
    return opponents


def _winners(scores: Float[np.ndarray, " member"], opponents: Int[np.ndarray, " member"]) -> Int[np.ndarray, " member"]:
    """The better one of each member and its opponent, itself if they are equal; the best one where both are infinite.

    Where all scores are infinite, nobody has anything to give.
    """
    winners = np.where(scores[opponents] < scores, opponents, np.arange(len(scores)))
    has_nothing = np.isinf(scores[winners]) & np.isfinite(scores).any()
    return np.where(has_nothing, np.argmin(scores), winners)

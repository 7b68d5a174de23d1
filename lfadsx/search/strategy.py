"""The seam of a search: what decides how the members of a population go on after each generation."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Reduction, repeat


@dataclasses.dataclass(frozen=True)
class Generation:
    """What a strategy sees when a generation has ended.

    Attributes:
        number: Number of generations that have ended, 1 after the first.
        scores: Selection score of each member, shape (member,). Lower is better; infinite for a member that broke down.
            One that rests has its last score.
        hyper: Hyperparameters of the members, arrays of shape (member,).
        active: Whether each member still trains, shape (member,).
    """

    number: int
    scores: Float[np.ndarray, " member"]
    hyper: HyperParams
    active: Bool[np.ndarray, " member"]


@dataclasses.dataclass(frozen=True)
class Decision:
    """How the members go on.

    Attributes:
        parents: For each slot, the one whose weights, optimiser state and monitor it goes on with, as they were at the
            end of the generation; mostly itself. Shape (member,).
        hyper: Hyperparameters of the next generation, arrays of shape (member,).
        active: Whether each member trains on, shape (member,).
    """

    parents: Int[np.ndarray, " member"]
    hyper: HyperParams
    active: Bool[np.ndarray, " member"]

    @classmethod
    def unchanged(cls, generation: Generation) -> Decision:
        """Returns the decision that every member goes on as it is."""
        return cls(np.arange(len(generation.scores)), generation.hyper, generation.active.copy())


class AbstractStrategy(abc.ABC):
    """How a population is searched.

    You write `start`, the hyperparameters that members begin with, and `decide`, which is asked after each generation
    whose weights and hyperparameters each member goes on with, and which members train on. Take all randomness from the
    generator that is handed over. What a strategy has to remember, it finds in the generation: strategies are not
    changed by their use, so that an interrupted search goes on as if nothing had happened. Make it a frozen dataclass,
    and its settings are written down with the run.

    You get members that train in one compiled program, on one device or many, with checkpoints, records of what was
    decided, and the best member as the result.

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import AbstractStrategy, Decision, Generation, repeat
        >>> class WorstFollowsBest(AbstractStrategy):
        ...     def start(self, rng, n, hyper):
        ...         return repeat(hyper, n)
        ...
        ...     def decide(self, rng, generation):
        ...         decision = Decision.unchanged(generation)
        ...         decision.parents[generation.scores.argmax()] = generation.scores.argmin()
        ...         return decision
        >>> strategy, rng = WorstFollowsBest(), np.random.default_rng(0)
        >>> hyper = strategy.start(rng, 3, HyperParams())
        >>> generation = Generation(1, np.array([2.0, 1.0, 3.0]), hyper, np.ones(3, bool))
        >>> strategy.decide(rng, generation).parents
        array([0, 1, 1])
    """

    early_stopping: ClassVar[bool] = True
    """Whether a member whose score no longer improves stops by the run's patience."""

    @abc.abstractmethod
    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the hyperparameters with which members begin.

        Args:
            rng: Source of all randomness.
            n: Number of members.
            hyper: Numbers, those of the run.

        Returns:
            Hyperparameters of the members, arrays of shape (member,).
        """

    @abc.abstractmethod
    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns how the members go on after a generation; changes nothing that it is given.

        Args:
            rng: Source of all randomness.
            generation: Scores and hyperparameters at its end.
        """

    def prepared(self, reduction: Reduction, entries: float) -> Self:
        """Returns the strategy for a run, with its search space in the run's convention, if it has one.

        Args:
            reduction: Whether the loss of the run is a sum over bins and neurons or their mean.
            entries: Number of reconstructed bins times that of reconstructed neurons.
        """
        del reduction, entries
        return self

    def check(self, n_members: int) -> None:
        """Raises LfadsxError if a population of this size cannot be searched."""
        if n_members < 1:
            raise LfadsxError(f"A population of {n_members} members is none. Give at least 1.")

    def is_done(self, best: Sequence[float]) -> bool:
        """Returns whether the whole search ends; asked after each generation.

        Args:
            best: Score of the best member at the end of each generation so far, the newest last.
        """
        del best
        return False


@dataclasses.dataclass(frozen=True)
class Ensemble(AbstractStrategy):
    """Members with the same hyperparameters, which differ by their seeds only; none takes anything from another.

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import Ensemble
        >>> Ensemble().start(np.random.default_rng(0), 3, HyperParams(cd_rate=0.5)).cd_rate
        array([0.5, 0.5, 0.5])
    """

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the run's hyperparameters for each member."""
        del rng
        return repeat(hyper, n)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns that every member goes on as it is."""
        del rng
        return Decision.unchanged(generation)

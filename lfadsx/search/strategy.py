"""The seam of a search: a strategy chooses hyperparameters at the start and after each generation."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Reduction, Space, repeat


@dataclasses.dataclass(frozen=True)
class Generation:
    """The state of a population at the end of a generation.

    Attributes:
        number: Number of the generation, the first being 1.
        scores: Selection score of each member, shape (member,). Lower is better. Members that broke down have infinity;
            members that no longer train keep their last score.
        hyper: Hyperparameters of the members, arrays of shape (member,).
        active: Whether each member still trains, shape (member,).
    """

    number: int
    scores: Float[np.ndarray, " member"]
    hyper: HyperParams
    active: Bool[np.ndarray, " member"]


@dataclasses.dataclass(frozen=True)
class Decision:
    """Weights and hyperparameters of the members in the next generation.

    Attributes:
        parents: For each member, the number of the member whose weights, optimiser state and monitor it takes over, as
            they were at the end of the generation. Mostly its own number. Shape (member,).
        hyper: Hyperparameters of the next generation, arrays of shape (member,).
        active: Whether each member keeps training, shape (member,).
    """

    parents: Int[np.ndarray, " member"]
    hyper: HyperParams
    active: Bool[np.ndarray, " member"]

    @classmethod
    def unchanged(cls, generation: Generation) -> Decision:
        """Returns the decision that changes nothing."""
        return cls(np.arange(len(generation.scores)), generation.hyper, generation.active.copy())


class AbstractStrategy(abc.ABC):
    """Base class of searches.

    To write your own, define two methods. `start` returns the hyperparameters of the first generation. `decide`
    returns, after each generation, weights and hyperparameters of the next one, and which members keep training.

    Take all randomness from the generator that is passed in, and keep nothing in the strategy: the generation holds all
    that is known. An interrupted search then resumes without a difference. If the strategy is a frozen dataclass, its
    settings are saved with the run. A field `space` that is a `Space` is converted to the reduction of the run's loss.

    The members train in one compiled program, on one device or several. Checkpoints and a history are saved, and the
    result holds the best member.

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
    """If True, a member stops when its score has not improved for `patience` epochs."""

    @abc.abstractmethod
    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the hyperparameters of the first generation.

        Args:
            rng: Source of all randomness.
            n: Number of members.
            hyper: Hyperparameters of the run, numbers.

        Returns:
            Hyperparameters of the members, arrays of shape (member,).
        """

    @abc.abstractmethod
    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns weights and hyperparameters of the next generation; must not change its arguments.

        Args:
            rng: Source of all randomness.
            generation: The generation that has ended.
        """

    def prepared(self, reduction: Reduction, entries: float) -> Self:
        """Returns the strategy for a run: a field `space` is converted to the reduction of the run's loss.

        Args:
            reduction: Whether the loss of the run is a sum over bins and neurons or their mean.
            entries: Number of reconstructed bins times number of reconstructed neurons.
        """
        own: Any = self
        if not isinstance(getattr(own, "space", None), Space):
            return own
        return dataclasses.replace(own, space=own.space.converted(reduction, entries))

    def check(self, n_members: int) -> None:
        """Raises LfadsxError if the strategy cannot search with this number of members."""
        if n_members < 1:
            raise LfadsxError(f"A population must have at least 1 member, got {n_members}.")

    def is_done(self, best: Sequence[float]) -> bool:
        """Returns True to end the search; called after each generation.

        Args:
            best: Score of the best member at the end of each generation so far, the newest last.
        """
        return False


@dataclasses.dataclass(frozen=True)
class Ensemble(AbstractStrategy):
    """Members with the same hyperparameters, which differ only by their seeds. Nothing is copied between members.

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import Ensemble
        >>> Ensemble().start(np.random.default_rng(0), 3, HyperParams(cd_rate=0.5)).cd_rate
        array([0.5, 0.5, 0.5])
    """

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the run's hyperparameters for each member."""
        return repeat(hyper, n)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns the decision that changes nothing."""
        return Decision.unchanged(generation)


@dataclasses.dataclass(frozen=True)
class Fixed(Ensemble):
    """Members with the hyperparameters of a list, the same number of members for each entry.

    The first members have the first entry of the list, and so on. Members with the same entry differ by their seeds.
    The run's own hyperparameters are not used.

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import Fixed
        >>> grid = Fixed((HyperParams(cd_rate=0.1), HyperParams(cd_rate=0.5)))
        >>> grid.start(np.random.default_rng(0), 4, HyperParams()).cd_rate
        array([0.1, 0.1, 0.5, 0.5])

    Raises:
        LfadsxError: If the list is empty or a value in it is out of range.
    """

    hypers: tuple[HyperParams, ...] = (HyperParams(),)
    """The list of hyperparameters, numbers each."""

    def __post_init__(self) -> None:
        """Checks the list."""
        if not self.hypers:
            raise LfadsxError("`hypers` must hold at least one set of hyperparameters, got none.")
        for hyper in self.hypers:
            hyper.check()

    def check(self, n_members: int) -> None:
        """Raises LfadsxError unless all entries can have the same number of members."""
        if n_members < 1 or n_members % len(self.hypers):
            raise LfadsxError(
                f"The number of members must be a multiple of the {len(self.hypers)} sets of hyperparameters, "
                f"got {n_members}."
            )

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the entries of the list, each for the same number of members in a row."""
        each = n // len(self.hypers)
        return jax.tree.map(lambda *values: np.repeat(np.array(values, float), each), *self.hypers)

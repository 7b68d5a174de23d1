"""Random search, with successive halving if wanted."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Reduction, Space
from lfadsx.search.strategy import AbstractStrategy, Decision, Generation


@dataclasses.dataclass(frozen=True)
class RandomSearch(AbstractStrategy):
    """Draws every member's hyperparameters at the start; the worst members may stop early.

    `Range.start` is not used: members that never change would all keep that one value, and nothing would be searched.
    Members with equal scores stop in the order of their slots, the last one first.

    Source: successive halving is by Jamieson and Talwalkar (2016).

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import Generation, RandomSearch, Space
        >>> strategy, rng = RandomSearch(Space.default(), halvings=1), np.random.default_rng(0)
        >>> hyper = strategy.start(rng, 4, HyperParams())
        >>> scores = np.array([3.0, 1.0, np.inf, 2.0])
        >>> strategy.decide(rng, Generation(1, scores, hyper, np.ones(4, bool))).active
        array([False,  True, False,  True])

    Raises:
        LfadsxError: If `halvings` is negative, or `keep` not between 0 and 1.
    """

    space: Space = dataclasses.field(default_factory=Space.default)
    """What is drawn, and from which ranges."""
    halvings: int = 0
    """Number of first generations after each of which the worst members stop; 0: none ever."""
    keep: float = 0.5
    """Share of the active members that train on after each of these, rounded to a whole number, at least 1."""

    def __post_init__(self) -> None:
        """Checks the settings of the halving."""
        if self.halvings < 0:
            raise LfadsxError(f"halvings = {self.halvings} is negative. Give 0 or more.")
        if not 0 < self.keep < 1:
            raise LfadsxError(f"keep = {self.keep} is no share that halves. Give a number between 0 and 1.")

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns hyperparameters that are drawn from the whole of their ranges."""
        ranges = {name: dataclasses.replace(span, start=None) for name, span in self.space.ranges.items()}
        return dataclasses.replace(self.space, ranges=ranges).sample(rng, n, hyper)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns that members go on as they are, and that the worst stop after one of the first generations."""
        del rng
        decision = Decision.unchanged(generation)
        if generation.number > self.halvings:
            return decision
        # The last key counts first: members that have stopped come last, whatever their scores.
        order = np.lexsort((generation.scores, ~generation.active))
        n_kept = max(1, math.floor(self.keep * generation.active.sum() + 0.5))
        decision.active[order[n_kept:]] = False
        return decision

    def prepared(self, reduction: Reduction, entries: float) -> Self:
        """Returns the search with its space in the run's convention."""
        return dataclasses.replace(self, space=self.space.converted(reduction, entries))

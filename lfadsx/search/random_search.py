"""Random search, optionally with successive halving."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.space import Space
from lfadsx.search.strategy import AbstractStrategy, Decision, Generation


@dataclasses.dataclass(frozen=True)
class RandomSearch(AbstractStrategy):
    """Draws the hyperparameters of every member at the start. The worst members may stop early.

    `Range.start` is not used: hyperparameters never change here, so with it all members would have the same value. Of
    members with equal scores, those with higher numbers stop first.

    Source: Jamieson and Talwalkar (2016) for successive halving.

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
        LfadsxError: If `halvings` is negative, or `keep` is not between 0 and 1.
    """

    space: Space = dataclasses.field(default_factory=Space.default)
    """Ranges that hyperparameters are drawn from."""
    halvings: int = 0
    """Number of generations, counted from the first, after which the worst members stop. 0: no member stops."""
    keep: float = 0.5
    """Share of the active members that keep training after each of these generations, rounded; at least 1 member."""

    def __post_init__(self) -> None:
        """Checks `halvings` and `keep`."""
        if self.halvings < 0:
            raise LfadsxError(f"`halvings` must be at least 0, got {self.halvings}.")
        if not 0 < self.keep < 1:
            raise LfadsxError(f"`keep` must be above 0 and below 1, got {self.keep}.")

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns hyperparameters drawn from the whole of their ranges."""
        ranges = {name: dataclasses.replace(span, start=None) for name, span in self.space.ranges.items()}
        return dataclasses.replace(self.space, ranges=ranges).sample(rng, n, hyper)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns unchanged weights and hyperparameters. After one of the first generations the worst members stop."""
        decision = Decision.unchanged(generation)
        if generation.number > self.halvings:
            return decision
        # `lexsort` sorts by its last key first: stopped members come last, then members with worse scores.
        order = np.lexsort((generation.scores, ~generation.active))
        n_kept = max(1, math.floor(self.keep * generation.active.sum() + 0.5))
        decision.active[order[n_kept:]] = False
        return decision

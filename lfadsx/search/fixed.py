"""Hyperparameters that are given and never change: a grid, or any other list."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from lfadsx.config import HyperParams
from lfadsx.errors import LfadsxError
from lfadsx.search.strategy import AbstractStrategy, Decision, Generation


@dataclasses.dataclass(frozen=True)
class Fixed(AbstractStrategy):
    """Trains members with the hyperparameters of a list, equally many with each; none takes anything from another.

    The first members have the first entry of the list, and so on; members with the same one differ by their seeds.
    What the run's own hyperparameters are does not count.

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
    """The hyperparameters, numbers each."""

    def __post_init__(self) -> None:
        """Checks the list."""
        if not self.hypers:
            raise LfadsxError("The list of hyperparameters is empty. Give at least one entry.")
        for hyper in self.hypers:
            hyper.check()

    def check(self, n_members: int) -> None:
        """Raises LfadsxError unless equally many members can have each entry."""
        if n_members < 1 or n_members % len(self.hypers):
            raise LfadsxError(
                f"{n_members} members cannot share {len(self.hypers)} sets of hyperparameters evenly. Give a multiple "
                "of these."
            )

    def start(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the entries of the list, each for equally many members in a row."""
        del rng, hyper
        each = n // len(self.hypers)
        return jax.tree.map(lambda *values: np.repeat(np.array(values, float), each), *self.hypers)

    def decide(self, rng: np.random.Generator, generation: Generation) -> Decision:
        """Returns that every member goes on as it is."""
        del rng
        return Decision.unchanged(generation)

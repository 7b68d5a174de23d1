"""The table of built-in strategies, and the description of a strategy in a run folder."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from lfadsx.files import to_json
from lfadsx.search.pbt import PBT
from lfadsx.search.random_search import RandomSearch
from lfadsx.search.strategy import AbstractStrategy, Ensemble, Fixed

STRATEGIES: dict[str, type[AbstractStrategy]] = {
    "ensemble": Ensemble,
    "fixed": Fixed,
    "random": RandomSearch,
    "pbt": PBT,
}
"""The built-in strategies by name."""


def describe(strategy: AbstractStrategy) -> dict[str, Any]:
    """Returns name and settings of a strategy as a JSON object.

    Example:
        >>> from lfadsx.search import RandomSearch, Range, Space, describe
        >>> describe(RandomSearch(Space({}), halvings=2))
        {'name': 'random', 'settings': {'space': {'ranges': {}, 'reduction': 'sum'}, 'halvings': 2, 'keep': 0.5}}

    Args:
        strategy: The strategy. Your own strategies are described by their qualified name and, if they are dataclasses,
            their settings. A setting that JSON cannot hold is described by the name of its type.
    """
    kind = type(strategy)
    names = {built_in: name for name, built_in in STRATEGIES.items()}
    settings = strategy if dataclasses.is_dataclass(strategy) else {}
    described = {"name": names.get(kind, f"{kind.__module__}.{kind.__qualname__}"), "settings": settings}
    # The text of an object may hold an address, which differs in the next process; the name of its type does not.
    return json.loads(to_json(described, other=lambda value: type(value).__qualname__))

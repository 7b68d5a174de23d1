"""The closed table of built-in strategies, and how a strategy is written down."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from lfadsx.search.fixed import Fixed
from lfadsx.search.pbt import PBT
from lfadsx.search.random_search import RandomSearch
from lfadsx.search.strategy import AbstractStrategy, Ensemble

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
        strategy: The strategy. One that is not built in gets its qualified name, and has settings if it is a dataclass;
            of a setting that is no JSON, the name of its type is kept.
    """
    kind = type(strategy)
    names = {built_in: name for name, built_in in STRATEGIES.items()}
    settings = _plain(strategy) if dataclasses.is_dataclass(strategy) else {}
    # Through JSON and back: what a file would give.
    return json.loads(
        json.dumps(
            {"name": names.get(kind, f"{kind.__module__}.{kind.__qualname__}"), "settings": settings}, default=_plain
        )
    )


def _plain(value: Any) -> Any:
    """What stands in JSON for an object."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    # No text of the object itself, which may hold an address and so be another one in the next process.
    return type(value).__qualname__

"""What the values of settings must be: ranges, choices, lengths of tuples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lfadsx.errors import LfadsxError

SUITED = "suited"
"""Key in the metadata of fields whose default follows from the amount of data."""

Range = tuple[Callable[[float], bool], str]
"""A test of a number, and the range in words."""
ABOVE_0: Range = (lambda value: 0 < value < math.inf, "above 0")
AT_LEAST_0: Range = (lambda value: 0 <= value < math.inf, "at least 0")
AT_LEAST_1: Range = (lambda value: value >= 1, "at least 1")
FROM_0_TO_1: Range = (lambda value: 0 <= value <= 1, "from 0 to 1")
BELOW_1: Range = (lambda value: 0 <= value < 1, "from 0 to below 1")
FACTOR: Range = (lambda value: 0 < value <= 1, "above 0 and at most 1")


def suited(default: Any) -> Any:
    """Returns a field whose value follows from the amount of data unless it is given; see `lfadsx.suited_settings`."""
    return dataclasses.field(default=default, metadata={SUITED: True})


def check_range(config: Any, allowed: Range, *names: str) -> None:
    """Raises LfadsxError if a setting, or a number of one that is a tuple, is out of range."""
    inside, words = allowed
    for name in names:
        value = getattr(config, name)
        if not all(inside(number) for number in (value if isinstance(value, tuple) else (value,))):
            each = "hold numbers" if isinstance(value, tuple) else "be"
            raise LfadsxError(f"`{name}` must {each} {words}, got {_plain(value)}.")


def _plain(value: Any) -> Any:
    """Returns a value for a message: arrays of JAX and NumPy as floats."""
    return value if isinstance(value, int | tuple) else float(value)


def check_types(config: Any) -> None:
    """Raises LfadsxError for a name outside the choices, and for a tuple of another length."""
    for name, hint in get_type_hints(type(config)).items():
        value, kinds = getattr(config, name), get_args(hint)
        if get_origin(hint) is tuple:
            n = None if kinds[-1] is ... else len(kinds)
            if not isinstance(value, tuple) or n not in (None, len(value)):
                what = f"a tuple of {n} numbers" if n else "a tuple"
                raise LfadsxError(f"`{name}` must be {what}, got {value!r}.")
            value, hint = value, kinds[0]
        for word in value if isinstance(value, tuple) else (value,):
            if get_origin(hint) is Literal and word not in get_args(hint):
                raise LfadsxError(f"`{name}` must be one of {', '.join(map(repr, get_args(hint)))}, got {word!r}.")

"""Settings by target group, written as GROUP=VALUE."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from lfadsx.errors import LfadsxError

T = TypeVar("T")


def by_group(setting: str, pairs: Sequence[str], read: Callable[[str], T], form: str) -> dict[str, T]:
    """Returns the values of a setting by target group.

    Example:
        >>> from lfadsx.group_settings import by_group, weight
        >>> by_group("group_weights", ("velocity=0.1",), weight, "GROUP=WEIGHT")
        {'velocity': 0.1}

    Args:
        setting: Name of the setting, for messages.
        pairs: The setting, GROUP=VALUE for each group.
        read: Returns the value of a text, or raises ValueError.
        form: What a pair looks like, in words.

    Raises:
        LfadsxError: If a pair is not of this form.
    """
    found = {}
    for pair in pairs:
        try:
            group, _, text = pair.partition("=")
            if not group:
                raise ValueError
            found[group] = read(text)
        except (AttributeError, ValueError):  # AttributeError: the pair is not a string
            raise LfadsxError(f"`{setting}` must hold {form}, got {pair!r}.") from None
    return found


def weight(text: str) -> float:
    """Returns a number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def span(text: str) -> tuple[int, int]:
    """Returns first and end of a range of factors: "8" for the first eight, "8:12" for the next four."""
    first, _, end = text.rpartition(":")
    start, stop = int(first or 0), int(end)
    if not 0 <= start < stop:
        raise ValueError
    return start, stop


def delay(text: str) -> tuple[float, bool]:
    """Returns a delay, and whether it is in seconds: "10" are bins, "0.1s" are seconds."""
    in_seconds = text.endswith("s")
    value = float(text[:-1]) if in_seconds else int(text)
    if not math.isfinite(value):
        raise ValueError
    return value, in_seconds

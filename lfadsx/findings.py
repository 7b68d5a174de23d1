"""What looks odd in data, in training or in a model: one type for all of it."""

from __future__ import annotations

import dataclasses
from typing import Literal

Level = Literal["note", "warning", "error"]
"""A fact to know, something to look at, or a result that must not be used as it is."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that looks odd, in words and as a number.

    Findings are kept with a data set and with a run; reports render whatever list there is.

    Example:
        >>> from lfadsx.findings import Finding
        >>> print(
        ...     Finding(
        ...         level="warning",
        ...         name="silent neurons",
        ...         value=3,
        ...         threshold=0,
        ...         where="day1",
        ...         sentence="3 of 24 neurons never fire in training.",
        ...         remedy="Leave them out, or check the sorting.",
        ...     )
        ... )
        warning: 3 of 24 neurons never fire in training. Leave them out, or check the sorting.

    Attributes:
        level: "note": a fact to know; "warning": look at it; "error": do not use the result as it is.
        name: Short name of the kind of finding, the same in every data set and run, such as "silent neurons".
        value: What was measured.
        threshold: What the value was compared with, or None.
        where: What it is about: a session, a file, a split, a part of the model; empty for all of it.
        sentence: What was found, with its numbers, in one or two plain sentences.
        remedy: What to do about it, in one plain sentence; empty if nothing has to be done.
    """

    level: Level
    name: str
    value: float | None
    threshold: float | None
    where: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        """Returns level, sentence and remedy in one line."""
        return f"{self.level}: {self.sentence} {self.remedy}".rstrip()

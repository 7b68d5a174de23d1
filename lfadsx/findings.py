"""What looks odd in data, in training or in a model: one type for all of it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Literal, TypeVar

log = logging.getLogger("lfadsx")
Found = TypeVar("Found")

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


def attempt(found: list[Finding], kind: str, name: str, step: Callable[[], Found]) -> Found | None:
    """Returns what a step returns, or None if it fails: an extra never takes a result with it.

    A failure becomes a finding with its reason; its traceback goes to the log.

    Example:
        >>> from lfadsx.findings import attempt
        >>> found = []
        >>> attempt(found, "figure", "loss", lambda: "loss.png"), found
        ('loss.png', [])

    Args:
        found: The list that the finding is added to.
        kind: What kind of step it is, such as "figure"; the finding is called "figure failed".
        name: Name of the step; may be empty.
        step: The step.
    """
    try:
        return step()
    except Exception as error:
        what = f"{kind} {name!r}" if name else kind
        log.exception("The %s failed.", what)
        reason = str(error).strip().split("\n")[0].rstrip(".")
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        sentence = f"The {what} failed and is left out ({reason})."
        remedy = "Everything else stands without it; the traceback is in the log."
        found.append(Finding("warning", f"{kind} failed", None, None, name, sentence, remedy))
        return None

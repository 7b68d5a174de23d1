"""Findings: conspicuous facts about data, training, models and scores."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Literal, TypeVar

from lfadsx.errors import LfadsxError

log = logging.getLogger("lfadsx")
Found = TypeVar("Found")

Level = Literal["note", "warning", "error"]
"""note: a fact to know; warning: check it; error: do not use the result as it is."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One conspicuous fact, in words and as a number.

    Data sets and runs hold lists of findings, and reports show all of them.

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
        level: "note": a fact to know; "warning": check it; "error": do not use the result as it is.
        name: Short name of the kind of finding, the same in every data set and run, such as "silent neurons".
        value: The measured value, or None.
        threshold: The value that it was compared with, or None.
        where: The session, file, split or part of the model that it concerns; empty for all.
        sentence: The finding with its numbers, in one or two plain sentences.
        remedy: What to do, in one plain sentence; empty if nothing must be done.
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
    """Runs a step and returns its result, or None if it fails.

    A failure is added to `found` as a finding with its reason. Its traceback is logged unless the user can mend it.

    Example:
        >>> from lfadsx.findings import attempt
        >>> found = []
        >>> attempt(found, "figure", "loss", lambda: "loss.png"), found
        ('loss.png', [])

    Args:
        found: List to which the finding is added.
        kind: Kind of the step, such as "figure"; the finding is then named "figure failed".
        name: Name of the step; may be empty.
        step: The step.
    """
    try:
        return step()
    except Exception as error:
        what, ours = f"{kind} {name!r}" if name else kind, not isinstance(error, LfadsxError)
        log.error("The %s failed.", what, exc_info=ours)
        reason = str(error).strip().split("\n")[0].rstrip(".")
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        sentence = f"The {what} failed and is left out ({reason})."
        remedy = "All other results are valid" + ("; the traceback is in the log." if ours else ".")
        found.append(Finding("warning", f"{kind} failed", None, None, name, sentence, remedy))
        return None

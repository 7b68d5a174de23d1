"""Progress of long steps: a bar in a terminal or notebook, lines elsewhere; silent unless switched on."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
"""Shortest time between two lines about the same step, where no bar can be drawn."""

_shown = contextvars.ContextVar("shown", default=False)


@contextlib.contextmanager
def progress_shown(on: bool = True) -> Iterator[None]:
    """Switches progress on, or off, for the steps inside the block.

    Example:
        ```python
        with lfadsx.progress.progress_shown():
            lfadsx.infer(model, data)
        ```
    """
    token = _shown.set(on)
    try:
        yield
    finally:
        _shown.reset(token)


def steps(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Yields the items and shows how many of them are done.

    Args:
        items: What the step works through.
        what: Name of the step, such as "inference".

    Example:
        >>> from lfadsx.progress import steps
        >>> list(steps([1, 2], "inference"))
        [1, 2]
    """
    if not _shown.get():
        yield from items
        return
    items, live, last = list(items), is_live(), time.monotonic()
    if not live:
        write(f"{what} ...")
    with tqdm(total=len(items), desc=what, disable=not live, leave=False, dynamic_ncols=True) as bar:
        for number, item in enumerate(items, start=1):
            yield item
            bar.update()
            if not live and number < len(items) and time.monotonic() - last > SECONDS_BETWEEN_LINES:
                write(f"{what}: {number} of {len(items)}")
                last = time.monotonic()


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Shows the name of a step while the block runs."""
    for _ in steps([None], what):
        yield


def is_live() -> bool:
    """Returns True if a bar can be drawn again in its line: in a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def write(line: str) -> None:
    """Writes a line to the standard error without damage to a bar."""
    # tqdm clears the bar, writes, and draws the bar again; print would write into the bar.
    tqdm.write(line, file=sys.stderr)

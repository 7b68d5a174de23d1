"""The table of scores as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Text of a table with aligned columns: names to the left, numbers to the right, a dash for None.

    Columns without any number are left out.

    Args:
        rows: One mapping per row with the same keys; the first key names the row.

    Returns:
        The lines, joined, without a trailing newline.

    Example:
        >>> rows = [{"model": "lfads", "co_bps": 0.1257}, {"model": "time course", "co_bps": None}]
        >>> format_table(rows).splitlines()
        ['model        co_bps', 'lfads         0.126', 'time course       -']
    """
    label, *names = dict.fromkeys(key for row in rows for key in row)
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    columns = [[name, *(_cell(row.get(name)) for row in rows)] for name in (label, *names)]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for first, *others in zip(*columns, strict=True):
        numbers = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

"""Tables of the jobs that choose and test models: CSV files, and scores with their errors as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsx.files import write_text


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows with the same keys to a CSV file and returns it; what is None or NaN stays empty.

    Args:
        path: The file.
        rows: At least one row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
    return path


def with_error(value: float | None, error: float | None, digits: int = 3) -> str | None:
    """Returns "value ± standard error", or None without a value.

    Example:
        >>> from lfadsx.pipeline.csv_tables import with_error
        >>> with_error(0.12345, 0.002)
        '0.123 ± 0.002'

    Args:
        value: The value.
        error: Its standard error; left out when None or NaN.
        digits: Digits after the point.
    """
    if value is None or math.isnan(value):
        return None
    text = f"{value:.{digits}f}"
    return text if error is None or math.isnan(error) else f"{text} ± {error:.{digits}f}"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value

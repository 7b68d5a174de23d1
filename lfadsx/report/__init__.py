"""The report of a run: one self-contained HTML page with results, figures and a browser of trials."""

from __future__ import annotations

from pathlib import Path

from lfadsx.data.dataset import Dataset
from lfadsx.errors import MissingExtraError


def write_report(run: str | Path, data: Dataset | None = None) -> Path:
    """Writes the report page of a finished run, `RUN/report.html`, and returns the file.

    The page opens from disk without a network. It holds the verdict, the table of scores, a methods paragraph, the
    training, the figures, all findings, all settings, and a browser of the trials of the scored split. What is left
    out for size is named in the page.

    Example:
        ```python
        lfadsx.report.write_report("runs/monkey")
        ```

    Args:
        run: The run folder.
        data: The data set of the run, for recorded spikes and PSTHs. By default the files that the run was trained
            on are read; if these are not found, the page shows only what was inferred.

    Raises:
        MissingExtraError: If Jinja2, Matplotlib or Plotly is not installed.
        RunError: If the folder holds no finished run, or no posterior.
    """
    check_packages()
    from lfadsx.report.report_page import write_page  # which imports these packages

    return write_page(run, data)


def check_packages() -> None:
    """Checks that the packages of the page are installed.

    Raises:
        MissingExtraError: If Jinja2, Matplotlib or Plotly is not installed.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import plotly  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"The report page needs {error.name}, which is not installed. Install it with "
            '`pip install "lfadsx[report]"`, then run `lfadsx report RUN`.'
        ) from error

"""How well each session rebuilds the components that all share."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset
from lfadsx.data.session_alignment import shared_components
from lfadsx.plotting.panels import curves_figure

MOST_COMPONENTS, MOST_CONDITIONS = 8, 4
MEAN = "mean over sessions"


def alignment_figure(data: Dataset, *, taps: int = 6) -> Figure:
    """Draw the shared components of aligned sessions, and what each session makes of them.

    The first conditions stand one after the other. Each title has the session that agrees least with the others, and
    the share of their component's variance that it rebuilds.

    Args:
        data: Sessions with an alignment.
        taps: Bins of the moving average, as in `lfadsx.align`.

    Returns:
        The figure, one panel for each of the first 8 components.

    Example:
        alignment_figure(lfadsx.align(data, n_components=10)).savefig("alignment.png")
    """
    found = shared_components(data, taps=taps)
    line = lambda values: _one_after_the_other(values[:MOST_CONDITIONS])  # noqa: E731
    panels = {}
    for number, course in enumerate(found.components[:MOST_COMPONENTS]):
        worst = min(found.r2, key=lambda name: found.r2[name][number])
        title = f"Component {number + 1}: R2 from {found.r2[worst][number]:.2f} ({worst})"
        panels[title] = {MEAN: line(course)} | {n: line(own[number]) for n, own in found.rebuilt.items()}
    width = "" if data.bin_width is None else f" of {1000 * data.bin_width:g} ms"
    title = "Components that the sessions share"
    return curves_figure(panels, title, x_label=f"Bin{width}", y_label="Component", references=[MEAN])


def _one_after_the_other(course: np.ndarray) -> np.ndarray:
    """Courses of conditions, shape (condition, time), as one with gaps between."""
    return np.concatenate([np.append(one, np.nan) for one in course])

"""Generated trials beside recorded ones."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from example_tools.resemblance import Resemblance
from lfadsx.plotting import style


def resemblance_figure(found: Resemblance, title: str = "Generated and recorded trials") -> Figure:
    """Draw means, covariances and autocovariances of generated trials against those of recorded trials.

    Args:
        found: What `example_tools.resemblance` returned.
        title: Title of the figure.

    Returns:
        The figure.

    Example:
        resemblance_figure(resemblance(generated.rates["spikes"], counts)).savefig("generated.png")
    """
    figure = style.new_figure(8.5, 3.2, title)
    means, pairs, lags = figure.subplots(1, 3)
    _scatter(means, found.mean[:, found.chosen], "Mean per bin")
    _scatter(pairs, found.covariance, f"Covariance of two neurons, r = {found.covariance_r:.3f}")
    generated, recorded = found.autocovariance.mean(2)
    worst = found.autocovariance_r.min()
    style.panel(lags, f"Autocovariance, r from {worst:.3f} on", "Lag (bins)", "Mean over neurons")
    bins = np.arange(1, len(generated) + 1)
    lags.plot(bins, recorded, color=style.INK, lw=style.MEDIUM, ls=style.DASHED, label="recorded")  # type: ignore[arg-type]
    lags.plot(bins, generated, color=style.BLUE, lw=style.MEDIUM, label="generated")
    lags.set_ylim(bottom=min(0.0, float(np.min([generated, recorded]))))
    style.legend_below(figure, lags.get_lines())
    return figure


def _scatter(ax: Axes, values: np.ndarray, title: str) -> None:
    generated, recorded = values
    style.panel(ax, title, "Recorded", "Generated")
    ends = [float(np.min(values, initial=0.0)), float(np.max(values, initial=0.0))]
    ax.plot(ends, ends, color=style.GREY, lw=style.MEDIUM, ls=style.DASHED)  # type: ignore[arg-type]
    ax.plot(recorded, generated, ".", color=style.BLUE, ms=3)

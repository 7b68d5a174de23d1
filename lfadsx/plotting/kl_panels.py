"""KL of the posterior from the prior, by latent dimension: which dimensions the model uses."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.plotting.averaging import mean_and_interval
from lfadsx.plotting.condition_colours import QUALITATIVE
from lfadsx.plotting.latent_space import frame_courses, mark_handles
from lfadsx.plotting.style import BLUE, INK, MEDIUM, few_ticks, legend_below, new_figure, panel
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

MOST_NAMED = 20
"""Most dimensions whose numbers are written under the bars."""
FEW_BARS = 4
"""Places for bars, so that one bar does not fill a panel."""


def kl_per_dimension(posterior: Posterior, data: Dataset) -> Figure:
    """Draw the KL of each dimension of initial condition and bias, and of each inferred input: mean and 95 % interval.

    A dimension near 0 nats tells trials not apart: the model does not use it. Inputs are summed over the bins of a
    trial; the last panel shows when they differ from their prior.

    Args:
        posterior: Posterior of a split.
        data: The data set.

    Raises:
        LfadsxError: If the posterior holds no KL, or is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    found = {"Initial condition": posterior.kl_ic, "Bias": posterior.kl_bias, "Inferred inputs": posterior.kl_inputs}
    held = {name: kl for name, kl in found.items() if kl is not None}
    if not held:
        raise LfadsxError(
            "`posterior` must hold the KL of its latent variables, but has none. Infer it again: files of earlier "
            "versions and priors that do not treat variables one by one have no KL."
        )
    n_panels = len(held) + (posterior.kl_inputs is not None)
    title = f"KL from the prior, {view.split.n_trials} {posterior.split} trials"
    figure = new_figure(2.5 * n_panels + 0.2, 2.6, title)
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    for ax, (name, kl) in zip(axes, held.items(), strict=False):
        _draw_bars(ax, name, kl if kl.ndim == 2 else np.nansum(kl, axis=1))
    if posterior.kl_inputs is not None:
        _draw_courses(axes[-1], view, posterior.kl_inputs)
        legend_below(figure, mark_handles(view))
    return figure


def _draw_bars(ax: Axes, name: str, kl: np.ndarray) -> None:
    """Draw the mean over trials of values, shape (trial, dimension), sorted from large to small."""
    mean, half = mean_and_interval(kl)
    order = np.argsort(-mean)
    places = np.arange(len(order))
    few = len(order) <= MOST_NAMED
    across = "Dimension, sorted" if few else "Rank of the dimension"
    panel(ax, f"{name}: {mean.sum():.1f} nats", across, "KL (nats per trial)")
    ax.bar(places, mean[order], color=BLUE, width=0.75)
    ax.errorbar(places, mean[order], half[order], color=INK, ls="", lw=0.8)
    ax.set_xlim(-0.6, max(len(order), FEW_BARS) - 0.4)
    if few:
        ax.set_xticks(places, order.astype(str))
    else:
        few_ticks(ax, x=4, integer=True)
    few_ticks(ax, y=4)


def _draw_courses(ax: Axes, view: View, kl: np.ndarray) -> None:
    """Draw the mean over trials of each input's KL, shape (trial, time, input), over time."""
    panel(ax, "Inferred inputs over time", view.units.time_label, "KL (nats per bin)")
    for number in range(kl.shape[2]):
        mean = mean_and_interval(kl[:, :, number])[0]
        colour = QUALITATIVE[number % len(QUALITATIVE)]
        ax.plot(view.time, mean, color=colour, lw=MEDIUM, label=f"input {number}")
    frame_courses(ax, view)
    ax.set_ylim(bottom=0.0)
    ax.legend(frameon=False, fontsize=7, handlelength=1.2, labelcolor=INK, loc="best")

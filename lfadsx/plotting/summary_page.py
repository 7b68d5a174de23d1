"""One page that tells how a model did: scores, training, an example trial, latent space, averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import trials_of
from lfadsx.plotting.averaging import principal_components
from lfadsx.plotting.images import Kind, draw_images, image_label
from lfadsx.plotting.input_panels import draw_input_averages
from lfadsx.plotting.latent_space import PLANES, component_label, draw_plane
from lfadsx.plotting.loss_curves import PARTS, draw_part, has_part, loss_handles
from lfadsx.plotting.psth_panels import MOST_CONDITIONS, draw_psth, psth_handles
from lfadsx.plotting.rate_panels import choose_trials
from lfadsx.plotting.style import INK, LABEL, TITLE, colour_bar, legend_below, new_figure, panel
from lfadsx.plotting.table_panel import draw_table
from lfadsx.plotting.time_courses import draw_averages, frame_courses
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior

PAGE = (8.27, 11.69)
"""Width and height of A4 in inches."""
N_COLUMNS = 3
HISTORY = ("Loss", "Reconstruction", "Selection score", *PARTS)
"""Parts of the loss in the order in which they are chosen for the page."""


def summary(
    posterior: Posterior,
    data: Dataset,
    *,
    history: Mapping[str, np.ndarray] | None = None,
    table: Sequence[Mapping[str, object]] = (),
    title: str | None = None,
) -> Figure:
    """Draw one page: an example trial, the factors, PSTHs and inputs, and if given the scores and the loss.

    Args:
        posterior: Posterior of a split.
        data: The data set.
        history: As for `loss_figure`; None leaves the loss out.
        table: One mapping per model or baseline, its name first, then its scores; None where there is none.
        title: Title of the page; by default the names of sessions and split.

    Returns:
        The figure, of the size of an A4 page.

    Raises:
        LfadsxError: If the posterior is of other trials than those of its split in the data.

    Example:
        lfadsx.plotting.summary(post, data).savefig("summary.png")
    """
    view, history = View.of(data, trials_of(data, posterior.split)[1], posterior), history or {}
    title = f"{', '.join(posterior.sessions[:3])}: {posterior.split} trials" if title is None else title
    parts: list[tuple[float, Callable[[SubFigure], None]]] = []
    if table:
        parts.append((0.6 + 0.2 * len(table), lambda part: draw_table(part.subplots(), table)))
    if any(has_part(history, name) for name in PARTS):
        parts.append((2.0, lambda part: _draw_history(part, history)))
    parts.append((2.3, lambda part: _draw_example(part, view)))
    parts.append((2.4, lambda part: _draw_factors(part, view)))
    parts.append((2.2, lambda part: _draw_psths(part, view)))
    inputs = posterior.inputs
    if inputs is not None and inputs.shape[2] > 0:
        parts.append((1.8, lambda part: _draw_inputs(part, view, inputs)))
    heights = [height for height, _ in parts]
    figure = new_figure(PAGE[0], min(PAGE[1], sum(heights) + 0.5), title)
    places = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for place, (_, draw) in zip(places, parts, strict=True):
        draw(place)
    return figure


def _draw_history(part: SubFigure, history: Mapping[str, np.ndarray]) -> None:
    """Draw the first three parts of the loss that the history holds."""
    names = [name for name in HISTORY if has_part(history, name)][:N_COLUMNS]
    for ax, name in zip(part.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_part(ax, history, name)
    legend_below(part, loss_handles(history))


def _draw_example(part: SubFigure, view: View) -> None:
    """Draw one trial: its spikes, the inferred rates, and the true ones where they are known."""
    trial = choose_trials(view, view.choose_session(None), n_trials=1, seed=0)
    kinds: list[Kind] = ["counts", "rates"] if view.split.truth is None else ["counts", "rates", "truth"]
    names = {"counts": view.trial_name(trial[0]), "rates": "Inferred rates", "truth": "True rates"}
    for ax, kind in zip(part.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        image = draw_images([ax], view, trial, kind)
        colour_bar(part, image, [ax], image_label(view, kind), integer=kind == "counts")
        ax.set_title(names[kind], loc="left", fontsize=TITLE, color=INK, pad=12)
        ax.set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)


def _draw_factors(part: SubFigure, view: View) -> None:
    """Draw the factors in planes of principal components, and the first component over time."""
    scores, share = principal_components(view.posterior.factors)
    planes = [plane for plane in PLANES if max(plane) < len(share)]
    axes = part.subplots(1, len(planes) + 1, squeeze=False)[0]
    for ax, plane in zip(axes, planes, strict=False):
        draw_plane(ax, view, scores, share, plane)
    panel(axes[-1], "", view.units.time_label, component_label(share, 0))
    draw_averages(axes[-1], view, scores[:, :, 0])
    frame_courses(axes[-1], view)
    axes[0].set_title("Factors", loc="left", fontsize=TITLE, color=INK)
    view.conditions.add_legend(part, most=MOST_CONDITIONS)


def _draw_psths(part: SubFigure, view: View) -> None:
    """Draw the PSTHs of up to three neurons."""
    session = view.choose_session(None)
    neurons = view.telling_neurons(session, N_COLUMNS)
    axes = part.subplots(1, len(neurons), squeeze=False)[0]
    for ax, neuron in zip(axes, neurons, strict=True):
        draw_psth(ax, view, session, int(neuron))
        ax.set_xlabel(view.units.time_label, fontsize=LABEL, color=INK)
    axes[0].set_ylabel(view.rate_label, fontsize=LABEL, color=INK)
    legend_below(part, psth_handles(view))


def _draw_inputs(part: SubFigure, view: View, inputs: np.ndarray) -> None:
    """Draw the averages of up to three inferred inputs."""
    n = min(N_COLUMNS, inputs.shape[2])
    axes = part.subplots(1, n, squeeze=False)[0]
    for i, ax in enumerate(axes):
        draw_input_averages(ax, view, inputs[:, :, i])
        panel(ax, f"Inferred input {i}", view.units.time_label, "a.u." if i == 0 else "")

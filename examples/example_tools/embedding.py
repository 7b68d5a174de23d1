"""Embeddings of states in the plane that keep neighbours together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from lfadsx import LfadsxError
from lfadsx.plotting import style

MOST_EXACT = 200
"""Trials below which the embedding is computed without approximation."""


def embedding_figure(
    states: Mapping[str, np.ndarray], colour: np.ndarray, colour_label: str, title: str = "", seed: int = 0
) -> Figure:
    """Draw t-SNE embeddings of several sets of states, one dot per trial in the colour of a known quantity.

    Neighbouring dots are similar states; axes, distances between clusters and orientation mean nothing.

    Source: van der Maaten & Hinton 2008, Journal of Machine Learning Research 9.

    Args:
        states: By name, shape (trial, dimension), any unit.
        colour: A quantity known of each trial, shape (trial,).
        colour_label: What it is, with its unit.
        title: Title of the figure.
        seed: Seed of the embedding.

    Returns:
        The figure, one panel per name.

    Raises:
        LfadsxError: If there are fewer than 4 trials, or states and `colour` differ in number.

    Example:
        embedding_figure({"true": h0, "inferred": posterior.ic_mean}, output, "First output").savefig("tsne.png")
    """
    for name, of in states.items():
        if len(of) != len(colour) or len(of) < 4:
            raise LfadsxError(
                "States and `colour` must be of the same trials, 4 or more, got "
                f"{len(of)} states {name!r} and {len(colour)} colours."
            )
    figure = style.new_figure(3.3 * len(states) + 0.8, 3.4, title)
    axes = figure.subplots(1, len(states), squeeze=False)[0]
    for ax, (name, of) in zip(axes, states.items(), strict=True):
        # t-SNE needs fewer neighbours than trials; for few trials the exact method is faster.
        perplexity, method = min(30.0, (len(of) - 1) / 3), "exact" if len(of) < MOST_EXACT else "barnes_hut"
        embed = TSNE(perplexity=perplexity, init="pca", method=method, random_state=seed)
        points, size = embed.fit_transform(np.asarray(of, np.float64)), float(np.clip(4000 / len(of), 6, 30))
        dots = ax.scatter(*points.T, c=colour, cmap=style.image_map("viridis"), s=size, lw=0)
        style.panel(ax, name)
        ax.set(xticks=[], yticks=[])
        ax.set_box_aspect(1.0)
    style.colour_bar(figure, dots, list(axes), colour_label)
    return figure

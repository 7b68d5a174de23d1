"""Images side by side, in the look of the other figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from lfadsx.plotting import style

MOST_COLUMNS = 4


def images_figure(
    images: Mapping[str, np.ndarray], title: str = "", *, x_label: str = "", y_label: str = "", label: str = ""
) -> Figure:
    """Draw one image per entry, at most four in a row, each with its colour bar; white is zero if signs differ.

    Args:
        images: By title of the panel, shape (row, column), drawn with the first row at the bottom.
        title: Title of the figure.
        x_label: Label of the columns.
        y_label: Label of the rows.
        label: Quantity with its unit.

    Example:
        images_figure({"Spikes": counts.T}, x_label="Bin", y_label="Neuron", label="Count").savefig("trial.png")
    """
    columns = min(len(images), MOST_COLUMNS)
    figure, axes = style.panel_grid(len(images), columns, (2.5, 2.1), (0.6, 0.8), title)
    for number, (ax, (name, values)) in enumerate(zip(axes, images.items(), strict=True)):
        style.panel(ax, name, x_label, y_label if number % columns == 0 else "", image=True)
        largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        both = bool(np.nanmin(values, initial=0.0) < 0)
        image = ax.imshow(
            values,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap=style.image_map("RdBu_r" if both else "viridis"),
            vmin=-largest if both else 0.0,
            vmax=largest,
        )
        style.colour_bar(figure, image, [ax], label)
    return figure

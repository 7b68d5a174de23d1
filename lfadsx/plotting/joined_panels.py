"""Joined rates of pieces: a stretch of the recording, data beside rates, without the borders of pieces."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.dataset import Dataset
from lfadsx.data.pieces import runs_of
from lfadsx.plotting.example_trials import mark_held_out
from lfadsx.plotting.style import (
    BLUE,
    GREY,
    INK,
    MEDIUM,
    RULE,
    THIN,
    colour_bar,
    few_ticks,
    image_map,
    legend_below,
    new_figure,
    panel,
    row_title,
)
from lfadsx.plotting.view import View
from lfadsx.results.joined import Joined
from lfadsx.results.joining import join
from lfadsx.results.posterior import Posterior

N_NEURONS = 3
"""Single neurons below the images."""

N_PIECES = 8
"""Length of the stretch in pieces."""


def joined_rates(posterior: Posterior, data: Dataset, *, session: int | None = None) -> Figure:
    """Draw a stretch of joined pieces: data and rates of all neurons, single neurons, and where pieces begin.

    Args:
        posterior: Posterior of a split whose trials are pieces.
        data: The data set.
        session: Index of the session; by default the one with the most pieces.

    Raises:
        LfadsxError: If trials are not pieces, or the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    session = view.choose_session(session)
    joined = join(posterior)[data.sessions[session].name]
    order, shown = view.sorted_neurons(session), view.choose_neurons(session, N_NEURONS)
    bins, begins = _stretch(view, joined, session)
    counts = _recorded(view, joined, session, bins)
    rates = joined.rates[joined.input_group][bins] * view.units.rate_scale
    edges = _edges(joined, bins)
    title = f"{posterior.split.capitalize()} pieces, joined{view.session_title(session)}"
    figure = new_figure(8.5, 4.6 + 0.8 * len(shown), title)
    axes = figure.subplots(2 + len(shown), 1, sharex=True, height_ratios=[2, 2] + [1] * len(shown))
    # Each neuron has its own scale, because a loud one would leave the others dark. The panels below have units.
    images = ((counts, "Greys", "Data"), (rates, "viridis", "Inferred rates"))
    scale = view.units.say("Share of neuron's highest" if view.units.are_counts else "Lowest to highest")
    for ax, (values, colours, name) in zip(axes, images, strict=False):
        panel(ax, image=True, y=view.units.say("Neuron, by peak"))
        extent = (edges[0], edges[1], len(order), 0.0)
        scaled = _by_neuron(values[:, order], view.units.are_counts).T
        image = ax.imshow(scaled, aspect="auto", extent=extent, cmap=image_map(colours), vmin=0.0, vmax=1.0)
        held_out = view.held_out(session)
        mark_held_out(ax, int((~held_out).sum()), len(order), named=colours == "Greys")
        row_title(ax, name)
        colour_bar(figure, image, [ax], scale)
    for ax, neuron in zip(axes[2:], shown, strict=True):
        _draw_neuron(ax, joined.time[bins], counts[:, neuron], rates[:, neuron], view.units.are_counts)
        row_title(ax, view.neuron_name(session, neuron))
        for begin in begins:
            ax.axvline(begin, color=RULE, lw=THIN, zorder=0)
    axes[-1].set_ylabel(view.rate_label)
    axes[-1].set_xlabel("Time in the recording (s)" if joined.bin_width is not None else "Bin of the recording")
    axes[-1].set_xlim(*edges)
    marks = [Line2D([], [], color=INK, marker="|", ls="", ms=6, label="spikes")] if view.units.are_counts else []
    marks += [Line2D([], [], color=BLUE, lw=MEDIUM, label="joined rate")]
    legend_below(figure, [*marks, Line2D([], [], color=RULE, lw=1.0, label="a piece begins")])
    return figure


def _by_neuron(values: np.ndarray, are_counts: bool) -> np.ndarray:
    """Return the values of each neuron from 0 to its highest, or from its lowest to its highest, as 0 to 1.

    Of real values the outermost percent on each side is cut off.
    """
    known = np.where(np.isfinite(values).any(axis=0), values, 0.0)
    top = np.nanmax(known, axis=0)
    low, high = (np.zeros_like(top), top) if are_counts else np.nanpercentile(known, (1, 99), axis=0)
    return (values - low) / np.where(high > low, high - low, 1.0)


def _stretch(view: View, joined: Joined, session: int) -> tuple[slice, np.ndarray]:
    """Return the middle of the longest run of covered bins, and the times at which its pieces begin."""
    covered = joined.n_pieces > 0
    runs = [runs_of(own) for own in joined.by_trial(covered)]
    at = np.cumsum(joined.length) - joined.length
    found = np.concatenate([own + start for own, start in zip(runs, at, strict=True)])
    first, stop = found[np.argmax(found[:, 1] - found[:, 0])].tolist()
    n_bins = min(stop - first, N_PIECES * int(view.split.target_length.max()))
    first += (stop - first - n_bins) // 2
    places = _places(view, joined, session)
    inside = places[(places >= first) & (places < first + n_bins)]
    half = 0.5 * (joined.bin_width or 0.0)
    return slice(first, first + n_bins), joined.time[inside] - half


def _places(view: View, joined: Joined, session: int) -> np.ndarray:
    """Return where each piece of the session begins among the joined bins, shape (piece,)."""
    post, rows = view.posterior, view.trials_of(session)
    trial = np.unique(np.asarray(post.piece_of)[rows], return_inverse=True)[1]
    return (np.cumsum(joined.length) - joined.length)[trial] + np.asarray(post.first_bin)[rows]


def _recorded(view: View, joined: Joined, session: int, bins: slice) -> np.ndarray:
    """Return the recorded data of the joined bins, shape (bin, neuron of the session), NaN where missing."""
    places, rows = _places(view, joined, session), view.trials_of(session)
    width = len(view.held_out(session))
    found = np.full((bins.stop - bins.start, width), np.nan)
    for row, place in zip(rows, places, strict=True):
        n = int(view.split.target_length[row])
        first, stop = max(place, bins.start), min(place + n, bins.stop)
        if first < stop:
            own = view.counts(np.array([row]), np.arange(width))[0]
            found[first - bins.start : stop - bins.start] = own[first - place : stop - place]
    return found


def _edges(joined: Joined, bins: slice) -> tuple[float, float]:
    half = 0.5 * (joined.bin_width or 1.0)
    return float(joined.time[bins.start] - half), float(joined.time[bins.stop - 1] + half)


def _draw_neuron(ax: Axes, time: np.ndarray, counts: np.ndarray, rate: np.ndarray, are_counts: bool) -> None:
    panel(ax)
    if are_counts:
        fired = time[np.nan_to_num(counts) > 0]
        ax.vlines(fired, 0.88, 1.0, color=INK, lw=THIN, transform=ax.get_xaxis_transform())
        ax.set_ylim(0.0, 1.2 * np.nanmax(rate, initial=1e-9))
    else:
        ax.plot(time, counts, color=GREY, lw=0.8)
    ax.plot(time, rate, color=BLUE, lw=MEDIUM)
    few_ticks(ax, y=3)

"""Scores of single neurons: the model against a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.baselines import condition_average, held_out_channels, mean_rate, time_course
from lfadsx.evaluation.baselines.session_data import seen_bins
from lfadsx.evaluation.metrics import bits_per_spike, r2_by_channel
from lfadsx.plotting.style import BLUE, MEDIUM, ORANGE, RULE, few_ticks, legend_below, new_figure, panel, square
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior


class NeuronScores(NamedTuple):
    """Scores of the same neurons by model and baseline, shape (neuron,).

    Attributes:
        model: Scores of the model.
        baseline: Scores of the baseline.
        label: The entries that are scored, and the baseline.
        colour: Colour of the neurons.
    """

    model: np.ndarray
    baseline: np.ndarray
    label: str
    colour: str


SCORED = {"masked_bps": ("entries hidden from the encoder", BLUE), "co_bps": ("held-out neurons", ORANGE)}
"""Measures of single neurons in `scores`: the entries that they score, and their colour."""


def gain_per_neuron(posterior: Posterior, data: Dataset, scores: Mapping[str, Any] | None = None) -> Figure:
    """Draw the scores of all neurons by the model against those by a baseline, and the sorted gains.

    Counts are scored in bits per spike relative to each neuron's mean rate, other data by R².

    Args:
        posterior: Posterior of a split.
        data: The data set.
        scores: `Evaluation.detail` of the split, or `detail` of `metrics.json`. It scores entries that the encoder did
            not see against the best baseline. Without it, or for other data than counts, all entries are scored
            against the condition average (without conditions, the time course); a model that copies the entries that
            its encoder sees then scores high.

    Raises:
        LfadsxError: If the posterior is not of the trials of its split in the data.
    """
    view = View.of(posterior, data)
    unit = "bits per spike" if view.units.are_counts else "R²"
    found = _from_scores(scores) or _from_rates(view)
    title = view.units.say(f"Single neurons, {view.split.n_trials} {posterior.split} trials")
    figure = new_figure(6.2, 3.1, title)
    left, right = figure.subplots(1, 2)
    panel(left, "Model against baseline", f"Baseline ({unit})", f"Model ({unit})")
    panel(right, "Model minus baseline", view.units.say("Neuron, sorted by gain"), f"Gain ({unit})")
    right.axhline(0.0, color=RULE, lw=0.8, zorder=0)
    handles = []
    for part in found:
        known = np.isfinite(part.model) & np.isfinite(part.baseline)
        model, baseline = part.model[known], part.baseline[known]
        left.plot(baseline, model, "o", color=part.colour, ms=4, alpha=0.8, mec="white", mew=0.4)
        gain = np.sort(model - baseline)[::-1]
        right.plot(np.arange(1, len(gain) + 1), gain, "o-", color=part.colour, ms=2.5, lw=MEDIUM)
        better = f"{(gain > 0).sum()} of {len(gain)} better"
        handles.append(Line2D([], [], color=part.colour, marker="o", ls="", ms=4, label=f"{part.label}: {better}"))
    _frame(left, found)
    few_ticks(right, y=4)
    few_ticks(right, x=4, integer=True)
    legend_below(figure, handles)
    return figure


def _frame(ax: Axes, found: list[NeuronScores]) -> None:
    values = np.concatenate([np.concatenate([part.model, part.baseline]) for part in found])
    values = values[np.isfinite(values)]
    ax.axhline(0.0, color=RULE, lw=0.6, zorder=0)
    ax.axvline(0.0, color=RULE, lw=0.6, zorder=0)
    square(ax, float(values.min(initial=0.0)), float(values.max(initial=0.0)))


def _from_scores(scores: Mapping[str, Any] | None) -> list[NeuronScores]:
    """Return the scores of entries that the encoder did not see, as far as an evaluation has them."""
    found = []
    for measure, (entries, colour) in SCORED.items():
        baseline = (scores or {}).get("per_neuron_of_baseline", {}).get(measure)
        if baseline is None or scores is None:
            continue
        of_model = scores["per_neuron"][measure]
        model, rival = _joined(of_model, of_model), _joined(baseline["per_neuron"], of_model)
        found.append(NeuronScores(model, rival, f"{entries} (baseline: {baseline['model']})", colour))
    return found


def _joined(by_session: Mapping[str, Any], like: Mapping[str, Any]) -> np.ndarray:
    """Return the scores of the neurons of all sessions; null in a file is NaN."""
    return np.concatenate([np.array(by_session[session], float) for session in like])


def _from_rates(view: View) -> list[NeuronScores]:
    """Return the scores of all entries: those of held-in neurons in bins that the encoder sees, and all others."""
    data, split = view.dataset, view.split
    known = split.condition is not None and data.train.condition is not None
    name, fit = ("condition average", condition_average) if known else ("time course", time_course)
    baseline, mean = fit(data, split), mean_rate(data, split)
    model = np.asarray(view.posterior.rates[data.input_group], float)
    values, scored = split.targets[data.input_group], scored_mask(split, data)
    held_out = held_out_channels(data)[split.session][:, None, :]
    seen = seen_bins(split) & ~held_out
    found = []
    for part, entries, colour in ((seen, "entries that the encoder sees", BLUE), (~seen, "other entries", ORANGE)):
        mask = scored & part
        if mask.any():
            own, rival = (_of_neurons(view, rates, values, mask, mean) for rates in (model, baseline))
            found.append(NeuronScores(own, rival, f"{entries} (baseline: {name})", colour))
    return found


def _of_neurons(view: View, rates: np.ndarray, values: np.ndarray, mask: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the score of each neuron of each session."""
    found = []
    for session in np.unique(view.split.session):
        own, n = view.trials_of(session), len(view.held_out(session))
        rates_n, values_n, mask_n, mean_n = (of[own, :, :n] for of in (rates, values, mask, mean))
        if view.units.are_counts:
            clipped = np.maximum(rates_n, 0.0)
            found.append(bits_per_spike(clipped, values_n, mask=mask_n, null_rates=mean_n).per_neuron)
        else:
            masked = np.where(mask_n, values_n, np.nan)
            found.append(r2_by_channel(np.where(mask_n, rates_n, np.nan), masked))
    return np.concatenate(found)

"""Arrays of one session for the browser of trials: rates, recorded data and PSTHs of its neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lfadsx.evaluation.metrics import smooth
from lfadsx.plotting.condition_colours import evenly
from lfadsx.report.packing import TEXT_PER_BYTE, packed
from lfadsx.report.shown_trials import Shown
from lfadsx.report.thinning import chosen_neurons, chosen_trials

LEAST_TRIALS = 6
"""Neurons are left out until at least so many trials fit."""
PSTH_BYTES = 2
"""Bytes per neuron, bin and condition: model 1, data 1."""
TRIAL_TEXT = 150
"""Characters for the labels of a trial."""


def session_arrays(shown: Shown, session: int, trial_room: float, psth_room: float) -> dict[str, Any]:
    """Returns the neurons, trials and packed arrays of a session that fit into the given room.

    Args:
        shown: The trials.
        session: Index of the session.
        trial_room: Characters for arrays of single trials.
        psth_room: Characters for PSTHs.
    """
    trials = np.flatnonzero(shown.posterior.session == session)
    names, held_out = shown.neuron_names(session), shown.held_out(session)
    text = len(shown.times) * TEXT_PER_BYTE
    rates = shown.rates[trials][:, :, : len(names)]
    spread = np.ma.masked_invalid(rates).std(axis=(0, 1)).filled(0.0)
    # Rates have 2 bytes per neuron and bin; their spread, recorded data and true rates have 1 at most.
    entry = text * (3 if shown.rates_std is None else 4 + int(shown.truth is not None))
    shared = TRIAL_TEXT + text * 2 * shown.n_courses
    neurons = chosen_neurons(spread, held_out, max(1, int((trial_room / LEAST_TRIALS - shared) / entry)))
    most = max(1, int(trial_room / (len(neurons) * entry + shared)))
    kept = trials[chosen_trials(shown.condition_of[trials], most)]
    conditions = evenly(len(shown.conditions), max(1, int(psth_room / (len(neurons) * PSTH_BYTES * text))))
    return {
        "name": shown.posterior.sessions[session],
        "neurons": [{"number": int(n), "name": names[n], "held_out": bool(held_out[n])} for n in neurons],
        "liveliest": int(spread[neurons].argmax()),
        "n_neurons": len(names),
        "n_trials": len(trials),
        "trials": kept,
        "psth_conditions": conditions.tolist(),
        **_of_trials(shown, kept, neurons),
        **_psths(shown, trials, neurons, conditions),
    }


def _of_trials(shown: Shown, trials: Int[np.ndarray, " kept"], neurons: Int[np.ndarray, " chosen"]) -> dict[str, Any]:
    optional = {"rates_std": shown.rates_std, "data": shown.recorded, "truth": shown.truth}
    found = {"rates": packed(shown.rates[trials][:, :, neurons])}
    return found | {
        name: packed(values[trials][:, :, neurons], n_bytes=1)
        for name, values in optional.items()
        if values is not None
    }


def _psths(
    shown: Shown,
    trials: Int[np.ndarray, " trial"],
    neurons: Int[np.ndarray, " chosen"],
    conditions: Int[np.ndarray, " c"],
) -> dict[str, Any]:
    """Returns averages over all trials of each condition, also over trials that are left out: model, smoothed data."""
    members = [np.intersect1d(shown.conditions[number].members, trials) for number in conditions]
    model = np.stack([average(shown.rates[own][:, :, neurons]) for own in members])
    found: dict[str, Any] = {"psth_trials": [len(own) for own in members], "psth_model": packed(model, n_bytes=1)}
    if (recorded := shown.recorded) is not None:
        data = [average(recorded[own][:, :, neurons]) * shown.units.rate_scale for own in members]
        smoothed = [smooth(of, shown.units.kernel) if shown.units.kernel >= 0.5 else of for of in data]
        found["psth_data"] = packed(np.stack(smoothed), n_bytes=1)
    return found


def average(values: Float[np.ndarray, "trial time channel"]) -> Float[np.ndarray, "time channel"]:
    """Returns the average over trials; NaN where fewer than half of the trials have a value.

    An average that loses trials on its way jumps.
    """
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.where(count >= max(1.0, 0.5 * len(values)), total / np.maximum(count, 1), np.nan)

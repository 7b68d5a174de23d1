"""What the browser of trials shows: the arrays of the scored split, thinned and packed, and what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.plotting.averaging import principal_components
from lfadsx.plotting.condition_colours import evenly
from lfadsx.report.packing import packed
from lfadsx.report.session_arrays import average, session_arrays
from lfadsx.report.shown_trials import Shown
from lfadsx.results.posterior import Posterior

TRIAL_ROOM = 4_400_000
"""Characters for arrays of single trials in the page, all sessions together."""
PSTH_ROOM = 1_600_000
"""Characters for PSTHs."""
MOST_AVERAGES = 100
"""Most conditions with an average of the factors."""


def trial_browser(posterior: Posterior, data: Dataset | None) -> dict[str, Any]:
    """Returns the content of the browser of trials, ready for JSON.

    Args:
        posterior: Posterior of the scored split.
        data: The data set with the same trials, or None if it is not known.
    """
    shown = Shown.of(posterior, data)
    present = np.unique(posterior.session)
    sessions = [session_arrays(shown, int(i), TRIAL_ROOM / len(present), PSTH_ROOM / len(present)) for i in present]
    kept = [
        (session, int(row), int(trial)) for session, of in enumerate(sessions) for row, trial in enumerate(of["trials"])
    ]
    trials = np.array([trial for *_, trial in kept])
    return {
        "split": posterior.split,
        "times": [float(f"{time:.6g}") for time in shown.times],
        "time_label": shown.units.time_label,
        "time_unit": shown.units.time_unit,
        "rate_label": f"{'Rate' if shown.units.are_counts else 'Mean'} ({shown.units.rate_unit})",
        "rate_unit": shown.units.rate_unit,
        "are_counts": shown.units.are_counts,
        "channel": shown.units.say("neuron"),
        "kernel": shown.units.kernel_label if shown.units.kernel >= 0.5 else "",
        "n_samples": posterior.n_samples,
        "has_conditions": shown.has_conditions,
        "conditions": [
            {"name": group.name, "colour": group.colour, "n_trials": len(group.members)} for group in shown.conditions
        ],
        "sessions": [{**of, "trials": None} for of in sessions],
        "trials": [_trial(shown, session, row, trial) for session, row, trial in kept],
        **_factors(shown, trials),
        **_courses(posterior, trials),
        "left_out": left_out(shown, sessions),
    }


def _trial(shown: Shown, session: int, row: int, trial: int) -> dict[str, Any]:
    return {
        "id": str(shown.posterior.trial_id[trial]),
        "session": session,
        "row": row,
        "condition": int(shown.condition_of[trial]),
        "n_bins": int(shown.posterior.length[trial]),
        "forward_start": shown.forward_start(trial),
    }


def _factors(shown: Shown, trials: np.ndarray) -> dict[str, Any]:
    """Returns factors in the three directions of largest variance over all trials, and their condition averages."""
    scores, share = principal_components(shown.posterior.factors)
    conditions = evenly(len(shown.conditions), MOST_AVERAGES)
    means = np.stack([average(scores[shown.conditions[number].members]) for number in conditions])
    return {
        "factors": packed(scores[trials]),
        "factor_share": share.tolist(),
        "factor_means": packed(means),
        "factor_conditions": conditions.tolist(),
    }


def _courses(posterior: Posterior, trials: np.ndarray) -> dict[str, Any]:
    """Returns inferred inputs with their spread, and recorded behaviour, of the kept trials."""
    found: dict[str, Any] = {"behaviour_name": posterior.behaviour_name, "behaviour_lag": posterior.behaviour_lag}
    for name in ("inputs", "behaviour"):
        if (values := getattr(posterior, name)) is not None:
            found[name] = packed(values[trials])
    if posterior.inputs_std is not None and posterior.n_samples > 1:
        found["inputs_std"] = packed(posterior.inputs_std[trials])
    return found


def left_out(shown: Shown, sessions: list[dict[str, Any]]) -> list[str]:
    """Returns a sentence for each kind of thing that the browser leaves out, for size or because it is not known."""
    n_trials, kept_trials = shown.posterior.n_trials, sum(len(of["trials"]) for of in sessions)
    n_neurons, kept_neurons = sum(of["n_neurons"] for of in sessions), sum(len(of["neurons"]) for of in sessions)
    n_conditions, kept_conditions = len(shown.conditions), min(len(of["psth_conditions"]) for of in sessions)
    others = [group for group in shown.posterior.rates if group != shown.posterior.input_group]
    found = []
    if kept_trials < n_trials:
        found.append(
            f"{kept_trials} of {n_trials} {shown.posterior.split} trials are here, about "
            "equally many of every condition. The others are left out to keep the page small. PSTHs are averages over "
            "all trials."
        )
    if kept_neurons < n_neurons:
        found.append(f"{kept_neurons} of {n_neurons} neurons are here: those whose inferred rates vary most.")
    if kept_conditions < n_conditions:
        found.append(f"PSTHs of {kept_conditions} of {n_conditions} conditions are here.")
    if n_conditions > MOST_AVERAGES:
        found.append(f"Averages of the factors are here for {MOST_AVERAGES} of {n_conditions} conditions.")
    if others:
        found.append(f"Rates of the other target groups ({', '.join(others)}) are only in posterior.h5.")
    if shown.dataset is None:
        found.append("Recorded data and their PSTHs are missing, because the data files of the run were not found.")
    return [shown.units.say(sentence) for sentence in found]

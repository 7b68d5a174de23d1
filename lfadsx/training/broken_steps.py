"""Causes of a skipped step: the trials and the terms of the loss that were not finite.

The compiled steps only count skipped steps. The host then computes the trials of such a step once more, one by one,
with the parameters before the step and the noise of the step.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from lfadsx.config import HyperParams
from lfadsx.data.dataset import Session, Split
from lfadsx.objective import (
    entry_log_likelihood,
    input_correlation,
    kl_inferred_inputs,
    kl_initial_condition,
    kl_trial_bias,
)
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState, path_name
from lfadsx.training.step import augmented, differentiate, ramp_weights
from lfadsx.types import Batch

log = logging.getLogger("lfadsx")

SUMS = ("reconstruction", "kl_ic", "kl_inputs", "correlation", "l2", "loss")
"""Figures of a step that are sums over its trials."""
LOWER = "If this continues, lower learning_rate."
MOST_NAMED = 5
"""Most trials, or parameters, that a message names."""


class Cause(TypedDict):
    """Trials of one session in which one term was not finite. It is saved with a run, so it holds plain values.

    Attributes:
        term: The term in words, such as "the reconstruction of spikes".
        session: Name of the session; empty if no single trial breaks the step.
        trials: The user's ids of the trials.
        n_trials: Number of trials of the step.
        entry: The first such entry of the first of these trials, in words; empty if it is not an entry of the data.
    """

    term: str
    session: str
    trials: list[Any]
    n_trials: int
    entry: str


class Skip(Cause):
    """A cause with the number of the member and of the epoch."""

    member: int
    epoch: int


def find_causes(
    program: Program,
    state: TrainState,
    hyper: HyperParams,
    schedule: Schedule,
    batch: Batch,
    split: Split,
    sessions: Sequence[Session],
) -> list[Cause]:
    """Returns the causes of a skipped step; none if every trial is finite alone.

    Args:
        program: The program of the run.
        state: State of one model before the step.
        hyper: Hyperparameters of the step.
        schedule: Schedule of the run.
        batch: Trials of the step, NumPy arrays.
        split: The training trials.
        sessions: The sessions that `split.session` counts.
    """
    alone = dataclasses.replace(program, mesh=None, portion_limit=0)
    found: dict[tuple[str, str], Cause] = {}
    rows = np.flatnonzero(batch.trial_weight > 0)
    for row in rows:
        trial = jax.tree.map(lambda x, row=row: x[row : row + 1], batch)
        place = int(batch.trial_id[row])
        session = sessions[int(batch.session[row])]
        terms = jax.device_get(_terms(alone, state, hyper, schedule, trial))
        for term, entry in _broken_terms(terms, trial, session).items():
            new = Cause(term=term, session=session.name, trials=[], n_trials=len(rows), entry=entry)
            found.setdefault((term, session.name), new)["trials"].append(split.trial_id[place].item())
    return list(found.values())


def broken_sum(steps: Mapping[str, np.ndarray], step: int) -> Cause:
    """Returns the terms whose sums over the trials of a step were not finite, if every trial is finite alone."""
    terms = [name for name in SUMS if not np.isfinite(steps[name][step])] or ["gradient"]
    term = f"the sum over trials of {' and '.join(terms)}"
    return Cause(term=term, session="", trials=[], n_trials=int(np.nan_to_num(steps["n_trials"][step])), entry="")


def report_skipped(causes: Sequence[Cause], epoch: int, n: int, who: str) -> None:
    """Logs why the first of `n` skipped steps of a block was skipped; `who` names the member, or is empty."""
    more = f"; {n} steps of its block were skipped" if n > 1 else ""
    what = who, epoch, in_words(causes), more, remedy(causes)
    log.warning("%sA step of epoch %d was skipped because %s%s. %s", *what)


def remedy(causes: Sequence[Cause]) -> str:
    """Returns what to do about skipped steps: look at some trials, or lower the learning rate."""
    trials = {(cause["session"], str(trial)) for cause in causes for trial in cause["trials"]}
    if causes and 0 < len(trials) < causes[0]["n_trials"]:
        return "Look for extreme values in the data of these trials, or leave the trials out. " + LOWER
    return LOWER


def in_words(causes: Sequence[Cause]) -> str:
    """Returns the causes as a clause, such as "the reconstruction of spikes was not finite in trial 7 of 'day1'"."""
    return "; ".join(map(_clause, causes))


def _clause(cause: Cause) -> str:
    trials, n = cause["trials"], cause["n_trials"]
    if not trials:
        return f"{cause['term']} was not finite"
    named = ", ".join(map(repr, trials[:MOST_NAMED]))
    more = f" and {len(trials) - MOST_NAMED} more" if len(trials) > MOST_NAMED else ""
    where = f"trial{'s' * (len(trials) > 1)} {named}{more} of session {cause['session']!r}"
    where = f"all {n} trials of the step, such as {trials[0]!r}" if len(trials) == n > 1 else where
    entry = f" ({cause['entry']})" if cause["entry"] else ""
    return f"{cause['term']} was not finite in {where}{entry}"


@partial(jax.jit, static_argnums=0)
def _terms(
    program: Program, state: TrainState, hyper: HyperParams, schedule: Schedule, batch: Batch
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Returns log likelihoods by target group, the other terms of the loss, and the gradient's sums of squares."""
    with program.products():
        ramps = ramp_weights(state.step, schedule)
        (loss, l2, gradient), _ = differentiate(program, (state, hyper, ramps), batch, 1)
        _, noise_key, (changed, *_) = augmented(program, state, hyper, batch)
        model = program.merge_model(state.params, state.fixed)
        output = model(changed, model.draw(noise_key, changed, hyper))
        entries = {
            group: entry_log_likelihood(model, changed, output, group, model.scored(changed, group))
            for group in model.likelihood
        }
        of_inputs = kl_inferred_inputs(model, changed, output, program.objective.estimator)
        of_bias = kl_trial_bias(model, output)
        terms = {
            "the KL of the initial condition": ramps.kl_ic * hyper.kl_ic_scale * kl_initial_condition(model, output),
            "the KL of the inferred inputs": ramps.kl_co * hyper.kl_co_scale * of_inputs,
            "the KL of the bias": 0.0 if of_bias is None else ramps.kl_ic * hyper.kl_bias_scale * of_bias,
            "the correlation of the inferred inputs": hyper.co_corr_scale * input_correlation(model, changed, output),
            "the L2 penalty": ramps.l2 * l2,
            "the loss": loss,
        }
        by_path = nnx.to_flat_state(ravel_pytree(state.params)[1](gradient))
        return entries, terms, {path_name(path): jnp.sum(value[...] ** 2) for path, value in by_path}


def _broken_terms(found: tuple[dict, dict, dict], trial: Batch, session: Session) -> dict[str, str]:
    """Returns, by term that is not finite, the first such entry in words; sums of other terms are left out."""
    entries, terms, gradient = found
    broken = {}
    for group, values in entries.items():
        if entry := _entry(values[0], np.asarray(trial.targets[group][0]), session.names(group)):
            broken[f"the reconstruction of {group}"] = entry
    broken |= {term: "" for term, value in terms.items() if not np.isfinite(value).all()}
    if len(broken) > 1:
        broken.pop("the loss", None)  # the sum of the others
    # As in the step, a gradient is not finite if its squares are not.
    paths = [path for path, squares in gradient.items() if not np.isfinite(squares)]
    if paths and not broken:
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        broken[f"the gradient of {', '.join(paths[:MOST_NAMED])}{more}"] = ""
    return broken


def _entry(log_likelihood: np.ndarray, data: np.ndarray, channels: Sequence[str]) -> str:
    """Returns bin, channel and value of the first entry that is not finite; empty if all are."""
    places = np.argwhere(~np.isfinite(log_likelihood))
    if not len(places):
        return ""
    time, channel = map(int, places[0])
    return f"bin {time}, channel {channels[channel]}, value {data[time, channel]:g}"

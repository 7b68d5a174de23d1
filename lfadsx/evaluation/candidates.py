"""Candidates: the model and the baselines that are scored side by side, and their predictions."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import smoothed_data
from lfadsx.evaluation.baselines.all_baselines import Baseline, applicable
from lfadsx.evaluation.baselines.session_data import seen_bins
from lfadsx.evaluation.metrics import Decoding, align, velocity_decoding
from lfadsx.evaluation.task import Task, check_finite, has_sklearn
from lfadsx.findings import Finding, attempt
from lfadsx.progress import steps
from lfadsx.results.posterior import Posterior


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Predictions of the scored trials by the model or a baseline: one row of the table.

    Attributes:
        name: Name of the row.
        rates: Expected data, shape (trial, time, target_channel); NaN where a baseline predicts nothing.
        masked_rates: Expected data, inferred without the hidden entries, or None.
        train_rates: Expected data of the training trials, which decoders are fitted on, or None.
        behaviour: Behaviour decoded from the rates, shape (trial, time, behaviour), NaN where it is missing; or None.
        readout: Behaviour by the read-out of the model, likewise, if a target group is the behaviour; or None.
        inputs: Inferred inputs in the coordinates of the true ones, shape (trial, time, true_input), or None.
        decoding: By session, how behaviour was decoded.
    """

    name: str
    rates: np.ndarray
    masked_rates: np.ndarray | None = None
    train_rates: np.ndarray | None = None
    behaviour: np.ndarray | None = None
    readout: np.ndarray | None = None
    inputs: np.ndarray | None = None
    decoding: Mapping[str, Decoding] = dataclasses.field(default_factory=dict)

    def rates_for(self, measure: str) -> np.ndarray | None:
        """Returns the rates that a measure of the data scores."""
        return self.masked_rates if measure.startswith("masked") else self.rates


def model_candidate(task: Task, posteriors: Mapping[str, Posterior], masked_rates: np.ndarray | None) -> Candidate:
    """Returns the model's predictions."""
    group, own, train = task.dataset.input_group, posteriors[task.split_name], posteriors.get("train")
    train_rates = None if train is None else train.rates[group]
    inputs, readout = _aligned_inputs(task, own, train), readout_behaviour(task, own)
    return Candidate("lfads", own.rates[group], masked_rates, train_rates, readout=readout, inputs=inputs)


def baseline_candidates(
    task: Task, baselines: Mapping[str, np.ndarray] | None = None, *, decode: bool = True
) -> tuple[list[Candidate], list[Finding]]:
    """Returns the predictions of the baselines, and a finding for each one that failed and is left out.

    Args:
        task: The trials to predict.
        baselines: Rates of baselines by name; fitted here by default.
        decode: If True, behaviour is decoded from them.
    """
    found, findings = [], []
    fitted = applicable(task.dataset, task.split) if baselines is None else baselines
    for name, fit in steps(fitted.items(), "baselines"):
        found.append(attempt(findings, "baseline", name, functools.partial(_baseline, task, name, fit, decode)))
    return [candidate for candidate in found if candidate is not None], findings


def with_behaviour(task: Task, candidate: Candidate) -> Candidate:
    """Returns the candidate with behaviour decoded from its rates, session by session, fitted on training trials."""
    split, train = task.split, task.dataset.train
    train_rates = candidate.train_rates
    if train_rates is None or split.behaviour is None or train.behaviour is None or not has_sklearn():
        return candidate
    found, prediction = {}, np.full(split.behaviour.shape, np.nan)
    for session, trials, n in task.sessions():
        train_trials = np.flatnonzero(train.session == split.session[trials[0]])
        # Baselines predict only some channels.
        known = np.flatnonzero(~np.isnan(candidate.rates[trials, :, :n]).all((0, 1)))
        missing = [np.isnan(of).all() for of in (split.behaviour[trials], train.behaviour[train_trials])]
        if not len(known) or any(missing):
            continue
        found[session.name] = velocity_decoding(
            _features(task, train_rates[train_trials][:, :, known]),
            train.behaviour[train_trials],
            _features(task, candidate.rates[trials][:, :, known]),
            split.behaviour[trials],
            lag_bins=lag_bins(task),
            train_length=train.encoder_length[train_trials],
            length=split.encoder_length[trials],
        )
        prediction[trials] = found[session.name].prediction
    return dataclasses.replace(candidate, behaviour=prediction, decoding=found) if found else candidate


def readout_behaviour(task: Task, posterior: Posterior) -> Float[np.ndarray, "trial time behaviour"] | None:
    """Returns behaviour by the read-out of the model in bins where it is known and that the encoder sees, else NaN.

    None unless a target group is the behaviour, which the encoders did not see.
    """
    name, behaviour = task.dataset.behaviour_name, task.split.behaviour
    if behaviour is None or not task.dataset.behaviour_target or name not in posterior.rates:
        return None
    if name in posterior.encoder_groups:
        return None
    known = ~np.isnan(behaviour).any(2, keepdims=True) & seen_bins(task.split)
    return np.where(known, posterior.rates[name], np.nan)


def lag_bins(task: Task) -> int:
    """Returns by how many bins behaviour is later than rates."""
    lag, width = task.dataset.behaviour_lag, task.dataset.bin_width
    if lag and width is None:
        raise LfadsxError(
            f"A `behaviour_lag` other than 0 needs the width of the bins, but the lag is {lag:g} s and the width is "
            "unknown. Give the data set its bin width."
        )
    return round(lag / width) if width else 0


def _baseline(task: Task, name: str, fit: Baseline | np.ndarray, decode: bool) -> Candidate:
    """Returns the predictions of one baseline, given by its rates or fitted."""
    rates = fit(task.dataset, task.split) if callable(fit) else np.asarray(fit)
    masked_rates = train_rates = None
    if name in ("mean", "time course", "condition average"):
        masked_rates = rates  # these are computed from training trials alone, so that hiding changes nothing
    if name in ("smoothed spikes", "smoothed data"):
        masked_rates = smoothed_data(task.dataset, task.split, own_bin=False)
        train_rates = None if task.split.behaviour is None else smoothed_data(task.dataset, task.dataset.train)
    candidate = Candidate(name, rates, masked_rates, train_rates)
    return with_behaviour(task, candidate) if decode else candidate


def _features(task: Task, rates: np.ndarray) -> np.ndarray:
    """Returns log rates, which behaviour is decoded from; for real data the values themselves."""
    return np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if task.spikes else rates


def _aligned_inputs(task: Task, own: Posterior, train: Posterior | None) -> np.ndarray | None:
    """Returns inferred inputs in the coordinates of the true ones, or None if either is missing."""
    truth, train_truth = task.split.true_inputs, task.dataset.train.true_inputs
    if own.inputs is None or truth is None or train is None or train.inputs is None or train_truth is None:
        return None
    if not all(np.nanmin(of) < np.nanmax(of) for of in (truth, train_truth)):  # zeros: a simulation without inputs
        return None
    train_inputs = np.where(seen_bins(task.dataset.train), train.inputs, np.nan)
    aligned = align(own.inputs, fit_on=(train_inputs, train_truth))
    check_finite(aligned, np.broadcast_to(seen_bins(task.split), truth.shape) & ~np.isnan(truth), "aligned inputs")
    return aligned

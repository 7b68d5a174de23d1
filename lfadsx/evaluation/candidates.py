"""Candidates: the model and the baselines that are scored side by side, and what each of them predicts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import smoothed_data
from lfadsx.evaluation.baselines.all_baselines import applicable
from lfadsx.evaluation.metrics import Decoding, align, velocity_decoding
from lfadsx.evaluation.task import Posterior, Task, check_finite, has_sklearn, seen_bins
from lfadsx.findings import Finding, attempt


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What one row of the table predicts of the scored trials.

    Attributes:
        name: Name of the row.
        rates: Expected data, shape (trial, time, target_channel); NaN where a baseline predicts nothing.
        masked_rates: The same without having seen the hidden entries, or None.
        train_rates: Expected data of the training trials, which decoders are fitted on, or None.
        behaviour: Behaviour decoded from the rates, shape (trial, time, behaviour), NaN where there is none; or None.
        inputs: Inferred inputs in the coordinates of the true ones, shape (trial, time, true_input), or None.
        decoding: How behaviour was decoded, by session.
    """

    name: str
    rates: np.ndarray
    masked_rates: np.ndarray | None = None
    train_rates: np.ndarray | None = None
    behaviour: np.ndarray | None = None
    inputs: np.ndarray | None = None
    decoding: Mapping[str, Decoding] = dataclasses.field(default_factory=dict)

    def rates_for(self, measure: str) -> np.ndarray | None:
        """The rates that a measure of the data is about."""
        return self.masked_rates if measure.startswith("masked") else self.rates


def model_candidate(task: Task, posteriors: Mapping[str, Posterior], masked_rates: np.ndarray | None) -> Candidate:
    """Returns what the model predicts of the data."""
    group, own, train = task.dataset.input_group, posteriors[task.split_name], posteriors.get("train")
    train_rates = None if train is None else train.rates[group]
    return Candidate("lfads", own.rates[group], masked_rates, train_rates, inputs=_aligned_inputs(task, own, train))


def baseline_candidates(
    task: Task, baselines: Mapping[str, np.ndarray] | None = None, *, decode: bool = True
) -> tuple[list[Candidate], list[Finding]]:
    """Returns what the baselines predict, and a finding for each one that failed.

    A baseline never takes the scores of a model with it: its row is left out, the traceback goes to the log.

    Args:
        baselines: Rates of baselines by name; fitted here when None.
        decode: If True, behaviour is decoded from them.
    """
    candidates: list[Candidate] = []
    findings: list[Finding] = []
    fits: dict[str, Callable[[], np.ndarray]] = {}
    if baselines is None:
        for name, fit in applicable(task.dataset, task.split, regression=has_sklearn()).items():
            fits[name] = functools.partial(fit, task.dataset, task.split)
    else:
        fits = {name: functools.partial(np.asarray, rates) for name, rates in baselines.items()}
    for name, fit in fits.items():
        candidate = attempt(findings, "baseline", name, functools.partial(_baseline, task, name, fit, decode))
        candidates += [] if candidate is None else [candidate]
    return candidates, findings


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


def lag_bins(task: Task) -> int:
    """Returns by how many bins behaviour is later than rates."""
    lag, width = task.dataset.behaviour_lag, task.dataset.bin_width
    if lag and width is None:
        raise LfadsxError(
            f"Behaviour lags by {lag:g} s, but the width of the bins is unknown. Give the data set its bin width."
        )
    return round(lag / width) if width else 0


def _baseline(task: Task, name: str, fit: Callable[[], np.ndarray], decode: bool) -> Candidate:
    candidate = _with_masked(task, name, fit())
    return with_behaviour(task, candidate) if decode else candidate


def _with_masked(task: Task, name: str, rates: np.ndarray) -> Candidate:
    if name in ("mean", "time course", "condition average"):
        # These never see a scored trial, so hiding some of its entries changes nothing.
        return Candidate(name, rates, masked_rates=rates)
    if name in ("smoothed spikes", "smoothed data"):
        train = task.dataset.train
        return Candidate(
            name,
            rates,
            masked_rates=smoothed_data(task.dataset, task.split, own_bin=False),
            train_rates=None if task.split.behaviour is None else smoothed_data(task.dataset, train),
        )
    return Candidate(name, rates)


def _features(task: Task, rates: np.ndarray) -> np.ndarray:
    """Log rates, which behaviour is decoded from; the values themselves for real data."""
    return np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if task.spikes else rates


def _aligned_inputs(task: Task, own: Posterior, train: Posterior | None) -> np.ndarray | None:
    """Returns inferred inputs in the coordinates of the true ones, or None where one of the two does not exist."""
    truth, train_truth = task.split.true_inputs, task.dataset.train.true_inputs
    if own.inputs is None or truth is None or train is None or train.inputs is None or train_truth is None:
        return None
    if not (_varies(truth) and _varies(train_truth)):  # simulations without inputs say so with zeros
        return None
    train_inputs = np.where(seen_bins(task.dataset.train), train.inputs, np.nan)
    aligned = align(own.inputs, fit_on=(train_inputs, train_truth))
    check_finite(aligned, np.broadcast_to(seen_bins(task.split), truth.shape) & ~np.isnan(truth), "aligned inputs")
    return aligned


def _varies(inputs: np.ndarray) -> bool:
    """Whether inputs, (trial, time, input), take more than one value."""
    return bool(np.nanmin(inputs) < np.nanmax(inputs))

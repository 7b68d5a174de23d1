"""Findings about the parts of a model, from its posterior: latents, generator units, factors, rates and counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfadsx import thresholds
from lfadsx.evaluation.metrics.spike_scores import SMALLEST_RATE
from lfadsx.evaluation.recoverable_information import InformationLeft
from lfadsx.evaluation.statistics import Score, ratio, resample
from lfadsx.evaluation.task import Task
from lfadsx.findings import Finding
from lfadsx.results.posterior import Posterior

OVERCONFIDENT = "overconfident rates"
N_RESAMPLES = 200
"""Resamples of the trials behind an interval."""


def diagnose(
    task: Task, posterior: Posterior, masked_rates: np.ndarray | None, left: InformationLeft | None
) -> list[Finding]:
    """Returns findings about the latents, the generator and the rates of the scored trials.

    Args:
        task: The scored trials.
        posterior: Their posterior.
        masked_rates: Expected data, inferred without the entries of `task.hidden`, or None.
        left: Result of `information_left`, or None.
    """
    found = [*_unused_dimensions(task, posterior), *_odd_units(posterior)]
    if task.spikes:
        found += [*_rates_without_use(task, posterior), *_counts(task, posterior, masked_rates)]
        # Overconfident rates leave information, too, but their remedy is the opposite.
        if left is not None and all(finding.name != OVERCONFIDENT for finding in found):
            found += _underfitting(task, left)
    return found


def _unused_dimensions(task: Task, posterior: Posterior) -> Iterator[Finding]:
    """Looks at the KL of each dimension of initial condition and bias, and of each input."""
    inside = np.arange(posterior.factors.shape[1]) < posterior.length[:, None]
    latents = (
        ("initial condition", "dimensions", posterior.kl_ic, thresholds.LEAST_KL_IC, "ic_dim"),
        ("bias", "dimensions", posterior.kl_bias, thresholds.LEAST_KL_IC, "bias_dim"),
        (
            "inferred inputs",
            "inputs",
            None if posterior.kl_inputs is None else posterior.kl_inputs[inside],
            thresholds.LEAST_KL_INPUTS,
            "inferred_inputs",
        ),
    )
    for where, what, kl, least, setting in latents:
        if kl is None or not kl.size:
            continue
        of_each = kl.mean(0)
        n, unused = len(of_each), int(np.sum(of_each < thresholds.LEAST_SHARE_OF_KL * of_each.sum()))
        # All of them: the whole latent has collapsed, which training reports with its remedy.
        if unused and of_each.sum() >= least:
            sentence = f"{unused} of {n} {what} of the {where} carry nothing: their KL is below "
            sentence += f"{100 * thresholds.LEAST_SHARE_OF_KL:g} % of the whole in the {task.split_name} trials."
            remedy = f"Nothing must be done; {setting}={n - unused} would do."
            yield Finding("note", "unused dimensions", unused, 0.0, where, sentence, remedy)


def _odd_units(posterior: Posterior) -> Iterator[Finding]:
    """Looks for generator units that never move, or stay at the ends of their range."""
    inside = np.arange(posterior.generator_states.shape[1]) < posterior.length[:, None]
    states = posterior.generator_states[inside]
    spread, low, high = states.std(0), states.min(0), states.max(0)
    margin = thresholds.AT_END * (high - low)
    at_end = ((states <= low + margin) | (states >= high - margin)).mean(0)
    dead = spread <= thresholds.LEAST_SPREAD * spread.max()
    saturated = ~dead & (at_end > thresholds.MOST_BINS_AT_END)
    kinds = (
        ("dead units", dead, "hardly move", "Lower l2_gen_scale or learning_rate, or use a smaller generator_dim."),
        (
            "saturated units",
            saturated,
            f"are at an end of their range in more than {100 * thresholds.MOST_BINS_AT_END:g} % of the bins",
            "Lower learning_rate, or raise l2_gen_scale.",
        ),
    )
    for name, odd, words, remedy in kinds:
        if odd.mean() > thresholds.MOST_ODD_UNITS:
            sentence = f"{odd.sum()} of {len(odd)} units of the generator {words}, so they carry no dynamics."
            yield Finding("warning", name, float(odd.mean()), thresholds.MOST_ODD_UNITS, "generator", sentence, remedy)


def _rates_without_use(task: Task, posterior: Posterior) -> Iterator[Finding]:
    """Looks for rates that hardly vary, and for factors beyond those that the rates of any session need."""
    spreads, in_use = [], []
    for _, trials, n in task.sessions():
        there = task.scored[trials, :, :n].any(2)
        rates = posterior.rates[task.dataset.input_group][trials, :, :n][there]
        log_rates = np.log(np.maximum(rates, SMALLEST_RATE, dtype=float))
        log_rates = log_rates[np.isfinite(log_rates).all(1)]
        if len(log_rates) < 2:
            continue
        variances = np.linalg.eigvalsh(np.atleast_2d(np.cov(log_rates.T)))[::-1]
        share = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
        spreads.append(log_rates.std(0))
        in_use.append(int(np.sum(share < thresholds.VARIANCE_IN_USE)) + 1)
    if not in_use:
        return
    spread, used, n_factors = float(np.concatenate(spreads).mean()), max(in_use), posterior.factors.shape[2]
    least = thresholds.LEAST_FACTORS_IN_USE * n_factors
    if spread < thresholds.LEAST_LOG_RATE_SPREAD:
        sentence = f"Rates hardly vary over trials and bins: the standard deviation of log rates is {spread:.2g}."
        remedy = "Train longer, lower dropout_rate and the KL and L2 scales, or check that the data vary."
        yield Finding("warning", "flat rates", spread, thresholds.LEAST_LOG_RATE_SPREAD, "factors", sentence, remedy)
    elif used < least:
        sentence = (
            f"{100 * thresholds.VARIANCE_IN_USE:g} % of the variance of log rates lies in {used} dimensions, but "
        )
        sentence += f"the model has {n_factors} factors."
        remedy = f"Nothing must be done; factors={2 * used} would do and is easier to interpret."
        yield Finding("note", "superfluous factors", used, least, "factors", sentence, remedy)


def _counts(task: Task, posterior: Posterior, masked_rates: np.ndarray | None) -> Iterator[Finding]:
    """Compares counts with rates that were inferred without them: held-out neurons and hidden entries."""
    rates = np.array(posterior.rates[task.dataset.input_group], float)
    unseen, hidden = task.regions["co_bps"].copy(), task.regions["masked_bps"]
    if masked_rates is not None and hidden.any():
        if posterior.inputs is not None:
            yield from _passed_through(task, rates, masked_rates, hidden)
        rates[hidden] = masked_rates[hidden]
        unseen |= hidden
    if not unseen.any():
        return
    spread = posterior.rates_std.get(task.dataset.input_group)
    noise = posterior.variance.get(task.dataset.input_group, rates)
    variance = noise if spread is None else noise + spread**2
    difference = np.where(unseen, task.values - rates, 0.0)
    dispersion = _resampled(task, difference**2, np.where(unseen, variance, 0.0))
    more, less = dispersion.low > thresholds.MOST_DISPERSION, dispersion.high < thresholds.LEAST_DISPERSION
    if more or less:
        sentence = f"Counts vary {dispersion.value:.2f} times as much around the rates as the likelihood says."
        remedy = (
            "If more training and more factors do not lower that, use a likelihood with more variance, such as a "
            "negative binomial; with Poisson, intervals are too narrow."
            if more
            else "A likelihood with less variance would suit; with Poisson, intervals are too wide."
        )
        name, limit = (
            ("overdispersed counts", thresholds.MOST_DISPERSION)
            if more
            else ("underdispersed counts", thresholds.LEAST_DISPERSION)
        )
        yield Finding("note", name, dispersion.value, limit, task.split_name, sentence, remedy)
    yield from _overconfident(task, rates, unseen)


def _passed_through(task: Task, rates: np.ndarray, masked: np.ndarray, hidden: np.ndarray) -> Iterator[Finding]:
    """Measures how much of each count its own rate follows: the slope of the rate's change on the count's surprise."""
    surprise = np.where(hidden, task.values - masked, 0.0)
    slope = _resampled(task, np.where(hidden, rates - masked, 0.0) * surprise, surprise**2)
    if slope.low > thresholds.MOST_PASSED_THROUGH:
        sentence = f"The controller passes the data through: each rate follows {100 * slope.value:.0f} % of its own "
        sentence += "count, so the inputs copy spikes instead of driving dynamics."
        remedy = "Set cd_pass_rate=0, raise cd_rate (coordinated dropout) or kl_co_scale, or lower inferred_inputs."
        limit = thresholds.MOST_PASSED_THROUGH
        yield Finding("warning", "pass-through", slope.value, limit, "inferred inputs", sentence, remedy)


def _overconfident(task: Task, rates: np.ndarray, unseen: np.ndarray) -> Iterator[Finding]:
    """Looks at the slope of counts on rates, around the mean of each neuron: 1 if rates are calibrated."""
    away, surplus = np.zeros(rates.shape), np.zeros(rates.shape)
    for _, trials, n in task.sessions():
        own = np.s_[trials, :, :n]
        there, r, k = unseen[own], rates[own], task.values[own]
        count = np.maximum(there.sum((0, 1)), 1)
        away[own] = np.where(there, r - np.where(there, r, 0).sum((0, 1)) / count, 0)
        surplus[own] = np.where(there, k - np.where(there, k, 0).sum((0, 1)) / count, 0)
    slope = _resampled(task, away * surplus, away**2)
    if slope.high < thresholds.LEAST_SLOPE:
        sentence = f"Rates vary more than the counts do with them: the slope of counts on rates is {slope.value:.2f}."
        remedy = "The model overfits: raise dropout_rate, cd_rate or the KL scales, or use a smaller model."
        limit = thresholds.LEAST_SLOPE
        yield Finding("warning", OVERCONFIDENT, slope.value, limit, task.split_name, sentence, remedy)


def _underfitting(task: Task, left: InformationLeft) -> Iterator[Finding]:
    """Looks at what the spikes that the encoder sees tell about others beyond the rates."""
    if left.gain.low > 0 and left.share > thresholds.MOST_INFORMATION_LEFT:
        sentence = f"The rates leave out {100 * left.share:.0f} % of what smoothed spikes of the same trials tell: "
        sentence += f"{left.bits - left.gain.value:z.3f} instead of {left.bits:z.3f} bits per spike."
        remedy = "The model underfits: train longer, give more factors or a larger generator, or lower dropout_rate "
        remedy += "and the KL scales. With few training trials, no setting may help."
        limit = thresholds.MOST_INFORMATION_LEFT
        yield Finding("warning", "information left", left.share, limit, task.split_name, sentence, remedy)


def _resampled(task: Task, numerator: np.ndarray, denominator: np.ndarray) -> Score:
    """Returns the ratio of two sums over all entries, with its interval over trials."""
    statistic = ratio(numerator.sum((1, 2)), denominator.sum((1, 2)))
    return resample(statistic, task.split.n_trials, n=N_RESAMPLES, seed=task.seed)

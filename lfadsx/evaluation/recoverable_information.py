"""Recoverable information: what simple regressions still find in the data beyond the model's rates."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Num

from lfadsx.data.dataset import Session
from lfadsx.evaluation.baselines.averages import smooth_trials
from lfadsx.evaluation.baselines.poisson_fit import PoissonFit
from lfadsx.evaluation.baselines.session_data import Part, Rates, mean_value, part_of
from lfadsx.evaluation.measures import bits
from lfadsx.evaluation.metrics.spike_scores import SMALLEST_RATE
from lfadsx.evaluation.statistics import Score, minus, resample
from lfadsx.evaluation.task import Task

WIDTH = 2.0
"""Standard deviation in bins of the Gaussian that smooths the visible spikes."""
COMPONENTS = 10
"""Most principal components of the smoothed spikes."""
PENALTY = 0.01
"""L2 penalty of the regressions."""
FOLDS = 4
"""Parts of the trials; each is corrected by regressions that were fitted to the others."""
LARGEST = 3.0
"""Largest change of a log rate."""
N_RESAMPLES = 200
"""Resamples of the trials behind the interval of the gain."""


@dataclasses.dataclass(frozen=True)
class InformationLeft:
    """What smoothed spikes of the same trials tell beyond the rates.

    Attributes:
        gain: Bits per spike that the corrected rates are better by.
        bits: Bits per spike of the corrected rates.
    """

    gain: Score
    bits: float

    @property
    def share(self) -> float:
        """The gain as a share of the bits of the corrected rates, at most 1; negative if nothing is left."""
        return min(self.gain.value / self.bits, 1.0) if self.bits > 0 else 1.0


def information_left(task: Task, rates: Rates, masked_rates: Rates | None) -> InformationLeft | None:
    """Returns what `corrected_rates` gain in held-out neurons, or else in hidden entries; None without any.

    Args:
        task: The scored trials.
        rates: Expected counts per bin.
        masked_rates: The same, inferred without the entries of `task.hidden`, or None.
    """
    unseen = task.regions["co_bps"]
    own, unseen = (rates, unseen) if unseen.any() else (masked_rates, task.regions["masked_bps"])
    if own is None:
        return None
    before, after = bits(task, own, unseen), bits(task, corrected_rates(task, own, unseen), unseen)
    if before is None or after is None:
        return None
    gain = resample(minus(after, before), task.split.n_trials, n=N_RESAMPLES, seed=task.seed)
    return InformationLeft(gain, float(after(np.ones(task.split.n_trials))))


def corrected_rates(task: Task, rates: Rates, entries: Bool[np.ndarray, "trial time target_channel"]) -> Rates:
    r"""Returns the rates of unseen entries, corrected by what smoothed spikes of the same trial say beyond them.

    .. math:: \log r'_{it} = \log r_{it} + a_i + w_i^T z_t

    with the rates r that the model inferred without seeing the entries, and at most 10 principal components z of the
    smoothed spikes that it did see. The a and w of each channel come from a Poisson regression on the other trials. If
    the corrected rates predict the entries better, the model has left information in the data. Sessions of fewer than 4
    trials stay as they are.

    Args:
        task: The scored trials.
        rates: Expected counts per bin.
        entries: True for entries within the encoder's window that it did not see.
    """
    corrected = np.array(rates, float)
    for index, session in enumerate(task.dataset.sessions):
        part = _without(part_of(task.dataset, task.split, index), session, entries)
        bins = np.arange(part.in_encoder.shape[1])
        scored = entries[part.trials][:, bins] & part.in_encoder[:, :, None]
        channels = np.flatnonzero(scored.any((0, 1)))
        place = np.ix_(part.trials, bins, channels)
        if len(channels) and len(part.trials) >= FOLDS:
            log_rates = np.log(np.maximum(corrected[place], SMALLEST_RATE))
            change = _change(_components(part), log_rates, task.values[place], scored[:, :, channels])
            corrected[place] = np.exp(log_rates + change)
    return corrected


def _without(part: Part, session: Session, entries: Bool[np.ndarray, "trial time target_channel"]) -> Part:
    """Returns the trials of a session with the entries unseen by the encoder, too."""
    is_target = session.target_index >= 0
    hidden = np.zeros_like(part.seen)
    hidden[:, :, is_target] = entries[part.trials][:, : hidden.shape[1], session.target_index[is_target]]
    return dataclasses.replace(part, seen=part.seen & ~hidden)


def _components(part: Part) -> Float[np.ndarray, "trial time component"]:
    """Returns the first principal components of the square roots of smoothed spikes, each with variance 1."""
    mean = mean_value(part.encoder_input, part.seen, is_counts=True)
    smoothed = np.sqrt(smooth_trials(part, mean, WIDTH, 1.0, part.encoder_input.shape[1]))
    inside = smoothed[part.in_encoder]
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(inside.T)))
    variances, vectors = variances[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    varies = variances > 1e-9 * max(variances[0], 1e-9)
    return (smoothed - inside.mean(0)) @ (vectors[:, varies] / np.sqrt(variances[varies]))


def _change(
    features: Float[np.ndarray, "trial time component"],
    log_rates: Float[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    scored: Bool[np.ndarray, "trial time channel"],
) -> Float[np.ndarray, "trial time channel"]:
    """Returns the change of the log rates of each trial that regressions of the other trials give."""
    change, fold = np.zeros(log_rates.shape), np.arange(len(log_rates)) % FOLDS
    for number in np.unique(fold):
        others = fold != number
        known = scored[others].any(2)
        x, offset, k, there = (of[others][known] for of in (features, log_rates, counts, scored))
        fires = np.where(there, k, 0).any(0)
        if fires.any():
            weights, intercept = PoissonFit(x, k[:, fires], there[:, fires], offset[:, fires]).fit(PENALTY)
            change[np.ix_(~others, np.arange(log_rates.shape[1]), fires)] = features[~others] @ weights + intercept
    return np.clip(change, -LARGEST, LARGEST)

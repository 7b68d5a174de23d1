"""The baseline that predicts held-out neurons from held-in neurons, by Poisson regression."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Sequence

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.evaluation.baselines.averages import smooth_trials
from lfadsx.evaluation.baselines.poisson_fit import PoissonFit
from lfadsx.evaluation.baselines.session_data import (
    Part,
    Rates,
    held_out_channels,
    mean_value,
    part_of,
    parts_and_training,
    unknown_rates,
)
from lfadsx.evaluation.metrics import nll_per_trial

log = logging.getLogger("lfadsx")

REGRESSION_WIDTHS = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations in bins, ascending, that the Poisson regression chooses among."""

REGRESSION_PENALTIES = (0.3, 3.0, 1.0, 0.1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
"""L2 penalties that the Poisson regression chooses among; its width is chosen with the first."""

HIGHEST_RATE = 10.0
"""Highest rate that the Poisson regression predicts, as a multiple of the neuron's largest training count."""


def poisson_regression(
    dataset: Dataset,
    split: Split,
    *,
    widths: Sequence[float] = REGRESSION_WIDTHS,
    penalties: Sequence[float] = REGRESSION_PENALTIES,
) -> Rates:
    """Returns held-out neurons predicted from the held-in neurons of the same trial, by Poisson regression.

    `log rate = a + b . (smoothed, standardised held-in spikes) + c_t` with one c for every bin, fitted with
    an L2 penalty on b and c to all held-out neurons at once. Rates are limited to `HIGHEST_RATE`, because the
    exponential has no bound in trials unlike those of training; the limit is logged. Held-in neurons that never fire
    in training have b = 0. NaN for neurons that the encoder sees and for bins of forward prediction.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        widths: Standard deviations in bins of the smoothing, ascending. They are tried per session, with the first
            penalty, until the valid split gets no better.
        penalties: L2 penalties. From the first one the search goes to weaker ones until the valid split gets no
            better. If none is better than the first, it goes to stronger ones in the same way.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> poisson_regression(dataset, dataset.valid)[0, 0].round(3).tolist()
        [nan, nan, 1.0]
    """
    rates, held_out = unknown_rates(dataset, split), held_out_channels(dataset)
    for index, (part, train) in enumerate(parts_and_training(dataset, split)):
        channels = np.flatnonzero(held_out[index])
        if not len(channels) or not len(part.trials) or not len(train.trials):
            continue
        valid = part_of(dataset, dataset.valid, index)
        regression = _best_regression(train, valid, channels, widths, penalties)
        predicted = np.where(part.in_encoder[:, :, None], regression.predict(part), np.nan)
        if n_high := np.count_nonzero(predicted >= regression.highest):
            name = dataset.sessions[index].name
            log.warning("%d rates of the Poisson regression (session %s) are at their upper limit.", n_high, name)
        rates[np.ix_(part.trials, np.arange(predicted.shape[1]), channels)] = predicted
    return rates


def _best_regression(
    train: Part, valid: Part, channels: np.ndarray, widths: Sequence[float], penalties: Sequence[float]
) -> _Regression:
    """Returns the regression whose width, then penalty, explains the valid trials best."""
    designs = (_Design(train, channels, width) for width in widths)
    by_width = _before_the_first_loss((design.regression(penalties[0]) for design in designs), valid)
    ascending = sorted(penalties)
    first = ascending.index(penalties[0])
    for others in (reversed(ascending[:first]), ascending[first + 1 :]):
        best = _before_the_first_loss(itertools.chain([by_width], map(by_width.design.regression, others)), valid)
        if best is not by_width:
            return best
    return by_width


def _before_the_first_loss(regressions: Iterable[_Regression], valid: Part) -> _Regression:
    """Returns the last regression that explains the valid trials better than all before it; stops at a worse one."""
    candidates = iter(regressions)
    best = next(candidates)
    lowest = best.nll(valid)
    for regression in candidates:
        nll = regression.nll(valid)
        if not nll < lowest:
            break
        best, lowest = regression, nll
    return best


class _Design:
    """Features of the regression at one width of the smoothing: encoder channels, standardised, and time."""

    def __init__(self, train: Part, channels: np.ndarray, width: float):
        self.train, self.channels, self._width = train, channels, width
        self._mean = mean_value(train.encoder_input, train.seen, is_counts=True)
        smoothed = self._smooth(train)[train.in_encoder]
        # A neuron that never fires in training gets no weight: its smoothed value varies at the ends of trials only.
        silent = ~np.where(train.seen, train.encoder_input, 0).any((0, 1))
        spread = smoothed.std(0)
        self._centre, self._scale = smoothed.mean(0), np.where(silent, np.inf, np.where(spread > 0, spread, 1.0))
        self._bins = np.flatnonzero(train.in_encoder.any(0))
        counts, scored = (of[train.in_encoder] for of in self.targets(train))
        # A neuron without training spikes has no finite log rate: its mean rate is predicted instead.
        self.fires = np.where(scored, counts, 0).any(0)
        features = self.features(train)[train.in_encoder]
        self._n_features = features.shape[1]
        self._fit = PoissonFit(features, counts[:, self.fires], scored[:, self.fires])

    def regression(self, penalty: float) -> _Regression:
        """Returns the regression of all channels with this penalty."""
        if not self.fires.any():
            return _Regression(self, np.zeros((self._n_features, 0)), np.zeros(0))  # every channel is silent
        return _Regression(self, *self._fit.fit(penalty))

    def features(self, part: Part) -> np.ndarray:
        """Returns standardised features and one indicator of each bin, shape (trial, encoder_time, feature)."""
        smoothed = (self._smooth(part) - self._centre) / self._scale
        time = np.arange(smoothed.shape[1])[:, None] == self._bins
        return np.concatenate([smoothed, np.broadcast_to(time, (len(smoothed), *time.shape))], axis=2)

    def targets(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Returns counts and scored entries of the predicted channels, shape (trial, encoder_time, channel)."""
        n_seen = part.in_encoder.shape[1]
        scored = part.scored[:, :n_seen, self.channels] & part.in_encoder[:, :, None]
        return part.values[:, :n_seen, self.channels], scored

    def _smooth(self, part: Part) -> np.ndarray:
        return smooth_trials(part, self._mean, self._width, 1.0, part.encoder_input.shape[1])


@dataclasses.dataclass(frozen=True)
class _Regression:
    """Poisson regressions of all channels of a design that fire: weights (feature, channel), intercepts (channel,)."""

    design: _Design
    weights: np.ndarray
    intercept: np.ndarray

    @property
    def highest(self) -> np.ndarray:
        """Highest rate that is predicted for each channel, in counts per bin."""
        counts, scored = self.design.targets(self.design.train)
        return HIGHEST_RATE * np.where(scored, counts, 0).max((0, 1), initial=1).astype(float)

    def predict(self, part: Part) -> np.ndarray:
        """Returns counts per bin, shape (trial, encoder_time, predicted channel)."""
        design = self.design
        features = design.features(part)
        rates = np.empty((*features.shape[:2], len(design.channels)))
        rates[:] = design.train.mean_rate()[design.channels]
        with np.errstate(over="ignore"):  # infinity is clipped, too
            rates[:, :, design.fires] = np.exp(features @ self.weights + self.intercept)
        return np.clip(rates, np.finfo(np.float32).tiny, self.highest)

    def nll(self, part: Part) -> float:
        """Returns the negative log likelihood of the predicted channels within the encoder's window, in nats."""
        return float(nll_per_trial(self.predict(part), *self.design.targets(part)).sum())

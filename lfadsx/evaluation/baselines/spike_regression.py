"""The baseline that predicts held-out neurons from held-in neurons, by Poisson regression."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import MissingExtraError
from lfadsx.evaluation.baselines.averages import smooth_trials
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

REGRESSION_PENALTIES = (1e-2, 1e-3, 3e-2, 1e-1)
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
    an L2 penalty on b and c for each held-out neuron. Rates are limited to `HIGHEST_RATE`, because the exponential has
    no bound in trials unlike those of training; the limit is logged. Held-in neurons that never fire in training have
    b = 0. NaN for neurons that the encoder sees and for bins of forward prediction. Needs scikit-learn (the extra
    `plot`).

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        widths: Standard deviations in bins of the smoothing, ascending. They are tried per session until the valid
            split gets no better.
        penalties: L2 penalties; the best on the valid split is used, per session.

    Raises:
        MissingExtraError: If scikit-learn is not installed.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> poisson_regression(dataset, dataset.valid)[0, 0].round(3).tolist()
        [nan, nan, 1.0]
    """
    rates, held_out = unknown_rates(dataset, split), held_out_channels(dataset)
    n_bins = max(of.encoder_input.shape[1] for of in (dataset.train, dataset.valid, split))
    for index, (part, train) in enumerate(parts_and_training(dataset, split)):
        channels = np.flatnonzero(held_out[index])
        if not len(channels) or not len(part.trials) or not len(train.trials):
            continue
        valid = part_of(dataset, dataset.valid, index)
        regression = _best_regression(train, valid, channels, n_bins, widths, penalties)
        predicted = np.where(part.in_encoder[:, :, None], regression.predict(part), np.nan)
        if n_high := np.count_nonzero(predicted >= regression.highest):
            name = dataset.sessions[index].name
            log.warning("%d rates of the Poisson regression (session %s) are at their upper limit.", n_high, name)
        rates[np.ix_(part.trials, np.arange(predicted.shape[1]), channels)] = predicted
    return rates


def _best_regression(
    train: Part, valid: Part, channels: np.ndarray, n_bins: int, widths: Sequence[float], penalties: Sequence[float]
) -> _Regression:
    """Returns the regression whose width, then penalty, explains the valid trials best."""
    best = _Regression(train, channels, widths[0], n_bins).fit(penalties[0])
    nll = best.nll(valid)
    for width in widths[1:]:
        wider = _Regression(train, channels, width, n_bins).fit(penalties[0])
        nll_wider = wider.nll(valid)
        if nll_wider >= nll:
            break
        best, nll = wider, nll_wider
    by_penalty = {penalties[0]: nll} | {penalty: best.fit(penalty).nll(valid) for penalty in penalties[1:]}
    return best.fit(min(by_penalty, key=by_penalty.__getitem__))


class _Regression:
    """Poisson regressions of some channels on smoothed encoder channels and time, at one kernel width."""

    def __init__(self, train: Part, channels: np.ndarray, width: float, n_bins: int):
        try:
            from sklearn.linear_model import PoissonRegressor
            from threadpoolctl import threadpool_limits
        except ImportError as error:
            raise MissingExtraError(
                'The Poisson regression needs scikit-learn, which is not installed. Run `pip install "lfadsx[plot]"`.'
            ) from error
        self._train, self._channels, self._width, self._n_bins = train, channels, width, n_bins
        self._mean = mean_value(train.encoder_input, train.seen, is_counts=True)
        smoothed = self._smooth(train)[train.in_encoder]
        # A neuron that never fires in training gets no weight: its smoothed value varies at the ends of trials only.
        silent = ~np.where(train.seen, train.encoder_input, 0).any((0, 1))
        self._centre, self._scale = smoothed.mean(0), np.where(silent, np.inf, smoothed.std(0))
        largest = [np.where(scored, counts, 0).max(initial=1) for counts, scored in self._columns(train)]
        self.highest = HIGHEST_RATE * np.array(largest, float)
        self._threads = threadpool_limits
        # A neuron without training spikes has no finite log rate: its mean rate is predicted instead.
        # With warm starts the next penalty needs one or two steps instead of four.
        self._models = [
            PoissonRegressor(solver="newton-cholesky", warm_start=True) if counts[scored].any() else None
            for counts, scored in self._columns(train)
        ]

    def fit(self, penalty: float) -> _Regression:
        """Fits one regression to each channel and returns itself."""
        design = self._design(self._train)
        # One thread: for products of this size more threads do not help, and on a busy machine they are much slower.
        with self._threads(limits=1):
            for model, (counts, scored) in zip(self._models, self._columns(self._train), strict=True):
                if model is not None:
                    model.set_params(alpha=penalty).fit(design[scored], counts[scored])
        return self

    def predict(self, part: Part) -> np.ndarray:
        """Returns counts per bin, shape (trial, encoder_time, predicted channel)."""
        design = self._design(part)
        rates = np.empty((*design.shape[:2], len(self._channels)))
        rates[:] = self._train.mean_rate()[self._channels]
        for c, model in enumerate(self._models):
            if model is not None and len(design):
                with np.errstate(over="ignore"):  # infinity is clipped, too
                    rates[:, :, c] = np.exp(design @ model.coef_ + model.intercept_)
        return np.clip(rates, np.finfo(np.float32).tiny, self.highest)

    def nll(self, part: Part) -> float:
        """Returns the negative log likelihood of the predicted channels within the encoder's window, in nats."""
        counts, scored = (np.stack(of, axis=2) for of in zip(*self._columns(part), strict=True))
        return float(nll_per_trial(self.predict(part), counts, scored).sum())

    def _columns(self, part: Part) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns counts and scored entries of each predicted channel within the encoder's window."""
        n_seen = part.in_encoder.shape[1]
        return [(part.values[:, :n_seen, c], part.scored[:, :n_seen, c] & part.in_encoder) for c in self._channels]

    def _smooth(self, part: Part) -> np.ndarray:
        return smooth_trials(part, self._mean, self._width, 1.0, part.encoder_input.shape[1])

    def _design(self, part: Part) -> np.ndarray:
        """Returns standardised features and one indicator of each bin, shape (trial, encoder_time, feature)."""
        features = (self._smooth(part) - self._centre) / np.where(self._scale > 0, self._scale, 1.0)
        time = np.eye(self._n_bins)[: features.shape[1]]
        return np.concatenate([features, np.broadcast_to(time, (len(features), *time.shape))], axis=2)

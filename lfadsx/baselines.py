"""Rates of simple models, which every model has to beat, and the masks that say what is scored.

Each baseline takes the data set and one of its splits, learns from the training trials only, session by
session, and returns rates in counts per bin, shape (trial, time, target_channel), for the spikes that the
encoder sees and those held out beside them. Rates are never 0; NaN stands where a baseline says nothing:
channels that a session does not have, and what each docstring names. Settings that nobody gives are chosen
on the valid split.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.metrics import gaussian_kernel, nll_per_trial
from lfadsx.types import Dataset, Split

WIDTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations in bins that time course, condition average and smoothed spikes choose among."""

SHRINKAGES = (1.0, 4.0, 16.0)
"""Weights of the mean rate, in bins, that smoothed spikes choose among."""

REGRESSION_WIDTHS = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations in bins, ascending, that the Poisson regression chooses among."""

REGRESSION_PENALTIES = (1e-2, 1e-3, 3e-2, 1e-1)
"""L2 penalties that the Poisson regression chooses among; its width is chosen with the first."""

Setting = TypeVar("Setting")


def scored_mask(
    split: Split, dataset: Dataset, group: str | None = None
) -> Bool[np.ndarray, "trial time target_channel"]:
    """True for entries of a target group that exist: inside the trial, of its session, and observed.

    The host's counterpart of `Batch.scored`.

    Args:
        split: The trials.
        dataset: The data set that they belong to; its sessions say how many channels exist.
        group: The target group; the one that the encoder sees when None.

    Returns:
        Shape (trial, time, target_channel).

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> int(scored_mask(dataset.valid, dataset).sum())
        30
    """
    group = group or dataset.input_group
    n_trials, n_bins, n_channels = split.targets[group].shape
    widths = np.array([session.n_targets[group] for session in dataset.sessions])[split.session]
    in_trial = np.arange(n_bins) < split.target_length[:, None]
    in_session = np.arange(n_channels) < widths[:, None]
    mask = in_trial[:, :, None] & in_session[:, None, :]
    observed = split.target_observed.get(group)
    return mask if observed is None else mask & observed


def held_out_channels(dataset: Dataset) -> Bool[np.ndarray, "session target_channel"]:
    """True for neurons of each session that are targets but no input of the encoder.

    Args:
        dataset: The data set; the target group is the one that the encoder sees.

    Returns:
        Shape (session, target_channel); False for channels that a session does not have.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> held_out_channels(dataset).tolist()
        [[False, False, True]]
    """
    group = dataset.input_group
    held_out = np.zeros((len(dataset.sessions), dataset.train.targets[group].shape[2]), dtype=bool)
    for row, session in zip(held_out, dataset.sessions, strict=True):
        row[: session.n_targets[group]] = True
        row[session.target_index[session.target_index >= 0]] = False
    return held_out


def mean_rate(dataset: Dataset, split: Split) -> Float[np.ndarray, "trial time target_channel"]:
    """Each neuron's mean over the training trials and bins, `(spikes + 0.5) / bins`.

    Args:
        dataset: The data set.
        split: The trials that get the rates.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> round(float(mean_rate(dataset, dataset.valid)[0, 0, 0]), 4)
        1.0125
    """
    rates = _unknown(dataset, split)
    for index in range(len(dataset.sessions)):
        part = _part(dataset, split, index)
        rates[part.trials, :, : part.n_channels] = _part(dataset, dataset.train, index).mean_rate()
    return rates


def time_course(
    dataset: Dataset, split: Split, *, width: float | None = None
) -> Float[np.ndarray, "trial time target_channel"]:
    """Each neuron's smoothed mean over training trials in every bin, the same for all trials of a session.

    The mean is shrunk towards the neuron's mean rate by the weight of one trial, so that it is never 0.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        width: Standard deviation of the Gaussian smoothing in bins; chosen from `WIDTHS` when None.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Raises:
        ValueError: The width is negative.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> round(float(time_course(dataset, dataset.valid)[0, 0, 0]), 3)
        1.001
    """
    if width is None:
        width = _best_on_valid(dataset, WIDTHS, lambda w: time_course(dataset, dataset.valid, width=w))
    rates = _unknown(dataset, split)
    for index in range(len(dataset.sessions)):
        part, train = _part(dataset, split, index), _part(dataset, dataset.train, index)
        rates[part.trials, :, : part.n_channels] = _course(train, width, split.n_bins)
    return rates


def condition_average(
    dataset: Dataset, split: Split, *, width: float | None = None
) -> Float[np.ndarray, "trial time target_channel"]:
    """Smoothed mean over the training trials of the same session and condition.

    The mean is shrunk towards the time course by the weight of one trial; a condition without training trials
    gets the time course.

    Args:
        dataset: The data set, with conditions.
        split: The trials that get the rates, with conditions.
        width: Standard deviation of the Gaussian smoothing in bins; chosen from `WIDTHS` when None.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Raises:
        ValueError: The width is negative, or trials have no condition.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), condition=np.repeat([0, 1], 5))
        >>> round(float(condition_average(dataset, dataset.valid)[0, 0, 0]), 3)
        1.0
    """
    if split.condition is None or dataset.train.condition is None:
        raise ValueError(
            "The condition average needs the condition of all training and scored trials, but one of the two "
            "splits has none. Give both splits conditions, or use time_course."
        )
    if width is None:
        width = _best_on_valid(dataset, WIDTHS, lambda w: condition_average(dataset, dataset.valid, width=w))
    rates = _unknown(dataset, split)
    for index in range(len(dataset.sessions)):
        part, train = _part(dataset, split, index), _part(dataset, dataset.train, index)
        course = _course(train, width, split.n_bins)
        for label in np.unique(split.condition[part.trials]):
            chosen = part.trials[split.condition[part.trials] == label]
            alike = train.only(dataset.train.condition[train.trials] == label)
            rates[chosen, :, : part.n_channels] = _smoothed_mean(alike, course, width, split.n_bins)
    return rates


def smoothed_spikes(
    dataset: Dataset,
    split: Split,
    *,
    width: float | None = None,
    shrinkage: float | None = None,
    own_bin: bool = True,
) -> Float[np.ndarray, "trial time target_channel"]:
    """Each trial's own spikes, smoothed in time, for neurons that the encoder sees.

    `(sum_s k(t - s) x_s + a mean) / (sum_s k(t - s) + a)` over the bins s that the encoder sees, with a
    Gaussian k of height 1: the trial's neighbouring bins, shrunk towards the neuron's mean rate by the weight
    of a bins. Bins of forward prediction fall back to that mean. Held-out neurons are NaN.

    What is not given is chosen from `WIDTHS` and `SHRINKAGES` so that on the valid split each bin is best
    predicted from the bins around it, without its own spikes.

    Args:
        dataset: The data set.
        split: The trials whose spikes are smoothed; entries hidden in `encoder_observed` are not used.
        width: Standard deviation of k in bins.
        shrinkage: The weight a in bins, above 0.
        own_bin: False leaves out each bin's own spikes: each entry is predicted from the bins around it.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Raises:
        ValueError: The width is negative, or the shrinkage is not above 0.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> smoothed_spikes(dataset, dataset.valid, width=0.0, shrinkage=1.0)[0, 0].round(4).tolist()
        [1.0062, 1.0062, nan]
    """
    if shrinkage is not None and shrinkage <= 0:
        raise ValueError(f"The shrinkage is {shrinkage:g} bins, which would give rates of 0. Give a number above 0.")
    widths = WIDTHS if width is None else (width,)
    shrinkages = SHRINKAGES if shrinkage is None else (shrinkage,)
    settings = list(itertools.product(widths, shrinkages))
    if len(settings) > 1:
        valid = dataset.valid
        seen = (np.arange(valid.n_bins) < valid.encoder_length[:, None])[:, :, None]
        rates_of = functools.partial(_smoothed_spikes, dataset, valid, own_bin=False)
        settings = [_best_on_valid(dataset, settings, lambda setting: rates_of(*setting), seen)]
    return _smoothed_spikes(dataset, split, *settings[0], own_bin)


def poisson_regression(
    dataset: Dataset,
    split: Split,
    *,
    widths: Sequence[float] = REGRESSION_WIDTHS,
    penalties: Sequence[float] = REGRESSION_PENALTIES,
) -> Float[np.ndarray, "trial time target_channel"]:
    """Held-out neurons predicted from the held-in neurons of the same trial, by Poisson regression.

    `log rate = a + b . (smoothed, standardised held-in spikes) + c_t` with one c for every bin, fitted with
    an L2 penalty on b and c for each held-out neuron. NaN for neurons that the encoder sees and for bins of
    forward prediction. Needs scikit-learn (the extra `plot`).

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        widths: Standard deviations in bins of the smoothing, ascending; the first after which the valid split
            gets no better is used, per session.
        penalties: L2 penalties; the best on the valid split is used, per session.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> poisson_regression(dataset, dataset.valid)[0, 0].round(3).tolist()
        [nan, nan, 1.0]
    """
    rates = _unknown(dataset, split)
    n_bins = max(of.encoder_input.shape[1] for of in (dataset.train, dataset.valid, split))
    for index, held_out in enumerate(held_out_channels(dataset)):
        part, train = _part(dataset, split, index), _part(dataset, dataset.train, index)
        channels = np.flatnonzero(held_out)
        if not len(channels) or not len(part.trials) or not len(train.trials):
            continue
        valid = _part(dataset, dataset.valid, index)
        regression = _best_regression(train, valid, channels, n_bins, widths, penalties)
        predicted = np.where(part.in_encoder[:, :, None], regression.predict(part), np.nan)
        rates[np.ix_(part.trials, np.arange(predicted.shape[1]), channels)] = predicted
    return rates


def fit_baselines(
    dataset: Dataset, split: Split, *, regression: bool = True
) -> dict[str, Float[np.ndarray, "trial time target_channel"]]:
    """Rates of all baselines that apply to a data set, by name, in the order of the table.

    Without conditions there is no condition average; without held-out neurons no Poisson regression.

    Args:
        dataset: The data set.
        split: The trials that get the rates.
        regression: False leaves out the Poisson regression, by far the slowest and the only one that needs
            scikit-learn.

    Returns:
        Counts per bin by name, each of shape (trial, time, target_channel).

    Raises:
        ImportError: There are held-out neurons and scikit-learn is not installed.

    Example:
        >>> from lfadsx.data import dataset_from_trials
        >>> dataset = dataset_from_trials(np.ones((10, 5, 3), int), held_out=1)
        >>> list(fit_baselines(dataset, dataset.valid))
        ['time course', 'smoothed spikes', 'Poisson regression']
    """
    rates = {"time course": time_course(dataset, split)}
    if split.condition is not None and dataset.train.condition is not None:
        rates["condition average"] = condition_average(dataset, split)
    rates["smoothed spikes"] = smoothed_spikes(dataset, split)
    if regression and held_out_channels(dataset).any():
        rates["Poisson regression"] = poisson_regression(dataset, split)
    return rates


# One session's share of a split


@dataclasses.dataclass(frozen=True)
class _Part:
    """The trials of one session in a split, without the channels that other sessions have.

    `counts` and `scored` have the shape (trial, time, channel), `encoder_input` and `seen` (trial,
    encoder_time, encoder channel), `in_encoder` (trial, encoder_time).
    """

    trials: np.ndarray
    counts: np.ndarray
    scored: np.ndarray
    encoder_input: np.ndarray
    seen: np.ndarray
    in_encoder: np.ndarray

    @property
    def n_channels(self) -> int:
        return self.counts.shape[2]

    def only(self, chosen: np.ndarray) -> _Part:
        return _Part(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def mean_rate(self) -> np.ndarray:
        return _mean_rate(self.counts, self.scored)


def _part(dataset: Dataset, split: Split, index: int) -> _Part:
    session, trials = dataset.sessions[index], np.flatnonzero(split.session == index)
    n_targets, n_channels = session.n_targets[dataset.input_group], session.n_channels
    encoder_input = split.encoder_input[trials, :, :n_channels]
    in_encoder = np.arange(encoder_input.shape[1]) < split.encoder_length[trials, None]
    seen = np.broadcast_to(in_encoder[:, :, None], encoder_input.shape)
    if split.encoder_observed is not None:
        seen = seen & split.encoder_observed[trials, :, :n_channels]
    return _Part(
        trials=trials,
        counts=split.targets[dataset.input_group][trials, :, :n_targets],
        scored=scored_mask(split, dataset)[trials, :, :n_targets],
        encoder_input=encoder_input,
        seen=seen,
        in_encoder=in_encoder,
    )


def _unknown(dataset: Dataset, split: Split) -> np.ndarray:
    return np.full(split.targets[dataset.input_group].shape, np.nan)


# Means over trials


def _mean_rate(counts: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Mean of each channel, with half a spike added so that a silent neuron has a rate."""
    spikes = np.where(scored, counts, 0).sum((0, 1), dtype=np.float64)
    return (spikes + 0.5) / np.maximum(scored.sum((0, 1)), 1)


def _course(train: _Part, width: float, n_bins: int) -> np.ndarray:
    return _smoothed_mean(train, train.mean_rate(), width, n_bins)


def _smoothed_mean(part: _Part, prior: np.ndarray, width: float, n_bins: int) -> np.ndarray:
    """Mean over trials and neighbouring bins, shrunk to the prior by one trial; shape (n_bins, channel)."""
    spikes, n_trials = np.zeros((2, n_bins, part.n_channels))
    n_known = min(n_bins, part.counts.shape[1])
    spikes[:n_known] = np.where(part.scored, part.counts, 0).sum(0, dtype=np.float64)[:n_known]
    n_trials[:n_known] = part.scored.sum(0)[:n_known]
    # Bins that no trial reaches get no weight, so that padding changes nothing.
    kernel = gaussian_kernel(n_bins, width) * n_trials.any(1)
    kernel = kernel / np.maximum(kernel.sum(1, keepdims=True), np.finfo(float).tiny)
    return (kernel @ spikes + prior) / (kernel @ n_trials + 1)


# Means over neighbouring bins of a trial


def _smoothed_spikes(dataset: Dataset, split: Split, width: float, shrinkage: float, own_bin: bool) -> np.ndarray:
    rates = _unknown(dataset, split)
    for index, session in enumerate(dataset.sessions):
        part, train = _part(dataset, split, index), _part(dataset, dataset.train, index)
        is_target = session.target_index >= 0
        targets = session.target_index[is_target]
        mean = np.ones(session.n_channels)
        mean[is_target] = train.mean_rate()[targets]
        smoothed = _smooth_trials(part, mean, width, shrinkage, split.n_bins, own_bin)
        rates[np.ix_(part.trials, np.arange(split.n_bins), targets)] = smoothed[:, :, is_target]
    return rates


def _smooth_trials(
    part: _Part, mean: np.ndarray, width: float, shrinkage: float, n_bins: int, own_bin: bool = True
) -> np.ndarray:
    """Weighted mean of the bins that the encoder sees, shrunk; shape (trial, n_bins, encoder channel)."""
    n_seen = part.encoder_input.shape[1]
    kernel = gaussian_kernel(max(n_bins, n_seen), width)
    if not own_bin:
        np.fill_diagonal(kernel, 0.0)
    kernel = kernel[:n_bins, :n_seen]
    total = kernel @ np.where(part.seen, part.encoder_input, 0)
    return (total + shrinkage * mean) / (kernel @ part.seen + shrinkage)


# Regression


class _Regression:
    """Poisson regressions of some channels on smoothed encoder channels and time, at one kernel width."""

    def __init__(self, train: _Part, channels: np.ndarray, width: float, n_bins: int):
        try:
            from sklearn.linear_model import PoissonRegressor
            from threadpoolctl import threadpool_limits
        except ImportError as error:
            raise ImportError(
                'The Poisson regression needs scikit-learn, which is not installed. Run pip install "lfadsx[plot]".'
            ) from error
        self._train, self._channels, self._width, self._n_bins = train, channels, width, n_bins
        self._mean = _mean_rate(train.encoder_input, train.seen)
        smoothed = self._smooth(train)[train.in_encoder]
        self._centre, self._scale = smoothed.mean(0), smoothed.std(0)
        # A neuron without training spikes has no finite log rate: it gets no model, but its mean rate.
        fires = [bool(counts[scored].any()) for counts, scored in self._columns(train)]
        self._threads = threadpool_limits
        # Warm starts: the next penalty needs one or two steps more instead of four.
        self._models = [
            PoissonRegressor(solver="newton-cholesky", warm_start=True) if firing else None for firing in fires
        ]

    def fit(self, penalty: float) -> _Regression:
        design = self._design(self._train)
        # One thread: products of this size gain nothing from more, and on a busy machine they lose much.
        with self._threads(limits=1):
            for model, (counts, scored) in zip(self._models, self._columns(self._train), strict=True):
                if model is not None:
                    model.set_params(alpha=penalty).fit(design[scored], counts[scored])
        return self

    def predict(self, part: _Part) -> np.ndarray:
        """Counts per bin, shape (trial, encoder_time, predicted channel)."""
        design = self._design(part)
        rates = np.empty((*design.shape[:2], len(self._channels)))
        rates[:] = self._train.mean_rate()[self._channels]
        for c, model in enumerate(self._models):
            if model is not None and len(design):
                rates[:, :, c] = model.predict(design.reshape(-1, design.shape[2])).reshape(design.shape[:2])
        return np.maximum(rates, np.finfo(np.float32).tiny)

    def nll(self, part: _Part) -> float:
        scored = np.stack([scored for _, scored in self._columns(part)], axis=2)
        counts = np.stack([counts for counts, _ in self._columns(part)], axis=2)
        return float(nll_per_trial(self.predict(part), counts, scored).sum())

    def _columns(self, part: _Part) -> list[tuple[np.ndarray, np.ndarray]]:
        """Counts and what is scored of each predicted channel, within the encoder's window."""
        n_seen = part.in_encoder.shape[1]
        return [(part.counts[:, :n_seen, c], part.scored[:, :n_seen, c] & part.in_encoder) for c in self._channels]

    def _smooth(self, part: _Part) -> np.ndarray:
        return _smooth_trials(part, self._mean, self._width, 1.0, part.encoder_input.shape[1])

    def _design(self, part: _Part) -> np.ndarray:
        features = (self._smooth(part) - self._centre) / np.where(self._scale > 0, self._scale, 1.0)
        time = np.eye(self._n_bins)[: features.shape[1]]
        return np.concatenate([features, np.broadcast_to(time, (len(features), *time.shape))], axis=2)


def _best_regression(
    train: _Part,
    valid: _Part,
    channels: np.ndarray,
    n_bins: int,
    widths: Sequence[float],
    penalties: Sequence[float],
) -> _Regression:
    """The regression of the width, then of the penalty, that explains the valid trials best."""
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


# Choice of settings


def _best_on_valid(
    dataset: Dataset,
    settings: Sequence[Setting],
    valid_rates: Callable[[Setting], np.ndarray],
    among: np.ndarray | None = None,
) -> Setting:
    """The setting whose rates explain the valid trials best, where they are no NaN and `among` is True."""
    counts = dataset.valid.targets[dataset.input_group]
    scored = scored_mask(dataset.valid, dataset)
    scored = scored if among is None else scored & among

    def nll(setting: Setting) -> float:
        rates = valid_rates(setting)
        return float(nll_per_trial(rates, counts, scored & ~np.isnan(rates)).sum())

    return min(settings, key=nll)

"""Rates of simple models, which every model has to beat, and the masks that say what is scored.

Each baseline takes the data set and one of its splits, learns from the training trials only, session by
session, and returns rates in counts per bin, shape (trial, time, target_channel), for the spikes that the
encoder sees and those held out beside them. Rates are never 0; NaN stands where a baseline says nothing:
channels that a session does not have, and what each docstring names. Settings that nobody gives are chosen
on the valid split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.metrics import gaussian_kernel, nll_per_trial
from lfadsx.types import Dataset, Split

WIDTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations in bins that time course, condition average and smoothed spikes choose among."""

REGRESSION_WIDTHS = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations in bins, ascending, that the Poisson regression chooses among."""

REGRESSION_PENALTIES = (1e-2, 1e-3, 1e-1)
"""L2 penalties that the Poisson regression chooses among; its width is chosen with the first."""


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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> int(scored_mask(split, dataset).sum())
        60
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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> round(float(mean_rate(dataset, split)[0, 0, 0]), 3)
        1.025
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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> round(float(time_course(dataset, split)[0, 0, 0]), 3)
        1.005
    """
    if width is None:
        width = _best_width(dataset, lambda width: time_course(dataset, dataset.valid, width=width))
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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins, zero = np.ones((4, 5, 3), np.uint8), np.full(4, 5), np.zeros(4, int)
        >>> split = Split(counts, {"spikes": counts}, bins, bins, zero, np.arange(4), condition=zero)
        >>> dataset = Dataset(split, split, (Session("a", 3, {"spikes": 3}, np.arange(3)),))
        >>> round(float(condition_average(dataset, split)[0, 0, 0]), 3)
        1.001
    """
    if split.condition is None or dataset.train.condition is None:
        raise ValueError(
            "The condition average needs the condition of all training and scored trials, but one of the two "
            "splits has none. Give both splits conditions, or use time_course."
        )
    if width is None:
        width = _best_width(dataset, lambda width: condition_average(dataset, dataset.valid, width=width))
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
    dataset: Dataset, split: Split, *, width: float | None = None
) -> Float[np.ndarray, "trial time target_channel"]:
    """Each trial's own spikes, smoothed in time, for neurons that the encoder sees.

    `(sum_s k(t - s) x_s + mean) / (sum_s k(t - s) + 1)` over the bins s that the encoder sees, with a
    Gaussian k of height 1: the trial's neighbouring bins, shrunk towards the neuron's mean rate by the weight
    of one bin. Bins of forward prediction fall back to that mean. Held-out neurons are NaN.

    Args:
        dataset: The data set.
        split: The trials whose spikes are smoothed; entries hidden in `encoder_observed` are not used.
        width: Standard deviation of k in bins. When None, that of `WIDTHS` which on the valid split best
            predicts each bin from the bins around it, without its own spikes.

    Returns:
        Counts per bin, shape (trial, time, target_channel).

    Raises:
        ValueError: The width is negative.

    Example:
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> smoothed_spikes(dataset, split, width=0.0)[0, 0].round(4).tolist()
        [1.0125, 1.0125, nan]
    """
    if width is None:
        width = _best_width(
            dataset,
            lambda width: _smoothed_spikes(dataset, dataset.valid, width, own_bin=False),
            seen_only=True,
        )
    return _smoothed_spikes(dataset, split, width, own_bin=True)


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
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> poisson_regression(dataset, split)[0, 0].round(3).tolist()
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
    dataset: Dataset, split: Split
) -> dict[str, Float[np.ndarray, "trial time target_channel"]]:
    """Rates of all baselines that apply to a data set, by name, in the order of the table.

    Without conditions there is no condition average; without held-out neurons no Poisson regression.

    Args:
        dataset: The data set.
        split: The trials that get the rates.

    Returns:
        Counts per bin by name, each of shape (trial, time, target_channel).

    Raises:
        ImportError: There are held-out neurons and scikit-learn is not installed.

    Example:
        >>> from lfadsx.types import Session, Split
        >>> counts, bins = np.ones((4, 5, 3), np.uint8), np.full(4, 5)
        >>> split = Split(counts[..., :2], {"spikes": counts}, bins, bins, np.zeros(4, int), np.arange(4))
        >>> dataset = Dataset(split, split, (Session("a", 2, {"spikes": 3}, np.array([0, 1])),))
        >>> list(fit_baselines(dataset, split))
        ['time course', 'smoothed spikes', 'Poisson regression']
    """
    rates = {"time course": time_course(dataset, split)}
    if split.condition is not None and dataset.train.condition is not None:
        rates["condition average"] = condition_average(dataset, split)
    rates["smoothed spikes"] = smoothed_spikes(dataset, split)
    if held_out_channels(dataset).any():
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
    kernel = gaussian_kernel(n_bins, width)
    kernel = kernel / kernel.sum(1, keepdims=True)
    return (kernel @ spikes + prior) / (kernel @ n_trials + 1)


# Means over neighbouring bins of a trial


def _smoothed_spikes(dataset: Dataset, split: Split, width: float, own_bin: bool) -> np.ndarray:
    rates = _unknown(dataset, split)
    for index, session in enumerate(dataset.sessions):
        part, train = _part(dataset, split, index), _part(dataset, dataset.train, index)
        is_target = session.target_index >= 0
        targets = session.target_index[is_target]
        prior = np.ones(session.n_channels)
        prior[is_target] = train.mean_rate()[targets]
        smoothed = _smooth_trials(part, prior, width, split.n_bins, own_bin)
        rates[np.ix_(part.trials, np.arange(split.n_bins), targets)] = smoothed[:, :, is_target]
    return rates


def _smooth_trials(
    part: _Part, prior: np.ndarray, width: float, n_bins: int, own_bin: bool = True
) -> np.ndarray:
    """Weighted mean of the bins that the encoder sees, shrunk to the prior by one bin's weight."""
    n_seen = part.encoder_input.shape[1]
    kernel = gaussian_kernel(max(n_bins, n_seen), width)
    if not own_bin:
        np.fill_diagonal(kernel, 0.0)
    kernel = kernel[:n_bins, :n_seen]
    return (kernel @ np.where(part.seen, part.encoder_input, 0) + prior) / (kernel @ part.seen + 1)


# Regression


class _Regression:
    """Poisson regressions of some channels on smoothed encoder channels and time, at one kernel width."""

    def __init__(self, train: _Part, channels: np.ndarray, width: float, n_bins: int):
        try:
            from sklearn.linear_model import PoissonRegressor
        except ImportError as error:
            raise ImportError(
                "The Poisson regression needs scikit-learn, which is not installed. "
                'Run pip install "lfadsx[plot]".'
            ) from error
        self._train, self._channels, self._width, self._n_bins = train, channels, width, n_bins
        self._prior = _mean_rate(train.encoder_input, train.seen)
        smoothed = self._smooth(train)[train.in_encoder]
        self._centre, self._scale = smoothed.mean(0), smoothed.std(0)
        # A neuron without training spikes has no finite log rate: it gets no model, but its mean rate.
        fires = [bool(counts[scored].any()) for counts, scored in self._columns(train)]
        # Warm starts: the next penalty needs one or two steps more instead of four.
        self._models = [
            PoissonRegressor(solver="newton-cholesky", warm_start=True) if firing else None
            for firing in fires
        ]

    def fit(self, penalty: float) -> _Regression:
        design = self._design(self._train)
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
        return [
            (part.counts[:, :n_seen, c], part.scored[:, :n_seen, c] & part.in_encoder) for c in self._channels
        ]

    def _smooth(self, part: _Part) -> np.ndarray:
        return _smooth_trials(part, self._prior, self._width, part.encoder_input.shape[1])

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


def _best_width(
    dataset: Dataset, valid_rates: Callable[[float], np.ndarray], seen_only: bool = False
) -> float:
    """The width of `WIDTHS` whose rates explain the valid trials best."""
    valid = dataset.valid
    scored = scored_mask(valid, dataset)
    if seen_only:
        scored = scored & (np.arange(valid.n_bins) < valid.encoder_length[:, None])[:, :, None]
    counts = valid.targets[dataset.input_group]

    def nll(width: float) -> float:
        rates = valid_rates(width)
        return float(nll_per_trial(rates, counts, scored & ~np.isnan(rates)).sum())

    return min(WIDTHS, key=nll)

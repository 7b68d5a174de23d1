"""Data with a known answer, made from a recording: what a model must not find in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lfadsx.data.condition_labels import has_label
from lfadsx.data.data_findings import scored_mask
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError, MissingExtraError
from lfadsx.evaluation.baselines import condition_average, time_course
from lfadsx.results.posterior import Posterior

LEAST_SHUFFLED = 0.5
"""Share of the trials that must have another trial to exchange spikes with."""
N_PERMUTATIONS = 2000
"""Permutations of conditions behind the range of chance."""


def shuffled_trials(data: Dataset, seed: int = 0) -> Dataset:
    """Exchanges spikes between trials of the same condition, for each neuron by itself.

    Each neuron keeps its counts and its averages over conditions. What neurons have in common in a single trial is
    lost. So no model can predict held-out neurons better than their averages over conditions allow.

    Trials exchange spikes within a split, a session, a condition and a length. Without conditions all trials count as
    one condition. True rates, true inputs and behaviour are left out, because they belong to the trials as they were.

    Example:
        >>> import lfadsx
        >>> from lfadsx.evaluation.controls import shuffled_trials
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> shuffled = shuffled_trials(data)
        >>> bool((shuffled.train.targets["spikes"].sum((0, 1)) == data.train.targets["spikes"].sum((0, 1))).all())
        True

    Args:
        data: The data set.
        seed: Seed of the exchange.

    Raises:
        LfadsxError: If fewer than half of the trials have a trial to exchange spikes with, or the encoder sees
            channels that are not targets.
    """
    rng, alone, total = np.random.default_rng(seed), 0, 0

    def exchanged(split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        nonlocal alone, total
        values = split.targets[data.input_group].copy()
        observed = split.target_observed.get(data.input_group)
        observed = None if observed is None else observed.copy()
        for trials in _alike(split):
            alone, total = alone + (len(trials) == 1), total + len(trials)
            for neuron in range(values.shape[2]):
                moved = rng.permutation(trials)
                values[trials, :, neuron] = values[moved, :, neuron]
                if observed is not None:
                    observed[trials, :, neuron] = observed[moved, :, neuron]
        return values, observed

    made = _with_values(data, exchanged, "spikes exchanged between trials", seed)
    if alone > (1 - LEAST_SHUFFLED) * total:
        raise LfadsxError(
            f"At least half of the trials must share condition and length with another trial, got {total - alone} of "
            f"{total}. Cut the trials to one length, or give fewer conditions."
        )
    return made


def drawn_from_averages(data: Dataset, seed: int = 0) -> Dataset:
    """Draws new spikes from the condition averages of the training trials, as independent Poisson counts.

    Trials of a condition then differ by chance only, and no input acts on them. Real-valued data are drawn from normal
    distributions with the residual standard deviation of each channel. Without conditions the time course is used.
    True rates, true inputs and behaviour are left out.

    Example:
        >>> import lfadsx
        >>> from lfadsx.evaluation.controls import drawn_from_averages
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> drawn_from_averages(data).valid.targets["spikes"].shape == data.valid.targets["spikes"].shape
        True

    Args:
        data: The data set.
        seed: Seed of the draws.

    Raises:
        LfadsxError: If the encoder sees channels that are not targets.
    """
    rng = np.random.default_rng(seed)

    def averages(split: Split) -> np.ndarray:
        known = split.condition is not None and data.train.condition is not None
        return (condition_average if known else time_course)(data, split)

    residual = data.train.targets[data.input_group] - averages(data.train)
    there = scored_mask(data.train, data)
    spread = np.sqrt(np.where(there, residual**2, 0.0).sum((0, 1)) / np.maximum(there.sum((0, 1)), 1))

    def drawn(split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        mean, old = np.nan_to_num(averages(split)), split.targets[data.input_group]
        values = rng.poisson(mean) if data.is_counts() else rng.normal(mean, spread)
        most = np.iinfo(old.dtype).max if np.issubdtype(old.dtype, np.integer) else np.inf
        made = np.where(scored_mask(split, data), np.minimum(values, most), old).astype(old.dtype)
        return made, split.target_observed.get(data.input_group)

    return _with_values(data, drawn, "spikes drawn from condition averages", seed)


class Decoded(NamedTuple):
    """The share of trials whose condition is decoded.

    Attributes:
        value: The share.
        low: Lower end of the range that holds 95 % of the shares with permuted conditions.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def decoded_conditions(
    data: Dataset, train: Posterior, tested: Posterior, split: str, *, shuffle: bool = False, seed: int = 0
) -> Decoded:
    """Decodes the conditions of trials from their factors by linear discriminant analysis, fitted on training trials.

    The features are the averages of the factors over the four quarters of a trial. Trials without a condition are left
    out.

    Args:
        data: The data set, with conditions in both splits.
        train: Posterior of the training trials.
        tested: Posterior of the scored trials.
        split: Name of the scored split.
        shuffle: If True, the conditions of both splits are shuffled first.
        seed: Seed of the shuffle and of the permutations.

    Raises:
        MissingExtraError: If scikit-learn is missing.
    """
    try:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    except ImportError as error:
        raise MissingExtraError(
            'Decoding needs scikit-learn, which is not installed. Install it with `pip install "lfadsx[plot]"`.'
        ) from error
    rng, known = np.random.default_rng(seed), [data.train.labelled, data.splits[split].labelled]
    labels = [np.asarray(of.condition)[own] for of, own in zip((data.train, data.splits[split]), known, strict=True)]
    if shuffle:
        labels = [rng.permutation(of) for of in labels]
    features = [_quarters(of)[own] for of, own in zip((train, tested), known, strict=True)]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features[0], labels[0])
    predicted = model.predict(features[1])

    def share(of: np.ndarray) -> float:
        return float(np.mean(np.equal(predicted, of)))

    low, high = np.quantile([share(rng.permutation(labels[1])) for _ in range(N_PERMUTATIONS)], [0.025, 0.975])
    return Decoded(share(labels[1]), float(low), float(high))


def single_trial_share(split: Split, posterior: Posterior) -> float:
    """Returns the share of the rates' variance that is within conditions: over trials, summed over bins and neurons.

    The rest of the variance is over time and conditions. Without conditions all trials count as one condition.
    """
    rates = posterior.rates[posterior.input_group].astype(float)
    centred = rates - np.nanmean(rates, axis=(0, 1))
    within = np.full_like(rates, np.nan)
    for trials in _alike(split):
        if len(trials) > 1:
            # Averages of n trials vary too: n / (n - 1) makes up for it.
            spread = rates[trials] - rates[trials].mean(0)
            within[trials] = spread**2 * (len(trials) / (len(trials) - 1))
    there = np.isfinite(within)
    return float(within[there].sum() / max((centred[there] ** 2).sum(), np.finfo(float).tiny))


def _quarters(posterior: Posterior) -> Float[np.ndarray, "trial feature"]:
    """Returns each trial's factors, averaged over the four quarters of the trial."""
    shares = [
        np.stack([part.mean(0) for part in np.array_split(factors[:length], 4)])
        for factors, length in zip(posterior.factors, posterior.length, strict=True)
    ]
    return np.stack(shares).reshape(posterior.n_trials, -1)


def _alike(split: Split) -> list[np.ndarray]:
    """Returns the trials that may exchange spikes: of one session, condition and length."""
    if split.condition is None:
        condition = np.zeros(split.n_trials, int)
    else:
        condition = np.unique(split.condition, return_inverse=True)[1]
        condition = np.where(has_label(split.condition), condition, -1)
    keys = np.stack([split.session, condition, split.encoder_length, split.target_length], 1)
    group = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return [np.flatnonzero(group == number) for number in range(group.max(initial=-1) + 1)]


def _with_values(
    data: Dataset, make: Callable[[Split], tuple[np.ndarray, np.ndarray | None]], what: str, seed: int
) -> Dataset:
    """Returns the data set with other values of the input group, which the encoder then sees, too."""
    if any((session.target_index < 0).any() for session in data.sessions):
        raise LfadsxError(
            "All channels that the encoder sees must be targets for this control, but some are not. Give the targets "
            "all channels of the encoder."
        )
    group, splits = data.input_group, {}
    for name, split in data.splits.items():
        values, observed = make(split)
        encoder_input = split.encoder_input.copy()
        encoder_observed = None if split.encoder_observed is None else split.encoder_observed.copy()
        n_bins = encoder_input.shape[1]
        for index, session in enumerate(data.sessions):
            trials = np.flatnonzero(split.session == index)
            place = np.ix_(trials, np.arange(n_bins), np.arange(session.n_channels))
            seen = np.ix_(trials, np.arange(n_bins), session.target_index)
            encoder_input[place] = values[seen]
            if encoder_observed is not None and observed is not None:
                encoder_observed[place] = observed[seen]
        splits[name] = dataclasses.replace(
            split,
            encoder_input=encoder_input,
            encoder_observed=encoder_observed,
            targets=split.targets | {group: values},
            target_observed=split.target_observed | {group: observed},
            truth=None,
            true_inputs=None,
            behaviour=None,
        )
    source = data.source | {"control": {"made": what, "seed": seed}}
    return dataclasses.replace(data, **splits, truth_unit=None, source=source, findings=())

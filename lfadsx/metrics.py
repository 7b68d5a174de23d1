"""Scores: bits per spike, R2, PSTH R2, decoding of behaviour, alignment of what is known up to a linear map.

Every function takes arrays of one session with the trial axis first and returns plain numbers, so each score
can be checked by hand. `mask` is True where an entry is scored; NaN in the data counts as missing too. What
is scored for which trials is decided in `lfadsx.evaluation`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

SMALLEST_RATE = 1e-9
"""Rates of 0 are scored as this many counts per bin, so that one spike there costs 21 nats, not infinity."""

RIDGE_PENALTIES = np.logspace(-4, 0, 9)
"""Penalties among which `velocity_decoding` chooses by cross-validation."""

# Signals whose standard deviation is below this share of their size are constant in float32.
_CONSTANT = 1e-7


@dataclasses.dataclass(frozen=True)
class BitsPerSpike:
    """Bits per spike of one session, pooled and by neuron.

    Attributes:
        value: Pooled over neurons, trials and bins; NaN without any spike.
        per_neuron: The same for each neuron, shape (channel,); NaN for neurons without spikes.
        silent: Neurons that are scored but have no spike there; they are left out of `value`.
        n_spikes: Number of spikes scored.
    """

    value: float
    per_neuron: np.ndarray
    silent: tuple[int, ...]
    n_spikes: int


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval.

    Attributes:
        value: The figure on all trials.
        low: Lower end of the interval.
        high: Upper end; the figure differs from 0 when both ends lie on one side of it.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class R2Floors:
    """Squared Pearson correlations that knowing nothing about a trial attains.

    Attributes:
        shuffled: The truth of another trial taken as the estimate.
        ramp: A straight ramp taken as the estimate.
    """

    shuffled: float
    ramp: float


@dataclasses.dataclass(frozen=True)
class PsthR2:
    """R2 of condition averages.

    Attributes:
        value: Mean over neurons, each with the same weight; NaN when it exists for none.
        per_neuron: R2 of each neuron, shape (channel,); NaN for neurons whose PSTH is constant.
    """

    value: float
    per_neuron: np.ndarray


@dataclasses.dataclass(frozen=True)
class PsthCeiling:
    """What noise leaves of the R2 of condition averages.

    Attributes:
        value: PSTH R2 of a model that knows the true PSTH, mean over neurons; NaN when it exists for none.
        per_neuron: The same for each neuron, shape (channel,).
        halves: PSTH R2 of one half of the trials against the other, mean over neurons. It is far below
            `value`, since both halves are noisy and each has half the trials.
    """

    value: float
    per_neuron: np.ndarray
    halves: float


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Behaviour read out of rates by ridge regression.

    Attributes:
        r2: R2 on the scored trials, uniform mean over the dimensions of behaviour.
        r2_per_dimension: R2 of each dimension, shape (behaviour,).
        penalty: Ridge penalty that cross-validation on the training trials chose.
        prediction: Predicted behaviour in the unit of the behaviour, shape (trial, time, behaviour), at the
            time of the behaviour; NaN where nothing is predicted.
    """

    r2: float
    r2_per_dimension: np.ndarray
    penalty: float
    prediction: np.ndarray


# Spikes


def poisson_nll(rates: Num[np.ndarray, "*shape"], counts: Num[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Negative log likelihood of spike counts under a Poisson distribution, entry by entry.

    `r - k log r + log k!` with the exact log k!.

    Args:
        rates: Expected counts per bin; 0 is taken as `SMALLEST_RATE`.
        counts: Spike counts per bin, of the same shape; NaN gives NaN.

    Returns:
        Nats, of the same shape.

    Raises:
        ValueError: A rate is negative, or a count is negative or no whole number.

    Example:
        >>> poisson_nll(np.array([2.0, 2.0]), np.array([0, 1])).round(3).tolist()
        [2.0, 1.307]
    """
    rates = np.asarray(rates, dtype=np.float64)
    if np.any(rates < 0):
        raise ValueError(
            f"rates holds {np.nanmin(rates):g}, but expected counts are never below 0. "
            "Pass rates in counts per bin, not log rates."
        )
    rates = np.where(rates == 0, SMALLEST_RATE, rates)
    return rates - counts * np.log(rates) + _log_factorial(counts)


def bits_per_spike(
    rates: Num[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    *,
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
    null_rates: Num[np.ndarray, "*null"] | None = None,
) -> BitsPerSpike:
    """Bits per spike that rates save over a null model, pooled over neurons, trials and bins.

    `(NLL_null - NLL_model) / (spikes * ln 2)`: the convention of the Neural Latents Benchmark (Pei et al.
    2021). Neurons that are silent in the scored data are left out of both sums.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts per bin; NaN counts as missing.
        mask: True where an entry is scored; everything when None.
        null_rates: Rates of the null model in counts per bin, in a shape that broadcasts to that of `counts`;
            each neuron's mean over the scored trials and bins when None.

    Raises:
        ValueError: The shapes differ, a scored rate is NaN, infinite or negative, or a count is no count.

    Example:
        >>> counts = np.array([[[0], [2]], [[0], [2]]])
        >>> round(bits_per_spike(np.where(counts > 0, 2.0, 0.0), counts).value, 6)
        1.0
    """
    scored = _scored(rates, counts, mask)
    spikes = np.where(scored, counts, 0).sum((0, 1), dtype=np.float64)
    n_scored = scored.sum((0, 1))
    null = np.broadcast_to(spikes / np.maximum(n_scored, 1) if null_rates is None else null_rates, counts.shape)
    _scored(null, counts, mask)
    saved = (_masked_nll(null, counts, scored) - _masked_nll(rates, counts, scored)).sum((0, 1)) / np.log(2)
    fires = spikes > 0
    per_neuron = np.divide(saved, spikes, out=np.full(len(spikes), np.nan), where=fires)
    value = saved[fires].sum() / spikes.sum() if fires.any() else np.nan
    silent = tuple(int(channel) for channel in np.flatnonzero(~fires & (n_scored > 0)))
    return BitsPerSpike(float(value), per_neuron, silent, int(spikes.sum()))


def nll_per_trial(
    rates: Num[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> Float[np.ndarray, " trial"]:
    """Poisson negative log likelihood of each trial, summed over its scored entries.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts per bin; NaN counts as missing.
        mask: True where an entry is scored; everything when None.

    Returns:
        Nats, shape (trial,).

    Raises:
        ValueError: As `bits_per_spike`.

    Example:
        >>> nll_per_trial(np.ones((3, 4, 2)), np.zeros((3, 4, 2))).tolist()
        [8.0, 8.0, 8.0]
    """
    return _masked_nll(rates, counts, _scored(rates, counts, mask)).sum((1, 2))


def bootstrap_interval(
    difference: Float[np.ndarray, " trial"],
    spikes: Num[np.ndarray, " trial"],
    *,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Paired difference of two models in bits per spike, with its bootstrap interval over trials.

    `sum(NLL_b - NLL_a) / (sum(spikes) * ln 2)`, positive where model a is better. Trials are resampled with
    replacement and both sums are formed anew; quantiles of the resampled figures are the ends.

    Args:
        difference: `NLL_b - NLL_a` of each trial in nats, from `nll_per_trial`, shape (trial,).
        spikes: Scored spikes of each trial, shape (trial,).
        n: Number of resamples.
        seed: Seed of the resampling.
        level: Probability that the interval covers.

    Raises:
        ValueError: The lengths differ, or there are fewer than 2 trials.

    Example:
        >>> bootstrap_interval(np.log(2) * np.array([1.0, 3.0]), np.array([2, 2]))
        Interval(value=1.0, low=0.5, high=1.5)
    """
    n_trials = len(difference)
    if len(spikes) != n_trials or n_trials < 2:
        raise ValueError(
            f"difference has {n_trials} trials and spikes {len(spikes)}, but a paired bootstrap needs "
            "the same 2 or more trials in both. Pass one number per trial in each."
        )
    rng = np.random.default_rng(seed)
    draws = np.full(n, np.nan)
    for i in range(n):
        chosen = rng.integers(n_trials, size=n_trials)
        draws[i] = _ratio(difference[chosen].sum(), np.log(2) * spikes[chosen].sum())
    value = _ratio(difference.sum(), np.log(2) * spikes.sum())
    # Resamples without a single spike have no value; they occur only in tiny data sets.
    known = draws[~np.isnan(draws)]
    ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if known.size else (np.nan, np.nan)
    return Interval(value, float(ends[0]), float(ends[1]))


# R2 against truth


def r2_pooled(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> float:
    """Share of the truth's variance that an estimate explains, without any refit.

    `1 - SSE / SST`, both sums over all channels, trials and bins; SST is taken around each channel's mean, so
    knowing only the mean of every channel gives 0.

    Args:
        estimate: In the unit of `truth`.
        truth: True values, of the same shape; NaN counts as missing.
        mask: True where an entry is scored; everything when None.

    Returns:
        R2, at most 1; NaN when the truth is constant.

    Raises:
        ValueError: The shapes differ, or a scored estimate is NaN or infinite.

    Example:
        >>> truth = np.array([[[0.0], [2.0]]])
        >>> r2_pooled(truth + 0.5, truth)
        0.75
    """
    scored = _scored(estimate, truth, mask)
    mean = _masked_sum(truth, scored, (0, 1)) / np.maximum(scored.sum((0, 1)), 1)
    error = _masked_sum((estimate - truth) ** 2, scored, None)
    return 1 - _ratio(error, _masked_sum((truth - mean) ** 2, scored, None))


def r2_per_trial(
    estimate: Num[np.ndarray, "trial time channel"],
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> float:
    """Squared Pearson correlation over time for each trial and channel, averaged.

    The figure of the LFADS tutorial. It is blind to slope, sign and offset in every single trial, and high by
    chance for short slow signals: see `r2_floors`. Pairs with constant truth are left out; a constant
    estimate counts 0.

    Args:
        estimate: In any unit.
        truth: True values, of the same shape; NaN counts as missing.
        mask: True where an entry is scored; everything when None.

    Returns:
        Mean over trials and channels, 0 to 1; NaN when every pair is constant.

    Raises:
        ValueError: The shapes differ, or a scored estimate is NaN or infinite.

    Example:
        >>> truth = np.linspace(0, 1, 5).reshape(1, 5, 1)
        >>> round(r2_per_trial(3 - 2 * truth, truth), 6)
        1.0
    """
    scored = _scored(estimate, truth, mask)
    estimate, estimate_power = _centred(estimate, scored)
    truth, truth_power = _centred(truth, scored)
    product = (estimate * truth).sum(1)
    r2 = np.divide(
        product**2,
        estimate_power * truth_power,
        out=np.zeros_like(product),
        where=(estimate_power > 0) & (truth_power > 0),
    )
    varies = truth_power > 0
    return float(r2[varies].mean()) if varies.any() else np.nan


def r2_floors(
    truth: Num[np.ndarray, "trial time channel"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
    *,
    n_shuffles: int = 5,
    seed: int = 0,
) -> R2Floors:
    """What `r2_per_trial` gives to estimates that know nothing about the single trial.

    Args:
        truth: True values.
        mask: True where an entry is scored; everything when None.
        n_shuffles: Number of shuffles that are averaged; in each, every trial gets another trial's truth.
        seed: Seed of the shuffles.

    Raises:
        ValueError: There are fewer than 2 trials.

    Example:
        >>> walks = np.random.default_rng(0).normal(size=(2000, 25, 1)).cumsum(1)
        >>> round(r2_floors(walks).shuffled, 2)  # independent random walks
        0.24
    """
    if len(truth) < 2:
        raise ValueError(f"truth has {len(truth)} trial, but shuffling needs at least 2. Pass all trials of a split.")
    scored = _scored(np.zeros(truth.shape), truth, mask)
    ramp = np.broadcast_to(np.arange(truth.shape[1])[:, None], truth.shape)
    rng = np.random.default_rng(seed)
    shuffled = []
    for _ in range(n_shuffles):
        partner = _other_trial(len(truth), rng)
        shuffled.append(r2_per_trial(truth[partner], truth, scored & scored[partner]))
    return R2Floors(float(np.mean(shuffled)), r2_per_trial(ramp, truth, scored))


# Condition averages


def gaussian_kernel(n_bins: int, width: float) -> Float[np.ndarray, "time time"]:
    """Weights `exp(-(t - s)^2 / (2 width^2))` between all pairs of bins; 1 on the diagonal.

    Args:
        n_bins: Number of bins.
        width: Standard deviation in bins; 0 gives the identity.

    Raises:
        ValueError: The width is negative.

    Example:
        >>> gaussian_kernel(3, 1.0)[0].round(3).tolist()
        [1.0, 0.607, 0.135]
    """
    if width < 0:
        raise ValueError(f"The width of the kernel is {width:g} bins. Give 0 (no smoothing) or a positive number.")
    if width == 0:
        return np.eye(n_bins)
    distance = np.arange(n_bins)[:, None] - np.arange(n_bins)
    return np.exp(-0.5 * (distance / width) ** 2)


def smooth(values: Num[np.ndarray, "*rest time channel"], width: float) -> Float[np.ndarray, "*rest time channel"]:
    """Weighted mean over neighbouring bins, Gaussian in time; NaN is left out and stays NaN.

    Args:
        values: Anything per bin; the weights are renormalised at the ends and beside NaN.
        width: Standard deviation of the kernel in bins.

    Raises:
        ValueError: The width is negative.

    Example:
        >>> smooth(np.array([[0.0], [1.0], [np.nan]]), 1.0).round(3).tolist()
        [[0.378], [0.622], [nan]]
    """
    kernel = gaussian_kernel(values.shape[-2], width)
    known = ~np.isnan(values)
    total = kernel @ np.where(known, values, 0.0)
    return np.divide(total, kernel @ known, out=np.full(values.shape, np.nan), where=known)


def psth(
    values: Num[np.ndarray, "trial time channel"],
    condition: Shaped[np.ndarray, " trial"],
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> tuple[Shaped[np.ndarray, " condition"], Float[np.ndarray, "condition time channel"]]:
    """Mean over the trials of each condition (peri-stimulus time histogram).

    Args:
        values: Counts or rates per bin; NaN counts as missing.
        condition: Label of each trial.
        mask: True where an entry is used; everything when None.

    Returns:
        The labels in ascending order, and the means in the unit of `values`, NaN where no trial has data.

    Raises:
        ValueError: `condition` does not have one label per trial.

    Example:
        >>> labels, means = psth(np.array([[[1.0]], [[3.0]], [[5.0]]]), np.array([0, 0, 1]))
        >>> means.ravel().tolist()
        [2.0, 5.0]
    """
    _check_labels(condition, values)
    used = ~np.isnan(values) if mask is None else mask & ~np.isnan(values)
    labels = np.unique(condition)
    means = np.full((len(labels), *values.shape[1:]), np.nan)
    for mean, label in zip(means, labels, strict=True):
        of_label = condition == label
        entries = used[of_label].sum(0)
        np.divide(_masked_sum(values[of_label], used[of_label], 0), entries, out=mean, where=entries > 0)
    return labels, means


def psth_r2(
    rates: Num[np.ndarray, "trial time channel"],
    counts: Num[np.ndarray, "trial time channel"],
    condition: Shaped[np.ndarray, " trial"],
    *,
    kernel_bins: float,
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
) -> PsthR2:
    """R2 of condition-averaged rates against the smoothed PSTH of the counts (Neural Latents Benchmark).

    All conditions and bins of a neuron are stacked: `1 - SSE / SST` over conditions and bins. The mean over
    neurons gives each the same weight; neurons whose PSTH is constant are left out.

    Args:
        rates: Expected counts per bin; only averaged, not smoothed.
        counts: Spike counts per bin; NaN counts as missing.
        condition: Label of each trial.
        kernel_bins: Standard deviation in bins of the Gaussian that smooths the PSTH of the counts.
        mask: True where an entry is scored; everything when None.

    Raises:
        ValueError: Shapes differ, a scored rate is NaN or infinite, or labels are missing.

    Example:
        >>> counts = np.tile(np.array([[0], [4], [2]]), (5, 1, 1))
        >>> psth_r2(np.full((5, 3, 1), 2.0), counts, np.zeros(5), kernel_bins=0).value
        0.0
    """
    scored = _scored(rates, counts, mask)
    _, of_rates = psth(rates, condition, scored)
    _, of_counts = psth(counts, condition, scored)
    per_neuron = _r2_by_channel(of_rates, smooth(of_counts, kernel_bins))
    return PsthR2(_mean_known(per_neuron), per_neuron)


def psth_ceiling(
    counts: Num[np.ndarray, "trial time channel"],
    condition: Shaped[np.ndarray, " trial"],
    *,
    kernel_bins: float,
    mask: Bool[np.ndarray, "#trial #time #channel"] | None = None,
    n_splits: int = 10,
    seed: int = 0,
) -> PsthCeiling:
    """What noise leaves of PSTH R2: the figure of a model that knows the true PSTH, from halves of the data.

    The trials of each condition are halved at random. With smoothed PSTHs A and B of the halves and C of all
    trials, C has the noise variance `mean((A - B)^2) / 4`, so that the true PSTH attains about
    `1 - mean((A - B)^2) / 4 / var(C)`. Rates inferred from the scored spikes themselves can exceed that.

    Args:
        counts: Spike counts per bin; NaN counts as missing.
        condition: Label of each trial; conditions with a single trial are left out.
        kernel_bins: Standard deviation in bins of the Gaussian that smooths the PSTHs.
        mask: True where an entry is scored; everything when None.
        n_splits: Number of random splits that are averaged.
        seed: Seed of the splits.

    Returns:
        NaN where no condition has two trials or the PSTH is constant.

    Raises:
        ValueError: `condition` does not have one label per trial.

    Example:
        >>> counts = np.tile(np.array([[0], [4], [2]]), (6, 1, 1))
        >>> psth_ceiling(counts, np.zeros(6), kernel_bins=0).value
        1.0
    """
    _check_labels(condition, counts)
    used = np.broadcast_to(True if mask is None else mask, counts.shape)

    def smoothed(trials: np.ndarray) -> np.ndarray:
        return smooth(psth(counts[trials], condition[trials], used[trials])[1], kernel_bins)

    rng = np.random.default_rng(seed)
    halves, ceilings = np.full((2, n_splits, counts.shape[2]), np.nan)
    for i in range(n_splits):
        first, second = _halves(condition, rng)
        one, other, both = smoothed(first), smoothed(second), smoothed(np.concatenate([first, second]))
        halves[i] = _r2_by_channel(one, other)
        # Adding half the difference of the halves to C adds the noise that C has itself.
        ceilings[i] = _r2_by_channel(both + (one - other) / 2, both)
    per_neuron = np.array([_mean_known(of_neuron) for of_neuron in ceilings.T])
    return PsthCeiling(_mean_known(per_neuron), per_neuron, _mean_known(halves))


# Behaviour


def velocity_decoding(
    train_rates: Float[np.ndarray, "train_trial train_time channel"],
    train_behaviour: Float[np.ndarray, "train_trial train_time behaviour"],
    rates: Float[np.ndarray, "trial time channel"],
    behaviour: Float[np.ndarray, "trial time behaviour"],
    *,
    lag_bins: int = 0,
    train_length: Int[np.ndarray, " train_trial"] | None = None,
    length: Int[np.ndarray, " trial"] | None = None,
) -> Decoding:
    """R2 of behaviour decoded from rates by ridge regression, fitted on training trials only.

    Bins of all trials are stacked. The penalty comes from `RIDGE_PENALTIES` by 5-fold cross-validation on the
    training trials (folds of consecutive bins), as nlb_tools does it. Needs scikit-learn (the extra `plot`).

    Args:
        train_rates: Rates or log rates of the training trials.
        train_behaviour: Their behaviour, such as hand velocity; bins with NaN are dropped.
        rates: Rates of the scored trials, in the same form.
        behaviour: Their behaviour; bins with NaN are dropped.
        lag_bins: Behaviour at bin t + lag_bins belongs to rates at bin t; bins that run off the trial drop.
        train_length: Number of bins of each training trial; all when None.
        length: Number of bins of each scored trial; all when None.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: No bins are left, or rates are NaN or infinite there.

    Example:
        >>> rates = np.random.default_rng(0).normal(size=(20, 10, 3))
        >>> round(velocity_decoding(rates, rates[..., :2], rates, rates[..., :2]).r2, 4)
        1.0
    """
    try:
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GridSearchCV
    except ImportError as error:
        raise ImportError(
            'velocity_decoding needs scikit-learn, which is not installed. Run pip install "lfadsx[plot]".'
        ) from error
    trial, time = _decoding_bins(train_rates, train_behaviour, lag_bins, train_length)
    search = GridSearchCV(Ridge(), {"alpha": RIDGE_PENALTIES})
    search.fit(train_rates[trial, time], train_behaviour[trial, time + lag_bins])
    trial, time = _decoding_bins(rates, behaviour, lag_bins, length)
    prediction = np.full(behaviour.shape, np.nan)
    prediction[trial, time + lag_bins] = search.predict(rates[trial, time]).reshape(len(trial), -1)
    r2 = _r2_by_channel(prediction, behaviour)
    return Decoding(float(r2.mean()), r2, float(search.best_params_["alpha"]), prediction)


# Alignment of latent quantities


def align(
    inferred: Float[np.ndarray, "trial time latent"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time latent"], Float[np.ndarray, "train time true"]],
) -> Float[np.ndarray, "trial time true"]:
    """Inferred inputs, factors or states in the coordinates of the truth.

    LFADS finds latent quantities only up to rotation, scale, sign and offset. The linear map with intercept
    that removes these is fitted by least squares on training trials and applied to others.

    Args:
        inferred: Inferred values of the trials to align; NaN stays NaN.
        fit_on: Inferred and true values of the training trials; bins with NaN are left out.

    Returns:
        Shape (trial, time, true), in the unit of the truth.

    Raises:
        ValueError: The two arrays of `fit_on` have different trials or bins, or no bin without NaN.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 1))
        >>> bool(np.allclose(align(3 - 2 * truth, fit_on=(3 - 2 * truth, truth)), truth))
        True
    """
    train, train_truth = fit_on
    if train.shape[:2] != train_truth.shape[:2]:
        raise ValueError(
            f"fit_on has inferred values of shape {train.shape} and truth of shape {train_truth.shape}. "
            "Pass the same training trials and bins in both."
        )
    known = ~np.isnan(train).any(2) & ~np.isnan(train_truth).any(2)
    if not known.any():
        raise ValueError("fit_on has no bin without NaN. Pass training trials with inferred and true values.")
    weights = np.linalg.lstsq(_with_one(train[known]), train_truth[known], rcond=None)[0]
    return _with_one(inferred) @ weights


def inputs_r2_pooled(
    inferred: Float[np.ndarray, "trial time input"],
    truth: Float[np.ndarray, "trial time true_input"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time input"], Float[np.ndarray, "train time true_input"]],
    mask: Bool[np.ndarray, "#trial #time #true_input"] | None = None,
) -> float:
    """`r2_pooled` of inferred inputs after `align`: one linear map for all trials, from training trials.

    With one input this is one slope and one intercept.

    Args:
        inferred: Inferred inputs of the scored trials.
        truth: Their true inputs; NaN counts as missing.
        fit_on: Inferred and true inputs of the training trials.
        mask: True where an entry is scored; everything when None.

    Raises:
        ValueError: As `align` and `r2_pooled`.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 1))
        >>> round(inputs_r2_pooled(-truth, truth, fit_on=(-truth, truth)), 6)
        1.0
    """
    return r2_pooled(align(inferred, fit_on=fit_on), truth, mask)


def inputs_r2(
    inferred: Float[np.ndarray, "trial time input"],
    truth: Float[np.ndarray, "trial time true_input"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time input"], Float[np.ndarray, "train time true_input"]],
    mask: Bool[np.ndarray, "#trial #time #true_input"] | None = None,
) -> float:
    """`r2_per_trial` of inferred inputs after `align`: the tutorial's figure, without its refit per trial.

    Args:
        inferred: Inferred inputs of the scored trials.
        truth: Their true inputs; NaN counts as missing.
        fit_on: Inferred and true inputs of the training trials.
        mask: True where an entry is scored; everything when None.

    Raises:
        ValueError: As `align` and `r2_per_trial`.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 1))
        >>> round(inputs_r2(-truth, truth, fit_on=(-truth, truth)), 6)
        1.0
    """
    return r2_per_trial(align(inferred, fit_on=fit_on), truth, mask)


# Sums that respect the mask


def _scored(estimate: np.ndarray, data: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """True where an entry is scored: inside the mask and not NaN in the data."""
    if estimate.shape != data.shape:
        raise ValueError(
            f"The estimate has shape {estimate.shape} and the data have shape {data.shape}. "
            "Pass the same trials, bins and channels in both."
        )
    scored = ~np.isnan(data) if mask is None else mask & ~np.isnan(data)
    n_bad = np.count_nonzero(scored & ~np.isfinite(estimate))
    if n_bad:
        raise ValueError(
            f"{n_bad} of {np.count_nonzero(scored)} scored estimates are NaN or infinite. "
            "Leave those entries out with mask, or find out where the estimate broke."
        )
    return scored


def _masked_sum(values: np.ndarray, scored: np.ndarray, axis: int | tuple[int, ...] | None) -> Any:
    return np.where(scored, values, 0).sum(axis, dtype=np.float64)


def _masked_nll(rates: np.ndarray, counts: np.ndarray, scored: np.ndarray) -> np.ndarray:
    nll = poisson_nll(np.where(scored, rates, 1.0), np.where(scored, counts, 0))
    return np.where(scored, nll, 0.0)


def _log_factorial(counts: np.ndarray) -> np.ndarray:
    known = np.where(np.isnan(counts), 0, counts)
    whole = known.astype(np.int64)
    wrong = (whole != known) | (whole < 0)
    if wrong.any():
        raise ValueError(
            f"counts holds {known[wrong][0]:g}, but spike counts are whole numbers from 0 up. "
            "Pass counts per bin, and NaN or a mask for missing entries."
        )
    log_of_each = np.log(np.maximum(np.arange(whole.max(initial=0) + 1), 1))
    return np.cumsum(log_of_each)[whole]


def _centred(values: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values minus their mean over the scored bins of each trial, and the sum of squares of that."""
    n_bins = np.maximum(scored.sum(1), 1)
    mean = _masked_sum(values, scored, 1) / n_bins
    centred = np.where(scored, values - mean[:, None], 0.0)
    power = (centred**2).sum(1)
    constant = power <= n_bins * (_CONSTANT * mean) ** 2
    return centred, np.where(constant, 0.0, power)


def _r2_by_channel(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 - SSE / SST of each channel over the two axes before it, where neither array is NaN."""
    scored = ~np.isnan(estimate) & ~np.isnan(target)
    mean = _masked_sum(target, scored, (0, 1)) / np.maximum(scored.sum((0, 1)), 1)
    error = _masked_sum((estimate - target) ** 2, scored, (0, 1))
    total = _masked_sum((target - mean) ** 2, scored, (0, 1))
    constant = total <= scored.sum((0, 1)) * (_CONSTANT * mean) ** 2
    return 1 - np.divide(error, total, out=np.full(len(total), np.nan), where=~constant)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else np.nan


def _mean_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.ones((*values.shape[:-1], 1))], axis=-1)


def _other_trial(n_trials: int, rng: np.random.Generator) -> np.ndarray:
    """For each trial the number of another one, every trial once and never itself."""
    order = rng.permutation(n_trials)
    partner = np.empty(n_trials, dtype=int)
    partner[order] = np.roll(order, 1)
    return partner


def _halves(condition: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Trials of two random halves of every condition that has two trials or more."""
    halves = [], []
    for label in np.unique(condition):
        trials = rng.permutation(np.flatnonzero(condition == label))
        if len(trials) >= 2:
            halves[0].extend(trials[: len(trials) // 2])
            halves[1].extend(trials[len(trials) // 2 :])
    return np.array(halves[0], dtype=int), np.array(halves[1], dtype=int)


def _check_labels(condition: np.ndarray, values: np.ndarray) -> None:
    if len(condition) != len(values):
        raise ValueError(f"condition has {len(condition)} labels for {len(values)} trials. Give every trial one label.")


def _decoding_bins(
    rates: np.ndarray, behaviour: np.ndarray, lag_bins: int, length: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Trial and bin of all rates whose behaviour, `lag_bins` later, is known and inside the trial."""
    if rates.shape[:2] != behaviour.shape[:2]:
        raise ValueError(
            f"rates have shape {rates.shape} and behaviour has shape {behaviour.shape}. "
            "Pass the same trials and bins in both."
        )
    n_trials, n_bins = behaviour.shape[:2]
    ends = np.full((n_trials, 1), n_bins) if length is None else length[:, None]
    time = np.arange(n_bins)
    later = time + lag_bins
    inside = (time < ends) & (later >= 0) & (later < ends)
    trial, time = np.nonzero(inside)
    known = ~np.isnan(behaviour[trial, time + lag_bins]).any(1)
    trial, time = trial[known], time[known]
    if not len(trial):
        raise ValueError(
            f"No bin has rates and, {lag_bins} bins later, known behaviour inside trials of at most "
            f"{ends.max()} bins. Check the lag and the NaN in behaviour."
        )
    if not np.isfinite(rates[trial, time]).all():
        raise ValueError(
            f"rates of shape {rates.shape} hold NaN or infinity inside trials. Pass the length of each "
            "trial, and log rates only of positive rates."
        )
    return trial, time

"""Calibration of the rates' spread: how far inferred rates are from the true ones, measured without knowing these."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.scored_entries import scored_mask
from lfadsx.data.split_names import trials_of
from lfadsx.data.splits import choose
from lfadsx.errors import LfadsxError
from lfadsx.inference.masked import as_targets, hide
from lfadsx.inference.memory import MEMORY
from lfadsx.inference.posterior_inference import infer_trials
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS
from lfadsx.progress import progress_shown, steps
from lfadsx.results.calibration import Calibration
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior

HIDDEN = 0.5
"""Share of the entries that are hidden from the encoders."""
WINDOW = 10
"""Bins over which residuals are summed."""
COPIES = 6
"""Approximate number of copies of the samples at a time."""
TINY = 1e-6
"""Smallest spread over samples, in units of the scale."""
MOST_TRIALS = 1024
"""Most trials on which a spread is measured, so that it takes seconds for any data set."""
MOST_MASKS = 8
"""Most choices of hidden entries of a trial; few trials are measured several times."""
USUAL = 1.0
"""Kappa of a model of which nothing is known, and its standard error. Those measured were 0.1 to 3."""
RESAMPLES = 200
"""Resamples of trials for the standard error."""


def calibrate(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_samples: int = 16,
    seed: int = 0,
    memory: float = MEMORY,
    mesh: Mesh | None = None,
) -> Calibration:
    r"""Measures how much spread the rates of a model lack, from entries that were hidden from its encoders.

    The posterior knows how much a trial's data say about its latents, but not what the generator has not learned, so
    its spread is too small. Half of the entries of the validation trials are hidden. The residual r of a hidden entry
    is the error of its rate plus noise, which is independent between bins. So the products of residuals of different
    bins of a window measure the errors alone:

    .. math::
        \kappa = \frac{\sum_i w_i \left(\sum_{t \ne t'} r_t r_{t'} - \langle d_t d_{t'} \rangle\right)}
        {\sum_i w_i \sum_{t \ne t'} \langle \tilde d_t \tilde d_{t'} \rangle}, \qquad
        \tilde d_t = d_t \sqrt{s / \sigma_t}

    over windows i of 10 bins of each channel of at most 1024 trials, with the deviations d of posterior samples from
    their mean, and weights w, the inverse standard errors of the sums. Of fewer trials, entries are hidden up to 8
    times. The mean rates stay as they are. On simulated data the errors grow with the root of the posterior's spread,
    hence the form of `Calibration`.

    Few trials or spikes measure this ratio badly. So the result is the mean of the ratio and of a usual value, 1 ± 1,
    each weighted by its inverse squared standard error.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.2)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> calibration = lfadsx.calibrate(model, data, n_samples=4)
        >>> post = lfadsx.infer(model, data, n_samples=4, calibration=calibration)
        >>> calibration.kappa >= 0, post.kappa == calibration.kappa
        (True, True)

    Args:
        model: The model.
        data: The data set.
        split: The split to measure on; by default the validation trials, which did not train the model.
        n_samples: Posterior samples per trial.
        seed: Seed of the samples and of the hidden entries.
        memory: Memory to use on each device, in MB.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split, or `n_samples` is below 2.
    """
    if n_samples < 2:
        raise LfadsxError(f"`n_samples` must be at least 2, got {n_samples}: the spread over samples is compared.")
    check_shapes(model, data)
    name, trials = trials_of(data, split or "valid")
    if trials.n_trials > MOST_TRIALS:
        trials = choose(trials, np.sort(np.random.default_rng(seed).permutation(trials.n_trials)[:MOST_TRIALS]))
    scale, labels = _scales(data, trials), Labels.of(data)
    how: dict[str, Any] = dict(samples=True, memory=memory, mesh=mesh)
    sums = np.zeros((2, trials.n_trials))
    for mask, rows in steps(_portions(trials, n_samples, memory), f"spread of the rates ({trials.n_trials} trials)"):
        own = choose(trials, rows)
        hidden = np.random.default_rng([seed, mask]).random(trials.encoder_input.shape)[rows] < HIDDEN
        with progress_shown(False):
            post = infer_trials(model, labels, hide(model, own, hidden, HIDDEN), n_samples, seed + mask, **how)
        values, unseen = own.targets[data.input_group], _unseen(data, own, hidden)
        sums[:, rows] += _sums(post, values, unseen, scale[own.session][:, None])
    kappa, error = _with_usual(*_ratio(sums, seed))
    of_session = {session.name: own for session, own in zip(data.sessions, scale, strict=True)}
    return Calibration(max(kappa, 0.0), error, of_session, name, trials.n_trials)


def _unseen(data: Dataset, trials: Split, hidden: np.ndarray) -> Bool[np.ndarray, "trial time target_channel"]:
    """Returns which entries are scored: hidden ones, and those of held-out channels, within the encoder's bins."""
    scored = scored_mask(trials, data)
    unseen = scored & ~as_targets(data.sessions, trials, ~hidden, scored.shape)
    unseen[:, hidden.shape[1] :] = False  # errors of forward prediction are those of other bins
    return unseen


def _ratio(sums: Float[np.ndarray, "sum trial"], seed: int) -> tuple[float, float]:
    """Returns the ratio of two sums over trials, and its standard error by resampling trials; infinite if unknown."""
    n = sums.shape[1]
    resamples = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    above, below = sums[:, resamples].sum(2)
    if n < 2 or not sums[1].sum() > 0 or not (below > 0).all():
        return 0.0, np.inf
    return float(sums[0].sum() / sums[1].sum()), float((above / below).std())


def _with_usual(ratio: float, error: float) -> tuple[float, float]:
    """Returns the mean of a ratio and of the usual one by their precisions, and its standard error."""
    precision, usual = 1 / max(error, TINY) ** 2, 1 / USUAL**2
    return (precision * ratio + usual * USUAL) / (precision + usual), 1 / np.sqrt(precision + usual)


def _portions(trials: Split, n_samples: int, memory: float) -> list[tuple[int, np.ndarray]]:
    """Returns masks of hidden entries, each with the trials in portions whose samples take a part of the memory."""
    size = COPIES * 4 * n_samples * trials.n_bins * max(target.shape[2] for target in trials.targets.values())
    n = -(-trials.n_trials * size // int(memory * 1e6))
    portions = np.array_split(np.arange(trials.n_trials), min(n, trials.n_trials))
    return [(mask, rows) for mask in range(min(-(-MOST_TRIALS // trials.n_trials), MOST_MASKS)) for rows in portions]


def _scales(data: Dataset, trials: Split) -> Float[np.ndarray, "session target_channel"]:
    """Returns the mean of each channel of counts, or the standard deviation of real numbers; 0 for absent channels."""
    there, values = scored_mask(trials, data), trials.targets[data.input_group]
    measure = np.mean if data.is_counts() else np.std
    found = np.zeros((len(data.sessions), values.shape[2]), np.float32)
    for session, row in enumerate(found):
        own = trials.session == session
        for channel in np.flatnonzero(there[own].any((0, 1))):
            row[channel] = measure(values[own, :, channel][there[own, :, channel]])
    return found


def _sums(
    post: Posterior,
    data: Float[np.ndarray, "trial time channel"],
    unseen: Bool[np.ndarray, "trial time channel"],
    scale: Float[np.ndarray, "trial 1 channel"],
) -> Float[np.ndarray, "sum trial"]:
    """Returns the numerator and the denominator of kappa for each trial."""
    samples, n = post.samples["rates"], post.n_samples
    unseen, unit = unseen & (scale > 0), np.where(scale > 0, scale, 1.0)

    def pairs(values: np.ndarray) -> np.ndarray:
        """Returns the sum of products of different bins of each window, shape (..., trial, window, channel)."""
        values = np.where(unseen, values, 0.0)
        space = -values.shape[-2] % WINDOW
        values = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(0, space), (0, 0)])
        windows = values.reshape(*values.shape[:-2], -1, WINDOW, values.shape[-1])
        return windows.sum(-2) ** 2 - (windows**2).sum(-2)

    mean = samples.mean(0)
    deviations, residuals = (samples - mean) / unit, (data - mean) / unit
    std = np.maximum(deviations.std(0, ddof=1), TINY)
    noise = post.variance.get(post.input_group, mean) / unit**2
    # The deviations from a mean of n samples are too small, and the mean itself errs.
    missing = pairs(residuals) - pairs(deviations).mean(0) * (n + 1) / (n - 1)
    of_kappa = pairs(deviations / np.sqrt(std)).mean(0) * n / (n - 1)
    error = np.sqrt(np.maximum(pairs(noise), 0.0))
    weight = np.divide(1.0, error, out=np.zeros_like(error), where=error > 0)
    return np.stack([(weight * missing).sum((1, 2)), (weight * of_kappa).sum((1, 2))])

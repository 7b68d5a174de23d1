"""Linear maps fitted on training trials: decoding of behaviour, and alignment of latent variables with their truth."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from jaxtyping import Float, Int

from lfadsx.errors import LfadsxError, MissingExtraError
from lfadsx.evaluation.metrics.r2 import r2_by_channel

RIDGE_PENALTIES = np.logspace(-4, 0, 9)
"""Penalties among which `velocity_decoding` chooses by cross-validation."""


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Behaviour decoded from rates by ridge regression.

    Attributes:
        r2: R2 on the scored trials, mean over the dimensions of behaviour.
        r2_per_dimension: R2 of each dimension, shape (behaviour,).
        penalty: Ridge penalty that cross-validation on the training trials chose.
        prediction: Predicted behaviour in the unit and at the time of the behaviour, shape (trial, time, behaviour);
            NaN where nothing is predicted.
    """

    r2: float
    r2_per_dimension: np.ndarray
    penalty: float
    prediction: np.ndarray


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
    """Returns behaviour decoded from rates by ridge regression, fitted on training trials only, with its R2.

    Bins of all trials are stacked. The penalty comes from `RIDGE_PENALTIES` by 5-fold cross-validation on the
    training trials (folds of consecutive bins), as in nlb_tools. Needs scikit-learn (the extra `plot`).

    Args:
        train_rates: Rates or log rates of the training trials.
        train_behaviour: Their behaviour, such as hand velocity; bins with NaN are dropped.
        rates: Rates of the scored trials, in the same form.
        behaviour: Their behaviour; bins with NaN are dropped.
        lag_bins: Behaviour at bin t + lag_bins belongs to rates at bin t; bins outside the trial are dropped.
        train_length: Number of bins of each training trial; by default all.
        length: Number of bins of each scored trial; by default all.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
        LfadsxError: If no bins are left.

    Example:
        >>> rates = np.random.default_rng(0).normal(size=(20, 10, 3))
        >>> round(velocity_decoding(rates, rates[..., :2], rates, rates[..., :2]).r2, 4)
        1.0
    """
    try:
        from scipy.linalg import LinAlgWarning
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GridSearchCV
    except ImportError as error:
        raise MissingExtraError(
            '`velocity_decoding` needs scikit-learn, which is not installed. Run `pip install "lfadsx[plot]"`.'
        ) from error
    trial, time = _decoding_bins(train_rates, train_behaviour, lag_bins, train_length)
    search = GridSearchCV(Ridge(), {"alpha": RIDGE_PENALTIES})
    with warnings.catch_warnings():  # log rates of a few factors are collinear; the penalty takes care of that
        warnings.simplefilter("ignore", LinAlgWarning)
        search.fit(train_rates[trial, time], train_behaviour[trial, time + lag_bins])
    trial, time = _decoding_bins(rates, behaviour, lag_bins, length)
    prediction = np.full(behaviour.shape, np.nan)
    prediction[trial, time + lag_bins] = search.predict(rates[trial, time]).reshape(len(trial), -1)
    r2 = r2_by_channel(prediction, behaviour)
    return Decoding(float(r2.mean()), r2, float(search.best_params_["alpha"]), prediction)


def _decoding_bins(
    rates: np.ndarray, behaviour: np.ndarray, lag_bins: int, length: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns trial and bin of all rates whose behaviour, `lag_bins` later, is known and inside the trial."""
    if rates.shape[:2] != behaviour.shape[:2]:
        raise LfadsxError(
            f"Rates and behaviour must have the same trials and bins, got shapes {rates.shape} and {behaviour.shape}."
        )
    n_trials, n_bins = behaviour.shape[:2]
    ends = np.full((n_trials, 1), n_bins) if length is None else length[:, None]
    time = np.arange(n_bins)
    later = time + lag_bins
    trial, time = np.nonzero((time < ends) & (later >= 0) & (later < ends))
    known = ~np.isnan(behaviour[trial, time + lag_bins]).any(1)
    trial, time = trial[known], time[known]
    if not len(trial):
        raise LfadsxError(
            f"Decoding needs bins whose behaviour, {lag_bins} bins later, is known and inside the trial. Trials of at "
            f"most {ends.max()} bins have none. Check the lag and the NaN in behaviour."
        )
    if not np.isfinite(rates[trial, time]).all():
        raise LfadsxError(
            f"Rates must be finite inside trials, but those of shape {rates.shape} hold NaN or infinity. Pass the "
            "length of each trial, and log rates only of positive rates."
        )
    return trial, time


def align(
    inferred: Float[np.ndarray, "trial time latent"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time latent"], Float[np.ndarray, "train time true"]],
) -> Float[np.ndarray, "trial time true"]:
    """Returns inferred inputs, factors or states in the coordinates of the truth.

    LFADS finds latent variables only up to rotation, scale, sign and offset. The linear map with intercept
    that removes these is fitted by least squares on training trials and applied to others.

    Args:
        inferred: Inferred values of the trials to align; NaN stays NaN.
        fit_on: Inferred and true values of the training trials; bins with NaN are left out.

    Returns:
        Shape (trial, time, true), in the unit of the truth.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 1))
        >>> bool(np.allclose(align(3 - 2 * truth, fit_on=(3 - 2 * truth, truth)), truth))
        True
    """
    train, train_truth = fit_on
    if train.shape[:2] != train_truth.shape[:2]:
        raise LfadsxError(
            "`fit_on` must have inferred and true values of the same training trials and bins, got shapes "
            f"{train.shape} and {train_truth.shape}."
        )
    known = ~np.isnan(train).any(2) & ~np.isnan(train_truth).any(2)
    if not known.any():
        raise LfadsxError("`fit_on` must have inferred and true values in one bin at least, but every bin holds NaN.")
    weights = np.linalg.lstsq(_with_one(train[known]), train_truth[known], rcond=None)[0]
    return _with_one(inferred) @ weights


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.ones((*values.shape[:-1], 1))], axis=-1)

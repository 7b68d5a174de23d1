"""Behaviour decoded from rates."""

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
        MissingExtraError: scikit-learn is not installed.
        LfadsxError: No bins are left, or rates are NaN or infinite there.

    Example:
        >>> rates = np.random.default_rng(0).normal(size=(20, 10, 3))
        >>> round(velocity_decoding(rates, rates[..., :2], rates, rates[..., :2]).r2, 4)
        1.0
    """
    try:
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GridSearchCV
    except ImportError as error:
        raise MissingExtraError(
            'velocity_decoding needs scikit-learn, which is not installed. Run pip install "lfadsx[plot]".'
        ) from error
    trial, time = _decoding_bins(train_rates, train_behaviour, lag_bins, train_length)
    search = GridSearchCV(Ridge(), {"alpha": RIDGE_PENALTIES})
    with warnings.catch_warnings():  # log rates of a few factors are collinear; the penalty is there for that
        warnings.filterwarnings("ignore", message="Ill-conditioned matrix")
        search.fit(train_rates[trial, time], train_behaviour[trial, time + lag_bins])
    trial, time = _decoding_bins(rates, behaviour, lag_bins, length)
    prediction = np.full(behaviour.shape, np.nan)
    prediction[trial, time + lag_bins] = search.predict(rates[trial, time]).reshape(len(trial), -1)
    r2 = r2_by_channel(prediction, behaviour)
    return Decoding(float(r2.mean()), r2, float(search.best_params_["alpha"]), prediction)


def _decoding_bins(
    rates: np.ndarray, behaviour: np.ndarray, lag_bins: int, length: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Trial and bin of all rates whose behaviour, `lag_bins` later, is known and inside the trial."""
    if rates.shape[:2] != behaviour.shape[:2]:
        raise LfadsxError(
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
        raise LfadsxError(
            f"No bin has rates and, {lag_bins} bins later, known behaviour inside trials of at most "
            f"{ends.max()} bins. Check the lag and the NaN in behaviour."
        )
    if not np.isfinite(rates[trial, time]).all():
        raise LfadsxError(
            f"rates of shape {rates.shape} hold NaN or infinity inside trials. Pass the length of each "
            "trial, and log rates only of positive rates."
        )
    return trial, time

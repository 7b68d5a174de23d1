"""Peak times of an inferred input against the times of true pulses."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Num

from lfadsx import LfadsxError


@dataclasses.dataclass(frozen=True)
class PeakErrors:
    """Errors of the peak times of an inferred input.

    Attributes:
        times: Bin of each trial's inferred peak, corrected for the lag, shape (trial,).
        errors: `times` minus the bin of the true peak, shape (trial,); NaN for trials without a true input.
        share: Share of the trials whose error is at most `tolerance`.
        chance: That share if every peak is compared with the true peaks of all other trials.
        lag: Bins by which inferred peaks come late, chosen on training trials.
        sign: 1 if the inferred input peaks upwards, -1 if downwards, chosen on training trials.
        tolerance: Largest error in bins that counts as found.
    """

    times: np.ndarray
    errors: np.ndarray
    share: float
    chance: float
    lag: int
    sign: int
    tolerance: int


def peak_errors(
    inferred: Float[np.ndarray, "trial time"],
    truth: Num[np.ndarray, "trial time"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time"], Num[np.ndarray, "train time"]],
    tolerance: int = 2,
    max_lag: int = 10,
) -> PeakErrors:
    """Returns the errors of an inferred input's peak times relative to the true pulses, in bins.

    The mean over training trials is subtracted from the inferred input first, because features that all trials share,
    such as a transient at the start, carry no information about single trials. The sign of an inferred input is
    arbitrary and the generator may react late. Sign and one common lag are those that find most pulses of training
    trials.

    Args:
        inferred: One inferred input of the scored trials; NaN is left out.
        truth: Their true input, of the same shape; its peak is where it is largest in size.
        fit_on: Inferred and true input of the training trials.
        tolerance: Largest error in bins that counts as found.
        max_lag: Largest lag in bins, of either sign.

    Raises:
        LfadsxError: If inferred and true inputs differ in shape, or no training trial has a true input.

    Example:
        >>> truth = np.eye(8)[[2, 5, 3]]
        >>> found = peak_errors(-np.roll(truth, 1, axis=1), truth, fit_on=(-np.roll(truth, 1, axis=1), truth))
        >>> found.errors.tolist(), found.lag, found.sign
        ([0.0, 0.0, 0.0], 1, -1)
    """
    train, train_truth = fit_on
    for one, other in ((inferred, truth), (train, train_truth)):
        if one.shape != other.shape or one.ndim != 2:
            raise LfadsxError(
                f"Inferred and true input must have the same shape (trial, time), got {one.shape} and {other.shape}."
            )
    train_times = _true_times(train_truth)
    if np.isnan(train_times).all():
        raise LfadsxError("`fit_on` must have a training trial whose true input is not 0, but all are 0.")
    known = ~np.isnan(train)
    mean = np.where(known, train, 0).sum(0) / np.maximum(known.sum(0), 1)
    # If several lags find equally many pulses, the lag with the smallest error is chosen.
    choices = [(sign, lag) for sign in (1, -1) for lag in range(-max_lag, max_lag + 1)]
    misses = {sign: _peaks(train - mean, sign) - train_times for sign in (1, -1)}

    def merit(choice: tuple[int, int]) -> tuple[float, float]:
        miss = np.abs(misses[choice[0]] - choice[1])
        return _share(miss, tolerance), -float(np.nanmean(np.minimum(miss, tolerance + 1)))

    sign, lag = max(choices, key=merit)
    times, true_times = _peaks(inferred - mean, sign) - lag, _true_times(truth)
    pairs = np.abs(times[:, None] - true_times)
    np.fill_diagonal(pairs, np.nan)
    errors = times - true_times
    return PeakErrors(times, errors, _share(np.abs(errors), tolerance), _share(pairs, tolerance), lag, sign, tolerance)


def _peaks(values: np.ndarray, sign: int) -> np.ndarray:
    return np.where(np.isnan(values), -np.inf, sign * values).argmax(1).astype(float)


def _true_times(truth: np.ndarray) -> np.ndarray:
    """Bin of the largest true input of each trial, NaN for trials without input."""
    size = np.nan_to_num(np.abs(truth))
    return np.where(size.any(1), size.argmax(1).astype(float), np.nan)


def _share(miss: np.ndarray, tolerance: int) -> float:
    known = miss[~np.isnan(miss)]
    return float((known <= tolerance).mean()) if known.size else np.nan

"""Alignment of latent quantities with their truth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfadsx.errors import LfadsxError


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
        LfadsxError: The two arrays of `fit_on` have different trials or bins, or no bin without NaN.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 1))
        >>> bool(np.allclose(align(3 - 2 * truth, fit_on=(3 - 2 * truth, truth)), truth))
        True
    """
    train, train_truth = fit_on
    if train.shape[:2] != train_truth.shape[:2]:
        raise LfadsxError(
            f"fit_on has inferred values of shape {train.shape} and truth of shape {train_truth.shape}. "
            "Pass the same training trials and bins in both."
        )
    known = ~np.isnan(train).any(2) & ~np.isnan(train_truth).any(2)
    if not known.any():
        raise LfadsxError("fit_on has no bin without NaN. Pass training trials with inferred and true values.")
    weights = np.linalg.lstsq(_with_one(train[known]), train_truth[known], rcond=None)[0]
    return _with_one(inferred) @ weights


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.ones((*values.shape[:-1], 1))], axis=-1)

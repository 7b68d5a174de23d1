"""R2 of latent states, one figure for each dimension."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.metrics.linear_alignment import align
from lfadsx.evaluation.metrics.r2 import r2_by_channel


def latent_r2(
    inferred: Float[np.ndarray, "trial time latent"],
    truth: Num[np.ndarray, "trial time true"],
    *,
    fit_on: tuple[Float[np.ndarray, "train time latent"], Num[np.ndarray, "train time true"]],
) -> Float[np.ndarray, " true"]:
    """How much of each true state a linear map of the factors explains.

    `1 - SSE / SST` over trials and bins after `align`: one linear map with intercept, fitted on training trials.
    With the arguments exchanged it tells how much of each factor the true states explain, which is low for
    factors that the model has invented.

    Args:
        inferred: Factors of the scored trials; NaN counts as missing.
        truth: Their true states; NaN counts as missing.
        fit_on: Factors and true states of the training trials.

    Returns:
        R2 of each true state, shape (true,), at most 1; NaN for one that is constant.

    Raises:
        LfadsxError: As `align`, or if `inferred` and `truth` have other trials or bins.

    Example:
        >>> truth = np.random.default_rng(0).normal(size=(8, 5, 3))
        >>> factors = truth[:, :, :2] @ np.array([[1.0, 2.0], [0.0, 1.0]])  # the third state is not in them
        >>> r2 = latent_r2(factors, truth, fit_on=(factors, truth))
        >>> bool(np.allclose(r2[:2], 1)), bool(r2[2] < 0.2)
        (True, True)
    """
    if inferred.shape[:2] != truth.shape[:2]:
        raise LfadsxError(
            f"The inferred states have shape {inferred.shape} and the true ones {truth.shape}. "
            "Pass the same trials and bins in both."
        )
    return r2_by_channel(align(inferred, fit_on=fit_on), truth)

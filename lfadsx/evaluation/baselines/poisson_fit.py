"""Poisson regressions of many channels on the same features, fitted at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Num
from scipy.optimize import minimize

TOLERANCE = 1e-7
"""The search ends when a step lowers the loss by less than this share of it."""

MOST_STEPS = 200
"""Most steps of the search; it takes 5 to 50."""

MEMORY = 5
"""Steps that the search remembers. In these coordinates more would cost time and save few steps."""

HIGHEST_LOG_RATE = 30.0
"""Log rates above this are taken as this much, so that no step of the search ends at infinity."""


class PoissonFit:
    """Minimises, for each channel, `mean(rate - count * log rate) + penalty / 2 * |w|^2` with log rate = a + w . x.

    All channels share one L-BFGS search. Its coordinates are scaled by the curvature that the loss would have if each
    channel fired at its mean rate. With the eigenvectors V and eigenvalues l of the features' covariance this curvature
    is `mean rate * l + penalty` along each column of V, so that the search sees nearly the unit sphere and is short.

    Args:
        features: Shape (entry, feature).
        counts: Spike counts, shape (entry, channel); every channel fires.
        scored: True where a count exists, of the same shape.
        offset: Log rates that the regression adds to, of the same shape; by default 0.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "entry feature"],
        counts: Num[np.ndarray, "entry channel"],
        scored: Bool[np.ndarray, "entry channel"],
        offset: Float[np.ndarray, "entry channel"] | float = 0.0,
    ):
        self._centre = features.mean(0)
        centred = features - self._centre
        spread, self._basis = np.linalg.eigh(centred.T @ centred / len(features))
        self._mean_rate = np.where(scored, counts, 0).sum(0) / scored.sum(0)
        self._spread = np.maximum(spread, 1e-12)[:, None]
        share = scored / scored.sum(0)
        self._data = [
            jnp.asarray(of, jnp.float32) for of in (centred @ self._basis, np.where(scored, counts, 0), share, offset)
        ]
        # The last row holds the log rate at the mean of the features.
        self._weights = np.zeros((features.shape[1] + 1, counts.shape[1]))
        self._weights[-1] = np.log(self._mean_rate / (share * np.exp(offset)).sum(0))

    def fit(self, penalty: float) -> tuple[Float[np.ndarray, "feature channel"], Float[np.ndarray, " channel"]]:
        """Returns weights w and intercepts a; the search starts from the result of the last call."""
        curvature = np.concatenate([self._mean_rate * self._spread + penalty, self._mean_rate[None]])
        unit, shape = 1 / np.sqrt(curvature), self._weights.shape
        penalised = np.full((shape[0], 1), penalty)
        penalised[-1] = 0.0

        def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
            weights = scaled.reshape(shape) * unit
            nll, gradient = map(np.asarray, _loss(jnp.asarray(weights, jnp.float32), *self._data))
            gradient = gradient.astype(float) + penalised * weights
            return float(nll.sum(dtype=float) + (penalised * weights**2).sum() / 2), (gradient * unit).ravel()

        options = dict(maxiter=MOST_STEPS, maxcor=MEMORY, ftol=TOLERANCE, gtol=1e-7)
        found = minimize(loss, (self._weights / unit).ravel(), jac=True, method="L-BFGS-B", options=options)
        self._weights = found.x.reshape(shape) * unit
        weights = self._basis @ self._weights[:-1]
        return weights, self._weights[-1] - self._centre @ weights


@jax.jit
def _loss(weights: Array, features: Array, counts: Array, share: Array, offset: Array) -> tuple[Array, Array]:
    """Returns the loss of each entry, summed over channels, and the gradient of the whole loss."""
    dot = lambda a, b: jnp.dot(a, b, precision=Precision.HIGHEST)  # noqa: E731
    log_rate = jnp.minimum(dot(features, weights[:-1]) + weights[-1] + offset, HIGHEST_LOG_RATE)
    rate = jnp.exp(log_rate)
    error = (rate - counts) * share
    gradient = jnp.concatenate([dot(features.T, error), error.sum(0, keepdims=True)])
    return ((rate - counts * log_rate) * share).sum(1), gradient

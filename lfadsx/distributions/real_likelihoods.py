"""Likelihoods of real-valued data."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from lfadsx.distributions.likelihood import AbstractLikelihood, Sums, mean_and_std, soft_clip
from lfadsx.distributions.prior import DiagonalGaussian
from lfadsx.errors import LfadsxError


class Gaussian(AbstractLikelihood):
    r"""Real-valued data; the parameters are mean m and log variance l.

    .. math:: \log p(x) = -\tfrac12 ((x - m)^2 / v + \log v + \log 2\pi), \quad v = e^l + v_{min}

    Log variances are the identity on [-40, 40] (`soft_clip`), wide enough for data in volts and in digits.

    Variances follow the factors, as means do. Where a channel rests, its variance falls towards the smallest one, and
    the gradient of these bins drowns all others: use `GaussianByChannel` for such data.

    Args:
        variance_min: Added to the variance, in squared units of the data.
    """

    support = "real"

    def __init__(self, variance_min: float = 1e-6) -> None:
        self.n_params, self.safe_value = 2, 0.0
        self.variance_min = variance_min

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance in squared units of the data."""
        return jnp.exp(soft_clip(params[..., 1], -40.0, 40.0)) + self.variance_min

    def log_prob(self, params: Float[Array, "*entries 2"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log N(data; m, v) in nats."""
        return self._distribution(params).log_prob(data.astype(params.dtype))

    def mean(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the mean m in the unit of the data."""
        return params[..., 0]

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 2"]) -> Num[Array, "*entries"]:
        """Draws values."""
        return self._distribution(params).sample(jax.random.normal(key, params.shape[:-1], params.dtype))

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns each channel's mean and log variance over the training data."""
        mean, std = mean_and_std(total, total_squared, n)
        return jnp.asarray(np.stack([mean, 2.0 * np.log(std)], axis=-1))

    def units(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns each channel's standard deviation as the unit of the mean; the log variance has unit 1."""
        _, std = mean_and_std(total, total_squared, n)
        return jnp.asarray(np.stack([std, np.ones_like(std)], axis=-1))

    def _distribution(self, params: Float[Array, "*entries 2"]) -> DiagonalGaussian:
        return DiagonalGaussian(params[..., 0], self.variance(params))


class GaussianByChannel(Gaussian):
    """Real-valued data with one trained variance for each channel, the same in all bins and trials; else `Gaussian`.

    So channels may rest, and every channel weighs by its own noise, whatever its unit.
    """

    n_constant = 1


class SquaredErrorByChannel(GaussianByChannel):
    """Real-valued data with one fixed variance for each channel, that of its training data; else `GaussianByChannel`.

    So the loss is the squared error of each channel in units of its own variance. A trained variance falls as the
    predictions improve, and gives such data ever more weight beside spikes; a fixed one does not.
    The variance is kept in the bias of the read-out: `weight_decay` above 0 still moves it.
    """

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance in squared units of the data; no gradient of the loss reaches it."""
        return super().variance(jax.lax.stop_gradient(params))


class SquaredError(AbstractLikelihood):
    r"""Real-valued data with one fixed variance; the one parameter is the mean m.

    .. math:: \log p(x) = -\tfrac12 ((x - m)^2 / v + \log 2\pi v)

    So the loss is the squared error up to a factor and a constant; v = 1/2 gives the factor 1. Errors of all channels
    are compared in the unit of the data, so channels of large variance matter most.

    Args:
        noise_variance: The variance v in squared units of the data. The builders give the mean variance of the
            channels.

    Raises:
        LfadsxError: If `noise_variance` is not above 0.
    """

    support = "real"

    def __init__(self, noise_variance: float = 0.5) -> None:
        if not noise_variance > 0:
            raise LfadsxError(f"`noise_variance` of SquaredError must be above 0, got {noise_variance}.")
        self.n_params, self.safe_value = 1, 0.0
        self.noise_variance = noise_variance

    def log_prob(self, params: Float[Array, "*entries 1"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log N(data; m, v) in nats."""
        error = (data.astype(params.dtype) - params[..., 0]) ** 2 / self.noise_variance
        return -0.5 * (error + math.log(2.0 * math.pi * self.noise_variance))

    def mean(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the mean m in the unit of the data."""
        return params[..., 0]

    def variance(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the fixed variance v in squared units of the data."""
        return jnp.full_like(params[..., 0], self.noise_variance)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 1"]) -> Num[Array, "*entries"]:
        """Draws values."""
        noise = jax.random.normal(key, params.shape[:-1], params.dtype)
        return params[..., 0] + math.sqrt(self.noise_variance) * noise

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 1"]:
        """Returns each channel's mean over the training data."""
        return jnp.asarray(mean_and_std(total, total_squared, n)[0])[:, None]

    def units(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 1"]:
        """Returns each channel's standard deviation as the unit of the mean."""
        return jnp.asarray(mean_and_std(total, total_squared, n)[1])[:, None]

"""Likelihoods: the distribution of data around the prediction of the factors."""

from __future__ import annotations

import abc
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Key, Num

from lfadsx.distributions.prior import DiagonalGaussian

Sums = Float[ArrayLike, " channel"]


def soft_clip(x: Float[Array, "..."], low: float = -15.0, high: float = 8.0) -> Float[Array, "..."]:
    """Returns x within [low, high], continued logarithmically outside.

    It is applied to log rates in the loss and in the outputs. So `exp` cannot overflow, and the gradient never
    vanishes: an extreme rate can return.

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.distributions import soft_clip
        >>> soft_clip(jnp.array([-3.0, 2.5])).tolist()
        [-3.0, 2.5]
    """
    # Not log1p, which takes 1.5 times as long: its extra digits are lost in the sum.
    beyond = jnp.log(1.0 + jnp.maximum(jnp.maximum(x - high, low - x), 0.0))
    return jnp.where(x > high, high + beyond, jnp.where(x < low, low - beyond, x))


def exp_soft_clip(x: Float[Array, "..."], low: float = -15.0, high: float = 8.0) -> Float[Array, "..."]:
    """Returns exp(soft_clip(x)) without a logarithm: e^high (1 + x - high) above, e^low / (1 + low - x) below.

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.distributions import exp_soft_clip
        >>> exp_soft_clip(jnp.array([0.0, -17.0])) * jnp.array([1.0, jnp.exp(15.0)])
        Array([1.        , 0.33333334], dtype=float32)
    """
    above, below = jnp.maximum(x - high, 0.0), jnp.maximum(low - x, 0.0)
    return jnp.exp(jnp.clip(x, low, high)) * (1.0 + above) / (1.0 + below)


class AbstractLikelihood(nnx.Module):
    """The interface of a likelihood, entry by entry.

    To write a likelihood, set `n_params` and `safe_value` and write the methods below. The loss, the masks (missing
    bins, padding, coordinated dropout), inference and the start of the read-out then work with it. The builders call
    the class with `rngs`, if its constructor has this argument.

    Attributes:
        n_params: Number of parameters per channel and bin that the read-out provides.
        safe_value: A value of the support that replaces missing data, so that masked entries are finite.
        support: Kind of data: "counts", "real" values, or "any". Data of the other kind are refused.
    """

    n_params: int
    safe_value: float
    support: Literal["counts", "real", "any"] = "any"

    @abc.abstractmethod
    def log_prob(
        self, params: Float[Array, "*entries n_params"], data: Num[Array, "*entries"]
    ) -> Float[Array, "*entries"]:
        """Returns the log likelihood of every entry in nats."""

    @abc.abstractmethod
    def mean(self, params: Float[Array, "*entries n_params"]) -> Float[Array, "*entries"]:
        """Returns the expected data of every entry, in the unit of the data."""

    def variance(self, params: Float[Array, "*entries n_params"]) -> Float[Array, "*entries"] | None:
        """Returns the variance of the data around `mean`, in squared units; None (the default) if unknown."""
        del params
        return None

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries n_params"]) -> Num[Array, "*entries"]:
        """Draws data for every entry."""

    @abc.abstractmethod
    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel n_params"]:
        """Returns the start of the read-out's bias.

        Args:
            total: Sum of each channel's observed training data, shape (channel,).
            total_squared: Sum of their squares, shape (channel,).
            n: Number of observed entries, shape (channel,).
        """

    def units(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel n_params"]:
        """Returns the unit of each parameter of the read-out, 1 by default; arguments as in `initial_params`."""
        del total_squared, n
        return jnp.ones((np.size(total), self.n_params))


_LOG_FACTORIALS = np.array([math.lgamma(count + 1.0) for count in range(256)])


def _log_factorial(count: Array, dtype: Any) -> Array:
    """Returns log k!; uint8, which holds nearly all counts, uses a table because lgamma is slow."""
    if count.dtype == jnp.uint8:
        return jnp.asarray(_LOG_FACTORIALS, dtype).at[count].get(mode="promise_in_bounds")
    return jax.lax.lgamma(count.astype(dtype) + 1.0)


class Poisson(AbstractLikelihood):
    r"""Spike counts; the one parameter is the log rate in log counts per bin.

    .. math:: \log p(k) = k a - e^a - \log k!

    log k! is exact. Log rates are the identity on [-15, 8] (`soft_clip`).
    """

    support = "counts"

    def __init__(self) -> None:
        self.n_params, self.safe_value = 1, 0

    def log_prob(self, params: Float[Array, "*entries 1"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log Poisson(data; exp(a)) in nats."""
        log_rate = soft_clip(params[..., 0])
        return data.astype(params.dtype) * log_rate - jnp.exp(log_rate) - _log_factorial(data, params.dtype)

    def mean(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the rate exp(a) in counts per bin."""
        return exp_soft_clip(params[..., 0])

    def variance(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the variance of the counts, which is the rate."""
        return self.mean(params)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 1"]) -> Num[Array, "*entries"]:
        """Draws counts."""
        return jax.random.poisson(key, self.mean(params))

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 1"]:
        """Returns log((count + 0.5) / observed bins), finite for silent neurons too."""
        return jnp.log((total + 0.5) / jnp.maximum(n, 1.0))[:, None]


class Gaussian(AbstractLikelihood):
    r"""Real-valued data; the parameters are mean m and log variance l.

    .. math:: \log p(x) = -\tfrac12 ((x - m)^2 / v + \log v + \log 2\pi), \quad v = e^l + v_{min}

    Log variances are the identity on [-40, 40] (`soft_clip`), wide enough for data in volts and in digits.

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


def mean_and_std(total: Sums, total_squared: Sums, n: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and standard deviations, both of shape (channel,), in the unit of the data.

    A channel that is constant or has no data has standard deviation 1.

    Args:
        total: Sum of each channel's data, shape (channel,).
        total_squared: Sum of their squares, shape (channel,).
        n: Number of entries, shape (channel,).
    """
    # In float64: with a large mean, a small variance is the difference of two large numbers.
    total, total_squared, n = (np.asarray(values, np.float64) for values in (total, total_squared, n))
    mean = total / np.maximum(n, 1.0)
    variance = total_squared / np.maximum(n, 1.0) - mean**2
    return mean, np.sqrt(np.where(variance > 1e-12 * mean**2, variance, 1.0))

"""The interface of likelihoods, and functions that they share."""

from __future__ import annotations

import abc
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Bool, Float, Key, Num

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


def stirling(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2 for x of at least 8, to 1e-11."""
    # In powers of 1 / x: those of x would overflow.
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


class AbstractLikelihood(nnx.Module):
    """The interface of a likelihood, entry by entry.

    To write a likelihood, set `n_params` and `safe_value` and write the methods below. The loss, the masks (missing
    bins, padding, coordinated dropout), inference and the start of the read-out then work with it. The builders call
    the class with those of these arguments that its constructor has: `variance_min`, a variance that is negligible
    for the data; `noise_variance`, the mean variance of the training channels, both in squared units; `rngs`.

    Attributes:
        n_params: Number of parameters per channel and bin that the read-out provides.
        n_constant: Number of parameters, the last ones, that are one trained number for each channel, the same in all
            bins and trials. The others follow the factors.
        safe_value: A value of the support that replaces missing data, so that masked entries are finite.
        support: Kind of data: "counts", "real" values, or "any". Data of the other kind are refused.
        log_link: If True, the data are real and the unit of their mean is in the bias of a log, not in `units`.
        has_point_mass: If True, single values such as 0 have a probability and all others a density, so that log
            likelihoods compare only with those of such likelihoods.
        domain: The values that `inside` accepts, in words: "the data must be ...".
        remedy: What to do about data outside, as a sentence.
    """

    n_params: int
    safe_value: float
    n_constant: int = 0
    support: Literal["counts", "real", "any"] = "any"
    log_link: bool = False
    has_point_mass: bool = False
    domain: str = "within the support"
    remedy: str = "Choose another likelihood, or mark these entries as missing."

    def inside(self, data: Num[np.ndarray, "*entries"]) -> Bool[np.ndarray, "*entries"] | bool:
        """Returns True for values of the support, among values of its kind; all by default."""
        del data
        return True

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

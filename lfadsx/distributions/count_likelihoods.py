"""Likelihoods of spike counts."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Num

from lfadsx.distributions.likelihood import (
    AbstractLikelihood,
    Sums,
    exp_soft_clip,
    mean_and_std,
    soft_clip,
    stirling,
)

_LOG_FACTORIALS = np.array([math.lgamma(count + 1.0) for count in range(256)])


def _log_factorial(count: Array, dtype: Any) -> Array:
    """Returns log k!; uint8, which holds nearly all counts, uses a table because lgamma is slow."""
    if count.dtype == jnp.uint8:
        return jnp.asarray(_LOG_FACTORIALS, dtype).at[count].get(mode="promise_in_bounds")
    return jax.lax.lgamma(count.astype(dtype) + 1.0)


def _poisson_log_prob(log_rate: Array, data: Array) -> Array:
    return data.astype(log_rate.dtype) * log_rate - jnp.exp(log_rate) - _log_factorial(data, log_rate.dtype)


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
        return _poisson_log_prob(soft_clip(params[..., 0]), data)

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
        return jnp.log(_rate(total, n))[:, None]


class NegativeBinomial(AbstractLikelihood):
    r"""Spike counts that scatter more than Poisson counts; the parameters are log mean and log size.

    .. math::
        p(k) = \frac{\Gamma(k + r)}{\Gamma(r) \, k!}
            \Big(\frac{r}{r + m}\Big)^r \Big(\frac{m}{r + m}\Big)^k, \quad m = e^a, \quad r = e^b

    The variance is m + m^2 / r. A large size r gives Poisson counts. Log means are the identity on [-15, 8], log sizes
    on [-10, 10] (`soft_clip`).

    Args:
        constant: If True, each channel has one size. Otherwise sizes follow the factors, as means do.
    """

    support = "counts"

    def __init__(self, constant: bool = True) -> None:
        self.n_params, self.safe_value = 2, 0
        self.constant, self.n_constant = constant, int(constant)

    def log_prob(self, params: Float[Array, "*entries 2"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log NB(data; m, r) in nats."""
        log_mean, size = soft_clip(params[..., 0]), self._size(params)
        k = data.astype(params.dtype)
        shared = k * log_mean - _log_factorial(data, params.dtype)
        return shared + _log_rising_ratio(k, size) - (k + size) * jnp.log1p(jnp.exp(log_mean) / size)

    def mean(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the mean m in counts per bin."""
        return exp_soft_clip(params[..., 0])

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance m + m^2 / r in squared counts per bin."""
        mean = self.mean(params)
        return mean + mean**2 / self._size(params)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 2"]) -> Num[Array, "*entries"]:
        """Draws counts: Poisson counts whose rates have a Gamma distribution."""
        of_rate, of_count = jax.random.split(key)
        size = self._size(params)
        rate = jax.random.gamma(of_rate, size, dtype=params.dtype) * self.mean(params) / size
        return jax.random.poisson(of_count, rate)

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns the log mean as for `Poisson`, and a log size (0.1 to 100) for a fifth of the excess variance."""
        rate, excess = _rate(total, n), _excess(total, total_squared, n)
        return jnp.log(jnp.stack([rate, jnp.clip(rate / np.maximum(excess, 1e-6), 0.1, 100.0)], axis=-1))

    def _size(self, params: Array) -> Array:
        return jnp.exp(soft_clip(params[..., 1], -10.0, 10.0))


def _log_rising_ratio(k: Array, r: Array) -> Array:
    r"""Returns log(Gamma(k + r) / (Gamma(r) r^k)), which goes to 0 for large r.

    The difference of two `lgamma` loses all digits for large r. So Stirling's series is used from r = 8 on:

    .. math:: (k + r - \tfrac12) \log(1 + k / r) - k + s(k + r) - s(r)
    """
    small, large = jnp.minimum(r, 8.0), jnp.maximum(r, 8.0)
    direct = jax.lax.lgamma(k + small) - jax.lax.lgamma(small) - k * jnp.log(small)
    series = (k + large - 0.5) * jnp.log1p(k / large) - k + stirling(k + large) - stirling(large)
    return jnp.where(r < 8.0, direct, series)


class ZeroInflatedPoisson(AbstractLikelihood):
    r"""Spike counts with more zeros than Poisson counts; the parameters are log rate and logit of extra zeros.

    .. math:: p(k) = \pi [k = 0] + (1 - \pi) \, \mathrm{Poisson}(k; e^a), \quad \pi = 1 / (1 + e^{-b})

    The mean is (1 - pi) e^a. Log rates are the identity on [-15, 8], logits on [-15, 15] (`soft_clip`).

    Args:
        constant: If True, each channel has one probability of extra zeros. Otherwise it follows the factors, too.
    """

    support = "counts"

    def __init__(self, constant: bool = True) -> None:
        self.n_params, self.safe_value = 2, 0
        self.constant, self.n_constant = constant, int(constant)

    def log_prob(self, params: Float[Array, "*entries 2"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns the log probability of the counts in nats."""
        log_rate, logit = soft_clip(params[..., 0]), _logit(params[..., 1])
        log_zero, log_open = -jax.nn.softplus(-logit), -jax.nn.softplus(logit)
        counted = log_open + _poisson_log_prob(log_rate, data)
        return jnp.where(data == 0, jnp.logaddexp(log_zero, log_open - jnp.exp(log_rate)), counted)

    def mean(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the mean (1 - pi) exp(a) in counts per bin."""
        return jax.nn.sigmoid(-_logit(params[..., 1])) * exp_soft_clip(params[..., 0])

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance m (1 + pi exp(a)) in squared counts per bin, with the mean m."""
        inflated = jax.nn.sigmoid(_logit(params[..., 1])) * exp_soft_clip(params[..., 0])
        return self.mean(params) * (1.0 + inflated)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 2"]) -> Num[Array, "*entries"]:
        """Draws counts."""
        of_zero, of_count = jax.random.split(key)
        is_zero = jax.random.bernoulli(of_zero, jax.nn.sigmoid(_logit(params[..., 1])))
        return jnp.where(is_zero, 0, jax.random.poisson(of_count, exp_soft_clip(params[..., 0])))

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns parameters of the counts' mean, with extra zeros (0.01 to 0.9) for a fifth of the excess variance."""
        rate, excess = _rate(total, n), _excess(total, total_squared, n)
        extra = jnp.clip(excess / (rate + excess), 0.01, 0.9)
        return jnp.stack([jnp.log(rate / (1.0 - extra)), jnp.log(extra / (1.0 - extra))], axis=-1)


class Bernoulli(AbstractLikelihood):
    r"""A spike or none, for bins as short as 1 ms; the one parameter is the logit of the spike's probability.

    .. math:: \log p(k) = k a - \log(1 + e^a)

    Logits are the identity on [-15, 15] (`soft_clip`). Several spikes in a bin count as one: spike jitter may move them
    together.
    """

    support = "counts"
    domain = "0 or 1 in every bin"
    remedy = "Use shorter bins, such as 1 ms, or --likelihood poisson."

    def __init__(self) -> None:
        self.n_params, self.safe_value = 1, 0

    def inside(self, data: Num[np.ndarray, "*entries"]) -> Bool[np.ndarray, "*entries"]:
        """Returns True for 0 and 1."""
        return data <= 1

    def log_prob(self, params: Float[Array, "*entries 1"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log Bernoulli(data; sigmoid(a)) in nats."""
        logit = _logit(params[..., 0])
        return jnp.minimum(data, 1).astype(params.dtype) * logit - jax.nn.softplus(logit)

    def mean(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the probability of a spike, which is the rate in counts per bin."""
        return jax.nn.sigmoid(_logit(params[..., 0]))

    def variance(self, params: Float[Array, "*entries 1"]) -> Float[Array, "*entries"]:
        """Returns the variance p (1 - p) of the counts, with the probability p of a spike."""
        mean = self.mean(params)
        return mean * (1.0 - mean)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 1"]) -> Num[Array, "*entries"]:
        """Draws 0 or 1."""
        return jax.random.bernoulli(key, self.mean(params)).astype(jnp.int32)

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 1"]:
        """Returns the logit of (spikes + 0.5) / (observed bins + 1), finite for silent neurons too."""
        total, n = np.asarray(total, np.float64), np.asarray(n, np.float64)
        return jnp.log((total + 0.5) / (n - np.minimum(total, n) + 0.5))[:, None]


def _logit(x: Array) -> Array:
    return soft_clip(x, -15.0, 15.0)


def _rate(total: Sums, n: Sums) -> Array:
    """Returns the mean count per bin, above 0 also for silent neurons, shape (channel,)."""
    return jnp.asarray((total + 0.5) / jnp.maximum(n, 1.0))


def _excess(total: Sums, total_squared: Sums, n: Sums) -> np.ndarray:
    """Returns a fifth of how far the Fano factor (variance by mean) exceeds 1, at least 0, shape (channel,).

    The counts' variance includes that of their rates. A model that starts by taking all of it for noise has less reason
    to find the rates (benchmarks/likelihoods.py).
    """
    mean, std = mean_and_std(total, total_squared, n)
    return 0.2 * np.maximum(std**2 / np.maximum(mean, 1e-6) - 1.0, 0.0) * (mean > 0)

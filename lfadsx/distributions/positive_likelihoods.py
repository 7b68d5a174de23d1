"""Likelihoods of real-valued data that are positive, or zero: powers, concentrations, calcium events."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Num

from lfadsx.distributions.likelihood import AbstractLikelihood, Sums, mean_and_std, soft_clip, stirling
from lfadsx.errors import LfadsxError

_FOR_POSITIVE = (
    "Use --likelihood zero_inflated_gamma for data with zeros, gaussian_by_channel for data with negative values."
)


class LogNormal(AbstractLikelihood):
    r"""Positive data whose logarithm is Gaussian; the parameters are mean a and log variance b of the logarithm.

    .. math:: \log p(x) = -\log x - \tfrac12 ((\log x - a)^2 / s + \log s + \log 2\pi), \quad s = e^b

    The mean is e^(a + s / 2). The parameter a is the identity on [-40, 40], b on [-10, 5] (`soft_clip`).

    Args:
        constant: If True, each channel has one variance. Otherwise variances follow the factors, as means do.
    """

    support = "real"
    log_link = True
    domain = "above 0"
    remedy = _FOR_POSITIVE

    def __init__(self, constant: bool = True) -> None:
        self.n_params, self.safe_value = 2, 1.0
        self.constant, self.n_constant = constant, int(constant)

    def inside(self, data: Num[np.ndarray, "*entries"]) -> Bool[np.ndarray, "*entries"]:
        """Returns True for values above 0."""
        return data > 0

    def log_prob(self, params: Float[Array, "*entries 2"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns the log density of the data in nats."""
        centre, variance = self._of_log(params)
        log_data = _safe_log(data.astype(params.dtype))
        error = (log_data - centre) ** 2 / variance
        return -log_data - 0.5 * (error + jnp.log(variance) + math.log(2.0 * math.pi))

    def mean(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the mean in the unit of the data."""
        centre, variance = self._of_log(params)
        return _bounded_exp(centre + 0.5 * variance)

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance m^2 (e^s - 1) in squared units of the data."""
        centre, variance = self._of_log(params)
        # The log of e^s - 1, written so that e^s does not overflow.
        return _bounded_exp(2.0 * centre + 2.0 * variance + jnp.log(-jnp.expm1(-variance)))

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 2"]) -> Num[Array, "*entries"]:
        """Draws values."""
        centre, variance = self._of_log(params)
        return _bounded_exp(centre + jnp.sqrt(variance) * jax.random.normal(key, centre.shape, centre.dtype))

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns the parameters of the data's mean and variance, with a variance of the logarithm of 0.01 to 5."""
        mean, relative = _mean_and_relative_variance(total, total_squared, n)
        variance = np.clip(np.log1p(relative), 0.01, 5.0)
        return jnp.asarray(np.stack([np.log(mean) - 0.5 * variance, np.log(variance)], axis=-1))

    def _of_log(self, params: Array) -> tuple[Array, Array]:
        """Returns mean and variance of the logarithm."""
        return soft_clip(params[..., 0], -40.0, 40.0), jnp.exp(soft_clip(params[..., 1], -10.0, 5.0))


class Gamma(AbstractLikelihood):
    r"""Positive data whose spread grows with the mean; the parameters are log mean and log shape.

    .. math:: p(x) = \frac{(\alpha / m)^\alpha}{\Gamma(\alpha)} \, x^{\alpha - 1} e^{-\alpha x / m}, \quad
        m = e^a, \quad \alpha = e^b

    The variance is m^2 / alpha; the rate of other notations is alpha / m. Log means are the identity on [-40, 40], log
    shapes on [-10, 10] (`soft_clip`).

    Args:
        constant: If True, each channel has one shape. Otherwise shapes follow the factors, as means do.
    """

    support = "real"
    log_link = True
    domain = "above 0"
    remedy = _FOR_POSITIVE

    def __init__(self, constant: bool = True) -> None:
        self.n_params, self.safe_value = 2, 1.0
        self.constant, self.n_constant = constant, int(constant)

    def inside(self, data: Num[np.ndarray, "*entries"]) -> Bool[np.ndarray, "*entries"]:
        """Returns True for values above 0."""
        return data > 0

    def log_prob(self, params: Float[Array, "*entries 2"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log Gamma(data; m, alpha) in nats."""
        return _gamma_log_prob(*_log_mean_and_shape(params), data.astype(params.dtype))

    def mean(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the mean m in the unit of the data."""
        return jnp.exp(_log_mean_and_shape(params)[0])

    def variance(self, params: Float[Array, "*entries 2"]) -> Float[Array, "*entries"]:
        """Returns the variance m^2 / alpha in squared units of the data."""
        log_mean, shape = _log_mean_and_shape(params)
        return _bounded_exp(2.0 * log_mean - jnp.log(shape))

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 2"]) -> Num[Array, "*entries"]:
        """Draws values."""
        return _draw_gamma(key, *_log_mean_and_shape(params))

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 2"]:
        """Returns the log of the data's mean, and the log shape of their variance, from 0.1 to 100."""
        mean, relative = _mean_and_relative_variance(total, total_squared, n)
        return jnp.asarray(np.log(np.stack([mean, np.clip(1.0 / np.maximum(relative, 1e-6), 0.1, 100.0)], axis=-1)))


class ZeroInflatedGamma(AbstractLikelihood):
    r"""Zeros and positive data, such as deconvolved calcium events; the parameters are log mean, logit q and log shape.

    .. math:: p(x) = (1 - q) \, \delta(x) + q \, \mathrm{Gamma}(x - x_0; m, \alpha), \quad
        m = e^a, \quad q = 1 / (1 + e^{-b}), \quad \alpha = e^c

    with the mean m and the shape alpha of events above x_0. The mean of the data is q (x_0 + m). The log likelihood of
    a zero is the log of a probability, that of an event the log of a density. Log means are the identity on [-40, 40],
    logits on [-15, 15], log shapes on [-10, 10] (`soft_clip`).

    Source: the distribution of RADICaL (Zhu et al. 2022, Nature Neuroscience 25) and lfads-torch, whose parameters have
    other links.

    Args:
        loc: Threshold x_0 of events in the unit of the data. Values up to it count as zeros.
        constant: If True, each channel has one shape. Otherwise shapes follow the factors, as the other two do.

    Raises:
        LfadsxError: If `loc` is below 0.
    """

    support = "real"
    log_link = True
    has_point_mass = True

    def __init__(self, loc: float = 0.0, constant: bool = True) -> None:
        if not loc >= 0:
            raise LfadsxError(f"`loc` of ZeroInflatedGamma must be at least 0, got {loc}.")
        self.n_params, self.safe_value = 3, 0.0
        self.loc, self.constant, self.n_constant = loc, constant, int(constant)
        self.domain = f"0 or above {loc:g}" if loc else "at least 0"
        lower = f"Give a `loc` below the smallest event, not {loc:g}; or use" if loc else "Use"
        self.remedy = f"{lower} --likelihood gaussian_by_channel for data with negative values."

    def inside(self, data: Num[np.ndarray, "*entries"]) -> Bool[np.ndarray, "*entries"]:
        """Returns True for zeros and values above `loc`."""
        return (data == 0) | (data > self.loc)

    def log_prob(self, params: Float[Array, "*entries 3"], data: Num[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log(1 - q) for zeros and log(q Gamma(data - loc; m, alpha)) for events, in nats."""
        log_mean, logit, shape = self._links(params)
        excess = data.astype(params.dtype) - self.loc
        is_event = excess > 0
        density = _gamma_log_prob(log_mean, shape, jnp.where(is_event, excess, jnp.exp(log_mean)))
        return jnp.where(is_event, density - jax.nn.softplus(-logit), -jax.nn.softplus(logit))

    def mean(self, params: Float[Array, "*entries 3"]) -> Float[Array, "*entries"]:
        """Returns the mean q (loc + m) in the unit of the data."""
        log_mean, logit, _ = self._links(params)
        return jax.nn.sigmoid(logit) * (self.loc + jnp.exp(log_mean))

    def variance(self, params: Float[Array, "*entries 3"]) -> Float[Array, "*entries"]:
        """Returns the variance q (m^2 / alpha + (1 - q) (loc + m)^2) in squared units of the data."""
        log_mean, logit, shape = self._links(params)
        of_events = _bounded_exp(2.0 * log_mean - jnp.log(shape))
        of_zeros = jax.nn.sigmoid(-logit) * _bounded_exp(2.0 * jnp.log(self.loc + jnp.exp(log_mean)))
        return jax.nn.sigmoid(logit) * (of_events + of_zeros)

    def sample(self, key: Key[Array, ""], params: Float[Array, "*entries 3"]) -> Num[Array, "*entries"]:
        """Draws zeros and events."""
        of_event, of_size = jax.random.split(key)
        log_mean, logit, shape = self._links(params)
        is_event = jax.random.bernoulli(of_event, jax.nn.sigmoid(logit))
        return jnp.where(is_event, self.loc + _draw_gamma(of_size, log_mean, shape), 0.0)

    def initial_params(self, total: Sums, total_squared: Sums, n: Sums) -> Float[Array, "channel 3"]:
        r"""Returns the parameters of the data's mean and mean square, with a shape of 1 and q from 0.01 to 0.99.

        With the mean e = loc + m of events, the data's mean is q e and their mean square q (e^2 + (e - loc)^2). So

        .. math:: 2 e^2 - (2 x_0 + R) \, e + x_0^2 = 0

        with the ratio R of mean square and mean.
        """
        mean, relative = _mean_and_relative_variance(total, total_squared, n)
        b = 2.0 * self.loc + mean * (1.0 + relative)
        event = (b + np.sqrt(np.maximum(b**2 - 8.0 * self.loc**2, 0.0))) / 4.0
        q = np.clip(mean / event, 0.01, 0.99)
        size = np.maximum(mean / q - self.loc, 0.01 * event)
        return jnp.asarray(np.stack([np.log(size), np.log(q / (1.0 - q)), np.zeros_like(q)], axis=-1))

    def _links(self, params: Array) -> tuple[Array, Array, Array]:
        """Returns log mean and shape of events, and the logit of their probability in between."""
        log_mean, shape = _log_mean_and_shape(params)
        return log_mean, soft_clip(params[..., 1], -15.0, 15.0), shape


def _log_mean_and_shape(params: Array) -> tuple[Array, Array]:
    """Returns the log mean, from the first parameter, and the shape, from the last one."""
    return soft_clip(params[..., 0], -40.0, 40.0), jnp.exp(soft_clip(params[..., -1], -10.0, 10.0))


def _gamma_log_prob(log_mean: Array, shape: Array, data: Array) -> Array:
    r"""Returns the log density of Gamma data above 0.

    With d = log(x / m) and Stirling's remainder s, for large shapes without differences of large numbers:

    .. math:: \alpha (1 + d - e^d) - \log x + \alpha \log \alpha - \alpha - \log \Gamma(\alpha), \quad
        \log \Gamma(\alpha) = (\alpha - \tfrac12) \log \alpha - \alpha + \tfrac12 \log 2\pi + s(\alpha)
    """
    log_data = _safe_log(data)
    d = log_data - log_mean
    small, large = jnp.minimum(shape, 8.0), jnp.maximum(shape, 8.0)
    direct = small * jnp.log(small) - small - jax.lax.lgamma(small)
    series = 0.5 * (jnp.log(large) - math.log(2.0 * math.pi)) - stirling(large)
    return shape * (d - jnp.expm1(d)) - log_data + jnp.where(shape < 8.0, direct, series)


def _draw_gamma(key: Array, log_mean: Array, shape: Array) -> Array:
    # In logarithms: draws of small shapes would be rounded to 0, which has no density.
    drawn = jax.random.loggamma(key, shape, dtype=shape.dtype) - jnp.log(shape) + log_mean
    return jnp.maximum(jnp.exp(drawn), jnp.finfo(shape.dtype).tiny)


def _safe_log(x: Array) -> Array:
    """Returns log x, finite for values outside the support as well."""
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def _bounded_exp(x: Array) -> Array:
    """Returns exp(x), finite for parameters that have run off."""
    return jnp.exp(soft_clip(x, -70.0, 70.0))


def _mean_and_relative_variance(total: Sums, total_squared: Sums, n: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Returns each channel's mean, and its variance relative to the squared mean; 1 and 1 without positive data."""
    mean, std = mean_and_std(total, total_squared, n)
    known = mean > 0
    mean = np.where(known, mean, 1.0)
    return mean, np.where(known, (std / mean) ** 2, 1.0)

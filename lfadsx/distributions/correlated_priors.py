"""Priors of inferred inputs with a trained time constant: AR(1), and a smooth AR(2)."""

from __future__ import annotations

import abc
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lfadsx.distributions.prior import DiagonalGaussian, GaussianPosterior, check_positive
from lfadsx.parameters import filled, parameter


class CorrelatedPrior(GaussianPosterior):
    r"""The base of Gaussian priors of inputs whose bins are correlated, with one time constant per input.

    A derived class defines `stationary_variance`, the law `transition` of a bin given the bins before, and `draw`. The
    divergence is the closed form given the path: the sum over t of KL(q(u_t | u_{<t}, x) || p(u_t | u_{<t})) with the
    sampled inputs u_{<t} that drove the generator. It is unbiased, like the log ratio of a single sample, and usually
    has less variance. Arguments as in `AutoregressivePrior`.
    """

    def __init__(
        self,
        dim: int,
        *,
        tau: float = 10.0,
        variance: float = 0.1,
        mean: float = 0.0,
        train_tau: bool = True,
        train_variance: bool = True,
        train_mean: bool = False,
        post_var_min: float = 1e-4,
    ) -> None:
        check_positive(dim=dim, tau=tau, variance=variance)
        self.dim, self.n_params = dim, 2 * dim
        self.tau, self.variance, self.mean = tau, variance, mean
        self.train_tau, self.train_variance, self.train_mean = train_tau, train_variance, train_mean
        self.post_var_min = post_var_min
        self.log_tau = parameter(filled(dim, math.log(tau)), train=train_tau)
        self.log_variance = parameter(filled(dim, math.log(variance)), train=train_variance)
        self.loc = parameter(filled(dim, mean), train=train_mean)

    @property
    def phi(self) -> Float[Array, " dim"]:
        """Decay over one bin, exp(-1 / tau), shape (dim,)."""
        return jnp.exp(-jnp.exp(-self.log_tau[...]))

    @property
    def _not_kept(self) -> Float[Array, " dim"]:
        """1 - phi^2, shape (dim,); by expm1, which keeps its digits when tau is long."""
        return -jnp.expm1(-2.0 * jnp.exp(-self.log_tau[...]))

    @property
    @abc.abstractmethod
    def stationary_variance(self) -> Float[Array, " dim"]:
        """Variance of an input without data, shape (dim,)."""

    @abc.abstractmethod
    def transition(self, path: Float[Array, "*batch time dim"]) -> DiagonalGaussian:
        """Returns p(u_t | u_{<t}) along a path: means and variances of shape (..., time, dim)."""

    def kl(
        self, params: Float[Array, "*batch time n_params"], path: Float[Array, "*batch time dim"]
    ) -> Float[Array, "*batch time"]:
        """Returns KL(q(u_t) || p(u_t | u_{<t})) along the path, summed over the inputs, in nats."""
        return self.kl_of_each(params, path).sum(-1)

    def kl_of_each(
        self, params: Float[Array, "*batch time n_params"], path: Float[Array, "*batch time dim"]
    ) -> Float[Array, "*batch time dim"]:
        """Returns KL(q(u_t) || p(u_t | u_{<t})) of each input along the path, in nats."""
        return self.posterior(params).kl(self.transition(path))

    def log_prob(self, path: Float[Array, "*batch time dim"]) -> Float[Array, "*batch time"]:
        """Returns log p(u_t | u_{<t}) along the path, summed over the inputs, in nats."""
        return self.transition(path).log_prob(path).sum(-1)


class AutoregressivePrior(CorrelatedPrior):
    r"""The AR(1) prior of inferred inputs with trained time constant and innovation variance.

    .. math::
        u_1 \sim N(m, s^2 / (1 - \phi^2)), \quad
        u_t \sim N(m + \phi (u_{t-1} - m), s^2), \quad \phi = e^{-1/\tau}

    The divergence is the closed form given the path: the sum over t of
    KL(q(u_t | u_{<t}, x) || p(u_t | u_{t-1})) with the sampled u_{t-1} that drove the generator. It is unbiased,
    like the log ratio of a single sample, and usually has less variance.

    Source: Sussillo et al. 2016 (arXiv 1608.06315), equations 19 to 22.

    Args:
        dim: Number of inputs.
        tau: Time constant at the start, in bins.
        variance: Innovation variance s^2 at the start.
        mean: Mean m at the start.
        train_tau: If True, the time constants are trained, one per input.
        train_variance: If True, the innovation variances are trained, one per input.
        train_mean: If True, the means are trained, one per input.
        post_var_min: Added to the posterior's variance.

    Raises:
        LfadsxError: If `dim`, `tau` or `variance` is not positive.
    """

    @property
    def stationary_variance(self) -> Float[Array, " dim"]:
        """Variance of an input without data, s^2 / (1 - phi^2), shape (dim,)."""
        return jnp.exp(self.log_variance[...]) / self._not_kept

    def transition(self, path: Float[Array, "*batch time dim"]) -> DiagonalGaussian:
        """Returns p(u_t | u_{t-1}) along a path: means and variances of shape (..., time, dim)."""
        loc = self.loc[...]
        later = loc + self.phi * (path[..., :-1, :] - loc)
        mean = jnp.concatenate([jnp.broadcast_to(loc, path[..., :1, :].shape), later], axis=-2)
        is_first = jnp.arange(path.shape[-2])[:, None] == 0
        variance = jnp.where(is_first, self.stationary_variance, jnp.exp(self.log_variance[...]))
        return DiagonalGaussian(mean, jnp.broadcast_to(variance, path.shape))

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws paths from the prior, shape `(*shape, dim)`; the last axis of `shape` is time."""
        noise = jnp.moveaxis(self.noise(key, shape), -2, 0)
        phi, innovation_std = self.phi, jnp.exp(0.5 * self.log_variance[...])

        def step(deviation, noise_t):
            deviation = phi * deviation + innovation_std * noise_t
            return deviation, deviation

        first = jnp.sqrt(self.stationary_variance) * noise[0]
        _, later = jax.lax.scan(step, first, noise[1:])
        return self.loc[...] + jnp.moveaxis(jnp.concatenate([first[None], later]), 0, -2)


class SmoothPrior(CorrelatedPrior):
    r"""A prior of smooth inputs: the AR(2) process with a double root, the Matérn-3/2 process in discrete time.

    With the deviation d from the mean m and the stationary variance v,

    .. math::
        d_t \sim N(2 \phi d_{t-1} - \phi^2 d_{t-2}, s^2), \quad \phi = e^{-1/\tau}, \quad
        s^2 = v \frac{(1 - \phi^2)^3}{1 + \phi^2}

    .. math:: \mathrm{corr}(u_t, u_{t+k}) = (1 + k \tanh(1 / \tau)) e^{-k/\tau}

    The first two bins follow from the stationary law. An AR(1) input jumps in every bin, whereas the steps of a smooth
    one resemble the steps before. Independent noise in every bin is therefore improbable, and good posteriors are about
    as narrow as s^2. Its value at the start, s_0^2, is the unit of their variance, without which the first divergences
    would be thousands of nats:

    .. math:: q(u_t | x) = N(m_q, s_0^2 (e^{l_q} + \epsilon))

    The divergence is the closed form given the path, as for `AutoregressivePrior`, with the last two inputs.

    Source: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 4.2.1 and appendix B, for the
    process in continuous time; the AR(2) process: Box & Jenkins 1970.

    Example:
        >>> import jax
        >>> from lfadsx.distributions import SmoothPrior
        >>> prior = SmoothPrior(2, tau=20.0)
        >>> path = prior.draw(jax.random.key(0), (100,))
        >>> path.shape, bool(abs(path[1:] - path[:-1]).max() < 0.1)
        ((100, 2), True)

    Args:
        dim: Number of inputs.
        tau: Time constant at the start, in bins.
        variance: Stationary variance v at the start.
        mean: Mean m at the start.
        train_tau: If True, the time constants are trained, one per input.
        train_variance: If True, the stationary variances are trained, one per input.
        train_mean: If True, the means are trained, one per input.
        post_var_min: Added to the posterior's variance, in units of s_0^2.

    Raises:
        LfadsxError: If `dim`, `tau` or `variance` is not positive.
    """

    @property
    def unit(self) -> float:
        """Unit of the posterior's variance: the innovation variance s_0^2 at the start."""
        kept = math.exp(-2.0 / self.tau)
        return self.variance * (1.0 - kept) ** 3 / (1.0 + kept)

    def posterior(self, params: Float[Array, "*batch n_params"]) -> DiagonalGaussian:
        """Returns the posterior as a distribution with means and variances of shape (..., dim)."""
        scaled = super().posterior(params)
        return DiagonalGaussian(scaled.mean, self.unit * scaled.variance)

    @property
    def stationary_variance(self) -> Float[Array, " dim"]:
        """Variance v of an input without data, shape (dim,)."""
        return jnp.exp(self.log_variance[...])

    def transition(self, path: Float[Array, "*batch time dim"]) -> DiagonalGaussian:
        """Returns p(u_t | u_{t-1}, u_{t-2}) along a path: means and variances of shape (..., time, dim)."""
        nothing, deviation = jnp.zeros_like(path[..., :1, :]), path - self.loc[...]
        last = jnp.concatenate([nothing, deviation[..., :-1, :]], axis=-2)
        before = jnp.concatenate([nothing, last[..., :-1, :]], axis=-2)
        slope, variance = self._laws(path.shape[-2])
        mean = self.loc[...] + slope * last - self.phi**2 * before
        return DiagonalGaussian(mean, jnp.broadcast_to(variance, path.shape))

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws paths from the prior, shape `(*shape, dim)`; the last axis of `shape` is time."""
        noise = jnp.moveaxis(self.noise(key, shape), -2, 0)
        slope, variance = self._laws(len(noise))

        def step(carry, now):
            (last, before), (slope_t, std_t, noise_t) = carry, now
            new = slope_t * last - self.phi**2 * before + std_t * noise_t
            return (new, last), new

        nothing = jnp.zeros_like(noise[0])
        _, deviation = jax.lax.scan(step, (nothing, nothing), (slope, jnp.sqrt(variance), noise))
        return self.loc[...] + jnp.moveaxis(deviation, 0, -2)

    def _laws(self, n_bins: int) -> tuple[Array, Array]:
        """Returns the weight of the last input and the variance of every bin, both (time, dim).

        The first bin has no bins before it, and the second one has one: both follow from the stationary law.
        """
        phi, variance, bins = self.phi, self.stationary_variance, jnp.arange(n_bins)[:, None]
        lost, kept = self._not_kept, 1.0 + phi**2
        slope = jnp.where(bins == 1, 2.0 * phi / kept, 2.0 * phi)
        second, later = variance * (lost / kept) ** 2, variance * lost**3 / kept
        return slope, jnp.where(bins == 0, variance, jnp.where(bins == 1, second, later))

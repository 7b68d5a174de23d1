"""Priors of the initial condition and of the inferred inputs, each with its posterior family."""

from __future__ import annotations

import abc
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Key

from lfadsx.distributions.gaussian import DiagonalGaussian
from lfadsx.parameters import parameter


class AbstractPrior(nnx.Module):
    """What a prior provides, together with the family of its posterior.

    A path has shape (trial, time, dim) for inputs and (trial, dim) for initial conditions; whatever a prior
    does not tie together over time it treats entry by entry, so that one class may serve both.

    To write one: set `dim` and `n_params` in the constructor and write the methods below. In return the
    prior can be used for the initial condition or the inputs, with the closed form or the sampled KL, and to
    generate new trials.

    Attributes:
        dim: Number of latent variables.
        n_params: Number of parameters that the posterior needs, for all variables together.
    """

    dim: int
    n_params: int

    @abc.abstractmethod
    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws the noise that `sample` turns into a sample, shape `(*shape, dim)`."""

    @abc.abstractmethod
    def posterior_mean(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns the posterior's mean."""

    @abc.abstractmethod
    def posterior_std(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns the posterior's standard deviation."""

    @abc.abstractmethod
    def sample(
        self, params: Float[Array, "*batch n_params"], noise: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """Returns the posterior sample that belongs to the noise, differentiable in the parameters."""

    @abc.abstractmethod
    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns the divergence of the posterior from the prior per (trial, time) in nats, not summed."""

    @abc.abstractmethod
    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns the prior's log density of a path per (trial, time) in nats."""

    @abc.abstractmethod
    def posterior_log_prob(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch"]:
        """Returns the posterior's log density of a path per (trial, time) in nats."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws from the prior, shape `(*shape, dim)`; the last axis of `shape` is time for inputs."""


class _GaussianPosterior(AbstractPrior):
    """The posterior N(m, exp(l) + floor), shared by the priors of this file; params are [m, l]."""

    post_var_min: float

    def posterior(self, params: Float[Array, "*batch n_params"]) -> DiagonalGaussian:
        """Returns the posterior as a distribution with means and variances of shape (..., dim)."""
        mean, log_variance = jnp.split(params, 2, axis=-1)
        return DiagonalGaussian(mean, jnp.exp(log_variance) + self.post_var_min)

    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws standard normal noise, shape `(*shape, dim)`."""
        return jax.random.normal(key, (*shape, self.dim))

    def posterior_mean(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns the posterior's mean m."""
        return self.posterior(params).mean

    def posterior_std(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns the posterior's standard deviation sqrt(exp(l) + floor)."""
        return self.posterior(params).std

    def sample(
        self, params: Float[Array, "*batch n_params"], noise: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """Returns m + sqrt(exp(l) + floor) * noise."""
        return self.posterior(params).sample(noise)

    def posterior_log_prob(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch"]:
        """Returns log q(path), summed over the variables, in nats."""
        return self.posterior(params).log_prob(path).sum(-1)


class GaussianPrior(_GaussianPosterior):
    r"""Independent normal variables with a trained mean and, if asked, a trained variance.

    .. math:: z \sim N(m_p, v_p), \qquad q(z | x) = N(m_q, e^{l_q} + \epsilon)

    Source: Pandarinath et al. 2018, Nature Methods, the prior of the initial condition.

    Args:
        dim: Number of variables.
        mean: Mean at the start.
        variance: Variance at the start.
        train_mean: Whether the mean is trained.
        train_variance: Whether the variance is trained.
        post_var_min: Added to the posterior's variance; 0 for none.
        prior_var_min: Added to the prior's variance; 0 for none.

    Raises:
        ValueError: If `dim` or `variance` is not positive.
    """

    def __init__(
        self,
        dim: int,
        *,
        mean: float = 0.0,
        variance: float = 0.1,
        train_mean: bool = True,
        train_variance: bool = False,
        post_var_min: float = 1e-4,
        prior_var_min: float = 0.0,
    ) -> None:
        _check_positive(dim=dim, variance=variance)
        self.dim, self.n_params = dim, 2 * dim
        self.mean, self.variance = mean, variance
        self.train_mean, self.train_variance = train_mean, train_variance
        self.post_var_min, self.prior_var_min = post_var_min, prior_var_min
        self.loc = parameter(jnp.full(dim, float(mean)), train=train_mean)
        self.log_variance = parameter(jnp.log(jnp.full(dim, float(variance))), train=train_variance)

    def distribution(self) -> DiagonalGaussian:
        """Returns the prior as a distribution with mean and variance of shape (dim,)."""
        return DiagonalGaussian(self.loc[...], jnp.exp(self.log_variance[...]) + self.prior_var_min)

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns KL(q || p) in closed form, summed over the variables, in nats."""
        return self.posterior(params).kl(self.distribution()).sum(-1)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), summed over the variables, in nats."""
        return self.distribution().log_prob(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws from the prior, shape `(*shape, dim)`."""
        return self.distribution().sample(self.noise(key, shape))


class AutoregressivePrior(_GaussianPosterior):
    r"""The AR(1) prior of inferred inputs with trained time constant and innovation variance.

    .. math::
        u_1 \sim N(m, s^2 / (1 - \phi^2)), \quad
        u_t \sim N(m + \phi (u_{t-1} - m), s^2), \quad \phi = e^{-1/\tau}

    The divergence is the closed form given the path: the sum over t of
    KL(q(u_t | u_{<t}, x) || p(u_t | u_{t-1})) with the u_{t-1} that really drove the generator. It is unbiased,
    like the log ratio of a single sample, and usually has less variance.

    Source: Sussillo et al. 2016 (arXiv 1608.06315), equations 19 to 22.

    Args:
        dim: Number of inputs.
        tau: Time constant at the start, in bins.
        variance: Innovation variance s^2 at the start.
        mean: Mean m at the start.
        train_tau: Whether the time constants are trained, one per input.
        train_variance: Whether the innovation variances are trained, one per input.
        train_mean: Whether the means are trained, one per input.
        post_var_min: Added to the posterior's variance; 0 for none.

    Raises:
        ValueError: If `dim`, `tau` or `variance` is not positive.
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
        _check_positive(dim=dim, tau=tau, variance=variance)
        self.dim, self.n_params = dim, 2 * dim
        self.tau, self.variance, self.mean = tau, variance, mean
        self.train_tau, self.train_variance, self.train_mean = train_tau, train_variance, train_mean
        self.post_var_min = post_var_min
        self.log_tau = parameter(jnp.log(jnp.full(dim, float(tau))), train=train_tau)
        self.log_variance = parameter(jnp.log(jnp.full(dim, float(variance))), train=train_variance)
        self.loc = parameter(jnp.full(dim, float(mean)), train=train_mean)

    @property
    def phi(self) -> Float[Array, " dim"]:
        """Correlation of neighbouring bins, exp(-1 / tau), shape (dim,)."""
        return jnp.exp(-jnp.exp(-self.log_tau[...]))

    @property
    def stationary_variance(self) -> Float[Array, " dim"]:
        """Variance of an input without data, s^2 / (1 - phi^2), shape (dim,)."""
        # 1 - phi^2 = -expm1(-2 / tau) keeps its digits when tau is long.
        return jnp.exp(self.log_variance[...]) / -jnp.expm1(-2.0 * jnp.exp(-self.log_tau[...]))

    def transition(self, path: Float[Array, "*batch time dim"]) -> DiagonalGaussian:
        """Returns p(u_t | u_{t-1}) along a path: means and variances of shape (..., time, dim)."""
        loc = self.loc[...]
        later = loc + self.phi * (path[..., :-1, :] - loc)
        mean = jnp.concatenate([jnp.broadcast_to(loc, path[..., :1, :].shape), later], axis=-2)
        is_first = jnp.arange(path.shape[-2])[:, None] == 0
        variance = jnp.where(is_first, self.stationary_variance, jnp.exp(self.log_variance[...]))
        return DiagonalGaussian(mean, jnp.broadcast_to(variance, path.shape))

    def kl(
        self, params: Float[Array, "*batch time n_params"], path: Float[Array, "*batch time dim"]
    ) -> Float[Array, "*batch time"]:
        """Returns KL(q(u_t) || p(u_t | u_{t-1})) along the path, summed over the inputs, in nats."""
        return self.posterior(params).kl(self.transition(path)).sum(-1)

    def log_prob(self, path: Float[Array, "*batch time dim"]) -> Float[Array, "*batch time"]:
        """Returns log p(u_t | u_{t-1}) along the path, summed over the inputs, in nats."""
        return self.transition(path).log_prob(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws paths from the prior, shape `(*shape, dim)`; the last axis of `shape` is time."""
        noise = jnp.moveaxis(self.noise(key, shape), -2, 0)
        phi, innovation_std = self.phi, jnp.exp(0.5 * self.log_variance[...])

        def step(deviation, noise_t):
            deviation = phi * deviation + innovation_std * noise_t
            return deviation, deviation

        first = jnp.sqrt(self.stationary_variance) * noise[0]
        _, later = jax.lax.scan(step, first, noise[1:])
        return self.loc[...] + jnp.moveaxis(jnp.concatenate([first[None], later]), 0, -2)


class StudentTPrior(_GaussianPosterior):
    r"""Independent inputs with heavy tails: small in most bins, and large in a few, such as brief pulses.

    .. math::
        p(u) = \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\nu \pi}\, s}
        \left(1 + \frac{(u - m)^2}{\nu s^2}\right)^{-\frac{\nu + 1}{2}}, \qquad q(u | x) = N(m_q, e^{l_q} + \epsilon)

    A pulse of height h costs a normal prior h^2 / (2 s^2) nats, so that a model spreads it over time; here it costs
    (nu + 1) log(h / s), which leaves it where it is. The divergence is -H(q) - E_q[log p], the expectation by
    Gauss-Hermite quadrature: to 1e-4 nats unless the posterior is wider than the prior, to 0.02 when it is three
    times and to 0.2 when it is ten times as wide. `log_prob` is exact.

    Source: Lange, Little & Taylor 1989, Journal of the American Statistical Association 84, for the law; the
    quadrature is Golub & Welsch 1969.

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.distributions import GaussianPrior, StudentTPrior
        >>> pulse = jnp.array([5.0, -4.0])  # mean and log variance of a posterior
        >>> heavy, light = StudentTPrior(1, scale=0.1), GaussianPrior(1, variance=0.01)
        >>> bool(heavy.kl(pulse, pulse[:1]) < 20 < light.kl(pulse, pulse[:1]))
        True

    Args:
        dim: Number of inputs.
        df: Degrees of freedom nu at the start; the fewer, the heavier the tails.
        scale: Scale s at the start.
        mean: Mean m at the start.
        train_df: Whether the degrees of freedom are trained, one per input.
        train_scale: Whether the scales are trained, one per input.
        train_mean: Whether the means are trained, one per input.
        post_var_min: Added to the posterior's variance; 0 for none.

    Raises:
        ValueError: If `dim`, `df` or `scale` is not positive.
    """

    def __init__(
        self,
        dim: int,
        *,
        df: float = 2.0,
        scale: float = 0.3,
        mean: float = 0.0,
        train_df: bool = True,
        train_scale: bool = True,
        train_mean: bool = False,
        post_var_min: float = 1e-4,
    ) -> None:
        _check_positive(dim=dim, df=df, scale=scale)
        self.dim, self.n_params = dim, 2 * dim
        self.df, self.scale, self.mean = df, scale, mean
        self.train_df, self.train_scale, self.train_mean = train_df, train_scale, train_mean
        self.post_var_min = post_var_min
        self.log_df = parameter(jnp.log(jnp.full(dim, float(df))), train=train_df)
        self.log_scale = parameter(jnp.log(jnp.full(dim, float(scale))), train=train_scale)
        self.loc = parameter(jnp.full(dim, float(mean)), train=train_mean)

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns KL(q || p), summed over the inputs, in nats."""
        q = self.posterior(params)
        nodes, weights = (jnp.asarray(x, q.mean.dtype) for x in _GAUSS_HERMITE)
        values = q.mean[..., None] + q.std[..., None] * nodes
        entropy = 0.5 * (jnp.log(q.variance) + math.log(2.0 * math.pi) + 1.0)
        return -(entropy + self._log_density(values, (..., None)) @ weights).sum(-1)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), summed over the inputs, in nats."""
        return self._log_density(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws from the prior, shape `(*shape, dim)`."""
        loc, df = self.loc[...], jnp.exp(self.log_df[...])
        return loc + jnp.exp(self.log_scale[...]) * jax.random.t(key, df, (*shape, self.dim), loc.dtype)

    def _log_density(self, value: Array, axes: tuple = (...,)) -> Array:
        """Returns log p of single entries; `axes` says where axes besides those of the inputs come in."""
        log_df, log_scale, loc = (x[...][axes] for x in (self.log_df, self.log_scale, self.loc))
        df = jnp.exp(log_df)
        normaliser = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * (log_df + math.log(math.pi)) - log_scale
        return normaliser - (df + 1) / 2 * jnp.log1p(((value - loc) * jnp.exp(-log_scale)) ** 2 / df)


def _standard_normal_quadrature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights with which a sum is the mean of a function of a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weights / weights.sum()


_GAUSS_HERMITE = _standard_normal_quadrature(32)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} = {value} of the prior is not positive. Give a value above 0.")

"""Priors without dependence over time: Gaussian, Student t, and a single point."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Key

from lfadsx.distributions.prior import AbstractPrior, DiagonalGaussian, GaussianPosterior, check_positive
from lfadsx.errors import LfadsxError
from lfadsx.parameters import filled, parameter


class GaussianPrior(GaussianPosterior):
    r"""Independent normal variables with a trained mean and an optionally trained variance.

    .. math:: z \sim N(m_p, v_p), \qquad q(z | x) = N(m_q, e^{l_q} + \epsilon)

    A trained variance is exp(l_p), or with bounds a + (b - a) / (1 + exp(c - l_p)). The constant c makes both start at
    `variance`.

    Source: Pandarinath et al. 2018, Nature Methods, the prior of the initial condition.

    Args:
        dim: Number of variables.
        mean: Mean at the start.
        variance: Variance at the start.
        train_mean: If True, the mean is trained.
        train_variance: If True, the variance is trained.
        variance_bounds: Bounds (a, b) of a trained variance, or None.
        post_var_min: Added to the posterior's variance.
        prior_var_min: Added to the prior's variance.

    Raises:
        LfadsxError: If `dim` or `variance` is not positive, or the variance is outside its bounds.
    """

    def __init__(
        self,
        dim: int,
        *,
        mean: float = 0.0,
        variance: float = 0.1,
        train_mean: bool = True,
        train_variance: bool = False,
        variance_bounds: tuple[float, float] | None = None,
        post_var_min: float = 1e-4,
        prior_var_min: float = 0.0,
    ) -> None:
        check_positive(dim=dim, variance=variance)
        self.dim, self.n_params = dim, 2 * dim
        self.mean, self.variance = mean, variance
        self.train_mean, self.train_variance, self.variance_bounds = train_mean, train_variance, variance_bounds
        self.post_var_min, self.prior_var_min = post_var_min, prior_var_min
        self.loc = parameter(filled(dim, mean), train=train_mean)
        self.log_variance = parameter(filled(dim, math.log(variance)), train=train_variance)
        self._shift = 0.0 if variance_bounds is None else _logit(variance, *variance_bounds) - math.log(variance)

    def distribution(self) -> DiagonalGaussian:
        """Returns the prior as a distribution with mean and variance of shape (dim,)."""
        variance = jnp.exp(self.log_variance[...])
        if self.variance_bounds is not None:
            low, high = self.variance_bounds
            variance = low + (high - low) * jax.nn.sigmoid(self.log_variance[...] + self._shift)
        return DiagonalGaussian(self.loc[...], variance + self.prior_var_min)

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns KL(q || p) in closed form, summed over the variables, in nats."""
        return self.kl_of_each(params, path).sum(-1)

    def kl_of_each(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """Returns KL(q || p) of each variable in closed form, in nats."""
        del path
        return self.posterior(params).kl(self.distribution())

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), summed over the variables, in nats."""
        return self.distribution().log_prob(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws from the prior, shape `(*shape, dim)`."""
        return self.distribution().sample(self.noise(key, shape))


def _logit(variance: float, low: float, high: float) -> float:
    """Returns the place of a variance between its bounds, as the argument of a sigmoid."""
    if not low < variance < high:
        raise LfadsxError(f"`variance` of the prior must be between its bounds {low} and {high}, got {variance}.")
    return math.log((variance - low) / (high - variance))


class StudentTPrior(GaussianPosterior):
    r"""Independent inputs with heavy tails: small in most bins and large in a few, such as brief pulses.

    .. math::
        p(u) = \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\nu \pi}\, s}
        \left(1 + \frac{(u - m)^2}{\nu s^2}\right)^{-\frac{\nu + 1}{2}}, \qquad q(u | x) = N(m_q, e^{l_q} + \epsilon)

    A pulse of height h costs h^2 / (2 s^2) nats with a normal prior, so the model spreads it over time. Here it costs
    (nu + 1) log(h / s), so it stays brief. The divergence is -H(q) - E_q[log p], with the expectation by Gauss-Hermite
    quadrature. Its error is below 1e-4 nats if the posterior is narrower than the prior. It is 0.02 nats at three times
    and 0.2 nats at ten times the width of the prior. `log_prob` is exact.

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
        train_df: If True, the degrees of freedom are trained, one per input.
        train_scale: If True, the scales are trained, one per input.
        train_mean: If True, the means are trained, one per input.
        post_var_min: Added to the posterior's variance.

    Raises:
        LfadsxError: If `dim`, `df` or `scale` is not positive.
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
        check_positive(dim=dim, df=df, scale=scale)
        self.dim, self.n_params = dim, 2 * dim
        self.df, self.scale, self.mean = df, scale, mean
        self.train_df, self.train_scale, self.train_mean = train_df, train_scale, train_mean
        self.post_var_min = post_var_min
        self.log_df = parameter(filled(dim, math.log(df)), train=train_df)
        self.log_scale = parameter(filled(dim, math.log(scale)), train=train_scale)
        self.loc = parameter(filled(dim, mean), train=train_mean)

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns KL(q || p), summed over the inputs, in nats."""
        return self.kl_of_each(params, path).sum(-1)

    def kl_of_each(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """Returns KL(q || p) of each input, in nats."""
        del path
        q = self.posterior(params)
        nodes, weights = (jnp.asarray(x, q.mean.dtype) for x in _GAUSS_HERMITE)
        values = q.mean[..., None] + q.std[..., None] * nodes
        entropy = 0.5 * (jnp.log(q.variance) + math.log(2.0 * math.pi) + 1.0)
        return -(entropy + self._log_density(values, (..., None)) @ weights)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), summed over the inputs, in nats."""
        return self._log_density(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws from the prior, shape `(*shape, dim)`."""
        loc, df = self.loc[...], jnp.exp(self.log_df[...])
        return loc + jnp.exp(self.log_scale[...]) * jax.random.t(key, df, (*shape, self.dim), loc.dtype)

    def _log_density(self, value: Array, axes: tuple = (...,)) -> Array:
        """Returns log p of single entries; `axes` indexes the parameters to add axes besides those of the inputs."""
        log_df, log_scale, loc = (x[...][axes] for x in (self.log_df, self.log_scale, self.loc))
        df = jnp.exp(log_df)
        normaliser = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * (log_df + math.log(math.pi)) - log_scale
        return normaliser - (df + 1) / 2 * jnp.log1p(((value - loc) * jnp.exp(-log_scale)) ** 2 / df)


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_GAUSS_HERMITE = _NODES, _WEIGHTS / _WEIGHTS.sum()
"""Nodes and weights of a sum that is the mean of a function of a standard normal variable."""


class PointPrior(AbstractPrior):
    """A trained value instead of a latent variable: prior and posterior are the same point.

    As prior of the initial condition it gives all trials the same initial condition; only inputs differ between trials.
    Noise and divergences are 0, and the encoder of the initial condition is not used.

    Source: Sussillo et al. 2016, arXiv:1608.06315; `ic_dim=0` of the TensorFlow program.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from lfadsx.distributions import PointPrior
        >>> prior = PointPrior(3)
        >>> prior.sample(jnp.zeros((5, 0)), prior.noise(jax.random.key(0), (5,))).shape
        (5, 3)

    Args:
        dim: Number of variables.

    Raises:
        LfadsxError: If `dim` is not positive.
    """

    def __init__(self, dim: int) -> None:
        check_positive(dim=dim)
        self.dim, self.n_params = dim, 0
        self.value = nnx.Param(filled(dim))

    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Returns zeros, shape `(*shape, dim)`."""
        del key
        return jnp.zeros((*shape, self.dim), self.value[...].dtype)

    def posterior_mean(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns the value for every trial."""
        return self._for_all(params.shape[:-1])

    def posterior_std(self, params: Float[Array, "*batch n_params"]) -> Float[Array, "*batch dim"]:
        """Returns zeros."""
        return jnp.zeros_like(self._for_all(params.shape[:-1]))

    def sample(
        self, params: Float[Array, "*batch n_params"], noise: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"]:
        """Returns the value for every trial."""
        del noise
        return self._for_all(params.shape[:-1])

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns zeros: posterior and prior are the same."""
        del path
        return jnp.zeros(params.shape[:-1], self.value[...].dtype)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns zeros: the log probability of a certain value."""
        return jnp.zeros(path.shape[:-1], self.value[...].dtype)

    def posterior_log_prob(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch"]:
        """Returns zeros: the log probability of a certain value."""
        del params
        return self.log_prob(path)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Returns the value, shape `(*shape, dim)`."""
        del key
        return self._for_all(shape)

    def _for_all(self, shape: tuple[int, ...]) -> Array:
        return jnp.broadcast_to(self.value[...], (*shape, self.dim))

"""The AR(1) prior of inferred inputs."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lfadsx.distributions.prior import DiagonalGaussian, GaussianPosterior, check_positive
from lfadsx.parameters import filled, parameter


class AutoregressivePrior(GaussianPosterior):
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
        return self.kl_of_each(params, path).sum(-1)

    def kl_of_each(
        self, params: Float[Array, "*batch time n_params"], path: Float[Array, "*batch time dim"]
    ) -> Float[Array, "*batch time dim"]:
        """Returns KL(q(u_t) || p(u_t | u_{t-1})) of each input along the path, in nats."""
        return self.posterior(params).kl(self.transition(path))

    def log_prob(self, path: Float[Array, "*batch time dim"]) -> Float[Array, "*batch time"]:
        """Returns log p(u_t | u_{t-1}) along the path, summed over the inputs, in nats."""
        return self.transition(path).log_prob(path).sum(-1)

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

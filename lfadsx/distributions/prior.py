"""The interface of a prior with its posterior family, and the Gaussian family of the built-in priors."""

from __future__ import annotations

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from lfadsx.errors import LfadsxError
from lfadsx.random import normal


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normal variables N(mean, variance), one per entry.

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.distributions import DiagonalGaussian
        >>> q = DiagonalGaussian(jnp.zeros(3), jnp.ones(3))
        >>> float(q.kl(q).sum())
        0.0

    Attributes:
        mean: Any shape.
        variance: Any shape, positive.
    """

    mean: Float[Array, "*entries"]
    variance: Float[Array, "*entries"]

    @property
    def std(self) -> Float[Array, "*entries"]:
        """Standard deviation of every entry."""
        return jnp.sqrt(self.variance)

    def sample(self, noise: Float[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns mean + std * noise for standard normal noise."""
        return self.mean + self.std * noise

    def log_prob(self, value: Float[Array, "*entries"]) -> Float[Array, "*entries"]:
        """Returns log N(value; mean, variance) of every entry in nats."""
        squared = (value - self.mean) ** 2 / self.variance
        return -0.5 * (squared + jnp.log(self.variance) + math.log(2.0 * math.pi))

    def kl(self, other: DiagonalGaussian) -> Float[Array, "*entries"]:
        r"""Returns KL(self || other) of every entry in nats.

        .. math:: \tfrac12 (\log v_p - \log v_q + (v_q + (m_q - m_p)^2) / v_p - 1)
        """
        ratio = self.variance / other.variance
        squared = (self.mean - other.mean) ** 2 / other.variance
        return 0.5 * (ratio - jnp.log(ratio) + squared - 1.0)


class AbstractPrior(nnx.Module):
    """The interface of a prior with the family of its posterior.

    A path has shape (trial, time, dim) for inputs and (trial, dim) for initial conditions and biases. A prior without
    dependence over time treats entries one by one, so one class may serve all.

    To write a prior, set `dim` and `n_params` in the constructor and write the methods below. The prior then works for
    initial condition, bias or inputs, with the closed form or the sampled KL, and generates new trials. The builders
    call the class with `dim` and `rngs`, if its constructor has these arguments.

    Attributes:
        dim: Number of latent variables.
        n_params: Number of parameters that the posterior needs, for all variables together.
    """

    dim: int
    n_params: int

    @abc.abstractmethod
    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws the noise for `sample`, shape `(*shape, dim)`."""

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
        """Returns the posterior sample of the noise, differentiable in the parameters."""

    @abc.abstractmethod
    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns the divergence of the posterior from the prior per (trial, time) in nats, not summed."""

    def kl_of_each(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch dim"] | None:
        """Returns the divergence of each variable in nats, whose sum is `kl`; None if the prior cannot be split up."""
        del params, path
        return None

    @abc.abstractmethod
    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns the prior's log density of a path per (trial, time) in nats."""

    @abc.abstractmethod
    def posterior_log_prob(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch"]:
        """Returns the posterior's log density of a path per (trial, time) in nats."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws from the prior, shape `(*shape, dim)`; the last axis of `shape` is time for inputs."""


class GaussianPosterior(AbstractPrior):
    """The posterior N(m, exp(l) + floor) of built-in priors; params are [m, l]."""

    post_var_min: float

    def posterior(self, params: Float[Array, "*batch n_params"]) -> DiagonalGaussian:
        """Returns the posterior as a distribution with means and variances of shape (..., dim)."""
        mean, log_variance = jnp.split(params, 2, axis=-1)
        return DiagonalGaussian(mean, jnp.exp(log_variance) + self.post_var_min)

    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws standard normal noise, shape `(*shape, dim)`."""
        return normal(key, (*shape, self.dim))

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


def check_positive(**values: float) -> None:
    """Raises `LfadsxError` unless all settings of a prior are above 0."""
    for name, value in values.items():
        if not value > 0:
            raise LfadsxError(f"`{name}` of the prior must be above 0, got {value}.")

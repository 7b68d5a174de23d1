"""What a prior provides, with its posterior family, and the Gaussian family that the built-in ones share."""

from __future__ import annotations

import abc

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from lfadsx.distributions.gaussian import DiagonalGaussian
from lfadsx.errors import LfadsxError
from lfadsx.random import normal


class AbstractPrior(nnx.Module):
    """What a prior provides, together with the family of its posterior.

    A path has shape (trial, time, dim) for inputs and (trial, dim) for initial conditions; whatever a prior
    does not tie together over time it treats entry by entry, so that one class may serve both.

    To write one: set `dim` and `n_params` in the constructor and write the methods below. In return the
    prior can be used for the initial condition or the inputs, with the closed form or the sampled KL, and to
    generate new trials. A class is made by the builders with those of these names that its constructor has: `dim` and
    `rngs`.

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


class GaussianPosterior(AbstractPrior):
    """The posterior N(m, exp(l) + floor), shared by the built-in priors; params are [m, l]."""

    post_var_min: float

    def posterior(self, params: Float[Array, "*batch n_params"]) -> DiagonalGaussian:
        """Returns the posterior as a distribution with means and variances of shape (..., dim)."""
        mean, log_variance = jnp.split(params, 2, axis=-1)
        return DiagonalGaussian(mean, jnp.exp(log_variance) + self.post_var_min)

    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
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
    """Raises LfadsxError unless all settings of a prior are above 0."""
    for name, value in values.items():
        if not value > 0:
            raise LfadsxError(f"{name} = {value} of the prior is not positive. Give a value above 0.")

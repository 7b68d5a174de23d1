"""No distribution at all: one trained value for every trial."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from lfadsx.distributions.prior import AbstractPrior, check_positive
from lfadsx.parameters import filled


class PointPrior(AbstractPrior):
    """A trained value instead of a latent variable: prior and posterior are the same point, so nothing is inferred.

    As prior of the initial condition it gives all trials the same one, and what differs between trials has to come
    from inputs. There is no noise, every divergence is 0, and the encoder of the initial condition has nothing to do.

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

    def noise(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
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
        """Returns zeros: the log probability of what is certain."""
        return jnp.zeros(path.shape[:-1], self.value[...].dtype)

    def posterior_log_prob(
        self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]
    ) -> Float[Array, "*batch"]:
        """Returns zeros: the log probability of what is certain."""
        del params
        return self.log_prob(path)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Returns the value, shape `(*shape, dim)`."""
        del key
        return self._for_all(shape)

    def _for_all(self, shape: tuple[int, ...]) -> Array:
        return jnp.broadcast_to(self.value[...], (*shape, self.dim))

"""The diagonal Gaussian distribution, from which priors and posteriors are made."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
        mean: Shape (..., dim).
        variance: Shape (..., dim), positive.
    """

    mean: Float[Array, "*batch dim"]
    variance: Float[Array, "*batch dim"]

    @property
    def std(self) -> Float[Array, "*batch dim"]:
        """Standard deviation, shape (..., dim)."""
        return jnp.sqrt(self.variance)

    def sample(self, noise: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Returns mean + std * noise for standard normal noise of shape (..., dim)."""
        return self.mean + self.std * noise

    def log_prob(self, value: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """Returns log N(value; mean, variance) of every entry in nats, shape (..., dim)."""
        squared = (value - self.mean) ** 2 / self.variance
        return -0.5 * (squared + jnp.log(self.variance) + math.log(2.0 * math.pi))

    def kl(self, other: DiagonalGaussian) -> Float[Array, "*batch dim"]:
        r"""Returns KL(self || other) of every entry in nats, shape (..., dim).

        .. math:: \tfrac12 (\log v_p - \log v_q + (v_q + (m_q - m_p)^2) / v_p - 1)
        """
        ratio = self.variance / other.variance
        squared = (self.mean - other.mean) ** 2 / other.variance
        return 0.5 * (ratio - jnp.log(ratio) + squared - 1.0)

"""The normal prior: independent variables, as the initial condition has them."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lfadsx.distributions.gaussian import DiagonalGaussian
from lfadsx.distributions.prior import GaussianPosterior, check_positive
from lfadsx.errors import LfadsxError
from lfadsx.parameters import filled, parameter


class GaussianPrior(GaussianPosterior):
    r"""Independent normal variables with a trained mean and, if asked, a trained variance.

    .. math:: z \sim N(m_p, v_p), \qquad q(z | x) = N(m_q, e^{l_q} + \epsilon)

    A trained variance is exp(l_p), or between bounds a + (b - a) / (1 + exp(c - l_p)), with a constant c that makes
    both start at `variance`.

    Source: Pandarinath et al. 2018, Nature Methods, the prior of the initial condition.

    Args:
        dim: Number of variables.
        mean: Mean at the start.
        variance: Variance at the start.
        train_mean: Whether the mean is trained.
        train_variance: Whether the variance is trained.
        variance_bounds: Bounds (a, b) of a trained variance; None for none.
        post_var_min: Added to the posterior's variance; 0 for none.
        prior_var_min: Added to the prior's variance; 0 for none.

    Raises:
        LfadsxError: If `dim` or `variance` is not positive, or the variance does not lie between its bounds.
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
        return self.posterior(params).kl(self.distribution()).sum(-1)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), summed over the variables, in nats."""
        return self.distribution().log_prob(path).sum(-1)

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, ...]:
        """Draws from the prior, shape `(*shape, dim)`."""
        return self.distribution().sample(self.noise(key, shape))


def _logit(variance: float, low: float, high: float) -> float:
    """Returns where between its bounds a variance lies, as the argument of a sigmoid."""
    if not low < variance < high:
        raise LfadsxError(
            f"variance = {variance} of the prior does not lie between its bounds {low} and {high}. Give a variance "
            "inside of them: it starts there and stays between."
        )
    return math.log((variance - low) / (high - variance))

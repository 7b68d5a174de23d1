"""The mixture-of-Gaussians prior of the initial condition."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from lfadsx.distributions.prior import DiagonalGaussian, GaussianPosterior, check_positive
from lfadsx.parameters import filled, scaled_normal


class MixturePrior(GaussianPosterior):
    r"""A mixture of Gaussians with trained weights, means and variances: trials in clusters, such as conditions.

    .. math:: p(z) = \sum_k \pi_k N(z; m_k, v_k), \qquad q(z | x) = N(m_q, e^{l_q} + \epsilon)

    The divergence has no closed form. With the divergences D_k = KL(q || N(m_k, v_k)) of single components,

    .. math::
        \phi_k = \frac{\pi_k e^{-D_k}}{\sum_j \pi_j e^{-D_j}}, \qquad
        KL \approx \sum_k \phi_k (D_k + \log N(z; m_k, v_k)) - \log p(z)

    for the sample z that drove the generator. It is unbiased for any weights phi, because the two terms in the bracket
    have the expectation -H(q). It is exact for any z if there is one component, if all components are equal, or if one
    of them holds q and lies far from the others. `log_prob` is exact.

    Source: the bound of Hershey & Olsen 2007 (ICASSP), -log(sum of pi_k exp(-D_k)), is the expectation of this value
    without its last part; Jiang et al. 2017 (arXiv 1611.05148) for mixtures as priors.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.distributions import MixturePrior
        >>> prior = MixturePrior(2, components=3, rngs=nnx.Rngs(0))
        >>> prior.responsibilities(prior.loc[...]).argmax(-1).tolist()  # of the means of the three clusters
        [0, 1, 2]

    Args:
        dim: Number of variables.
        components: Number of Gaussians.
        variance: Variance of each Gaussian at the start.
        spread: Standard deviation of the random means at the start, in standard deviations of a Gaussian.
        post_var_min: Added to the posterior's variance.
        rngs: Source of the initial means.

    Raises:
        LfadsxError: If `dim`, `components`, `variance` or `spread` is not positive.
    """

    def __init__(
        self,
        dim: int,
        *,
        components: int = 8,
        variance: float = 0.1,
        spread: float = 1.0,
        post_var_min: float = 1e-4,
        rngs: nnx.Rngs,
    ) -> None:
        check_positive(dim=dim, components=components, variance=variance, spread=spread)
        self.dim, self.n_params = dim, 2 * dim
        self.components, self.variance, self.spread = components, variance, spread
        self.post_var_min = post_var_min
        self.logits = nnx.Param(filled(components))
        # Different means at the start: equal ones would stay equal.
        self.loc = nnx.Param(scaled_normal(rngs, (components, dim), 1, spread * math.sqrt(variance)))
        self.log_variance = nnx.Param(filled((components, dim), math.log(variance)))

    @property
    def log_weights(self) -> Float[Array, " components"]:
        """Log probability of each component, shape (components,)."""
        return jax.nn.log_softmax(self.logits[...])

    def gaussians(self) -> DiagonalGaussian:
        """Returns the components as a distribution with means and variances of shape (components, dim)."""
        return DiagonalGaussian(self.loc[...], jnp.exp(self.log_variance[...]))

    def kl(self, params: Float[Array, "*batch n_params"], path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns the divergence estimated from the sample `path`, in nats; see the equation above."""
        q = self.posterior(params)
        each = DiagonalGaussian(q.mean[..., None, :], q.variance[..., None, :]).kl(self.gaussians()).sum(-1)
        shares = jax.nn.softmax(self.log_weights - each)
        return (shares * (each + self._log_densities(path))).sum(-1) - self.log_prob(path)

    def log_prob(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch"]:
        """Returns log p(path), in nats."""
        return logsumexp(self.log_weights + self._log_densities(path), axis=-1)

    def responsibilities(self, path: Float[Array, "*batch dim"]) -> Float[Array, "*batch components"]:
        """Returns the probability of each component given a value, which sums to 1."""
        return jax.nn.softmax(self.log_weights + self._log_densities(path))

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws from the prior, shape `(*shape, dim)`."""
        for_component, for_value = jax.random.split(key)
        chosen = jax.random.categorical(for_component, self.logits[...], shape=shape)
        components = self.gaussians()
        one = DiagonalGaussian(components.mean[chosen], components.variance[chosen])
        return one.sample(self.noise(for_value, shape))

    def _log_densities(self, path: Array) -> Array:
        """Returns log N(path; m_k, v_k) of each component, shape (..., components)."""
        value = jnp.broadcast_to(path[..., None, :], (*path.shape[:-1], self.components, self.dim))
        return self.gaussians().log_prob(value).sum(-1)

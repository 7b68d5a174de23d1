"""Channels in units of their own: mean 0 and standard deviation 1 over the training data."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int

from lfadsx.parameters import Frozen


class Standardiser(nnx.Module):
    r"""Subtracts each channel's mean and divides by its standard deviation, both fixed.

    .. math:: z_c = (x_c - m_c) / s_c

    Real-valued data come in any unit, and encoders would be saturated by one unit and blind in another. Every session
    keeps its own numbers under its name; until they are set, nothing changes.

    Args:
        n_channels: Number of encoder channels of each session, as ((name, number), ...).

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.modules import Standardiser
        >>> standardiser = Standardiser((("monday", 2),))
        >>> standardiser.set_units(0, mean=jnp.array([10.0, 0.0]), std=jnp.array([2.0, 4.0]))
        >>> standardiser(jnp.array([[[12.0, 4.0]]]), jnp.array([0])).tolist()
        [[[1.0, 1.0]]]
    """

    def __init__(self, n_channels: tuple[tuple[str, int], ...]) -> None:
        self.n_channels = n_channels
        self.mean = nnx.Dict({name: Frozen(jnp.zeros(n)) for name, n in n_channels})
        self.std = nnx.Dict({name: Frozen(jnp.ones(n)) for name, n in n_channels})

    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time channel"]:
        """Returns z, shape (trial, time, channel); padded channels pass as they are."""
        names, width = [name for name, _ in self.n_channels], x.shape[-1]
        means = [_padded(self.mean[name][...], width, 0.0) for name in names]
        stds = [_padded(self.std[name][...], width, 1.0) for name in names]
        return (x - jnp.stack(means)[session][:, None]) / jnp.stack(stds)[session][:, None]

    def set_units(self, session: int, mean: Float[ArrayLike, " channel"], std: Float[ArrayLike, " channel"]) -> None:
        """Sets one session's means and standard deviations, both of shape (channel,), in the unit of the data."""
        name, _ = self.n_channels[session]
        self.mean[name][...], self.std[name][...] = jnp.asarray(mean), jnp.asarray(std)

    def units(self, session: int) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
        """Returns one session's means and standard deviations."""
        name, _ = self.n_channels[session]
        return self.mean[name][...], self.std[name][...]


def _padded(x: Array, width: int, value: float) -> Array:
    return jnp.pad(x, (0, width - len(x)), constant_values=value)

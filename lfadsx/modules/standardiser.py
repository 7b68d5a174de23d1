"""Standardisation of real-valued channels."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int

from lfadsx.modules.readin_readout import keep
from lfadsx.parameters import Frozen, filled


class Standardiser(nnx.Module):
    r"""Subtracts each channel's fixed mean and divides by its fixed unit.

    .. math:: z_c = (x_c - m_c) / s_c

    Real-valued data may have any unit; encoders would saturate in one unit and see nothing in another. Every session
    has its own means and units, which `lfadsx.initialise` sets. Until then, the data pass unchanged.

    Args:
        n_channels: Number of encoder channels of each session, as ((name, number), ...).

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.modules import Standardiser
        >>> standardiser = Standardiser((("monday", 2),))
        >>> standardiser.set_units(0, mean=jnp.array([10.0, 0.0]), unit=jnp.array([2.0, 4.0]))
        >>> standardiser(jnp.array([[[12.0, 4.0]]]), jnp.array([0])).tolist()
        [[[1.0, 1.0]]]
    """

    def __init__(self, n_channels: tuple[tuple[str, int], ...]) -> None:
        self.n_channels = n_channels
        self.mean = nnx.Dict({name: Frozen(filled(n)) for name, n in n_channels})
        self.unit = nnx.Dict({name: Frozen(filled(n, 1.0)) for name, n in n_channels})

    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time channel"]:
        """Returns z, shape (trial, time, channel), without unit; padded channels pass unchanged."""
        return (x - self.mean_of(session, x.shape[2])) / self._of(self.unit, session, x.shape[2], 1.0)

    def mean_of(self, session: Int[ArrayLike, " trial"], width: int) -> Float[Array, "trial 1 channel"]:
        """Returns the means of each trial's session, shape (trial, 1, width), in the unit of the data; 0 in padding."""
        return self._of(self.mean, session, width, 0.0)

    def set_units(self, session: int, mean: Float[ArrayLike, " channel"], unit: Float[ArrayLike, " channel"]) -> None:
        """Sets one session's means and units, both of shape (channel,), in the unit of the data."""
        name, _ = self.n_channels[session]
        self.mean[name][...], self.unit[name][...] = jnp.asarray(mean), jnp.asarray(unit)

    def units(self, session: int) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
        """Returns one session's means and units, both of shape (channel,), in the unit of the data."""
        name, _ = self.n_channels[session]
        return self.mean[name][...], self.unit[name][...]

    def keep_sessions(self, old: Standardiser) -> None:
        """Copies means and units by session."""
        keep(old.mean, self.mean)
        keep(old.unit, self.unit)

    def _of(
        self, values: Mapping[str, nnx.Variable], session: Int[ArrayLike, " trial"], width: int, padding: float
    ) -> Array:
        rows = [jnp.pad(values[name][...], (0, width - n), constant_values=padding) for name, n in self.n_channels]
        return jnp.stack(rows)[jnp.asarray(session)][:, None]

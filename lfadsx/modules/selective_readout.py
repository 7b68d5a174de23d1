"""A read-out of some of the factors, for data that follow them with a delay."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from lfadsx.modules.readin_readout import AbstractReadout, Directions, Mean, Sizes


class SelectiveReadout(AbstractReadout):
    r"""Reads the parameters of bin t from some of the factors of bin t - d.

    .. math:: \theta_t = readout(f_{t - d, a:b})

    Bins without such factors, the first d ones (with a negative delay the last ones), are read from zeros. The loss
    leaves them out, and a `Posterior` holds NaN there. Factors that behaviour is not read from are free for other
    activity.

    Source: behaviourally relevant and irrelevant factors, Hurwitz et al. 2021 (NeurIPS).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules import LinearReadout, SelectiveReadout
        >>> inner = LinearReadout(2, (("monday", 3),), rngs=nnx.Rngs(0))
        >>> readout = SelectiveReadout(inner, 8, (0, 2), delay=1)
        >>> params = readout(jnp.ones((1, 4, 8)), jnp.array([0]))
        >>> params.shape, bool((params[0, 0] == 0).all()), bool((params[0, 1] == 0).any())
        ((1, 4, 3, 1), True, False)

    Args:
        readout: The read-out of the chosen factors.
        n_factors: Number of all factors.
        factors: First of the chosen factors, and the one after the last.
        delay: Bins by which the data follow the factors.
    """

    def __init__(self, readout: AbstractReadout, n_factors: int, factors: tuple[int, int], *, delay: int = 0) -> None:
        self.readout, self.n_factors, self.factors, self.delay = readout, n_factors, factors, delay
        self.n_channels, self.n_targets = readout.n_channels, readout.n_targets

    @property
    def n_params(self) -> int:
        """Number of likelihood parameters per channel, if the read-out records it."""
        return self.readout.n_params  # pyright: ignore[reportAttributeAccessIssue]

    def __call__(
        self, factors: Float[Array, "trial time factor"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time target_channel n_params"]:
        """Returns the likelihood's parameters, shape (trial, time, target_channel, n_params)."""
        (first, end), n_bins, skipped = self.factors, factors.shape[1], max(-self.delay, 0)
        chosen = factors[:, :, first:end]
        if self.delay:
            chosen = jnp.pad(chosen, ((0, 0), (max(self.delay, 0), skipped), (0, 0)))[:, skipped : skipped + n_bins]
        return self.readout(chosen, session)

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters, shape (channel, n_params)."""
        self.readout.set_units(session, value)

    def unit_of(self, session: int) -> Float[Array, "channel n_params"] | float:
        """Returns the units of one session's parameters."""
        return self.readout.unit_of(session)

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Initialises one session's bias to parameters of shape (channel, n_params)."""
        self.readout.set_bias(session, value)

    def start_along(self, directions: Sequence[Directions], mean: Mean) -> None:
        """Initialises the first of the chosen factors along an alignment."""
        self.readout.start_along(directions, mean)

    def check(self, n_targets: Sizes, group: str) -> None:
        """Raises LfadsxError unless the read-out fits these channels."""
        self.readout.check(n_targets, group)

    def with_sessions(self, n_targets: Sizes, *, rngs: nnx.Rngs) -> SelectiveReadout:
        """Returns a read-out of the same factors and delay for other sessions."""
        inner = self.readout.with_sessions(n_targets, rngs=rngs)
        return SelectiveReadout(inner, self.n_factors, self.factors, delay=self.delay)

    def keep_sessions(self, old: AbstractReadout) -> None:
        """Copies the values of sessions that an older read-out of this kind has."""
        if isinstance(old, SelectiveReadout):
            self.readout.keep_sessions(old.readout)

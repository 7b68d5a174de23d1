"""A further target group that the encoders see, such as EMG or LFP beside spikes."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Num

from lfadsx.modules.readin_readout import AbstractReadin, Sizes
from lfadsx.modules.standardiser import Standardiser


class SeenGroup(nnx.Module):
    """The way from the channels of a target group to features that the encoders see.

    The encoders read the data of further groups where the loss finds them: in `Batch.targets`. So data sets, files and
    folds hold each group once, and only the model knows which groups its encoders see. Each group has a read-in of its
    own. Its features stand beside those of the input group.

    Args:
        readin: From the group's channels of each session to features.
        standardiser: Standardises the channels of real-valued data; None for counts.
    """

    def __init__(self, readin: AbstractReadin, standardiser: Standardiser | None = None) -> None:
        self.readin, self.standardiser = readin, standardiser

    def __call__(
        self,
        data: Num[Array, "trial encoder_time channel"],
        seen: Bool[Array, "trial encoder_time channel"],
        gain: Float[Array, ""] | None,
        session: Int[Array, " trial"],
    ) -> Float[Array, "trial encoder_time feature"]:
        """Returns the features, see `features_of`."""
        return features_of(data, seen, gain, session, self.readin, self.standardiser)

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> SeenGroup:
        """Returns the same for other sessions, with a new read-in."""
        standardiser = None if self.standardiser is None else Standardiser(n_channels)
        return SeenGroup(self.readin.with_sessions(n_channels, rngs=rngs), standardiser)

    def keep_sessions(self, old: SeenGroup) -> None:
        """Copies the values of sessions that an older one has."""
        self.readin.keep_sessions(old.readin)
        if self.standardiser is not None and old.standardiser is not None:
            self.standardiser.keep_sessions(old.standardiser)


def features_of(
    data: Float[Array, "trial encoder_time channel"],
    seen: Bool[Array, "trial encoder_time channel"],
    gain: Float[Array, ""] | None,
    session: Int[Array, " trial"],
    readin: AbstractReadin,
    standardiser: Standardiser | None,
) -> Float[Array, "trial encoder_time feature"]:
    """Returns features of channels: standardised, 0 where the encoders see nothing, multiplied by the gain, read in.

    Args:
        data: Data of the channels.
        seen: True for entries that the encoders see.
        gain: Factor that makes up for hidden entries, or None for 1.
        session: Index of each trial's session.
        readin: The map to features.
        standardiser: Standardises the channels, or None.
    """
    if standardiser is not None:
        data = standardiser(data, session)
    data = jnp.where(seen, data, 0.0)
    if gain is not None:
        data = data * gain
    return readin(data, session)

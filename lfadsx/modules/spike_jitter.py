"""Spike jitter: moves the spikes of a training batch in time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Num

from lfadsx.errors import LfadsxError
from lfadsx.modules.augmentations import AbstractAugmentation, Masks, Weights
from lfadsx.modules.dropout import trial_keys
from lfadsx.random import derive
from lfadsx.types import INPUT_GROUP, Batch

if TYPE_CHECKING:
    from lfadsx.config import HyperParams


class SpikeJitter(AbstractAugmentation):
    """Moves every spike by a random number of bins, so that a model cannot learn exact spike times.

    Moves are uniform on -width, ..., width, and reflected at the ends of a trial. Spikes do not move to entries that
    are not observed, nor between the encoder's bins and predicted bins; they stay instead. Encoders and loss see the
    same moved spikes. Spikes move independently, and the count of each trial and neuron does not change.

    Source: the TensorFlow LFADS. Its moves end at width - 1, which biases them, and it also moves the spikes of
    validation trials.

    Args:
        width: Largest move in bins.
        group: The target group whose channels the encoder sees.

    Raises:
        LfadsxError: If `width` is below 1.
    """

    def __init__(self, width: int, group: str = INPUT_GROUP) -> None:
        if width < 1:
            raise LfadsxError(f"`width` of SpikeJitter must be at least 1 bin, got {width}.")
        self.width, self.group = width, group

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with moved spikes, no weights and no masks."""
        del hyper
        (keys,) = trial_keys(key, batch.trial_id)
        lengths = jnp.stack([batch.encoder_length, batch.target_length], axis=1)
        moved = jax.vmap(self._move)(keys, batch.targets[self.group], batch.scored(self.group), lengths)
        seen = _to_encoder(moved, batch)
        changed = dataclasses.replace(batch, encoder_input=seen, targets={**batch.targets, self.group: moved})
        return changed, {}, {}

    def _move(
        self,
        key: Key[Array, ""],
        counts: Num[Array, "time channel"],
        observed: Bool[Array, "time channel"],
        lengths: Int[Array, " two"],
    ) -> Num[Array, "time channel"]:
        """Moves the spikes of one trial; `lengths` are its numbers of bins in the encoder and in all."""
        n_seen, length = lengths
        n_bins, n_channels = counts.shape
        bins = jnp.arange(n_bins)
        left = jnp.where(observed, counts, 0).astype(jnp.result_type(float))
        result = jnp.where(observed, 0.0, counts.astype(left.dtype))
        n_moves = 2 * self.width + 1
        for number in range(n_moves):
            # Number of remaining spikes with this move: a multinomial draw as a sequence of binomial draws.
            share = 1.0 / (n_moves - number)
            goes = left if number == n_moves - 1 else _binomial(derive(key, number), left, share)
            left = left - goes
            to = bins + number - self.width
            to = jnp.where(to < 0, -to - 1, to)
            to = jnp.where(to >= length, 2 * length - 1 - to, to)
            to = jnp.clip(to, 0, n_bins - 1)
            stays = ~observed[to] | ((to < n_seen) != (bins < n_seen))[:, None]
            result = result.at[to].add(jnp.where(stays, 0.0, goes)) + jnp.where(stays, goes, 0.0)
        # The count in a bin may exceed the range of the data's integer type.
        return result.astype(jnp.promote_types(counts.dtype, jnp.int32))


def _binomial(key: Key[Array, ""], n: Float[Array, "time channel"], p: float) -> Float[Array, "time channel"]:
    """Draws from binomial distributions, with one key per channel, so that padding has no effect."""
    keys = derive(key, jnp.arange(n.shape[1]))
    draw = lambda key, n: jnp.where(n > 0, jax.random.binomial(key, n, p, dtype=n.dtype), 0.0)  # noqa: E731
    return jax.vmap(draw, in_axes=(0, 1), out_axes=1)(keys, n)


def _to_encoder(targets: Num[Array, "trial time target_channel"], batch: Batch) -> Num[Array, "..."]:
    """Returns the moved spikes of the encoder channels; channels without target do not change."""
    index = batch.target_index[:, None, :]
    values = jnp.take_along_axis(targets[:, : batch.encoder_input.shape[1]], jnp.maximum(index, 0), axis=2)
    return jnp.where(index >= 0, values, batch.encoder_input)

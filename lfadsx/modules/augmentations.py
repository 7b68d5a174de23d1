"""Augmentations: changes of a training batch, with weights and masks of the loss."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, Num

from lfadsx.errors import LfadsxError
from lfadsx.modules.dropout import share, shares, trial_keys, unless_zero
from lfadsx.random import derive
from lfadsx.types import INPUT_GROUP, Batch

if TYPE_CHECKING:
    from lfadsx.config import HyperParams

Weights = dict[str, Float[Array, "trial time target_channel"]]
Masks = dict[str, Bool[Array, "trial time target_channel"]]


class AbstractAugmentation(nnx.Module):
    """Base class of augmentations, which act only on training batches.

    To write your own, define `__call__`. The augmentations of a run are applied in turn. Their weights are multiplied
    and their gradient masks combined.
    """

    @abc.abstractmethod
    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Changes a batch.

        Args:
            batch: Trials of the step, those that a device computes at once.
            hyper: Hyperparameters; rates are traced scalars.
            key: Random key of this step, the same for all trials. Derive the noise of each trial from its `trial_id`
                with `lfadsx.random.derive`; otherwise all portions of a step have the same noise.

        Returns:
            batch: The changed batch.
            weight: By target group, factors of the entries of the log likelihood; 1 for missing groups.
            open: By target group, True where gradients flow. Elsewhere the loss has the same value and no gradient.
                Missing groups are open everywhere.
        """


class CoordinatedDropout(AbstractAugmentation):
    """Hides entries of the data from the encoders, and learns only from hidden entries.

    Every entry is hidden with probability `cd_rate`; the encoders divide the others by 1 - cd_rate. Gradients of the
    reconstruction flow through hidden entries, and through a share `cd_pass_rate` of the others. Copying single spikes
    therefore does not lower the loss. Held-out neurons and forward-predicted bins are always open. Rate 0 switches it
    off.

    Source: Keshtkaran & Pandarinath 2019, NeurIPS.

    Args:
        group: The target group whose channels the encoder sees.
    """

    def __init__(self, group: str = INPUT_GROUP) -> None:
        self.group = group

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with hidden entries, no weights, and the open entries of the loss."""
        rate = jnp.asarray(hyper.cd_rate)
        (n_bins, n_channels), n_target_bins = batch.encoder_input.shape[1:], batch.n_bins
        (keys,) = trial_keys(key, batch.trial_id)
        channel = channel_of_target(batch.target_index, batch.targets[self.group].shape[2])

        def draw() -> tuple[Array, Array]:
            rows = derive(keys[:, None], jnp.arange(n_target_bins))[..., None]
            kept = shares(rows[:, :n_bins], jnp.arange(n_channels)) >= share(rate)
            # One draw serves both masks: gradients flow through the kept entries with the lowest numbers.
            again = shares(rows, jnp.maximum(channel, 0)[:, None])
            closed = again >= share(rate + hyper.cd_pass_rate * (1.0 - rate))
            # Forward bins of a short trial lie within the encoder window of the longest trial.
            seen = jnp.arange(n_target_bins) < batch.encoder_length[:, None]
            return kept, ~(closed & seen[:, :, None] & (channel >= 0)[:, None])

        kept, opened = unless_zero(rate, draw, (True, True))
        observed = kept if batch.encoder_observed is None else kept & batch.encoder_observed
        gain = (1.0 / (1.0 - rate)).astype(jnp.result_type(float))
        gain = gain if batch.encoder_gain is None else gain * batch.encoder_gain
        changed = dataclasses.replace(batch, encoder_observed=observed, encoder_gain=gain)
        return changed, {}, {self.group: opened}


def combine(
    augmentations: Sequence[AbstractAugmentation], batch: Batch, hyper: HyperParams, keys: Sequence[Key[Array, ""]]
) -> tuple[Batch, Weights, Masks]:
    """Applies augmentations in turn; weights are multiplied, gradient masks combined with "and"."""
    weights: Weights = {}
    opened: Masks = {}
    for augmentation, key in zip(augmentations, keys, strict=True):
        batch, new_weights, new_opened = augmentation(batch, hyper, key)
        weights |= {group: weights.get(group, 1.0) * weight for group, weight in new_weights.items()}
        opened |= {group: opened.get(group, True) & mask for group, mask in new_opened.items()}
    return batch, weights, opened


def channel_of_target(target_index: Int[Array, "trial channel"], n_targets: int) -> Int[Array, "trial target_channel"]:
    """Returns the encoder channel of each target channel, shape (trial, target_channel); -1 if it has none."""
    n_trials, n_channels = target_index.shape
    # The scatter drops an index past the end; -1 would wrap around.
    index = jnp.where(target_index < 0, n_targets, target_index)
    none = jnp.full((n_trials, n_targets), -1, index.dtype)
    return none.at[jnp.arange(n_trials)[:, None], index].set(jnp.arange(n_channels, dtype=index.dtype), mode="drop")


def to_targets(
    mask: Bool[Array, "trial encoder_time channel"],
    target_index: Int[Array, "trial channel"],
    shape: tuple[int, ...],
) -> Bool[Array, "trial time target_channel"]:
    """Maps a mask of encoder entries to target entries of a shape; False for targets without encoder channel."""
    _, n_bins, n_targets = shape
    channel = channel_of_target(target_index, n_targets)[:, None]
    padded = jnp.pad(mask, ((0, 0), (0, n_bins - mask.shape[1]), (0, 0)))
    return jnp.take_along_axis(padded, jnp.maximum(channel, 0), axis=2) & (channel >= 0)


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

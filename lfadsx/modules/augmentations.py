"""Augmentations: changes of a training batch, with weights and masks of the loss."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

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

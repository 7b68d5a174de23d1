"""Augmentations: changes of a training batch, with weights and masks of the loss."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.types import Batch

if TYPE_CHECKING:
    from lfadsx.config import HyperParams

Weights = dict[str, Float[Array, "trial time target_channel"]]
Masks = dict[str, Bool[Array, "trial time target_channel"]]
T = TypeVar("T", Weights, Masks)


class AbstractAugmentation(nnx.Module):
    """Base class of augmentations, which act only on training batches.

    To write your own, define `__call__`. The augmentations of a run are applied by their `stage`, and within a stage in
    the given order. Their weights are multiplied and their gradient masks combined.

    Attributes:
        stage: 0 hides entries before anything else, so that no later augmentation can move them into sight; 1 is the
            default; 2 moves whole channels in time, together with all that is hidden, weighted or masked.
    """

    stage: int = 1

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

    def carried(self, values: T, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> T:
        """Returns weights or gradient masks of earlier augmentations, moved as this one moves the target entries.

        The default leaves them in place.

        Args:
            values: Arrays (trial, time, target_channel) by target group.
            batch: The batch before this augmentation.
            hyper: Hyperparameters.
            key: The key of `__call__`.
        """
        return values


def combine(
    augmentations: Sequence[AbstractAugmentation], batch: Batch, hyper: HyperParams, keys: Sequence[Key[Array, ""]]
) -> tuple[Batch, Weights, Masks]:
    """Applies augmentations stage by stage; weights are multiplied, gradient masks combined with "and"."""
    weights: Weights = {}
    opened: Masks = {}
    for augmentation, key in sorted(zip(augmentations, keys, strict=True), key=lambda pair: pair[0].stage):
        weights = augmentation.carried(weights, batch, hyper, key)
        opened = augmentation.carried(opened, batch, hyper, key)
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


def with_forward_bins(
    mask: Bool[Array, "trial encoder_time target_channel"], batch: Batch
) -> Bool[Array, "trial time target_channel"]:
    """Returns a mask of encoder bins as one of all bins, False in the bins of forward prediction."""
    return jnp.pad(mask, ((0, 0), (0, batch.n_bins - mask.shape[1]), (0, 0)))


def hide(
    batch: Batch,
    kept: Bool[Array, "trial _ channel"],
    rate: Float[Array, ""] | float,
    kept_others: Mapping[str, Bool[Array, "trial _ target_channel"]] = MappingProxyType({}),
) -> Batch:
    """Returns the batch with entries hidden from the encoders; others are divided by 1 - rate, the expected share.

    Args:
        batch: The trials.
        kept: False for entries of the input group to hide.
        rate: Share of the entries that is hidden, of all groups alike.
        kept_others: False for entries to hide, by further target group that the encoders see.
    """
    kept = jnp.broadcast_to(kept, batch.encoder_input.shape)
    observed = kept if batch.encoder_observed is None else kept & batch.encoder_observed
    gain = (1.0 / (1.0 - jnp.asarray(rate))).astype(jnp.result_type(float))
    gain = gain if batch.encoder_gain is None else gain * batch.encoder_gain
    shown = {group: batch.shown.get(group, True) & mask for group, mask in kept_others.items()}
    return dataclasses.replace(batch, encoder_observed=observed, encoder_gain=gain, shown={**batch.shown, **shown})

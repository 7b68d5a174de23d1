"""Augmentations that hide entries from the encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from lfadsx.modules.augmentations import AbstractAugmentation, Masks, Weights, channel_of_target, hide, to_targets
from lfadsx.modules.dropout import share, shares, trial_keys, unless_zero
from lfadsx.random import derive
from lfadsx.types import INPUT_GROUP, Batch

if TYPE_CHECKING:
    from lfadsx.config import HyperParams


class CoordinatedDropout(AbstractAugmentation):
    """Hides entries of the data from the encoders, and learns from hidden entries and from a share of the others.

    Every entry is hidden with probability `cd_rate`; the encoders divide the others by 1 - cd_rate. Gradients of the
    reconstruction flow through hidden entries, and through a share `cd_pass_rate` of the others. With a share of 0,
    copying single spikes does not lower the loss. Held-out neurons and forward-predicted bins are always open. Rate 0
    switches it off.

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
        return hide(batch, kept, rate), {}, {self.group: opened}


class SampleValidation(AbstractAugmentation):
    r"""Withholds entries from training, and always the same ones, so that they can be scored as unseen data.

    Every entry of a training trial that the encoders would see is withheld with probability r = `sv_rate`. Encoders see
    it as missing, and its weight in the loss is 0; the others weigh 1 / (1 - r). The history reports both parts in
    nats per trial, each divided by its share:

    .. math::
        \text{sv\_trained} = -\frac{1}{1 - r} \sum_{\text{trained}} \log p(x_{tn}), \quad
        \text{sv\_withheld} = -\frac{1}{r} \sum_{\text{withheld}} \log p(x_{tn})

    If only the first falls, the model overfits. Held-out neurons and forward-predicted bins train as usual.

    Source: Keshtkaran & Pandarinath 2019, NeurIPS.

    Args:
        group: The target group whose channels the encoder sees.
        seed: Seed of the choice of entries.
    """

    stage = 0

    def __init__(self, group: str = INPUT_GROUP, seed: int = 0) -> None:
        self.group, self.seed = group, seed

    def withheld(self, batch: Batch, hyper: HyperParams) -> Bool[Array, "trial encoder_time channel"]:
        """Returns True for withheld entries; they depend only on the seed, the rate and the trial's id."""
        _, n_bins, n_channels = batch.encoder_input.shape

        def draw() -> Array:
            # Training steps count from 0, so no step uses this key.
            (keys,) = trial_keys(derive(jax.random.key(self.seed), -2), batch.trial_id)
            rows = derive(keys[:, None], jnp.arange(n_bins))[..., None]
            return shares(rows, jnp.arange(n_channels)) < share(hyper.sv_rate)

        return unless_zero(hyper.sv_rate, draw, False) & batch.in_encoder()[:, :, None]

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch without the withheld entries, the weights of all entries, and no masks."""
        withheld, shape = self.withheld(batch, hyper), batch.targets[self.group].shape
        every = jnp.broadcast_to(batch.in_encoder()[:, :, None], withheld.shape)
        can_be = to_targets(every, batch.target_index, shape)
        weight = jnp.where(can_be, 1.0 / (1.0 - jnp.asarray(hyper.sv_rate, jnp.result_type(float))), 1.0)
        weight = jnp.where(to_targets(withheld, batch.target_index, shape), 0.0, weight)
        return hide(batch, ~withheld, hyper.sv_rate), {self.group: weight}, {}


class NeuronDropout(AbstractAugmentation):
    """Hides whole channels of a trial from the encoders; the decoder has to explain them from the others.

    Every channel of every trial is hidden with probability `neuron_dropout_rate`; the encoders divide the others by
    1 - `neuron_dropout_rate`. Loss and gradient masks do not change. Rate 0 switches it off.
    """

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with hidden channels, no weights and no masks."""
        rate, channels = hyper.neuron_dropout_rate, jnp.arange(batch.encoder_input.shape[2])
        (keys,) = trial_keys(key, batch.trial_id)
        kept = unless_zero(rate, lambda: shares(keys[:, None], channels) >= share(rate), True)
        return hide(batch, kept[:, None], rate), {}, {}

"""Augmentations that hide entries from the encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from lfadsx.modules.augmentations import (
    AbstractAugmentation,
    Masks,
    Weights,
    channel_of_target,
    hide,
    to_targets,
    with_forward_bins,
)
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
        others: Further target groups that the encoders see; their entries are hidden alike.
    """

    def __init__(self, group: str = INPUT_GROUP, others: Sequence[str] = ()) -> None:
        self.group, self.others = group, tuple(others)

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with hidden entries, no weights, and the open entries of the loss."""
        (keys,) = trial_keys(key, batch.trial_id)
        channel = channel_of_target(batch.target_index, batch.targets[self.group].shape[2])
        kept, opened = _coordinated(batch, hyper, keys, batch.encoder_input.shape[2], channel)
        kept_others, open_others = {}, {}
        for group, own in _keys_of(keys, self.others):
            n = batch.targets[group].shape[2]
            kept_others[group], open_others[group] = _coordinated(batch, hyper, own, n, jnp.arange(n)[None])
        return hide(batch, kept, hyper.cd_rate, kept_others), {}, {self.group: opened, **open_others}


def _coordinated(
    batch: Batch,
    hyper: HyperParams,
    keys: Key[Array, " trial"],
    n_channels: int,
    channel: Int[Array, "_ target_channel"],
) -> tuple[Bool[Array, "trial encoder_time channel"], Bool[Array, "trial time target_channel"]]:
    """Draws the entries of a group that encoders keep, and its open entries of the loss.

    Args:
        batch: The trials.
        hyper: Hyperparameters.
        keys: One key for each trial.
        n_channels: Channels of the group that encoders see.
        channel: Which of them a target channel is; -1 for none.
    """
    rate = jnp.asarray(hyper.cd_rate)
    n_bins, n_target_bins = batch.encoder_input.shape[1], batch.n_bins

    def draw() -> tuple[Array, Array]:
        rows = derive(keys[:, None], jnp.arange(n_target_bins))[..., None]
        kept = shares(rows[:, :n_bins], jnp.arange(n_channels)) >= share(rate)
        # One draw serves both masks: gradients flow through the kept entries with the lowest numbers.
        again = shares(rows, jnp.maximum(channel, 0)[:, None])
        closed = again >= share(rate + hyper.cd_pass_rate * (1.0 - rate))
        # Forward bins of a short trial lie within the encoder window of the longest trial.
        seen = jnp.arange(n_target_bins) < batch.encoder_length[:, None]
        return kept, ~(closed & seen[:, :, None] & (channel >= 0)[:, None])

    return unless_zero(rate, draw, (True, True))


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
        others: Further target groups that the encoders see; their entries are withheld alike.
    """

    stage = 0

    def __init__(self, group: str = INPUT_GROUP, seed: int = 0, others: Sequence[str] = ()) -> None:
        self.group, self.seed, self.others = group, seed, tuple(others)

    def withheld(self, batch: Batch, hyper: HyperParams) -> Bool[Array, "trial encoder_time channel"]:
        """Returns True for withheld entries; they depend only on the seed, the rate and the trial's id."""
        return self._draw(batch, hyper, self._keys(batch), batch.encoder_input.shape[2])

    def withheld_of_others(self, batch: Batch, hyper: HyperParams) -> Masks:
        """Returns True for withheld entries of further groups, shape (trial, encoder_time, target_channel)."""
        keys = _keys_of(self._keys(batch), self.others)
        return {group: self._draw(batch, hyper, own, batch.targets[group].shape[2]) for group, own in keys}

    def withheld_targets(self, batch: Batch, hyper: HyperParams) -> Masks:
        """Returns True for withheld entries of the targets, by group."""
        own = to_targets(self.withheld(batch, hyper), batch.target_index, batch.targets[self.group].shape)
        others = self.withheld_of_others(batch, hyper)
        return {self.group: own, **{group: with_forward_bins(mask, batch) for group, mask in others.items()}}

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch without the withheld entries, the weights of all entries, and no masks."""
        withheld, others = self.withheld(batch, hyper), self.withheld_of_others(batch, hyper)
        every = jnp.broadcast_to(batch.in_encoder()[:, :, None], withheld.shape)
        can_be = {self.group: to_targets(every, batch.target_index, batch.targets[self.group].shape)}
        can_be |= {group: with_forward_bins(batch.in_encoder()[:, :, None], batch) for group in others}
        raised = 1.0 / (1.0 - jnp.asarray(hyper.sv_rate, jnp.result_type(float)))
        weights = {
            group: jnp.where(mask, 0.0, jnp.where(can_be[group], raised, 1.0))
            for group, mask in self.withheld_targets(batch, hyper).items()
        }
        kept = {group: ~mask for group, mask in others.items()}
        return hide(batch, ~withheld, hyper.sv_rate, kept), weights, {}

    def _keys(self, batch: Batch) -> Key[Array, " trial"]:
        # Training steps count from 0, so no step uses this key.
        return trial_keys(derive(jax.random.key(self.seed), -2), batch.trial_id)[0]

    def _draw(
        self, batch: Batch, hyper: HyperParams, keys: Key[Array, " trial"], n_channels: int
    ) -> Bool[Array, "trial encoder_time channel"]:
        def draw() -> Array:
            rows = derive(keys[:, None], jnp.arange(batch.encoder_input.shape[1]))[..., None]
            return shares(rows, jnp.arange(n_channels)) < share(hyper.sv_rate)

        return unless_zero(hyper.sv_rate, draw, False) & batch.in_encoder()[:, :, None]


class NeuronDropout(AbstractAugmentation):
    """Hides whole channels of a trial from the encoders; the decoder has to explain them from the others.

    Every channel of every trial is hidden with probability `neuron_dropout_rate`; the encoders divide the others by
    1 - `neuron_dropout_rate`. Loss and gradient masks do not change. Rate 0 switches it off.

    Args:
        others: Further target groups that the encoders see; their channels are hidden alike.
    """

    def __init__(self, others: Sequence[str] = ()) -> None:
        self.others = tuple(others)

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with hidden channels, no weights and no masks."""
        (keys,) = trial_keys(key, batch.trial_id)
        kept = _kept_channels(hyper, keys, batch.encoder_input.shape[2])
        others = {
            group: _kept_channels(hyper, own, batch.targets[group].shape[2])
            for group, own in _keys_of(keys, self.others)
        }
        return hide(batch, kept, hyper.neuron_dropout_rate, others), {}, {}


def _kept_channels(hyper: HyperParams, keys: Key[Array, " trial"], n: int) -> Bool[Array, "trial 1 channel"]:
    rate = hyper.neuron_dropout_rate
    return unless_zero(rate, lambda: shares(keys[:, None], jnp.arange(n)) >= share(rate), True)[:, None]


def _keys_of(keys: Key[Array, " trial"], groups: Sequence[str]) -> list[tuple[str, Key[Array, " trial"]]]:
    """Returns a key for each further group. Keys of bins count from 0, so negative numbers are free."""
    return [(group, derive(keys, -1 - number)) for number, group in enumerate(groups)]

"""Augmentations that change values: spikes move, channels shift, amplitudes get noise."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Num

from lfadsx.errors import LfadsxError
from lfadsx.modules.augmentations import AbstractAugmentation, Masks, T, Weights, to_targets
from lfadsx.modules.dropout import trial_keys, unless_zero
from lfadsx.random import derive, normal
from lfadsx.types import INPUT_GROUP, Batch

if TYPE_CHECKING:
    from lfadsx.config import HyperParams


class SpikeJitter(AbstractAugmentation):
    """Moves every spike by a random number of bins, so that a model cannot learn exact spike times.

    Moves are uniform on -width, ..., width, and reflected at the ends of a trial. Of all spikes only the share
    `spike_jitter_rate` may move. Spikes move between entries that the encoders see, or between observed entries that
    encoders can never see (held-out neurons, predicted bins); missing and hidden entries keep their spikes. Encoders
    and loss see the same moved spikes. Spikes move independently, and the count of each trial and neuron does not
    change.

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
        counts, seen = batch.targets[self.group], batch.seen()
        window = jnp.broadcast_to(batch.in_encoder()[:, :, None], seen.shape)
        seen, can_be = (to_targets(mask, batch.target_index, counts.shape) for mask in (seen, window))
        free = batch.scored(self.group) & (seen | ~can_be)
        move = partial(self._move, rate=hyper.spike_jitter_rate)
        moved = jax.vmap(move)(keys, counts, free, lengths)
        values = _to_encoder(moved, free, batch)
        changed = dataclasses.replace(batch, encoder_input=values, targets={**batch.targets, self.group: moved})
        return changed, {}, {}

    def _move(
        self,
        key: Key[Array, ""],
        counts: Num[Array, "time channel"],
        free: Bool[Array, "time channel"],
        lengths: Int[Array, " two"],
        rate: Float[Array, ""] | float,
    ) -> Num[Array, "time channel"]:
        """Moves the spikes of free entries of a trial; `lengths` are its numbers of bins in the encoder and in all."""
        n_seen, length = lengths
        n_bins, n_channels = counts.shape
        bins = jnp.arange(n_bins)
        left = jnp.where(free, counts, 0).astype(jnp.result_type(float))
        result = jnp.where(free, 0.0, counts.astype(left.dtype))
        moves = [move for move in range(-self.width, self.width + 1) if move]
        for number, move in enumerate(moves):
            # Number of remaining spikes with this move: a multinomial draw as a sequence of binomial draws.
            goes = _binomial(derive(key, number), left, rate / (len(moves) + 1 - rate * number))
            left = left - goes
            to = bins + move
            to = jnp.where(to < 0, -to - 1, to)
            to = jnp.where(to >= length, 2 * length - 1 - to, to)
            to = jnp.clip(to, 0, n_bins - 1)
            stays = ~free[to] | ((to < n_seen) != (bins < n_seen))[:, None]
            result = result.at[to].add(jnp.where(stays, 0.0, goes)) + jnp.where(stays, goes, 0.0)
        result = result + left
        # The count in a bin may exceed the range of the data's integer type.
        return result.astype(jnp.promote_types(counts.dtype, jnp.int32))


def _binomial(key: Key[Array, ""], n: Float[Array, "time channel"], p: Any) -> Float[Array, "time channel"]:
    """Draws from binomial distributions, with one key per channel, so that padding has no effect."""
    keys = derive(key, jnp.arange(n.shape[1]))
    draw = lambda key, n: jnp.where(n > 0, jax.random.binomial(key, n, p, dtype=n.dtype), 0.0)  # noqa: E731
    return jax.vmap(draw, in_axes=(0, 1), out_axes=1)(keys, n)


def _to_encoder(
    targets: Num[Array, "trial time target_channel"], observed: Bool[Array, "trial time target_channel"], batch: Batch
) -> Num[Array, "trial encoder_time channel"]:
    """Returns the moved spikes of the encoder channels; channels without target, and missing ones, do not change."""
    index = jnp.maximum(batch.target_index[:, None, :], 0)
    n_bins = batch.encoder_input.shape[1]
    values, moved = (jnp.take_along_axis(array[:, :n_bins], index, axis=2) for array in (targets, observed))
    return jnp.where(moved & (batch.target_index[:, None, :] >= 0), values, batch.encoder_input)


class TemporalShift(AbstractAugmentation):
    r"""Shifts every channel of every trial in time, so that a model cannot rely on exact coincidences.

    .. math:: x'_{tn} = x_{t - s_n, n}, \quad s_n = \mathrm{round}(\sigma \, \mathrm{clip}(\epsilon_n, -2, 2))

    with sigma = `temporal_shift` in bins and normal epsilon. Values at the ends of a trial are repeated. What the
    encoders see and what the loss compares with are shifted independently. Missing and hidden entries, weights and
    gradient masks move with the values. A standard deviation of 0 switches it off.

    Source: Wimalasena et al. 2022, Journal of Neural Engineering 19, and lfads-torch, whose defaults are a standard
    deviation of 3 and shifts of up to 6 bins.

    Args:
        group: The target group whose channels the encoder sees.
    """

    stage = 2

    def __init__(self, group: str = INPUT_GROUP) -> None:
        self.group = group

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with shifted channels, no weights and no masks."""
        keys, _ = trial_keys(key, batch.trial_id, 2)
        source = _sources(keys, batch.encoder_input.shape, batch.encoder_length, hyper.temporal_shift)
        shift = lambda values: None if values is None else jnp.take_along_axis(values, source, axis=1)  # noqa: E731
        of_targets = lambda x: None if x is None else self._of_targets(x, batch, hyper, key)  # noqa: E731
        observed = of_targets(batch.target_observed[self.group])
        changed = dataclasses.replace(
            batch,
            encoder_input=shift(batch.encoder_input),
            encoder_observed=shift(batch.encoder_observed),
            targets={**batch.targets, self.group: of_targets(batch.targets[self.group])},
            target_observed={**batch.target_observed, self.group: observed},
        )
        return changed, {}, {}

    def carried(self, values: T, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> T:
        """Returns weights or gradient masks, shifted like the targets."""
        own = {group: self._of_targets(x, batch, hyper, key) for group, x in values.items() if group == self.group}
        return {**values, **own}

    def _of_targets(self, values: Any, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> Any:
        """Returns an array (trial, time, target_channel), shifted like the targets."""
        _, keys = trial_keys(key, batch.trial_id, 2)
        source = _sources(keys, values.shape, batch.target_length, hyper.temporal_shift)
        return jnp.take_along_axis(values, source, axis=1)


def _sources(
    keys: Key[Array, " trial"], shape: tuple[int, ...], length: Int[Array, " trial"], std: Float[Array, ""] | float
) -> Int[Array, "trial time channel"]:
    """Returns the bin that each entry of shape (trial, time, channel) takes its value from."""
    draw = jax.vmap(lambda key: normal(key, shape[2:]))
    steps = jnp.round(jnp.clip(unless_zero(std, lambda: draw(keys), 0.0), -2.0, 2.0) * std).astype(jnp.int32)
    source = jnp.arange(shape[1])[:, None] - steps[:, None]
    return jnp.maximum(jnp.minimum(source, length[:, None, None] - 1), 0)


class AmplitudeNoise(AbstractAugmentation):
    r"""Adds noise to the real values that encoders see; the loss compares with the values themselves.

    .. math:: x'_{tn} = x_{tn} + a \, \sigma_n \epsilon_{tn}

    with a = `amplitude_noise`, normal epsilon, and the standard deviation sigma of the channel over the trial's visible
    bins, so that the unit of the data has no effect. An amplitude of 0 switches it off.
    """

    def __call__(self, batch: Batch, hyper: HyperParams, key: Key[Array, ""]) -> tuple[Batch, Weights, Masks]:
        """Returns the batch with noise in the encoders' data, no weights and no masks."""
        (keys,), seen = trial_keys(key, batch.trial_id), batch.seen()
        _, n_bins, n_channels = seen.shape
        # One key per channel, so that padding has no effect.
        of_trial = jax.vmap(lambda key: normal(key, (n_bins,)), out_axes=1)

        def draw() -> Array:
            return jax.vmap(of_trial)(derive(keys[:, None], jnp.arange(n_channels)))

        values = jnp.where(seen, batch.encoder_input, 0.0)
        count = jnp.maximum(seen.sum(1, keepdims=True), 1)
        deviation = jnp.where(seen, values - values.sum(1, keepdims=True) / count, 0.0)
        std = jnp.sqrt((deviation**2).sum(1, keepdims=True) / count)
        noise = hyper.amplitude_noise * std * unless_zero(hyper.amplitude_noise, draw, 0.0)
        noisy = jnp.where(seen, values + noise, values).astype(jnp.result_type(batch.encoder_input, float))
        return dataclasses.replace(batch, encoder_input=noisy), {}, {}

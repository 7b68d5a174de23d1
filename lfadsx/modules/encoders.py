"""Encoders: from a trial's data to the inputs of the initial condition's posterior and of the controller."""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from lfadsx.modules.gru import GRU, run_gru
from lfadsx.parameters import filled


class AbstractEncoder(nnx.Module):
    """Base class of encoders.

    To write your own, set `n_states` and `n_ends` and define `__call__`. It can then serve the initial condition, the
    controller or both, with trials of different lengths. The builders pass to the constructor those of these arguments
    that it has: `n_in`, width of the data; `n_units`; `lag`, number of bins between the encoding and the data of the
    current bin; `rngs`.

    Attributes:
        n_states: Width of the encoding of each bin.
        n_ends: Width of the summary of a trial.
    """

    n_states: int
    n_ends: int

    @abc.abstractmethod
    def __call__(
        self, sequence: Float[Array, "trial time feature"], length: Int[Array, " trial"]
    ) -> tuple[Float[Array, "trial time n_states"], Float[Array, "trial n_ends"]]:
        """Encodes every trial, only from its own bins.

        Args:
            sequence: Data, shape (trial, time, feature); bins from `length` on are padding.
            length: Number of bins of each trial, shape (trial,).

        Returns:
            states: Input of the controller at each bin, shape (trial, time, n_states); zero in the padding.
            ends: Summary for the initial condition, shape (trial, n_ends).
        """

    @abc.abstractmethod
    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the matrices of the L2 penalty; an empty tuple if there are none."""


class _GRUEncoder(AbstractEncoder):
    """Base class of GRU encoders.

    Args:
        n_in: Width of the data.
        n_units: Number of units, per direction.
        lag: Controller lag in bins.
        clip: Bound of the states.
        keep_bias: Bias of the keep gate at the start.
        reset_bias: Bias of the reset gate at the start.
        weight_scale: Gain of the initial weights.
        segment_bins: Number of bins between states that are kept for the gradient, see `in_segments`; 0: all are kept.
    """

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        lag: int = 0,
        clip: float = 5.0,
        keep_bias: float = 1.0,
        reset_bias: float = 1.0,
        weight_scale: float = 1.0,
        segment_bins: int = 0,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_in, self.n_units, self.lag, self.clip = n_in, n_units, lag, clip
        self.keep_bias, self.reset_bias, self.weight_scale = keep_bias, reset_bias, weight_scale
        self.segment_bins = segment_bins
        self._start(rngs)

    def _start(self, rngs: nnx.Rngs) -> None:
        """Creates the forward GRU."""
        self.n_states = self.n_ends = self.n_units
        self.forward, self.forward_initial = self._gru(rngs), nnx.Param(filled(self.n_units))

    def _gru(self, rngs: nnx.Rngs) -> GRU:
        """Returns a GRU whose input and recurrent weights have the same initial scale."""
        gates: dict[str, Any] = dict(clip=self.clip, keep_bias=self.keep_bias, reset_bias=self.reset_bias)
        scales: dict[str, Any] = dict(input_scale=self.weight_scale, hidden_scale=self.weight_scale)
        return GRU(self.n_in, 0, self.n_units, **gates, **scales, fan_in="joint", rngs=rngs)

    def __call__(
        self, sequence: Float[Array, "trial time feature"], length: Int[Array, " trial"]
    ) -> tuple[Float[Array, "trial time n_states"], Float[Array, "trial n_ends"]]:
        """Returns states and ends, see `AbstractEncoder.__call__`."""
        sequence = jnp.swapaxes(sequence, 0, 1)
        inside = jnp.arange(sequence.shape[0])[:, None] < length
        states, ends = self._run(sequence, inside)
        return jnp.swapaxes(states, 0, 1), ends

    def _run(self, sequence: Array, inside: Array) -> tuple[Array, Array]:
        """Returns the shifted states, time first, and the ends."""
        settings: dict[str, Any] = dict(segment_bins=self.segment_bins)
        states, last = run_gru(self.forward, sequence, self.forward_initial[...], inside, **settings)
        return _shift(states, inside, self.lag), last

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the recurrent matrices."""
        return self.forward.recurrent_weights()


class CausalGRU(_GRUEncoder):
    """A forward GRU with a trained initial state. The state at bin t does not depend on data after bin t - lag.

    The ends are the state of the trial's last bin.
    """


class BidirectionalGRU(_GRUEncoder):
    """A forward and a backward GRU with trained initial states.

    At bin t the controller sees the forward state of bin t - lag and the backward state of bin t + lag, so it cannot
    copy the data of bin t. The ends are the forward state of the trial's last bin and the backward state of its first
    bin.
    """

    def _start(self, rngs: nnx.Rngs) -> None:
        super()._start(rngs)
        self.n_states = self.n_ends = 2 * self.n_units
        self.backward, self.backward_initial = self._gru(rngs), nnx.Param(filled(self.n_units))

    def _run(self, sequence: Array, inside: Array) -> tuple[Array, Array]:
        settings: dict[str, Any] = dict(reverse=True, segment_bins=self.segment_bins)
        forward, last = super()._run(sequence, inside)
        backward, first = run_gru(self.backward, sequence, self.backward_initial[...], inside, **settings)
        backward = _shift(backward, inside, -self.lag)
        return jnp.concatenate([forward, backward], axis=-1), jnp.concatenate([last, first], axis=-1)

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the recurrent matrices of both directions."""
        return self.forward.recurrent_weights() + self.backward.recurrent_weights()


class NoEncoder(AbstractEncoder):
    """Placeholder with outputs of width 0, for models whose initial condition is a trained point (`PointPrior`)."""

    def __init__(self) -> None:
        self.n_states = self.n_ends = 0

    def __call__(
        self, sequence: Float[Array, "trial time feature"], length: Int[Array, " trial"]
    ) -> tuple[Float[Array, "trial time n_states"], Float[Array, "trial n_ends"]]:
        """Returns states and ends of width 0."""
        return sequence[:, :, :0], sequence[:, 0, :0]

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns an empty tuple."""
        return ()


def _shift(states: Array, inside: Array, lag: int) -> Array:
    """Delays states by `lag` bins (advances them if negative), filled with zeros; padding stays zero."""
    states = jnp.where(inside[:, :, None], states, 0.0)
    n_bins = states.shape[0]
    if lag > 0:
        states = jnp.pad(states, ((lag, 0), (0, 0), (0, 0)))[:n_bins]
    elif lag < 0:
        states = jnp.pad(states, ((0, -lag), (0, 0), (0, 0)))[-lag:]
    return jnp.where(inside[:, :, None], states, 0.0)

"""The GRU of LFADS and its loop over time."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from lfadsx.parameters import scaled_normal


class GRU(nnx.Module):
    r"""The gated recurrent unit of LFADS, with its input split in a known and a live part.

    .. math::
        k &= \sigma(W_k x + U_k h + b_k), \quad r = \sigma(W_r x + U_r h + b_r) \\
        n &= \tanh(W_n x + U_n (r \circ h) + b_n) \\
        h' &= clip(k \circ h + (1 - k) \circ n, \pm c)

    The reset gate acts before the recurrent product (unlike cuDNN and `nnx.GRUCell`). Columns of the weight
    matrices are ordered keep, reset, new. Known inputs exist before the loop over time: `project` maps a whole
    sequence at once. Live inputs arise inside the loop.

    Source: Sussillo et al. 2016 (arXiv 1608.06315), equations 2 to 6.

    Args:
        n_known: Width of the input that is known before the loop; 0 for none.
        n_live: Width of the input that arises inside the loop; 0 for none.
        n_hidden: Number of units.
        clip: Bound c of the state; infinity for none.
        keep_bias: Bias of the keep gate at the start.
        reset_bias: Bias of the reset gate at the start.
        fan_in: Spread of the initial weights: "separate" takes 1 / sqrt(inputs) for W and 1 / sqrt(units) for U,
            "joint" takes 1 / sqrt(inputs + units) for both.
        input_scale: Gain of the initial W.
        hidden_scale: Gain of the initial U.
        rngs: Source of the initial weights.
    """

    def __init__(
        self,
        n_known: int,
        n_live: int,
        n_hidden: int,
        *,
        clip: float = 5.0,
        keep_bias: float = 1.0,
        reset_bias: float = 1.0,
        fan_in: Literal["separate", "joint"] = "separate",
        input_scale: float = 1.0,
        hidden_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_known, self.n_live, self.n_hidden, self.clip = n_known, n_live, n_hidden, clip
        self.keep_bias, self.reset_bias, self.fan_in = keep_bias, reset_bias, fan_in
        self.input_scale, self.hidden_scale = input_scale, hidden_scale
        n_input = n_known + n_live
        input_fan, hidden_fan = (n_input, n_hidden) if fan_in == "separate" else (n_input + n_hidden,) * 2
        width = 3 * n_hidden
        self.w_known = nnx.Param(scaled_normal(rngs, (n_known, width), input_fan, input_scale)) if n_known else None
        self.w_live = nnx.Param(scaled_normal(rngs, (n_live, width), input_fan, input_scale)) if n_live else None
        self.w_hidden = nnx.Param(scaled_normal(rngs, (n_hidden, width), hidden_fan, hidden_scale))
        bias = [jnp.full(n_hidden, keep_bias), jnp.full(n_hidden, reset_bias), jnp.zeros(n_hidden)]
        self.bias = nnx.Param(jnp.concatenate(bias))

    def project(self, known: Float[Array, "*batch n_known"] | None) -> Float[Array, "*batch gates"]:
        """Returns the known input's share of all gates, bias included, shape (..., 3 n_hidden)."""
        if self.w_known is None:
            return self.bias[...]
        return known @ self.w_known[...] + self.bias[...]

    def step(
        self,
        state: Float[Array, "trial n_hidden"],
        projected: Float[Array, "*trial gates"],
        live: Float[Array, "trial n_live"] | None = None,
    ) -> Float[Array, "trial n_hidden"]:
        """Returns the next state from the state, one bin of `project` and the live input."""
        n = self.n_hidden
        if self.w_live is not None:
            projected = projected + live @ self.w_live[...]
        w_hidden = self.w_hidden[...]
        gates = jax.nn.sigmoid(projected[..., : 2 * n] + state @ w_hidden[:, : 2 * n])
        keep, reset = gates[..., :n], gates[..., n:]
        new = jnp.tanh(projected[..., 2 * n :] + (reset * state) @ w_hidden[:, 2 * n :])
        return jnp.clip(keep * state + (1.0 - keep) * new, -self.clip, self.clip)

    def recurrent_weights(self) -> tuple[Float[Array, ...], ...]:
        """Returns the matrices that the L2 penalty acts on: U of all gates."""
        return (self.w_hidden[...],)


def run_gru(
    gru: GRU,
    sequence: Float[Array, "time trial n_known"],
    initial: Float[Array, " n_hidden"],
    inside: Bool[Array, "time trial"],
    *,
    reverse: bool = False,
) -> tuple[Float[Array, "time trial n_hidden"], Float[Array, "trial n_hidden"]]:
    """Runs a GRU over a known sequence; outside a trial its state is held.

    Held states let trials of different length share a batch: a forward run ends with the state of the trial's
    own last bin, a reversed run starts there.

    Args:
        gru: The cell, without live input.
        sequence: Input, shape (time, trial, n_known).
        initial: State before the first bin, shape (n_hidden,).
        inside: True for bins of the trial, shape (time, trial).
        reverse: Whether to run from the last bin to the first.

    Returns:
        States after each bin, shape (time, trial, n_hidden), and the final state, shape (trial, n_hidden).
    """
    start = jnp.broadcast_to(initial, (sequence.shape[1], gru.n_hidden))
    projected = gru.project(sequence)
    states: Array = _recur(gru.clip, reverse, projected, start, inside, gru.w_hidden[...])  # pyright: ignore
    return states, states[0 if reverse else -1] if len(states) else start


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array, w_hidden: Array
) -> Float[Array, "time trial n_hidden"]:
    """The recurrence of `GRU.step` over a known sequence, with the derivative written out.

    What JAX derives by itself adds to the gradient of the weights at every bin. Here the loop backward keeps the
    derivatives of the gates, and the weights get theirs in one product after the loop.
    """
    return _recur_forward(clip, reverse, projected, start, inside, w_hidden)[0]


def _recur_forward(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array, w_hidden: Array
) -> tuple[Array, tuple[Array, ...]]:
    n = start.shape[-1]
    w_gates, w_new = w_hidden[:, : 2 * n], w_hidden[:, 2 * n :]

    def step(state: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array, Array]]:
        projected_t, inside_t = now
        gates = jax.nn.sigmoid(projected_t[:, : 2 * n] + state @ w_gates)
        keep, reset = gates[:, :n], gates[:, n:]
        new = jnp.tanh(projected_t[:, 2 * n :] + (reset * state) @ w_new)
        moved = jnp.clip(keep * state + (1.0 - keep) * new, -clip, clip)
        moved = jnp.where(inside_t[:, None], moved, state)
        return moved, (moved, gates, new)

    _, (states, gates, new) = jax.lax.scan(step, start, (projected, inside), reverse=reverse)
    return states, (states, gates, new, start, inside, w_hidden)


def _recur_backward(
    clip: float, reverse: bool, residuals: tuple[Array, ...], d_states: Array
) -> tuple[Array, Array, None, Array]:
    states, gates, new, start, inside, w_hidden = residuals
    n = start.shape[-1]
    before = jnp.concatenate([states[1:], start[None]] if reverse else [start[None], states[:-1]])
    w_gates, w_new = w_hidden[:, : 2 * n].T, w_hidden[:, 2 * n :].T  # transposed once, not at every bin

    def step(d_state: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        d_state_t, state_before, state, gates_t, new_t, inside_t = now
        d_state = d_state + d_state_t
        keep, reset = gates_t[:, :n], gates_t[:, n:]
        moves = inside_t[:, None] & (jnp.abs(state) < clip)
        d_moved = jnp.where(moves, d_state, 0.0)
        d_new = d_moved * (1.0 - keep) * (1.0 - new_t**2)
        d_reset_state = d_new @ w_new
        d_keep = d_moved * (state_before - new_t) * keep * (1.0 - keep)
        d_reset = d_reset_state * state_before * reset * (1.0 - reset)
        d_gates = jnp.concatenate([d_keep, d_reset], axis=-1)
        through = d_moved * keep + d_reset_state * reset + d_gates @ w_gates
        d_before = through + jnp.where(inside_t[:, None], 0.0, d_state)
        return d_before, jnp.concatenate([d_gates, d_new], axis=-1)

    stacked = (d_states, before, states, gates, new, inside)
    d_start, d_projected = jax.lax.scan(step, jnp.zeros_like(start), stacked, reverse=not reverse)
    d_w_gates = jnp.einsum("tbi,tbj->ij", before, d_projected[..., : 2 * n])
    d_w_new = jnp.einsum("tbi,tbj->ij", gates[..., n:] * before, d_projected[..., 2 * n :])
    return d_projected, d_start, None, jnp.concatenate([d_w_gates, d_w_new], axis=-1)


_recur.defvjp(_recur_forward, _recur_backward)

"""The GRU of LFADS and its loop over time."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from lfadsx.modules.linear import product, scaled_normal, weight_gradient
from lfadsx.modules.segmented_scan import in_segments


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
        bias = np.repeat([keep_bias, reset_bias, 0.0], n_hidden)
        self.bias = nnx.Param(jax.device_put(bias.astype(jnp.result_type(float))))

    def project(self, known: Float[Array, "*batch n_known"] | None) -> Float[Array, "*batch gates"]:
        """Returns the known input's share of all gates, bias included, shape (..., 3 n_hidden)."""
        if self.w_known is None:
            return self.bias[...]
        return product(known, self.w_known[...]) + self.bias[...]

    def step(
        self,
        state: Float[Array, "trial n_hidden"],
        projected: Float[Array, "*trial gates"],
        live: Float[Array, "trial n_live"] | None = None,
    ) -> Float[Array, "trial n_hidden"]:
        """Returns the next state from the state, one bin of `project` and the live input."""
        if self.w_live is not None:
            projected = projected + live @ self.w_live[...]
        return step_cell(self.clip, projected, state, by_gate(self.w_hidden[...]))[0]

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
    segment_bins: int = 0,
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
        segment_bins: See `in_segments`.

    Returns:
        States after each bin, shape (time, trial, n_hidden), and the final state, shape (trial, n_hidden).
    """

    def run(start: Array, streams: tuple[Array, Array], n_bins: int) -> tuple[Array, Array]:
        sequence, inside = streams
        states: Array = recur(gru.clip, reverse, gru.project(sequence), start, inside, gru.w_hidden[...])  # pyright: ignore
        return states[0 if reverse else -1] if n_bins else start, states

    start = jnp.broadcast_to(initial, (sequence.shape[1], gru.n_hidden))
    final, states = in_segments(run, start, (sequence, inside), len(sequence), segment_bins, reverse=reverse)
    return states, final


def by_gate(w_hidden: Array) -> tuple[Array, Array]:
    """Returns the recurrent weights of the gates (keep and reset) and of the new value; cut once for a whole loop."""
    n = w_hidden.shape[0]
    return w_hidden[:, : 2 * n], w_hidden[:, 2 * n :]


def step_cell(
    clip: float, projected: Array, state: Array, weights: tuple[Array, Array]
) -> tuple[Array, tuple[Array, Array]]:
    """Returns the next state of a GRU, and its gates (keep and reset) and new value, which the derivative needs.

    Args:
        clip: Bound of the state.
        projected: Share of the inputs in all gates, shape (trial, gates) or (gates,).
        state: Shape (trial, n_hidden).
        weights: What `by_gate` returns.
    """
    n = state.shape[-1]
    gates = jax.nn.sigmoid(projected[..., : 2 * n] + state @ weights[0])
    keep, reset = gates[..., :n], gates[..., n:]
    new = jnp.tanh(projected[..., 2 * n :] + (reset * state) @ weights[1])
    return jnp.clip(keep * state + (1.0 - keep) * new, -clip, clip), (gates, new)


def step_cell_back(
    clip: float,
    d_state: Array,
    before: Array,
    state: Array,
    saved: tuple[Array, Array],
    weights: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Returns the derivatives of the state before a step, and of `projected`, from that of the state after it.

    Args:
        clip: Bound of the state.
        d_state: Derivative of the state after the step, shape (trial, n_hidden).
        before: State before the step.
        state: State after it.
        saved: Gates and new value of the step.
        weights: What `by_gate` returns, both transposed.
    """
    (gates, new), n = saved, before.shape[-1]
    keep, reset = gates[:, :n], gates[:, n:]
    d_moved = jnp.where(jnp.abs(state) < clip, d_state, 0.0)
    d_new = d_moved * (1.0 - keep) * (1.0 - new**2)
    d_reset_state = d_new @ weights[1]
    d_keep = d_moved * (before - new) * keep * (1.0 - keep)
    d_reset = d_reset_state * before * reset * (1.0 - reset)
    d_gates = jnp.concatenate([d_keep, d_reset], axis=-1)
    d_before = d_moved * keep + d_reset_state * reset + d_gates @ weights[0]
    return d_before, jnp.concatenate([d_gates, d_new], axis=-1)


def hidden_gradient(before: Array, gates: Array, d_projected: Array) -> Array:
    """Returns the gradient of the recurrent weights from a whole sequence, time first: two products after the loop."""
    n = before.shape[-1]
    d_gates = weight_gradient(before, d_projected[..., : 2 * n])
    d_new = weight_gradient(gates[..., n:] * before, d_projected[..., 2 * n :])
    return jnp.concatenate([d_gates, d_new], axis=-1)


def states_before(start: Array, states: Array, *, reverse: bool = False) -> Array:
    """Returns the state before each bin from the first one and those after each bin, time first."""
    return jnp.concatenate([states[1:], start[None]] if reverse else [start[None], states[:-1]])


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recur(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> Float[Array, "time trial n_hidden"]:
    """Returns the states of a GRU over a known sequence, with the derivative written out.

    What JAX derives by itself adds to the gradient of the weights at every bin. Here the loop backward keeps the
    derivatives of the gates, and the weights get theirs in one product after the loop.

    Args:
        clip: Bound of the state.
        reverse: Whether to run from the last bin to the first.
        projected: Share of the inputs in all gates, shape (time, trial, gates), or (time, 1, gates) for all trials.
        start: State before the first bin, shape (trial, n_hidden).
        inside: False where the state is held, shape (time, trial); None: nowhere.
        w_hidden: Recurrent weights, shape (n_hidden, gates).
    """
    return _recur_forward(clip, reverse, projected, start, inside, w_hidden)[0]


def _recur_forward(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> tuple[Array, tuple[Any, ...]]:
    weights = by_gate(w_hidden)

    def step(state: Array, now: tuple[Array, Array | None]) -> tuple[Array, tuple[Array, Any]]:
        projected_t, inside_t = now
        moved, saved = step_cell(clip, projected_t, state, weights)
        moved = moved if inside_t is None else jnp.where(inside_t[:, None], moved, state)
        return moved, (moved, saved)

    _, (states, saved) = jax.lax.scan(step, start, (projected, inside), reverse=reverse)
    return states, (states, saved, start, inside, w_hidden, projected.shape[1])


def _recur_backward(
    clip: float, reverse: bool, residuals: tuple[Any, ...], d_states: Array
) -> tuple[Array, Array, None, Array]:
    states, saved, start, inside, w_hidden, n_projected = residuals
    before = states_before(start, states, reverse=reverse)
    weights = jax.tree.map(jnp.transpose, by_gate(w_hidden))  # once, not at every bin

    def step(d_state: Array, now: tuple[Any, ...]) -> tuple[Array, Array]:
        d_state_t, before_t, state_t, saved_t, inside_t = now
        d_state = d_state + d_state_t
        d_moved = d_state if inside_t is None else jnp.where(inside_t[:, None], d_state, 0.0)
        d_before, d_projected = step_cell_back(clip, d_moved, before_t, state_t, saved_t, weights)
        return d_before if inside_t is None else d_before + (d_state - d_moved), d_projected

    stacked = (d_states, before, states, saved, inside)
    d_start, d_projected = jax.lax.scan(step, jnp.zeros_like(start), stacked, reverse=not reverse)
    d_hidden = hidden_gradient(before, saved[0], d_projected)
    # What all trials share gets the sum of their derivatives.
    shared = d_projected.sum(1, keepdims=True) if n_projected < start.shape[0] else d_projected
    return shared, d_start, None, d_hidden


recur.defvjp(_recur_forward, _recur_backward)

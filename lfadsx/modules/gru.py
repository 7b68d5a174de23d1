"""The GRU of LFADS and its loop over time."""

from __future__ import annotations

from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from lfadsx.modules.fused_gru import by_gate, fused_gru, plain_gru, step_cell
from lfadsx.modules.linear import Adjoint, product
from lfadsx.modules.segmented_scan import in_segments
from lfadsx.parameters import scaled_normal


class GRU(nnx.Module):
    r"""The gated recurrent unit of LFADS; its input has a known and a live part.

    .. math::
        k &= \sigma(W_k x + U_k h + b_k), \quad r = \sigma(W_r x + U_r h + b_r) \\
        n &= \tanh(W_n x + U_n (r \circ h) + b_n) \\
        h' &= clip(k \circ h + (1 - k) \circ n, \pm c)

    The reset gate acts before the recurrent product (unlike cuDNN and `nnx.GRUCell`). Columns of the weight matrices
    are ordered keep, reset, new. Known inputs exist before the loop over time, and `project` maps a whole sequence at
    once. Live inputs are computed inside the loop.

    Source: Sussillo et al. 2016 (arXiv 1608.06315), equations 2 to 6.

    Args:
        n_known: Width of the input that is known before the loop; 0 for none.
        n_live: Width of the input that is computed inside the loop; 0 for none.
        n_hidden: Number of units.
        clip: Bound c of the state; infinity for none.
        keep_bias: Bias of the keep gate at the start.
        reset_bias: Bias of the reset gate at the start.
        fan_in: Standard deviation of the initial weights: "separate" is 1 / sqrt(inputs) for W and 1 / sqrt(units) for
            U, "joint" is 1 / sqrt(inputs + units) for both.
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
        self.adjoint: Adjoint = "fused"
        n_input = n_known + n_live
        input_fan, hidden_fan = (n_input, n_hidden) if fan_in == "separate" else (n_input + n_hidden,) * 2
        width = 3 * n_hidden
        self.w_known = nnx.Param(scaled_normal(rngs, (n_known, width), input_fan, input_scale)) if n_known else None
        self.w_live = nnx.Param(scaled_normal(rngs, (n_live, width), input_fan, input_scale)) if n_live else None
        self.w_hidden = nnx.Param(scaled_normal(rngs, (n_hidden, width), hidden_fan, hidden_scale))
        bias = np.repeat([keep_bias, reset_bias, 0.0], n_hidden)
        self.bias = nnx.Param(jax.device_put(bias.astype(jnp.result_type(float))))

    def project(self, known: Float[Array, "*batch n_known"] | None) -> Float[Array, "*batch gates"]:
        """Returns the known input's share of all gates, including the bias, shape (..., 3 n_hidden)."""
        if self.w_known is None:
            return self.bias[...]
        return product(cast(Array, known), self.w_known[...], self.adjoint) + self.bias[...]

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

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the matrix of the L2 penalty: U of all gates."""
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
    """Runs a GRU over a known sequence; outside of a trial its state is held.

    Trials of different lengths can therefore share a batch: a forward run ends with the state of the trial's last bin,
    a reversed run starts there.

    Args:
        gru: The cell, without live input.
        sequence: Input, shape (time, trial, n_known).
        initial: State before the first bin, shape (n_hidden,).
        inside: True for bins of the trial, shape (time, trial).
        reverse: If True, runs from the last bin to the first.
        segment_bins: See `in_segments`.

    Returns:
        States after each bin, shape (time, trial, n_hidden), and the final state, shape (trial, n_hidden).
    """
    loop: Any = fused_gru if gru.adjoint == "fused" else plain_gru

    def run(start: Array, streams: tuple[Array, Array], n_bins: int) -> tuple[Array, Array]:
        sequence, inside = streams
        states: Array = loop(gru.clip, reverse, gru.project(sequence), start, inside, gru.w_hidden[...])
        return states[0 if reverse else -1] if n_bins else start, states

    start = jnp.broadcast_to(initial, (sequence.shape[1], gru.n_hidden))
    final, states = in_segments(run, start, (sequence, inside), len(sequence), segment_bins, reverse=reverse)
    return states, final

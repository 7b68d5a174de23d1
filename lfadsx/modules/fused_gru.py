r"""The GRU's step, its transpose, and the loop over time whose derivative is written out.

h is the state before a bin. a is the share of the inputs in the gates k (keep), r (reset) and the new value n:

.. math::
    k = \sigma(a_k + U_k h), \quad r = \sigma(a_r + U_r h), \quad
    n = \tanh(a_n + U_n (r \circ h)), \quad m = k \circ h + (1 - k) \circ n, \quad h' = clip(m, \pm c)

A bar marks the derivative of the loss with respect to a value. From the derivative of h' follow, in this order,

.. math::
    \bar m &= \bar h' \text{ where } |h'| < c, \text{ else } 0 \\
    \bar a_n &= \bar m \circ (1 - k) \circ (1 - n^2) \\
    \bar q &= U_n^T \bar a_n \quad (q = r \circ h) \\
    \bar a_k &= \bar m \circ (h - n) \circ k \circ (1 - k) \\
    \bar a_r &= \bar q \circ h \circ r \circ (1 - r) \\
    \bar h &= \bar m \circ k + \bar q \circ r + U_k^T \bar a_k + U_r^T \bar a_r

and then, from the values of all bins and trials at once,

.. math::
    \bar U_k = \sum_t \bar a_k h^T, \quad \bar U_r = \sum_t \bar a_r h^T, \quad
    \bar U_n = \sum_t \bar a_n (r \circ h)^T

Arrays have one row per trial, so U multiplies from the right: `h @ U` in the code is U h in the equations.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lfadsx.modules.linear import weight_gradient


def by_gate(w_hidden: Array) -> tuple[Array, Array]:
    """Returns the recurrent weights of the gates (keep and reset) and of the new value, split once per loop."""
    n = w_hidden.shape[0]
    return w_hidden[:, : 2 * n], w_hidden[:, 2 * n :]


def step_cell(
    clip: float, projected: Array, state: Array, weights: tuple[Array, Array]
) -> tuple[Array, tuple[Array, Array]]:
    """Returns the next state of a GRU; also its gates (keep and reset) and new value, for the derivative.

    Args:
        clip: Bound c of the state.
        projected: Share a of the inputs in all gates, shape (trial, gates) or (gates,).
        state: State h before the step, shape (trial, n_hidden).
        weights: Result of `by_gate`.
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
    """Returns the derivatives of the state before a step and of `projected`, from the derivative of the state after.

    Args:
        clip: Bound c of the state.
        d_state: Derivative of the state h' after the step, shape (trial, n_hidden).
        before: State h before the step.
        state: State h' after it.
        saved: Gates and new value of the step.
        weights: Result of `by_gate`, both transposed.
    """
    (gates, new), n = saved, before.shape[-1]
    keep, reset = gates[:, :n], gates[:, n:]
    # A state at its bound does not depend on the values before it.
    d_moved = jnp.where(jnp.abs(state) < clip, d_state, 0.0)
    # The new value first: the reset gate acts before the recurrent product, so its derivative needs this one.
    d_new = d_moved * (1.0 - keep) * (1.0 - new**2)
    d_reset_state = d_new @ weights[1]
    # Both gates share one product with the state, and one product backward.
    d_keep = d_moved * (before - new) * keep * (1.0 - keep)
    d_reset = d_reset_state * before * reset * (1.0 - reset)
    d_gates = jnp.concatenate([d_keep, d_reset], axis=-1)
    # The state acts through its kept part, through the reset product and through both gates.
    d_before = d_moved * keep + d_reset_state * reset + d_gates @ weights[0]
    return d_before, jnp.concatenate([d_gates, d_new], axis=-1)


def hidden_gradient(before: Array, gates: Array, d_projected: Array) -> Array:
    """Returns the gradient of the recurrent weights from a whole sequence, time first: two products after the loop."""
    n = before.shape[-1]
    d_gates = weight_gradient(before, d_projected[..., : 2 * n])
    d_new = weight_gradient(gates[..., n:] * before, d_projected[..., 2 * n :])
    return jnp.concatenate([d_gates, d_new], axis=-1)


def states_before(start: Array, states: Array, *, reverse: bool = False) -> Array:
    """Returns the state before each bin, from the first state and the states after each bin; time first."""
    return jnp.concatenate([states[1:], start[None]] if reverse else [start[None], states[:-1]])


def plain_gru(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> Float[Array, "time trial n_hidden"]:
    """Returns the states of a GRU over a known sequence; JAX differentiates it.

    Args:
        clip: Bound of the state.
        reverse: If True, runs from the last bin to the first.
        projected: Share of the inputs in all gates, shape (time, trial, gates), or (time, 1, gates) for all trials.
        start: State before the first bin, shape (trial, n_hidden).
        inside: False where the state is held, shape (time, trial); None if it is never held.
        w_hidden: Recurrent weights, shape (n_hidden, gates).
    """
    return _loop(clip, reverse, projected, start, inside, w_hidden)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def fused_gru(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> Float[Array, "time trial n_hidden"]:
    """Returns the same as `plain_gru`, for the same arguments, with the derivative written out.

    JAX's own derivative adds to the gradient of the weights at every bin. Here the backward loop keeps the derivatives
    of the gates, and the gradient of the weights is one product after the loop. Forward mode (`jax.jvp`) does not
    exist: JAX raises an error for `custom_vjp` functions.
    """
    return plain_gru(clip, reverse, projected, start, inside, w_hidden)


def _loop(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> tuple[Array, Any]:
    """Returns states, and gates and new values of every bin, time first."""
    weights = by_gate(w_hidden)

    def step(state: Array, now: tuple[Array, Array | None]) -> tuple[Array, tuple[Array, Any]]:
        projected_t, inside_t = now
        moved, saved = step_cell(clip, projected_t, state, weights)
        moved = moved if inside_t is None else jnp.where(inside_t[:, None], moved, state)
        return moved, (moved, saved)

    _, (states, saved) = jax.lax.scan(step, start, (projected, inside), reverse=reverse)
    return states, saved


def _forward(
    clip: float, reverse: bool, projected: Array, start: Array, inside: Array | None, w_hidden: Array
) -> tuple[Array, tuple[Any, ...]]:
    states, saved = _loop(clip, reverse, projected, start, inside, w_hidden)
    return states, (states, saved, start, inside, w_hidden, projected.shape[1])


def _backward(
    clip: float, reverse: bool, residuals: tuple[Any, ...], d_states: Array
) -> tuple[Array, Array, None, Array]:
    states, saved, start, inside, w_hidden, n_projected = residuals
    before = states_before(start, states, reverse=reverse)
    weights = jax.tree.map(jnp.transpose, by_gate(w_hidden))  # once, not at every bin

    def step(d_state: Array, now: tuple[Any, ...]) -> tuple[Array, Array]:
        d_state_t, before_t, state_t, saved_t, inside_t = now
        # A state is read out at its bin and carried into the next bin.
        d_state = d_state + d_state_t
        # Where the state is held, its derivative bypasses the cell.
        d_moved = d_state if inside_t is None else jnp.where(inside_t[:, None], d_state, 0.0)
        d_before, d_projected = step_cell_back(clip, d_moved, before_t, state_t, saved_t, weights)
        return d_before if inside_t is None else d_before + (d_state - d_moved), d_projected

    stacked = (d_states, before, states, saved, inside)
    d_start, d_projected = jax.lax.scan(step, jnp.zeros_like(start), stacked, reverse=not reverse)
    d_hidden = hidden_gradient(before, saved[0], d_projected)
    # Values shared by all trials get the sum of the derivatives.
    shared = d_projected.sum(1, keepdims=True) if n_projected < start.shape[0] else d_projected
    return shared, d_start, None, d_hidden


fused_gru.defvjp(_forward, _backward)

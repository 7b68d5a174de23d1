"""Dropout as data: masks drawn beforehand, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt


def trial_keys(key: Key[Array, ""], trial_id: Int[Array, " trial"]) -> Key[Array, " trial"]:
    """Returns one key per trial, a function of the trial's id alone."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(trial_id)


def per_trial(keys: Key[Array, " trial"], draw: Callable, *, time_first: bool) -> Array:
    """Calls `draw(key)` for every trial and stacks the results along the trial axis.

    With `time_first` the trial axis is the second one, which is what loops over time read.
    """
    return jax.vmap(draw, out_axes=1 if time_first else 0)(keys)


def unless_zero(rate: Float[Array, ""] | float, draw: Callable[[], Array], otherwise: int | bool) -> Array:
    """Returns `draw()`, or at rate 0 an array full of `otherwise` without drawing: random bits are what masks cost."""
    shape = jax.eval_shape(draw)
    return jax.lax.cond(jnp.asarray(rate) > 0, draw, lambda: jnp.full(shape.shape, otherwise, shape.dtype))


def random_shares(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt[Array, ...]:
    """Draws whole numbers that are uniform on [0, 2^16), for masks.

    Two 16-bit numbers are cut out of each 32 random bits, since random bits are what masks cost. A longer
    first axis leaves the entries of a shorter one unchanged, so padding does not alter a trial's noise.
    """
    n = math.prod(shape)
    words = jax.random.bits(key, ((n + 1) // 2,), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:n].reshape(shape)
    return halves.astype(jnp.uint32)


def share(rate: Float[Array, ""] | float) -> UInt[Array, ""]:
    """Returns the number that `random_shares` stays below with probability `rate`, to 16 bits."""
    return jnp.round(jnp.asarray(rate) * 65536.0).astype(jnp.uint32)


def keep_mask(key: Key[Array, ""], rate: Float[Array, ""] | float, shape: tuple[int, ...]) -> Bool[Array, ...]:
    """Draws a mask of a shape that is True with probability 1 - rate, the rate being traced."""
    return random_shares(key, shape) >= share(rate)


@overload
def drop(x: Array, keep: Array | None, rate: Array | float) -> Array: ...
@overload
def drop(x: None, keep: Array | None, rate: Array | float) -> None: ...
@overload
def drop(x: Array | None, keep: Array | None, rate: Array | float) -> Array | None: ...
def drop(
    x: Float[Array, ...] | None, keep: Bool[Array, ...] | None, rate: Float[Array, ""] | float
) -> Float[Array, ...] | None:
    """Returns x / (1 - rate) where kept and 0 elsewhere; x itself without a mask.

    The rate is traced: changing it recompiles nothing.
    """
    if x is None or keep is None:
        return x
    return jnp.where(keep, x * jnp.asarray(1.0 / (1.0 - rate), x.dtype), 0.0)

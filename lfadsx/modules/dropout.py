"""Dropout as data: masks drawn beforehand, trial by trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from lfadsx.random import bits, derive

T = TypeVar("T")


def trial_keys(key: Key[Array, ""], trial_id: Int[Array, " trial"], n: int = 1) -> Key[Array, "n trial"]:
    """Returns `n` keys of each trial, which are functions of the trial's id alone."""
    return derive(key, n * trial_id + jnp.arange(n)[:, None])


@jax.named_scope("random")
def unless_zero(rate: Float[Array, ""] | float, draw: Callable[[], T], otherwise: Any) -> T:
    """Returns `draw()`, or at rate 0, without drawing, arrays full of what `otherwise` says: masks cost time."""
    full = lambda shape, value: jnp.full(shape.shape, value, shape.dtype)  # noqa: E731
    return jax.lax.cond(jnp.asarray(rate) > 0, draw, lambda: jax.tree.map(full, jax.eval_shape(draw), otherwise))


def shares(keys: Key[Array, "*keys"], columns: Int[Array, "*columns"]) -> UInt[Array, "..."]:
    """Returns whole numbers that are uniform on [0, 2^16), for masks: one for each key and column, shapes broadcast.

    Neither more keys nor more columns change an entry, so padding does not alter a trial's noise.
    """
    return bits(keys, columns) >> 16


def share(rate: Float[Array, ""] | float) -> UInt[Array, ""]:
    """Returns the number that `shares` stay below with probability `rate`, to 16 bits."""
    return jnp.round(jnp.asarray(rate) * 65536.0).astype(jnp.uint32)


def keep_masks(
    keys: Key[Array, " trial"], rate: Float[Array, ""] | float, n_rows: int, n_columns: int, n_first: int = 0
) -> tuple[Bool[Array, "row trial column"], Bool[Array, "trial first"]]:
    """Draws each trial's mask, True with probability 1 - rate, the rate being traced; rows (bins) come first.

    Args:
        keys: A key of each trial.
        rate: Probability of False.
        n_rows: Number of rows.
        n_columns: Number of columns.
        n_first: Number of further columns that only the first row has, returned by themselves.
    """

    def draw() -> tuple[Array, Array]:
        rows = derive(keys, jnp.arange(n_rows)[:, None])[..., None]
        first = shares(rows[0], n_columns + jnp.arange(n_first))
        return shares(rows, jnp.arange(n_columns)) >= share(rate), first >= share(rate)

    return unless_zero(rate, draw, (True, True))


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

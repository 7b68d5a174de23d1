"""Dropout masks as data, drawn in advance for each trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from lfadsx.random import bits, derive

T = TypeVar("T")
X = TypeVar("X", bound="Array | None")


def trial_keys(key: Key[Array, ""], trial_id: Int[Array, " trial"], n: int = 1) -> Key[Array, "n trial"]:
    """Returns `n` keys of each trial, which depend only on the key and the trial's id."""
    return derive(key, n * trial_id + jnp.arange(n)[:, None])


@jax.named_scope("random")
def unless_zero(rate: Float[Array, ""] | float, draw: Callable[[], T], otherwise: Any) -> T:
    """Returns `draw()`. At rate 0 nothing is drawn, to save time; arrays are then filled with `otherwise`."""
    full = lambda shape, value: jnp.full(shape.shape, value, shape.dtype)  # noqa: E731
    return jax.lax.cond(jnp.asarray(rate) > 0, draw, lambda: jax.tree.map(full, jax.eval_shape(draw), otherwise))


def shares(keys: Key[Array, "*keys"], columns: Int[Array, "*columns"]) -> UInt[Array, "..."]:
    """Returns integers uniform on [0, 2^16) for masks, one for each key and column; shapes are broadcast.

    Further keys or columns do not change an entry, so padding does not change a trial's noise.
    """
    return bits(keys, columns) >> 16


def share(rate: Float[Array, ""] | float) -> UInt[Array, ""]:
    """Returns the threshold below which `shares` fall with probability `rate`, to 16 bits."""
    return jnp.round(jnp.asarray(rate) * 65536.0).astype(jnp.uint32)


def keep_masks(
    keys: Key[Array, " trial"], rate: Float[Array, ""] | float, n_rows: int, n_columns: int, n_first: int = 0
) -> tuple[Bool[Array, "row trial column"], Bool[Array, "trial first"]]:
    """Draws each trial's mask, True with probability 1 - rate; rows (bins) come first, and the rate is traced.

    The second mask has `n_first` further columns for the first row only.
    """

    def draw() -> tuple[Array, Array]:
        rows = derive(keys, jnp.arange(n_rows)[:, None])[..., None]
        first = shares(rows[0], n_columns + jnp.arange(n_first))
        return shares(rows, jnp.arange(n_columns)) >= share(rate), first >= share(rate)

    return unless_zero(rate, draw, (True, True))


def drop(x: X, keep: Bool[Array, "..."] | None, rate: Float[Array, ""] | float) -> X:
    """Returns x / (1 - rate) where kept and 0 elsewhere; x itself without a mask. The rate is traced."""
    if x is None or keep is None:
        return x
    return jnp.where(keep, x * jnp.asarray(1.0 / (1.0 - rate), x.dtype), 0.0)  # pyright: ignore[reportReturnType]

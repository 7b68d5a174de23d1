"""Dropout as data: masks drawn beforehand, trial by trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt

T = TypeVar("T")


def trial_keys(key: Key[Array, ""], trial_id: Int[Array, " trial"], n: int = 1) -> Key[Array, "n trial"]:
    """Returns `n` keys of each trial, which are functions of the trial's id alone."""
    numbers = n * trial_id + jnp.arange(n)[:, None]
    return jax.vmap(jax.vmap(lambda number: jax.random.fold_in(key, number)))(numbers)


def per_trial(keys: Key[Array, " trial"], draw: Callable, *, time_first: bool) -> Array:
    """Calls `draw(key)` for every trial and stacks the results along the trial axis.

    With `time_first` the trial axis is the second one, which is what loops over time read.
    """
    return jax.vmap(draw, out_axes=1 if time_first else 0)(keys)


def unless_zero(rate: Float[Array, ""] | float, draw: Callable[[], T], otherwise: Any) -> T:
    """Returns `draw()`, or at rate 0, without drawing, arrays full of what `otherwise` says: masks cost time."""
    full = lambda shape, value: jnp.full(shape.shape, value, shape.dtype)  # noqa: E731
    return jax.lax.cond(jnp.asarray(rate) > 0, draw, lambda: jax.tree.map(full, jax.eval_shape(draw), otherwise))


def random_rows(key: Key[Array, ""], n_rows: int) -> UInt[Array, "row 2"]:
    """Returns what `row_shares` makes rows of numbers from; more rows leave the first ones unchanged."""
    words = jax.random.key_data(key)[-2:].astype(jnp.uint32)
    return jnp.stack([_hash(words, jnp.arange(n_rows)), _hash(words[::-1], jnp.arange(n_rows))], axis=-1)


def row_shares(rows: UInt[Array, "*rows 2"], columns: Int[Array, "*rows_or_one column"]) -> UInt[Array, "..."]:
    """Returns whole numbers that are uniform on [0, 2^16), one for each column of each row, for masks.

    Random bits are what masks cost. So a trial's key is hashed with the number of the row, and the result with that of
    the column: a few operations instead of a hundred. Neither more rows nor more columns change an entry, so padding
    does not alter a trial's noise.

    Args:
        rows: What `random_rows` drew, shape (..., 2).
        columns: Numbers of the columns, shape (column,), or of each row, shape (..., column).
    """
    return _hash(rows, columns) >> 16


def _hash(words: UInt[Array, "*words 2"], number: Int[Array, "*number"]) -> UInt[Array, "..."]:
    """Returns 32 bits that depend on two words and a number as if they were random.

    Source: the finaliser of MurmurHash3 (Appleby 2011) over a Weyl sequence, as in SplitMix (Steele et al. 2014); the
    second word enters half-way, so that no sequence is another one shifted.
    """
    golden, first, second = (jnp.uint32(word) for word in (0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35))
    word = words[..., :1] + number.astype(jnp.uint32) * golden
    word = (word ^ (word >> 16)) * first
    word = word ^ words[..., 1:]
    word = (word ^ (word >> 13)) * second
    return word ^ (word >> 16)


def share(rate: Float[Array, ""] | float) -> UInt[Array, ""]:
    """Returns the number that `row_shares` stays below with probability `rate`, to 16 bits."""
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
        rows, columns = per_trial(keys, lambda key: random_rows(key, n_rows), time_first=True), jnp.arange(n_columns)
        first = row_shares(rows[0], n_columns + jnp.arange(n_first))
        return row_shares(rows, columns) >= share(rate), first >= share(rate)

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

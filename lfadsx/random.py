"""Random numbers as hashes of a key and an integer: few operations to run and to compile."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Integer, Key, UInt

from lfadsx.errors import LfadsxError


@jax.named_scope("random")
def derive(key: Key[Array, "*keys"], number: Integer[ArrayLike, "*numbers"]) -> Key[Array, "..."]:
    """Returns keys derived from keys and integers, like `jax.random.fold_in` with fewer operations.

    The keys are of JAX's default kind (Threefry), which every function of `jax.random` accepts.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lfadsx.random import derive
        >>> derive(jax.random.key(0), jnp.arange(5)).shape
        (5,)

    Args:
        key: Keys of any kind.
        number: Integers, of which the last 32 bits are used; their shape is broadcast with the shape of the keys.

    Raises:
        TypeError: If the numbers are not integers.
    """
    first, second = _words(key)
    # Counted down from the largest number, which no stream of `bits` reaches.
    number = ~_whole(number)
    words = jnp.stack([_hash(first, second, number), _hash(second, ~first, number)], axis=-1)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


@jax.named_scope("random")
def bits(key: Key[Array, "*keys"], number: Integer[ArrayLike, "*numbers"]) -> UInt[Array, "..."]:
    """Returns 32 random bits for each key and number, whose shapes are broadcast.

    An entry depends neither on other numbers nor on their count, so padding does not change a trial's noise.

    Args:
        key: Keys of any kind.
        number: Integers from 0.

    Raises:
        TypeError: If the numbers are not integers.
    """
    return _hash(*_words(key), _whole(number))


@jax.named_scope("random")
def normal(key: Key[Array, "..."], shape: tuple[int, ...], std: float = 1.0) -> Float[Array, "..."]:
    """Returns normal numbers of mean 0; the first entries do not depend on the length of the first axis.

    They have 2^23 possible values, up to 5.3 standard deviations. Outside of traced functions, as for the initial
    weights of a model, they are computed on the host, equal up to rounding: a device would compile a program for every
    shape.

    Example:
        >>> import jax
        >>> from lfadsx.random import normal
        >>> normal(jax.random.key(0), (2, 3)).shape
        (2, 3)

    Args:
        key: One key, of any kind.
        shape: Shape of the result.
        std: Standard deviation.

    Raises:
        LfadsxError: If there are several keys.
    """
    words, count, dtype = jax.random.key_data(key), math.prod(shape), jnp.result_type(float)
    if words.ndim != 1:
        raise LfadsxError(
            f"`key` must be one key, got keys of shape {words.shape[:-1]}. Map `normal` over them with jax.vmap."
        )
    if isinstance(words, jax.core.Tracer):
        uniform = _open_interval(bits(key, jnp.arange(count).reshape(shape)), dtype)
        return std * math.sqrt(2.0) * jax.lax.erf_inv(uniform)
    from scipy.special import erfinv  # which takes an eighth of a second to import

    first, second = np.asarray(words)[-2:]
    uniform = _open_interval(_hash(first, second, np.arange(count, dtype=np.uint32)), np.dtype(float))
    return jax.device_put((std * math.sqrt(2.0) * erfinv(uniform)).astype(dtype).reshape(shape))


def _open_interval(bits: Any, dtype: Any) -> Any:
    """Returns centres of 2^23 intervals of (-1, 1), exact in float32, without the ends and symmetric around 0."""
    return ((bits >> 9).astype(dtype) + 0.5) * 2.0**-22 - 1.0


def _whole(number: Any) -> Array:
    """Returns the last 32 bits of integers."""
    # Through NumPy, since JAX raises an error for Python integers above 2^31.
    number = number if isinstance(number, jax.Array) else np.asarray(number)
    if not jnp.issubdtype(number.dtype, jnp.integer):
        raise TypeError(f"`number` must be an integer, got {number.dtype}.")
    return jnp.asarray(number.astype(np.uint32))


def _words(key: Key[Array, "*keys"]) -> tuple[UInt[Array, "*keys"], UInt[Array, "*keys"]]:
    words = jax.random.key_data(key)
    return words[..., -2], words[..., -1]


def _hash(first: Any, second: Any, number: Any) -> Any:
    """Returns 32 pseudo-random bits for two words and a number; uint32 arrays of JAX or NumPy.

    Source: constants and shifts of the mixer "triple32" (Wellons 2018) over a Weyl sequence, as in SplitMix (Steele et
    al. 2014); the second word enters after the first round, so that sequences are not shifted copies of each other.
    """
    golden, one, two, three = (np.uint32(word) for word in (0x9E3779B9, 0xED5AD4BB, 0xAC4C1B51, 0x31848BAB))
    # Any constant works. Without it, the first number of the first seed would be 0, since all words are 0.
    word = (first ^ np.uint32(0x6A09E667)) + number * golden
    word = (word ^ (word >> 17)) * one
    word = word ^ second
    word = (word ^ (word >> 11)) * two
    word = (word ^ (word >> 15)) * three
    return word ^ (word >> 14)

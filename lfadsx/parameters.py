"""Arrays of a part, trained or fixed, and their initial values."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.random import normal


class Frozen(nnx.Variable):
    """A fixed array of a part: saved with the model, never trained."""


def parameter(value: Float[Array, "..."], *, train: bool = True) -> nnx.Variable:
    """Returns the array as a trained `nnx.Param`, or as a `Frozen` one."""
    return nnx.Param(value) if train else Frozen(value)


def scaled_normal(rngs: nnx.Rngs, shape: tuple[int, ...], fan_in: int, scale: float = 1.0) -> jax.Array:
    """Draws weights from N(0, scale^2 / fan_in), the initialiser of every LFADS."""
    return normal(rngs.params(), shape, scale / math.sqrt(max(fan_in, 1)))


def filled(shape: int | tuple[int, ...], value: float = 0.0) -> jax.Array:
    """Returns an array filled with a value, made on the host: `jnp.full` compiles a program for every shape."""
    return jax.device_put(np.full(shape, value, jnp.result_type(float)))

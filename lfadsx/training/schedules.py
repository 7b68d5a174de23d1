"""Ramps and learning-rate schedules, as functions of the step."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def ramp(step: Int[Array, ""] | int, start: float, length: float) -> Float[Array, ""]:
    """Returns 0 before `start`, 1 from `start + length` on, and a straight line between, in steps."""
    if length <= 0:
        return jnp.where(step >= start, 1.0, 0.0)
    return jnp.clip((step - start) / length, 0.0, 1.0)


def cosine(step: Int[Array, ""] | int, length: float) -> Float[Array, ""]:
    """Returns half a cosine from 1 at step 0 to 0 at `length` steps."""
    return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / length, 0.0, 1.0)))

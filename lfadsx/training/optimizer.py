"""The optimiser, without learning rate and weight decay, which are applied separately."""

from __future__ import annotations

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from lfadsx.config import TrainConfig
from lfadsx.errors import LfadsxError


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Returns gradient clipping by the global norm followed by Adam's scaling.

    Learning rate and weight decay are not part of its state. They are read from `HyperParams` at every step, so copies
    of weights between members of a population cannot disagree with them.
    """
    return _clipped_adam(config.max_grad_norm, *config.adam)


@functools.cache  # Equal settings give the same object, so equal programs share one compilation.
def _clipped_adam(max_grad_norm: float, b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(b1=b1, b2=b2, eps=eps))


def check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    """Returns a user's optimiser; raises LfadsxError if `fit` cannot use it."""
    if not isinstance(optimizer, optax.GradientTransformation):
        raise LfadsxError(
            f"`optimizer` must be an Optax gradient transformation, got {type(optimizer).__name__}. "
            "Give one such as optax.scale_by_lion()."
        )
    gradient = jnp.ones(3)
    update: Any = optimizer.update(gradient, optimizer.init(jnp.zeros(3)), jnp.zeros(3))[0]
    if float(jnp.vdot(update, gradient)) < 0:
        raise LfadsxError(
            "`optimizer` must return updates along the gradient, got one against it: it has its own learning rate. "
            "Leave that out, as optax.scale_by_adam() does; `fit` multiplies by -learning_rate."
        )
    return optimizer


def describe_optimizer(value: Any) -> str:
    """Returns a transformation as text: its functions and their settings, the same in every process."""
    if isinstance(value, functools.partial):
        return f"{describe_optimizer(value.func)}({describe_optimizer(value.args)}, {value.keywords})"
    if isinstance(value, types.FunctionType):
        held = zip(value.__code__.co_freevars, (cell.cell_contents for cell in value.__closure__ or ()), strict=True)
        # A function that refers to itself would never end.
        inner = ", ".join(f"{name}={describe_optimizer(of)}" for name, of in held if of is not value)
        return f"{value.__module__}.{value.__qualname__}({inner})"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(describe_optimizer, value)) + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {describe_optimizer(of)}" for name, of in value.items()) + "}"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return str(np.asarray(value).tolist())
    # The text of other objects may hold an address, which differs in the next process.
    return str(value) if value is None or isinstance(value, bool | int | float | str) else type(value).__qualname__


def apply_update(
    params: Float[Array, " parameter"],
    update: Float[Array, " parameter"],
    learning_rate: Array | float,
    weight_decay: Array | float,
) -> Float[Array, " parameter"]:
    """Returns params - learning_rate * (update + weight_decay * params), which is AdamW for Adam's update.

    Source: Loshchilov & Hutter 2019 (arXiv 1711.05101).
    """
    return params - (learning_rate * (update + weight_decay * params)).astype(params.dtype)

"""The optimiser: clipped Adam whose learning rate and weight decay stay outside of it."""

from __future__ import annotations

from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from lfadsx.config import TrainConfig


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Returns gradient clipping by the global norm followed by Adam's scaling.

    Learning rate and weight decay are no part of its state: they are read from `HyperParams` at every step, so
    that members of a population which exchange weights have one truth about them.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(b1=config.adam_b1, b2=config.adam_b2, eps=config.adam_eps),
    )


def apply_update(
    params: Any, update: Any, learning_rate: Float[Array, ""], weight_decay: Float[Array, ""]
) -> Any:
    """Returns params - learning_rate * (update + weight_decay * params), which is AdamW.

    Source: Loshchilov & Hutter 2019 (arXiv 1711.05101).
    """
    return jax.tree.map(lambda p, u: p - (learning_rate * (u + weight_decay * p)).astype(p.dtype), params, update)

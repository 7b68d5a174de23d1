"""The optimiser: clipped Adam whose learning rate and weight decay stay outside of it."""

from __future__ import annotations

import dataclasses

import optax
from jaxtyping import Array, Float

from lfadsx.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class AdamSettings:
    """Settings of the optimiser, static.

    Attributes:
        max_grad_norm: Bound of the gradient's global norm.
        b1: Decay of the first moment.
        b2: Decay of the second moment.
        eps: Added to the root of the second moment.
    """

    max_grad_norm: float
    b1: float
    b2: float
    eps: float

    @classmethod
    def of(cls, config: TrainConfig) -> AdamSettings:
        """Returns the settings of a run."""
        return cls(config.max_grad_norm, config.adam_b1, config.adam_b2, config.adam_eps)


def make_optimizer(settings: AdamSettings) -> optax.GradientTransformation:
    """Returns gradient clipping by the global norm followed by Adam's scaling.

    Learning rate and weight decay are no part of its state: they are read from `HyperParams` at every step, so
    that members of a population which exchange weights have one truth about them.
    """
    return optax.chain(
        optax.clip_by_global_norm(settings.max_grad_norm),
        optax.scale_by_adam(b1=settings.b1, b2=settings.b2, eps=settings.eps),
    )


def apply_update(
    params: Float[Array, " parameter"],
    update: Float[Array, " parameter"],
    learning_rate: Array | float,
    weight_decay: Array | float,
) -> Float[Array, " parameter"]:
    """Returns params - learning_rate * (update + weight_decay * params), which is AdamW.

    Source: Loshchilov & Hutter 2019 (arXiv 1711.05101).
    """
    return params - (learning_rate * (update + weight_decay * params)).astype(params.dtype)

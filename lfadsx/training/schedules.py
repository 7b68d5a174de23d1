"""Ramps, learning rate and rules of selection, as traced scalars: changing them does not recompile."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lfadsx.config import TrainConfig

SCORE_SMOOTHING = 0.3
"""Weight of the previous selection score in the smoothed one."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Schedule:
    """Run settings of the compiled steps, in steps.

    Attributes:
        kl_start: Step at which the weights of the KL terms begin to rise.
        kl_length: Number of steps over which they rise to 1.
        kl_ic_floor: Weight of the initial condition's KL before `kl_start`.
        kl_co_floor: Weight of the inputs' KL before `kl_start`.
        l2_start: Step at which the weight of the L2 penalty begins to rise from 0.
        l2_length: Number of steps over which it rises to 1.
        decay_length: Number of steps of the cosine decay; infinite for no decay.
        decay_log: Logarithm of the factor of the exponential decay per step; 0 for no decay.
        smoothing: Weight of the previous selection score in the smoothed one.
        plateau_patience: Number of evaluations without a better score after which the learning rate is lowered;
            infinite for never.
        plateau_factor: Factor by which it is then multiplied.
        validate_every: Number of epochs between two evaluations.
    """

    kl_start: float
    kl_length: float
    kl_ic_floor: float
    kl_co_floor: float
    l2_start: float
    l2_length: float
    decay_length: float
    decay_log: float
    smoothing: float
    plateau_patience: float
    plateau_factor: float
    validate_every: float

    @classmethod
    def of(cls, config: TrainConfig, steps_per_epoch: int) -> Schedule:
        """Returns the schedule of a run."""
        kl, l2 = config.ramps(steps_per_epoch)
        cosine, exponential = config.schedule == "cosine", config.schedule == "exponential"
        factor = config.learning_rate_factor or (0.9999 if exponential else 0.95)
        return cls(
            kl_start=float(kl[0]),
            kl_length=float(kl[1]),
            kl_ic_floor=config.kl_floors[0],
            kl_co_floor=config.kl_floors[1],
            l2_start=float(l2[0]),
            l2_length=float(l2[1]),
            decay_length=float(steps_per_epoch * config.epochs) if cosine else math.inf,
            decay_log=math.log(factor) if exponential else 0.0,
            smoothing=0.0 if config.schedule == "training_loss" else SCORE_SMOOTHING,
            plateau_patience=float(config.plateau_patience) if config.schedule == "plateau" else math.inf,
            plateau_factor=factor,
            validate_every=float(config.validate_every),
        )


def ramp(
    step: Int[Array, ""] | int,
    start: Array | float,
    length: Array | float,
    floor: Array | float = 0.0,
) -> Float[Array, ""]:
    """Returns `floor` before `start`, 1 from `start + length` on, and a straight line between, in steps."""
    line = floor + (1.0 - floor) * (step - start) / jnp.maximum(length, 1e-6)
    return jnp.where(step < start, floor, jnp.where(step >= start + length, 1.0, line))


def decay(step: Int[Array, ""] | int, schedule: Schedule) -> Float[Array, ""]:
    """Returns the factor of the learning rate, `step` steps after its start or restart."""
    cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / schedule.decay_length, 0.0, 1.0)))
    return cosine * jnp.exp(step * schedule.decay_log)

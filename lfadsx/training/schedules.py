"""Ramps, learning rate and the rules of selection, as traced scalars: changing one recompiles nothing."""

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
    """What of the run settings the compiled steps need, in steps.

    Attributes:
        kl_start: Step at which the weights of the KL terms begin to rise.
        kl_length: Steps over which they rise to 1.
        kl_ic_floor: Weight of the initial condition's KL before.
        kl_co_floor: Weight of the inputs' KL before.
        l2_start: Step at which the penalty begins to count.
        l2_length: Steps over which its weight rises to 1.
        decay_length: Steps of the cosine decay; infinite for none.
        decay_log: Logarithm of what the exponential decay multiplies the rate by at every step; 0 for none.
        smoothing: Weight of the previous selection score in the smoothed one.
        plateau_patience: Evaluations without a better score before the rate is lowered; infinite for never.
        plateau_factor: What it is multiplied by then.
        validate_every: Epochs between two evaluations.
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
        """Returns the schedule of a run whose epochs have a number of steps."""
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
    """Returns what the learning rate is multiplied by, as many steps after it began (or was reset)."""
    return cosine(step, schedule.decay_length) * jnp.exp(step * schedule.decay_log)


def cosine(step: Int[Array, ""] | int, length: Array | float) -> Float[Array, ""]:
    """Returns half a cosine from 1 at step 0 to 0 at `length` steps; always 1 for an infinite length."""
    return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / length, 0.0, 1.0)))

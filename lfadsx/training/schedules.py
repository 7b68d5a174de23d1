"""Ramps, learning rate and selection of the best model, as traced values: changing them does not recompile."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

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
    def of(cls, config: TrainConfig, steps_per_epoch: int, rate_start: int = 0) -> Schedule:
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
            decay_length=float(steps_per_epoch * config.epochs - rate_start) if cosine else math.inf,
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Monitor:
    """State of the selection, all scalars except parameters and losses, so that members of a population stack.

    Attributes:
        best_params: Parameters at the best score; the initial ones until the ramps have ended.
        best_score: Best smoothed score; infinite until the ramps have ended.
        best_epoch: Number of epochs trained at the best score; 0 until the ramps have ended.
        smoothed: Smoothed score; infinite before the first evaluation.
        since_best: Epochs since the best score, counted after the ramps.
        plateau: Evaluations without a better score since the learning rate was last lowered.
        rate_scale: Factor of the learning rate set by the plateau rules.
        rate_start: Step at which the decay of the learning rate starts.
        losses: Training losses of the last epochs, the newest last, shape (plateau_patience,); infinite where there is
            no loss to compare with.
        n_losses: Number of training losses recorded so far.
    """

    best_params: Any
    best_score: Float[Array, ""]
    best_epoch: Int[Array, ""]
    smoothed: Float[Array, ""]
    since_best: Int[Array, ""]
    plateau: Int[Array, ""]
    rate_scale: Float[Array, ""]
    rate_start: Int[Array, ""]
    losses: Float[Array, " epoch"]
    n_losses: Int[Array, ""]

    @classmethod
    def start(cls, params: Any, n_losses: int = 1) -> Monitor:
        """Returns the monitor before the first score; it keeps the last `n_losses` training losses."""
        count = partial(jnp.zeros, (), jnp.int32)
        real = partial(jnp.full, (), dtype=jnp.result_type(float))
        return cls(
            best_params=jax.tree.map(jnp.copy, params),
            best_score=real(jnp.inf),
            best_epoch=count(),
            smoothed=real(jnp.inf),
            since_best=count(),
            plateau=count(),
            rate_scale=real(1.0),
            rate_start=count(),
            losses=jnp.full(n_losses, jnp.inf),
            n_losses=count(),
        )

    def with_new_rate(self, step: Int[Array, ""]) -> Monitor:
        """Returns the monitor with the learning rate restarted at a step."""
        return dataclasses.replace(
            self,
            plateau=jnp.zeros_like(self.plateau),
            rate_scale=jnp.ones_like(self.rate_scale),
            rate_start=jnp.copy(step),
            losses=jnp.full_like(self.losses, jnp.inf),
            n_losses=jnp.zeros_like(self.n_losses),
        )


def observe(
    monitor: Monitor,
    score: Float[Array, ""],
    params: Any,
    epoch: Int[Array, ""],
    after_ramps: Bool[Array, ""],
    schedule: Schedule,
) -> Monitor:
    """Returns the monitor after an evaluation of the parameters; pure.

    Lower scores are better; a score that is not finite is never the best. The best model is sought only `after_ramps`.
    `epoch` is the number of epochs trained.
    """
    old = schedule.smoothing
    smoothed = jnp.where(jnp.isfinite(monitor.smoothed), old * monitor.smoothed + (1 - old) * score, score)
    smoothed = jnp.where(jnp.isfinite(score), smoothed, monitor.smoothed)
    better = after_ramps & jnp.isfinite(score) & (smoothed < monitor.best_score)
    since_best = jnp.where(after_ramps & ~better, monitor.since_best + schedule.validate_every, 0)
    plateau = jnp.where(after_ramps & ~better, monitor.plateau + 1, 0)
    lower = plateau > schedule.plateau_patience
    return dataclasses.replace(
        monitor,
        best_params=jax.tree.map(lambda new, best: jnp.where(better, new, best), params, monitor.best_params),
        best_score=jnp.where(better, smoothed, monitor.best_score),
        best_epoch=jnp.where(better, epoch, monitor.best_epoch).astype(jnp.int32),
        smoothed=smoothed,
        since_best=since_best.astype(jnp.int32),
        plateau=jnp.where(lower, 0, plateau).astype(jnp.int32),
        rate_scale=monitor.rate_scale * jnp.where(lower, schedule.plateau_factor, 1.0),
    )


def observe_loss(monitor: Monitor, loss: Float[Array, ""], schedule: Schedule) -> Monitor:
    """Returns the monitor after an epoch, by the rule of the TensorFlow LFADS; pure.

    The learning rate is lowered if the training loss is above those of all of the last `plateau_patience` epochs. It is
    then kept for that many epochs. While the ramps still rise, this may happen early.
    """
    lower = (monitor.n_losses > len(monitor.losses)) & (loss > jnp.max(monitor.losses))
    newest = jnp.where(lower | ~jnp.isfinite(loss), jnp.inf, loss)
    return dataclasses.replace(
        monitor,
        rate_scale=monitor.rate_scale * jnp.where(lower, schedule.plateau_factor, 1.0),
        losses=jnp.append(monitor.losses[1:], newest.astype(monitor.losses.dtype)),
        n_losses=monitor.n_losses + 1,
    )

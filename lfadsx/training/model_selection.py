"""Selection of the best model: best parameters, patience and plateau rule."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lfadsx.training.schedules import Schedule


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

"""What a run remembers of its selection score: best parameters, patience, plateau rule."""

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
    """State of the selection; scalars, so that members of a population stack.

    Attributes:
        best_params: Parameters at the best score; the start's until the ramps have ended.
        best_score: Best smoothed score, infinite until the ramps have ended.
        best_epoch: Number of epochs trained when it was reached; 0 before.
        smoothed: Smoothed score; infinite before the first.
        since_best: Epochs since the best score, counted after the ramps.
        plateau: Evaluations without a better score since the learning rate was last lowered.
        rate_scale: Factor of the learning rate by the rules that wait for a plateau.
        rate_start: Step from which its decay counts.
        losses: Training losses of the last epochs, the newest last; infinite where there is none to compare with,
            shape (plateau_patience,).
        n_losses: Number of epochs that are among them or were.
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
        """Returns the monitor of a run that has seen no score; it remembers so many training losses."""
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
        """Returns the monitor with the learning rate back at its beginning, as if training began at a step."""
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
    """Returns the monitor after one evaluation of the selection score; pure.

    Args:
        monitor: State so far.
        score: Selection score, lower is better; one that is not finite never wins.
        params: Parameters that it belongs to.
        epoch: Number of epochs trained.
        after_ramps: Whether the ramps have ended; the best model is looked for only then.
        schedule: Smoothing and plateau rule.
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
    """Returns the monitor after one epoch, by the rule of the TensorFlow LFADS; pure.

    If the training loss is above all of the last epochs' ones, the learning rate is lowered, and not again for as many
    epochs. With the weights of the loss still rising this may happen early.
    """
    lower = (monitor.n_losses > len(monitor.losses)) & (loss > jnp.max(monitor.losses))
    newest = jnp.where(lower | ~jnp.isfinite(loss), jnp.inf, loss)
    return dataclasses.replace(
        monitor,
        rate_scale=monitor.rate_scale * jnp.where(lower, schedule.plateau_factor, 1.0),
        losses=jnp.append(monitor.losses[1:], newest.astype(monitor.losses.dtype)),
        n_losses=monitor.n_losses + 1,
    )

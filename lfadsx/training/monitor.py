"""What a run remembers of its selection score: best parameters, patience, plateau rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lfadsx.config import TrainConfig


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
        rate_scale: Factor of the learning rate by the plateau rule.
    """

    best_params: Any
    best_score: Float[Array, ""]
    best_epoch: Int[Array, ""]
    smoothed: Float[Array, ""]
    since_best: Int[Array, ""]
    plateau: Int[Array, ""]
    rate_scale: Float[Array, ""]

    @classmethod
    def start(cls, params: Any) -> Monitor:
        """Returns the monitor of a run that has seen no score."""
        whole, real = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf)
        copies = [jnp.copy(x) for x in (real, whole, real, whole, whole)]  # donated buffers must differ
        return cls(jax.tree.map(jnp.copy, params), *copies, jnp.ones(()))


def observe(
    monitor: Monitor,
    score: Float[Array, ""],
    params: Any,
    epoch: Int[Array, ""],
    after_ramps: Bool[Array, ""],
    config: TrainConfig,
) -> Monitor:
    """Returns the monitor after one evaluation of the selection score; pure.

    Args:
        monitor: State so far.
        score: Selection score, lower is better; one that is not finite never wins.
        params: Parameters that it belongs to.
        epoch: Number of epochs trained.
        after_ramps: Whether the ramps have ended; the best model is looked for only then.
        config: Smoothing, patience and plateau rule.
    """
    old = config.score_smoothing
    smoothed = jnp.where(jnp.isfinite(monitor.smoothed), old * monitor.smoothed + (1 - old) * score, score)
    smoothed = jnp.where(jnp.isfinite(score), smoothed, monitor.smoothed)
    better = after_ramps & jnp.isfinite(score) & (smoothed < monitor.best_score)
    since_best = jnp.where(after_ramps & ~better, monitor.since_best + config.validate_every, 0)
    plateau = jnp.where(after_ramps & ~better, monitor.plateau + 1, 0)
    lower = (plateau > config.plateau_patience) & (config.schedule == "plateau")
    return Monitor(
        best_params=jax.tree.map(lambda new, best: jnp.where(better, new, best), params, monitor.best_params),
        best_score=jnp.where(better, smoothed, monitor.best_score),
        best_epoch=jnp.where(better, epoch, monitor.best_epoch).astype(jnp.int32),
        smoothed=smoothed,
        since_best=since_best.astype(jnp.int32),
        plateau=jnp.where(lower, 0, plateau).astype(jnp.int32),
        rate_scale=monitor.rate_scale * jnp.where(lower, config.plateau_factor, 1.0),
    )

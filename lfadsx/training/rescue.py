"""Rescue of a model whose steps keep being not finite: back to its last good state, with half the learning rate."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from lfadsx.training.state import TrainState

FACTOR = 0.5
"""Factor of the learning rate at each rescue."""


class Rescue(TypedDict):
    """A rescue. It is saved with a run, so it holds plain values.

    Attributes:
        member: Number of the member.
        epoch: Number of the epoch in which it was rescued.
        skipped: Number of its skipped steps since the start or the last rescue.
    """

    member: int
    epoch: int
    skipped: int


def keep_good(state: TrainState, is_good: Bool[Array, ""]) -> TrainState:
    """Records parameters and state of the optimiser as the last good ones, if they are good; pure."""
    return dataclasses.replace(state, good=_where(is_good, (state.params, state.optimizer), state.good))


def go_back(state: TrainState, is_broken: Bool[Array, ""]) -> TrainState:
    """Takes a broken model back to its last good parameters, with half the learning rate; pure.

    Steps are counted on, so that ramps, schedule and noise do not begin again.
    """
    params, optimizer = _where(is_broken, state.good, (state.params, state.optimizer))
    scale = state.monitor.rate_scale * jnp.where(is_broken, FACTOR, 1.0)
    return dataclasses.replace(
        state,
        params=params,
        optimizer=optimizer,
        skipped=jnp.where(is_broken, 0, state.skipped),
        monitor=dataclasses.replace(state.monitor, rate_scale=scale),
    )


def _where(chosen: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), new, old)


run_keep_good = partial(jax.jit, donate_argnums=0)(keep_good)
run_go_back = partial(jax.jit, donate_argnums=0)(go_back)

"""The compiled functions of a population: those of one model, applied to every member."""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.config import HyperParams
from lfadsx.parallel import BLOCK, EVERYWHERE, MEMBER_BLOCKS, MEMBERS, compiler_options, over_members
from lfadsx.training.rescue import go_back, keep_good
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState
from lfadsx.training.step import n_figures, n_valid_figures, select, train_block, validate, watch_loss
from lfadsx.types import Batch


def stack(members: list[Any]) -> Any:
    """Returns pytrees of arrays as one, with a first axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def train_members(
    program: Program,
    at_once: int,
    state: TrainState,
    hyper: HyperParams,
    active: Bool[Array, " member"],
    schedule: Schedule,
    blocks: Batch,
) -> tuple[TrainState, Float[Array, "member step figure"]]:
    """Runs `train_block` for every active member, each with its own block; pure.

    A device computes `at_once` members at a time. Members that are not active keep their states and get NaN figures;
    with one member at a time they take no time.
    """
    n_steps = len(blocks.session[0])
    nothing = jnp.full((n_steps, n_figures(program)), jnp.nan)

    def one(schedule: Schedule, member: Any) -> tuple[TrainState, Array]:
        state, hyper, active, block = member
        run = partial(train_block, program, state, hyper, schedule, block)
        return jax.lax.cond(active, run, lambda: (state, nothing))

    layout = (MEMBERS, MEMBERS, MEMBERS, MEMBER_BLOCKS)
    every = over_members(one, program.mesh, at_once=at_once, members=layout)
    return every(schedule, (state, hyper, active, blocks))


def validate_members(
    program: Program,
    at_once: int,
    state: TrainState,
    active: Bool[Array, " member"],
    block: Batch,
    key: Key[Array, ""],
    *,
    own_data: bool,
) -> Float[Array, "member figure"]:
    """Runs `validate` for every active member; pure. Members that are not active get NaN.

    With `own_data`, `block` holds a block of each member, stacked; otherwise all members share it.
    """
    nothing = jnp.full(n_valid_figures(program), jnp.nan)

    def one(common: Any, member: Any) -> Array:
        (key, common_block), (state, active, own_block) = common, member
        block = own_block if own_data else common_block
        return jax.lax.cond(active, lambda: validate(program, state, block, key), lambda: nothing)

    shared, own = (None, block) if own_data else (block, None)
    layout = dict(shared=(EVERYWHERE, BLOCK), members=(MEMBERS, MEMBERS, MEMBER_BLOCKS))
    every = over_members(one, program.mesh, at_once=at_once, **layout)
    return every((key, shared), (state, active, own))


def select_members(
    state: TrainState,
    scores: Float[Array, " member"],
    epoch: Int[Array, ""],
    after_ramps: Bool[Array, ""],
    active: Bool[Array, " member"],
    schedule: Schedule,
) -> TrainState:
    """Runs `select` for every active member; pure."""
    seen = jax.vmap(lambda state, score: select(state, score, epoch, after_ramps, schedule))(state, scores)
    return _where(active, seen, state)


def watch_members(
    state: TrainState, losses: Float[Array, " member"], active: Bool[Array, " member"], schedule: Schedule
) -> TrainState:
    """Runs `watch_loss` for every active member; pure."""
    seen = jax.vmap(lambda state, loss: watch_loss(state, loss, schedule))(state, losses)
    return _where(active, seen, state)


def exchange(state: TrainState, parents: Int[Array, " member"]) -> TrainState:
    """Returns the states after each member has copied its parent's state; pure.

    Weights, optimiser state and monitor are copied. The random key is not, so that copies diverge.
    """
    moved = jax.tree.map(lambda leaf: leaf[parents], state)
    return dataclasses.replace(moved, key=state.key)


def _where(active: Array, new: TrainState, old: TrainState) -> TrainState:
    """Takes the new monitors of the active members."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(active.reshape(-1, *[1] * (b.ndim - 1)), a, b)

    monitor = jax.tree.map(choose, new.monitor, old.monitor)
    return dataclasses.replace(old, monitor=monitor)


@cache
def member_runner(mesh: Mesh | None) -> SimpleNamespace:
    """Returns these functions, compiled for the devices of a mesh; states that are passed in become invalid."""
    options = dict(compiler_options(mesh)) or None
    # States stay where they are: without this, functions that mix members may place them anywhere.
    own: dict[str, Any] = {} if mesh is None else dict(out_shardings=NamedSharding(mesh, MEMBERS))
    compiled = partial(jax.jit, compiler_options=options)
    return SimpleNamespace(
        train=compiled(train_members, static_argnums=(0, 1), donate_argnums=2),
        validate=compiled(validate_members, static_argnums=(0, 1), static_argnames="own_data"),
        select=compiled(select_members, donate_argnums=0, **own),
        watch=compiled(watch_members, donate_argnums=0, **own),
        exchange=compiled(exchange, donate_argnums=0, **own),
        keep_good=compiled(jax.vmap(keep_good), donate_argnums=0, **own),
        go_back=compiled(jax.vmap(go_back), donate_argnums=0, **own),
    )

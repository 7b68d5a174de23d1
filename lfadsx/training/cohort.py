"""The models of a run on the devices: their trials, their states and the compiled functions that train them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.config import HyperParams
from lfadsx.data.batching import Feed, Layout
from lfadsx.errors import LfadsxError, is_out_of_memory
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import load_block, load_member_blocks, of_member, place_members, replicate, to_host
from lfadsx.random import derive
from lfadsx.training.broken_steps import Cause, find_causes
from lfadsx.training.members import member_runner
from lfadsx.training.rescue import run_go_back, run_keep_good
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState
from lfadsx.training.step import ValidReport, block_runner, n_figures, run_select, run_validate, run_watch_loss
from lfadsx.types import Batch

Flags = Bool[np.ndarray, " member"]
CHANGED = ("params", "optimizer", "step", "skipped")
"""Fields of `TrainState` that a block changes."""


def validation_key() -> Key[Array, ""]:
    """Returns the key of noise and hidden entries in validation; all models share it, so their scores compare."""
    return derive(jax.random.key(1), -1)  # training steps count from 0, so -1 gives noise that no step uses


@jax.jit
def _copied(tree: Any) -> Any:
    """Returns copies of arrays: a block invalidates the state that it is given."""
    return jax.tree.map(jnp.copy, tree)


@jax.jit
def _emptied(trial_weight: Array, step: int) -> Array:
    """Returns weights of trials, shape (..., step, trial), that are 0 from a step on; empty steps change nothing."""
    return jnp.where(jnp.arange(trial_weight.shape[-2])[:, None] < step, trial_weight, 0.0)


class Facts(NamedTuple):
    """Values of the members' states that the host needs, arrays of shape (member,)."""

    best_score: np.ndarray
    best_epoch: np.ndarray
    smoothed: np.ndarray
    since_best: np.ndarray
    rate_scale: np.ndarray
    rate_start: np.ndarray
    step: np.ndarray
    skipped: np.ndarray


class Cohort:
    """The model of `fit`, without a member axis. `Stacked` holds the members of a population instead.

    Only active members change. All blocks of the feeds must have one shape.

    Attributes:
        state: State of the model, or stacked states of the members.
    """

    def __init__(
        self,
        program: Program,
        state: TrainState,
        feeds: Sequence[Feed],
        schedule: Schedule,
        *,
        epochs: int,
        mesh: Mesh | None,
    ) -> None:
        self.program, self.state, self.schedule = program, self._placed(state, mesh), schedule
        self._feeds, self._epochs, self._mesh, self._compiled = feeds, epochs, mesh, self._compiled_for(mesh)
        # Validation trials that make one block stay on the devices.
        self._valid = self._load_valid(0) if feeds[0].valid.blocks == 1 else None
        self._ahead: Batch | None = None

    def train(
        self, epoch: int, block: int, hyper: Sequence[HyperParams], active: Flags
    ) -> Float[np.ndarray, "member step figure"]:
        """Trains a block of an epoch and returns the fields of `StepReport` for every member and step.

        Raises:
            LfadsxError: If a step does not fit into the memory of the device.
        """
        with self._within_memory("trials of a step"):
            blocks = self._ahead or self._load(epoch, block)
            self._before = _copied({name: getattr(self.state, name) for name in CHANGED})
            figures = self._train(hyper, active, blocks)
            following = self._feeds[0].train.after(epoch, block)
            # Loaded while the devices compute; at most two blocks are on them.
            self._ahead = self._load(*following) if following[0] < self._epochs else None
            return to_host(figures).reshape(len(self._feeds), -1, n_figures(self.program))

    def causes(self, member: int, epoch: int, block: int, step: int, hyper: Sequence[HyperParams]) -> list[Cause]:
        """Returns why a member skipped a step of the block that was trained last.

        The block is trained once more up to this step, for the parameters before it.
        """
        now, only = self.state, np.arange(len(self._feeds)) == member
        with self._within_memory("trials of a step"):
            self.state, trained = _copied(dataclasses.replace(now, **self._before)), self._load(epoch, block)
            earlier = dataclasses.replace(trained, trial_weight=_emptied(trained.trial_weight, step))
            self._train(hyper, only, earlier)
        before, self.state = self.state, now
        used = self._gather((before.params, before.fixed, before.augmentations, before.step))
        params, fixed, augmentations, done = jax.tree.map(to_host, self._of(member, used))
        feed = self._feeds[member]
        own = dict(params=params, fixed=fixed, augmentations=augmentations, step=done, key=jax.random.key(feed.seed))
        state = TrainState(**own, optimizer=None, skipped=done, monitor=None)  # pyright: ignore[reportArgumentType]
        trials = jax.tree.map(lambda x: x[step], feed.train_block(epoch, block))
        settings = self.program, state, hyper[member], self.schedule, trials
        return find_causes(*settings, feed.data.train, feed.data.sessions)

    def validate(self, active: Flags) -> list[ValidReport]:
        """Evaluates the validation trials with every member; members that are not active get NaN.

        Raises:
            LfadsxError: If a step does not fit into the memory of the device.
        """
        key, sums = validation_key(), []
        with self._within_memory("validation trials of a step"):
            for block in [self._valid] if self._valid else map(self._load_valid, range(self._feeds[0].valid.blocks)):
                jax.block_until_ready(sums[-1:])  # the next block loads while the last one is evaluated
                sums.append(self._validate(active, block, key))
            total = sum(np.asarray(to_host(found), np.float64) for found in sums)
        return [ValidReport.of(figures) for figures in np.atleast_2d(total)]

    def facts(self) -> Facts:
        """Returns the values of the states that the host needs."""
        state, monitor = self.state, self.state.monitor
        own = {name: getattr(state if name in ("step", "skipped") else monitor, name) for name in Facts._fields}
        return Facts(**{name: np.atleast_1d(to_host(value)) for name, value in own.items()})

    def select(self, scores: Sequence[float], epoch: int, after_ramps: bool, active: Flags) -> None:
        """Updates the monitors of active members with their selection scores."""
        seen = self._values(scores), jnp.asarray(epoch), jnp.asarray(after_ramps)
        self.state = self._compiled.select(self.state, *seen, *self._flags(active), self.schedule)

    def watch(self, losses: Sequence[float], active: Flags) -> None:
        """Updates the monitors of active members with their training losses."""
        self.state = self._compiled.watch(self.state, self._values(losses), *self._flags(active), self.schedule)

    def exchange(self, parents: Int[np.ndarray, " member"]) -> None:
        """Gives each member the state of its parent, except for the random key."""
        if (parents != np.arange(len(parents))).any():
            self.state = self._compiled.exchange(self.state, jnp.asarray(parents))

    def keep_good(self, members: Flags) -> None:
        """Records the states of some members as their last good ones."""
        self.state = self._compiled.keep_good(self.state, self._values(members) > 0)

    def go_back(self, members: Flags) -> None:
        """Takes some members back to their last good states, with half the learning rate."""
        self.state = self._compiled.go_back(self.state, self._values(members) > 0)

    def model(self, member: int) -> LFADS:
        """Returns a member's current model; its arrays become invalid when the next block trains."""
        return self.program.merge_model(*self._of(member, (self.state.params, self.state.fixed)))

    def models(self) -> list[tuple[LFADS, LFADS]]:
        """Returns the best and the last model of every member; both are the last one if the ramps have not ended."""
        state = self.state
        params, best, fixed = self._gather((state.params, state.monitor.best_params, state.fixed))

        def model(values: Any, member: int) -> LFADS:
            return nnx.clone(self.program.merge_model(*self._of(member, (values, fixed))))

        has_best = self.facts().best_epoch > 0
        return [(model(best if found else params, m), model(params, m)) for m, found in enumerate(has_best)]

    def _gather(self, tree: Any) -> Any:
        """Returns arrays from which `_of` takes all members in turn."""
        return tree

    def _of(self, member: int, tree: Any) -> Any:
        """Returns one member's part of a tree, as arrays of this process alone."""
        return tree if jax.process_count() == 1 else jax.tree.map(lambda leaf: jnp.asarray(to_host(leaf)), tree)

    def _placed(self, state: TrainState, mesh: Mesh | None) -> TrainState:
        return replicate(state, mesh)

    def _compiled_for(self, mesh: Mesh | None) -> SimpleNamespace:
        of_rescue = dict(keep_good=run_keep_good, go_back=run_go_back)
        return SimpleNamespace(train=block_runner(mesh), select=run_select, watch=run_watch_loss, **of_rescue)

    def _load(self, epoch: int, block: int) -> Batch:
        feed = self._feeds[0]
        return load_block(partial(feed.train_block, epoch, block), feed.train.shape, self._mesh)

    def _load_valid(self, number: int) -> Batch:
        feed = self._feeds[0]
        return load_block(partial(feed.valid_block, number), feed.valid.shape, self._mesh)

    def _train(self, hyper: Sequence[HyperParams], active: Flags, blocks: Batch) -> Array:
        self.state, figures = self._compiled.train(self.program, self.state, hyper[0], self.schedule, blocks)
        return figures

    def _validate(self, active: Flags, block: Batch, key: Array) -> Array:
        return run_validate(self.program, self.state, block, key)

    def _values(self, values: Any) -> Array:
        return jnp.asarray(values[0])

    def _flags(self, active: Flags) -> tuple[Array, "..."]:
        return ()

    @contextmanager
    def _within_memory(self, what: str) -> Iterator[None]:
        """Replaces JAX's error for full memory by one that names the settings."""
        try:
            yield
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            of_members, setting = self._at_once_words()
            raise LfadsxError(
                f"The {what}{of_members} do not fit into the memory of the device. Set {setting}trials_at_once, e.g. "
                "to 32, or lower it. If that is not enough, lower batch_size or steps_per_block, or set segment_bins "
                "for long trials; all three need a new run folder."
            ) from error

    def _at_once_words(self) -> tuple[str, str]:
        return "", ""


class Stacked(Cohort):
    """The members of a population, stacked along a first axis.

    Args:
        at_once: Number of members that a device computes at once. 0: one on a CPU, where a batch of members is slower,
            and all members of the device elsewhere.
    """

    def __init__(
        self, program: Program, state: TrainState, feeds: Sequence[Feed], *args: Any, at_once: int, **how: Any
    ) -> None:
        self._own_data = len({id(feed.data) for feed in feeds}) > 1
        self._at_once = at_once or default_at_once(len(feeds), how["mesh"])
        super().__init__(program, state, feeds, *args, **how)

    def _placed(self, state: TrainState, mesh: Mesh | None) -> TrainState:
        return place_members(state, mesh)

    def _compiled_for(self, mesh: Mesh | None) -> SimpleNamespace:
        return member_runner(mesh)

    def _gather(self, tree: Any) -> Any:
        return jax.tree.map(to_host, tree)

    def _of(self, member: int, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: of_member(leaf, member), tree)

    def _load(self, epoch: int, block: int) -> Batch:
        return self._of_members(lambda feed, rows: feed.train_block(epoch, block, rows), self._feeds[0].train)

    def _load_valid(self, number: int) -> Batch:
        if not self._own_data:
            return super()._load_valid(number)
        return self._of_members(lambda feed, rows: feed.valid_block(number, rows), self._feeds[0].valid)

    def _of_members(self, take: Callable[[Feed, slice], Batch], layout: Layout) -> Batch:
        """Returns blocks of all members on the devices; each process takes those of its own devices."""

        def stacked(members: slice, rows: slice) -> Batch:
            blocks = [take(feed, rows) for feed in self._feeds[members]]
            return jax.tree.map(lambda *arrays: np.stack(arrays), *blocks)

        return load_member_blocks(stacked, (len(self._feeds), *layout.shape), self._mesh)

    def _train(self, hyper: Sequence[HyperParams], active: Flags, blocks: Batch) -> Array:
        own = jax.tree.map(lambda *values: self._values(values), *hyper)
        self.state, figures = self._compiled.train(
            self.program, self._at_once, self.state, own, *self._flags(active), self.schedule, blocks
        )
        return figures

    def _validate(self, active: Flags, block: Batch, key: Array) -> Array:
        settings = self.program, self._at_once, self.state, *self._flags(active), block, key
        return self._compiled.validate(*settings, own_data=self._own_data)

    def _values(self, values: Any) -> Array:
        return place_members(jnp.asarray(values, jnp.result_type(float)), self._mesh)

    def _flags(self, active: Flags) -> tuple[Array, "..."]:
        return (place_members(jnp.asarray(active), self._mesh),)

    def _at_once_words(self) -> tuple[str, str]:
        return f" of {self._at_once} members at once", "a smaller members_at_once or "


def default_at_once(n: int, mesh: Mesh | None) -> int:
    """Returns how many of `n` members a device computes at once by default."""
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    return 1 if device.platform == "cpu" else n // (1 if mesh is None else mesh.shape["members"])

"""The models of a run on the devices: their trials, their states, and what is computed for them."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.config import HyperParams
from lfadsx.data.batching import Feed
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import place_block, place_member_blocks, place_members, replicate, to_host
from lfadsx.random import derive
from lfadsx.training.members import member_runner
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState
from lfadsx.training.step import StepReport, ValidReport, block_runner, run_select, run_validate, run_watch_loss
from lfadsx.types import Batch

Flags = Bool[np.ndarray, " member"]


def validation_key() -> Key[Array, ""]:
    """Returns the key of the noise and the hidden entries of validation: one for all, so that models compare."""
    return derive(jax.random.key(1), -1)  # which is no step, so that no run's own noise is the same


class Facts(NamedTuple):
    """What the host wants to know of the members' states, arrays of shape (member,)."""

    best_score: np.ndarray
    best_epoch: np.ndarray
    smoothed: np.ndarray
    since_best: np.ndarray
    rate_scale: np.ndarray
    rate_start: np.ndarray
    step: np.ndarray
    skipped: np.ndarray


class AbstractCohort(abc.ABC):
    """The models that a run trains side by side; only those that are active change.

    `OneModel` is the model of `fit`, without an axis of members anywhere; `Stacked` are the members of a population.

    Attributes:
        state: State of the model, or states of the members, stacked.

    Args:
        program: What is compiled.
        state: First state, or states.
        feeds: Hands out the trials of each member; all blocks have one shape.
        schedule: Ramps and learning rate.
        epochs: Largest number of epochs.
        mesh: Devices that members and trials are spread over.
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
        self.program, self.state, self.schedule = program, state, schedule
        self._feeds, self._epochs, self._mesh = feeds, epochs, mesh
        # Validation trials that make one block stay on the devices.
        self._valid = self._load_valid(0) if feeds[0].valid.blocks == 1 else None
        self._ahead: Batch | None = None

    def train(
        self, epoch: int, block: int, hyper: Sequence[HyperParams], active: Flags
    ) -> Float[np.ndarray, "member step figure"]:
        """Trains a block of an epoch, and returns the fields of `StepReport` for every member and step.

        Raises:
            LfadsxError: If a step does not fit into the memory of the device.
        """
        with self._within_memory("trials of a step"):
            blocks = self._ahead or self._load(epoch, block)
            figures = self._train(hyper, active, blocks)
            following = self._feeds[0].train.after(epoch, block)
            # While the devices are at work; only two blocks are ever on them.
            self._ahead = self._load(*following) if following[0] < self._epochs else None
            return to_host(figures).reshape(len(self._feeds), -1, len(StepReport._fields))

    def validate(self, active: Flags) -> list[ValidReport]:
        """Evaluates the validation trials with every member; NaN for those that are not active.

        Raises:
            LfadsxError: If a step does not fit into the memory of the device.
        """
        key, sums = validation_key(), []
        with self._within_memory("validation trials of a step"):
            for block in [self._valid] if self._valid else map(self._load_valid, range(self._feeds[0].valid.blocks)):
                jax.block_until_ready(sums[-1:])  # a block is loaded while the one before is evaluated
                sums.append(self._validate(active, block, key))
            total = sum(np.asarray(to_host(found), np.float64) for found in sums)
        return [ValidReport.of(figures) for figures in np.atleast_2d(total)]

    def facts(self) -> Facts:
        """Returns what the host wants to know of the states."""
        state, monitor = self.state, self.state.monitor
        own = {name: getattr(state if name in ("step", "skipped") else monitor, name) for name in Facts._fields}
        return Facts(**{name: np.atleast_1d(to_host(value)) for name, value in own.items()})

    @abc.abstractmethod
    def select(self, scores: Sequence[float], epoch: int, after_ramps: bool, active: Flags) -> None:
        """Lets every active member's monitor see its selection score."""

    @abc.abstractmethod
    def watch(self, losses: Sequence[float], active: Flags) -> None:
        """Lets every active member's monitor see its training loss."""

    @abc.abstractmethod
    def exchange(self, parents: Int[np.ndarray, " member"]) -> None:
        """Gives each slot the state of its parent, but for the random key."""

    def model(self, member: int) -> LFADS:
        """Returns a member's model as it is now; its arrays are given up when the next block trains."""
        return self.program.merge_model(*self._of(member, (self.state.params, self.state.fixed)))

    def models(self) -> list[tuple[LFADS, LFADS]]:
        """Returns the best and the last model of every member; the last one twice if the ramps had not ended."""
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
        """Returns one member's part of a tree."""
        del member
        return tree

    @abc.abstractmethod
    def _load(self, epoch: int, block: int) -> Batch: ...

    @abc.abstractmethod
    def _load_valid(self, number: int) -> Batch: ...

    @abc.abstractmethod
    def _train(self, hyper: Sequence[HyperParams], active: Flags, blocks: Batch) -> Array: ...

    @abc.abstractmethod
    def _validate(self, active: Flags, block: Batch, key: Array) -> Array: ...

    @contextmanager
    def _within_memory(self, what: str) -> Iterator[None]:
        """Says, in place of JAX's error, what does not fit into the memory of a device and what makes it smaller."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            of_members, setting = self._at_once_words()
            raise LfadsxError(
                f"The {what}{of_members} do not fit into the memory of the device. Set {setting}trials_at_once, e.g. "
                "to 32, or lower it. If that is not enough, lower steps_per_block, or set segment_bins where trials "
                "are long, and give a new run folder."
            ) from error

    def _at_once_words(self) -> tuple[str, str]:
        return "", ""


class OneModel(AbstractCohort):
    """A single model, without an axis of members; arguments as of `AbstractCohort`."""

    def __init__(self, program: Program, state: TrainState, *args: Any, mesh: Mesh | None, **settings: Any) -> None:
        super().__init__(program, replicate(state, mesh), *args, mesh=mesh, **settings)
        self._run_block = block_runner(mesh)

    def select(self, scores: Sequence[float], epoch: int, after_ramps: bool, active: Flags) -> None:
        """Lets the monitor see the selection score."""
        del active
        seen = jnp.asarray(scores[0]), jnp.asarray(epoch), jnp.asarray(after_ramps)
        self.state = run_select(self.state, *seen, self.schedule)

    def watch(self, losses: Sequence[float], active: Flags) -> None:
        """Lets the monitor see the training loss."""
        del active
        self.state = run_watch_loss(self.state, jnp.asarray(losses[0]), self.schedule)

    def exchange(self, parents: Int[np.ndarray, " member"]) -> None:
        """Changes nothing: there is no other."""

    def _load(self, epoch: int, block: int) -> Batch:
        return place_block(self._feeds[0].train_block(epoch, block), self._mesh)

    def _load_valid(self, number: int) -> Batch:
        return place_block(self._feeds[0].valid_block(number), self._mesh)

    def _train(self, hyper: Sequence[HyperParams], active: Flags, blocks: Batch) -> Array:
        self.state, figures = self._run_block(self.program, self.state, hyper[0], self.schedule, blocks)
        return figures

    def _validate(self, active: Flags, block: Batch, key: Array) -> Array:
        return run_validate(self.program, self.state, block, key)


class Stacked(AbstractCohort):
    """The members of a population, their states stacked along a first axis; other arguments as of `AbstractCohort`.

    Args:
        at_once: Members that a device computes at once; 0: one on a CPU, where a batch of members is slower, and all of
            a device's own ones elsewhere.
    """

    def __init__(
        self,
        program: Program,
        state: TrainState,
        feeds: Sequence[Feed],
        *args: Any,
        at_once: int,
        mesh: Mesh | None,
        **settings: Any,
    ) -> None:
        self._own_data = len({id(feed.data) for feed in feeds}) > 1
        self._at_once, self._compiled = at_once or default_at_once(len(feeds), mesh), member_runner(mesh)
        super().__init__(program, place_members(state, mesh), feeds, *args, mesh=mesh, **settings)

    def select(self, scores: Sequence[float], epoch: int, after_ramps: bool, active: Flags) -> None:
        """Lets every active member's monitor see its selection score."""
        seen = self._of_members(scores), jnp.asarray(epoch), jnp.asarray(after_ramps)
        self.state = self._compiled.select(self.state, *seen, self._flags(active), self.schedule)

    def watch(self, losses: Sequence[float], active: Flags) -> None:
        """Lets every active member's monitor see its training loss."""
        self.state = self._compiled.watch(self.state, self._of_members(losses), self._flags(active), self.schedule)

    def exchange(self, parents: Int[np.ndarray, " member"]) -> None:
        """Gives each slot the state of its parent, but for the random key."""
        if (parents != np.arange(len(parents))).any():
            self.state = self._compiled.exchange(self.state, jnp.asarray(parents))

    def _gather(self, tree: Any) -> Any:
        return jax.tree.map(to_host, tree)

    def _of(self, member: int, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[member]), tree)

    def _load(self, epoch: int, block: int) -> Batch:
        return place_member_blocks(_stacked([feed.train_block(epoch, block) for feed in self._feeds]), self._mesh)

    def _load_valid(self, number: int) -> Batch:
        if not self._own_data:
            return place_block(self._feeds[0].valid_block(number), self._mesh)
        return place_member_blocks(_stacked([feed.valid_block(number) for feed in self._feeds]), self._mesh)

    def _train(self, hyper: Sequence[HyperParams], active: Flags, blocks: Batch) -> Array:
        own = jax.tree.map(lambda *values: self._of_members(values), *hyper)
        self.state, figures = self._compiled.train(
            self.program, self._at_once, self.state, own, self._flags(active), self.schedule, blocks
        )
        return figures

    def _validate(self, active: Flags, block: Batch, key: Array) -> Array:
        settings = self.program, self._at_once, self.state, self._flags(active), block, key
        return self._compiled.validate(*settings, own_data=self._own_data)

    def _of_members(self, values: Any) -> jax.Array:
        return place_members(jnp.asarray(values, jnp.result_type(float)), self._mesh)

    def _flags(self, active: Flags) -> jax.Array:
        return place_members(jnp.asarray(active), self._mesh)

    def _at_once_words(self) -> tuple[str, str]:
        return f" of {self._at_once} members at once", "a smaller members_at_once or "


def _stacked(blocks: Sequence[Batch]) -> Batch:
    return jax.tree.map(lambda *arrays: np.stack(arrays), *blocks)


def default_at_once(n: int, mesh: Mesh | None) -> int:
    """Returns how many of `n` members a device computes at once by default."""
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    return 1 if device.platform == "cpu" else n // (1 if mesh is None else mesh.shape["members"])

"""The members of a population on the devices: their data, their states, and what is computed for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int

from lfadsx.config import HyperParams
from lfadsx.data.feed import Feed
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import place_block, place_member_blocks, place_members, to_host
from lfadsx.training.fit import validation_key
from lfadsx.training.full_memory import within_memory
from lfadsx.training.members import member_runner
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState
from lfadsx.training.step import ValidReport
from lfadsx.types import Batch

_REMEDY = (
    "Give a smaller members_at_once or trials_at_once (e.g. 32). If that is not enough, lower steps_per_block and give "
    "a new run folder."
)
"""What to do when the memory of a device is full."""


class Cohort:
    """All members of a population, trained and evaluated together; only those that are active change.

    Attributes:
        state: States of the members, stacked.

    Args:
        program: What is compiled.
        state: States of the members, stacked.
        feeds: Hands out the trials of each member; all blocks have one shape.
        schedule: Ramps and learning rate.
        epochs: Largest number of epochs.
        at_once: Members that a device computes at once; 0: one on a CPU, where a batch of members is slower, and all of
            a device's own ones elsewhere.
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
        at_once: int,
        mesh: Mesh | None,
    ) -> None:
        self.program, self.state, self.schedule = program, place_members(state, mesh), schedule
        self._feeds, self._epochs, self._mesh = feeds, epochs, mesh
        self._at_once = at_once or default_at_once(len(feeds), mesh)
        self._compiled = member_runner(mesh)
        self._own_data = len({id(feed.data) for feed in feeds}) > 1
        self._valid = self._load_valid(0) if feeds[0].valid.blocks == 1 else None
        self._ahead: Batch | None = None

    def train(
        self, epoch: int, block: int, hyper: HyperParams, active: Bool[np.ndarray, " member"]
    ) -> Float[np.ndarray, "member step figure"]:
        """Trains a block of an epoch, and returns the fields of `StepReport` for every member and step.

        Raises:
            LfadsxError: If so many members at once do not fit into the memory of the device.
        """
        hyper = jax.tree.map(self._member_array, hyper)
        with within_memory(f"{self._at_once} members at once", _REMEDY):
            blocks = self._ahead or self._load(epoch, block)
            self.state, figures = self._compiled.train(
                self.program, self._at_once, self.state, hyper, self._flags(active), self.schedule, blocks
            )
            self._ahead = self._load_ahead(epoch, block)  # while the devices are at work
            return to_host(figures)

    def validate(self, active: Bool[np.ndarray, " member"]) -> list[ValidReport]:
        """Evaluates the validation trials with every member; NaN for those that are not active.

        Raises:
            LfadsxError: If so many members at once do not fit into the memory of the device.
        """
        key, flags, sums = validation_key(), self._flags(active), np.zeros(())
        numbers = range(self._feeds[0].valid.blocks)
        with within_memory(f"The validation trials of {self._at_once} members at once", _REMEDY):
            for block in [self._valid] if self._valid else map(self._load_valid, numbers):
                settings = self.program, self._at_once, self.state, flags, block, key
                sums = sums + to_host(self._compiled.validate(*settings, own_data=self._own_data))
        return [ValidReport.of(figures) for figures in sums]

    def select(
        self, scores: Sequence[float], epoch: int, after_ramps: bool, active: Bool[np.ndarray, " member"]
    ) -> None:
        """Lets every active member's monitor see its selection score."""
        seen = self._member_array(scores), jnp.asarray(epoch), jnp.asarray(after_ramps)
        self.state = self._compiled.select(self.state, *seen, self._flags(active), self.schedule)

    def watch(self, losses: Sequence[float], active: Bool[np.ndarray, " member"]) -> None:
        """Lets every active member's monitor see its training loss."""
        self.state = self._compiled.watch(self.state, self._member_array(losses), self._flags(active), self.schedule)

    def exchange(self, parents: Int[np.ndarray, " member"]) -> None:
        """Gives each slot the state of its parent, but for the random key."""
        if (parents != np.arange(len(parents))).any():
            self.state = self._compiled.exchange(self.state, jnp.asarray(parents))

    def models(self) -> list[tuple[LFADS, LFADS]]:
        """Returns the best and the last model of every member; the last one twice if the ramps had not ended."""
        state = self.state
        params, best, fixed = jax.tree.map(to_host, (state.params, state.monitor.best_params, state.fixed))
        has_best = to_host(state.monitor.best_epoch) > 0

        def model(values: Any, member: int) -> LFADS:
            own = jax.tree.map(lambda leaf: jnp.asarray(leaf[member]), (values, fixed))
            return nnx.clone(self.program.merge_model(*own))

        return [(model(best if found else params, m), model(params, m)) for m, found in enumerate(has_best)]

    def _load(self, epoch: int, block: int) -> Batch:
        return place_member_blocks(_stacked([feed.train_block(epoch, block) for feed in self._feeds]), self._mesh)

    def _load_ahead(self, epoch: int, block: int) -> Batch | None:
        """Returns the blocks after some, or None after the last of all."""
        following = self._feeds[0].train.after(epoch, block)
        return self._load(*following) if following[0] < self._epochs else None

    def _load_valid(self, number: int) -> Batch:
        if not self._own_data:
            return place_block(self._feeds[0].valid_block(number), self._mesh)
        return place_member_blocks(_stacked([feed.valid_block(number) for feed in self._feeds]), self._mesh)

    def _member_array(self, values: Any) -> jax.Array:
        return place_members(jnp.asarray(values, jnp.result_type(float)), self._mesh)

    def _flags(self, active: Bool[np.ndarray, " member"]) -> jax.Array:
        return place_members(jnp.asarray(active), self._mesh)


def _stacked(blocks: Sequence[Batch]) -> Batch:
    return jax.tree.map(lambda *arrays: np.stack(arrays), *blocks)


def default_at_once(n: int, mesh: Mesh | None) -> int:
    """Returns how many of `n` members a device computes at once by default."""
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    return 1 if device.platform == "cpu" else n // (1 if mesh is None else mesh.shape["members"])

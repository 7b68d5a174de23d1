"""From a split on the host to what a step sees: rows, batches, blocks and the order of an epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.parallel import n_portions
from lfadsx.types import Batch


def batch(data: Dataset, split: str = "train", rows: np.ndarray | None = None) -> Batch:
    """Returns trials of a split as one batch on the device.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> lfadsx.data.batch(data, "valid").n_trials
        4

    Args:
        data: The data set.
        split: "train", "valid" or "test".
        rows: Numbers of the trials, shape (trial,); None for all.
    """
    chosen = data.splits[split]
    rows = np.arange(chosen.n_trials) if rows is None else np.asarray(rows)
    return jax.tree.map(jnp.asarray, take(data.sessions, chosen, rows))


def take(sessions: Sequence[Session], split: Split, rows: Int[np.ndarray, "*rows"]) -> Batch:
    """Returns rows of a split as a batch of NumPy arrays, shaped like `rows`.

    Args:
        sessions: The sessions that `split.session` counts.
        split: The trials.
        rows: Numbers of the trials, shape (trial,) or (step, trial); -1 is a trial of weight 0.
    """
    real = rows >= 0
    index = np.where(real, rows, 0)
    session = split.session[index].astype(np.int32)

    def pick(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[index]

    groups = list(split.targets)
    fields: dict[str, Any] = dict(  # NumPy here; placing them makes them arrays of the device
        encoder_input=split.encoder_input[index],
        targets={group: split.targets[group][index] for group in groups},
        encoder_observed=pick(split.encoder_observed),
        target_observed={group: pick(split.target_observed.get(group)) for group in groups},
        known_inputs=pick(split.known_inputs),
        encoder_length=split.encoder_length[index].astype(np.int32),
        target_length=split.target_length[index].astype(np.int32),
        session=session,
        trial_id=index.astype(np.int32),
        trial_weight=real.astype(np.float32),
        target_channels={
            group: np.array([s.n_targets[group] for s in sessions], np.int32)[session] for group in groups
        },
        target_index=_target_index(sessions, split)[session],
    )
    return Batch(**fields)


def _target_index(sessions: Sequence[Session], split: Split) -> np.ndarray:
    """Target channel of each encoder channel by session, shape (session, channel); -1 in the padding."""
    index = np.full((len(sessions), split.encoder_input.shape[2]), -1, np.int32)
    for row, session in zip(index, sessions, strict=True):
        row[: session.n_channels] = session.target_index
    return index


@dataclasses.dataclass(frozen=True)
class Layout:
    """How an epoch is cut into steps and blocks; static.

    Attributes:
        n_trials: Number of trials of the split.
        batch_size: Real trials of a full step, the nominal batch.
        rows: Rows of a step: the batch size, rounded up so that devices and their portions have equally many.
        steps: Steps with real trials in an epoch.
        block_steps: Steps of a block.
        blocks: Blocks of an epoch. The last one may end with empty steps, which change nothing.
    """

    n_trials: int
    batch_size: int
    rows: int
    steps: int
    block_steps: int
    blocks: int

    @classmethod
    def of(
        cls, n_trials: int, batch_size: int, *, n_devices: int = 1, at_once: int = 0, steps_per_block: int = 64
    ) -> Layout:
        """Returns the layout of an epoch with nearly equal blocks.

        Args:
            n_trials: Number of trials of the split.
            batch_size: Trials of a step; more than there are means all of them.
            n_devices: Devices that the rows of a step are spread over.
            at_once: Rows that a device computes at once at most; 0: all of its own.
            steps_per_block: Largest number of steps of a block.
        """
        batch_size = min(batch_size, n_trials)
        steps = math.ceil(n_trials / batch_size)
        blocks = math.ceil(steps / steps_per_block)
        shares = n_devices * n_portions(math.ceil(batch_size / n_devices), at_once)
        rows = math.ceil(batch_size / shares) * shares
        return cls(n_trials, batch_size, rows, steps, math.ceil(steps / blocks), blocks)

    def arrange(self, order: Int[np.ndarray, " trial"]) -> Int[np.ndarray, "block step row"]:
        """Cuts an order of trials into blocks, steps and rows; -1 fills up."""
        cells = np.full((self.blocks * self.block_steps, self.rows), -1, np.int64)
        for step in range(self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            cells[step, : len(chosen)] = chosen
        return cells.reshape(self.blocks, self.block_steps, self.rows)

    def after(self, epoch: int, block: int) -> tuple[int, int]:
        """Returns epoch and block of the block that follows one."""
        return divmod(epoch * self.blocks + block + 1, self.blocks)


def epoch_order(seed: int, epoch: int, n_trials: int) -> Int[np.ndarray, " trial"]:
    """Returns the order of an epoch, a function of seed and epoch alone; every trial once, sessions mixed."""
    return np.random.default_rng([seed, epoch]).permutation(n_trials)

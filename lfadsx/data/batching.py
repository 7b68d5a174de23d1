"""Batches of trials: rows of a split, the steps and blocks of an epoch, and their order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from lfadsx.config import TrainConfig
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.splits import choose
from lfadsx.parallel import n_data_devices, n_portions, portion_limit
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
    unused = dict.fromkeys(("truth", "true_inputs", "behaviour", "condition", "interval"))
    unused |= dict.fromkeys(("start_time", "piece_of", "first_bin"))
    chosen = choose(dataclasses.replace(split, **unused), index)
    widths = {group: np.array([s.n_targets[group] for s in sessions], np.int32) for group in split.targets}
    target_index = np.full((len(sessions), split.encoder_input.shape[2]), -1, np.int32)  # -1 in the padding
    for row, session in zip(target_index, sessions, strict=True):
        row[: session.n_channels] = session.target_index
    fields: dict[str, Any] = dict(  # NumPy here; placing them makes them arrays of the device
        encoder_input=chosen.encoder_input,
        targets=chosen.targets,
        encoder_observed=chosen.encoder_observed,
        target_observed={group: chosen.target_observed.get(group) for group in split.targets},
        known_inputs=chosen.known_inputs,
        encoder_length=chosen.encoder_length.astype(np.int32),
        target_length=chosen.target_length.astype(np.int32),
        session=chosen.session.astype(np.int32),
        trial_id=index.astype(np.int32),
        trial_weight=real.astype(np.float32),
        target_channels={group: width[chosen.session] for group, width in widths.items()},
        target_index=target_index[chosen.session],
    )
    return Batch(**fields)


def even_batch(n_trials: int, most: int) -> int:
    """Returns the trials of a step if as few steps as possible, of at most `most` trials, share `n_trials` evenly.

    Without this, 72 trials would make one step of 64 trials and one of 8.
    """
    return math.ceil(n_trials / math.ceil(n_trials / most))


@dataclasses.dataclass(frozen=True)
class Layout:
    """Division of an epoch into steps and blocks; static.

    Attributes:
        n_trials: Number of trials of the split.
        most: Largest number of trials of a step; steps share the trials of an epoch evenly.
        weight: Weight of a trial in the loss, which divides the sum over trials by the full step of the largest split:
            that step over the full step of this split.
        rows: Rows of a step: those of a full step, rounded up to equal shares of the devices and their portions.
        steps: Steps with real trials in an epoch of the largest split.
        block_steps: Steps of a block.
        blocks: Blocks of an epoch. The last block may end with empty steps, which change nothing.
    """

    n_trials: int
    most: int
    weight: float
    rows: int
    steps: int
    block_steps: int
    blocks: int

    @classmethod
    def of(
        cls,
        n_trials: int,
        batch_size: int,
        *,
        others: Sequence[int] = (),
        n_devices: int = 1,
        at_once: int = 0,
        steps_per_block: int = 64,
    ) -> Layout:
        """Returns the layout of an epoch with nearly equal blocks.

        Args:
            n_trials: Number of trials of the split.
            batch_size: Largest number of trials of a step.
            others: Numbers of trials of other splits that are to have blocks of the same shape.
            n_devices: Devices that share the rows of a step.
            at_once: Largest number of rows that a device computes at once; 0 for all of its rows.
            steps_per_block: Largest number of steps of a block.
        """
        sizes = (n_trials, *others)
        full = max(even_batch(n, batch_size) for n in sizes)
        weight = even_batch(max(sizes), batch_size) / even_batch(n_trials, batch_size)
        steps = math.ceil(max(sizes) / batch_size)
        blocks = math.ceil(steps / steps_per_block)
        shares = n_devices * n_portions(math.ceil(full / n_devices), at_once)
        rows = math.ceil(full / shares) * shares
        return cls(n_trials, batch_size, weight, rows, steps, math.ceil(steps / blocks), blocks)

    def arrange(self, order: Int[np.ndarray, " trial"]) -> Int[np.ndarray, "block step row"]:
        """Cuts an order of trials into blocks, steps and rows; empty rows are -1."""
        cells = np.full((self.blocks * self.block_steps, self.rows), -1, np.int64)
        for cell, chosen in zip(cells, np.array_split(order, math.ceil(len(order) / self.most)), strict=False):
            cell[: len(chosen)] = chosen
        return cells.reshape(self.blocks, self.block_steps, self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Steps of a block, and rows of a step."""
        return self.block_steps, self.rows

    def after(self, epoch: int, block: int) -> tuple[int, int]:
        """Returns epoch and block of the next block."""
        return divmod(epoch * self.blocks + block + 1, self.blocks)


def epoch_order(seed: int, epoch: int, n_trials: int) -> Int[np.ndarray, " trial"]:
    """Returns the order of all trials in an epoch, sessions mixed; it depends on seed and epoch only."""
    return np.random.default_rng([seed, epoch]).permutation(n_trials)


ALL_ROWS = slice(None)


@dataclasses.dataclass(frozen=True)
class Feed:
    """The blocks of one model's training and validation trials, as NumPy arrays.

    Attributes:
        data: The data set.
        seed: Seed of the order.
        train: Division of an epoch into steps and blocks.
        valid: The same of the validation trials.
    """

    data: Dataset
    seed: int
    train: Layout
    valid: Layout

    @classmethod
    def of(cls, data: Dataset, config: TrainConfig, mesh: Mesh | None, *, others: Sequence[Dataset] = ()) -> Feed:
        """Returns the feed of a run on the devices of a mesh; its blocks have the shape of those of other data sets."""
        at_once = portion_limit(config.trials_at_once, mesh)
        settings = dict(n_devices=n_data_devices(mesh), at_once=at_once, steps_per_block=config.steps_per_block)
        layouts = (
            Layout.of(n, config.batch_size, others=of_others, **settings)
            for n, of_others in (
                (data.train.n_trials, [other.train.n_trials for other in others]),
                (data.valid.n_trials, [other.valid.n_trials for other in others]),
            )
        )
        return cls(data, config.seed, *layouts)

    def train_block(self, epoch: int, block: int, rows: slice = ALL_ROWS) -> Batch:
        """Returns a block of an epoch, shape (step, trial, ...), or the given rows of each of its steps.

        The order depends on the seed and the epoch only.
        """
        split = self.data.train
        order = epoch_order(self.seed, epoch, split.n_trials)
        trials = take(self.data.sessions, split, self.train.arrange(order)[block][:, rows])
        return dataclasses.replace(trials, trial_weight=trials.trial_weight * np.float32(self.train.weight))

    def valid_block(self, block: int, rows: slice = ALL_ROWS) -> Batch:
        """Returns a block of the validation trials, shape (step, trial, ...), or the given rows of its steps."""
        split = self.data.valid
        return take(self.data.sessions, split, self.valid.arrange(np.arange(split.n_trials))[block][:, rows])

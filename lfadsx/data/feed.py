"""Which trials a run's compiled blocks get, and in which order."""

from __future__ import annotations

import dataclasses

import numpy as np
from jax.sharding import Mesh

from lfadsx.config import TrainConfig
from lfadsx.data.batching import Layout, epoch_order, take
from lfadsx.data.dataset import Dataset
from lfadsx.parallel import n_data_devices, portion_limit
from lfadsx.types import Batch


@dataclasses.dataclass(frozen=True)
class Feed:
    """Hands out the blocks of one model's training and validation trials, as NumPy arrays.

    Attributes:
        data: The data set.
        seed: Seed of the order.
        train: How an epoch is cut into steps and blocks.
        valid: The same of the validation trials.
    """

    data: Dataset
    seed: int
    train: Layout
    valid: Layout

    @classmethod
    def of(cls, data: Dataset, config: TrainConfig, mesh: Mesh | None, *, least: tuple[int, int] = (0, 0)) -> Feed:
        """Returns the feed of a run.

        Args:
            config: Run settings: batch size, trials at once, steps of a block, and the seed.
            mesh: Devices that the trials of a step are spread over.
            least: Numbers of training and validation trials that blocks have room for at least, so that the blocks of
                several data sets have one shape.
        """
        n_trials = np.maximum(least, (data.train.n_trials, data.valid.n_trials)).tolist()
        at_once = portion_limit(config.trials_at_once, mesh)
        settings = dict(n_devices=n_data_devices(mesh), at_once=at_once, steps_per_block=config.steps_per_block)
        return cls(data, config.seed, *(Layout.of(n, config.batch_size, **settings) for n in n_trials))

    def train_block(self, epoch: int, block: int) -> Batch:
        """Returns a block of an epoch, shape (step, trial, ...); its order depends on the seed and the epoch alone."""
        split = self.data.train
        order = epoch_order(self.seed, epoch, split.n_trials)
        return take(self.data.sessions, split, self.train.arrange(order)[block])

    def valid_block(self, block: int) -> Batch:
        """Returns a block of the validation trials, shape (step, trial, ...)."""
        split = self.data.valid
        return take(self.data.sessions, split, self.valid.arrange(np.arange(split.n_trials))[block])

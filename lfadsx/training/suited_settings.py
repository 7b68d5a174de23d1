"""Default settings that follow from the amount of data. This is the only place of the rule."""

from __future__ import annotations

import dataclasses
import math

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Dataset

SPIKES = 3e5
"""Training spikes up to which dropout has its full rate."""
DROPOUT_POWER = 0.45
"""Power of the number of spikes with which dropout falls above `SPIKES`."""
LEAST_DROPOUT = 0.05
"""Lowest dropout rate of the rule."""
STEPS_PER_ROOT = 1.25
"""Steps for the square root of the number of training spikes."""
LEAST_STEPS = 150
"""Lowest number of steps of the rule."""
EVALUATIONS = 60
"""Evaluations of the selection score in a run, at least every second epoch."""


def suited_settings(data: Dataset, batch_size: int = TrainConfig.batch_size) -> tuple[HyperParams, TrainConfig]:
    r"""Returns the default settings for a data set: dropout and the number of steps follow from its training spikes.

    .. math:: p = 0.2 \min(1, (3 \cdot 10^5 / S)^{0.45}), \quad n = 1.25 \sqrt{S}

    with the spikes S that the encoder sees in the training trials, dropout p of at least 0.05 and n steps, at least
    150. Few spikes need much dropout, because the model would learn them by heart. More spikes need less of it and more
    steps. The constants were chosen on validation trials. Real-valued data keep the defaults of `HyperParams` and
    `TrainConfig`.

    `fit`, `population`, `sweep`, `cross_validate`, `controls` and the command line take these settings unless others
    are given.

    Example:
        >>> import lfadsx
        >>> hyper, train = lfadsx.suited_settings(lfadsx.datasets.chaotic_rnn(conditions=10))
        >>> hyper.dropout_rate, train.epochs
        (0.2, 97)

    Args:
        data: The data set.
        batch_size: Trials per step.
    """
    hyper, train = HyperParams(), TrainConfig(batch_size=batch_size)
    if not data.is_counts():
        return hyper, train
    spikes = training_spikes(data)
    dropout = max(hyper.dropout_rate * min(1.0, (SPIKES / spikes) ** DROPOUT_POWER), LEAST_DROPOUT)
    epochs = math.ceil(max(STEPS_PER_ROOT * math.sqrt(spikes), LEAST_STEPS) / _steps_per_epoch(data, train))
    return (
        dataclasses.replace(hyper, dropout_rate=round(dropout, 3)),
        dataclasses.replace(
            train,
            epochs=epochs,
            patience=max(train.patience, epochs // 2),
            validate_every=max(train.validate_every, epochs // EVALUATIONS),
        ),
    )


def settings_line(data: Dataset, hyper: HyperParams, train: TrainConfig) -> str:
    """Returns the amount of data, and the settings that depend on it, in one line."""
    amount = f"{data.train.n_trials:,} training trials"
    if data.is_counts():
        amount += f" with {training_spikes(data):,.0f} spikes"
    steps = train.epochs * _steps_per_epoch(data, train)
    return f"{amount}: dropout {float(hyper.dropout_rate):g}, up to {steps:,} steps ({train.epochs:,} epochs)"


def training_spikes(data: Dataset) -> float:
    """Returns the number of spikes that the encoder sees in the training trials, at least 1."""
    split = data.train
    seen = split.encoder_input if split.encoder_observed is None else split.encoder_input * split.encoder_observed
    return max(float(seen.sum(dtype=float)), 1.0)


def _steps_per_epoch(data: Dataset, train: TrainConfig) -> int:
    return math.ceil(data.train.n_trials / min(train.batch_size, data.train.n_trials))

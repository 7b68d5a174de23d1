"""Default settings that follow from the amount of data. This is the only place of the rule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.settings_by_name import with_settings

AMOUNT = 3.4e4
"""Amount of data at which dropout has the rate of `HyperParams`."""
DROPOUT_POWER = 0.45
"""Power of the amount of data with which dropout falls."""
DROPOUT = 0.05, 0.3
"""Lowest and highest dropout rate of the rule."""
NEURONS_OF_FULL_PASS = 500
"""Neurons of a session from which all visible entries enter the loss."""
FEWEST_NEURONS_OF_PASS = 100
"""Neurons of a session below which hidden entries alone enter the loss."""
STEPS_PER_ROOT = 3.3
"""Steps for the square root of the amount of data."""
NEURONS_PER_INPUT = 16
"""Neurons of a session for each inferred input."""
INPUTS = 4, 32
"""Smallest and largest number of inferred inputs of the rule."""
EVALUATIONS = 60
"""Evaluations of the selection score in a run, at least every second epoch."""


def suited_settings(data: Dataset, batch_size: int = TrainConfig.batch_size) -> tuple[HyperParams, TrainConfig]:
    r"""Returns the default settings for a data set: dropout and the number of steps follow from the amount of data.

    .. math:: A = S / \sqrt{N}, \quad p = 0.2 (34000 / A)^{0.45}, \quad n = 3.3 \sqrt{A}, \quad q = N_1 / 500

    The amount A is the geometric mean of the training spikes S that the encoder sees and of those per neuron, S / N.
    The dropout p is from 0.05 to 0.3. The number of steps n is at least that of 120 epochs. Few spikes need much
    dropout, because the model would learn their trials by heart, and more than 120 passes over their few trials. The
    share q of visible entries that enter the loss besides the hidden ones (`cd_pass_rate`) is at most 1, with the
    neurons N_1 of the largest session, and 0 below 100 neurons: hidden entries alone are a noisy signal for the
    encoders, but a model of few neurons that learns from visible entries copies their spikes. The constants were chosen on validation trials.
    Real-valued data keep the defaults of `HyperParams` and `TrainConfig`.

    `fit`, `population`, `sweep`, `cross_validate`, `controls` and the command line take these settings unless others
    are given.

    Example:
        >>> import lfadsx
        >>> hyper, train = lfadsx.suited_settings(lfadsx.datasets.chaotic_rnn(conditions=10))
        >>> hyper.dropout_rate, train.epochs
        (0.3, 151)

    Args:
        data: The data set.
        batch_size: Trials per step.
    """
    hyper, train = HyperParams(), TrainConfig(batch_size=batch_size)
    if not data.is_counts():
        return hyper, train
    amount = amount_of(data)
    dropout = min(max(hyper.dropout_rate * (AMOUNT / amount) ** DROPOUT_POWER, DROPOUT[0]), DROPOUT[1])
    epochs = max(math.ceil(STEPS_PER_ROOT * math.sqrt(amount) / _steps_per_epoch(data, train)), train.epochs)
    return (
        dataclasses.replace(hyper, dropout_rate=round(dropout, 3), cd_pass_rate=suited_pass_rate(data)),
        dataclasses.replace(
            train,
            epochs=epochs,
            patience=max(train.patience, epochs // 2),
            validate_every=max(train.validate_every, epochs // EVALUATIONS),
        ),
    )


def suited_inputs(data: Dataset) -> int:
    """Returns the default number of inferred inputs: one for 16 neurons of the largest session, from 4 to 32.

    With hundreds of neurons, four inputs cannot express what neurons share within a trial.
    """
    return min(max(math.ceil(_neurons(data) / NEURONS_PER_INPUT), INPUTS[0]), INPUTS[1])


def suited_pass_rate(data: Dataset) -> float:
    """Returns the default share of visible entries in the loss: neurons of the largest session / 500, 0 below 100."""
    neurons = _neurons(data)
    return 0.0 if neurons < FEWEST_NEURONS_OF_PASS else round(min(neurons / NEURONS_OF_FULL_PASS, 1.0), 2)


def settings_line(data: Dataset, hyper: HyperParams, train: TrainConfig) -> str:
    """Returns the amount of data, and the settings that depend on it, in one line."""
    amount = f"{data.train.n_trials:,} training trials"
    if data.is_counts():
        amount += f" with {training_spikes(data):,.0f} spikes"
    steps, passed = train.epochs * _steps_per_epoch(data, train), 100 * float(hyper.cd_pass_rate)
    if hyper.cd_rate == 0:
        loss = "all entries"
    else:
        loss = f"hidden and {passed:.0f} % of visible entries" if passed else "hidden entries"
    shares = f"dropout {float(hyper.dropout_rate):g}, {loss} in the loss"
    return f"{amount}: {shares}, up to {steps:,} steps ({train.epochs:,} epochs)"


def amount_of(data: Dataset) -> float:
    """Returns the amount of data A: training spikes over the square root of the number of neurons."""
    return training_spikes(data) / math.sqrt(sum(session.n_channels for session in data.sessions))


def training_spikes(data: Dataset) -> float:
    """Returns the number of spikes that the encoder sees in the training trials, at least 1."""
    split = data.train
    seen = True if split.encoder_observed is None else split.encoder_observed
    return max(float(split.encoder_input.sum(dtype=float, where=seen)), 1.0)


def _neurons(data: Dataset) -> int:
    """Returns the number of neurons of the largest session."""
    return max(session.n_channels for session in data.sessions)


def _steps_per_epoch(data: Dataset, train: TrainConfig) -> int:
    return math.ceil(data.train.n_trials / min(train.batch_size, data.train.n_trials))


def with_suited(
    of: str,
    data: Dataset,
    settings: Mapping[str, Any],
    hyper: HyperParams | None,
    train: TrainConfig | None,
    *others: Any,
) -> tuple[Any, ...]:
    """Returns hyperparameters, run settings and other configurations, with settings by name in place of their fields.

    Args:
        of: The function that received the settings, for messages.
        data: The data set.
        settings: Values by name; they override all others.
        hyper: Hyperparameters; None for those that suit the data.
        train: Run settings; None for those that suit the data.
        others: Other configurations.

    Raises:
        LfadsxError: If a setting is unknown, of another type or out of range.
    """
    batch_size = with_settings(of, settings, hyper or HyperParams(), train or TrainConfig(), *others)[1].batch_size
    suited = suited_settings(data, batch_size)
    return with_settings(of, settings, hyper or suited[0], train or suited[1], *others)

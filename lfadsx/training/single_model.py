"""`fit`: train one model on a data set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import optax
from jax.sharding import Mesh

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.objective import Objective
from lfadsx.search import Ensemble
from lfadsx.settings import FitSettings
from lfadsx.settings_for_data import settings_line, with_suited
from lfadsx.training.callbacks import AbstractCallback, ProgressBar
from lfadsx.training.populations import train
from lfadsx.training.results import FitResult

log = logging.getLogger("lfadsx")


def fit(
    model: LFADS,
    data: Dataset,
    *,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    out: str | Path | None = None,
    mesh: Mesh | None = None,
    augmentations: Sequence[AbstractAugmentation] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
    trainable: Callable[[str], bool] | None = None,
    objective: Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    progress: bool = True,
    reset_learning_rate: bool = False,
    notes: Mapping[str, Any] | None = None,
    **settings: Unpack[FitSettings],
) -> FitResult:
    """Trains a copy of a model; the model itself does not change.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=nnx.Rngs(0))
        >>> run = lfadsx.fit(model, data, epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1, learning_rate=1e-2)
        >>> run.reason
        'epochs'

    Args:
        model: The model to start from.
        data: Training and validation trials.
        hyper: Hyperparameters; changing them does not recompile. By default those of `suited_settings(data)`.
        config: Run settings. By default those of `suited_settings(data)`.
        out: Run folder for checkpoints. An unfinished run of the same settings in it is resumed. On the same number of
            CPU devices the result is bit-identical to that of an uninterrupted run; only `trials_at_once` may differ,
            which changes rounding. With more epochs a finished run continues as one long run would if the earlier
            number is a multiple of `validate_every`. The cosine schedule instead starts a new cosine that ends at the
            last epoch.
        mesh: Spreads the trials of a step over the devices of its axis `data`.
        augmentations: Augmentations of the training batches. By default coordinated dropout and, if
            `config.spike_jitter` is set, spike jitter.
        callbacks: Called after every epoch, in addition to the progress bar.
        trainable: Returns for a parameter path whether it trains. By default the patterns of `config.train`.
        objective: The loss. By default an `Objective` with the run settings `reduction`, `estimator` and
            `l2_normalize`. Derive from that class for your own loss.
        optimizer: An Optax transformation without a learning rate, such as `optax.scale_by_lion()`. By default clipped
            Adam. All trained parameters are passed as one vector. Its update is applied as
            params - learning_rate * (update + weight_decay * params).
        progress: If True, a progress bar is shown.
        reset_learning_rate: If True, a resumed run restarts its learning rate and the rule that lowers it.
        notes: Your own facts about the run, such as the name of an experiment; `run.json` records them.
        settings: Fields of `HyperParams` and `TrainConfig` by name; they override `hyper` and `config`.

    Returns:
        The trained model, the history and the reason why training stopped.

    Raises:
        LfadsxError: If a setting is unknown or out of range, the data do not fit the model, or a step does not fit into
            the memory of the device.
        RunError: If `out` cannot be written or holds a run with other settings.
    """
    numbers, train_config = with_suited("fit", data, settings, hyper, config)
    log.info("%s.", settings_line(data, numbers, train_config))
    if progress and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks = [ProgressBar(), *callbacks]
    result = train(
        model,
        [data],
        numbers,
        train_config,
        population=None,
        strategy=Ensemble(),
        out=out,
        mesh=mesh,
        callbacks=callbacks,
        reset_learning_rate=reset_learning_rate,
        notes=notes,
        augmentations=augmentations,
        trainable=trainable,
        objective=objective,
        optimizer=optimizer,
    )
    return result.members[0]

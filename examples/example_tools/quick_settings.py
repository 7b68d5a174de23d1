"""Settings for a trial run: the same parts and rules, tiny sizes, few epochs."""

from __future__ import annotations

import dataclasses

from lfadsx.config import ModelConfig, TrainConfig
from lfadsx.errors import LfadsxError


def tiny_model(config: ModelConfig) -> ModelConfig:
    """Shrinks a model so that it compiles and trains within seconds, to see that a script works.

    Names of parts, numbers of inputs and everything else stay; so does a controller that shares its encoder.

    Example:
        >>> import lfadsx
        >>> from example_tools.quick_settings import tiny_model
        >>> tiny_model(lfadsx.ModelConfig(factors=20, inferred_inputs=1)).factors
        6

    Args:
        config: The settings of the real run.
    """
    return dataclasses.replace(
        config,
        factors=6,
        generator_dim=16,
        ic_dim=6,
        ic_encoder_dim=12,
        input_encoder_dim=12 if config.input_encoder_dim else 0,
        controller_dim=12,
    )


def shorter(config: TrainConfig, epochs: int, batch_size: int | None = None) -> TrainConfig:
    """Changes the number of epochs; ramps and patience keep their share of it.

    Example:
        >>> import lfadsx
        >>> from example_tools.quick_settings import shorter
        >>> shorter(lfadsx.TrainConfig(epochs=1000, kl_ramp_epochs=100), 50).kl_ramp_epochs
        5

    Args:
        config: The settings of the whole run.
        epochs: Number of epochs, also more than before.
        batch_size: Trials per step; as before when None.

    Raises:
        LfadsxError: If `epochs` is below 1.
    """
    if epochs < 1:
        raise LfadsxError(f"epochs = {epochs} is no number of epochs. Give at least 1.")
    starts = ("kl_ramp_start", "l2_ramp_start")
    lengths = ("kl_ramp_epochs", "l2_ramp_epochs", "patience")
    scaled = {name: getattr(config, name) * epochs // config.epochs for name in starts}
    scaled |= {name: -(-getattr(config, name) * epochs // config.epochs) for name in lengths}  # rounded up
    batch_size = config.batch_size if batch_size is None else batch_size
    return dataclasses.replace(config, **scaled, epochs=epochs, batch_size=batch_size)

"""Settings for a quick run: the same parts and rules, tiny sizes, few epochs."""

from __future__ import annotations

import dataclasses

from lfadsx import LfadsxError, ModelConfig, TrainConfig

QUICK_EPOCHS, QUICK_BATCH = 20, 20


def sized(
    model: ModelConfig, train: TrainConfig, quick: bool, epochs: int | None = None
) -> tuple[ModelConfig, TrainConfig]:
    """Returns the settings of the full run, or small ones for a quick run.

    Example:
        >>> import lfadsx
        >>> from example_tools.quick_settings import sized
        >>> model, train = sized(lfadsx.ModelConfig(factors=20), lfadsx.TrainConfig(epochs=300), quick=True)
        >>> model.factors, train.epochs
        (6, 20)

    Args:
        model: The model of the whole run.
        train: Its run settings.
        quick: If True, the settings are those of a trial run.
        epochs: Number of epochs; by default that of `train`, or 20 in a trial run.
    """
    if quick:
        return tiny_model(model), shorter(train, epochs or QUICK_EPOCHS, batch_size=QUICK_BATCH)
    return model, shorter(train, epochs) if epochs else train


def tiny_model(config: ModelConfig) -> ModelConfig:
    """Shrinks a model so that it compiles and trains within seconds, to check that a script works.

    Names of parts, numbers of inputs and everything else stay.

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
    """Changes the number of epochs; ramps and patience change in proportion.

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
        raise LfadsxError(f"`epochs` must be at least 1, got {epochs}.")
    starts = ("kl_ramp_start", "l2_ramp_start")
    lengths = [name for name in ("kl_ramp_epochs", "l2_ramp_epochs", "patience") if getattr(config, name) is not None]
    scaled = {name: getattr(config, name) * epochs // config.epochs for name in starts}
    scaled |= {name: -(-getattr(config, name) * epochs // config.epochs) for name in lengths}  # rounded up
    batch_size = config.batch_size if batch_size is None else batch_size
    return dataclasses.replace(config, **scaled, epochs=epochs, batch_size=batch_size)

"""Settings of another program as settings of this library, and as flags of `lfadsx fit`."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.setting_checks import SUITED


class Settings(NamedTuple):
    """Architecture, hyperparameters and run, for `lfadsx.build` and `lfadsx.fit`."""

    model: ModelConfig
    hyper: HyperParams
    train: TrainConfig


def flags_of(settings: Settings) -> list[str]:
    """Returns the flags of `lfadsx fit` for the settings that differ from its defaults."""
    words = []
    for part in settings:
        for field in dataclasses.fields(part):
            value, default = getattr(part, field.name), getattr(type(part)(), field.name)
            # `fit` chooses the fields that are suited to the data unless they are given.
            if value is None or (value == default and SUITED not in field.metadata):
                continue
            name = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            elif isinstance(value, tuple):
                words.append(" ".join([f"--{name}", *map(str, value)]))
            else:
                words.append(f"--{name} {value}")
    return words

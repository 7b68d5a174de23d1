"""Settings that are given by name: which configuration holds them, and as which type."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from lfadsx.aliases import without_aliases
from lfadsx.config import ModelConfig
from lfadsx.errors import LfadsxError, nearest


def as_text(value: float | str) -> str:
    """Returns a value of a setting as it would be typed."""
    return f"{value:g}" if isinstance(value, int | float) else value


def with_settings(of: str, settings: Mapping[str, object], *configs: Any) -> tuple[Any, ...]:
    """Returns configurations in which settings, given by name, replace fields.

    Example:
        >>> from lfadsx.config import HyperParams, TrainConfig
        >>> from lfadsx.settings_by_name import with_settings
        >>> hyper, train = with_settings("fit", {"epochs": 3, "cd_rate": 0.1}, HyperParams(), TrainConfig())
        >>> hyper.cd_rate, train.epochs
        (0.1, 3)

    Args:
        of: The function that received the settings, for messages.
        settings: Values by name, or by a name in `lfadsx.aliases.ALIASES`.
        configs: Configurations: dataclasses without common field names.
    """
    fields = {field.name: number for number, own in enumerate(configs) for field in dataclasses.fields(own)}
    changes: list[dict[str, Any]] = [{} for _ in configs]
    for name, value in without_aliases(settings).items():
        if name not in fields:
            raise LfadsxError(_unknown_setting(of, name, list(fields), configs))
        number = fields[name]
        changes[number][name] = _of_type(name, value, get_type_hints(type(configs[number]))[name])
    return tuple(dataclasses.replace(own, **change) for own, change in zip(configs, changes, strict=True))


def _unknown_setting(of: str, name: str, known: list[str], configs: tuple[Any, ...]) -> str:
    places = " and ".join(f"lfadsx.{type(own).__name__}" for own in configs)
    if name in {field.name for field in dataclasses.fields(ModelConfig)}:
        return f"`{name}` is a setting of the model. Give it to the function that builds the model, not to `{of}`."
    return f"`{name}` must be a setting of `{of}`{nearest(name, known)}. Settings are the fields of {places}."


def _of_type(name: str, value: Any, hint: Any) -> Any:
    """Returns a value as its field holds it; numbers of NumPy and JAX become plain ones."""
    if get_origin(hint) is tuple:
        return (value,) if isinstance(value, str) else tuple(value) if np.iterable(value) else value
    kinds = get_args(hint) or (hint,)
    if bool in kinds or not (int in kinds or float in kinds) or (value is None and type(None) in kinds):
        return value  # the configuration checks its names itself
    whole = float not in kinds
    try:
        number = math.nan if value is None or isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) or (whole and number != int(number)):
        raise LfadsxError(f"`{name}` must be {'a whole number' if whole else 'a number'}, got {value!r}.")
    return int(number) if whole else number

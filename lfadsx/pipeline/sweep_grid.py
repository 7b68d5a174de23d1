"""The grid of a sweep: combinations of settings, the architectures that they make, and how large these are."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from lfadsx.config import ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models import builders
from lfadsx.training.state import matches, path_name

Settings = Mapping[str, Sequence[float]]
"""Values to try, by name of the setting."""


def grid(values: Settings) -> list[dict[str, Any]]:
    """Returns all combinations of the values of some settings, each value once; one empty one without settings.

    Example:
        >>> from lfadsx.pipeline.sweep_job import grid
        >>> grid({"factors": [4, 8], "ic_dim": [2]})
        [{'factors': 4, 'ic_dim': 2}, {'factors': 8, 'ic_dim': 2}]
    """
    combinations = itertools.product(*(dict.fromkeys(tried) for tried in values.values()))
    return [dict(zip(values, combination, strict=True)) for combination in combinations]


def architecture(model: ModelConfig, sizes: Mapping[str, Any]) -> ModelConfig:
    """Returns the configuration with some sizes; without inferred inputs it is that of the autonomous variant.

    Raises:
        LfadsxError: If a size is out of range, or inferred inputs are to be tried in a variant that has none.
    """
    if model.variant == "autonomous" and sizes.get("inferred_inputs"):
        raise LfadsxError(
            f"inferred_inputs = {sizes['inferred_inputs']} is to be tried and variant = 'autonomous' infers none. Use "
            "the variant 'inferred_input', in which 0 gives an autonomous model."
        )
    config = dataclasses.replace(model, **sizes)
    if config.variant == "inferred_input" and config.inferred_inputs == 0:
        config = dataclasses.replace(config, variant="autonomous")
    return config


def group_name(sizes: Mapping[str, Any]) -> str:
    """Returns the name of the population of models with some sizes."""
    return "-".join(f"{name}_{value}" for name, value in sizes.items()) or "models"


def count_parameters(data: Dataset, config: ModelConfig, train: TrainConfig) -> int:
    """Returns how many numbers of a model would be trained; no model is made.

    Raises:
        LfadsxError: If a model cannot be built like this.
    """
    outline = nnx.eval_shape(lambda: builders.build(data, config, rngs=nnx.Rngs(0)))
    parameters = nnx.to_flat_state(nnx.state(outline, nnx.Param))
    return sum(math.prod(value.shape) for path, value in parameters if matches(path_name(path), train.train))

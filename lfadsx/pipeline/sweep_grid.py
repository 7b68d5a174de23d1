"""The grid of a sweep: combinations of settings, their architectures and numbers of parameters."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from lfadsx.config import ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.distributions import LIKELIHOODS
from lfadsx.errors import LfadsxError
from lfadsx.models import builders
from lfadsx.training.state import matches, path_name

Settings = Mapping[str, Sequence[float | str]]
"""Values to try, by name of the setting."""


def grid(values: Settings) -> list[dict[str, Any]]:
    """Returns all combinations of the values of settings, each once; a single empty one without settings.

    Example:
        >>> from lfadsx.pipeline.sweep_job import grid
        >>> grid({"factors": [4, 8], "ic_dim": [2]})
        [{'factors': 4, 'ic_dim': 2}, {'factors': 8, 'ic_dim': 2}]
    """
    combinations = itertools.product(*(dict.fromkeys(tried) for tried in values.values()))
    return [dict(zip(values, combination, strict=True)) for combination in combinations]


def architecture(model: ModelConfig, sizes: Mapping[str, Any]) -> ModelConfig:
    """Returns the configuration with some sizes; with 0 inferred inputs the variant becomes "autonomous"."""
    if model.variant == "autonomous" and sizes.get("inferred_inputs"):
        raise LfadsxError(
            f"`inferred_inputs` must be 0 for the variant 'autonomous', got {sizes['inferred_inputs']}. Use the "
            "variant 'inferred_input', in which 0 gives an autonomous model."
        )
    config = dataclasses.replace(model, **sizes)
    if config.variant == "inferred_input" and config.inferred_inputs == 0:
        config = dataclasses.replace(config, variant="autonomous")
    return config


def group_name(sizes: Mapping[str, Any]) -> str:
    """Returns the name of the population of models with some sizes."""
    return "-".join(f"{name}_{value}" for name, value in sizes.items()) or "models"


def count_parameters(data: Dataset, config: ModelConfig, train: TrainConfig, parts: Mapping[str, Any]) -> int:
    """Returns the number of trained parameters of a model, without building it."""
    outline = nnx.eval_shape(lambda: builders.build(data, config, rngs=nnx.Rngs(0), **parts))
    parameters = nnx.to_flat_state(nnx.state(outline, nnx.Param))
    return sum(math.prod(value.shape) for path, value in parameters if matches(path_name(path), train.train))


def check_likelihoods(names: Sequence[Any]) -> None:
    """Raises LfadsxError unless log likelihoods of the same data can be compared between likelihoods."""
    made = {name: LIKELIHOODS[name] for name in names if name in LIKELIHOODS}
    kinds = {(one.support, one.has_point_mass) for one in made.values()}
    if len(kinds) > 1:
        groups = [
            [n for n, one in LIKELIHOODS.items() if (one.support, one.has_point_mass) == k] for k in sorted(kinds)
        ]
        raise LfadsxError(
            f"`likelihood` must be for one kind of data in a sweep, got {', '.join(names)}: probabilities of counts, "
            "densities and mixtures of both cannot be compared. Compare only within "
            + ", or within ".join(" and ".join(group) for group in groups)
            + "."
        )

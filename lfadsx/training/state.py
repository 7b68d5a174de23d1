"""Everything that training changes, as one pytree."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from lfadsx.config import Precision, TrainConfig
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.objective import Objective
from lfadsx.parallel import portion_limit
from lfadsx.training.model_selection import Monitor
from lfadsx.training.optimizer import make_optimizer

PRODUCTS: dict[Precision, str] = {"float32": "highest", "tf32": "high", "bfloat16": "BF16_BF16_F32"}
"""What JAX calls the precisions; with all of them products are added up in float32."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of one model in training. A population stacks states along a new first axis.

    Attributes:
        params: Trained parameters.
        fixed: All other variables of the model.
        augmentations: Variables of the augmentations.
        optimizer: State of the optimiser, of all parameters as one vector.
        step: Number of steps taken, shape ().
        skipped: Number of steps skipped because loss or gradient were not finite, shape ().
        key: Random key of the run.
        monitor: What the run remembers of its selection score.
    """

    params: nnx.State
    fixed: nnx.State
    augmentations: nnx.State
    optimizer: Any
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    key: Key[Array, ""]
    monitor: Monitor


@dataclasses.dataclass(frozen=True)
class Program:
    """What is compiled: structure of model and augmentations, objective, optimiser, precision and devices; hashable.

    Equal programs share one compilation. A device computes `portion_limit` trials of a step at once at most; 0: all.
    """

    model: Any
    augmentations: Any
    objective: Objective
    optimizer: optax.GradientTransformation
    precision: Precision = "tf32"
    mesh: Mesh | None = None
    portion_limit: int = 0

    def products(self) -> AbstractContextManager:
        """Returns the context in which what is traced multiplies matrices in the run's precision."""
        return jax.default_matmul_precision(PRODUCTS[self.precision])

    def merge(self, state: TrainState) -> tuple[LFADS, Sequence[AbstractAugmentation]]:
        """Returns model and augmentations with the state's values."""
        return self.merge_model(state.params, state.fixed), nnx.merge(self.augmentations, state.augmentations)

    def merge_model(self, params: nnx.State, fixed: nnx.State) -> LFADS:
        """Returns the model with given values."""
        return nnx.merge(self.model, params, fixed)


def start(
    model: LFADS,
    augmentations: Sequence[AbstractAugmentation],
    config: TrainConfig,
    *,
    n_trials: int,
    trainable: Callable[[str], bool] | None = None,
    mesh: Mesh | None = None,
    objective: Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> tuple[Program, TrainState]:
    """Returns the program and the first state of a run; the model itself is left alone.

    Args:
        model: The model; its values are copied.
        augmentations: Augmentations of the training batches.
        config: Run settings.
        n_trials: Number of training trials.
        trainable: Says for a parameter path such as "decoder/generator/gru/bias" whether it trains; by default
            the patterns `config.train`.
        mesh: Devices that the trials of a step are spread over; None for one.
        objective: The loss; by default that of the run settings. Its `nominal_batch` is set here.
        optimizer: Makes updates of gradients; by default the clipped Adam of the run settings.

    Raises:
        LfadsxError: If nothing would train.
    """
    trains = trainable or (lambda path: matches(path, config.train))
    is_trained = lambda path, value: isinstance(value, nnx.Param) and trains(path_name(path))  # noqa: E731
    graphdef, params, fixed = nnx.split(model, is_trained, ...)
    if not jax.tree.leaves(params):
        raise LfadsxError(
            f"train = {config.train} matches none of the parameters, e.g. {parameter_paths(model)[:5]}. Give "
            "patterns over these paths, such as '*' or 'readout/*'."
        )
    # Copies, since blocks give their state up; with a dtype of their own, since weak types would compile anew.
    params, fixed = jax.tree.map(lambda x: jnp.array(x, x.dtype, copy=True), (params, fixed))
    augmentation_def, augmentation_state = nnx.split(nnx.List(list(augmentations)))
    at_once = portion_limit(config.trials_at_once, mesh)
    nominal = float(min(config.batch_size, n_trials))
    objective = objective or Objective(config.reduction, config.estimator, config.l2_normalize)
    objective = dataclasses.replace(objective, nominal_batch=nominal)
    optimizer = optimizer or make_optimizer(config)
    settings = config.precision, mesh, at_once
    program = Program(graphdef, augmentation_def, objective, optimizer, *settings)
    state = TrainState(
        params=params,
        fixed=fixed,
        augmentations=augmentation_state,
        optimizer=optimizer.init(_zeros_like_vector(params)),
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        key=jax.random.key(config.seed),
        monitor=Monitor.start(params, config.plateau_patience),
    )
    return program, state


def _zeros_like_vector(params: Any) -> Array:
    """Returns zeros, one for each number of the parameters, for the optimiser to begin with."""
    leaves = jax.tree.leaves(params)
    return jax.device_put(np.zeros(sum(x.size for x in leaves), jnp.result_type(*leaves)))


def path_name(path: Sequence[Any]) -> str:
    """Returns a parameter path as text, such as "decoder/generator/gru/bias"."""
    return "/".join(str(part) for part in path)


def parameter_paths(model: nnx.Module) -> list[str]:
    """Returns the paths of all parameters of a model."""
    return [path_name(path) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Returns whether the last pattern that matches a path takes it in; "!" in front takes away.

    Patterns that begin by taking away take it away from everything.

    Example:
        >>> from lfadsx.training.state import matches
        >>> matches("readin/weight/day1", ("*", "!readin/*"))
        False
    """
    result = patterns[0].startswith("!") if patterns else False
    for pattern in patterns:
        if fnmatch.fnmatch(path, pattern.removeprefix("!")):
            result = not pattern.startswith("!")
    return result

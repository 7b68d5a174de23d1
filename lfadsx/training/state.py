"""Everything that training changes, as one pytree, and the program that changes it."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable, Sequence
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
from lfadsx.data.batching import even_batch
from lfadsx.errors import LfadsxError, nearest
from lfadsx.group_settings import by_group, weight
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.modules.hidden_entries import SampleValidation
from lfadsx.objective import Objective
from lfadsx.parallel import portion_limit
from lfadsx.training.optimizer import check_optimizer, make_optimizer
from lfadsx.training.schedules import Monitor

PRODUCTS: dict[Precision, str] = {"float32": "highest", "tf32": "high", "bfloat16": "BF16_BF16_F32"}
"""JAX's names of the precisions. All of them sum products in float32."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of one model in training. A population stacks states along a new first axis.

    Attributes:
        params: Trained parameters.
        fixed: All other variables of the model.
        augmentations: Variables of the augmentations.
        optimizer: State of the optimiser; all parameters are one vector.
        step: Number of steps taken, shape ().
        skipped: Number of steps skipped because loss or gradient were not finite, shape ().
        key: Random key of the run.
        monitor: Selection score, best parameters and patience.
        good: Parameters and state of the optimiser at the end of the last good epoch; None without `rescue`.
    """

    params: nnx.State
    fixed: nnx.State
    augmentations: nnx.State
    optimizer: Any
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    key: Key[Array, ""]
    monitor: Monitor
    good: Any = None


@dataclasses.dataclass(frozen=True)
class Program:
    """Everything that is compiled: structure of model and augmentations, objective, optimiser, precision, devices.

    Programs are hashable, and equal programs share one compilation. `portion_limit` is the largest number of trials
    that a device computes at once; 0: all trials of a step. `extra_figures` names the figures of a step that not every
    program has: the KL of the bias, and both losses of sample validation. `selection_groups` are further target groups
    of the selection score.
    """

    model: Any
    augmentations: Any
    objective: Objective
    optimizer: optax.GradientTransformation
    precision: Precision = "tf32"
    mesh: Mesh | None = None
    portion_limit: int = 0
    extra_figures: tuple[str, ...] = ()
    selection_groups: tuple[str, ...] = ()

    def products(self) -> AbstractContextManager:
        """Returns the context in which traced functions multiply matrices in the run's precision."""
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
    """Returns the program and the first state of a run; the values of the model are copied.

    Sets the `nominal_batch` of the objective. `trainable` takes a path such as "decoder/generator/gru/bias".

    Raises:
        LfadsxError: If no parameter would train, the optimiser is not valid, or a target group is unknown.
    """
    trains = trainable or (lambda path: matches(path, config.train))
    is_trained = lambda path, value: isinstance(value, nnx.Param) and trains(path_name(path))  # noqa: E731
    graphdef, params, fixed = nnx.split(model, is_trained, ...)
    if not jax.tree.leaves(params):
        raise LfadsxError(
            f"`train` must match at least one parameter, got {config.train}. Give patterns of paths such as "
            f"{parameter_paths(model)[:5]}, for example '*' or 'readout/*'."
        )
    # Copies, since a block invalidates the state that it is given. With a dtype, since weak types would compile again.
    params, fixed = jax.tree.map(lambda x: jnp.array(x, x.dtype, copy=True), (params, fixed))
    augmentation_def, augmentation_state = nnx.split(nnx.List(list(augmentations)))
    at_once = portion_limit(config.trials_at_once, mesh)
    nominal = float(even_batch(n_trials, config.batch_size))
    weights = by_group("group_weights", config.group_weights, weight, "GROUP=WEIGHT")
    _check_groups("group_weights", weights, list(model.likelihood))
    others = [group for group in model.likelihood if group != model.input_group]
    _check_groups("selection_groups", config.selection_groups, others)
    objective = objective or Objective(
        config.reduction, config.estimator, config.l2_normalize, group_weights=tuple(weights.items())
    )
    objective = dataclasses.replace(objective, nominal_batch=nominal)
    optimizer = make_optimizer(config) if optimizer is None else check_optimizer(optimizer)
    leaves = jax.tree.leaves(params)
    # On the host: the device would compile a program for every size.
    zeros = jax.device_put(np.zeros(sum(x.size for x in leaves), jnp.result_type(*leaves)))
    extra = () if model.bias_prior is None else ("kl_bias",)
    if any(isinstance(augmentation, SampleValidation) for augmentation in augmentations):
        extra += ("sv_trained", "sv_withheld")
    how: dict[str, Any] = dict(portion_limit=at_once, extra_figures=extra, selection_groups=config.selection_groups)
    program = Program(graphdef, augmentation_def, objective, optimizer, config.precision, mesh, **how)
    first = optimizer.init(zeros)
    state = TrainState(
        params=params,
        fixed=fixed,
        augmentations=augmentation_state,
        optimizer=first,
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        key=jax.random.key(config.seed),
        monitor=Monitor.start(params, config.plateau_patience),
        # Copies, since a block invalidates each array of its state once.
        good=jax.tree.map(jnp.copy, (params, first)) if config.rescue else None,
    )
    return program, state


def _check_groups(setting: str, groups: Iterable[str], known: Sequence[str]) -> None:
    """Raises LfadsxError if a setting names an unknown target group."""
    if unknown := set(groups) - set(known):
        name = min(unknown)
        raise LfadsxError(
            f"`{setting}` must name target groups among {sorted(known)}, got {name!r}{nearest(name, known)}."
        )


def path_name(path: Sequence[Any]) -> str:
    """Returns a parameter path as text, such as "decoder/generator/gru/bias"."""
    return "/".join(str(part) for part in path)


def parameter_paths(model: nnx.Module) -> list[str]:
    """Returns the paths of all parameters of a model."""
    return [path_name(path) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Returns whether glob patterns include a path; "!" excludes, and the last pattern that matches decides.

    A list that starts with "!" starts from all parameters.

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

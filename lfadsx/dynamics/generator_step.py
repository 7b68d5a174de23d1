"""One step of a trained generator, or of any other system, as a function of arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float

from lfadsx.data.dataset import Dataset
from lfadsx.models.adjoint import with_adjoint
from lfadsx.models.compatibility import check_shapes
from lfadsx.models.lfads import LFADS

META = ["n_states", "n_inputs", "bin_width", "input_names", "n_inferred", "n_bias"]
"""Fields of a `StepMap` that programs are compiled for."""


@partial(jax.tree_util.register_dataclass, data_fields=["step", "observe"], meta_fields=META)
@dataclasses.dataclass(frozen=True, eq=False)
class StepMap:
    r"""One step of a dynamical system in discrete time.

    .. math:: x_t = F(x_{t-1}, u_t)

    Everything in `lfadsx.dynamics` takes such a map: that of a trained generator comes from `lfadsx.dynamics.step_map`,
    and any other system can be given by its function.

    Example:
        >>> import jax.numpy as jnp
        >>> from lfadsx.dynamics import StepMap
        >>> spiral = 0.95 * jnp.array([[jnp.cos(0.3), jnp.sin(0.3)], [-jnp.sin(0.3), jnp.cos(0.3)]])
        >>> StepMap(lambda x, u: x @ spiral, n_states=2, bin_width=0.01)
        StepMap of 2 states, 0 inputs, bins of 10 ms

    Attributes:
        step: Function of the states (trial, state) and the inputs (trial, input) of a bin that returns the next states.
            Trials must not depend on each other; JAX differentiates it.
        n_states: Number of states.
        n_inputs: Number of inputs.
        observe: Function of the states (trial, state) that returns what is read from them (trial, observed), such as
            factors; None: the states themselves.
        bin_width: Width of a bin in seconds; None if it is unknown, then times are in bins.
        input_names: Names of the inputs.
        n_inferred: Number of inputs, the first ones, that were inferred for each bin.
        n_bias: Number of inputs, the last ones, that are constant in a trial.
    """

    step: Callable[[Array, Array], Array]
    n_states: int
    n_inputs: int = 0
    observe: Callable[[Array], Array] | None = None
    bin_width: float | None = None
    input_names: tuple[str, ...] = ()
    n_inferred: int = 0
    n_bias: int = 0

    def __post_init__(self) -> None:
        """Makes pytrees of plain functions, so that programs are compiled for a map as for an array."""
        for name in ("step", "observe"):
            own = getattr(self, name)
            if callable(own) and not isinstance(own, Partial):
                object.__setattr__(self, name, Partial(own))

    def __repr__(self) -> str:
        """Returns the sizes in one line."""
        width = "bins of unknown width" if self.bin_width is None else f"bins of {1e3 * self.bin_width:g} ms"
        return f"StepMap of {self.n_states} states, {self.n_inputs} inputs, {width}"

    def observed(self, states: Float[Array, "*point state"]) -> Float[Array, "*point observed"]:
        """Returns what is read from states, with any leading axes."""
        if self.observe is None:
            return states
        flat = self.observe(states.reshape(-1, self.n_states))
        return flat.reshape(*states.shape[:-1], flat.shape[-1])


def step_map(model: LFADS, data: Dataset) -> StepMap:
    """Returns one step of a model's generator, without dropout and noise, as a function of arrays.

    The inputs of a bin are the inferred ones, then the known ones that drive the generator, then the bias of the trial.
    Inferred inputs are given here, although the controller computes them from the factors: the loop is open. If a
    generator of your own has a pytree as its state, its arrays are joined to one.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.inferred_input(data, generator_dim=8, inferred_inputs=2, rngs=nnx.Rngs(0))
        >>> lfadsx.dynamics.step_map(model, data)
        StepMap of 8 states, 2 inputs, bins of 10 ms

    Args:
        model: The model.
        data: Data that the model was trained on, for the bin width and the number of known inputs.

    Raises:
        LfadsxError: If the data do not fit the model.
    """
    check_shapes(model, data)
    prior, bias = model.decoder.input_prior, model.bias_prior
    widths = {"inferred input": 0 if prior is None else prior.dim}
    widths["known input"] = data.n_known_inputs if model.known_inputs_to == "generator" else 0
    widths["bias"] = 0 if bias is None else bias.dim
    names = tuple(f"{kind} {i + 1}" for kind, n in widths.items() for i in range(n))
    # Forward mode needs derivatives by JAX.
    graph, weights = nnx.split(with_adjoint(model.decoder, "autodiff"))
    of_model = _OfModel(graph, model.ic_prior.dim, widths["inferred input"])
    generator, n_ic = model.decoder.generator, model.ic_prior.dim
    pack, _ = packing(generator, n_ic)
    n_states = pack(generator.initial_state(jnp.zeros((1, n_ic)))).shape[1]
    step, observe = Partial(_Step(of_model), weights), Partial(_Observed(of_model), weights)
    n_inputs, n_inferred = len(names), widths["inferred input"]
    return StepMap(step, n_states, n_inputs, observe, data.bin_width, names, n_inferred, widths["bias"])


@dataclasses.dataclass(frozen=True)
class _OfModel:
    """What the functions of a model are compiled for; models that differ only in their weights share programs."""

    graph: nnx.GraphDef
    n_ic: int
    n_inferred: int


@dataclasses.dataclass(frozen=True)
class _Step:
    model: _OfModel

    def __call__(self, weights: Any, states: Array, inputs: Array) -> Array:
        generator = nnx.merge(self.model.graph, weights).generator
        pack, unpack = packing(generator, self.model.n_ic)
        n_inferred = self.model.n_inferred
        known = inputs[None, :, n_inferred:] if inputs.shape[1] > n_inferred else None
        projected = jax.tree.map(lambda x: x[0], generator.project(known))
        live = inputs[:, :n_inferred] if n_inferred else None
        return pack(generator.step(unpack(states), projected, live))


@dataclasses.dataclass(frozen=True)
class _Observed:
    model: _OfModel

    def __call__(self, weights: Any, states: Array) -> Array:
        decoder = nnx.merge(self.model.graph, weights)
        _, unpack = packing(decoder.generator, self.model.n_ic)
        return decoder.factor_map(decoder.generator.readable(unpack(states)))


def packing(generator: Any, n_ic: int) -> tuple[Callable[[Any], Array], Callable[[Array], Any]]:
    """Returns two functions: from a generator's state, a pytree of arrays (trial, ...), to one array, and back."""
    example = jax.eval_shape(generator.initial_state, jax.ShapeDtypeStruct((1, n_ic), jnp.float32))
    leaves, structure = jax.tree.flatten(example)
    shapes = [leaf.shape[1:] for leaf in leaves]
    ends = [sum(jnp.size(jnp.zeros(shape)) for shape in shapes[: i + 1]) for i in range(len(shapes))]

    def pack(state: Any) -> Array:
        return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(state)], axis=1)

    def unpack(states: Array) -> Any:
        parts = jnp.split(states, ends[:-1], axis=1)
        return structure.unflatten(part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True))

    return pack, unpack

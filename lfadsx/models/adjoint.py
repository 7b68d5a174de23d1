"""The derivative of a model: written out by hand, or by JAX's automatic differentiation."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from flax import nnx

from lfadsx.errors import LfadsxError
from lfadsx.modules.linear import Adjoint

M = TypeVar("M", bound=nnx.Module)


def with_adjoint(model: M, adjoint: Adjoint) -> M:
    """Returns a copy of a model, or of a part, with another kind of derivative and the same values.

    * "fused", the default, is written out by hand: the gradient of each weight is one product after the loop over time.
      It is faster, and has reverse mode (`jax.grad`, `jax.vjp`, `jax.jacrev`). Forward mode raises JAX's TypeError
      "can't apply forward-mode autodiff (jvp) to a custom_vjp function".
    * "autodiff" is JAX's automatic differentiation. It also has forward mode (`jax.jvp`, `jax.jacfwd`,
      `jax.linearize`), which linearises a trained model.

    Both give the same numbers up to rounding. For states exactly at their bound they may use different one-sided
    derivatives.

    Example:
        The Jacobian of rates by the initial condition, and of one generator step by its state:

        >>> import jax
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1, neurons=5)
        >>> trained = lfadsx.autonomous(data, generator_dim=8, ic_dim=3, factors=4, rngs=nnx.Rngs(0))
        >>> model = lfadsx.with_adjoint(trained, "autodiff")
        >>> def factors(z):
        ...     return model.decoder(z[None], 10).factors[:, 0]
        >>> z = jax.numpy.zeros(3)
        >>> jax.jacfwd(factors)(z).shape
        (10, 4, 3)
        >>> generator = model.decoder.generator
        >>> state = generator.initial_state(z[None])
        >>> jax.jacfwd(lambda g: generator.step(g[None], None, None)[0])(state[0]).shape
        (8, 8)

    Args:
        model: A model or a part, which does not change. If a part is replaced later, call this function again.
        adjoint: "fused" or "autodiff".

    Raises:
        LfadsxError: If `adjoint` has another value.
    """
    copy = nnx.clone(model)
    set_adjoint(copy, adjoint)
    return copy


def set_adjoint(model: nnx.Module, adjoint: str) -> None:
    """Sets the kind of derivative of a model and all of its parts, in place; see `with_adjoint`."""
    if adjoint not in get_args(Adjoint):
        raise LfadsxError(f"`adjoint` must be 'fused' or 'autodiff', got {adjoint!r}.")
    part: Any
    for _, part in nnx.iter_modules(model):
        if getattr(part, "adjoint", adjoint) != adjoint:
            part.adjoint = adjoint

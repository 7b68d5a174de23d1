"""Which derivative a model has: the one that is written out, or the one that JAX finds."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from flax import nnx

from lfadsx.errors import LfadsxError
from lfadsx.modules.linear import Adjoint

M = TypeVar("M", bound=nnx.Module)


def with_adjoint(model: M, adjoint: Adjoint) -> M:
    """Returns a copy of a model, or of a part, that has the derivative of your choice and the same values.

    * "fused", the default of every model, is written out by hand: in a loop over time, each weight gets its gradient in
      one product after the loop. It is the faster one, and has reverse mode (`jax.grad`, `jax.vjp`, `jax.jacrev`).
      Forward mode raises JAX's TypeError "can't apply forward-mode autodiff (jvp) to a custom_vjp function".
    * "autodiff" is what JAX finds by itself. It has forward mode as well (`jax.jvp`, `jax.jacfwd`, `jax.linearize`),
      which linearises a trained model.

    Both give the same numbers, but for rounding. At states exactly at their bound they may choose another
    one-sided derivative.

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
        model: A model or a part; left as it is. A part exchanged later brings its own choice: call this again.
        adjoint: "fused" or "autodiff".

    Raises:
        LfadsxError: If `adjoint` is another word.
    """
    copy = nnx.clone(model)
    set_adjoint(copy, adjoint)
    return copy


def set_adjoint(model: nnx.Module, adjoint: str) -> None:
    """Gives a model and all of its parts a choice of derivative, in place; see `with_adjoint`."""
    if adjoint not in get_args(Adjoint):
        raise LfadsxError(f"`adjoint` must be 'fused' or 'autodiff', got {adjoint!r}.")
    part: Any
    for _, part in nnx.iter_modules(model):
        if getattr(part, "adjoint", adjoint) != adjoint:
            part.adjoint = adjoint

"""Linear maps, with the derivative of their product written out."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.parameters import filled, scaled_normal

Adjoint = Literal["fused", "autodiff"]
"""Derivative of a part: written out by hand, or by JAX's automatic differentiation; see `lfadsx.with_adjoint`."""


def product(
    x: Float[Array, "*batch n_in"], weight: Float[Array, "n_in n_out"], adjoint: Adjoint = "fused"
) -> Float[Array, "*batch n_out"]:
    """Returns x W; the gradient of W is a fast product ("fused") or JAX's own ("autodiff")."""
    return _fused_product(x, weight) if adjoint == "fused" else x @ weight


def weight_gradient(x: Float[Array, "*batch n_in"], d: Float[Array, "*batch n_out"]) -> Float[Array, "n_in n_out"]:
    """Returns the gradient of W in y = x W from x and the derivative of y."""
    # CPUs are fastest with transposed x on the left of d.
    return x.reshape(-1, x.shape[-1]).T @ d.reshape(-1, d.shape[-1])


@jax.custom_vjp
def _fused_product(x: Array, weight: Array) -> Array:
    r"""Returns y = x W with the derivative written out.

    .. math:: \bar x = \bar y W^T, \quad \bar W = x^T \bar y

    JAX's own gradient of W is a product in the other order, whose transposed operand is copied: half the speed on a
    CPU.
    """
    return x @ weight


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ weight, (x, weight)


def _backward(saved: tuple[Array, Array], d: Array) -> tuple[Array, Array]:
    x, weight = saved
    return d @ weight.T, weight_gradient(x, d)


_fused_product.defvjp(_forward, _backward)


class Linear(nnx.Module):
    """The affine map y = x W + b with W ~ N(0, scale^2 / n_in) and b = 0 at the start.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules.linear import Linear
        >>> Linear(3, 2, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
        (5, 2)

    Args:
        n_in: Width of x.
        n_out: Width of y.
        scale: Gain of the initial weights.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_in: int, n_out: int, *, scale: float = 1.0, rngs: nnx.Rngs) -> None:
        self.n_in, self.n_out, self.scale = n_in, n_out, scale
        self.adjoint: Adjoint = "fused"
        self.weight = nnx.Param(scaled_normal(rngs, (n_in, n_out), n_in, scale))
        self.bias = nnx.Param(filled(n_out))

    def __call__(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n_out"]:
        """Returns x W + b, shape (..., n_out)."""
        return product(x, self.weight[...], self.adjoint) + self.bias[...]


class UnitNormLinear(nnx.Module):
    """A linear map without bias; the weights of each output have unit length.

    It maps the generator to the factors. The generator then sets the scale of the factors, so a penalty on read-out
    weights cannot be avoided by larger factors.

    Args:
        n_in: Width of x.
        n_out: Width of y.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_in: int, n_out: int, *, rngs: nnx.Rngs) -> None:
        self.n_in, self.n_out = n_in, n_out
        self.adjoint: Adjoint = "fused"
        self.weight = nnx.Param(scaled_normal(rngs, (n_in, n_out), n_in))

    def __call__(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n_out"]:
        """Returns x W with every column of W scaled to unit length, shape (..., n_out)."""
        return product(x, self.unit_weight, self.adjoint)

    @property
    def unit_weight(self) -> Float[Array, "n_in n_out"]:
        """The weights, every column of unit length."""
        weight = self.weight[...]
        return weight / jnp.linalg.norm(weight, axis=0, keepdims=True)

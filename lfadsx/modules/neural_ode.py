"""The neural-ODE generator: a network computes the change of the state."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.modules.generators import DrivenGenerator, Initial
from lfadsx.modules.recurrent import State
from lfadsx.parameters import filled, scaled_normal

START_GAIN = 0.1
"""Gain of the initial output weights of the network: the flow starts slow, so the first trajectories are smooth."""


class NeuralODEGenerator(DrivenGenerator):
    r"""A neural ODE in Euler steps, which is also a residual network with the same layers in every bin.

    .. math:: g \leftarrow clip(g + \tfrac{h}{k} F(g, v_t, u_t), \pm c) \quad \text{k times in each bin}

    F is a multilayer perceptron with `depth` hidden layers of `width` units (SiLU, so the flow is smooth). Its
    capacity does not depend on the number of units of the state. So a few units can have rich dynamics, where a GRU
    needs many: the state itself is then the latent, with as many dimensions as the system has.

    Source: Sedler, Versteeg & Pandarinath 2022 (arXiv 2212.03771); neural ODEs: Chen et al. 2018 (arXiv 1806.07366).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules import NeuralODEGenerator
        >>> generator = NeuralODEGenerator(3, 0, 0, n_units=3, width=16, initial="identity", rngs=nnx.Rngs(0))
        >>> generator.step(jnp.ones((5, 3)), None, None).shape
        (5, 3)

    Args:
        n_ic: Width of the initial condition.
        n_known_inputs: Number of known inputs; 0 for none.
        n_inferred_inputs: Number of inferred inputs; 0 for none.
        n_units: Number of units of the state g.
        width: Units of each hidden layer of F.
        depth: Number of hidden layers of F, at least 1.
        substeps: Number k of Euler steps in a bin.
        step_size: Length h of a bin in units of the flow's time.
        initial: "linear" for g0 = A z + a; "identity" for g0 = z, which needs n_ic = n_units.
        clip: Bound c of the state.
        input_scale: Gain of the initial weights of the inputs.
        recurrent_scale: Gain of the initial weights of F, other than those of inputs.
        rngs: Source of the initial weights.

    Raises:
        LfadsxError: If `initial` is "identity" and the widths differ.
    """

    def __init__(
        self,
        n_ic: int,
        n_known_inputs: int,
        n_inferred_inputs: int,
        n_units: int,
        *,
        width: int = 128,
        depth: int = 2,
        substeps: int = 1,
        step_size: float = 0.1,
        initial: Initial = "linear",
        clip: float = 5.0,
        input_scale: float = 1.0,
        recurrent_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = dict(initial=initial, clip=clip, input_scale=input_scale)
        shared |= {"recurrent_scale": recurrent_scale, "rngs": rngs}
        super().__init__(n_ic, n_known_inputs, n_inferred_inputs, n_units, width, **shared)
        self.width, self.depth, self.substeps, self.step_size = width, depth, substeps, step_size
        n_inner, gain = depth - 1, recurrent_scale
        self.w_state = nnx.Param(scaled_normal(rngs, (n_units, width), n_units, gain))
        self.w_inner = nnx.Param(scaled_normal(rngs, (n_inner, width, width), width, gain)) if n_inner else None
        self.b_inner = nnx.Param(filled((n_inner, width))) if n_inner else None
        self.w_out = nnx.Param(scaled_normal(rngs, (width, n_units), width, START_GAIN * gain))
        self.b_out = nnx.Param(filled(n_units))

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state."""
        drive, length = self.drive(projected_t, live_t), self.step_size / self.substeps
        for _ in range(self.substeps):
            state = self.clipped(state + length * self.flow(state, drive))
        return state

    def flow(
        self, state: Float[Array, "trial n_state"], drive: Float[Array, "*trial width"]
    ) -> Float[Array, "trial n_state"]:
        """Returns the change F of a state per unit of time, for a drive from `drive`."""
        hidden = jax.nn.silu(state @ self.w_state[...] + drive)
        if self.w_inner is not None and self.b_inner is not None:
            for weight, bias in zip(self.w_inner[...], self.b_inner[...], strict=True):
                hidden = jax.nn.silu(hidden @ weight + bias)
        return hidden @ self.w_out[...] + self.b_out[...]

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the weights of F, other than those of inputs."""
        inner = () if self.w_inner is None else (self.w_inner[...],)
        return self.w_state[...], *inner, self.w_out[...]

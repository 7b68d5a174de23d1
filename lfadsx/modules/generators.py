"""Generators besides the GRU whose recurrence is one matrix: linear, vanilla RNN and low-rank RNN."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.modules.linear import Adjoint, Linear, product
from lfadsx.modules.recurrent import AbstractGenerator, State, start_map
from lfadsx.parameters import filled, scaled_normal

Initial = Literal["linear", "identity"]
"""Initial state of a generator: a linear map of the initial condition, or the initial condition itself."""
KEEP, SPREAD = 0.9, 0.05
"""Diagonal of the initial recurrent matrix, and gain of its random part: slow modes, all of them stable."""


class DrivenGenerator(AbstractGenerator):
    r"""The base of generators that their inputs reach as one sum, the drive.

    .. math:: d_t = W_v v_t + W_u u_t + b

    with known inputs v and inferred inputs u. The share of v is computed before the loop over time. Derived classes
    define `step`.

    Args:
        n_ic: Width of the initial condition.
        n_known_inputs: Number of known inputs; 0 for none.
        n_inferred_inputs: Number of inferred inputs; 0 for none.
        n_units: Number of units of the state.
        n_drive: Width of the drive d.
        initial: "linear" for g0 = A z + a; "identity" for g0 = z, which needs n_ic = n_units.
        clip: Bound of the state.
        input_scale: Gain of the initial weights of the inputs.
        recurrent_scale: Gain of the random part of the initial recurrent weights.
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
        n_drive: int,
        *,
        initial: Initial,
        clip: float,
        input_scale: float,
        recurrent_scale: float,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_ic, self.n_units = n_ic, n_units
        self.n_known_inputs, self.n_inferred_inputs = n_known_inputs, n_inferred_inputs
        self.initial, self.clip = initial, clip
        self.input_scale, self.recurrent_scale = input_scale, recurrent_scale
        self.n_state = n_units
        self.adjoint: Adjoint = "fused"
        self.start: Linear | None = start_map(n_ic, n_units, initial, rngs)
        n_inputs = n_known_inputs + n_inferred_inputs
        widths = {"known": n_known_inputs, "inferred": n_inferred_inputs}
        weights = {
            name: nnx.Param(scaled_normal(rngs, (width, n_drive), n_inputs, input_scale)) if width else None
            for name, width in widths.items()
        }
        self.w_known, self.w_inferred = weights["known"], weights["inferred"]
        self.bias = nnx.Param(filled(n_drive))

    def initial_state(self, initial_condition: Float[Array, "trial ic"]) -> Float[Array, "trial n_state"]:
        """Returns g0 from the initial condition, shape (trial, n_state)."""
        return initial_condition if self.start is None else self.start(initial_condition)

    def project(self, known: Float[Array, "time trial n_known_inputs"] | None) -> Any:
        """Returns the known inputs' share of the drive, with the bias; None without known inputs."""
        if self.w_known is None or known is None:
            return None
        return product(known, self.w_known[...], self.adjoint) + self.bias[...]

    def drive(self, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None) -> Array:
        """Returns the drive of a bin, shape (trial, n_drive), or (n_drive,) without inputs; arguments as in `step`."""
        drive = self.bias[...] if projected_t is None else projected_t
        return drive if self.w_inferred is None else drive + live_t @ self.w_inferred[...]

    def clipped(self, state: Float[Array, "trial n_state"]) -> Float[Array, "trial n_state"]:
        """Returns a state within its bounds."""
        return jnp.clip(state, -self.clip, self.clip)


class FullRankGenerator(DrivenGenerator):
    """The base of generators with one recurrent matrix of full rank.

    It starts at 0.9 I plus small random weights: slow modes with time constants near 10 bins, all of them stable.
    Derived classes define `step`; arguments as in `LinearGenerator`.
    """

    def __init__(
        self,
        n_ic: int,
        n_known_inputs: int,
        n_inferred_inputs: int,
        n_units: int,
        *,
        initial: Initial = "linear",
        clip: float = 5.0,
        input_scale: float = 1.0,
        recurrent_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = dict(initial=initial, clip=clip, input_scale=input_scale)
        shared |= {"recurrent_scale": recurrent_scale, "rngs": rngs}
        super().__init__(n_ic, n_known_inputs, n_inferred_inputs, n_units, n_units, **shared)
        random = scaled_normal(rngs, (n_units, n_units), n_units, SPREAD * recurrent_scale)
        self.recurrent = nnx.Param(KEEP * jnp.eye(n_units) + random)

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the recurrent matrix."""
        return (self.recurrent[...],)


class LinearGenerator(FullRankGenerator):
    r"""A linear dynamical system.

    .. math:: g_t = clip(A g_{t-1} + W_v v_t + W_u u_t + b, \pm c)

    The eigenvalues of A are its time constants and frequencies, so it can be read without simulation. It has a single
    fixed point: decisions, limit cycles and chaos need another generator or inputs. A starts at 0.9 I plus small random
    weights, so that all modes are stable.

    Source: Macke et al. 2011 (NeurIPS), for linear dynamics with Poisson counts.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules import LinearGenerator
        >>> generator = LinearGenerator(n_ic=2, n_known_inputs=0, n_inferred_inputs=1, n_units=4, rngs=nnx.Rngs(0))
        >>> generator.step(generator.initial_state(jnp.ones((5, 2))), None, jnp.zeros((5, 1))).shape
        (5, 4)

    Args:
        n_ic: Width of the initial condition.
        n_known_inputs: Number of known inputs; 0 for none.
        n_inferred_inputs: Number of inferred inputs; 0 for none.
        n_units: Number of units.
        initial: "linear" for g0 = A z + a; "identity" for g0 = z, which needs n_ic = n_units.
        clip: Bound c of the state.
        input_scale: Gain of the initial weights of the inputs.
        recurrent_scale: Gain of the random part of the initial recurrent weights.
        rngs: Source of the initial weights.

    Raises:
        LfadsxError: If `initial` is "identity" and the widths differ.
    """

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state."""
        return self.clipped(state @ self.recurrent[...] + self.drive(projected_t, live_t))


class RNNGenerator(FullRankGenerator):
    r"""A vanilla RNN.

    .. math:: g_t = clip(\tanh(U g_{t-1} + W_v v_t + W_u u_t + b), \pm c)

    It has a third of the GRU's weights and no gates. U starts at 0.9 I plus small random weights, because a random U
    forgets within a few bins; arguments as in `LinearGenerator`.

    Source: Elman 1990, Cognitive Science 14; the start near the identity: Le, Jaitly & Hinton 2015 (arXiv 1504.00941).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules import RNNGenerator
        >>> generator = RNNGenerator(n_ic=2, n_known_inputs=0, n_inferred_inputs=1, n_units=4, rngs=nnx.Rngs(0))
        >>> generator.step(generator.initial_state(jnp.ones((5, 2))), None, jnp.zeros((5, 1))).shape
        (5, 4)
    """

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state."""
        return self.clipped(jnp.tanh(state @ self.recurrent[...] + self.drive(projected_t, live_t)))


class LowRankGenerator(DrivenGenerator):
    r"""An RNN whose recurrent matrix has a low rank r.

    .. math:: g_t = clip((1 - a) g_{t-1} + M N^T \tanh(g_{t-1}) + W_v v_t + W_u u_t + b, \pm c)

    M and N have r columns, so the state decays to the r dimensions of M, beside those of inputs. The dynamics have r
    variables, the projections of tanh(g) on N, however many units there are. M N^T starts at half the size of
    the leak, where the network is stable.

    Source: Mastrogiuseppe & Ostojic 2018, Neuron 99; Valente, Pillow & Ostojic 2022, NeurIPS, for their inference.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from lfadsx.modules import LowRankGenerator
        >>> generator = LowRankGenerator(2, 0, 1, n_units=20, rank=3, rngs=nnx.Rngs(0))
        >>> generator.step(generator.initial_state(jnp.ones((5, 2))), None, jnp.zeros((5, 1))).shape
        (5, 20)

    Args:
        n_ic: Width of the initial condition.
        n_known_inputs: Number of known inputs; 0 for none.
        n_inferred_inputs: Number of inferred inputs; 0 for none.
        n_units: Number of units.
        rank: Rank r of the recurrent matrix.
        leak: Share a of a state that is lost in each bin.
        initial: "linear" for g0 = A z + a; "identity" for g0 = z, which needs n_ic = n_units.
        clip: Bound c of the state.
        input_scale: Gain of the initial weights of the inputs.
        recurrent_scale: Gain of the initial recurrent weights.
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
        rank: int = 8,
        leak: float = 0.1,
        initial: Initial = "linear",
        clip: float = 5.0,
        input_scale: float = 1.0,
        recurrent_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = dict(initial=initial, clip=clip, input_scale=input_scale)
        shared |= {"recurrent_scale": recurrent_scale, "rngs": rngs}
        super().__init__(n_ic, n_known_inputs, n_inferred_inputs, n_units, n_units, **shared)
        self.rank, self.leak = rank, leak
        self.selection = nnx.Param(scaled_normal(rngs, (n_units, rank), n_units, recurrent_scale))
        self.output = nnx.Param(scaled_normal(rngs, (rank, n_units), rank, 0.5 * leak * recurrent_scale))

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state."""
        recurrent = jnp.tanh(state) @ self.selection[...] @ self.output[...]
        return self.clipped((1.0 - self.leak) * state + recurrent + self.drive(projected_t, live_t))

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns N and M, the two factors of the recurrent matrix."""
        return self.selection[...], self.output[...]

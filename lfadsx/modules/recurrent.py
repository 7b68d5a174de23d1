"""Controllers and generators: the recurrent parts of the decoder."""

from __future__ import annotations

import abc
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.errors import LfadsxError
from lfadsx.modules.gru import GRU
from lfadsx.modules.linear import Linear
from lfadsx.parameters import filled

State = Any
"""State that a recurrent part carries from bin to bin; built-in parts have an array (trial, n_state)."""


class AbstractRecurrent(nnx.Module):
    """A part that is stepped bin by bin inside the decoder's loop.

    To write a controller or a generator, derive from `AbstractController` or `AbstractGenerator`, set `n_state`, and
    define `initial_state` and `step`. Override `project` to process known sequences once, before the loop. Noise and
    dropout are applied outside of the part.

    Attributes:
        n_state: Number of units of the read-out state.
    """

    n_state: int

    def project(self, known: Float[Array, "time trial n_known_inputs"] | None) -> Any:
        """Maps the known sequence before the loop; the default returns it unchanged.

        Args:
            known: Sequence that exists before the loop, shape (time, trial, n_known_inputs), or None: the encoding for
                a controller, the known inputs for a generator.

        Returns:
            A pytree of arrays with the time axis first, or None. The decoder passes the entry of each bin to `step`.
        """
        return known

    @abc.abstractmethod
    def step(self, state: State, projected_t: Any, live_t: Float[Array, "trial n_live"] | None) -> State:
        """Returns the next state.

        Args:
            state: State of the last bin.
            projected_t: Entry of this bin in the result of `project`.
            live_t: Input that is computed inside the loop, shape (trial, n_live), or None: the fed-back factors for a
                controller, the inferred inputs for a generator.
        """

    def readable(self, state: State) -> Float[Array, "trial n_state"]:
        """Returns the read-out state, shape (trial, n_state); the default is the state itself."""
        return state

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the matrices of the L2 penalty; none by default."""
        return ()


class AbstractController(AbstractRecurrent):
    """A recurrent part that sees the encoding and the fed-back factors and infers the inputs.

    The builders pass to the constructor those of these arguments that it has: `n_encoding`, width of the encoding;
    `n_feedback`, width of the feedback, 0 for none; `n_units`; `rngs`.
    """

    @abc.abstractmethod
    def initial_state(self, n_trials: int) -> State:
        """Returns the state before the first bin for a number of trials."""


class AbstractGenerator(AbstractRecurrent):
    """A recurrent part that starts from the initial condition and is driven by inputs.

    The builders pass to the constructor those of these arguments that it has: `n_ic`, width of the initial condition;
    `n_known_inputs` (known inputs, then the bias) and `n_inferred_inputs`, 0 for none; `n_units`; `rngs`.
    """

    @abc.abstractmethod
    def initial_state(self, initial_condition: Float[Array, "trial ic"]) -> State:
        """Returns the state before the first bin from the initial condition, shape (trial, ic)."""


class GRUController(AbstractController):
    """A GRU controller with a trained initial state.

    Args:
        n_encoding: Width of the encoding.
        n_feedback: Width of the fed-back factors; 0 for none.
        n_units: Number of units.
        clip: Bound of the state.
        keep_bias: Bias of the keep gate at the start.
        reset_bias: Bias of the reset gate at the start.
        weight_scale: Gain of the initial weights.
        rngs: Source of the initial weights.
    """

    def __init__(
        self,
        n_encoding: int,
        n_feedback: int,
        n_units: int,
        *,
        clip: float = 5.0,
        keep_bias: float = 1.0,
        reset_bias: float = 1.0,
        weight_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_encoding, self.n_feedback, self.n_units = n_encoding, n_feedback, n_units
        self.clip, self.keep_bias, self.reset_bias, self.weight_scale = clip, keep_bias, reset_bias, weight_scale
        self.n_state = n_units
        gates: dict[str, Any] = dict(clip=clip, keep_bias=keep_bias, reset_bias=reset_bias)
        scales: dict[str, Any] = dict(input_scale=weight_scale, hidden_scale=weight_scale)
        self.gru = GRU(n_encoding, n_feedback, n_units, **gates, **scales, rngs=rngs)
        self.initial = nnx.Param(filled(n_units))

    def initial_state(self, n_trials: int) -> Float[Array, "trial n_state"]:
        """Returns the trained initial state for every trial."""
        return jnp.broadcast_to(self.initial[...], (n_trials, self.n_units))

    def project(self, known: Float[Array, "time trial n_encoding"] | None) -> Float[Array, "time trial gates"]:
        """Returns the encoding's share of all gates."""
        return self.gru.project(known)

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_feedback"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state of the GRU."""
        return self.gru.step(state, projected_t, live_t)

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the GRU's recurrent matrix."""
        return self.gru.recurrent_weights()


class GRUGenerator(AbstractGenerator):
    """A GRU generator whose initial state is a linear map of the initial condition, or equal to it.

    Args:
        n_ic: Width of the initial condition.
        n_known_inputs: Number of known inputs; 0 for none.
        n_inferred_inputs: Number of inferred inputs; 0 for none.
        n_units: Number of units.
        initial: "linear" for g0 = A z + a; "identity" for g0 = z, which needs n_ic = n_units.
        clip: Bound of the state.
        keep_bias: Bias of the keep gate at the start.
        reset_bias: Bias of the reset gate at the start.
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
        initial: Literal["linear", "identity"] = "linear",
        clip: float = 5.0,
        keep_bias: float = 1.0,
        reset_bias: float = 1.0,
        input_scale: float = 1.0,
        recurrent_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_ic, self.n_units = n_ic, n_units
        self.n_known_inputs, self.n_inferred_inputs = n_known_inputs, n_inferred_inputs
        self.initial, self.clip = initial, clip
        self.keep_bias, self.reset_bias = keep_bias, reset_bias
        self.input_scale, self.recurrent_scale = input_scale, recurrent_scale
        self.n_state = n_units
        self.start = start_map(n_ic, n_units, initial, rngs)
        gates: dict[str, Any] = dict(clip=clip, keep_bias=keep_bias, reset_bias=reset_bias)
        scales: dict[str, Any] = dict(input_scale=input_scale, hidden_scale=recurrent_scale)
        self.gru = GRU(n_known_inputs, n_inferred_inputs, n_units, **gates, **scales, rngs=rngs)

    def initial_state(self, initial_condition: Float[Array, "trial ic"]) -> Float[Array, "trial n_state"]:
        """Returns g0 from the initial condition, shape (trial, n_state)."""
        return initial_condition if self.start is None else self.start(initial_condition)

    def project(self, known: Float[Array, "time trial n_known_inputs"] | None) -> Any:
        """Returns the known inputs' share of all gates; None without known inputs."""
        return self.gru.project(known) if self.n_known_inputs else None

    def step(
        self, state: State, projected_t: Any, live_t: Float[Array, "trial n_inferred_inputs"] | None
    ) -> Float[Array, "trial n_state"]:
        """Returns the next state of the GRU."""
        projected = self.gru.bias[...] if projected_t is None else projected_t
        return self.gru.step(state, projected, live_t)

    def recurrent_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the GRU's recurrent matrix."""
        return self.gru.recurrent_weights()


def start_map(n_ic: int, n_units: int, initial: Literal["linear", "identity"], rngs: nnx.Rngs) -> Linear | None:
    """Returns the map from the initial condition to a generator's initial state; None for the identity."""
    if initial == "linear":
        return Linear(n_ic, n_units, rngs=rngs)
    if n_ic != n_units:
        raise LfadsxError(
            f"With initial='identity', `n_ic` must equal `n_units`, got {n_ic} and {n_units}. Make them equal or "
            "use initial='linear'."
        )
    return None

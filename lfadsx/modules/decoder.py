"""The decoder: the one loop over time in which controller and generator drive each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lfadsx.distributions.prior import AbstractPrior
from lfadsx.errors import LfadsxError
from lfadsx.modules.dropout import drop
from lfadsx.modules.fused_decoder import Known, Masks, Path, Rule, Start, Weights, fused_decoder
from lfadsx.modules.fused_gru import fused_gru
from lfadsx.modules.gru import GRU
from lfadsx.modules.linear import Adjoint, Linear, UnitNormLinear, product
from lfadsx.modules.recurrent import AbstractController, AbstractGenerator, GRUController, GRUGenerator
from lfadsx.modules.segmented_scan import in_segments
from lfadsx.types import Noise


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Results of the decoder; time is the first axis.

    Attributes:
        initial_state: Generator state before the first bin, shape (trial, generator).
        generator_states: Shape (time, trial, generator).
        factors: Shape (time, trial, factor).
        controller_states: Shape (time, trial, controller), or None.
        input_params: Parameters of the inputs' posterior, shape (time, trial, input_params), or None.
        inputs: Inputs that drove the generator, shape (time, trial, input), or None.
    """

    initial_state: Float[Array, "trial generator"]
    generator_states: Float[Array, "time trial generator"]
    factors: Float[Array, "time trial factor"]
    controller_states: Float[Array, "time trial controller"] | None
    input_params: Float[Array, "time trial input_params"] | None
    inputs: Float[Array, "time trial input"] | None


class Decoder(nnx.Module):
    r"""Runs controller and generator over a trial.

    At bin t, with the encoding e, the factors f, the inferred inputs u, the known inputs v and the bias b of the trial:

    .. math::
        c_t &= controller(c_{t-1}, [e_t, f_{t-1}]), \quad u_t \sim q(u | W c_t + d) \\
        g_t &= generator(g_{t-1}, [v_t, b, u_t]), \quad f_t = F g_t

    The rows of F have unit length. Dropout acts on the read-out of the generator and on the inputs of the
    controller, never on carried states. Instead of the factors the controller may see the expected data ("rates").

    Two loops compute this. The general loop steps any parts bin by bin, and JAX differentiates it. The loop of the
    built-in GRUs has its derivative written out (`fused_decoder`; `fused_gru` for a generator alone): same numbers,
    faster gradients, reverse mode only. `lfadsx.with_adjoint` can choose the general loop for built-in parts.

    Source: Sussillo et al. 2016 (arXiv 1608.06315), figure 1 and equations 7 to 18.

    Args:
        generator: The generator.
        n_factors: Number of factors.
        controller: The controller, or None for an autonomous or externally driven generator.
        input_prior: Prior of the inferred inputs, needed with a controller.
        feedback: Feedback to the controller: "factors" or "rates" of the last bin, or "none".
        initial_feedback: Feedback to the controller at the first bin: from the initial generator "state", or "zeros".
        n_rates: Number of channels whose rates are fed back.
        segment_bins: Number of bins between states that are kept for the gradient, see `in_segments`; 0: all are kept.
        rngs: Source of the initial weights.

    Raises:
        LfadsxError: If only one of `controller` and `input_prior` is given.
    """

    def __init__(
        self,
        generator: AbstractGenerator,
        n_factors: int,
        *,
        controller: AbstractController | None = None,
        input_prior: AbstractPrior | None = None,
        feedback: Literal["factors", "rates", "none"] = "factors",
        initial_feedback: Literal["state", "zeros"] = "state",
        n_rates: int = 0,
        segment_bins: int = 0,
        rngs: nnx.Rngs,
    ) -> None:
        if (controller is None) != (input_prior is None):
            given = "controller" if input_prior is None else "input_prior"
            raise LfadsxError(f"`controller` and `input_prior` must be given together, got only `{given}`.")
        self.generator, self.n_factors = generator, n_factors
        self.controller, self.input_prior = controller, input_prior
        self.feedback, self.initial_feedback, self.n_rates = feedback, initial_feedback, n_rates
        self.segment_bins = segment_bins
        self.adjoint: Adjoint = "fused"
        self.n_feedback = {"factors": n_factors, "rates": n_rates, "none": 0}[feedback]
        self.factor_map = UnitNormLinear(generator.n_state, n_factors, rngs=rngs)
        self.input_posterior = (
            None if controller is None else Linear(controller.n_state, input_prior.n_params, rngs=rngs)
        )

    def __call__(
        self,
        initial_condition: Float[Array, "trial ic"],
        n_bins: int,
        *,
        encoding: Float[Array, "time trial encoding"] | None = None,
        known_inputs: Float[Array, "time trial known"] | None = None,
        bias: Float[Array, "trial bias"] | None = None,
        inputs: Float[Array, "time trial input"] | None = None,
        rates: Callable[[Float[Array, "trial factor"]], Float[Array, "trial n_rates"]] | None = None,
        noise: Noise | None = None,
    ) -> Trajectory:
        """Decodes trials from their initial conditions.

        Args:
            initial_condition: Shape (trial, ic).
            n_bins: Number of bins to run for.
            encoding: Encoding of the data for the controller, shape (time, trial, encoding).
            known_inputs: Known inputs of the generator, shape (time, trial, known), or None.
            bias: Constant inputs of the generator, which follow the known inputs in every bin, shape (trial, bias), or
                None.
            inputs: Inputs that drive the generator instead of inferred inputs, shape (time, trial, input). The
                controller then does not run; new trials are generated like this.
            rates: Returns the expected data of a bin from its factors; needed for the feedback "rates".
            noise: Noise and dropout masks, or None for the means of the inputs without dropout.
        """
        infer = self.controller is not None and inputs is None
        keep = {} if noise is None else noise.keep
        rate = 0.0 if noise is None else noise.dropout_rate
        readout_keep = keep.get("readout")

        start = self.generator.initial_state(initial_condition)
        streams = _Streams(
            encoding=self.controller.project(drop(encoding, keep.get("encoding"), rate)) if infer else None,
            known=self.generator.project(_with_bias(drop(known_inputs, keep.get("known"), rate), bias, n_bins)),
            inputs=inputs,
            noise=noise.inputs if infer and noise is not None else None,
            keep_feedback=keep.get("feedback") if infer else None,
            keep_readout=None if readout_keep is None else readout_keep[1:],
        )
        if infer:
            controller = self.controller.initial_state(initial_condition.shape[0])
            fed_back = {"factors": lambda factors: factors, "rates": rates, "none": lambda _: None}[self.feedback]
            seen = fed_back(self._factors(start, None if readout_keep is None else readout_keep[0], rate))
            if seen is not None and self.initial_feedback == "zeros":
                seen = jnp.zeros_like(seen)
            path = self._run(Start(controller, start, seen), streams, rate, n_bins, fed_back)
        else:
            path = self._run_generator(start, streams, rate, n_bins)
        return Trajectory(
            initial_state=self.generator.readable(start),
            generator_states=path.generator,
            factors=path.factors,
            controller_states=path.controller,
            input_params=path.params,
            inputs=path.inputs,
        )

    def _run(
        self,
        start: Start,
        streams: _Streams,
        rate: Array | float,
        n_bins: int,
        fed_back: Callable[[Array], Array | None],
    ) -> Path:
        """Runs controller and generator."""
        control, generate = self._cells()

        def run(start: Start, streams: _Streams, n_bins: int) -> tuple[Start, Path]:
            if control and generate:
                return self._run_fused(control, generate, start, streams, rate)
            return jax.lax.scan(step, start, streams, length=n_bins)

        def step(last: Start, now: _Streams) -> tuple[Start, Path]:
            seen = drop(last.seen, now.keep_feedback, rate)
            controller = self.controller.step(last.controller, now.encoding, seen)
            readable = self.controller.readable(controller)
            params = self.input_posterior(readable)
            prior, noise = self.input_prior, now.noise
            live = prior.posterior_mean(params) if noise is None else prior.sample(params, noise)
            generator = self.generator.step(last.generator, now.known, live)
            factors = self._factors(generator, now.keep_readout, rate)
            path = Path(readable, params, live, self.generator.readable(generator), factors)
            return Start(controller, generator, fed_back(factors)), path

        return in_segments(run, start, streams, n_bins, self.segment_bins)[1]

    def _run_generator(self, start: Any, streams: _Streams, rate: Array | float, n_bins: int) -> Path:
        """Runs the generator alone, with known inputs; factors of all bins are read out at once."""
        _, cell = self._cells()

        def run(state: Any, streams: _Streams, n_bins: int) -> tuple[Any, Array]:
            if cell:
                return self._run_fused_generator(cell, state, streams, n_bins)
            return jax.lax.scan(step, state, streams, length=n_bins)

        def step(state: Any, now: _Streams) -> tuple[Any, Array]:
            state = self.generator.step(state, now.known, now.inputs)
            return state, self.generator.readable(state)

        _, states = in_segments(run, start, streams, n_bins, self.segment_bins)
        factors = self.factor_map(drop(states, streams.keep_readout, rate))
        return Path(None, None, streams.inputs, states, factors)

    def _cells(self) -> tuple[GRU | None, GRU | None]:
        """Returns the cells of controller and generator that run in the loops with written-out derivatives, or None."""
        # A class derived from a built-in one may step differently.
        if self.adjoint != "fused" or type(self.generator) is not GRUGenerator:
            return None, None
        fits = type(self.controller) is GRUController and self.feedback != "rates"
        return cast(GRUController, self.controller).gru if fits else None, cast(GRUGenerator, self.generator).gru

    def _run_fused_generator(self, gru: GRU, start: Array, streams: _Streams, n_bins: int) -> tuple[Array, Array]:
        """Runs a GRU generator alone."""
        # All inputs are known, so their share of the gates is one product for all bins.
        projected = gru.bias[...] if streams.known is None else streams.known
        if streams.inputs is not None and gru.w_live is not None:
            projected = projected + product(streams.inputs, gru.w_live[...])
        # Without inputs, one row for all trials saves the loop from reading the bias of each trial.
        if projected.ndim == 1:
            projected = jnp.broadcast_to(projected, (n_bins, 1, projected.size))
        states: Array = fused_gru(gru.clip, False, projected, start, None, gru.w_hidden[...])  # pyright: ignore
        return states[-1] if n_bins else start, states

    def _run_fused(
        self, control: GRU, generate: GRU, start: Start, streams: _Streams, rate: Array | float
    ) -> tuple[Start, Path]:
        """Runs the loop of a GRU controller and a GRU generator."""
        structure, values = nnx.split(cast(AbstractPrior, self.input_prior))
        weights = Weights(
            feedback=None if control.w_live is None else control.w_live[...],
            controller=control.w_hidden[...],
            posterior=self.input_posterior.weight[...],
            posterior_bias=self.input_posterior.bias[...],
            prior=values,
            inputs=cast(nnx.Param, generate.w_live)[...],
            generator=generate.w_hidden[...],
            factors=self.factor_map.unit_weight,
        )
        known = Known(streams.encoding, generate.bias[...] if streams.known is None else streams.known, streams.noise)
        masks = Masks(streams.keep_feedback, streams.keep_readout, rate)
        rule = Rule(control.clip, generate.clip, structure)
        path: Path = fused_decoder(rule, weights, start, known, masks)  # pyright: ignore[reportAssignmentType]
        seen = None if start.seen is None else path.factors[-1]
        return Start(cast(Array, path.controller)[-1], path.generator[-1], seen), path

    def _factors(self, generator: Any, keep: Array | None, rate: Array | float) -> Array:
        return self.factor_map(drop(self.generator.readable(generator), keep, rate))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Streams:
    """Arrays that the loop reads bin by bin, time first."""

    encoding: Any
    known: Any
    inputs: Any
    noise: Any
    keep_feedback: Any
    keep_readout: Any


def _with_bias(known: Array | None, bias: Array | None, n_bins: int) -> Array | None:
    """Returns the known inputs of all bins with the bias after them."""
    if bias is None:
        return known
    every = jnp.broadcast_to(bias, (n_bins, *bias.shape))
    return every if known is None else jnp.concatenate([known, every], axis=-1)

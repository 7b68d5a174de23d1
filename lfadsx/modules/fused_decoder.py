r"""The loop of a GRU controller and a GRU generator that drive each other, with the derivative written out.

Forward, at bin t, with the masks of dropout D, the encoding's share e of the controller's gates and the known inputs'
share v of the generator's (both with the biases):

.. math::
    a^c_t &= e_t + V D_t f_{t-1} & c_t &= GRU_c(c_{t-1}, a^c_t) \\
    p_t &= W c_t + b & u_t &= sample(p_t, noise_t) \\
    a^g_t &= v_t + B u_t & g_t &= GRU_g(g_{t-1}, a^g_t) \\
    f_t &= F D'_t g_t

Backward, a bar marks the derivative of the loss with respect to a value. Derivatives from outside of the loop are
:math:`\partial c, \partial p, \partial u, \partial g, \partial f` of every bin. The next bin passes back
:math:`\bar c_t, \bar g_t` of the carried states and :math:`\bar s_t` of the factors that its controller saw:

.. math::
    \bar f_t &= \partial f_t + \bar s_t \\
    (\bar g_{t-1}, \bar a^g_t) &= GRU_g^T(\bar g_t + \partial g_t + D'_t F^T \bar f_t) \\
    \bar u_t &= \partial u_t + B^T \bar a^g_t \\
    \bar p_t &= \partial p_t + (\partial u_t / \partial p_t)^T \bar u_t \\
    (\bar c_{t-1}, \bar a^c_t) &= GRU_c^T(\bar c_t + \partial c_t + W^T \bar p_t) \\
    \bar s_{t-1} &= D_t V^T \bar a^c_t

with the transposed step of `lfadsx.modules.fused_gru`. The weights follow from all bins and trials at once:

.. math::
    \bar V = \sum_t \bar a^c_t (D_t f_{t-1})^T, \quad \bar W = \sum_t \bar p_t c_t^T, \quad
    \bar b = \sum_t \bar p_t, \quad \bar B = \sum_t \bar a^g_t u_t^T, \quad \bar F = \sum_t \bar f_t (D'_t g_t)^T

Arrays have one row per trial, so weights multiply from the right: `c @ W` in the code is W c in the equations.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from lfadsx.distributions.prior import AbstractPrior
from lfadsx.modules.dropout import drop
from lfadsx.modules.fused_gru import by_gate, hidden_gradient, states_before, step_cell, step_cell_back
from lfadsx.modules.linear import weight_gradient


@dataclasses.dataclass(frozen=True)
class Rule:
    """Static settings of the loop.

    Attributes:
        controller_clip: Bound of the controller's state.
        generator_clip: Bound of the generator's state.
        prior: Structure of the inputs' prior, which computes inputs from parameters and noise.
    """

    controller_clip: float
    generator_clip: float
    prior: nnx.GraphDef[AbstractPrior]

    def inputs(self, values: Any, params: Array, noise: Array | None) -> Array:
        """Returns the inputs: a sample of their posterior, or its mean without noise."""
        prior = nnx.merge(self.prior, values)
        return prior.posterior_mean(params) if noise is None else prior.sample(params, noise)


class Weights(NamedTuple):
    """Trained arrays.

    Attributes:
        feedback: From the fed-back factors to the controller's gates, shape (factor, gates); None without feedback.
        controller: Recurrent weights of the controller, shape (controller, gates).
        posterior: From the controller to the parameters of the inputs, shape (controller, input_params).
        posterior_bias: Shape (input_params,).
        prior: Values of the inputs' prior.
        inputs: From the inputs to the generator's gates, shape (input, gates).
        generator: Recurrent weights of the generator, shape (generator, gates).
        factors: From the generator to the factors, shape (generator, factor).
    """

    feedback: Array | None
    controller: Array
    posterior: Array
    posterior_bias: Array
    prior: Any
    inputs: Array
    generator: Array
    factors: Array


class Start(NamedTuple):
    """States of controller and generator before the first bin, and the feedback or None; trial first."""

    controller: Array
    generator: Array
    seen: Array | None


class Known(NamedTuple):
    """Values that are known before the loop, time first.

    Attributes:
        controller: Share of the encoding in the controller's gates, shape (time, trial, gates).
        generator: Share of the known inputs in the generator's gates, shape (time, trial, gates), or the bias
            of every bin, shape (gates,).
        noise: Noise of the inputs, shape (time, trial, input), or None for their means.
    """

    controller: Array
    generator: Array
    noise: Array | None


class Masks(NamedTuple):
    """Dropout; nothing is differentiated with respect to it.

    Attributes:
        feedback: True where the feedback is kept, shape (time, trial, factor), or None.
        readout: True where the generator's state is kept in the factors, shape (time, trial, generator), or None.
        rate: Dropout rate of both masks, shape ().
    """

    feedback: Array | None
    readout: Array | None
    rate: Array | float


class Path(NamedTuple):
    """Results of the loop, time first: states, parameters of the inputs, inputs and factors.

    `controller` and `params` are None without a controller, `inputs` is None without inputs.
    """

    controller: Array | None
    params: Array | None
    inputs: Array | None
    generator: Array
    factors: Array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fused_decoder(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> Path:
    """Runs controller and generator over a trial, see `Decoder`.

    The gradient of each weight is one product over all bins and trials, after the backward loop. Forward mode
    (`jax.jvp`) does not exist: JAX raises an error for `custom_vjp` functions.
    """
    return _loop(rule, weights, start, known, masks)[0]


def _loop(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> tuple[Path, Any]:
    """Runs the loop. Also returns gates and new values of both parts for the derivative."""
    # A bias is the same in all bins, so the loop closes over it instead of reading it bin by bin.
    always = known.generator if known.generator.ndim == 1 else None
    control, generate = by_gate(weights.controller), by_gate(weights.generator)

    def step(carry: Start, now: tuple[Any, ...]) -> tuple[Start, tuple[Path, Any]]:
        controller, generator, seen = carry
        for_controller, for_generator, noise, keep_feedback, keep_readout = now
        # The controller sees the encoding, whose share is known before the loop, and the factors of the last bin.
        if weights.feedback is not None:
            for_controller = for_controller + drop(seen, keep_feedback, masks.rate) @ weights.feedback
        controller, saved_controller = step_cell(rule.controller_clip, for_controller, controller, control)
        params = controller @ weights.posterior + weights.posterior_bias
        inputs = rule.inputs(weights.prior, params, noise)
        # The generator is driven by inferred inputs and by known inputs, whose share is known before the loop.
        for_generator = (for_generator if always is None else always) + inputs @ weights.inputs
        generator, saved_generator = step_cell(rule.generator_clip, for_generator, generator, generate)
        # Dropout acts on the read-out, never on the carried state.
        factors = drop(generator, keep_readout, masks.rate) @ weights.factors
        seen = None if seen is None else factors
        path = Path(controller, params, inputs, generator, factors)
        return Start(controller, generator, seen), (path, (saved_controller, saved_generator))

    streams = (
        known.controller,
        known.generator if always is None else None,
        known.noise,
        masks.feedback,
        masks.readout,
    )
    _, (path, saved) = jax.lax.scan(step, start, streams)
    return path, saved


class _Derivatives(NamedTuple):
    """Derivatives with respect to values of each bin, time first, for the gradients of the weights.

    Attributes:
        controller: Share of the inputs in the controller's gates, shape (time, trial, gates).
        generator: Share of the inputs in the generator's gates, shape (time, trial, gates).
        params: Parameters of the inputs, shape (time, trial, input_params).
        factors: Factors, shape (time, trial, factor).
        noise: Noise of the inputs, shape (time, trial, input), or None.
    """

    controller: Array
    generator: Array
    params: Array
    factors: Array
    noise: Array | None


def _forward(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> tuple[Path, Any]:
    path, saved = _loop(rule, weights, start, known, masks)
    return path, (weights, start, known, masks, path, saved)


def _backward(rule: Rule, residuals: Any, d_path: Path) -> tuple[Weights, Start, Known, None]:
    weights, start, known, masks, path, saved = residuals
    before = states_before(start.controller, path.controller), states_before(start.generator, path.generator)
    streams = (d_path, path, before, saved, known.noise, masks.feedback, masks.readout)
    d_start, d_prior, found = _loop_back(rule, weights, start, masks.rate, streams)
    d_weights = _weight_gradients(residuals, before, found, d_prior)
    d_known = Known(
        controller=found.controller,
        # Values shared by all bins and trials get the sum of the derivatives.
        generator=found.generator if known.generator.ndim > 1 else found.generator.sum((0, 1)),
        noise=found.noise,
    )
    return d_weights, d_start, d_known, None


def _loop_back(
    rule: Rule, weights: Weights, start: Start, rate: Array | float, streams: tuple[Any, ...]
) -> tuple[Start, Any, _Derivatives]:
    """Runs the loop from the last bin to the first, in the order of the equations above.

    Returns:
        The derivatives with respect to the start, the values of the prior, and the values of every bin.
    """
    # Transposed once, not at every bin.
    back = jax.tree.map(jnp.transpose, (by_gate(weights.controller), by_gate(weights.generator)))
    from_params, from_inputs, from_factors = weights.posterior.T, weights.inputs.T, weights.factors.T
    from_feedback = None if weights.feedback is None else weights.feedback.T

    def step(carry: tuple[Start, Any], now: tuple[Any, ...]) -> tuple[tuple[Start, Any], _Derivatives]:
        (d_controller, d_generator, d_seen), d_prior = carry
        d_path, path, before, saved, noise, keep_feedback, keep_readout = now
        # Factors: read out here, and seen by the controller of the bin after.
        d_factors = d_path.factors if d_seen is None else d_path.factors + d_seen
        # Generator: carried on undropped, read out through the mask.
        d_generator = d_generator + d_path.generator + drop(d_factors @ from_factors, keep_readout, rate)
        d_generator, d_for_generator = step_cell_back(
            rule.generator_clip, d_generator, before[1], path.generator, saved[1], back[1]
        )
        # Inputs: the prior computes them from parameters and noise, so JAX differentiates this step.
        d_inputs = d_path.inputs + d_for_generator @ from_inputs
        _, pull_back = jax.vjp(rule.inputs, weights.prior, path.params, noise)
        d_prior_t, d_params, d_noise = pull_back(d_inputs)
        # The prior has few values: a carried sum takes less memory than the derivatives of every bin.
        d_prior = jax.tree.map(jnp.add, d_prior, d_prior_t)
        # Controller: carried on, and read out as parameters of the inputs.
        d_params = d_path.params + d_params
        d_controller = d_controller + d_path.controller + d_params @ from_params
        d_controller, d_for_controller = step_cell_back(
            rule.controller_clip, d_controller, before[0], path.controller, saved[0], back[0]
        )
        # Feedback: derivative with respect to the factors of the bin before.
        if from_feedback is not None:
            d_seen = drop(d_for_controller @ from_feedback, keep_feedback, rate)
        found = _Derivatives(d_for_controller, d_for_generator, d_params, d_factors, d_noise)
        return (Start(d_controller, d_generator, d_seen), d_prior), found

    zeros = jax.tree.map(jnp.zeros_like, (start, weights.prior))
    (d_start, d_prior), found = jax.lax.scan(step, zeros, streams, reverse=True)
    return d_start, d_prior, found


def _weight_gradients(residuals: Any, before: tuple[Array, Array], found: _Derivatives, d_prior: Any) -> Weights:
    """Computes the gradient of every weight as one product over all bins and trials, after the loop."""
    weights, start, _, masks, path, saved = residuals
    # A sum within the loop would read and write every gradient once per bin.
    d_feedback = None
    if weights.feedback is not None:
        seen = drop(states_before(start.seen, path.factors), masks.feedback, masks.rate)
        d_feedback = weight_gradient(seen, found.controller)
    return Weights(
        feedback=d_feedback,
        controller=hidden_gradient(before[0], saved[0][0], found.controller),
        posterior=weight_gradient(path.controller, found.params),
        posterior_bias=found.params.sum((0, 1)),
        prior=d_prior,
        inputs=weight_gradient(path.inputs, found.generator),
        generator=hidden_gradient(before[1], saved[1][0], found.generator),
        factors=weight_gradient(drop(path.generator, masks.readout, masks.rate), found.factors),
    )


fused_decoder.defvjp(_forward, _backward)

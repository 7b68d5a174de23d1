"""The loop of a GRU controller and a GRU generator that drive each other, with the derivative written out."""

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
from lfadsx.modules.gru import by_gate, hidden_gradient, states_before, step_cell, step_cell_back
from lfadsx.modules.linear import weight_gradient


@dataclasses.dataclass(frozen=True)
class Rule:
    """What does not change while a model trains; static.

    Attributes:
        controller_clip: Bound of the controller's state.
        generator_clip: Bound of the generator's state.
        prior: Structure of the inputs' prior, which turns parameters and noise into inputs.
    """

    controller_clip: float
    generator_clip: float
    prior: nnx.GraphDef[AbstractPrior]

    def inputs(self, values: Any, params: Array, noise: Array | None) -> Array:
        """Returns the inputs: a sample of their posterior, or its mean without noise."""
        prior = nnx.merge(self.prior, values)
        return prior.posterior_mean(params) if noise is None else prior.sample(params, noise)


class Weights(NamedTuple):
    """What trains.

    Attributes:
        feedback: From the fed-back factors to the controller's gates, shape (factor, gates); None without feedback.
        controller: The controller's recurrent weights, shape (controller, gates).
        posterior: From the controller to the parameters of the inputs, shape (controller, input_params).
        posterior_bias: Shape (input_params,).
        prior: Values of the inputs' prior.
        inputs: From the inputs to the generator's gates, shape (input, gates).
        generator: The generator's recurrent weights, shape (generator, gates).
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
    """What the first bin finds: states of controller and generator, and what is fed back, or None; trial first."""

    controller: Array
    generator: Array
    seen: Array | None


class Known(NamedTuple):
    """What is known before the loop, time first.

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
    """Dropout, which nothing is differentiated by.

    Attributes:
        feedback: True where what is fed back is kept, shape (time, trial, factor), or None.
        readout: True where the generator's state is kept in the factors, shape (time, trial, generator), or None.
        rate: The rate that both were drawn with, shape ().
    """

    feedback: Array | None
    readout: Array | None
    rate: Array | float


class Path(NamedTuple):
    """What the loop computes, time first: states, parameters of the inputs, inputs and factors.

    Without a controller the first two are None; without inputs the third is.
    """

    controller: Array | None
    params: Array | None
    inputs: Array | None
    generator: Array
    factors: Array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_joint(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> Path:
    """Runs controller and generator over a trial, as `Decoder` says.

    The gradients of weights are formed after the loop backward, in one product each over all bins and trials.

    Args:
        rule: What is static.
        weights: What trains.
        start: What the first bin finds.
        known: What is known before the loop.
        masks: Dropout.
    """
    return _loop(rule, weights, start, known, masks)[0]


def _loop(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> tuple[Path, Any]:
    """Runs the loop; also returns the gates and new values of both parts, which the derivative needs."""
    always = known.generator if known.generator.ndim == 1 else None
    control, generate = by_gate(weights.controller), by_gate(weights.generator)

    def step(carry: tuple[Array, Array, Array | None], now: tuple[Any, ...]) -> tuple[Any, Any]:
        controller, generator, seen = carry
        for_controller, for_generator, noise, keep_feedback, keep_readout = now
        if weights.feedback is not None:
            for_controller = for_controller + drop(seen, keep_feedback, masks.rate) @ weights.feedback
        controller, saved_controller = step_cell(rule.controller_clip, for_controller, controller, control)
        params = controller @ weights.posterior + weights.posterior_bias
        inputs = rule.inputs(weights.prior, params, noise)
        for_generator = (for_generator if always is None else always) + inputs @ weights.inputs
        generator, saved_generator = step_cell(rule.generator_clip, for_generator, generator, generate)
        factors = drop(generator, keep_readout, masks.rate) @ weights.factors
        seen = None if seen is None else factors
        path = Path(controller, params, inputs, generator, factors)
        return (controller, generator, seen), (path, (saved_controller, saved_generator))

    streams = (
        known.controller,
        known.generator if always is None else None,
        known.noise,
        masks.feedback,
        masks.readout,
    )
    _, (path, saved) = jax.lax.scan(step, (start.controller, start.generator, start.seen), streams)
    return path, saved


def _forward(rule: Rule, weights: Weights, start: Start, known: Known, masks: Masks) -> tuple[Path, Any]:
    path, saved = _loop(rule, weights, start, known, masks)
    return path, (weights, start, known, masks, path, saved)


def _backward(rule: Rule, residuals: Any, d_path: Path) -> tuple[Weights, Start, Known, None]:
    weights, start, known, masks, path, saved = residuals
    before = states_before(start.controller, path.controller), states_before(start.generator, path.generator)
    # Transposed once, not at every bin.
    back = jax.tree.map(jnp.transpose, (by_gate(weights.controller), by_gate(weights.generator)))
    from_params, from_inputs, from_factors = weights.posterior.T, weights.inputs.T, weights.factors.T
    from_feedback = None if weights.feedback is None else weights.feedback.T

    def step(carry: tuple[Array, Array, Array | None, Any], now: tuple[Any, ...]) -> tuple[Any, Any]:
        d_controller, d_generator, d_seen, d_prior = carry
        d_path, path, before, saved, noise, keep_feedback, keep_readout = now
        d_factors = d_path.factors if d_seen is None else d_path.factors + d_seen
        d_generator = d_generator + d_path.generator + drop(d_factors @ from_factors, keep_readout, masks.rate)
        d_generator, d_for_generator = step_cell_back(
            rule.generator_clip, d_generator, before[1], path.generator, saved[1], back[1]
        )
        d_inputs = d_path.inputs + d_for_generator @ from_inputs
        _, pull_back = jax.vjp(rule.inputs, weights.prior, path.params, noise)
        d_prior_t, d_params, d_noise = pull_back(d_inputs)
        d_prior = jax.tree.map(jnp.add, d_prior, d_prior_t)
        d_params = d_path.params + d_params
        d_controller = d_controller + d_path.controller + d_params @ from_params
        d_controller, d_for_controller = step_cell_back(
            rule.controller_clip, d_controller, before[0], path.controller, saved[0], back[0]
        )
        if from_feedback is not None:
            d_seen = drop(d_for_controller @ from_feedback, keep_feedback, masks.rate)
        return (d_controller, d_generator, d_seen, d_prior), (
            d_for_controller,
            d_for_generator,
            d_params,
            d_factors,
            d_noise,
        )

    zeros = jax.tree.map(jnp.zeros_like, (start.controller, start.generator, start.seen, weights.prior))
    streams = (d_path, path, before, saved, known.noise, masks.feedback, masks.readout)
    (d_controller, d_generator, d_seen, d_prior), stacked = jax.lax.scan(step, zeros, streams, reverse=True)
    d_for_controller, d_for_generator, d_params, d_factors, d_noise = stacked

    d_feedback = None
    if weights.feedback is not None:
        seen = drop(states_before(start.seen, path.factors), masks.feedback, masks.rate)
        d_feedback = weight_gradient(seen, d_for_controller)
    d_weights = Weights(
        feedback=d_feedback,
        controller=hidden_gradient(before[0], saved[0][0], d_for_controller),
        posterior=weight_gradient(path.controller, d_params),
        posterior_bias=d_params.sum((0, 1)),
        prior=d_prior,
        inputs=weight_gradient(path.inputs, d_for_generator),
        generator=hidden_gradient(before[1], saved[1][0], d_for_generator),
        factors=weight_gradient(drop(path.generator, masks.readout, masks.rate), d_factors),
    )
    d_known = Known(
        controller=d_for_controller,
        generator=d_for_generator if known.generator.ndim > 1 else d_for_generator.sum((0, 1)),
        noise=d_noise,
    )
    return d_weights, Start(d_controller, d_generator, d_seen), d_known, None


run_joint.defvjp(_forward, _backward)

"""The choice between the derivative that is written out and the one that JAX finds, which has forward mode."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import modules
from lfadsx.data import batch as batch_of
from lfadsx.errors import LfadsxError
from lfadsx.models.serialization import describe, rebuild
from lfadsx.objective import Objective, RampWeights

DRIVEN = {
    "variant": "external_input",
    "generator_rank": 2,
    "generator_width": 6,
    "generator_substeps": 2,
    "bias_dim": 2,
}
CASES = {
    "controller": (making.ragged, {}, {}),
    "known inputs": (making.ragged, {"known": 2}, {"variant": "external_input", "bias_dim": 2}),
    "known inputs alone": (making.ragged, {"known": 2}, {"variant": "external_input", "inferred_inputs": 0}),
    "autonomous in segments": (making.ragged, {}, {"variant": "autonomous", "segment_bins": 4}),
    "neural ODE": (making.ragged, {"known": 2}, {"generator": "neural_ode", "ic_prior": "mixture"} | DRIVEN),
    "low rank": (making.ragged, {"known": 2}, {"generator": "low_rank", "input_prior": "smooth"} | DRIVEN),
    "linear": (making.ragged, {}, {"generator": "linear", "ic_prior": "student_t", "segment_bins": 4}),
    "vanilla RNN": (making.ragged, {}, {"generator": "rnn", "variant": "autonomous", "bias_dim": 2}),
    "feedback of rates": (making.one_session, {}, {"feedback": "rates"}),
    "sessions of real values": (
        making.several_sessions,
        {"likelihood": "gaussian"},
        {"likelihood": "gaussian", "input_prior": "student_t", "encoder": "causal", "initial_feedback": "zeros"},
    ),
}


def made(case, adjoint="autodiff"):
    """A tiny model and a batch of trials of different length, padded."""
    make, settings, changes = CASES[case]
    data = make(**settings)
    return making.build(data, adjoint=adjoint, **changes), batch_of(data)


def total(model, batch):
    """The loss as a function of the parameters alone, noise and dropout on, and the parameters."""
    graphdef, params, fixed = making.split(model)
    noise, hyper = making.drawer(model)(batch), making.hyper()

    def value(params):
        model = nnx.merge(graphdef, params, fixed)
        return Objective()(model, batch, model(batch, noise), hyper, RampWeights())[0]

    return value, params


def direction(params, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), x.dtype), params)


def slope(function):
    """The compiled forward derivative of a function, along a direction."""
    return jax.jit(lambda params, tangent: jax.jvp(function, (params,), (tangent,))[1])


def difference(function, params, tangent, step=1e-5):
    """The same by central differences."""
    moved = lambda by: function(jax.tree.map(lambda x, d: x + by * d, params, tangent))  # noqa: E731
    up, down = moved(step), moved(-step)
    return jax.tree.map(lambda up, down: (up - down) / (2 * step), up, down)


def product(one, other):
    return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def close(found, expected, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(np.abs(b).max(initial=0.0), 1e-3))


EACH = making.each(CASES, "known inputs", "vanilla RNN")


@pytest.mark.parametrize("case", EACH)
def test_reverse_and_forward_derivatives_of_the_loss_agree(case):
    """The one written out, the one that JAX finds, the slope along a direction, and central differences."""
    with jax.enable_x64(True):
        values, params = zip(*(total(*made(case, adjoint)) for adjoint in ("fused", "autodiff")), strict=True)
        both = [jax.jit(jax.value_and_grad(value)) for value in values]
        (_, fused), (_, found) = (run(p) for run, p in zip(both, params, strict=True))
        close(found, fused, 1e-10)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(fused))
        tangent = direction(params[1])
        along = slope(values[1])(params[1], tangent)
        np.testing.assert_allclose(along, product(fused, tangent), rtol=1e-9)
        np.testing.assert_allclose(along, difference(lambda p: both[1](p)[0], params[1], tangent), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["controller", "autonomous in segments"])
def test_forward_over_reverse_is_the_slope_of_the_gradient(case):
    with jax.enable_x64(True):
        value, params = total(*made(case))
        gradient, tangent = jax.grad(value), direction(params)
        close(slope(gradient)(params, tangent), difference(jax.jit(gradient), params, tangent), 1e-5)


def decoding(model, batch):
    """Log rates as a function of initial conditions and known inputs, posterior means of the inputs passed on."""

    def run(initial_condition, known):
        encoded = model.encode(batch)
        bias = None if model.bias_prior is None else model.bias_prior.posterior_mean(encoded.bias_params)
        streams = dict(encoding=encoded.encoding, known_inputs=jnp.swapaxes(known, 0, 1), bias=bias)
        trajectory = model.decoder(initial_condition, batch.n_bins, **streams)
        return model.observe(trajectory, batch.session, initial_condition, encoded).params["spikes"][0]

    return run


@pytest.mark.parametrize("case", ["known inputs", "known inputs alone"])
def test_forward_and_reverse_jacobians_of_rates_are_equal(case):
    """Of log rates by initial condition and known inputs."""
    with jax.enable_x64(True):
        model, batch = made(case)
        batch = jax.tree.map(lambda x: x[:1], batch)
        arguments = (jnp.full((1, 4), 0.1), jnp.asarray(batch.known_inputs, float))
        forward, reverse = (jax.jit(j(decoding(model, batch), (0, 1)))(*arguments) for j in (jax.jacfwd, jax.jacrev))
        assert forward[0].shape[2:] == (1, 1, 4) and np.abs(forward[0]).max() > 0 and np.abs(forward[1]).max() > 0
        close(forward, reverse, 1e-10)
        # The rates of a bin do not depend on known inputs that come later.
        assert np.all(np.asarray(forward[1])[2, ..., 3:, :] == 0) and np.any(np.asarray(forward[1])[2, ..., 2, :] != 0)


def test_a_trained_generator_can_be_linearised():
    """The step of a small change is the Jacobian of the step times it, from the step's own equations."""
    with jax.enable_x64(True):
        model, _ = made("autonomous in segments")
        generator = model.decoder.generator
        state = generator.initial_state(jnp.full((1, 4), 0.1))
        step = lambda state: generator.step(state[None], None, None)[0]  # noqa: E731
        jacobian = jax.jacfwd(step)(state[0])
        change = 1e-5 * np.random.default_rng(0).standard_normal(5)
        expected = (step(state[0] + change) - step(state[0] - change)) / 2
        np.testing.assert_allclose(jacobian @ change, expected, rtol=1e-8)


def test_padding_has_no_slope():
    """Tangents in the padding of encoder inputs and known inputs change nothing."""
    with jax.enable_x64(True):
        model, batch = made("known inputs")
        inside = np.arange(batch.n_bins) < np.asarray(batch.target_length)[:, None]
        assert not inside.all()
        known = jnp.asarray(batch.known_inputs, float)

        def rates(known):
            return model(dataclasses.replace(batch, known_inputs=known))

        tangents = [jnp.where(inside[..., None] == own, 1.0, 0.0) * jnp.ones_like(known) for own in (False, True)]
        padding, own = (jax.jit(lambda t: jax.jvp(rates, (known,), (t,))[1])(t).factors for t in tangents)
        assert np.all(np.asarray(padding) == 0) and np.any(np.asarray(own) != 0)


def test_a_population_has_the_slopes_of_its_members():
    with jax.enable_x64(True):
        value, params = total(*made("known inputs alone"))
        members = [params, jax.tree.map(lambda x: 1.1 * x, params)]
        tangents = [direction(params, seed) for seed in (1, 2)]
        stacked = (jax.tree.map(lambda *x: jnp.stack(x), *trees) for trees in (members, tangents))
        alone = [slope(value)(*pair) for pair in zip(members, tangents, strict=True)]
        np.testing.assert_allclose(slope(jax.vmap(value))(*stacked), alone, rtol=1e-10)


def test_the_written_out_derivative_has_no_forward_mode():
    value, params = total(*made("known inputs alone", "fused"))
    with pytest.raises(TypeError, match=r"can't apply forward-mode autodiff \(jvp\) to a custom_vjp function"):
        slope(value)(params, direction(params))


class Own(modules.AbstractGenerator):
    """A user's generator made of a `Linear`."""

    def __init__(self, rngs):
        self.n_state, self.linear = 3, modules.Linear(3, 3, rngs=rngs)

    def initial_state(self, initial_condition):
        return initial_condition

    def step(self, state, projected_t, live_t):
        return jnp.tanh(self.linear(state))


@pytest.mark.both_modes
def test_the_choice_reaches_every_part_and_leaves_the_model_as_it_was(nnx_mode):
    model = making.outline(making.ragged())
    model.decoder.generator = Own(nnx.Rngs(0))
    other = lfadsx.with_adjoint(model, "autodiff")
    choices = lambda model: {getattr(part, "adjoint", None) for _, part in nnx.iter_modules(model)}  # noqa: E731
    assert choices(model) == {None, "fused"} and choices(other) == {None, "autodiff"}
    assert other.decoder.generator.linear.adjoint == "autodiff"
    assert nnx.graphdef(other) != nnx.graphdef(model)
    assert nnx.graphdef(lfadsx.with_adjoint(other, "fused")) == nnx.graphdef(model)


def test_the_copy_has_the_values_and_not_the_variables():
    model = making.build(making.ragged())
    other = lfadsx.with_adjoint(model, "autodiff")
    bias = lambda model: model.decoder.generator.gru.bias  # noqa: E731
    before = np.asarray(bias(model)[...])
    bias(other)[...] += 1.0
    np.testing.assert_array_equal(bias(model)[...], before)
    np.testing.assert_array_equal(bias(other)[...], before + 1)


def test_only_the_written_out_derivative_is_a_rule_of_its_own():
    """No part of a model with the other choice takes a derivative that JAX does not find itself."""
    data = making.ragged(known=2)
    for adjoint, expected in (("fused", True), ("autodiff", False)):
        model = making.build(data, adjoint=adjoint, variant="external_input", known_inputs_to="encoders")
        graphdef, state = nnx.split(model)
        traced = jax.make_jaxpr(lambda state, batch: nnx.merge(graphdef, state)(batch))(state, batch_of(data))  # noqa: B023
        assert ("custom_vjp" in str(traced)) == expected


def test_a_saved_model_keeps_its_choice_and_one_without_has_the_default():
    data = making.ragged()
    model = making.build(data, adjoint="autodiff")
    description = json.loads(json.dumps(describe(model)))
    assert description["arguments"]["adjoint"] == "autodiff"
    again = rebuild(description, rngs=nnx.Rngs(0))
    again.initialised = True  # as `load` says of a model that has its values
    assert nnx.graphdef(again) == nnx.graphdef(model)
    del description["arguments"]["adjoint"]  # as runs have it that were saved before there was a choice
    again = rebuild(description, rngs=nnx.Rngs(0))
    again.initialised = True
    assert nnx.graphdef(again) == nnx.graphdef(lfadsx.with_adjoint(model, "fused"))


def test_new_sessions_have_the_choice_of_the_model():
    monday, tuesday = making.apart()
    model = lfadsx.with_sessions(making.build(monday, adjoint="autodiff"), tuesday, rngs=nnx.Rngs(0))
    assert model.readin.adjoint == "autodiff"
    assert {readout.adjoint for readout in model.readout.values()} == {"autodiff"}


def test_a_choice_that_is_none_is_named():
    with pytest.raises(LfadsxError, match="`adjoint` must be 'fused' or 'autodiff', got 'auto'"):
        lfadsx.with_adjoint(making.outline(making.ragged()), "auto")
    with pytest.raises(LfadsxError, match="`adjoint` must be one of 'fused', 'autodiff', got 'auto'"):
        lfadsx.ModelConfig(adjoint="auto")

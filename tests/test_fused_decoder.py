"""The decoder's loop whose derivative is written out, beside the loop for any parts."""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import modules
from lfadsx.distributions import AutoregressivePrior
from lfadsx.types import Noise

N_TRIALS, N_BINS, N_IC, N_KNOWN, N_ENCODING = 4, 7, 3, 2, 5
N_CONTROLLER, N_GENERATOR, N_FACTORS, N_INPUTS = 6, 8, 3, 2


class SteppedGenerator(modules.GRUGenerator):
    """The same generator, which the decoder does not know: it runs the loop for any parts."""


class Scaling(AutoregressivePrior):
    """A prior of which a trained number enters the samples themselves."""

    def sample(self, params, noise):
        return super().sample(params, noise) * (1.0 + self.log_variance[...])


def decoders(
    *,
    known=False,
    given=False,
    alone=False,
    feedback="factors",
    initial_feedback="state",
    clip=5.0,
    prior=AutoregressivePrior,
    segment_bins=0,
):
    """The decoder with the derivative written out and the one without, of the same weights."""
    made = []
    for generator in (modules.GRUGenerator, SteppedGenerator):
        rngs = nnx.Rngs(0)
        n_feedback = N_FACTORS if feedback == "factors" else 0
        n_inputs = 0 if alone and not given else N_INPUTS
        control = dict(
            controller=modules.GRUController(N_ENCODING, n_feedback, N_CONTROLLER, clip=clip, rngs=rngs),
            input_prior=prior(N_INPUTS),
            feedback=feedback,
            initial_feedback=initial_feedback,
        )
        decoder = modules.Decoder(
            generator(N_IC, N_KNOWN if known else 0, n_inputs, N_GENERATOR, clip=clip, recurrent_scale=2.0, rngs=rngs),
            N_FACTORS,
            segment_bins=segment_bins,
            **({} if alone else control),
            rngs=rngs,
        )
        made.append(decoder)
    return made


def sequences(*, known=False, given=False, alone=False):
    draw = np.random.default_rng(1)
    wide = {} if alone else {"encoding": N_ENCODING}
    wide |= {"known_inputs": N_KNOWN} if known else {}
    wide |= {"inputs": N_INPUTS} if given else {}
    arrays = {name: jnp.asarray(draw.normal(size=(N_BINS, N_TRIALS, n)), jnp.float32) for name, n in wide.items()}
    return arrays | {"initial_condition": jnp.asarray(draw.normal(size=(N_TRIALS, N_IC)), jnp.float32)}


def noise(rate, *, known=False, feedback=True):
    draw = np.random.default_rng(2)
    keep = {}
    if rate:
        places = {"encoding": (N_BINS, N_ENCODING), "readout": (1 + N_BINS, N_GENERATOR)}
        places |= {"feedback": (N_BINS, N_FACTORS)} if feedback else {}
        places |= {"known": (N_BINS, N_KNOWN)} if known else {}
        keep = {name: jnp.asarray(draw.random((n, N_TRIALS, width)) > rate) for name, (n, width) in places.items()}
    values = jnp.asarray(draw.normal(size=(N_BINS, N_TRIALS, N_INPUTS)), jnp.float32)
    return Noise(ic=jnp.zeros((N_TRIALS, N_IC)), inputs=values, keep=keep, dropout_rate=rate)


def run(decoder, arrays, noise):
    arrays = dict(arrays)
    return decoder(arrays.pop("initial_condition"), N_BINS, **arrays, noise=noise)


def gradients(decoder, arrays, noise):
    """Scalar that depends on all outputs, with a different weight for every number."""
    graphdef, state = nnx.split(decoder)

    def weighted(state, arrays, values):
        own = None if noise is None else Noise(noise.ic, values, noise.keep, noise.dropout_rate)
        out = run(nnx.merge(graphdef, state), arrays, own)
        draw = np.random.default_rng(3)
        return sum(jnp.sum(leaf * draw.normal(size=leaf.shape)) for leaf in jax.tree.leaves(out))

    values = None if noise is None else noise.inputs
    argnums = (0, 1, 2) if decoder.controller is not None and noise is not None else (0, 1)
    found = jax.jit(jax.grad(weighted, argnums=argnums))(state, arrays, values)
    return jax.tree_util.tree_flatten_with_path(found)[0]


def alike(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape and np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


QUICK = ("usual", "means", "known inputs", "states at their bound", "a generator with both")
SEGMENTED = ("usual", "known inputs", "a generator alone", "a generator with both")
CASES = {
    "usual": ({}, 0.3),
    "without dropout": ({}, 0.0),
    "means": ({}, None),
    "no feedback": ({"feedback": "none"}, 0.3),
    "feedback of zeros at first": ({"initial_feedback": "zeros"}, 0.3),
    "known inputs": ({"known": True}, 0.3),
    "states at their bound": ({"clip": 0.2}, 0.3),
    "another prior": ({"prior": Scaling}, 0.3),
    "a generator alone": ({"alone": True}, 0.3),
    "a generator alone, means": ({"alone": True}, None),
    "a generator with known inputs": ({"alone": True, "known": True}, 0.3),
    "a generator with given inputs": ({"alone": True, "given": True}, 0.3),
    "a generator with both": ({"alone": True, "given": True, "known": True}, 0.3),
    "a generator at its bound": ({"alone": True, "clip": 0.2}, 0.3),
}


def arrays_of(settings, rate):
    arrays = sequences(**{name: settings.get(name, False) for name in ("known", "given", "alone")})
    feedback = settings.get("feedback") != "none" and not settings.get("alone")
    return arrays, None if rate is None else noise(rate, known=settings.get("known", False), feedback=feedback)


@pytest.mark.parametrize("case", making.each(CASES, *QUICK))
def test_the_written_out_loop_equals_the_plain_one(case):
    settings, rate = CASES[case]
    arrays, drawn = arrays_of(settings, rate)
    fast, plain = decoders(**settings)
    for found, expected in zip(*(jax.tree.leaves(run(d, arrays, drawn)) for d in (fast, plain)), strict=True):
        alike(found, expected)
    for (path, found), (_, expected) in zip(*(gradients(d, arrays, drawn) for d in (fast, plain)), strict=True):
        unused = "input_prior" in jax.tree_util.keystr(path) and np.all(np.asarray(expected) == 0)
        assert not unused or "log_variance" not in jax.tree_util.keystr(path) or settings.get("prior") is not Scaling
        np.testing.assert_array_equal(found, expected) if unused else alike(found, expected)


@pytest.mark.parametrize("case", ["usual", "a generator with both"])
def test_without_the_written_out_derivative_built_in_parts_run_in_the_plain_loop(case):
    """With the other setting, built-in parts run the same program as unknown parts."""
    settings, rate = CASES[case]
    arrays, drawn = arrays_of(settings, rate)

    def program(decoder):
        graphdef, state = nnx.split(decoder)
        return jax.jit(lambda state: run(nnx.merge(graphdef, state), arrays, drawn)).lower(state).as_text()

    fused, _ = decoders(**settings)
    found, expected = (program(lfadsx.with_adjoint(d, "autodiff")) for d in decoders(**settings))
    assert found == expected != program(fused)


def test_a_bound_that_acts_stops_the_gradient():
    fast, _ = decoders(clip=0.2)
    states = np.asarray(run(fast, sequences(), None).generator_states)
    assert 0.1 < np.mean(np.abs(states) == np.float32(0.2)) < 1


def test_parts_of_ones_own_run_in_the_loop_for_any_parts():
    class Still(modules.GRUGenerator):
        def step(self, state, projected_t, live_t):
            return state

    decoder, _ = decoders()
    still = Still(N_IC, 0, N_INPUTS, N_GENERATOR, rngs=nnx.Rngs(0))
    decoder.generator = still
    out = run(decoder, sequences(), None)
    np.testing.assert_array_equal(
        np.asarray(out.generator_states), np.asarray(out.initial_state)[None].repeat(N_BINS, 0)
    )


@pytest.mark.parametrize("case", making.each(SEGMENTED, "usual"))
@pytest.mark.parametrize("segment_bins", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, N_BINS - 1))])
def test_a_loop_in_segments_equals_the_whole_one(case, segment_bins):
    settings, rate = CASES[case]
    arrays, drawn = arrays_of(settings, rate)
    whole = decoders(**settings)[0]
    for decoder in decoders(**settings, segment_bins=segment_bins):
        for found, expected in zip(*(jax.tree.leaves(run(d, arrays, drawn)) for d in (decoder, whole)), strict=True):
            alike(found, expected)
        for (_, found), (_, expected) in zip(*(gradients(d, arrays, drawn) for d in (decoder, whole)), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(np.abs(expected).max(), 1e-6))


@pytest.mark.parametrize("variant", ["inferred_input", "autonomous"])
def test_only_a_gru_runs_in_the_written_out_loop(variant):
    """Every other generator gets the plain loop by itself, and steps of the built-in one are never taken one by one."""
    data = making.one_session()
    for name in get_args(get_type_hints(lfadsx.ModelConfig)["generator"]):
        model = making.outline(data, variant=variant, generator=name)
        graphdef, state = nnx.split(model)
        traced = jax.make_jaxpr(lambda state, batch: nnx.merge(graphdef, state)(batch).factors)(  # noqa: B023
            state, lfadsx.data.batch(data)
        )
        loop = {"inferred_input": "name=fused_decoder", "autonomous": "name=fused_gru"}[variant]
        decoding = str(traced).count(loop) - (2 if variant == "autonomous" else 0)  # of the bidirectional encoder
        assert decoding == (name == "gru"), name


@pytest.mark.parametrize("segment_bins", making.each([1, 4, 6], 4))
@pytest.mark.parametrize("encoder", [modules.BidirectionalGRU, modules.CausalGRU])
def test_encoders_in_segments_equal_whole_ones(encoder, segment_bins):
    draw = np.random.default_rng(0)
    sequence, length = jnp.asarray(draw.normal(size=(3, 12, 4)), jnp.float32), jnp.array([12, 5, 9])

    def found(segment_bins):
        graphdef, state = nnx.split(encoder(4, 5, lag=1, segment_bins=segment_bins, rngs=nnx.Rngs(0)))

        def weighted(state, sequence):
            out = nnx.merge(graphdef, state)(sequence, length)
            return sum(jnp.sum(x * np.random.default_rng(1).normal(size=x.shape)) for x in out)

        return jax.tree.leaves(jax.jit(jax.value_and_grad(weighted, (0, 1)))(state, sequence))

    for one, other in zip(found(segment_bins), found(0), strict=True):
        alike(one, other)


def test_segments_bound_the_memory_of_gradients():
    n_trials, n_bins = 16, 512
    sequence = jnp.zeros((n_trials, n_bins, 4))

    def temporary(segment_bins):
        graphdef, state = nnx.split(modules.CausalGRU(4, 32, segment_bins=segment_bins, rngs=nnx.Rngs(0)))
        length = jnp.full(n_trials, n_bins)
        end = lambda state, sequence: jnp.sum(nnx.merge(graphdef, state)(sequence, length)[1])  # noqa: E731
        compiled = jax.jit(jax.grad(end)).lower(state, sequence).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(32) < temporary(0) / 4

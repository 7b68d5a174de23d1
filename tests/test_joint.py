"""The decoder's loop whose derivative is written out, beside the loop for any parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

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


def decoders(*, known=False, feedback="factors", initial_feedback="state", clip=5.0, prior=AutoregressivePrior):
    """The decoder with the derivative written out and the one without, of the same weights."""
    made = []
    for generator in (modules.GRUGenerator, SteppedGenerator):
        rngs = nnx.Rngs(0)
        n_feedback = N_FACTORS if feedback == "factors" else 0
        decoder = modules.Decoder(
            generator(N_IC, N_KNOWN if known else 0, N_INPUTS, N_GENERATOR, clip=clip, recurrent_scale=2.0, rngs=rngs),
            N_FACTORS,
            controller=modules.GRUController(N_ENCODING, n_feedback, N_CONTROLLER, clip=clip, rngs=rngs),
            input_prior=prior(N_INPUTS),
            feedback=feedback,
            initial_feedback=initial_feedback,
            rngs=rngs,
        )
        made.append(decoder)
    return made


def sequences(*, known=False):
    draw = np.random.default_rng(1)
    wide = {"encoding": N_ENCODING} | ({"known_inputs": N_KNOWN} if known else {})
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
    """What all that comes out depends on, with a weight of its own for every number that comes out."""
    graphdef, state = nnx.split(decoder)

    def weighted(state, arrays, values):
        own = None if noise is None else Noise(noise.ic, values, noise.keep, noise.dropout_rate)
        out = run(nnx.merge(graphdef, state), arrays, own)
        draw = np.random.default_rng(3)
        return sum(jnp.sum(leaf * draw.normal(size=leaf.shape)) for leaf in jax.tree.leaves(out))

    values = None if noise is None else noise.inputs
    found = jax.jit(jax.grad(weighted, argnums=(0, 1) if noise is None else (0, 1, 2)))(state, arrays, values)
    return jax.tree_util.tree_flatten_with_path(found)[0]


def alike(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape and np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


CASES = {
    "usual": ({}, 0.3),
    "without dropout": ({}, 0.0),
    "means": ({}, None),
    "no feedback": ({"feedback": "none"}, 0.3),
    "feedback of zeros at first": ({"initial_feedback": "zeros"}, 0.3),
    "known inputs": ({"known": True}, 0.3),
    "states at their bound": ({"clip": 0.2}, 0.3),
    "another prior": ({"prior": Scaling}, 0.3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_written_out_loop_equals_the_plain_one(case):
    settings, rate = CASES[case]
    known = settings.get("known", False)
    arrays = sequences(known=known)
    drawn = None if rate is None else noise(rate, known=known, feedback=settings.get("feedback") != "none")
    fast, plain = decoders(**settings)
    for found, expected in zip(*(jax.tree.leaves(run(d, arrays, drawn)) for d in (fast, plain)), strict=True):
        alike(found, expected)
    for (path, found), (_, expected) in zip(*(gradients(d, arrays, drawn) for d in (fast, plain)), strict=True):
        unused = "input_prior" in jax.tree_util.keystr(path) and np.all(np.asarray(expected) == 0)
        assert not unused or "log_variance" not in jax.tree_util.keystr(path) or settings.get("prior") is not Scaling
        np.testing.assert_array_equal(found, expected) if unused else alike(found, expected)


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

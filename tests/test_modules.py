"""Parts of the model: GRU, encoders, decoder, read-in and read-out, dropout, augmentations, names."""

import dataclasses
import inspect
import json
from typing import Any

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.models.adjoint import with_adjoint
from lfadsx.models.serialization import PARTS, describe, rebuild
from lfadsx.modules.augmentations import combine, to_targets
from lfadsx.modules.dropout import drop, keep_masks, share, shares, trial_keys
from lfadsx.objective import reconstruction
from lfadsx.random import derive
from lfadsx.testing import check
from lfadsx.types import Noise


def close(ours, theirs, tolerance=2e-6):
    """Within a tolerance relative to the array's largest entry."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def same(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def made(make, seed=0):
    """A part with stirred parameters, built in one compilation."""
    structure = None

    def build():
        nonlocal structure
        part = make(nnx.Rngs(seed))
        making.stir(part, seed=seed)
        structure, state = nnx.split(part)
        return state

    state = jax.jit(build)()
    return nnx.merge(structure, state)


def compiled(part, method="__call__", static=()):
    """A compiled method of a part, as a function of its arguments."""
    graphdef, state = nnx.split(part)
    run = jax.jit(
        lambda state, *args, **names: getattr(nnx.merge(graphdef, state), method)(*args, **names),
        static_argnums=[1 + place for place in static],
    )
    return lambda *args, **names: run(state, *args, **names)


# GRU


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_in_numpy(gru, state, known, live):
    """One step as design and paper write it, gate by gate."""
    n = gru.n_hidden
    stacked = {name: np.asarray(getattr(gru, name)[...], np.float64) for name in ("w_known", "w_live", "w_hidden")}
    keep, reset, new = (slice(i * n, (i + 1) * n) for i in range(3))
    bias = np.asarray(gru.bias[...], np.float64)

    def drive(gate):
        return known @ stacked["w_known"][:, gate] + live @ stacked["w_live"][:, gate] + bias[gate]

    u = stacked["w_hidden"]
    k = sigmoid(drive(keep) + state @ u[:, keep])
    r = sigmoid(drive(reset) + state @ u[:, reset])
    candidate = np.tanh(drive(new) + (r * state) @ u[:, new])
    return np.clip(k * state + (1 - k) * candidate, -gru.clip, gru.clip)


@pytest.mark.both_modes
def test_gru_step_is_the_equation(nnx_mode):
    gru = made(lambda rngs: modules.GRU(3, 2, 5, clip=0.6, rngs=rngs))
    state, known, live = normal(7, 5), normal(7, 3, seed=1), normal(7, 2, seed=2)
    ours = compiled(gru, "step")(state, compiled(gru, "project")(known), live)
    theirs = gru_in_numpy(gru, state, known, live)
    close(ours, theirs)
    clipped = np.abs(theirs) == 0.6
    assert 0 < clipped.sum() < clipped.size


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_loop_is_a_python_loop(reverse):
    gru = made(lambda rngs: modules.GRU(3, 0, 4, rngs=rngs))
    sequence, initial, length = normal(6, 2, 3), normal(4, seed=1), np.array([6, 4])
    inside = np.arange(6)[:, None] < length
    states, end = jax.jit(modules.run_gru, static_argnames="reverse")(gru, sequence, initial, inside, reverse=reverse)
    for trial in range(2):
        state, order = jnp.asarray(initial)[None], range(length[trial])
        for t in reversed(order) if reverse else order:
            state = gru.step(state, gru.project(jnp.asarray(sequence[t, trial][None])))
            close(states[t, trial], state[0])
        close(end[trial], state[0])


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_loop_has_the_derivative_of_its_steps(reverse):
    """The written-out derivative equals JAX's derivative of `GRU.step`, also for clipped and held bins."""
    gru = modules.GRU(3, 0, 4, clip=0.3, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(gru)
    random = np.random.default_rng(0)
    sequence, initial = 2 * random.normal(size=(6, 3, 3)), 0.1 * random.normal(size=4)
    weight = random.normal(size=(6, 3, 4))
    inside = jnp.asarray(np.arange(6)[:, None] < np.array([6, 4, 1]))

    def by_steps(gru, sequence, initial):
        def step(state, now):
            state = jnp.where(now[1][:, None], gru.step(state, now[0]), state)
            return state, state

        start = jnp.broadcast_to(initial, (3, 4))
        end, states = jax.lax.scan(step, start, (gru.project(sequence), inside), reverse=reverse)
        return states, end

    def at_once(gru, sequence, initial):
        return modules.run_gru(gru, sequence, initial, inside, reverse=reverse)

    def gradients(run):
        def value(params, sequence, initial):
            states, end = run(nnx.merge(graphdef, params), sequence, initial)
            return (states * weight).sum() + (end**2).sum()

        return jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))(params, sequence, initial)

    expected, found = gradients(by_steps), gradients(at_once)
    states, _ = at_once(gru, jnp.asarray(sequence), jnp.asarray(initial))
    assert (jnp.abs(states) == 0.3).any()  # some states are clipped
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), expected, found)


def test_gru_starts_as_its_settings_say():
    gru = modules.GRU(2, 1, 3, keep_bias=0.5, reset_bias=-1.0, rngs=nnx.Rngs(0))
    same(gru.bias[...], [0.5] * 3 + [-1.0] * 3 + [0.0] * 3)
    wide = modules.GRU(300, 100, 400, rngs=nnx.Rngs(0))
    joint = modules.GRU(300, 100, 400, fan_in="joint", rngs=nnx.Rngs(0))
    for gru, spread in ((wide, 400), (joint, 800)):
        for weight in (gru.w_known, gru.w_live, gru.w_hidden):
            assert abs(np.std(np.asarray(weight[...])) * np.sqrt(spread) - 1) < 0.02


# Encoders

ENCODERS = {
    "bidirectional": lambda lag: lambda rngs: modules.BidirectionalGRU(3, 4, lag=lag, rngs=rngs),
    "causal": lambda lag: lambda rngs: modules.CausalGRU(3, 4, lag=lag, rngs=rngs),
}
LENGTHS = np.array([8, 5, 1, 6])


@pytest.fixture(params=ENCODERS)
def encoder_name(request):
    return request.param


def test_a_padded_trial_is_encoded_as_alone(encoder_name):
    run = compiled(made(ENCODERS[encoder_name](2)))
    sequence = normal(4, 8, 3)
    padding = np.arange(8) >= LENGTHS[:, None]
    sequence[padding] = 1e6
    states, ends = run(sequence, LENGTHS)
    assert np.all(np.asarray(states)[padding] == 0)
    for trial in (1, 2):
        length = LENGTHS[trial]
        own_states, own_ends = run(sequence[trial : trial + 1, :length], LENGTHS[trial : trial + 1])
        np.testing.assert_allclose(states[trial, :length], own_states[0], atol=2e-6)
        close(ends[trial], own_ends[0])
    # Of a trial that the lag swallows nothing is left.
    assert LENGTHS[2] == 1 and not np.any(np.asarray(states[2]))


def test_lag_keeps_the_controller_away_from_the_current_bin(encoder_name):
    sequence, n = normal(4, 8, 3), 4
    plain, ends = (np.asarray(x) for x in compiled(made(ENCODERS[encoder_name](0)))(sequence, LENGTHS))
    for lag in (1, 3):
        lagged, lagged_ends = compiled(made(ENCODERS[encoder_name](lag)))(sequence, LENGTHS)
        same(lagged_ends, ends)
        expected = np.zeros_like(plain)
        for trial, length in enumerate(LENGTHS):
            for t in range(length):
                if t - lag >= 0:
                    expected[trial, t, :n] = plain[trial, t - lag, :n]
                if t + lag < length:
                    expected[trial, t, n:] = plain[trial, t + lag, n:]
        same(lagged, expected)


def test_what_an_encoder_sees_when(encoder_name):
    """A change of the data from bin 4 on reaches forward states from bin 4 + lag on, backward ones always."""
    lag, n, length = 1, 4, np.array([8])
    run = compiled(made(ENCODERS[encoder_name](lag)))
    sequence = normal(1, 8, 3)
    changed = sequence.copy()
    changed[:, 4:] += 1.0
    before, after = (np.asarray(run(x, length)[0])[0] for x in (sequence, changed))
    same(after[: 4 + lag, :n], before[: 4 + lag, :n])
    assert np.all(after[4 + lag :, :n] != before[4 + lag :, :n])
    if encoder_name == "bidirectional":
        assert np.all(after[: 8 - lag, n:] != before[: 8 - lag, n:])


def test_the_backward_encoder_starts_at_the_own_last_bin():
    encoder = made(ENCODERS["bidirectional"](0))
    sequence = normal(4, 8, 3)
    states, ends = compiled(encoder)(sequence, LENGTHS)
    for trial, length in enumerate(LENGTHS):
        last = jnp.asarray(sequence[trial, length - 1][None])
        first_state = encoder.backward.step(encoder.backward_initial[...][None], encoder.backward.project(last))
        close(states[trial, length - 1, 4:], first_state[0])
        close(ends[trial, 4:], states[trial, 0, 4:])
        close(ends[trial, :4], states[trial, length - 1, :4])


def test_an_encoder_has_recurrent_weights_for_the_penalty(encoder_name):
    encoder = made(ENCODERS[encoder_name](0))
    directions = [encoder.forward] + ([encoder.backward] if encoder_name == "bidirectional" else [])
    assert len(encoder.recurrent_weights()) == len(directions)
    for weight, gru in zip(encoder.recurrent_weights(), directions, strict=True):
        same(weight, gru.w_hidden[...])


def test_data_in_the_padding_get_no_gradient(encoder_name):
    encoder = made(ENCODERS[encoder_name](1))
    run = compiled(encoder)
    sequence = normal(4, 8, 3)

    def total(sequence):
        states, ends = run(sequence, LENGTHS)
        return jnp.sum(states**2) + jnp.sum(ends**2)

    gradient = np.asarray(jax.jit(jax.grad(total))(sequence))
    padding = np.arange(8) >= LENGTHS[:, None]
    assert np.all(gradient[padding] == 0) and np.all(np.any(gradient[~padding] != 0, axis=-1))


# Decoder


class Counter(modules.AbstractGenerator):
    """A user's generator: a linear map whose state is a dictionary, with a clock that is not read out."""

    def __init__(self, n_ic, n_live, n_state, *, rngs):
        self.n_ic, self.n_live, self.n_state = n_ic, n_live, n_state
        self.start = modules.Linear(n_ic, n_state, rngs=rngs)
        self.drive = modules.Linear(n_live, n_state, rngs=rngs)

    def initial_state(self, initial_condition):
        return {"x": self.start(initial_condition), "clock": jnp.zeros(initial_condition.shape[0])}

    def step(self, state, projected_t, live_t):
        move = self.drive(live_t) + (0.0 if projected_t is None else projected_t.sum(-1, keepdims=True))
        return {"x": 0.9 * state["x"] + 0.1 * move, "clock": state["clock"] + 1}

    def readable(self, state):
        return state["x"] + state["clock"][:, None]


BUILT_IN = {
    "gru": lambda rngs: modules.GRUGenerator(4, 2, 3, 5, rngs=rngs),
    "linear": lambda rngs: modules.LinearGenerator(4, 2, 3, 5, clip=50.0, rngs=rngs),
    "rnn": lambda rngs: modules.RNNGenerator(4, 2, 3, 5, rngs=rngs),
    "low_rank": lambda rngs: modules.LowRankGenerator(4, 2, 3, 5, rank=2, leak=0.3, rngs=rngs),
    "neural_ode": lambda rngs: modules.NeuralODEGenerator(4, 2, 3, 5, width=6, depth=3, substeps=2, rngs=rngs),
}
GENERATORS = BUILT_IN | {"own": lambda rngs: Counter(4, 3, 5, rngs=rngs)}


def decoder(generator="gru", **settings):
    def make(rngs):
        controller = modules.GRUController(6, 0 if settings.get("feedback") == "none" else 4, 7, rngs=rngs)
        prior = distributions.AutoregressivePrior(3)
        return modules.Decoder(
            GENERATORS[generator](rngs), 4, controller=controller, input_prior=prior, rngs=rngs, **settings
        )

    return made(make)


def autonomous():
    def make(rngs):
        return modules.Decoder(modules.GRUGenerator(4, 0, 0, 5, rngs=rngs), 3, rngs=rngs)

    return made(make)


N_BINS, N_TRIALS = 4, 2


def noise(rate=0.4, places=("encoding", "feedback", "known", "readout")):
    shapes = dict(encoding=(4, 2, 6), feedback=(4, 2, 4), known=(4, 2, 2), readout=(5, 2, 5))
    keep = {place: jnp.asarray(np.random.default_rng(9).random(shapes[place]) > rate) for place in places}
    return Noise(ic=jnp.zeros((2, 4)), inputs=jnp.asarray(normal(4, 2, 3, seed=8)), keep=keep, dropout_rate=rate)


def streams():
    return dict(encoding=normal(4, 2, 6, seed=1), known_inputs=normal(4, 2, 2, seed=2))


@pytest.mark.both_modes
@pytest.mark.parametrize(
    ("generator", "settings"),
    [
        ("gru", {}),
        ("gru", {"initial_feedback": "zeros"}),
        ("gru", {"feedback": "none"}),
        ("own", {}),
        ("neural_ode", {}),
        pytest.param("linear", {}, marks=pytest.mark.slow),
        pytest.param("rnn", {}, marks=pytest.mark.slow),
        pytest.param("low_rank", {}, marks=pytest.mark.slow),
    ],
)
def test_the_decoder_is_a_python_loop(nnx_mode, generator, settings):
    """Controller, posterior, generator, factors, with dropout where the design puts it."""
    part, ic, now = decoder(generator, **settings), normal(2, 4), noise()
    given = {name: jnp.asarray(x) for name, x in streams().items()}
    result = compiled(part, static=(1,))(ic, N_BINS, noise=now, **given)
    scale = np.float32(1 / 0.6)

    def dropped(x, place, t):
        return jnp.where(now.keep[place][t], x * scale, 0.0)

    generator, controller = part.generator, part.controller
    state, inner = generator.initial_state(jnp.asarray(ic)), controller.initial_state(N_TRIALS)
    factors = part.factor_map(dropped(generator.readable(state), "readout", 0))
    if settings.get("initial_feedback") == "zeros":
        factors = jnp.zeros_like(factors)
    close(result.initial_state, generator.readable(state))
    for t in range(N_BINS):
        encoding = controller.project(dropped(given["encoding"], "encoding", slice(None)))[t]
        known = generator.project(dropped(given["known_inputs"], "known", slice(None)))[t]
        seen = None if settings.get("feedback") == "none" else dropped(factors, "feedback", t)
        inner = controller.step(inner, encoding, seen)
        params = part.input_posterior(inner)
        inputs = part.input_prior.sample(params, now.inputs[t])
        state = generator.step(state, known, inputs)
        factors = part.factor_map(dropped(generator.readable(state), "readout", 1 + t))
        close(result.controller_states[t], inner)
        close(result.input_params[t], params)
        close(result.inputs[t], inputs)
        close(result.generator_states[t], generator.readable(state))
        close(result.factors[t], factors)


def test_without_noise_the_decoder_passes_means_on_undropped():
    part, ic = decoder(), normal(2, 4)
    run = compiled(part, static=(1,))
    result = run(ic, N_BINS, **streams())
    same(result.inputs, result.input_params[..., :3])
    silent = dataclasses.replace(noise(places=()), inputs=jnp.zeros((4, 2, 3)))
    close(run(ic, N_BINS, noise=silent, **streams()).factors, result.factors)
    # With rate 0 the mask keeps all entries.
    kept = dataclasses.replace(noise(0.0), inputs=jnp.zeros((4, 2, 3)))
    assert all(np.all(np.asarray(mask)) for mask in kept.keep.values())
    close(run(ic, N_BINS, noise=kept, **streams()).factors, result.factors)


def test_dropout_leaves_the_carried_state_alone():
    run, ic = compiled(autonomous(), static=(1,)), normal(2, 4)
    plain = run(ic, N_BINS)
    nothing = Noise(jnp.zeros((2, 4)), None, {"readout": jnp.zeros((5, 2, 5), bool)}, 0.5)
    dropped = run(ic, N_BINS, noise=nothing)
    assert np.all(np.asarray(dropped.factors) == 0) and np.all(np.asarray(plain.factors) != 0)
    same(dropped.generator_states, plain.generator_states)
    same(dropped.initial_state, plain.initial_state)
    assert plain.inputs is None and plain.controller_states is None and plain.input_params is None


@pytest.mark.parametrize("generator", GENERATORS)
def test_given_inputs_drive_the_generator(generator):
    run, ic = compiled(decoder(generator), static=(1,)), normal(2, 4)
    sampled = noise(places=())
    inferred = run(ic, N_BINS, noise=sampled, **streams())
    given = run(ic, N_BINS, inputs=inferred.inputs, known_inputs=streams()["known_inputs"])
    close(given.generator_states, inferred.generator_states)
    close(given.factors, inferred.factors)
    same(given.inputs, inferred.inputs)
    assert given.controller_states is None and given.input_params is None
    other = run(ic, N_BINS, inputs=inferred.inputs.at[3].add(1.0), known_inputs=streams()["known_inputs"])
    same(other.generator_states[:3], given.generator_states[:3])
    assert np.all(np.asarray(other.generator_states[3:] != given.generator_states[3:]))


def test_known_inputs_act_from_their_bin_on():
    run, ic, given = compiled(decoder(), static=(1,)), normal(2, 4), streams()
    plain = run(ic, N_BINS, **given)
    # A copy: JAX may still be reading the array of the first run.
    given["known_inputs"] = given["known_inputs"] + np.eye(N_BINS)[2].astype(np.float32)[:, None, None]
    changed = run(ic, N_BINS, **given)
    same(changed.generator_states[:2], plain.generator_states[:2])
    assert np.all(np.asarray(changed.generator_states[2:] != plain.generator_states[2:]))


def test_factor_map_has_unit_columns():
    layer = made(lambda rngs: modules.UnitNormLinear(6, 4, rngs=rngs))
    columns = np.asarray(layer(jnp.eye(6)))
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, rtol=1e-6)
    same(layer(jnp.zeros((1, 6))), np.zeros((1, 4)))
    x = jnp.asarray(normal(3, 6))
    before = np.asarray(layer(x))
    layer.weight[...] = layer.weight[...] * jnp.array([0.1, 1.0, 7.0, 100.0])
    close(layer(x), before)


def test_linear_is_affine():
    layer = made(lambda rngs: modules.Linear(3, 2, rngs=rngs))
    x = jnp.asarray(normal(5, 4, 3))
    close(layer(x), x @ np.asarray(layer.weight[...]) + np.asarray(layer.bias[...]))


def silu(x):
    return x * sigmoid(x)


def flow_in_numpy(w, g, drive):
    hidden = silu(g @ w["w_state"] + drive)
    for layer in range(2):
        hidden = silu(hidden @ w["w_inner"][layer] + w["b_inner"][layer])
    return hidden @ w["w_out"] + w["b_out"]


def two_substeps_in_numpy(w, g, drive):
    for _ in range(2):
        g = np.clip(g + 0.05 * flow_in_numpy(w, g, drive), -0.6, 0.6)
    return g


EQUATIONS = {
    "linear": lambda w, g, drive: g @ w["recurrent"] + drive,
    "rnn": lambda w, g, drive: np.tanh(g @ w["recurrent"] + drive),
    "low_rank": lambda w, g, drive: 0.7 * g + np.tanh(g) @ w["selection"] @ w["output"] + drive,
    "neural_ode": two_substeps_in_numpy,
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_generators_step_is_its_equation(name):
    generator = made(BUILT_IN[name])
    generator.clip = 0.6
    w = {"/".join(map(str, path)): np.asarray(x[...]) for path, x in nnx.to_flat_state(nnx.state(generator))}
    state, known, inferred = normal(7, 5), normal(7, 2, seed=1), normal(7, 3, seed=2)
    expected = EQUATIONS[name](w, state, known @ w["w_known"] + inferred @ w["w_inferred"] + w["bias"])
    projected = generator.project(jnp.asarray(known)[None])[0]
    found = generator.step(jnp.asarray(state), projected, jnp.asarray(inferred))
    close(found, np.clip(expected, -0.6, 0.6), 1e-5)
    assert np.abs(expected).min() < 0.6 <= np.abs(expected).max()  # some are clipped


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_generator_has_derivatives_in_both_directions(name):
    """The slope along a direction is the gradient times it, after three steps with both kinds of inputs."""
    graphdef, params = nnx.split(with_adjoint(made(BUILT_IN[name]), "autodiff"))
    ic, known, inferred = (jnp.asarray(x) for x in (normal(2, 4), normal(3, 2, 2), normal(3, 2, 3)))

    def total(params):
        generator = nnx.merge(graphdef, params)
        state, projected = generator.initial_state(ic), generator.project(known)
        for t in range(3):
            state = generator.step(state, projected[t], inferred[t])
        return jnp.sum(jnp.sin(state))

    direction = jax.tree.map(lambda x: jnp.asarray(normal(*x.shape)), params)
    slope = jax.jit(lambda p, d: jax.jvp(total, (p,), (d,))[1])(params, direction)
    gradient = jax.jit(jax.grad(total))(params)
    expected = sum(jax.tree.leaves(jax.tree.map(lambda x, d: jnp.sum(x * d), gradient, direction)))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


@pytest.mark.parametrize("n", [3, 60])
@pytest.mark.parametrize("name", EQUATIONS)
def test_a_generator_starts_stable(name, n):
    """Without inputs, states of size 1 neither grow nor reach their bound, however many units there are."""
    kind = type(BUILT_IN[name](nnx.Rngs(0)))
    for seed in range(5):
        generator = kind(n, 0, 0, n, initial="identity", rngs=nnx.Rngs(seed))
        run = jax.jit(lambda g: jax.lax.fori_loop(0, 200, lambda _, g: generator.step(g, None, None), g))  # noqa: B023
        size = np.sqrt(np.mean(np.square(run(jnp.asarray(normal(50, n, seed=seed))))))
        assert size < 2 if name == "neural_ode" else size < 0.1


# Read-in and read-out

SESSIONS = (("monday", 4), ("tuesday", 2), ("friday", 5))
SESSION = np.array([2, 0, 1, 1, 0])


@pytest.mark.both_modes
def test_read_in_is_the_sessions_own_map(nnx_mode):
    readin = made(lambda rngs: modules.LinearReadin(SESSIONS, 3, rngs=rngs))
    run, x = compiled(readin), normal(5, 6, 5)
    features = run(x, SESSION)
    junk = x.copy()
    for trial, session in enumerate(SESSION):
        name, n = SESSIONS[session]
        own = x[trial, :, :n] @ np.asarray(readin.weight[name][...]) + np.asarray(readin.bias[name][...])
        close(features[trial], own)
        junk[trial, :, n:] = 1e6
    same(run(junk, SESSION), features)
    assert {name: w.shape for name, w in readin.weight.items()} == {n: (k, 3) for n, k in SESSIONS}


@pytest.mark.both_modes
def test_read_out_is_the_sessions_own_map(nnx_mode):
    readout = made(lambda rngs: modules.LinearReadout(3, SESSIONS, n_params=2, rngs=rngs))
    factors = normal(5, 6, 3)
    params = compiled(readout)(factors, SESSION)
    assert params.shape == (5, 6, 5, 2)
    for trial, session in enumerate(SESSION):
        name, n = SESSIONS[session]
        weight, bias = (np.asarray(x[name][...]) for x in (readout.weight, readout.bias))
        for param in range(2):
            close(params[trial, :, :n, param], factors[trial] @ weight[..., param] + bias[:, param])


def test_one_session_needs_no_gathering():
    several = made(lambda rngs: modules.LinearReadin(SESSIONS, 3, rngs=rngs))
    single = made(lambda rngs: modules.LinearReadin(SESSIONS[2:], 3, rngs=rngs))
    for kind in ("weight", "bias"):
        getattr(single, kind)["friday"][...] = getattr(several, kind)["friday"][...]
    x = normal(4, 6, 5)
    close(compiled(single)(x, np.zeros(4, int)), compiled(several)(x, np.full(4, 2)))

    several = made(lambda rngs: modules.LinearReadout(3, SESSIONS, rngs=rngs))
    single = made(lambda rngs: modules.LinearReadout(3, SESSIONS[2:], rngs=rngs))
    for kind in ("weight", "bias"):
        getattr(single, kind)["friday"][...] = getattr(several, kind)["friday"][...]
    factors = normal(4, 6, 3)
    close(compiled(single)(factors, np.zeros(4, int)), compiled(several)(factors, np.full(4, 2)))


def test_the_start_of_one_sessions_read_out_is_set_alone():
    readout = made(lambda rngs: modules.LinearReadout(3, SESSIONS, n_params=2, rngs=rngs))
    before = making.flat(nnx.state(readout))
    readout.set_bias(1, jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    after = making.flat(nnx.state(readout))
    same(after.pop("bias/tuesday"), [[1.0, 2.0], [3.0, 4.0]])
    for path, value in after.items():
        same(value, before[path])


def test_identity_read_in_passes_on():
    x = jnp.asarray(normal(2, 3, 4))
    same(modules.IdentityReadin((("a", 4),))(x, jnp.zeros(2, int)), x)


# Dropout


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.93])
def test_masks_keep_the_share_that_is_asked_for(rate):
    (keys,) = trial_keys(jax.random.key(1), jnp.arange(20))
    keep = np.asarray(jax.jit(keep_masks, static_argnums=(2, 3))(keys, rate, 60, 101)[0])
    assert keep.shape == (60, 20, 101)
    n = keep.size
    assert abs(keep.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / n) + (2**-17 if rate else 0)
    if rate:
        # Entries are hashes of two words of a row; bins, trials and units are independent all the same.
        spread = keep - keep.mean()
        for axis in range(3):
            for lag in (1, 2, 7):
                first, second = (np.take(spread, np.arange(*ends), axis) for ends in _lagged(spread.shape[axis], lag))
                assert abs(np.mean(first * second)) < 5 * keep.var() / np.sqrt(first.size)


def _lagged(n, lag):
    return (0, n - lag), (lag, n)


def _shares(seed, n_rows, n_columns):
    rows = derive(jax.random.key(seed), jnp.arange(n_rows)[:, None])
    return np.asarray(jax.jit(shares)(rows, jnp.arange(n_columns)))


def test_shares_are_uniform():
    drawn = _shares(0, 1_000, 101)
    assert drawn.max() > 65500 and drawn.min() < 35
    for bits in (drawn >> 12, drawn & 15):
        counts = np.bincount(bits.ravel(), minlength=16)
        assert len(counts) == 16
        expected = drawn.size / 16
        assert np.sum((counts - expected) ** 2 / expected) < 45  # chi squared of 15 degrees: p < 1e-4
    assert [int(share(rate)) for rate in (0.0, 0.25, 1.0)] == [0, 16384, 65536]


def test_shares_of_all_pairs_of_columns_and_of_rows_are_uncorrelated():
    drawn = _shares(1, 3_000, 64) / 65536.0 - 0.5
    for table in (drawn, drawn[:64].T, _shares(2, 64, 3_000).T / 65536.0 - 0.5):
        r = np.corrcoef(table, rowvar=False)[np.triu_indices(table.shape[1], 1)]
        assert abs(r.std() * np.sqrt(len(table)) - 1) < 0.1
        assert np.abs(r).max() * np.sqrt(len(table)) < 5


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_dropout_is_unbiased(rate):
    x, n = jnp.array([1.0, -2.0, 0.5]), 40_000
    (keys,) = trial_keys(jax.random.key(0), jnp.arange(4))
    run = jax.jit(lambda rate: drop(jnp.broadcast_to(x, (n // 4, 4, 3)), keep_masks(keys, rate, n // 4, 3)[0], rate))
    dropped = np.asarray(run(rate)).reshape(n, 3)
    for unit in range(3):
        close(np.unique(dropped[:, unit]), np.sort([0.0, float(x[unit]) / (1 - rate)]))
    error = np.abs(np.asarray(x)) * np.sqrt(rate / (1 - rate) / n)
    assert np.all(np.abs(dropped.mean(0) - np.asarray(x)) < 5 * error)


def test_without_mask_nothing_is_dropped():
    x = jnp.ones(3)
    assert drop(x, None, 0.5) is x and drop(None, jnp.ones(3, bool), 0.5) is None


@pytest.mark.parametrize("rate", [0.5, 0, jnp.array(0.5)])
def test_dropout_takes_any_number_as_rate(rate):
    same(drop(jnp.ones(2), jnp.array([True, False]), rate), [1 / (1 - rate), 0.0])


def test_a_mask_of_fewer_bins_is_the_beginning_of_that_of_more():
    (keys,) = trial_keys(jax.random.key(0), jnp.array([5, 3]))
    shorter, longer, wider = (keep_masks(keys, 0.5, *size)[0] for size in ((5, 3), (8, 3), (5, 4)))
    assert longer.shape == (8, 2, 3)
    same(longer[:5], shorter)
    same(wider[:, :, :3], shorter)
    assert np.any(np.asarray(shorter[:, 0] != shorter[:, 1]))


def test_the_key_of_a_trial_is_a_function_of_its_id():
    keys = jax.random.key_data(trial_keys(jax.random.key(0), jnp.array([5, 3, 5]), 2))
    assert keys.shape[:2] == (2, 3)
    same(keys[:, 0], keys[:, 2])
    assert len(np.unique(np.asarray(keys[:, :2]).reshape(4, -1), axis=0)) == 4  # of other trials or purposes
    same(jax.random.key_data(trial_keys(jax.random.key(0), jnp.array([3]), 2))[:, 0], keys[:, 1])


def test_further_columns_of_the_first_row_are_drawn_besides():
    (keys,) = trial_keys(jax.random.key(0), jnp.arange(50))
    mask, first = keep_masks(keys, 0.5, 4, 30, 30)
    same(mask, keep_masks(keys, 0.5, 4, 30)[0])
    assert first.shape == (50, 30) and abs(np.mean(np.asarray(first == mask[0])) - 0.5) < 0.07


# Coordinated dropout


@pytest.fixture(scope="module")
def batch():
    """Five copies of two ragged sessions, so that shares can be counted, of counts of at least 1."""
    import lfadsx

    data = making.several_sessions()
    batch = lfadsx.data.batch(data)
    many = making.rows(batch, np.tile(np.arange(batch.n_trials), 100))
    counts = many.encoder_input + jnp.uint8(1)
    return dataclasses.replace(many, encoder_input=counts, encoder_observed=None, trial_id=jnp.arange(many.n_trials))


def augment(batch, key=0, **changes):
    run = jax.jit(lambda batch, hyper, key: modules.CoordinatedDropout()(batch, hyper, key))
    changed, weights, opened = run(batch, making.hyper(**changes), jax.random.key(key))
    assert weights == {}
    data = jnp.where(changed.encoder_observed, changed.encoder_input, 0) * changed.encoder_gain
    return np.asarray(data), np.asarray(opened["spikes"])


def encoder_entries(batch):
    """True for entries within a trial's encoder window and of its own channels."""
    own = np.asarray(batch.target_index >= 0)[:, None] & np.asarray(batch.in_encoder())[:, :, None]
    assert 0.5 < own.mean() < 0.9
    return own


def at_encoder(mask, batch):
    """A mask over targets, looked up at the encoder's entries by a plain loop; False for entries without a target."""
    found = np.zeros(batch.encoder_input.shape, bool)
    for trial, row in enumerate(np.asarray(batch.target_index)):
        for channel, target in enumerate(row):
            if target >= 0:
                found[trial, :, channel] = mask[trial, : found.shape[1], target]
    return found


def test_coordinated_dropout_hides_a_share_and_scales_the_rest(batch):
    data, _ = augment(batch, cd_rate=0.4)
    hidden = data == 0
    assert abs(hidden.mean() - 0.4) < 5 * np.sqrt(0.24 / hidden.size)
    for axis in ((0, 1), (0, 2), (1, 2)):
        shares, n = hidden.mean(axis), hidden.size / np.prod([hidden.shape[i] for i in {0, 1, 2} - set(axis)])
        assert np.all(np.abs(shares - 0.4) < 6 * np.sqrt(0.24 / n))
    close(data[~hidden], np.asarray(batch.encoder_input)[~hidden] / 0.6)


def test_coordinated_dropout_leaves_missing_entries_missing(batch):
    observed = jnp.arange(batch.encoder_input.size).reshape(batch.encoder_input.shape) % 3 != 0
    raised = dataclasses.replace(batch, encoder_observed=observed, encoder_gain=jnp.array(2.0))
    data, _ = augment(raised, cd_rate=0.4)
    same(data, jnp.where(observed, 2.0 * augment(batch, cd_rate=0.4)[0], 0))


def test_coordinated_dropout_opens_what_it_hides(batch):
    data, opened = augment(batch, cd_rate=0.4, cd_pass_rate=0.0)
    exists = encoder_entries(batch)
    same(at_encoder(opened, batch)[exists], (data == 0)[exists])
    # Neurons without encoder channel stay open, and so do bins that the encoder does not see, trial by trial.
    for trial in range(batch.n_trials):
        held_out = np.setdiff1d(np.arange(opened.shape[2]), batch.target_index[trial])
        assert len(held_out) >= 2 and np.all(opened[trial][:, held_out])
        assert np.all(opened[trial, int(batch.encoder_length[trial]) :])


def test_coordinated_dropout_passes_a_share_of_what_it_keeps(batch):
    exists = encoder_entries(batch)
    closed_before = None
    for rate in (0.0, 0.3, 1.0):
        data, opened = augment(batch, cd_rate=0.4, cd_pass_rate=rate)
        opened = at_encoder(opened, batch)[exists]
        hidden, kept = (data == 0)[exists], (data != 0)[exists]
        assert np.all(opened[hidden])
        share = opened[kept].mean()
        assert abs(share - rate) <= 5 * np.sqrt(rate * (1 - rate) / kept.sum()) + (2**-15 if 0 < rate < 1 else 0)
        # Hidden entries do not depend on the pass rate.
        if closed_before is not None:
            same(hidden, closed_before)
        closed_before = hidden


def test_coordinated_dropout_at_rate_0_is_off(batch):
    for rate in (0.0, 0.3):
        data, opened = augment(batch, cd_rate=0.0, cd_pass_rate=rate)
        same(data, batch.encoder_input)
        assert np.all(opened)


def test_coordinated_dropout_blocks_exactly_the_kept_entries():
    """Through the loss: gradients of kept entries are 0, those of all others and the value are as without."""
    import lfadsx

    data = making.several_sessions()
    model, batch = making.build(data), lfadsx.data.batch(data)
    output = making.forward(model)(batch)
    _, opened = augment(batch, cd_rate=0.5, cd_pass_rate=0.0)

    @jax.jit
    @jax.value_and_grad
    def likelihood(params, opened):
        changed = dataclasses.replace(output, params=params)
        return reconstruction(model, batch, changed, "sum", None, opened).sum()

    value, gradient = likelihood(output.params, None)
    value_cd, gradient_cd = likelihood(output.params, {"spikes": jnp.asarray(opened)})
    assert value_cd == value
    gradient, gradient_cd = (np.asarray(g["spikes"])[..., 0] for g in (gradient, gradient_cd))
    assert np.all(gradient_cd[~opened] == 0) and np.any(gradient[~opened] != 0)
    same(gradient_cd[opened], gradient[opened])
    scored = np.asarray(batch.scored("spikes"))
    assert np.all(gradient_cd[opened & scored] != 0) and np.all(gradient_cd[~scored] == 0)


def test_masks_do_not_depend_on_company_order_or_padding(batch):
    small = making.rows(batch, range(4))
    data, opened = augment(small)
    long = making.lengthen(small, 3)
    # Wider: two more encoder channels that no session has, in front of which nothing changes.
    wide = dataclasses.replace(
        long,
        encoder_input=jnp.pad(long.encoder_input, ((0, 0), (0, 0), (0, 2)), constant_values=7),
        target_index=jnp.pad(long.target_index, ((0, 0), (0, 2)), constant_values=-1),
    )
    n_bins, n_channels = data.shape[1:]
    wide_data, wide_opened = augment(wide)
    same(wide_data[:, :n_bins, :n_channels], data)
    same(wide_opened[:, :n_bins], opened[:, :n_bins])
    turned_data, turned_opened = augment(making.rows(wide, [2, 0]))
    same(turned_data, wide_data[[2, 0]])
    same(turned_opened, wide_opened[[2, 0]])
    other_data, _ = augment(small, key=1)
    assert np.any((other_data == 0) != (data == 0))


def test_target_index_routes_masks():
    mask = np.random.default_rng(0).random((3, 4, 3)) > 0.5
    index = np.array([[0, 1, 2], [4, -1, 0], [-1, -1, 3]])
    routed = np.asarray(to_targets(jnp.asarray(mask), jnp.asarray(index), (3, 6, 5)))
    expected = np.zeros((3, 6, 5), bool)
    for trial in range(3):
        for channel, target in enumerate(index[trial]):
            if target >= 0:
                expected[trial, :4, target] = mask[trial, :, channel]
    same(routed, expected)


class Half(modules.AbstractAugmentation):
    """A user's augmentation: weights of one half, random gradient masks, marked data."""

    def __call__(self, batch, hyper, key):
        shape = batch.targets["spikes"].shape
        batch = dataclasses.replace(batch, encoder_input=batch.encoder_input + 1)
        opened = jax.random.bernoulli(key, 0.5, shape)
        return batch, {"spikes": jnp.full(shape, 0.5)}, {"spikes": opened}


def test_augmentations_act_in_turn(batch):
    small, hyper = making.rows(batch, range(4)), making.hyper(cd_rate=0.0)
    keys = list(jax.random.split(jax.random.key(0), 3))
    changed, weights, opened = combine([Half(), Half(), modules.CoordinatedDropout()], small, hyper, keys)
    same(changed.encoder_input, small.encoder_input + 2)
    assert np.all(np.asarray(weights["spikes"]) == 0.25)
    shape = opened["spikes"].shape
    first, second = (jax.random.bernoulli(key, 0.5, shape) for key in keys[:2])
    same(opened["spikes"], first & second)
    assert np.any(np.asarray(first != second))
    unchanged, weights, opened = combine([], small, hyper, [])
    assert unchanged is small and weights == {} and opened == {}


# Seams and names


def every_part(rngs):
    """One of each built-in part, every setting away from its default."""
    settings = dict(clip=3.0, keep_bias=0.5, reset_bias=0.25)
    encoder = modules.BidirectionalGRU(4, 3, lag=1, weight_scale=2.0, segment_bins=4, **settings, rngs=rngs)
    causal = modules.CausalGRU(4, 3, lag=2, weight_scale=2.0, segment_bins=4, **settings, rngs=rngs)
    scales = dict(input_scale=0.5, recurrent_scale=2.0)
    generator = modules.GRUGenerator(5, 2, 2, 5, initial="identity", **settings, **scales, rngs=rngs)
    plain: dict[str, Any] = dict(initial="identity", clip=3.0, **scales, rngs=rngs)
    generators = (
        modules.LinearGenerator(5, 2, 2, 5, **plain),
        modules.RNNGenerator(5, 2, 2, 5, **plain),
        modules.LowRankGenerator(5, 2, 2, 5, rank=2, leak=0.3, **plain),
        modules.NeuralODEGenerator(5, 2, 2, 5, width=6, depth=3, substeps=2, step_size=0.2, **plain),
    )
    controller = modules.GRUController(3, 4, 4, weight_scale=2.0, **settings, rngs=rngs)
    fixed = dict(train_tau=False, train_variance=False, train_mean=True)
    ar1, smooth = (
        prior(2, tau=5.0, variance=0.2, mean=0.1, **fixed, post_var_min=0.0)
        for prior in (distributions.AutoregressivePrior, distributions.SmoothPrior)
    )
    mixture = distributions.MixturePrior(5, components=3, variance=0.2, spread=2.0, post_var_min=0.0, rngs=rngs)
    gaussian = distributions.GaussianPrior(
        5,
        mean=0.1,
        variance=0.2,
        train_mean=False,
        train_variance=True,
        variance_bounds=(0.1, 0.5),
        post_var_min=0.0,
        prior_var_min=0.1,
    )
    student_t = distributions.StudentTPrior(
        2,
        df=3.0,
        scale=0.2,
        mean=0.1,
        train_df=False,
        train_scale=False,
        train_mean=True,
        post_var_min=0.0,
    )
    decoder = modules.Decoder(
        generator,
        3,
        controller=controller,
        input_prior=ar1,
        feedback="rates",
        initial_feedback="zeros",
        n_rates=4,
        segment_bins=4,
        rngs=rngs,
    )
    readin = modules.LinearReadin((("a", 3), ("b", 2)), 4, rngs=rngs)
    settings = dict(n_params=2, n_constant=1, scale=0.3, units=True)
    readout = modules.LinearReadout(3, (("a", 4), ("b", 2)), **settings, rngs=rngs)
    standardiser = modules.Standardiser((("a", 3), ("b", 2)))
    other = modules.LinearReadout(3, (("a", 1), ("b", 2)), rngs=rngs)
    likelihood = distributions.Gaussian(variance_min=0.5)
    seen = modules.SeenGroup(modules.LinearReadin((("a", 1), ("b", 2)), 2, rngs=rngs), nnx.clone(standardiser))
    model = PARTS["LFADS"](
        *(nnx.clone(part) for part in (readin, encoder, gaussian, decoder)),  # whose derivative the model changes
        {"emg": nnx.clone(readout), "lfp": other},
        {"emg": likelihood, "lfp": distributions.Poisson()},
        standardiser=standardiser,
        seen_groups={"lfp": nnx.clone(seen)},
        input_encoder=nnx.clone(causal),
        bias_prior=nnx.clone(gaussian),
        known_inputs_to="generator",
        ic_window=2,
        controller_sees_ic_window=False,
        input_group="emg",
        adjoint="autodiff",
        rngs=rngs,
    )
    parts = (
        encoder,
        causal,
        generator,
        *generators,
        controller,
        ar1,
        smooth,
        gaussian,
        mixture,
        student_t,
        decoder,
        readin,
        readout,
        modules.SelectiveReadout(nnx.clone(readout), 5, (1, 4), delay=1),
        likelihood,
        model,
    )
    parts += (modules.IdentityReadin((("a", 4),)), standardiser, distributions.Poisson())
    parts += (modules.NoEncoder(), distributions.PointPrior(3))
    parts += (distributions.Bernoulli(), distributions.SquaredError(0.3), distributions.ZeroInflatedGamma(0.2, False))
    parts += (seen, distributions.GaussianByChannel(0.5), distributions.SquaredErrorByChannel(0.5))
    scattered = ("NegativeBinomial", "ZeroInflatedPoisson", "LogNormal", "Gamma")
    parts += tuple(getattr(distributions, name)(constant=False) for name in scattered)
    return {type(part).__name__: part for part in parts}


@pytest.fixture(scope="module")
def parts():
    return every_part(nnx.Rngs(0))


def constructor(part):
    names = inspect.signature(type(part).__init__).parameters
    return {name: p for name, p in names.items() if name not in ("self", "rngs")}


@pytest.mark.parametrize("name", sorted(set(PARTS) - {"LFADS", "Decoder", "Standardiser", "SeenGroup"}))
def test_every_part_does_what_its_seam_promises(parts, name):
    check(parts[name], **({"n_in": 3} if name == "NoEncoder" else {}))


AUGMENTATIONS = (
    *(modules.CoordinatedDropout(), modules.SampleValidation(), modules.NeuronDropout()),
    *(modules.SpikeJitter(2), modules.TemporalShift(), modules.AmplitudeNoise()),
)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=type)
def test_every_augmentation_does_what_its_seam_promises(augmentation):
    check(augmentation)


@pytest.mark.parametrize("name", PARTS)
def test_every_argument_is_tested_away_from_its_default(parts, name):
    """So that the round trips cannot pass by chance."""
    for argument, parameter in constructor(parts[name]).items():
        if parameter.default is not inspect.Parameter.empty:
            assert getattr(parts[name], argument) != parameter.default, argument


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_built_again_from_its_description(parts, name):
    part = parts[name]
    description = json.loads(json.dumps(describe(part)))
    again = rebuild(description, rngs=nnx.Rngs(1))
    assert type(again) is type(part) and type(part).__name__ == name
    assert json.loads(json.dumps(describe(again))) == description
    assert jax.tree.structure(nnx.state(again)) == jax.tree.structure(nnx.state(part))
    shapes = [[x.shape for x in jax.tree.leaves(nnx.state(p))] for p in (again, part)]
    assert shapes[0] == shapes[1]
    # The same graph: the values of one can be put into the structure of the other.
    assert nnx.graphdef(again) == nnx.graphdef(part)


def test_an_endless_bound_survives_json():
    gru = modules.CausalGRU(2, 3, clip=float("inf"), rngs=nnx.Rngs(0))
    again = rebuild(json.loads(json.dumps(describe(gru))), rngs=nnx.Rngs(0))
    assert again.clip == again.forward.clip == float("inf")


def test_a_part_of_ones_own_is_described_and_not_rebuilt():
    own = Counter(4, 3, 5, rngs=nnx.Rngs(0))
    description = describe(own)
    assert description == {"part": "Counter", "arguments": {"n_ic": 4, "n_live": 3, "n_state": 5}}
    with pytest.raises(ValueError, match=r"'Counter' is missing\. Use load\(run, parts=\[Counter\]\)"):
        rebuild(description, rngs=nnx.Rngs(0))


ABSTRACT = [
    modules.AbstractAugmentation,
    modules.AbstractController,
    modules.AbstractEncoder,
    modules.AbstractGenerator,
    modules.AbstractReadin,
    modules.AbstractReadout,
]


@pytest.mark.parametrize("abstract", ABSTRACT)
def test_an_unfinished_part_cannot_be_made(abstract):
    unfinished = type("Unfinished", (abstract,), {})
    with pytest.raises(TypeError, match="Unfinished.*abstract"):
        unfinished()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda rngs: modules.GRUGenerator(3, 0, 0, 4, initial="identity", rngs=rngs),
            "`n_ic` must equal `n_units`, got 3 and 4. Make them equal or use initial='linear'",
        ),
        (
            lambda rngs: modules.Decoder(
                modules.GRUGenerator(3, 0, 1, 4, rngs=rngs),
                2,
                controller=modules.GRUController(3, 2, 4, rngs=rngs),
                rngs=rngs,
            ),
            "must be given together, got only `controller`",
        ),
        (
            lambda rngs: modules.Decoder(
                modules.GRUGenerator(3, 0, 1, 4, rngs=rngs),
                2,
                input_prior=distributions.GaussianPrior(1),
                rngs=rngs,
            ),
            "must be given together, got only `input_prior`",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(nnx.Rngs(0))


@pytest.mark.both_modes
def test_every_part_splits_and_merges(nnx_mode):
    """Parts hold parameters, fixed arrays, parts and settings; nothing else."""
    for part in every_part(nnx.Rngs(0)).values():
        graphdef, state = nnx.split(part)
        assert hash(graphdef) == hash(nnx.graphdef(nnx.merge(graphdef, state)))
        kinds = {type(value) for _, value in nnx.to_flat_state(state)}
        assert kinds <= {nnx.Param, modules.Frozen}

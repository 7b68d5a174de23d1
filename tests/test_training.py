"""Training: the four guards of the seams, selection, stopping, resuming, and values that `fit` does not change."""

import dataclasses
import os
import signal
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import parallel
from lfadsx.config import Precision
from lfadsx.data.batching import Layout, epoch_order, even_batch, take
from lfadsx.errors import CheckpointError, RunError
from lfadsx.modules import AbstractGenerator, CoordinatedDropout, Linear
from lfadsx.objective import l2_penalty
from lfadsx.parallel import compiler_options, make_mesh, place_block, replicate
from lfadsx.parameters import scaled_normal
from lfadsx.training import AbstractCallback
from lfadsx.training.cohort import Cohort
from lfadsx.training.loop import Loop
from lfadsx.training.populations import _warn_of_ramps
from lfadsx.training.schedules import Monitor, Schedule, observe
from lfadsx.training.state import matches, start
from lfadsx.training.step import StepReport, block_runner, run_block, train_block

# One encoder for both purposes compiles faster than two.
SMALL = dict(factors=3, generator_dim=6, ic_dim=4, ic_encoder_dim=5, input_encoder_dim=0, controller_dim=5)
CONFIG = lfadsx.TrainConfig(
    epochs=6,
    batch_size=8,
    kl_ramp_epochs=2,
    l2_ramp_epochs=1,
    validate_every=1,
    steps_per_block=2,
    schedule="constant",
)
SCHEDULE = Schedule.of(CONFIG, 3)


class TanhGenerator(AbstractGenerator):
    """A generator as a user would write it: a vanilla RNN."""

    def __init__(self, n_ic, n_inputs, n_state, *, rngs):
        self.n_ic, self.n_inputs, self.n_state = n_ic, n_inputs, n_state
        self.start = Linear(n_ic, n_state, rngs=rngs)
        self.recurrent = nnx.Param(scaled_normal(rngs, (n_state, n_state), n_state))
        self.inputs = nnx.Param(scaled_normal(rngs, (n_inputs, n_state), n_inputs))

    def initial_state(self, initial_condition):
        return jnp.tanh(self.start(initial_condition))

    def step(self, state, projected_t, live_t):
        return jnp.tanh(state @ self.recurrent[...] + live_t @ self.inputs[...])


def ragged_sessions(seed=0):
    """Two sessions with different neurons, trials of different length, held-out neurons, forward bins."""
    rng = np.random.default_rng(seed)

    def session(name, n_trials, n_channels, held_out):
        lengths = rng.integers(8, 13, n_trials)
        trials = [rng.poisson(0.8, (length, n_channels)) for length in lengths]
        return lfadsx.data.from_arrays(
            trials, held_out=held_out, forward_bins=2, session=name, valid_fraction=0.25, seed=seed
        )

    return lfadsx.data.concatenate(session("day1", 16, 6, 1), session("day2", 13, 4, 1))


def build(data, generator="gru", **changes):
    rngs = nnx.Rngs(0)
    model = lfadsx.inferred_input(data, **SMALL | changes, inferred_inputs=2, rngs=rngs)
    if generator == "user":
        model.decoder.generator = TanhGenerator(4, 2, 6, rngs=rngs)
    return model


@pytest.fixture(scope="module")
def data():
    return ragged_sessions()


@pytest.fixture
def model(data):
    """The guards run with a user's generator beside our two encoders and controller."""
    return build(data, "user", input_encoder_dim=4)


def first_block(data, n_devices=1):
    layout = Layout.of(data.train.n_trials, CONFIG.batch_size, n_devices=n_devices, steps_per_block=2)
    rows = layout.arrange(epoch_order(0, 0, data.train.n_trials))[0]
    return take(data.sessions, data.train, rows)


def begin(model, data, config=CONFIG, mesh=None):
    return start(model, [CoordinatedDropout()], config, n_trials=data.train.n_trials, mesh=mesh)


def close(tree, other, rtol=1e-5):
    """Equal to a share of each array's largest entry."""

    def compare(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * max(np.abs(b).max(initial=0.0), 1e-3))

    jax.tree.map(compare, tree, other)


def test_members_of_one_block_equal_the_models_alone(model, data):
    """Guard 1: members with their own learning rate, weight decay and dropout in one compiled block."""
    program, state = begin(model, data)
    block = jax.device_put(first_block(data))
    hypers = [
        lfadsx.HyperParams(learning_rate=1e-2, weight_decay=0.1, dropout_rate=0.1, cd_rate=0.5, kl_ic_scale=0.1),
        lfadsx.HyperParams(learning_rate=1e-3, weight_decay=0.0, dropout_rate=0.5, cd_rate=0.0, l2_gen_scale=3.0),
    ]
    stacked = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *hypers)
    states = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(train_block, n=1)
    together = jax.jit(lambda s, h: jax.vmap(lambda s, h: traced(program, s, h, SCHEDULE, block))(s, h))
    after, figures = together(states, stacked)
    reports = StepReport.of(figures)
    for number, hyper in enumerate(hypers):
        alone, figures = jax.jit(train_block, static_argnums=0)(program, state, hyper, SCHEDULE, block)
        report = StepReport.of(figures)
        close(jax.tree.map(lambda x, n=number: x[n], after.params), alone.params, 1e-4)
        close(jax.tree.map(lambda x, n=number: x[n], reports.loss), report.loss)
    assert np.abs(np.asarray(reports.loss[0] - reports.loss[1])).max() > 1e-3


def test_two_devices_equal_one(model, data):
    """Guard 2: trials spread over two devices give the same block as on one."""
    mesh, hyper = make_mesh(2), lfadsx.HyperParams(l2_gen_scale=2.0)
    program, state = begin(model, data)
    one, report_one = run_block(program, state, hyper, SCHEDULE, place_block(first_block(data), None))
    program, state = begin(model, data, mesh=mesh)
    block = place_block(first_block(data, n_devices=2), mesh)
    assert len(block.encoder_input.sharding.device_set) == 2
    two, report_two = block_runner(mesh)(program, replicate(state, mesh), hyper, SCHEDULE, block)
    close(StepReport.of(report_two)._asdict(), StepReport.of(report_one)._asdict())
    close(two.params, one.params, 1e-4)


def test_devices_of_a_cpu_get_one_thread_each_where_the_compiler_can():
    assert compiler_options(None) == compiler_options(make_mesh(1)) == ()
    found = dict(compiler_options(make_mesh(2)))
    assert set(found) <= set(parallel.ONE_THREAD) and not any(found.values())
    jax.jit(lambda x: x + 1, compiler_options=found)(1)
    assert not parallel._is_known("xla_cpu_no_such_option")


@pytest.mark.slow
def test_fit_on_a_mesh_equals_fit_on_one_device_in_float64():
    with jax.enable_x64(True):
        data = ragged_sessions(1)
        models = [lfadsx.autonomous(data, **SMALL, rngs=nnx.Rngs(0)) for _ in range(3)]
        meshes = (None, make_mesh(2), make_mesh(2, members=2))
        one, *others = [lfadsx.fit(m, data, config=CONFIG, mesh=mesh) for m, mesh in zip(models, meshes, strict=True)]
    for other in others:
        close(nnx.state(other.last), nnx.state(one.last), 1e-9)


@pytest.mark.slow
def test_every_step_equals_its_trials_alone(model, data):
    """Guard 3: the report of a ragged batch of two sessions is the sum of the reports of its single trials."""
    program, state = begin(model, data)
    rows = np.array([0, 3, 14, 17, 20])
    hyper = lfadsx.HyperParams()

    def report(rows):
        block = take(data.sessions, data.train, np.array([rows]))
        return StepReport.of(jax.jit(train_block, static_argnums=0)(program, state, hyper, SCHEDULE, block)[1])

    batch, alone = report(rows), [report(np.array([row])) for row in rows]
    assert len(set(data.train.session[rows])) == 2 and len(set(data.train.target_length[rows])) > 1
    for name in ("reconstruction", "kl_ic", "kl_inputs"):
        np.testing.assert_allclose(getattr(batch, name), sum(getattr(r, name) for r in alone), rtol=1e-5)


def test_a_users_generator_trains_and_its_weights_move(data):
    """Guard 4: a generator written in 15 lines goes through all of the above, and learns."""
    model = build(data, "user")
    # The counts are noise, so the model can only overfit.
    hyper = lfadsx.HyperParams(learning_rate=3e-2, dropout_rate=0.0, cd_rate=0.0, kl_ic_scale=0.0, kl_co_scale=0.0)
    result = lfadsx.fit(model, data, config=dataclasses.replace(CONFIG, epochs=30), hyper=hyper)
    assert not np.allclose(result.last.decoder.generator.recurrent[...], model.decoder.generator.recurrent[...])
    assert result.history["reconstruction"][-1] < result.history["reconstruction"][0] - 1


@pytest.mark.slow
def test_blocks_of_any_size_train_and_validate_alike(data):
    """Blocks are loaded while others are computed; validation trials that make several are loaded each time."""
    config = dataclasses.replace(CONFIG, epochs=3, batch_size=4)
    small, large = (
        lfadsx.fit(build(data), data, config=dataclasses.replace(config, steps_per_block=n)) for n in (1, 100)
    )
    close(nnx.state(small.last), nnx.state(large.last), 1e-4)
    for name in ("loss", "score", "valid_loss", "valid_kl_ic"):
        np.testing.assert_allclose(small.history[name], large.history[name], rtol=1e-4)


@pytest.mark.slow
def test_every_trial_is_loaded_once_an_epoch_and_one_block_ahead(data, monkeypatch):
    events, original = [], Cohort._load

    def load(self, epoch, block):
        loaded = original(self, epoch, block)
        events.append(np.sort(loaded.trial_id[loaded.trial_weight > 0]).tolist())
        return loaded

    monkeypatch.setattr(Cohort, "_load", load)
    config = dataclasses.replace(CONFIG, epochs=2, steps_per_block=1)
    lfadsx.fit(build(data), data, config=config)
    n, blocks = data.train.n_trials, -(-data.train.n_trials // CONFIG.batch_size)
    assert len(events) == 2 * blocks  # none beyond the last epoch
    for epoch in (0, 1):
        assert sorted(sum(events[epoch * blocks : (epoch + 1) * blocks], [])) == list(range(n))


@pytest.mark.slow
@pytest.mark.parametrize("precision", get_args(Precision))
def test_all_products_of_a_step_have_the_precision_that_is_asked_for(data, precision):
    program, state = begin(build(data), data, dataclasses.replace(CONFIG, precision=precision))
    step = jax.make_jaxpr(train_block, static_argnums=0)
    program_of_step = step(program, state, lfadsx.HyperParams(), SCHEDULE, first_block(data))
    high, highest = (2 * (precision,) for precision in (jax.lax.Precision.HIGH, jax.lax.Precision.HIGHEST))
    expected = {"float32": highest, "tf32": high, "bfloat16": jax.lax.DotAlgorithmPreset.BF16_BF16_F32}
    assert set(_precisions(program_of_step)) == {expected[precision]}


def _precisions(program):
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if hasattr(inner, "eqns"):
                    yield from _precisions(inner)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="`precision` must be one of 'float32', 'tf32', 'bfloat16', got 'half'"):
        lfadsx.TrainConfig(precision="half")


def test_fit_leaves_the_callers_model_alone(data):
    model = build(data)
    before = jax.tree.map(np.array, nnx.state(model))
    result = lfadsx.fit(model, data, config=CONFIG)
    jax.tree.map(np.testing.assert_array_equal, before, nnx.state(model))
    assert model(lfadsx.data.batch(data, "valid")).factors.shape[-1] == 3
    assert not np.allclose(result.last.ic_posterior.weight[...], model.ic_posterior.weight[...])


def test_changing_hyperparameters_does_not_compile_again(data):
    program, state = begin(build(data), data)
    block = jax.device_put(first_block(data))
    state, _ = run_block(program, state, lfadsx.HyperParams(), SCHEDULE, block)
    compiled = run_block._cache_size()
    for rate in (1e-3, 1e-2):
        state, _ = run_block(program, state, lfadsx.HyperParams(learning_rate=rate, cd_rate=rate), SCHEDULE, block)
    assert run_block._cache_size() == compiled


def test_every_trial_once_per_epoch_for_any_batch_size():
    cases = (
        (10, 4, 1, 0),
        (10, 4, 3, 1),
        (7, 100, 2, 3),
        (1, 1, 1, 5),
        (130, 2, 1, 1),
        (61, 61, 1, 32),
        (50, 50, 3, 4),
    )
    for n_trials, batch_size, n_devices, at_once in cases:
        layout = Layout.of(n_trials, batch_size, n_devices=n_devices, at_once=at_once, steps_per_block=3)
        cells = layout.arrange(epoch_order(3, 5, n_trials))
        assert sorted(cells[cells >= 0]) == list(range(n_trials))
        assert cells.shape[2] % n_devices == 0
        sizes = (cells >= 0).sum(2)[cells[..., 0] >= 0]
        assert len(sizes) == -(-n_trials // batch_size) and sizes.max() - sizes.min() <= 1
        share = layout.rows // n_devices
        portions = parallel.n_portions(share, at_once)
        assert share % portions == 0 and share // portions <= (at_once or share)
        assert layout.rows - sizes.max() < n_devices * portions


def test_trials_weigh_the_same_beside_larger_data():
    """The loss of 64 trials is divided by the step of 33 trials of the larger data, and still is their mean."""
    small, large = (Layout.of(n, 64, others=(64, 65)) for n in (64, 65))
    assert (small.rows, small.steps, small.blocks) == (large.rows, large.steps, large.blocks)
    assert small.weight * 64 == large.weight * 33 == even_batch(65, 64)
    order = epoch_order(0, 0, 64)
    assert (small.arrange(order)[0, 0] == order).all() and (small.arrange(order)[0, 1] == -1).all()


def test_orders_differ_between_epochs_and_seeds_only():
    assert (epoch_order(0, 1, 50) == epoch_order(0, 1, 50)).all()
    assert (epoch_order(0, 1, 50) != epoch_order(0, 2, 50)).any()
    assert (epoch_order(0, 1, 50) != epoch_order(1, 1, 50)).any()


def test_a_short_last_batch_weighs_every_trial_the_same(data):
    """The step's loss is the sum over real trials divided by the nominal batch."""
    program, state = begin(build(data), data)
    rows = np.array([[0, 1, 2] + [-1] * 5])
    _, figures = jax.jit(train_block, static_argnums=0)(
        program, state, lfadsx.HyperParams(), SCHEDULE, take(data.sessions, data.train, rows)
    )
    report = StepReport.of(figures)
    assert float(report.n_trials[0]) == 3
    np.testing.assert_allclose(report.loss, report.reconstruction / CONFIG.batch_size, rtol=1e-6)  # ramps at 0


def test_an_empty_step_changes_nothing(data):
    program, state = begin(build(data), data)
    block = take(data.sessions, data.train, np.full((1, 8), -1))
    after, figures = jax.jit(train_block, static_argnums=0)(program, state, lfadsx.HyperParams(), SCHEDULE, block)
    jax.tree.map(np.testing.assert_array_equal, state.params, after.params)
    jax.tree.map(np.testing.assert_array_equal, state.optimizer, after.optimizer)
    assert int(after.step) == 0 and float(StepReport.of(figures).n_trials[0]) == 0


def test_the_penalty_on_all_parameters_acts_on_loss_and_gradient(data):
    config = dataclasses.replace(CONFIG, l2_ramp_epochs=0)
    model, schedule = build(data), Schedule.of(config, 3)
    block = place_block(first_block(data), None)
    reports = {}
    for scale in (0.0, 1e4):
        program, state = begin(model, data, config)
        hyper = lfadsx.HyperParams(l2_gen_scale=2.0, l2_scale=scale)
        penalty = l2_penalty(model, hyper)
        _, figures = run_block(program, state, hyper, schedule, block)
        reports[scale] = StepReport.of(figures)
        np.testing.assert_allclose(reports[scale].l2[0], penalty, rtol=1e-5)
    without, with_penalty = reports[0.0], reports[1e4]
    np.testing.assert_allclose(with_penalty.loss[0], without.loss[0] - without.l2[0] + with_penalty.l2[0], rtol=1e-6)
    # So large that the gradient is its own: 2 s theta.
    squares = sum(float(jnp.sum(weight**2)) for weight in jax.tree.leaves(nnx.state(model, nnx.Param)))
    np.testing.assert_allclose(with_penalty.grad_norm[0], 2e4 * np.sqrt(squares), rtol=1e-2)


@pytest.mark.slow
def test_weight_decay_is_decoupled_and_frozen_parameters_keep_still(data):
    config = dataclasses.replace(CONFIG, train=("*", "!readin/*"), epochs=1)
    model = build(data)
    result = lfadsx.fit(model, data, config=config, hyper=lfadsx.HyperParams(weight_decay=10.0))
    for name in ("day1", "day2"):
        np.testing.assert_array_equal(result.last.readin.weight[name][...], model.readin.weight[name][...])
    moved = result.last.readout["spikes"].weight["day1"][...]
    assert not np.allclose(moved, model.readout["spikes"].weight["day1"][...])


@pytest.mark.parametrize(
    "path, patterns, expected",
    [
        ("readin/weight/day1", ("*",), True),
        ("readin/weight/day1", ("*", "!readin/*"), False),
        ("readin/weight/day1", ("!readin/*",), False),
        ("readout/weight/day1", ("!readin/*",), True),
        ("readin/weight/day1", ("readin/*/day1",), True),
        ("readin/weight/day2", ("readin/*/day1",), False),
    ],
)
def test_patterns_over_parameter_paths(path, patterns, expected):
    assert matches(path, patterns) is expected


def test_nothing_to_train_is_an_error(data):
    with pytest.raises(ValueError, match=r"`train` must match at least one parameter, got \('encodr/\*',\). Give"):
        lfadsx.fit(build(data), data, config=dataclasses.replace(CONFIG, train=("encodr/*",)))


def observe_all(scores, config, after_ramps=True):
    monitor = Monitor.start(jnp.zeros(1))
    states = []
    for epoch, score in enumerate(scores, 1):
        params = jnp.full(1, float(epoch))
        monitor = observe(
            monitor,
            jnp.asarray(score),
            params,
            jnp.asarray(epoch),
            jnp.asarray(after_ramps),
            Schedule.of(config, 1),
        )
        states.append(monitor)
    return states


def test_the_monitor_keeps_the_best_and_counts_patience():
    config = dataclasses.replace(CONFIG, schedule="training_loss", validate_every=2)  # smooths nothing
    last = observe_all([5.0, 3.0, 4.0, float("nan"), 3.5], config)[-1]
    assert float(last.best_score) == 3.0 and int(last.best_epoch) == 2
    assert float(last.best_params[0]) == 2.0 and int(last.since_best) == 6


def test_the_monitor_waits_for_the_ramps():
    last = observe_all([5.0, 1.0], CONFIG, after_ramps=False)[-1]
    assert not np.isfinite(last.best_score) and int(last.best_epoch) == 0 and int(last.since_best) == 0


def test_the_score_is_smoothed():
    assert float(observe_all([10.0, 5.0], CONFIG)[-1].smoothed) == pytest.approx(0.3 * 10 + 0.7 * 5)


def test_the_plateau_rule_lowers_the_rate_after_its_patience(monkeypatch):
    monkeypatch.setattr("lfadsx.training.schedules.SCORE_SMOOTHING", 0.0)
    config = dataclasses.replace(CONFIG, schedule="plateau", plateau_patience=2, learning_rate_factor=0.5)
    scales = [float(m.rate_scale) for m in observe_all([1.0, 2, 2, 2, 2, 2, 2], config)]
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_weights_rise_from_their_floors_to_one(data):
    config = dataclasses.replace(
        CONFIG, epochs=6, kl_ramp_start=1, kl_ramp_epochs=4, l2_ramp_epochs=2, kl_floors=(0.2, 0.6)
    )
    history = lfadsx.fit(build(data), data, config=config).history
    steps = -(-data.train.n_trials // config.batch_size)
    # A history holds the weight at the last step of each epoch.
    epoch = np.arange(1, 7) - 1 / steps
    rise = np.clip((epoch - 1) / 4, 0, 1)
    np.testing.assert_allclose(history["kl_ic_weight"], 0.2 + 0.8 * rise, rtol=1e-5)
    np.testing.assert_allclose(history["kl_co_weight"], 0.6 + 0.4 * rise, rtol=1e-5)
    np.testing.assert_allclose(history["l2_weight"], np.clip(epoch / 2, 0, 1), rtol=1e-5)


@pytest.mark.parametrize("floors", [(1.5, 0.0), (0.0, 1.5)])
def test_a_floor_beyond_the_end_of_its_ramp_is_an_error(floors):
    with pytest.raises(ValueError, match=r"`kl_floors` must hold numbers from 0 to 1, got \("):
        lfadsx.TrainConfig(kl_floors=floors)


def test_early_stopping_and_best_model_wait_for_the_ramps(data):
    config = dataclasses.replace(CONFIG, epochs=30, kl_ramp_epochs=10, patience=2, seed=1)
    hyper = lfadsx.HyperParams(learning_rate=0.05)
    result = lfadsx.fit(build(data), data, config=config, hyper=hyper)
    assert result.reason == "patience" and len(result.history["loss"]) >= 12
    assert result.best_epoch >= 10
    np.testing.assert_array_equal(result.history["best_epoch"][:9], 0)


def test_without_an_epoch_after_the_ramps_the_last_model_is_returned(data):
    config = dataclasses.replace(CONFIG, epochs=1, kl_ramp_epochs=5)
    result = lfadsx.fit(build(data), data, config=config)
    assert result.best_epoch == 0
    close(nnx.state(result.model), nnx.state(result.last), 0.0)


def test_the_selection_score_ignores_held_out_neurons_and_forward_bins(data):
    held_out = {"day1": 5, "day2": 3}
    targets = data.valid.targets["spikes"].copy()
    for index, session in enumerate(data.sessions):
        targets[data.valid.session == index, :, held_out[session.name]] = 9
    for trial, length in enumerate(data.valid.encoder_length):
        targets[trial, length:] = 9
    changed = dataclasses.replace(data, valid=dataclasses.replace(data.valid, targets={"spikes": targets}))
    scores = [lfadsx.fit(build(data), d, config=CONFIG).history for d in (data, changed)]
    np.testing.assert_array_equal(scores[0]["score"], scores[1]["score"])
    assert (scores[0]["valid_reconstruction"] < scores[1]["valid_reconstruction"]).all()


class StopAfter(AbstractCallback):
    """Sends this process a signal after an epoch, as Ctrl-C would."""

    def __init__(self, epoch, number=signal.SIGINT):
        self.epoch, self.number = epoch, number

    def on_epoch_end(self, progress):
        if progress.epoch == self.epoch:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_resumed_run_ends_bit_for_bit_where_the_uninterrupted_one_ends(data, tmp_path, number):
    whole = lfadsx.fit(build(data), data, config=CONFIG, out=tmp_path / "whole")
    first = lfadsx.fit(build(data), data, config=CONFIG, out=tmp_path / "parts", callbacks=[StopAfter(3, number)])
    assert first.reason == "interrupted" and first.signal == number and len(first.history["loss"]) == 3
    second = lfadsx.fit(build(data), data, config=CONFIG, out=tmp_path / "parts")
    assert second.reason == "epochs"
    for a, b in ((whole.last, second.last), (whole.model, second.model)):
        jax.tree.map(np.testing.assert_array_equal, nnx.state(a), nnx.state(b))
    for name in whole.history:
        if name != "seconds":
            np.testing.assert_array_equal(whole.history[name], second.history[name])


@pytest.mark.slow
def test_resuming_in_the_middle_of_an_epoch(data, tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, steps_per_block=1)
    whole = lfadsx.fit(build(data), data, config=config)
    blocks = []

    def train(self, original=Loop._train_block):
        blocks.append(self.position.block)
        if len(blocks) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_block", train)
        first = lfadsx.fit(build(data), data, config=config, out=tmp_path)
    assert first.reason == "interrupted"
    second = lfadsx.fit(build(data), data, config=config, out=tmp_path)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole.last), nnx.state(second.last))
    np.testing.assert_array_equal(whole.history["loss"], second.history["loss"])


def test_a_loaded_model_is_the_best_one(data, tmp_path):
    result = lfadsx.fit(build(data), data, config=CONFIG, out=tmp_path)
    for which, model in (("best", result.model), ("last", result.last)):
        loaded = lfadsx.load(tmp_path, which=which)
        jax.tree.map(np.testing.assert_array_equal, nnx.state(model), nnx.state(loaded))
        assert nnx.graphdef(loaded) == nnx.graphdef(model)
    assert len(list((tmp_path / "checkpoints").iterdir())) <= 2


def test_a_model_with_a_users_part_loads_with_its_builder(data, tmp_path):
    result = lfadsx.fit(build(data, "user"), data, config=CONFIG, out=tmp_path)
    with pytest.raises(ValueError, match="'TanhGenerator' is missing. Use load\\(run, parts="):
        lfadsx.load(tmp_path)
    loaded = lfadsx.load(tmp_path, build=lambda: build(data, "user"))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(result.model), nnx.state(loaded))
    with pytest.raises(CheckpointError, match="does not fit this model: .* Build the model"):
        lfadsx.load(tmp_path, build=lambda: build(data))


def test_a_damaged_checkpoint_is_noticed(data, tmp_path):
    lfadsx.fit(build(data), data, config=dataclasses.replace(CONFIG, epochs=1), out=tmp_path)
    largest = max((p for p in (tmp_path / "best").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    said = "is damaged: its SHA-256 .* Restore .* from a copy.* undamaged models: load with which=.last. or which=3"
    with pytest.raises(CheckpointError, match=said):
        lfadsx.load(tmp_path)


def test_a_folder_with_other_settings_is_refused(data, tmp_path):
    lfadsx.fit(build(data), data, config=dataclasses.replace(CONFIG, epochs=1), out=tmp_path)
    with pytest.raises(RunError, match=r"other settings: `batch_size` is 8 in that run and 4 in this one. Give"):
        lfadsx.fit(build(data), data, config=dataclasses.replace(CONFIG, epochs=1, batch_size=4), out=tmp_path)
    with pytest.raises(RunError, match=r"other settings: `.*n_features` is 3 in that run and 2 in this one"):
        model = lfadsx.inferred_input(data, **SMALL | {"factors": 2}, inferred_inputs=2, rngs=nnx.Rngs(0))
        lfadsx.fit(model, data, config=dataclasses.replace(CONFIG, epochs=1), out=tmp_path)


def test_an_output_folder_that_cannot_be_written(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written, because .*file is a file. Give another path"):
        lfadsx.fit(build(data), data, config=CONFIG, out=tmp_path / "file" / "run")


def test_a_loss_that_is_not_finite_never_reaches_the_parameters(data, caplog, tmp_path, monkeypatch):
    making.allow_skipped_steps(monkeypatch, 3)
    hyper = lfadsx.HyperParams(kl_ic_scale=1e39)  # infinite in float32
    config = dataclasses.replace(CONFIG, kl_ramp_epochs=0)
    model = build(data)
    result = lfadsx.fit(model, data, config=config, hyper=hyper, out=tmp_path)
    assert result.reason == "not finite" and result.skipped_steps > 3
    jax.tree.map(np.testing.assert_array_equal, nnx.state(model), nnx.state(result.last))
    assert "A step of epoch 1 was skipped because" in caplog.text


def test_settings_out_of_range_are_named(data):
    with pytest.raises(ValueError, match="`dropout_rate` must be from 0 to below 1, got 1.0"):
        lfadsx.fit(build(data), data, hyper=lfadsx.HyperParams(dropout_rate=1.0), config=CONFIG)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        lfadsx.TrainConfig(batch_size=0)
    with pytest.raises(ValueError, match="`factors` must be at least 1, got 0"):
        lfadsx.ModelConfig(factors=0)


def test_data_that_do_not_fit_the_model_are_refused_before_compiling(data):
    other = lfadsx.data.from_arrays(np.ones((8, 10, 5), int), seed=0)
    with pytest.raises(
        ValueError, match="read-in must have the channels of the data, .*, but has .*day1.*Build the model for these"
    ):
        lfadsx.fit(build(data), other, config=CONFIG)
    fractional = lfadsx.data.from_arrays(np.full((8, 10, 5), 0.5), seed=0)
    with pytest.raises(ValueError, match="must be counts for .*, got 0.5 at trial 0, bin 0, channel 0"):
        lfadsx.fit(lfadsx.autonomous(other, **SMALL, rngs=nnx.Rngs(0)), fractional, config=CONFIG)


def test_the_loss_of_an_epoch_with_a_short_batch_is_the_mean_over_its_trials(data):
    """Without weights and penalties it is the reconstruction, however the trials fall into batches."""
    hyper = lfadsx.HyperParams(kl_ic_scale=0.0, kl_co_scale=0.0)
    size = data.train.n_trials - 1
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=size)
    history = lfadsx.fit(build(data), data, hyper=hyper, config=config).history
    np.testing.assert_allclose(history["loss"], history["reconstruction"], rtol=1e-5)


def test_another_number_of_known_inputs_is_named(data):
    known = making.one_session(known=2)
    model = making.build(known, variant="external_input")
    with pytest.raises(ValueError, match="must have 2 known inputs for the model's generator, got 3"):
        lfadsx.fit(model, making.one_session(known=3))
    seen = making.build(known, variant="external_input", known_inputs_to="encoders")
    with pytest.raises(ValueError, match="must have 2 known inputs for the model's encoders, got 3"):
        lfadsx.infer(seen, making.one_session(known=3), "valid", n_samples=0)


@pytest.mark.slow
def test_a_batch_larger_than_the_data_works(data):
    result = lfadsx.fit(build(data), data, config=dataclasses.replace(CONFIG, batch_size=10_000, epochs=2))
    assert result.reason == "epochs" and np.isfinite(result.history["loss"]).all()


def test_a_part_of_another_width_is_named_before_compiling(data):
    model = build(data)
    model.decoder.generator = TanhGenerator(4, 2, 7, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="must have n_in = 7, which is the state of the TanhGenerator, but has 6"):
        lfadsx.fit(model, data, config=CONFIG)


class Forgetful(TanhGenerator):
    """A part without one of its constructor's arguments, and a part with a value that JSON cannot hold."""

    def __init__(self, n_ic, n_inputs, n_state, gain, *, keep=False, rngs):
        super().__init__(n_ic, n_inputs, n_state, rngs=rngs)
        self.keep = keep
        if keep:
            self.gain = nnx.Param(jnp.asarray(gain))


def test_parts_that_cannot_be_described_say_why(data, tmp_path):
    model = build(data)
    model.decoder.generator = Forgetful(4, 2, 6, 1.0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="Forgetful must keep its constructor argument 'gain'"):
        lfadsx.fit(model, data, config=CONFIG, out=tmp_path)
    model.decoder.generator = Forgetful(4, 2, 6, 1.0, keep=True, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="Forgetful.gain of a part must be a number, .*, got a Param"):
        lfadsx.fit(model, data, config=CONFIG, out=tmp_path)


# More epochs on a finished run


@pytest.mark.parametrize("rule", making.each(["constant", "plateau", "training_loss", "exponential"], "plateau"))
def test_more_epochs_continue_as_one_long_run(rule, tmp_path):
    data = making.one_session(12)
    settings = dict(schedule=rule, batch_size=4, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=2, progress=False)
    settings |= dict(plateau_patience=1, learning_rate=1e-2)
    model = lfadsx.inferred_input(data, seed=0, **making.SIZES)
    lfadsx.fit(model, data, epochs=4, out=tmp_path / "run", **settings)
    more = lfadsx.fit(model, data, epochs=8, out=tmp_path / "run", **settings)
    whole = lfadsx.fit(model, data, epochs=8, **settings)
    assert more.reason == "epochs" and len(more.history["epoch"]) == 8
    jax.tree.map(np.testing.assert_array_equal, nnx.state(more.last), nnx.state(whole.last))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(more.model), nnx.state(whole.model))
    for name, values in whole.history.items():
        if name != "seconds":
            np.testing.assert_array_equal(more.history[name], values, err_msg=name)
    assert lfadsx.RunFolder(tmp_path / "run").info.continued == [4]
    assert lfadsx.fit(model, data, epochs=8, out=tmp_path / "run", **settings).history["epoch"][-1] == 8
    with pytest.raises(lfadsx.LfadsxError, match="`epochs` is 8 in that run and 4 in this one"):
        lfadsx.fit(model, data, epochs=4, out=tmp_path / "run", **settings)


def test_more_epochs_of_a_cosine_start_a_new_one(tmp_path, caplog):
    data = making.one_session(12)
    settings = dict(batch_size=12, validate_every=2, progress=False, learning_rate=1e-2, out=tmp_path / "run")
    model = lfadsx.inferred_input(data, seed=0, **making.SIZES)
    first = lfadsx.fit(model, data, epochs=4, **settings)
    with caplog.at_level("INFO", "lfadsx"):
        more = lfadsx.fit(model, data, epochs=8, **settings)
    assert "after epoch 4 of 8, with a new cosine from learning rate 0.01" in caplog.text
    rates = more.history["learning_rate"]
    np.testing.assert_array_equal(rates[:4], first.history["learning_rate"])
    np.testing.assert_allclose(rates[4:], rates[:4], rtol=1e-6)
    # The ramps are those of the run, not those that 8 epochs would have by default.
    assert lfadsx.RunFolder(tmp_path / "run").info.train["kl_ramp_epochs"] == 1


def test_default_ramps_fit_the_number_of_epochs_and_ramps_that_cannot_end_are_announced(caplog):
    lengths = {n: lfadsx.TrainConfig(epochs=n).with_ramps(5).kl_ramp_epochs for n in (2, 8, 40, 120, 500)}
    assert lengths == {2: 0, 8: 2, 40: 10, 120: 30, 500: 30}
    steps = lfadsx.TrainConfig(epochs=8, ramp_unit="steps", l2_ramp_epochs=3).with_ramps(5)
    assert (steps.kl_ramp_epochs, steps.l2_ramp_epochs) == (10, 3)
    _warn_of_ramps(lfadsx.TrainConfig(epochs=3, kl_ramp_epochs=3).with_ramps(5), 5)
    assert not caplog.text
    _warn_of_ramps(lfadsx.TrainConfig(epochs=2, kl_ramp_epochs=3).with_ramps(5), 5)
    assert "The ramps end after epoch 3, but training has 2 epochs" in caplog.text


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path):
    data = making.one_session()
    model = lfadsx.inferred_input(data, seed=0, **making.SIZES)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(lfadsx.RunError, match="notes.txt is a file"):
        lfadsx.fit(model, data, epochs=1, out=tmp_path / "notes.txt" / "run")


def test_notes_are_recorded(tmp_path):
    data = making.one_session()
    model = lfadsx.inferred_input(data, seed=0, **making.SIZES)
    lfadsx.fit(model, data, epochs=1, out=tmp_path / "run", notes={"experiment": "reach", "day": 3}, progress=False)
    assert lfadsx.RunFolder(tmp_path / "run").info.notes == {"experiment": "reach", "day": 3}

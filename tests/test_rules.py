"""Rules of training: ramps, learning rates, penalties and kept models."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.objective import input_correlation, l2_penalty
from lfadsx.training import AbstractCallback
from lfadsx.training.schedules import Monitor, Schedule, observe_loss, ramp

CONFIG = lfadsx.TrainConfig(epochs=4, batch_size=2, kl_ramp_epochs=1, l2_ramp_epochs=1, schedule="constant")


@pytest.fixture(scope="module")
def data():
    return making.one_session(n_trials=12)


def fit(data, out=None, *, hyper=None, callbacks=(), **changes):
    reset = changes.pop("reset_learning_rate", False)
    return lfadsx.fit(
        making.build(data),
        data,
        hyper=hyper,
        config=dataclasses.replace(CONFIG, **changes),
        out=out,
        callbacks=callbacks,
        reset_learning_rate=reset,
    )


class StopAfter(AbstractCallback):
    """Stops the run after an epoch, as Ctrl-C would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, progress):
        if progress.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)


def test_ramps_count_in_epochs_or_in_steps():
    by_epochs = lfadsx.TrainConfig(kl_ramp_start=2, kl_ramp_epochs=10, l2_ramp_start=1, l2_ramp_epochs=4)
    assert by_epochs.ramps(7) == ((14, 70), (7, 28)) and by_epochs.ramp_end(7) == 12
    by_steps = dataclasses.replace(
        by_epochs, ramp_unit="steps", kl_ramp_start=3, kl_ramp_epochs=50, l2_ramp_start=7, l2_ramp_epochs=80
    )
    assert by_steps.ramps(7) == ((3, 50), (7, 80)) and by_steps.ramp_end(7) == -(-87 // 7)
    schedule = Schedule.of(by_steps, 7)
    assert (schedule.kl_start, schedule.kl_length, schedule.l2_start, schedule.l2_length) == (3, 50, 7, 80)


@pytest.mark.slow
def test_weights_rise_from_a_floor(data):
    values = [float(ramp(step, 2, 4, 0.2)) for step in range(8)]
    np.testing.assert_allclose(values, [0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rtol=1e-6)
    history = fit(data, kl_ramp_epochs=4, ramp_unit="steps", kl_floors=(0.0, 1.0)).history
    # Three steps make an epoch; a history holds the weight of the last one.
    np.testing.assert_allclose(history["kl_ic_weight"], [0.5, 1.0, 1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(history["kl_co_weight"], 1.0, rtol=1e-6)


def by_the_book(losses, n, factor):
    """The rule of the TensorFlow program, as it is written there: a list that infinity is appended to."""
    rate, rates, costs = 1.0, [], []
    for loss in losses:
        if len(costs) > n and loss > np.max(costs[-n:]):
            rate *= factor
            costs.append(np.inf)
        else:
            costs.append(loss)
        rates.append(rate)
    return rates


def test_the_rate_falls_by_the_training_loss_as_in_the_original():
    random = np.random.default_rng(0)
    schedule = Schedule.of(dataclasses.replace(CONFIG, learning_rate_factor=0.5), 3)
    for n in (1, 3, 6):
        losses = np.cumsum(random.standard_normal(200)).round(3)
        monitor, rates = Monitor.start(jnp.zeros(1), n), []
        for loss in losses:
            monitor = observe_loss(monitor, jnp.asarray(loss), schedule)
            rates.append(float(monitor.rate_scale))
        np.testing.assert_allclose(rates, by_the_book(losses, n, 0.5), rtol=1e-5)
        assert len(set(rates)) > 3


@pytest.mark.slow
def test_a_run_lowers_its_rate_by_its_training_loss_and_stops(data):
    """Steps so large that the loss goes up and down."""
    hyper = lfadsx.HyperParams(learning_rate=0.3)
    changes = dict(
        epochs=60, schedule="training_loss", plateau_patience=1, learning_rate_factor=0.2, learning_rate_stop=0.05
    )
    result = fit(data, hyper=hyper, **changes)
    scales = by_the_book(result.history["loss"], 1, 0.2)
    # The rate of an epoch is the one that the epochs before have led to.
    np.testing.assert_allclose(result.history["learning_rate"], 0.3 * np.array([1.0, *scales[:-1]]), rtol=1e-5)
    assert result.reason == "learning rate" and 0.3 * scales[-1] < 0.05


def test_the_exponential_rate_falls_at_every_step_and_stops(data):
    result = fit(data, schedule="exponential", learning_rate_factor=0.5, learning_rate_stop=4e-3 * 0.5**5.5)
    np.testing.assert_allclose(result.history["learning_rate"], 4e-3 * 0.5 ** np.array([2, 5]), rtol=1e-5)
    assert result.reason == "learning rate"


@pytest.mark.slow
@pytest.mark.parametrize("reset", [False, True])
def test_a_resumed_run_may_begin_anew_with_its_rate(data, tmp_path, reset):
    changes = dict(schedule="exponential", learning_rate_factor=0.5, learning_rate_stop=0.0)
    first = fit(data, tmp_path / "run", callbacks=[StopAfter(2)], **changes)
    assert first.reason == "interrupted"
    history = fit(data, tmp_path / "run", reset_learning_rate=reset, **changes).history
    last_steps = np.array([2, 5, 2, 5]) if reset else np.array([2, 5, 8, 11])
    np.testing.assert_allclose(history["learning_rate"], 4e-3 * 0.5**last_steps, rtol=1e-5)


def test_a_reset_forgets_the_losses_to_compare_with():
    schedule = Schedule.of(dataclasses.replace(CONFIG, learning_rate_factor=0.5), 3)
    monitor = Monitor.start(jnp.zeros(1), 2)
    for loss in (1.0, 1.0, 1.0, 2.0):
        monitor = observe_loss(monitor, jnp.asarray(loss), schedule)
    assert monitor.rate_scale == 0.5
    fresh = monitor.with_new_rate(jnp.asarray(12))
    assert fresh.rate_scale == 1 and fresh.rate_start == 12 and fresh.n_losses == 0
    assert np.all(np.isinf(np.asarray(fresh.losses)))


def test_correlation_of_inputs_by_hand():
    data = making.several_sessions()
    batch = batch_of(data)
    model = making.build(data, inferred_inputs=3)
    output = making.forward(model)(batch)
    mean = np.asarray(model.decoder.input_prior.posterior_mean(output.input_params), np.float64)
    for trial, length in enumerate(np.asarray(batch.target_length)):
        own = mean[trial, :length]
        pairs = [0.5 * (own[:, i] @ own[:, j]) ** 2 for i, j in ((0, 1), (0, 2), (1, 2))]
        found = input_correlation(model, batch, output)[trial]
        np.testing.assert_allclose(found, np.mean(pairs), rtol=1e-4)


@pytest.mark.slow
def test_one_input_has_no_other_to_be_correlated_with(data):
    model = making.build(data, inferred_inputs=1)
    batch = batch_of(data)
    found = input_correlation(model, batch, making.forward(model)(batch))
    np.testing.assert_array_equal(np.asarray(found), 0)
    hyper = lfadsx.HyperParams(co_corr_scale=10.0)
    history = lfadsx.fit(model, data, hyper=hyper, config=dataclasses.replace(CONFIG, epochs=1)).history
    assert np.all(np.isfinite(history["loss"]))


def test_the_penalty_on_correlation_lowers_it(data):
    quiet = dict(cd_rate=0.0, dropout_rate=0.0, kl_co_scale=0.0, learning_rate=0.02)
    ends = [
        fit(data, epochs=12, hyper=lfadsx.HyperParams(**quiet, co_corr_scale=scale)).history["correlation"]
        for scale in (0.0, 50.0)
    ]
    assert ends[1][-1] < 0.01 * ends[0][-1] and ends[1][-1] < 0.1 * ends[1][0]


def test_l2_of_all_parameters_by_hand(data):
    model = making.build(data)
    squares = sum(np.sum(np.asarray(x, np.float64) ** 2) for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    found = l2_penalty(model, lfadsx.HyperParams(l2_scale=0.3))
    np.testing.assert_allclose(found, 0.3 * squares, rtol=1e-5)


@pytest.mark.slow
def test_as_many_checkpoints_stay_as_asked(data, tmp_path):
    for keep in (1, 3):
        fit(data, tmp_path / str(keep), checkpoints=(0.0, keep), epochs=5)
        names = sorted(path.name for path in (tmp_path / str(keep) / "checkpoints").iterdir())
        assert len(names) == keep and int(names[-1]) == 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kl_ramp_epochs": -1}, "`kl_ramp_epochs` must be at least 0, got -1."),
        ({"spike_jitter": -2}, "`spike_jitter` must be at least 0, got -2."),
        ({"checkpoints": (5.0, 0)}, r"`checkpoints` must be minutes .* and a number of at least 1, got \(5.0, 0\)."),
        ({"adam": (0.9, 0.999)}, r"`adam` must be a tuple of 3 numbers, got \(0.9, 0.999\)."),
        ({"kl_floors": 0.5}, "`kl_floors` must be a tuple of 2 numbers, got 0.5."),
        ({"trials_at_once": -1}, "`trials_at_once` must be at least 0, got -1."),
        ({"plateau_patience": 0}, "`plateau_patience` must be at least 1, got 0."),
        ({"learning_rate_factor": 1.5}, "`learning_rate_factor` must be above 0 and at most 1, got 1.5."),
        ({"learning_rate_factor": 0.0}, "`learning_rate_factor` must be above 0 and at most 1, got 0.0."),
    ],
)
def test_rules_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        lfadsx.TrainConfig(**changes)

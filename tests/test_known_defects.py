"""Fourteen defects of other LFADS programs, each with a test that it is not ours."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.data import concatenate, from_arrays
from lfadsx.data.batching import Layout, epoch_order
from lfadsx.distributions import AutoregressivePrior, StudentTPrior
from lfadsx.evaluation import score_posteriors
from lfadsx.modules import CoordinatedDropout, SampleValidation, SpikeJitter
from lfadsx.training.schedules import Monitor, Schedule, observe

HYPER = lfadsx.HyperParams(cd_rate=0.4, sv_rate=0.3)


def augmented(augmentation, batch):
    return jax.jit(lambda batch: augmentation(batch, HYPER, jax.random.key(0)))(batch)


def posterior(split, rates):
    """All of a posterior that scores of rates need."""
    facts = dict(trial_id=split.trial_id, session=split.session, length=split.target_length, inputs=None)
    return SimpleNamespace(
        rates={"spikes": rates}, input_group="spikes", encoder_groups=("spikes",), n_samples=0, **facts
    )


def test_1_sample_validation_hides_entries_of_the_data_and_not_of_the_known_inputs():
    batch = batch_of(making.one_session(known=2), "train")
    changed, weights, _ = augmented(SampleValidation(), batch)
    withheld = np.asarray(SampleValidation().withheld(batch, HYPER))
    np.testing.assert_array_equal(np.asarray(changed.seen()), ~withheld)
    np.testing.assert_array_equal(np.asarray(weights["spikes"]) == 0, withheld)
    np.testing.assert_array_equal(changed.known_inputs, batch.known_inputs)


def test_2_the_location_of_student_t_does_not_start_at_its_scale():
    prior = StudentTPrior(3, scale=2.5)
    np.testing.assert_array_equal(prior.loc[...], 0.0)
    np.testing.assert_allclose(np.exp(prior.log_scale[...]), 2.5, rtol=1e-6)


def test_3_with_a_window_of_the_initial_condition_masks_and_known_inputs_keep_their_bins():
    data = making.one_session(known=1)
    model, batch = making.build(data, variant="external_input", ic_window=3), batch_of(data)
    changed, _, opened = augmented(CoordinatedDropout(), batch)
    np.testing.assert_array_equal(np.asarray(opened["spikes"]), ~np.asarray(changed.seen()))
    run = making.forward(model)
    before = np.asarray(run(batch).generator_states)
    other = dataclasses.replace(batch, known_inputs=batch.known_inputs.at[:, 4].add(1.0))
    moved = np.any(before != np.asarray(run(other).generator_states), axis=(0, 2))
    np.testing.assert_array_equal(moved, np.arange(len(moved)) >= 4)


def test_4_bits_per_spike_are_divided_by_the_neurons_of_each_session_and_only_for_counts():
    """Neurons that the encoder never sees get their true mean as rate, all others a rate that is far off."""
    days = [making.one_session(20, n_channels=n, held_out=[1], session=day) for day, n in (("a", 5), ("b", 3))]
    data = concatenate(*days)
    counts = data.valid.targets["spikes"].astype(float)
    rates = np.full(counts.shape, 9.0)
    for number in range(2):
        rows = data.valid.session == number
        rates[rows, :, 1] = counts[rows, :, 1].mean()
    scores = score_posteriors(data, {"valid": posterior(data.valid, rates)}, baselines={}, n_bootstrap=2).scores
    assert scores["co_bps"] == pytest.approx(0.0, abs=1e-6) and scores["bits_per_spike"] < -1
    real = making.one_session(20, likelihood="gaussian", held_out=[1])
    means = np.zeros(real.valid.targets["spikes"].shape)
    scores = score_posteriors(real, {"valid": posterior(real.valid, means)}, baselines={}, n_bootstrap=2).scores
    assert scores.get("co_bps") is None and scores.get("bits_per_spike") is None
    assert np.isfinite(scores["co_r2"])


def test_5_the_read_out_starts_at_the_logarithm_of_the_mean_counts():
    data = from_arrays(np.full((6, 8, 2), (2, 7)), split=["train", "valid"] * 3)
    bias = making_bias(data)
    np.testing.assert_allclose(np.exp(bias), (2.0, 7.0), rtol=0.03)


def making_bias(data):
    model = jax.jit(lambda: lfadsx.build(data, **making.SIZES, seed=0).readout["spikes"].bias["session"][...])()
    return np.asarray(model)[:, 0]


def test_6_more_sessions_than_trials_of_a_step():
    data = concatenate(*(making.one_session(4, session=f"day{i}") for i in range(5)))
    layout = Layout.of(data.train.n_trials, 3, n_devices=1, at_once=0, steps_per_block=8)
    cells = layout.arrange(epoch_order(0, 0, data.train.n_trials))
    assert sorted(cells[cells >= 0]) == list(range(10)) and set(data.train.session) == set(range(5))


def test_7_each_session_keeps_its_own_facts():
    days = [making.one_session(4, session=day, condition=[c] * 4) for day, c in (("a", "left"), ("b", "right"))]
    data = lfadsx.align(concatenate(*days), aligner={day: i * np.eye(5, 2) for i, day in enumerate("ab", 1)})
    assert [set(data.train.condition[data.train.session == i]) for i in range(2)] == [{"left"}, {"right"}]
    assert [session.alignment[0, 0] for session in data.sessions] == [1.0, 2.0]


def test_8_figures_of_a_single_trial():
    plotting = pytest.importorskip("lfadsx.plotting")
    data = making.one_session(2)
    post = lfadsx.infer(making.build(data, variant="autonomous"), data, "valid", n_samples=2)
    assert post.n_trials == 1 and len(plotting.example_figure(data, {"valid": (data.valid, post)}).axes) > 1


def test_9_the_best_model_is_sought_after_the_ramps():
    schedule = Schedule.of(lfadsx.TrainConfig(schedule="constant"), 1)
    monitor = Monitor.start(jnp.zeros(1))
    for epoch, (score, after_ramps) in enumerate(((1.0, False), (5.0, True)), 1):
        now = jnp.full(1, float(epoch))
        monitor = observe(monitor, jnp.asarray(score), now, jnp.asarray(epoch), jnp.asarray(after_ramps), schedule)
    assert int(monitor.best_epoch) == 2 and float(monitor.best_params[0]) == 2.0


def test_10_jitter_without_spikes():
    batch = batch_of(from_arrays(np.zeros((4, 6, 3), int), split=["train"] * 3 + ["valid"]))
    changed, _, _ = augmented(SpikeJitter(2), batch)
    assert not np.any(changed.targets["spikes"]) and not np.any(changed.encoder_input)


def test_11_the_truth_of_every_session_counts():
    truth = [np.random.default_rng(i).uniform(1, 3, (12, 8, 4)) for i in range(2)]
    days = [
        making.one_session(12, n_channels=4, session=day, truth=own, truth_unit="counts per bin")
        for day, own in zip("ab", truth, strict=True)
    ]
    data = concatenate(*days)
    rates = {"all right": np.asarray(data.valid.truth, float)}
    rates["second wrong"] = np.where((data.valid.session == 1)[:, None, None], 2.0, rates["all right"])
    found = {
        name: score_posteriors(data, {"valid": posterior(data.valid, own)}, baselines={}, n_bootstrap=2)
        for name, own in rates.items()
    }
    assert found["all right"].scores["rates_r2"] == pytest.approx(1.0)
    assert found["second wrong"].scores["rates_r2"] < 0.6


def test_12_the_width_of_a_read_in_is_given_once():
    model = making.outline(making.several_sessions(), readin_dim=3)
    assert model.readin.n_features == model.ic_encoder.n_in == model.input_encoder.n_in == 3


def test_13_a_controller_is_switched_off_by_one_setting():
    data = making.one_session()
    assert making.outline(data, variant="autonomous").decoder.controller is None
    known = making.one_session(known=1)
    assert making.outline(known, variant="external_input", inferred_inputs=0).decoder.controller is None
    with pytest.raises(lfadsx.LfadsxError, match="Use the variant 'autonomous' for a model without inputs"):
        making.outline(data, inferred_inputs=0)
    with pytest.raises(lfadsx.LfadsxError, match="`controller_dim` must be at least 1, got 0"):
        making.outline(data, controller_dim=0)


def test_14_the_posterior_of_the_inputs_has_a_variance_floor():
    prior = making.outline(making.one_session()).decoder.input_prior
    assert isinstance(prior, AutoregressivePrior) and prior.post_var_min == 1e-4
    prior = AutoregressivePrior(1, post_var_min=1e-4)
    params, path = jnp.full((1, 6, 2), -500.0), jnp.zeros((1, 6, 1))
    assert np.asarray(prior.posterior_std(params)).min() >= 0.0099
    gradient = jax.grad(lambda params: prior.kl(params, path).sum())(params)
    assert np.all(np.isfinite(np.asarray(gradient)))

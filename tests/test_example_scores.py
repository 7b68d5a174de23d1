"""Scores and settings that the examples share: latent states, times of pulses, R2 of trials, trial runs."""

import dataclasses

import numpy as np
import pytest
from example_tools.peak_times import peak_errors
from example_tools.quick_settings import shorter, sized, tiny_model
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

import lfadsx
from lfadsx.evaluation.metrics import align, r2_by_channel, r2_of_trials, r2_per_trial

# Latent states


def test_r2_of_aligned_states_equals_a_regression_fitted_on_training_trials():
    rng = np.random.default_rng(0)
    factors, train_factors = rng.normal(size=(6, 10, 4)), rng.normal(size=(8, 10, 4))
    mix = rng.normal(size=(4, 3))
    truth, train_truth = (f @ mix + rng.normal(size=(*f.shape[:2], 3)) for f in (factors, train_factors))
    fitted = LinearRegression().fit(train_factors.reshape(-1, 4), train_truth.reshape(-1, 3))
    expected = r2_score(truth.reshape(-1, 3), fitted.predict(factors.reshape(-1, 4)), multioutput="raw_values")
    found = r2_by_channel(align(factors, fit_on=(train_factors, train_truth)), truth)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_r2_of_aligned_states_leaves_padding_out_and_a_constant_state_has_none():
    rng = np.random.default_rng(1)
    states = rng.normal(size=(6, 10, 2))
    states[:, :, 1] = 3.0
    padded = np.where(np.arange(10)[:, None] < 7, states, np.nan)
    found = r2_by_channel(align(2 * padded[..., :1] - 1, fit_on=(2 * states[..., :1] - 1, states)), padded)
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1])


# R2 of single trials and of channels


def test_r2_of_trials_is_the_squared_correlation_and_its_mean_is_r2_per_trial():
    rng = np.random.default_rng(2)
    estimate, truth = rng.normal(size=(2, 5, 12, 3))
    truth[0, :, 1] = 4.0  # a constant has no correlation
    found = r2_of_trials(estimate, truth)
    assert np.isnan(found[0, 1]) and np.isnan(found).sum() == 1
    assert found[2, 0] == pytest.approx(np.corrcoef(estimate[2, :, 0], truth[2, :, 0])[0, 1] ** 2)
    assert np.nanmean(found) == pytest.approx(r2_per_trial(estimate, truth))


def test_r2_by_channel_equals_scikit_learn():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(5, 12, 3))
    estimate = truth + rng.normal(size=truth.shape)
    expected = r2_score(truth.reshape(-1, 3), estimate.reshape(-1, 3), multioutput="raw_values")
    np.testing.assert_allclose(r2_by_channel(estimate, truth), expected, atol=1e-12)


# Times of pulses


def pulses(n_trials, seed, lag=0, sign=1.0, n_bins=60):
    """Pulses in the middle half, and an inferred input that peaks `lag` bins later over a common transient."""
    rng = np.random.default_rng(seed)
    times = rng.integers(15, 45, n_trials)
    truth = 20.0 * (np.arange(n_bins) == times[:, None])
    bump = np.exp(-0.5 * ((np.arange(n_bins) - times[:, None] - lag) / 1.5) ** 2)
    transient = 8 * np.exp(-np.arange(n_bins) / 2)  # larger than every pulse, and the same in all trials
    return sign * bump + transient, truth


@pytest.mark.parametrize(("lag", "sign"), [(0, 1.0), (3, -1.0), (-4, 1.0)])
def test_peaks_are_found_whatever_lag_sign_and_transient(lag, sign):
    inferred, truth = pulses(40, 0, lag, sign)
    found = peak_errors(inferred, truth, fit_on=pulses(100, 1, lag, sign))
    assert (found.lag, found.sign) == (lag, sign)
    assert found.share == 1.0
    np.testing.assert_array_equal(found.errors, 0)


def test_lag_and_sign_come_from_training_trials_only():
    inferred, truth = pulses(40, 0, lag=5)
    found = peak_errors(inferred, truth, fit_on=pulses(100, 1, lag=0))
    assert found.lag == 0 and found.share == 0.0
    np.testing.assert_array_equal(found.errors, 5)


def test_peaks_of_noise_are_at_chance():
    rng = np.random.default_rng(4)
    _, truth = pulses(2000, 0)
    found = peak_errors(rng.normal(size=truth.shape), truth, fit_on=(rng.normal(size=truth.shape), truth))
    assert found.share == pytest.approx(5 / 60, abs=0.02)
    assert found.chance == pytest.approx(found.share, abs=0.02)


def test_trials_without_a_pulse_or_with_padding():
    inferred, truth = pulses(10, 0)
    truth[3] = 0.0
    inferred[:, 50:] = np.nan
    found = peak_errors(inferred, truth, fit_on=pulses(100, 1))
    assert np.isnan(found.errors[3]) and found.share == 1.0
    with pytest.raises(ValueError, match="must have a training trial whose true input is not 0"):
        peak_errors(inferred, truth, fit_on=(inferred, 0 * truth))
    with pytest.raises(ValueError, match=r"got \(10, 60\) and \(9, 60\)"):
        peak_errors(inferred, truth[:9], fit_on=(inferred, truth))


# Trial runs


def test_a_tiny_model_keeps_its_kind():
    config = lfadsx.ModelConfig(variant="external_input", inferred_inputs=0, likelihood="gaussian", controller_lag=0)
    tiny = tiny_model(config)
    assert tiny.input_encoder_dim == tiny.ic_encoder_dim == 12
    sizes = ("factors", "generator_dim", "ic_dim", "ic_encoder_dim", "input_encoder_dim", "controller_dim")
    assert dataclasses.replace(tiny, **{name: getattr(config, name) for name in sizes}) == config
    assert tiny_model(lfadsx.ModelConfig(input_encoder_dim=0)).input_encoder_dim == 0


def test_shorter_runs_keep_their_proportions():
    config = lfadsx.TrainConfig(epochs=1000, kl_ramp_start=20, kl_ramp_epochs=100, l2_ramp_epochs=0, patience=300)
    short = shorter(config, 100, batch_size=7)
    assert (short.epochs, short.kl_ramp_start, short.kl_ramp_epochs) == (100, 2, 10)
    assert (short.l2_ramp_epochs, short.patience, short.batch_size) == (0, 30, 7)
    assert shorter(config, 1).ramp_end(5) <= 1  # so that even then a best model is chosen
    assert shorter(config, 1000) == config
    with pytest.raises(ValueError, match="`epochs` must be at least 1, got 0"):
        shorter(config, 0)


def test_a_trial_run_is_small_and_another_number_of_epochs_is_kept():
    model, train = lfadsx.ModelConfig(factors=20), lfadsx.TrainConfig(epochs=300, kl_ramp_epochs=30, batch_size=64)
    assert sized(model, train, quick=False) == (model, train)
    assert sized(model, train, quick=False, epochs=10) == (model, shorter(train, 10))
    assert sized(model, train, quick=True) == (tiny_model(model), shorter(train, 20, batch_size=20))
    assert sized(model, train, quick=True, epochs=3)[1].epochs == 3

"""Scores: parity with nlb_tools, lfads-torch, scipy and scikit-learn, and properties for any data."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, poisson
from sklearn.metrics import r2_score

from lfadsx.evaluation import metrics, ratio, resample

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)


def spikes_and_rates(seed, shape=(6, 8, 4)):
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.1, 3.0, shape)
    return rng.poisson(rates), rates


# Parity


def test_bits_per_spike_equals_nlb_tools(fixtures):
    numbers = np.load(fixtures / "nlb_metrics.npz")
    rates = numbers["bps/rates"]
    bits = metrics.bits_per_spike(rates, numbers["bps/spikes"])
    with_nan = metrics.bits_per_spike(rates, numbers["bps/spikes_with_nan"])
    assert bits.value == pytest.approx(float(numbers["bps/bits_per_spike"]), abs=1e-12)
    assert with_nan.value == pytest.approx(float(numbers["bps/bits_per_spike_with_nan"]), abs=1e-12)


def test_velocity_r2_equals_nlb_tools(fixtures):
    numbers = np.load(fixtures / "nlb_metrics.npz")
    decoding = metrics.velocity_decoding(
        numbers["vel/train_rates"],
        numbers["vel/train_behavior"],
        numbers["vel/eval_rates"],
        numbers["vel/eval_behavior"],
    )
    assert decoding.r2 == pytest.approx(float(numbers["vel/r2"]), abs=1e-10)


def test_bits_per_spike_equals_lfads_torch_where_the_null_is_the_batch_mean(fixtures):
    numbers = np.load(fixtures / "torch_components.npz")
    rates, counts = np.exp(numbers["bps/log_rate"].astype(float)), numbers["bps/count"]
    n_channels, n_bins = numbers["bps/n_heldin_channels_n_encoded_bins"]
    held_in = metrics.bits_per_spike(rates[:, :n_bins, :n_channels], counts[:, :n_bins, :n_channels])
    held_out = metrics.bits_per_spike(rates[:, :n_bins, n_channels:], counts[:, :n_bins, n_channels:])
    forward = metrics.bits_per_spike(rates[:, n_bins:], counts[:, n_bins:])
    ours = [held_in.value, held_out.value, forward.value]
    np.testing.assert_allclose(ours, numbers["bps/batch_bps_co_fp"], atol=2e-6)


def test_poisson_nll_equals_lfads_torch_with_exact_factorials(fixtures):
    numbers = np.load(fixtures / "torch_components.npz")
    nll = metrics.poisson_nll(np.exp(numbers["poisson/log_rate"].astype(float)), numbers["poisson/count"])
    np.testing.assert_allclose(nll, numbers["poisson/nll_exact"], rtol=1e-5, atol=1e-5)


@quick
@given(seeds)
def test_poisson_nll_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.01, 300.0, 50)
    counts = rng.poisson(rates)
    np.testing.assert_allclose(metrics.poisson_nll(rates, counts), -poisson.logpmf(counts, rates), rtol=1e-9)


@quick
@given(seeds)
def test_pooled_r2_equals_scikit_learn(seed):
    truth, estimate = np.random.default_rng(seed).normal(size=(2, 4, 5, 3))
    expected = r2_score(truth.reshape(20, 3), estimate.reshape(20, 3), multioutput="variance_weighted")
    assert metrics.r2_pooled(estimate, truth) == pytest.approx(expected)


# Bits per spike


@quick
@given(seeds)
def test_mean_rates_save_no_bits_and_true_rates_beat_the_null_of_their_scale(seed):
    counts, rates = spikes_and_rates(seed)
    mean = np.broadcast_to(counts.mean((0, 1)), counts.shape)
    assert metrics.bits_per_spike(mean, counts).value == pytest.approx(0.0, abs=1e-12)
    # No constant rate explains a neuron better than its mean.
    assert metrics.bits_per_spike(1.3 * mean, counts).value < 0


@quick
@given(seeds)
def test_pooled_bits_are_the_mean_over_neurons_weighted_by_spikes(seed):
    counts, rates = spikes_and_rates(seed)
    bits = metrics.bits_per_spike(rates, counts)
    spikes = counts.sum((0, 1))
    assert bits.value == pytest.approx(np.average(bits.per_neuron, weights=spikes))
    assert bits.n_spikes == spikes.sum()


@quick
@given(seeds)
def test_a_mask_equals_missing_counts_and_leaving_trials_out(seed):
    counts, rates = spikes_and_rates(seed)
    mask = np.arange(6) < 4
    as_mask = metrics.bits_per_spike(rates, counts, mask=mask[:, None, None])
    as_nan = metrics.bits_per_spike(rates, np.where(mask[:, None, None], counts, np.nan))
    alone = metrics.bits_per_spike(rates[mask], counts[mask])
    assert as_mask.value == pytest.approx(alone.value)
    assert as_nan.value == pytest.approx(alone.value)


def test_what_is_masked_may_hold_anything():
    counts, rates = spikes_and_rates(0)
    mask = np.ones(counts.shape, dtype=bool)
    mask[0, 3:] = False
    broken = np.where(mask, rates, np.nan)
    expected = metrics.bits_per_spike(rates, counts, mask=mask).value
    assert metrics.bits_per_spike(broken, np.where(mask, counts, -7), mask=mask).value == expected


def test_silent_neurons_are_named_and_left_out_but_unscored_ones_are_not_silent():
    counts, rates = spikes_and_rates(1)
    counts[:, :, 2] = 0
    mask = np.ones((1, 1, 4), dtype=bool)
    mask[..., 3] = False
    bits = metrics.bits_per_spike(rates, counts, mask=mask)
    assert bits.silent == (2,)
    assert np.isnan(bits.per_neuron).tolist() == [False, False, True, True]
    assert bits.value == pytest.approx(metrics.bits_per_spike(rates[..., :2], counts[..., :2]).value)


def test_no_spikes_give_no_figure():
    bits = metrics.bits_per_spike(np.ones((2, 3, 1)), np.zeros((2, 3, 1), int))
    assert np.isnan(bits.value) and bits.n_spikes == 0


def test_a_rate_of_zero_costs_as_in_nlb_tools():
    counts = np.array([[[1], [1]]])
    cost = metrics.bits_per_spike(np.array([[[0.0], [1.0]]]), counts).value
    assert cost == pytest.approx((1 - 1e-9 + np.log(1e-9)) / 2 / np.log(2))


def test_another_null_is_the_difference_of_two_models():
    counts, rates = spikes_and_rates(3)
    other = np.random.default_rng(4).uniform(0.5, 2.0, (8, 4))
    against = metrics.bits_per_spike(rates, counts, null_rates=other).value
    spread = np.broadcast_to(other, counts.shape)
    difference = metrics.bits_per_spike(rates, counts).value - metrics.bits_per_spike(spread, counts).value
    assert against == pytest.approx(difference)


def paired(difference, spikes, n=2000):
    """A difference of log likelihoods of each trial in bits per spike."""
    return resample(ratio(difference / np.log(2), spikes), len(spikes), n=n)


def test_nll_per_trial_adds_up_to_the_pooled_figure():
    counts, rates = spikes_and_rates(5)
    other = rates[::-1]
    difference = metrics.nll_per_trial(other, counts) - metrics.nll_per_trial(rates, counts)
    spikes = counts.sum((1, 2))
    bits = metrics.bits_per_spike(rates, counts).value - metrics.bits_per_spike(other, counts).value
    assert paired(difference, spikes, n=10).value == pytest.approx(bits)


def test_an_interval_has_the_width_of_the_standard_error():
    rng = np.random.default_rng(0)
    difference, spikes = rng.normal(1.0, 3.0, 400), np.full(400, 10)
    interval = paired(difference, spikes)
    expected = 2 * 1.96 * difference.std() / np.sqrt(400) / (10 * np.log(2))
    assert interval.low < interval.value < interval.high
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)
    assert interval == paired(difference, spikes)


def test_a_bootstrap_pairs_trials():
    same_in_all = paired(np.full(5, np.log(2)), np.full(5, 2))
    assert (same_in_all.low, same_in_all.high) == pytest.approx((0.5, 0.5))


# R2 against truth


@quick
@given(seeds, st.floats(-5, 5), st.floats(0.1, 10))
def test_squared_correlation_is_blind_to_offset_scale_and_sign(seed, offset, slope):
    truth, estimate = np.random.default_rng(seed).normal(size=(2, 3, 10, 2))
    expected = np.mean([np.corrcoef(truth[i, :, c], estimate[i, :, c])[0, 1] ** 2 for i in range(3) for c in range(2)])
    assert metrics.r2_per_trial(estimate, truth) == pytest.approx(expected)
    assert metrics.r2_per_trial(offset - slope * estimate, truth) == pytest.approx(expected)


def test_constant_truth_is_left_out_and_a_constant_estimate_counts_zero():
    truth = np.random.default_rng(0).normal(size=(2, 10, 2))
    truth[0, :, 0] = 0.1
    assert metrics.r2_per_trial(truth, truth) == pytest.approx(1.0)
    estimate = truth.copy()
    estimate[1, :, 1] = 1 / 3
    assert metrics.r2_per_trial(estimate, truth) == pytest.approx(2 / 3)
    assert np.isnan(metrics.r2_per_trial(truth, np.ones(truth.shape)))


def test_bins_after_the_end_of_a_trial_do_not_count():
    rng = np.random.default_rng(0)
    truth, estimate = rng.normal(size=(2, 1, 8, 3))
    longer = np.concatenate([truth, np.full((1, 4, 3), np.nan)], axis=1)
    padded = np.concatenate([estimate, np.full((1, 4, 3), np.nan)], axis=1)
    for score in (metrics.r2_per_trial, metrics.r2_pooled):
        assert score(padded, longer) == pytest.approx(score(estimate, truth))


def test_knowing_only_the_means_explains_nothing():
    truth = np.random.default_rng(0).normal([5.0, -5.0], 1.0, (10, 20, 2))
    means = np.broadcast_to(truth.mean((0, 1)), truth.shape)
    assert metrics.r2_pooled(means, truth) == pytest.approx(0.0, abs=1e-12)


def test_floors_of_random_walks_and_of_ramps():
    rng = np.random.default_rng(0)
    walks = rng.normal(size=(2000, 25, 1)).cumsum(axis=1)
    assert metrics.r2_floors(walks).shuffled == pytest.approx(0.245, abs=0.01)
    ramps = np.linspace(0, 1, 25)[:, None] * rng.normal(size=(10, 1, 1)) + 2
    floors = metrics.r2_floors(ramps)
    assert (floors.shuffled, floors.ramp) == pytest.approx((1.0, 1.0))


def test_shuffling_never_keeps_a_trial_in_its_place():
    truth = np.random.default_rng(0).normal(size=(2, 200, 1))
    assert metrics.r2_floors(truth).shuffled < 0.05


# Condition averages


def test_smoothing_keeps_constants_and_skips_missing_bins():
    values = np.full((2, 12, 3), 4.0)
    values[0, 5] = np.nan
    smoothed = metrics.smooth(values, 2.0)
    np.testing.assert_array_equal(np.isnan(smoothed), np.isnan(values))
    np.testing.assert_allclose(smoothed[~np.isnan(smoothed)], 4.0)
    np.testing.assert_array_equal(metrics.smooth(values, 0), values)


def test_psth_of_trials_of_different_length():
    values = np.array([[[1.0], [2.0]], [[3.0], [np.nan]], [[7.0], [8.0]]])
    labels, means = metrics.psth(values, np.array(["a", "a", "b"]))
    assert labels.tolist() == ["a", "b"]
    assert means[:, :, 0].tolist() == [[2.0, 2.0], [7.0, 8.0]]


def test_psth_r2_equals_scikit_learn_on_stacked_conditions():
    counts, rates = spikes_and_rates(0, (12, 9, 3))
    condition = np.repeat([0, 1, 2], 4)
    of_rates = rates.reshape(3, 4, 9, 3).mean(1).reshape(27, 3)
    of_counts = metrics.smooth(counts.reshape(3, 4, 9, 3).mean(1), 1.5).reshape(27, 3)
    expected = r2_score(of_counts, of_rates, multioutput="raw_values")
    score = metrics.psth_r2(rates, counts, condition, kernel_bins=1.5)
    np.testing.assert_allclose(score.per_neuron, expected)
    assert score.value == pytest.approx(expected.mean())


@pytest.mark.parametrize("per_condition", [4, 20])
def test_the_true_psth_attains_the_ceiling(per_condition):
    rng = np.random.default_rng(0)
    psths = 0.3 * np.exp(3 * metrics.smooth(rng.normal(size=(6, 30, 20)), 3.0))
    condition = np.repeat(np.arange(6), per_condition)
    rates = psths[condition]
    counts = rng.poisson(rates)
    attained = metrics.psth_r2(metrics.smooth(rates, 2.0), counts, condition, kernel_bins=2.0).value
    ceiling = metrics.psth_ceiling(counts, condition, kernel_bins=2.0)
    assert ceiling.value == pytest.approx(attained, abs=0.02)
    assert ceiling.halves < ceiling.value


def test_no_ceiling_without_two_trials_of_a_condition():
    counts = np.random.default_rng(0).poisson(1.0, (3, 5, 2))
    assert np.isnan(metrics.psth_ceiling(counts, np.arange(3), kernel_bins=1.0).value)


# Behaviour


@pytest.mark.parametrize("lag", [-2, 0, 3])
def test_decoding_finds_behaviour_at_its_lag(lag):
    rates = np.random.default_rng(0).normal(size=(10, 12, 4))
    behaviour = np.full((10, 12, 2), np.nan)
    source, target = slice(max(0, -lag), 12 - max(0, lag)), slice(max(0, lag), 12 - max(0, -lag))
    behaviour[:, target] = rates[:, source, :2] @ np.array([[1.0, 2.0], [0.5, -1.0]])
    decoding = metrics.velocity_decoding(rates, behaviour, rates, behaviour, lag_bins=lag)
    assert decoding.r2 > 0.999
    assert decoding.r2 == pytest.approx(decoding.r2_per_dimension.mean())
    np.testing.assert_array_equal(np.isnan(decoding.prediction), np.isnan(behaviour))


def test_decoding_ignores_what_lies_after_the_end_and_missing_behaviour():
    rng = np.random.default_rng(0)
    rates, length = rng.normal(size=(10, 12, 3)), np.full(10, 9)
    behaviour = rates[..., :2] + rng.normal(size=(10, 12, 2))
    behaviour[0, 4] = np.nan
    spoiled = rates.copy()
    spoiled[:, 9:] = np.nan
    whole = metrics.velocity_decoding(spoiled, behaviour, spoiled, behaviour, train_length=length, length=length)
    cut = metrics.velocity_decoding(rates[:, :9], behaviour[:, :9], rates[:, :9], behaviour[:, :9])
    assert whole.r2 == pytest.approx(cut.r2)
    assert np.isnan(whole.prediction[:, 9:]).all() and np.isnan(whole.prediction[0, 4]).all()


def test_decoding_without_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    rates = np.ones((2, 3, 1))
    with pytest.raises(ImportError, match=r'pip install "lfadsx\[plot\]"'):
        metrics.velocity_decoding(rates, rates, rates, rates)


# Alignment


def slowing(interval, n_bins=40, width=0.05):
    """Rates that move from one state to another within the interval before the end of the trial."""
    times = width * (np.arange(n_bins) - n_bins + 0.5)
    course = np.clip(1 + times / interval[:, None], 0, None)
    inside = (times < 0) & (times > -interval[:, None])
    return 2 + course[..., None] * np.array([1.0, 2.0, -1.5]), inside


def test_timing_correlation_is_the_mean_of_pearson_correlations():
    rng = np.random.default_rng(0)
    interval, group = rng.uniform(0.5, 1.5, 40), rng.choice(["eye short", "eye long", "hand long"], 40)
    rates, inside = slowing(interval)
    rates = rates + 0.02 * rng.standard_normal(rates.shape)
    found = metrics.timing_correlation(rates, interval, group, inside=inside)
    steps = [np.linalg.norm(np.diff(own[there], axis=0), axis=1) for own, there in zip(rates, inside, strict=True)]
    speed = np.array([of.mean() for of in steps])
    assert metrics.neural_speed(rates, inside) == pytest.approx(speed)
    expected = {of: pearsonr(speed[group == of], interval[group == of])[0] for of in np.unique(group)}
    assert found.per_group == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(list(expected.values()))) and found.value < -0.8


def test_timing_leaves_out_trials_without_interval_or_label_and_groups_of_two():
    interval, group = np.array([0.5, 0.7, 0.9, np.nan, 1.0, 1.1]), np.array(["a", "a", "a", "a", "b", "b"])
    rates, inside = slowing(np.nan_to_num(interval, nan=1.0))
    found = metrics.timing_correlation(rates, interval, group, inside=inside)
    assert list(found.per_group) == ["a"] and -1 <= found.value < -0.9
    assert np.isnan(metrics.timing_correlation(rates, interval, np.full(6, ""), inside=inside).value)


@quick
@given(seeds)
def test_alignment_undoes_any_linear_map(seed):
    rng = np.random.default_rng(seed)
    truth, mixing = rng.normal(size=(6, 10, 2)), rng.normal(size=(2, 3))
    inferred = truth @ mixing + rng.normal(size=3)
    np.testing.assert_allclose(metrics.align(inferred, fit_on=(inferred, truth)), truth, atol=1e-6)


def test_alignment_learns_from_training_trials_only():
    truth = np.random.default_rng(0).normal(size=(6, 10, 1))
    # The sign differs between training and scored trials: a map fitted on training trials cannot know it.
    assert metrics.r2_pooled(metrics.align(-truth, fit_on=(truth, truth)), truth) == pytest.approx(-3.0, abs=0.2)
    aligned = metrics.align(truth, fit_on=(truth[:1], 2 * truth[:1] + 1))
    np.testing.assert_allclose(aligned, 2 * truth + 1)


def test_alignment_leaves_out_missing_bins():
    truth = np.random.default_rng(0).normal(size=(6, 10, 1))
    inferred = 3 * truth
    inferred[:, 8:] = np.nan
    aligned = metrics.align(inferred, fit_on=(inferred, truth))
    np.testing.assert_allclose(aligned[:, :8], truth[:, :8])
    assert np.isnan(aligned[:, 8:]).all()


# Messages


ONES = np.ones((3, 4, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.bits_per_spike(ONES, ONES[:2]),
            r"of the data, \(2, 4, 2\), got shape \(3, 4, 2\)\. Pass",
        ),
        (lambda: metrics.bits_per_spike(ONES * np.nan, ONES), r"24 of 24 scored estimates are NaN.*\. Leave"),
        (
            lambda: metrics.bits_per_spike(-ONES, ONES),
            r"at least 0, got -1\. Pass rates in counts",
        ),
        (
            lambda: metrics.bits_per_spike(ONES, 1.5 * ONES),
            r"whole numbers of at least 0, got 1\.5\. Pass counts",
        ),
        (lambda: metrics.nll_per_trial(2 * ONES, -ONES, ONES > 0), r"whole numbers of at least 0, got -1"),
        (lambda: metrics.r2_floors(ONES[:1]), r"at least 2 trials to shuffle, got 1"),
        (lambda: metrics.gaussian_kernel(3, -1.0), r"width of the kernel must be at least 0 bins .*, got -1"),
        (lambda: metrics.psth(ONES, np.zeros(2)), r"one label per trial, got 2 labels for 3"),
        (
            lambda: metrics.align(ONES, fit_on=(ONES, ONES[:2])),
            r"same training trials and bins, got shapes \(3, 4, 2\) and \(2, 4, 2\)",
        ),
        (
            lambda: metrics.align(ONES, fit_on=(ONES, ONES * np.nan)),
            r"in one bin at least, but every bin holds NaN",
        ),
        (
            lambda: metrics.velocity_decoding(ONES, ONES, ONES, ONES, lag_bins=9),
            r"9 bins later.*4 bins have none\. Check",
        ),
        (
            lambda: metrics.velocity_decoding(ONES, ONES[:2], ONES, ONES),
            r"same trials and bins, got shapes \(3, 4, 2\) and \(2, 4, 2\)",
        ),
        (
            lambda: metrics.velocity_decoding(np.log(0 * ONES), ONES, ONES, ONES),
            r"NaN or infinity.*\. Pass the",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_mistakes_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()

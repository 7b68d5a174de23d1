"""Calibration: the spread of rates, from hidden entries alone, holds the true rates as often as it says."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.evaluation.metrics import counts_coverage, truth_coverage
from lfadsx.inference import spread_calibration as calibrating
from lfadsx.results.posterior import Posterior

SCALE = np.full((1, 1, 1), 0.5)


def sums_of(true, mean, samples, counts, hidden):
    """Returns numerator and denominator of kappa for rates, samples about them and counts."""
    post = type("Inferred", (), dict(n_samples=len(samples), samples={"rates": samples}, variance={}, input_group="x"))
    return calibrating._sums(post, counts, hidden, np.broadcast_to(SCALE, (len(true), 1, true.shape[2])))


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.2])
def test_kappa_is_found_from_counts_alone(kappa):
    """Errors of the rates have the posterior's spread and the missing one; noise of the counts does not disturb."""
    rng = np.random.default_rng(0)
    shape, scale, n = (4000, 20, 3), 0.5, 8
    spread = scale * rng.uniform(0.02, 0.2, (shape[0], 1, 1))  # posteriors of some trials are wider than of others
    slow = lambda *size: np.broadcast_to(rng.normal(size=(*size, shape[0], 1, shape[2])), (*size, *shape))  # noqa: E731
    mean = np.full(shape, scale)
    error = np.sqrt(spread**2 + kappa * scale * spread)
    counts = rng.poisson(np.maximum(mean + error * slow(), 0.0))
    samples = mean + spread * slow(n)
    centred = samples + (mean - samples.mean(0)) + spread * slow() / np.sqrt(n)  # their mean errs
    hidden = rng.random(shape) < 0.5
    found, error_of = calibrating._ratio(sums_of(mean, mean, centred, counts, hidden), 0)
    assert abs(found - kappa) < 4 * error_of + 0.02 and error_of < 0.12


@pytest.mark.parametrize(("ratio", "error"), [(0.3, 0.01), (-2.0, 5.0), (1.4, 1.0), (0.0, np.inf)])
def test_a_ratio_that_is_known_badly_is_drawn_to_the_usual_one(ratio, error):
    """The result is the mean of the normal law with which both agree."""
    grid = np.linspace(-40, 40, 800001)
    log_law = -(((grid - ratio) / error) ** 2) / 2 - (grid - calibrating.USUAL) ** 2 / 2 / calibrating.USUAL**2
    law = np.exp(log_law - log_law.max())
    mean = (law * grid).sum() / law.sum()
    found, error_of = calibrating._with_usual(ratio, error)
    assert found == pytest.approx(mean, abs=1e-4)
    assert error_of == pytest.approx(np.sqrt((law * (grid - mean) ** 2).sum() / law.sum()), rel=1e-3)


def test_few_trials_are_measured_several_times(small):
    """Each trial is measured with several choices of hidden entries, all trials as often."""
    data, _ = small
    portions = calibrating._portions(data.valid, 4, 1e9)
    assert [mask for mask, _ in portions] == list(range(calibrating.MOST_MASKS))
    assert all(len(rows) == data.valid.n_trials for _, rows in portions)


def test_entries_that_the_encoder_saw_are_not_used():
    """Counts of entries that were not hidden do not change the result."""
    rng = np.random.default_rng(1)
    shape = (6, 20, 3)
    samples, hidden = rng.gamma(5, 0.1, (4, *shape)), rng.random(shape) < 0.5
    counts = rng.poisson(0.5, shape)
    one = sums_of(counts, None, samples, counts, hidden)
    np.testing.assert_array_equal(one, sums_of(counts, None, samples, counts + 100 * ~hidden, hidden))
    assert not np.array_equal(one, sums_of(counts, None, samples, counts + 1, hidden))


@pytest.fixture(scope="module")
def small():
    data = lfadsx.datasets.chaotic_rnn(conditions=6, duration=0.3, held_out=5)
    return data, lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=nnx.Rngs(0))


def test_calibration_widens_spreads_and_keeps_rates(small, tmp_path):
    """Rates stay, the spread becomes that of the formula, and the file of a posterior says so."""
    data, model = small
    scale = {data.sessions[0].name: np.linspace(0.1, 1.0, 50, dtype=np.float32)}
    calibration = lfadsx.Calibration(0.7, 0.1, scale, "valid", 10)
    raw = lfadsx.infer(model, data, n_samples=4, samples=True)
    post = lfadsx.infer(model, data, n_samples=4, samples=True, calibration=calibration)
    std = raw.rates_std["spikes"]
    np.testing.assert_array_equal(raw.rates["spikes"], post.rates["spikes"])
    wider = np.sqrt(std**2 + 0.7 * std * scale[data.sessions[0].name])
    np.testing.assert_allclose(post.rates_std["spikes"], wider, rtol=1e-5)
    whole = post.samples["rates"].min(0) > 0  # elsewhere a sample would be below 0
    assert whole.mean() > 0.9
    np.testing.assert_allclose(post.samples["rates"].std(0)[whole], wider[whole], rtol=2e-3)
    np.testing.assert_allclose(post.samples["rates"].mean(0)[whole], post.rates["spikes"][whole], rtol=2e-3)
    post.save(tmp_path / "post.h5")
    read = lfadsx.read_posterior(tmp_path / "post.h5")
    assert read.kappa == 0.7 and raw.kappa is None
    with pytest.raises(lfadsx.LfadsxError, match="must not be calibrated"):
        read.calibrated(calibration)
    raw.save(tmp_path / "raw.h5")
    assert lfadsx.read_posterior(tmp_path / "raw.h5").kappa is None


def test_calibration_of_a_model_and_its_file(small, tmp_path):
    """Portions of trials give the result of all at once; a file gives the calibration back, a damaged one an error."""
    data, model = small
    one = lfadsx.calibrate(model, data, n_samples=4)
    in_portions = lfadsx.calibrate(model, data, n_samples=4, memory=0.5)
    assert calibrating.MOST_MASKS < len(calibrating._portions(data.valid, 4, 0.5))
    assert abs(in_portions.kappa - one.kappa) < 3 * one.error  # trials have other samples
    assert one.n_trials == data.valid.n_trials and one.split == "valid" and one.error > 0
    file = one.save(tmp_path / "calibration.json")
    read = lfadsx.Calibration.read(file)
    np.testing.assert_array_equal(read.scale["chaotic_rnn"], one.scale["chaotic_rnn"])
    assert dataclasses.replace(read, scale={}) == dataclasses.replace(one, scale={})
    file.write_text("{}")
    with pytest.raises(lfadsx.RunError, match="cannot be read"):
        lfadsx.Calibration.read(file)
    with pytest.raises(lfadsx.LfadsxError, match="at least 2"):
        lfadsx.calibrate(model, data, n_samples=1)


def test_forward_bins_and_absent_channels_are_left_out():
    """Bins after the encoder's, and sessions with fewer neurons, neither break nor enter the calibration."""
    days = [lfadsx.datasets.chaotic_rnn(conditions=4, neurons=n, duration=0.3, session=f"day{n}") for n in (50, 30)]
    data = lfadsx.data.concatenate(*days)
    model = lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=nnx.Rngs(0))
    found = lfadsx.calibrate(model, data, n_samples=4)
    assert np.isfinite(found.kappa) and not found.scale["day30"][30:].any() and found.scale["day30"][:30].all()
    spread = found.spread(("day30", "unknown"), 50)
    np.testing.assert_allclose(spread[0], found.kappa * found.scale["day30"], rtol=1e-6)
    assert not spread[1].any()


def test_interval_has_the_asked_level(small):
    """Bounds are quantiles of a normal law about the rates; counts are never below 0."""
    data, model = small
    post = lfadsx.infer(model, data, n_samples=4)
    rates, std = post.rates["spikes"], post.rates_std["spikes"]
    low, high = post.interval(0.9)
    np.testing.assert_allclose(high, rates + 1.6449 * std, rtol=1e-4)
    np.testing.assert_allclose(low, np.maximum(rates - 1.6449 * std, 0), rtol=1e-4, atol=1e-7)
    wide: Posterior = dataclasses.replace(post, rates_std={"spikes": 10 * rates})
    assert wide.interval(0.9)[0].min() == 0
    with pytest.raises(lfadsx.LfadsxError, match="between 0 and 1"):
        post.interval(90)


@pytest.mark.parametrize(("claimed", "low", "high"), [(1.0, 0.88, 0.92), (0.2, 0.5, 0.8), (5.0, 0.95, 1.0)])
def test_counts_coverage_is_the_level_only_for_the_true_spread(claimed, low, high):
    """With the true rates' mean and spread 90 % intervals hold 90 % of the counts; else fewer or more."""
    rng = np.random.default_rng(0)
    mean, std = 2.0, 1.0
    rates = rng.gamma((mean / std) ** 2, std**2 / mean, (2000, 1, 4)).repeat(20, axis=1)
    counts = rng.poisson(rates)
    given = np.full(rates.shape, mean), np.full(rates.shape, claimed * std)
    assert low < counts_coverage(*given, counts, 0.9) < high
    assert np.isnan(counts_coverage(*given, counts, 0.9, np.zeros(counts.shape, bool)))


def test_truth_coverage_leaves_out_what_is_not_scored():
    """Only known and scored values count."""
    truth = np.array([0.0, 1.0, 2.0, np.nan]).reshape(1, 4, 1)
    low, high, mask = np.zeros(truth.shape), np.ones(truth.shape), np.array([1, 0, 1, 1], bool).reshape(truth.shape)
    assert truth_coverage(low, high, truth) == pytest.approx(2 / 3)
    assert truth_coverage(low, high, truth, mask) == 0.5

"""Baselines: scored entries, visible data, sessions and lengths, scores on real recordings."""

import dataclasses

import numpy as np
import pytest
from making import several_sessions
from sklearn.linear_model import PoissonRegressor
from threadpoolctl import threadpool_limits

from lfadsx.data import batch, concatenate, from_arrays, read
from lfadsx.data.condition_labels import has_label
from lfadsx.evaluation import baselines
from lfadsx.evaluation.baselines.poisson_fit import PoissonFit
from lfadsx.evaluation.metrics import bits_per_spike
from lfadsx.types import TargetGroup


@pytest.fixture(autouse=True)
def one_thread():
    """Uses few threads: small products gain nothing from more, and lose time beside other programs."""
    with threadpool_limits(1):
        yield


ALL = (
    baselines.mean_rate,
    baselines.time_course,
    baselines.condition_average,
    baselines.smoothed_data,
    baselines.poisson_regression,
)


def shared_drive(n_trials=80, n_bins=12, n_channels=9, *, held_out=3, seed=0, **settings):
    """Neurons that follow one slow signal of their own trial and a time course; two conditions."""
    rng = np.random.default_rng(seed)
    drive = np.repeat(rng.normal(size=(n_trials, n_bins // 3, 1)), 3, axis=1)
    condition = np.arange(n_trials) % 2
    course = np.sin(np.linspace(0, 3, n_bins))[:, None] * (1 + condition[:, None, None])
    rates = np.exp(0.3 + 0.7 * drive * rng.uniform(0.5, 1.0, n_channels) + 0.4 * course)
    given = dict(held_out=held_out, condition=condition, valid_fraction=0.25, test_fraction=0.25)
    return from_arrays(rng.poisson(rates), **(given | settings))


def change_targets(split, where, value=0):
    counts = split.targets["spikes"].copy()
    counts[where] = value
    return dataclasses.replace(split, targets={"spikes": counts})


@pytest.mark.parametrize("name", ["train", "valid"])
def test_scored_mask_equals_that_of_a_batch(name):
    data = several_sessions()
    mask = baselines.scored_mask(data.splits[name], data)
    np.testing.assert_array_equal(mask, np.asarray(batch(data, name).scored("spikes")))


def test_held_out_channels_of_each_session():
    held_out = baselines.held_out_channels(several_sessions())
    assert [np.flatnonzero(row).tolist() for row in held_out] == [[1, 4], [1]]


@pytest.mark.parametrize("baseline", ALL)
def test_rates_are_positive_and_missing_only_where_they_should(baseline):
    data = several_sessions()
    held_out = baselines.held_out_channels(data)[data.valid.session][:, None, :]
    widths = np.array([session.n_targets["spikes"] for session in data.sessions])[data.valid.session]
    exists = (np.arange(6) < widths[:, None])[:, None, :] & np.ones((1, data.valid.n_bins, 1), bool)
    if baseline is baselines.smoothed_data:
        exists = exists & ~held_out
    if baseline is baselines.poisson_regression:
        seen = np.arange(data.valid.n_bins) < data.valid.encoder_length[:, None]
        exists = exists & held_out & seen[:, :, None]
    if baseline is baselines.condition_average:
        same = {name: dataclasses.replace(s, condition=np.zeros(s.n_trials)) for name, s in data.splits.items()}
        data = dataclasses.replace(data, **same)
    rates = baseline(data, data.valid)
    assert (rates[exists] > 0).all()
    np.testing.assert_array_equal(np.isnan(rates), ~exists)


@pytest.mark.parametrize("baseline", ALL)
def test_sessions_are_treated_apart(baseline):
    one, two = shared_drive(seed=1, session="one"), shared_drive(30, 9, 7, seed=2, session="two")
    fixed = {
        baselines.mean_rate: {},
        baselines.poisson_regression: {"widths": (1.4,), "penalties": (0.1,)},
        baselines.smoothed_data: {"width": 2.0, "shrinkage": 4.0},
    }.get(baseline, {"width": 1.0})
    both = concatenate(one, two)
    rates = baseline(both, both.test, **fixed)
    for index, alone in enumerate((one, two)):
        expected = baseline(alone, alone.test, **fixed)
        _, n_bins, n_channels = expected.shape
        part = rates[both.test.session == index][:, :n_bins, :n_channels]
        np.testing.assert_allclose(part, expected, rtol=1e-6)


@pytest.mark.parametrize("baseline", ALL)
def test_nothing_is_learned_from_the_scored_trials(baseline):
    data = shared_drive()
    held_out = baselines.held_out_channels(data)[0]
    changed = change_targets(data.test, np.s_[:, :, held_out], 9)
    np.testing.assert_array_equal(baseline(data, changed)[..., held_out], baseline(data, data.test)[..., held_out])


def test_time_course_without_smoothing_is_the_mean_over_training_trials():
    data = shared_drive()
    rates = baselines.time_course(data, data.test, width=0.0)
    counts = data.train.targets["spikes"]
    mean = (counts.sum((0, 1)) + 0.5) / counts[..., 0].size
    np.testing.assert_allclose(rates[0], (counts.sum(0) + mean) / (len(counts) + 1))
    np.testing.assert_array_equal(rates[0], rates[-1])


def test_condition_average_tells_conditions_apart_and_falls_back_to_the_time_course():
    data = shared_drive(600, n_channels=4, held_out=1)
    rates = baselines.condition_average(data, data.test, width=0.0)
    for label in (0, 1):
        of_test = rates[data.test.condition == label]
        counts = data.train.targets["spikes"][data.train.condition == label]
        np.testing.assert_allclose(of_test[0], counts.mean(0), rtol=0.05)
    unknown = dataclasses.replace(data.test, condition=np.full(data.test.n_trials, 7))
    np.testing.assert_allclose(
        baselines.condition_average(data, unknown, width=1.0), baselines.time_course(data, unknown, width=1.0)
    )


def test_smoothed_data_without_the_own_bin_do_not_depend_on_it():
    data = shared_drive()
    changed = data.test.encoder_input.copy()
    changed[:, 5] = 9
    other = dataclasses.replace(data.test, encoder_input=changed)
    fixed = dict(width=1.0, shrinkage=1.0)
    for own_bin in (False, True):
        before, after = (baselines.smoothed_data(data, split, own_bin=own_bin, **fixed) for split in (data.test, other))
        assert np.array_equal(before[:, 5], after[:, 5], equal_nan=True) != own_bin
        assert not np.array_equal(before[:, 4], after[:, 4], equal_nan=True)


def test_smoothed_data_do_not_use_hidden_entries():
    data = shared_drive()
    observed = np.ones(data.test.encoder_input.shape, dtype=bool)
    observed[:, 5] = False
    hidden = dataclasses.replace(data.test, encoder_observed=observed)
    changed = np.where(observed, data.test.encoder_input, 9)
    np.testing.assert_array_equal(
        baselines.smoothed_data(data, hidden, width=1.0, shrinkage=1.0),
        baselines.smoothed_data(data, dataclasses.replace(hidden, encoder_input=changed), width=1.0, shrinkage=1.0),
    )


def test_regression_uses_the_other_neurons_of_the_trial():
    data = shared_drive(200)
    held_out = baselines.held_out_channels(data)[0]
    counts = data.test.targets["spikes"][..., held_out]
    bits = {
        name: bits_per_spike(rates[..., held_out], counts).value
        for name, rates in baselines.fit_baselines(data, data.test).items()
        if name != "smoothed spikes"
    }
    assert bits["Poisson regression"] > bits["condition average"] + 0.02 > bits["time course"]


def test_settings_are_those_that_explain_the_valid_split_best():
    data = shared_drive()
    valid = {
        width: bits_per_spike(baselines.time_course(data, data.valid, width=width), data.valid.targets["spikes"]).value
        for width in baselines.WIDTHS
    }
    best = max(valid, key=valid.__getitem__)
    np.testing.assert_array_equal(
        baselines.time_course(data, data.test), baselines.time_course(data, data.test, width=best)
    )


@pytest.mark.parametrize("penalty", [0.3, 1e-3])
def test_regressions_fitted_at_once_are_those_of_scikit_learn(penalty):
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(300, 6)), 2, axis=1) + rng.normal(size=(300, 12))  # correlated
    counts = rng.poisson(np.exp(features @ rng.normal(size=(12, 3)) / 5 - [0, 1, 3]))
    scored = rng.random(counts.shape) < 0.8
    fit = PoissonFit(features, np.where(scored, counts, 9), scored)
    fit.fit(1.0)
    weights, intercept = fit.fit(penalty)
    for channel in range(3):
        own = scored[:, channel]
        alone = PoissonRegressor(alpha=penalty, tol=1e-8).fit(features[own], counts[own, channel])
        np.testing.assert_allclose(weights[:, channel], alone.coef_, atol=2e-3)
        np.testing.assert_allclose(intercept[channel], alone.intercept_, atol=2e-3)


def test_a_held_out_neuron_that_never_fires_gets_its_small_mean_rate():
    data = shared_drive()
    silent = change_targets(data.train, np.s_[:, :, 8])
    data = dataclasses.replace(data, train=silent)
    rates = baselines.poisson_regression(data, data.test)[..., 8]
    np.testing.assert_allclose(rates, 0.5 / silent.targets["spikes"][..., 0].size)


def laps():
    """Trials of different length, whose end is told by activity; two held-in neurons first fire in the test trials."""
    rng, counts = np.random.default_rng(0), []
    for n_bins in rng.integers(8, 25, 40):
        at_end = (np.arange(n_bins) >= n_bins - 3)[:, None]
        counts.append(rng.poisson(np.exp(2.0 * at_end - 1.5) * np.ones(8)))
        counts[-1][:, :2] = 0
    data = from_arrays(counts, held_out=2, bin_width=0.05, test_fraction=0.2)
    fires = data.test.encoder_input.copy()
    fires[:, 0, 1] = 1
    return dataclasses.replace(data, test=dataclasses.replace(data.test, encoder_input=fires))


def test_a_neuron_that_is_silent_in_training_tells_the_regression_nothing():
    data = laps()
    quiet = data.test.encoder_input.copy()
    quiet[:, :, 1] = 0
    quiet = dataclasses.replace(data.test, encoder_input=quiet)
    rates = baselines.poisson_regression(data, data.test)
    scored = baselines.scored_mask(data.test, data) & baselines.held_out_channels(data)[0]
    assert np.isfinite(rates[scored]).all() and rates[scored].max() < 10
    np.testing.assert_array_equal(rates, baselines.poisson_regression(data, quiet))


def test_rates_of_trials_unlike_all_of_training_end_at_a_limit_and_that_is_said(caplog):
    data = shared_drive(40, held_out=2)
    strange = data.test.encoder_input.copy()
    strange[0] = 255
    strange = dataclasses.replace(data.test, encoder_input=strange)
    rates = baselines.poisson_regression(data, strange, widths=(1.4,), penalties=(1e-3,))[..., -2:]
    largest = data.train.targets["spikes"][..., -2:].max((0, 1)).astype(float)
    np.testing.assert_array_equal(rates.max((0, 1)), 10 * largest)
    assert "rates of the Poisson regression (session session) are at their upper limit" in caplog.text


def test_real_data_get_baselines_in_their_own_unit():
    data = shared_drive(n_channels=5, held_out=1)
    real = {
        name: dataclasses.replace(
            split,
            encoder_input=split.encoder_input.astype(np.float32) - 2,
            targets={"spikes": split.targets["spikes"].astype(np.float32) - 2},
        )
        for name, split in data.splits.items()
    }
    real = dataclasses.replace(data, **real, groups={"spikes": TargetGroup("real")})
    values = real.train.targets["spikes"]
    found = baselines.fit_baselines(real, real.test)
    assert list(found) == ["mean", "time course", "condition average", "smoothed data"]
    np.testing.assert_allclose(found["mean"][0, 0], values.mean((0, 1), dtype=float), rtol=1e-6)
    errors = {name: np.nanmean((rates - real.test.targets["spikes"]) ** 2) for name, rates in found.items()}
    assert errors["mean"] > errors["time course"] > errors["condition average"]
    valid = {
        width: np.sum((baselines.time_course(real, real.valid, width=width) - real.valid.targets["spikes"]) ** 2)
        for width in baselines.WIDTHS
    }
    best = baselines.time_course(real, real.test, width=min(valid, key=valid.__getitem__))
    np.testing.assert_array_equal(found["time course"], best)


@pytest.mark.parametrize("labels", [np.array([0.0, np.nan]), np.array(["left", ""])])
def test_trials_without_a_label_take_no_part_in_condition_averages(labels):
    data = shared_drive()
    with_gaps = {
        name: dataclasses.replace(split, condition=labels[split.condition.astype(int)])
        for name, split in data.splits.items()
    }
    gaps = dataclasses.replace(data, **with_gaps)
    rates = baselines.condition_average(gaps, gaps.test, width=1.0)
    labelled = has_label(gaps.test.condition)
    assert 0 < labelled.sum() < len(labelled)
    expected = baselines.condition_average(data, data.test, width=1.0)
    np.testing.assert_allclose(rates[labelled], expected[labelled])
    np.testing.assert_allclose(rates[~labelled], baselines.time_course(data, data.test, width=1.0)[~labelled])


def test_baselines_that_do_not_apply_are_left_out():
    data = shared_drive(20, held_out=0, condition=None)
    assert list(baselines.fit_baselines(data, data.test)) == ["time course", "smoothed spikes"]
    data = shared_drive(20)
    assert "Poisson regression" not in baselines.fit_baselines(data, data.test, regression=False)


def test_mistakes_are_explained():
    data = shared_drive(20, condition=None)
    with pytest.raises(ValueError, match=r"needs the condition.*\. Give both splits conditions"):
        baselines.condition_average(data, data.test)
    with pytest.raises(ValueError, match="`shrinkage` must be above 0 bins, got 0"):
        baselines.smoothed_data(data, data.test, shrinkage=0.0)
    with pytest.raises(ValueError, match="at least 0 bins .*, got -1"):
        baselines.time_course(data, data.test, width=-1.0)


def co_bps(data, rates):
    held_out = baselines.held_out_channels(data)[0]
    return bits_per_spike(rates[..., held_out], data.test.targets["spikes"][..., held_out]).value


def test_known_figures_of_reaching_data(recordings):
    data = read(recordings / "macaque_reach_day31" / "heldout6.h5")
    rates = baselines.fit_baselines(data, data.test, regression=False)
    assert co_bps(data, rates["time course"]) == pytest.approx(0.036, abs=0.002)
    assert co_bps(data, rates["condition average"]) == pytest.approx(0.066, abs=0.002)
    # The settings that the valid split chooses; choosing takes twenty times as long.
    regression = baselines.poisson_regression(data, data.test, widths=(2.8,), penalties=(0.03,))
    assert co_bps(data, regression) == pytest.approx(0.057, abs=0.004)


def test_known_figures_of_decision_data(recordings):
    data = read(recordings / "kiani_pfc_monkey2" / "heldout42.h5")
    assert co_bps(data, baselines.time_course(data, data.test)) == pytest.approx(0.037, abs=0.002)
    # Three of the held-out neurons and fixed settings: a hundredth of the time.
    held_out = np.flatnonzero(baselines.held_out_channels(data)[0])
    few = [*range(held_out[0]), *held_out[::14]]
    small = dataclasses.replace(
        data,
        **{name: change_channels(split, few) for name, split in data.splits.items()},
        sessions=(dataclasses.replace(data.sessions[0], n_targets={"spikes": len(few)}, channel_names={}),),
    )
    rates = baselines.poisson_regression(small, small.test, widths=(0.7,), penalties=(1e-3,))
    assert co_bps(small, rates) > co_bps(small, baselines.time_course(small, small.test, width=0.0)) + 0.05


def change_channels(split, channels):
    return dataclasses.replace(split, targets={"spikes": split.targets["spikes"][:, :, channels]})

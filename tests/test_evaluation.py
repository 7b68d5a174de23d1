"""Evaluation: scored entries, sessions, baselines, and the results as text and JSON."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from making import several_sessions
from threadpoolctl import threadpool_limits

import lfadsx
from lfadsx import evaluation
from lfadsx.data import concatenate, from_arrays
from lfadsx.evaluation import baselines, format_table, metrics, score_posteriors
from lfadsx.evaluation.details import level_of_trials
from lfadsx.results.posterior import Posterior
from lfadsx.types import TimeAxis

N_TRIALS, N_BINS, N_CHANNELS, FORWARD = 60, 12, 6, 3


@pytest.fixture(autouse=True)
def one_thread():
    """Uses few threads: small products gain nothing from more, and lose time beside other programs."""
    with threadpool_limits(1):
        yield


def true_rates(seed=0, n_trials=N_TRIALS):
    """Rates of trials in three conditions, and the two latent signals behind them."""
    rng = np.random.default_rng(seed)
    of_condition, of_trial = rng.normal(size=(3, N_BINS, 2)), rng.normal(size=(n_trials, N_BINS, 2))
    latent = metrics.smooth(2.5 * of_condition[np.arange(n_trials) % 3] + 1.5 * of_trial, 1.5)
    return np.exp(0.5 + 0.6 * latent @ rng.normal(size=(2, N_CHANNELS))), latent


def simulate(seed=0, **settings):
    rates, latent = true_rates(seed)
    spikes = np.random.default_rng(seed + 1).poisson(rates)
    given = dict(
        held_out=2,
        forward_bins=FORWARD,
        truth=rates,
        truth_unit="counts per bin",
        true_inputs=latent,
        condition=np.arange(N_TRIALS) % 3,
        behaviour=latent @ np.array([[1.0, 0.3], [-0.4, 1.0]]),
        bin_width=0.02,
        valid_fraction=0.25,
        test_fraction=0.25,
    )
    return from_arrays(spikes, **(given | settings))


def posterior(split, rates, inputs=None, group="spikes"):
    """A posterior with given rates and inputs and a generator that moves; everything else is zero."""
    n_trials, n_bins = rates.shape[:2]
    none, path = np.zeros((n_trials, 1)), np.zeros((n_trials, n_bins, 1))
    return Posterior(
        rates={group: rates},
        rates_std={},
        factors=path,
        initial_condition=none,
        ic_mean=none,
        ic_std=none,
        initial_state=none,
        generator_states=np.random.default_rng(0).normal(size=path.shape),
        inputs=inputs,
        inputs_std=None,
        input_mean=None,
        input_std=None,
        controller_states=None,
        encoding=None,
        trial_id=split.trial_id,
        session=split.session,
        length=split.target_length,
        n_samples=1,
        seed=0,
    )


def truths(data):
    """Posteriors that know the true rates, and the true inputs but for scale, sign and offset."""
    return {
        name: posterior(split, np.asarray(split.truth, float), 3 - 2 * np.asarray(split.true_inputs, float))
        for name, split in data.splits.items()
    }


@pytest.fixture(scope="module")
def data():
    return simulate()


@pytest.fixture(scope="module")
def fitted(data):
    with threadpool_limits(1):
        return baselines.fit_baselines(data, data.test)


@pytest.fixture(scope="module")
def found(data, fitted):
    hidden = np.zeros(data.test.targets["spikes"].shape, dtype=bool)
    hidden[:, :9, :4] = np.random.default_rng(0).random((data.test.n_trials, 9, 4)) < 0.2
    return score_posteriors(data, truths(data), (data.test.truth, hidden), baselines=fitted), hidden


def test_each_score_is_about_its_own_entries(data, found):
    result, hidden = found
    counts, rates = data.test.targets["spikes"], data.test.truth
    seen = N_BINS - FORWARD
    expected = {
        "bits_per_spike": metrics.bits_per_spike(rates[:, :seen, :4], counts[:, :seen, :4]).value,
        "co_bps": metrics.bits_per_spike(rates[:, :seen, 4:], counts[:, :seen, 4:]).value,
        "masked_bps": metrics.bits_per_spike(rates, counts, mask=hidden).value,
        "fp_bps": metrics.bits_per_spike(rates[:, seen:], counts[:, seen:]).value,
    }
    assert {name: result.scores[name] for name in expected} == pytest.approx(expected)
    assert result.scores["split"] == "test"
    assert list(result.scores) == ["split", *evaluation.MEASURES]


def test_true_rates_explain_everything_that_can_be_explained(found):
    result, _ = found
    assert result.scores["rates_r2"] == pytest.approx(1.0)
    assert result.detail["rates"]["r2_pooled"] == pytest.approx(1.0)
    assert result.scores["inputs_r2"] == pytest.approx(1.0)
    assert result.detail["inputs"]["r2_pooled"] == pytest.approx(1.0)
    assert result.scores["velocity_r2"] > 0.9
    assert 0 < result.detail["rates"]["floor_shuffled"] < 0.8
    assert result.detail["psth"]["kernel_bins"] == 2.5
    assert result.scores["psth_r2"] > result.detail["psth"]["split_halves"] > 0


def test_aligned_inputs_lie_on_the_true_ones(data, found):
    result, _ = found
    np.testing.assert_allclose(result.aligned_inputs, data.test.true_inputs, atol=1e-5)


def test_everything_is_ready_for_json(found):
    result, _ = found
    for part in (result.scores, result.detail, result.table):
        assert json.loads(json.dumps(part, allow_nan=False)) == part


def test_the_table_has_the_model_first_and_a_dash_where_a_baseline_says_nothing(found):
    result, _ = found
    table = {row["model"]: row for row in result.table}
    assert list(table) == [
        "lfads",
        "time course",
        "condition average",
        "smoothed spikes",
        "Poisson regression",
    ]
    assert table["lfads"]["co_bps"] == result.scores["co_bps"]
    assert table["smoothed spikes"]["co_bps"] is None
    assert table["smoothed spikes"]["velocity_r2"] is not None
    assert table["Poisson regression"]["co_bps"] is not None
    assert table["Poisson regression"]["bits_per_spike"] is None
    assert table["Poisson regression"]["fp_bps"] is None


def test_smoothed_spikes_do_not_see_the_entry_they_are_scored_on_as_masked(data, found):
    result, hidden = found
    row = next(row for row in result.table if row["model"] == "smoothed spikes")
    rates = baselines.smoothed_data(data, data.test, own_bin=False)
    expected = metrics.bits_per_spike(rates, data.test.targets["spikes"], mask=hidden)
    assert row["masked_bps"] == pytest.approx(expected.value)


def test_the_model_is_compared_with_the_best_baseline(data, found, fitted):
    result, _ = found
    for measure in ("co_bps", "fp_bps", "masked_bps"):
        difference = result.detail["difference"][measure]
        best = max(result.table[1:], key=lambda row: -np.inf if row[measure] is None else row[measure])
        assert difference["baseline"] == best["model"]
        assert difference["value"] == pytest.approx(result.scores[measure] - best[measure])
        assert 0 < difference["low"] < difference["value"] < difference["high"]
    assert "bits_per_spike" not in result.detail["difference"]


def test_bits_against_three_nulls(found):
    nulls = found[0].detail["nulls"]["co_bps"]
    assert list(nulls) == ["scored mean", "training mean", "condition average"]
    assert nulls["scored mean"] == found[0].scores["co_bps"]
    assert nulls["training mean"] > nulls["scored mean"]


def test_silent_neurons_are_named_and_leave_the_difference_consistent():
    names = tuple("abcdef")
    data = simulate(seed=3, channel_names=names)
    counts = data.test.targets["spikes"].copy()
    counts[:, :, 5] = 0
    data = dataclasses.replace(data, test=dataclasses.replace(data.test, targets={"spikes": counts}))
    result = score_posteriors(data, truths(data))
    assert result.detail["silent"]["co_bps"] == {"session": ["f"]}
    assert result.detail["per_neuron"]["co_bps"]["session"][5] is None
    rows = {row["model"]: row["co_bps"] for row in result.table}
    difference = result.detail["difference"]["co_bps"]
    assert difference["value"] == pytest.approx(rows["lfads"] - rows[difference["baseline"]])


def test_sessions_are_scored_apart_and_pooled():
    one, two = simulate(seed=1, session="one"), simulate(seed=2, session="two", truth_unit="counts per bin")
    both = concatenate(one, two)
    apart = [score_posteriors(data, truths(data), baselines={}) for data in (one, two)]
    pooled = score_posteriors(both, truths(both), baselines={})
    for measure in ("bits_per_spike", "co_bps", "fp_bps"):
        spikes = [result.detail["n_spikes"][measure] for result in apart]
        expected = np.average([result.scores[measure] for result in apart], weights=spikes)
        assert pooled.scores[measure] == pytest.approx(expected)
    for measure in ("velocity_r2", "psth_r2"):
        assert pooled.scores[measure] == pytest.approx(np.mean([result.scores[measure] for result in apart]))
    assert set(pooled.detail["per_neuron"]["co_bps"]) == {"one", "two"}


def test_a_split_with_ragged_trials_missing_entries_and_two_sessions_is_scored():
    data = several_sessions()
    scored = baselines.scored_mask(data.valid, data)
    rates = np.where(scored, 1.5, np.nan)
    result = score_posteriors(data, {"valid": posterior(data.valid, rates)}, n_bootstrap=20)
    assert all(np.isfinite(result.scores[name]) for name in ("bits_per_spike", "co_bps", "fp_bps"))
    assert any("valid trials scored here were used" in note for note in result.detail["notes"])


def test_a_truth_in_hertz_is_compared_in_counts_and_one_without_unit_by_correlation_only(data):
    in_hertz = simulate(truth=true_rates()[0] / 0.02, truth_unit="Hz")
    with_hertz = score_posteriors(in_hertz, truths(data), baselines={}).detail["rates"]
    assert with_hertz["r2_pooled"] == pytest.approx(1.0)
    in_unit_of_the_data = simulate(truth_unit="data")
    with_that_unit = score_posteriors(in_unit_of_the_data, truths(data), baselines={}).detail["rates"]
    assert with_that_unit["r2_pooled"] == pytest.approx(1.0) and with_that_unit["truth_unit"] == "data"
    relative = simulate(truth_unit="relative")
    without_unit = score_posteriors(relative, truths(data), baselines={}).detail["rates"]
    assert without_unit["r2_pooled"] is None and without_unit["r2"] == pytest.approx(1.0)


def test_real_numbers_whose_truth_has_their_unit_get_a_pooled_r2():
    rates = true_rates()[0] - 3
    noisy = rates + np.random.default_rng(0).normal(size=rates.shape)
    data = from_arrays(
        noisy, truth=rates, truth_unit="data", true_inputs=np.zeros((N_TRIALS, N_BINS, 1)), kind="real",
        bin_width=0.02,
    )  # fmt: skip
    result = score_posteriors(data, truths(data), baselines={})
    assert result.detail["rates"]["r2_pooled"] == pytest.approx(1.0)
    assert result.scores["inputs_r2"] is None  # inputs that are 0 everywhere cannot be correlated with


def test_behaviour_is_decoded_at_its_lag(data):
    late = {}
    for name, split in data.splits.items():
        behaviour = np.full(split.behaviour.shape, np.nan)
        behaviour[:, 2:] = split.behaviour[:, :-2]
        late[name] = dataclasses.replace(split, behaviour=behaviour)
    lagged = dataclasses.replace(data, behaviour_lag=0.04, **late)
    result = score_posteriors(lagged, truths(data), baselines={})
    assert result.scores["velocity_r2"] > 0.9
    assert result.detail["velocity"]["lag_bins"] == 2
    with pytest.raises(ValueError, match=r"the lag is 0\.04 s and the width is unknown\. Give the data set"):
        score_posteriors(dataclasses.replace(lagged, time=TimeAxis()), truths(data), baselines={})


def test_data_that_are_no_spikes_get_r2_of_the_targets_and_no_bits():
    values = true_rates()[0] - 3
    data = from_arrays(values, held_out=2, forward_bins=FORWARD, kind="real", valid_fraction=0.3, bin_width=0.02)
    exact = {"valid": posterior(data.valid, data.valid.targets["spikes"].astype(float))}
    hidden = np.zeros(exact["valid"].rates["spikes"].shape, dtype=bool)
    hidden[:, 2, :4] = True
    result = score_posteriors(data, exact, (exact["valid"].rates["spikes"] + 1e-3, hidden))
    assert all(result.scores[name] is None for name in evaluation.BITS)
    assert [result.scores[name] for name in evaluation.R2] == pytest.approx([1.0] * 4, abs=1e-4)
    assert list(result.scores) == ["split", *evaluation.MEASURES, *evaluation.R2]
    assert [row["model"] for row in result.table] == ["lfads", "mean", "time course", "smoothed data"]


def test_other_target_groups_get_r2():
    spikes, emg = (
        np.random.default_rng(0).poisson(1.0, (20, 8, 3)),
        np.random.default_rng(1).normal(size=(20, 8, 2)),
    )
    data = from_arrays(spikes, other_targets={"emg": emg})
    rates = posterior(data.valid, np.ones(data.valid.targets["spikes"].shape))
    rates.rates["emg"] = data.valid.targets["emg"].astype(float)
    result = score_posteriors(data, {"valid": rates}, baselines={})
    assert result.detail["targets_r2"] == {"emg": {"seen": pytest.approx(1.0)}}
    assert result.scores["co_bps"] is None and result.scores["fp_bps"] is None


def test_what_needs_the_training_trials_is_left_out_without_them(data):
    result = score_posteriors(data, {"test": truths(data)["test"]}, baselines={})
    assert result.scores["velocity_r2"] is None and result.scores["inputs_r2"] is None
    assert result.aligned_inputs is None
    assert any("need the posterior of the training trials" in note for note in result.detail["notes"])


def test_without_scikit_learn_its_parts_are_left_out(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = score_posteriors(data, truths(data), n_bootstrap=20)
    assert result.scores["velocity_r2"] is None
    assert "Poisson regression" in [row["model"] for row in result.table]
    assert 'pip install "lfadsx[plot]"' in result.detail["notes"][-1]


def test_mean_rates_score_nothing(data):
    mean = np.broadcast_to(data.test.targets["spikes"].mean((0, 1)), data.test.targets["spikes"].shape)
    result = score_posteriors(data, {"test": posterior(data.test, mean.copy())}, baselines={})
    assert result.scores["psth_r2"] < 0.01
    assert result.scores["rates_r2"] == 0.0
    assert abs(result.scores["co_bps"]) < 0.05


def test_mistakes_are_explained(data):
    good = truths(data)
    with pytest.raises(ValueError, match=r"got 'rest' with data of .*'test', 'train', 'valid'.*\. Name a split"):
        score_posteriors(data, good, split="rest")
    with pytest.raises(ValueError, match=r"trial ids differ\. Infer the rates of this split"):
        other = dataclasses.replace(good["test"], trial_id=good["test"].trial_id[::-1])
        score_posteriors(data, {"test": other})
    with pytest.raises(ValueError, match=r"1 of 1080 rates of 'test' are NaN.*\. Check that training"):
        broken = good["test"].rates["spikes"].copy()
        broken[0, 0, 0] = np.nan
        score_posteriors(data, {"test": posterior(data.test, broken)})
    with pytest.raises(ValueError, match=r"got rates of shape .* and a mask of shape \(2, 2, 2\)"):
        score_posteriors(data, good, (good["test"].rates["spikes"], np.zeros((2, 2, 2), bool)))


def test_a_table_as_text():
    rows = [
        {"model": "lfads", "co_bps": 0.1257, "fp_bps": None, "psth_r2": -0.25},
        {"model": "time course", "co_bps": 0.0377, "fp_bps": None, "psth_r2": None},
    ]
    assert format_table(rows).splitlines() == [
        "model        co_bps  psth_r2",
        "lfads         0.126   -0.250",
        "time course   0.038        -",
    ]


def test_scores_divide_into_level_and_course():
    """Held-out neurons follow a gain of each trial, or a wave whose phase differs between trials."""
    rng = np.random.default_rng(0)
    level = rng.gamma(4.0, 0.25, (60, 1, 1)) * np.ones((1, 20, 6))
    course = 1 + 0.9 * np.sin(np.linspace(0, 6, 20)[None, :, None] + rng.uniform(0, 6, (60, 1, 1)))
    for rates, share in ((2 * level, 0.95), (2 * course * np.ones((60, 20, 6)), 0.2)):
        data = from_arrays(rng.poisson(rates), held_out=2, bin_width=0.02)
        model = lfadsx.autonomous(data, factors=2, generator_dim=4, ic_dim=3, ic_encoder_dim=3)
        true = rates[data.valid.row].astype(np.float32)
        post = dataclasses.replace(lfadsx.infer(model, data, "valid", n_samples=2), rates={"spikes": true})
        found = score_posteriors(data, {"valid": post}, n_bootstrap=20)
        own = found.detail["levels"]["co_bps"]["lfads"]
        assert own["level"] + own["within"] == pytest.approx(found.scores["co_bps"])
        assert own["level"] > share * found.scores["co_bps"] if share > 0.5 else own["level"] < share * own["within"]
        assert any("level of each trial" in note for note in found.detail["notes"])


def test_level_ignores_entries_that_are_not_scored():
    rng = np.random.default_rng(0)
    rates, mask = rng.random((5, 8, 3)) + 0.5, np.ones((5, 8, 3), bool)
    mask[2, 5:] = False
    level = level_of_trials(rates, mask)
    rates[2, 5:] = np.nan
    np.testing.assert_array_equal(level_of_trials(rates, mask), level)
    of_level, of_rates = level.mean(1), rates.mean(1)
    np.testing.assert_allclose(of_level[0] / of_level[1], of_rates[0] / of_rates[1])


def test_timing_is_scored_between_the_first_event_and_time_zero():
    rng = np.random.default_rng(0)
    interval, condition = rng.uniform(0.3, 0.9, 60), np.arange(60) % 2
    times = 0.05 * (np.arange(20) - 19.5)
    rates = np.exp(np.clip(1 + times / interval[:, None], 0, None)[..., None] * np.array([1.0, 0.5, -1.0]))
    settings = dict(interval=interval, condition=condition, valid_fraction=0.5, start=-1.0, event="go")
    counts = rng.poisson(rates)
    data = from_arrays(counts, bin_width=0.05, **settings)
    own = rates[data.valid.row]
    posteriors = {"valid": posterior(data.valid, own)}
    found = score_posteriors(data, posteriors, baselines={"flipped": own[::-1]}, n_bootstrap=50)
    inside = (times < 0) & (times > -interval[data.valid.row][:, None])
    expected = metrics.timing_correlation(own, interval[data.valid.row], condition[data.valid.row], inside=inside)
    assert found.scores["timing_r"] == pytest.approx(expected.value, abs=1e-4) and expected.value < -0.8
    assert found.detail["timing"]["per_group"] == {"session": pytest.approx(expected.per_group, abs=1e-4)}
    assert 0 < found.detail["errors"]["lfads"]["timing_r"] < 0.2
    unknown = from_arrays(counts, **settings)
    left_out = score_posteriors(unknown, {"valid": posterior(unknown.valid, own)}, baselines={}, n_bootstrap=50)
    assert left_out.scores["timing_r"] is None and "timing_r is left out" in str(left_out)


def test_the_best_baseline_in_timing_has_the_lowest_correlation():
    interval = np.linspace(0.3, 0.9, 40)
    times = 0.05 * (np.arange(20) - 19.5)
    rates = 1 + np.clip(1 + times / interval[:, None], 0, None)[..., None] * np.ones(3)
    settings = dict(interval=interval, valid_fraction=0.5, start=-1.0, bin_width=0.05)
    data = from_arrays(np.random.default_rng(0).poisson(rates), **settings)
    own = rates[data.valid.row]
    faster = 1 + (own - 1) * interval[data.valid.row][:, None, None] ** 3
    baselines = {"slow": own, "fast": faster}
    found = score_posteriors(data, {"valid": posterior(data.valid, own)}, baselines=baselines, n_bootstrap=50)
    assert found.detail["difference"]["timing_r"]["baseline"] == "slow"

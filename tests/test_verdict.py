"""The verdict on scores: sentences, findings, notes, paired differences, and optional values."""

import dataclasses

import numpy as np
import pytest
from test_evaluation import FORWARD, N_BINS, N_TRIALS, posterior, simulate, true_rates, truths

from lfadsx import evaluation
from lfadsx.data import from_arrays
from lfadsx.evaluation import baselines, metrics, paired_difference, score_posteriors

FAST = dict(n_bootstrap=200)


@pytest.fixture(scope="module")
def data():
    return simulate()


@pytest.fixture(scope="module")
def fitted(data):
    return baselines.fit_baselines(data, data.test, regression=False)


def hidden_entries(data):
    """A mask of entries that were hidden from an encoder that sees 4 neurons and all but the forward bins."""
    hidden = np.zeros(data.test.targets["spikes"].shape, bool)
    hidden[:, : N_BINS - FORWARD, :4] = np.random.default_rng(0).random((data.test.n_trials, N_BINS - FORWARD, 4)) < 0.2
    return hidden


def scored(data, rates, masked=None, **settings):
    """Scores of given rates of the test trials, and of the same or other rates of hidden entries."""
    masked = (rates if masked is None else masked, hidden_entries(data))
    return score_posteriors(data, {"test": posterior(data.test, rates)}, masked, **(FAST | settings))


def changed(data, name, **fields):
    return dataclasses.replace(data, **{name: dataclasses.replace(data.splits[name], **fields)})


# The verdict


def test_the_verdict_says_how_much_better_than_the_best_baseline(data, fitted):
    found = scored(data, np.asarray(data.test.truth, float), baselines=fitted)
    first, second, third = found.verdict.splitlines()
    difference = found.detail["difference"]["co_bps"]
    assert first.startswith(f"co_bps is {found.scores['co_bps']:.3f}±")
    assert f"better than the best baseline ({difference['baseline']}): {difference['value']:+.3f}" in first
    assert f"95 % interval {difference['low']:.3f} to {difference['high']:.3f}" in first
    assert second.startswith("masked_bps is") and found.findings == ()
    assert third == (
        "Judge by co_bps, masked_bps, fp_bps: the encoder did not see these entries. "
        "bits_per_spike rewards copying the data."
    )


def test_the_text_of_an_evaluation_is_table_verdict_and_findings_in_20_lines(data, fitted):
    found = scored(data, np.asarray(data.test.truth, float), baselines=fitted)
    lines = str(found).splitlines()
    assert lines[0] == "test trials" and lines[1].split()[:2] == ["model", "bits_per_spike"]
    error = found.detail["errors"]["lfads"]["co_bps"]
    assert f"{found.scores['co_bps']:.3f}±{error:.3f}" in lines[2]
    assert found.verdict in str(found) and len(lines) <= 20
    many = dataclasses.replace(found, findings=found.findings * 9, verdict="\n".join("abcdefghijklmnopqrstuvwxyz"))
    assert len(str(many).splitlines()) == 20


def test_reconstruction_alone_is_nothing_to_judge_by():
    data = simulate(held_out=0, forward_bins=0)
    found = score_posteriors(data, {"test": truths(data)["test"]}, baselines={}, **FAST)
    assert "only bits_per_spike, which rewards copying" in found.verdict


def test_standard_errors_are_those_of_the_mean_over_trials(data, fitted):
    found = scored(data, np.asarray(data.test.truth, float), baselines=fitted, n_bootstrap=2000)
    held_out, seen = baselines.held_out_channels(data)[0], N_BINS - FORWARD
    counts = data.test.targets["spikes"][:, :seen, held_out]
    saved, spikes = metrics.bits_saved(data.test.truth[:, :seen, held_out], counts)
    saved, spikes = saved.sum(1), spikes.sum(1)
    residual = saved - found.scores["co_bps"] * spikes  # the delta method for a ratio of sums
    expected = np.sqrt(np.sum(residual**2)) / spikes.sum()
    assert found.detail["errors"]["lfads"]["co_bps"] == pytest.approx(expected, rel=0.15)


# Findings


def test_a_model_that_copies_is_found(data, fitted):
    copies = data.test.targets["spikes"] + 0.05
    wrong = np.random.default_rng(0).permutation(copies)
    rates = copies.astype(float)
    rates[:, :, 4:] = wrong[:, :, 4:]
    found = scored(data, rates, wrong.astype(float), baselines=fitted)
    finding = next(finding for finding in found.findings if finding.name == "copying")
    assert finding.level == "warning" and finding.value == found.scores["bits_per_spike"] > finding.threshold
    assert "copies the data" in str(found) and "cd_rate" in finding.remedy
    assert found.detail["findings"][0]["name"] == "copying"
    honest = scored(data, np.asarray(data.test.truth, float), baselines=fitted)
    assert not honest.findings


def test_a_model_that_is_worse_than_the_condition_average_is_found(data, fitted):
    mean = np.broadcast_to(data.test.targets["spikes"].mean((0, 1)), data.test.targets["spikes"].shape).copy()
    found = scored(data, mean, baselines=fitted)
    finding, flat = found.findings
    assert flat.name == "flat rates"
    assert finding.name == "worse than the condition average" and finding.value < finding.threshold == 0
    assert "(co_bps)" in finding.sentence and finding.where == "test"


@pytest.mark.parametrize(
    ("function", "name"), [("time_course", "time course"), ("condition_average", "condition average")]
)
def test_a_baseline_that_fails_is_left_out_and_never_takes_the_scores_with_it(
    function, name, data, monkeypatch, caplog
):
    def breaks(*_):
        raise OverflowError("math range error")

    monkeypatch.setattr(f"lfadsx.evaluation.baselines.all_baselines.{function}", breaks)
    monkeypatch.setattr(f"lfadsx.evaluation.details.{function}", breaks, raising=False)
    monkeypatch.setattr("lfadsx.evaluation.candidates.has_sklearn", lambda: False)
    found = scored(data, np.asarray(data.test.truth, float))
    names = ("lfads", "time course", "condition average", "smoothed spikes", "Poisson regression")
    left = [each for each in names if each != name]
    assert [row["model"] for row in found.table] == left
    (finding,) = found.findings
    assert finding.name == "baseline failed"
    assert f"{name!r} failed and is left out (OverflowError: math range error)" in str(found)
    assert found.scores["co_bps"] > 0
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert logged and set(logged) == {OverflowError}


# Kinds of data


def test_rates_below_zero_are_scored_by_r2_though_the_data_are_counts(data, fitted):
    rates = data.test.truth - 1.0
    found = scored(data, rates, baselines=fitted)
    assert all(found.scores[name] is None for name in evaluation.BITS)
    assert np.isfinite([found.scores[name] for name in evaluation.R2]).all()
    assert "rates fall below 0" in str(found)
    assert {row["model"] for row in found.table} == {"lfads", *fitted}


def test_real_data_are_compared_with_baselines_and_not_called_neurons_or_spikes():
    rates = true_rates()[0]
    volts = np.log(rates) + 0.3 * np.random.default_rng(0).normal(size=rates.shape)
    data = from_arrays(
        volts, truth=np.log(rates), truth_unit="data", held_out=2, condition=np.arange(N_TRIALS) % 3,
        kind="real", test_fraction=0.25,
    )  # fmt: skip
    found = score_posteriors(data, {"test": posterior(data.test, np.asarray(data.test.truth, float))}, **FAST)
    table = {row["model"]: row for row in found.table}
    assert list(table) == ["lfads", "mean", "time course", "condition average", "smoothed data"]
    assert table["lfads"]["co_r2"] > table["condition average"]["co_r2"] > table["time course"]["co_r2"]
    assert abs(table["mean"]["co_r2"]) < 0.1 and table["smoothed data"]["co_r2"] is None
    assert found.detail["difference"]["co_r2"]["baseline"] == "condition average"
    assert found.verdict.startswith("co_r2 is") and "better than the best baseline" in found.verdict
    assert not any(word in str(found) for word in ("spike", "neuron", "bits"))


# Missing values


def test_a_split_with_fewer_arrays_than_training_says_which_scores_are_missing(data, fitted):
    fewer = changed(data, "test", behaviour=None, condition=None, truth=None, true_inputs=None)
    found = score_posteriors(fewer, truths(data), baselines=fitted, **FAST)
    for name, measure in (
        ("behaviour", "velocity_r2"), ("condition", "psth_r2"), ("truth", "rates_r2"), ("true_inputs", "inputs_r2"),
    ):  # fmt: skip
        assert found.scores[measure] is None
        assert f"{measure} is left out: the training trials have {name!r}, but the test trials do not." in str(found)
    assert found.scores["co_bps"] > 0
    more = changed(data, "train", behaviour=None, condition=None)
    found = score_posteriors(more, truths(data), **FAST)
    assert found.scores["velocity_r2"] is None and found.scores["psth_r2"] is not None
    assert "condition average" not in [row["model"] for row in found.table]
    assert "The condition average is left out: the test trials have 'condition', but the training" in str(found)
    of_valid = changed(data, "valid", condition=None)
    assert "condition average" in baselines.fit_baselines(of_valid, of_valid.test, regression=False)


@pytest.mark.parametrize("missing", [np.nan, None, ""])
def test_trials_without_a_label_are_left_out_of_psth_scores_only(data, missing):
    labels = data.test.condition.astype(float if missing is np.nan else object)
    if missing is not np.nan:
        labels = np.array([f"c{label}" for label in data.test.condition], object if missing is None else None)
    labels[::4] = missing
    gaps = changed(data, "test", condition=labels)
    kept = np.arange(data.test.n_trials) % 4 != 0
    found = score_posteriors(gaps, truths(data), baselines={}, **FAST)
    rates, counts = data.test.truth[kept], data.test.targets["spikes"][kept]
    expected = metrics.psth_r2(rates, counts, data.test.condition[kept], kernel_bins=2.5)
    assert found.scores["psth_r2"] == pytest.approx(expected.value)
    np.testing.assert_allclose(found.detail["psth"]["per_neuron"]["session"], expected.per_neuron)
    whole = score_posteriors(data, truths(data), baselines={}, **FAST)
    assert found.scores["co_bps"] == whole.scores["co_bps"]
    assert f"{(~kept).sum()} of {len(kept)} test trials have no condition" in str(found)


def test_no_label_at_all_gives_no_psth_score(data):
    none = changed(data, "test", condition=np.full(data.test.n_trials, np.nan))
    found = score_posteriors(none, truths(data), baselines={}, **FAST)
    assert found.scores["psth_r2"] is None and found.scores["co_bps"] > 0


# Two models


def test_two_models_are_compared_by_trial(data):
    truth = np.asarray(data.test.truth, float)
    worse = truth * np.exp(0.3 * np.random.default_rng(0).normal(size=truth.shape))
    one, other = scored(data, truth, baselines={}), scored(data, worse, baselines={})
    for measure in ("co_bps", "masked_bps", "psth_r2"):
        lead = paired_difference(measure, one, other)
        assert lead.value == pytest.approx(one.scores[measure] - other.scores[measure])
        back = paired_difference(measure, other, one)
        assert (back.value, back.error) == pytest.approx((-lead.value, lead.error))
    lead = paired_difference("co_bps", one, other)
    assert 0 < lead.low < lead.value < lead.high
    # Trials differ far more than the two models do.
    assert lead.error < 0.7 * one.detail["errors"]["lfads"]["co_bps"]


def test_models_of_other_trials_or_measures_are_not_compared(data):
    one = scored(data, np.asarray(data.test.truth, float), baselines={})
    valid = score_posteriors(data, truths(data), split="valid", baselines={}, **FAST)
    with pytest.raises(ValueError, match=r"scored on 15 test trials and the other on 15 valid trials.*\. Score both"):
        paired_difference("co_bps", one, valid)
    with pytest.raises(ValueError, match=r"must be one that both models have \(bits_per_spike, co_bps.*got 'co_bits'"):
        paired_difference("co_bits", one, one)

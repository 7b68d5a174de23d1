"""Cross-validation: folds of trials, groups of neurons, scores of weighted trials, and all of it pooled."""

import csv
import dataclasses
import json

import making
import numpy as np
import pytest
from test_choosing import MODEL, QUICK, TRAIN, recording

from lfadsx.data import concatenate, from_arrays
from lfadsx.data.fold_datasets import (
    all_trials,
    fold_dataset,
    hide_neurons,
    neuron_groups,
    rare_conditions,
    scoring_groups,
    stratified_folds,
)
from lfadsx.data.splits import choose
from lfadsx.errors import DataError, RunError
from lfadsx.evaluation import ratio, resample
from lfadsx.evaluation.candidates import Candidate
from lfadsx.evaluation.folds import FoldResult, evaluate_folds
from lfadsx.evaluation.measures import averaged, bits, decoded, explained
from lfadsx.evaluation.metrics import bits_per_spike, psth_r2, r2_by_channel, r2_pooled
from lfadsx.evaluation.task import Task
from lfadsx.inference import infer
from lfadsx.pipeline import cross_validate
from lfadsx.results.results_file import read_posterior

RNG = np.random.default_rng(0)


def two_days():
    """Two sessions of other sizes, the second with ragged trials that have gaps."""
    lengths = (9, 9, 7, 7, 8, 8, 9, 7, 9, 8)
    condition = np.arange(10) % 2
    return concatenate(
        recording(behaviour=None), making.ragged("tuesday", lengths, n_channels=8, condition=condition, bin_width=0.02)
    )


@pytest.fixture(scope="module")
def data():
    return recording()


# Folds of trials


def test_every_trial_is_tested_once_and_conditions_are_dealt_out_evenly():
    data = concatenate(recording(25), recording(13, session="tuesday", seed=1))
    trials = all_trials(data)
    fold = stratified_folds(trials, 4)
    assert np.ptp(np.bincount(fold)) <= 1
    for session in (0, 1):
        for condition in range(3):
            own = fold[(trials.session == session) & (trials.condition == condition)]
            assert np.ptp(np.bincount(own, minlength=4)) <= 1
    assert not np.array_equal(fold, stratified_folds(trials, 4, seed=1))
    np.testing.assert_array_equal(fold, stratified_folds(trials, 4))


def test_no_trial_is_in_two_splits_of_a_fold_and_all_are_in_one():
    data = two_days()
    trials = all_trials(data)
    fold = stratified_folds(trials, 3)
    for number in range(3):
        own = fold_dataset(data, trials, fold == number, valid_fraction=0.25)
        names = [(s, t) for split in own.splits.values() for s, t in zip(split.session, split.trial_id, strict=True)]
        assert len(set(names)) == len(names) == trials.n_trials
        np.testing.assert_array_equal(own.splits["test"].trial_id, trials.trial_id[fold == number])
        assert own.valid.n_trials == round(0.25 * np.sum(fold != number))


def test_trials_come_in_the_order_of_the_input():
    data = recording()
    np.testing.assert_array_equal(all_trials(data).trial_id, np.arange(24))
    # Ids that restart in every split do not give the order; the rows of the input keep it.
    anew = {name: dataclasses.replace(split, trial_id=np.arange(split.n_trials)) for name, split in data.splits.items()}
    trials = all_trials(dataclasses.replace(data, **anew))
    np.testing.assert_array_equal(trials.row, np.arange(24))
    np.testing.assert_array_equal(trials.encoder_input, all_trials(data).encoder_input)
    both = all_trials(concatenate(data, recording(13, session="tuesday", seed=1)))
    np.testing.assert_array_equal(both.row, np.arange(37))
    np.testing.assert_array_equal(both.session, np.repeat([0, 1], [24, 13]))


@pytest.mark.parametrize("folds", [1, 25])
def test_too_few_or_too_many_folds_are_refused(folds):
    with pytest.raises(DataError, match=rf"^`folds` must be from 2 to 24, .* got {folds}[.]$"):
        stratified_folds(all_trials(recording()), folds)


def test_conditions_with_fewer_trials_than_folds_are_counted():
    trials = all_trials(recording(14, condition=[0] * 10 + [1] * 3 + [2]))
    assert rare_conditions(trials, 4) == 2 and rare_conditions(trials, 3) == 1
    fold = stratified_folds(trials, 4)
    assert np.bincount(fold[trials.condition == 1], minlength=4).max() == 1


# Groups of neurons


@pytest.mark.parametrize("n_groups", [2, 3, 4, 5])
def test_every_neuron_is_scored_once_as_held_out_and_shapes_are_equal(n_groups):
    data = two_days()
    hidden = neuron_groups(data, n_groups)
    parts = [hide_neurons(data, group) for group in hidden]
    assert len({of.train.encoder_input.shape for of in parts}) == 1
    for session, of in enumerate(data.sessions):
        left = of.n_channels - -(-of.n_channels // n_groups)
        assert {part.sessions[session].n_channels for part in parts} == {left}
    held_out, seen = scoring_groups(data, hidden)
    for session, of in enumerate(data.sessions):
        for neuron in range(of.n_targets["spikes"]):
            index = parts[held_out[session, neuron]].sessions[session].target_index
            assert neuron not in index
            if seen[session, neuron] >= 0:
                assert neuron in parts[seen[session, neuron]].sessions[session].target_index
        assert np.all((seen[session][of.target_index] >= 0) | (hidden[:, session].all(0)[: of.n_channels]))


def test_hidden_neurons_are_not_seen_by_the_encoder():
    data = two_days()
    hidden = neuron_groups(data, 3)[1]
    model = making.build(hide_neurons(data, hidden))
    changed = []
    for name, split in data.splits.items():
        counts = np.where(hidden[split.session][:, None], split.encoder_input + 3, split.encoder_input)
        changed.append((name, dataclasses.replace(split, encoder_input=counts)))
    other = dataclasses.replace(data, **dict(changed))
    found = [infer(model, hide_neurons(of, hidden), "valid", n_samples=2) for of in (data, other)]
    np.testing.assert_array_equal(found[0].factors, found[1].factors)
    assert not np.array_equal(data.valid.encoder_input, other.valid.encoder_input)


def test_what_is_taken_along_fits_the_neurons_that_are_left(data):
    n = data.sessions[0].n_channels
    aligned = dataclasses.replace(data.sessions[0], alignment=np.eye(n), alignment_bias=np.arange(n))
    hidden = np.arange(n)[None] < 2
    (session,) = hide_neurons(dataclasses.replace(data, sessions=(aligned,)), hidden).sessions
    np.testing.assert_array_equal(session.alignment, np.eye(n)[2:])
    np.testing.assert_array_equal(session.alignment_bias, np.arange(2, n))
    np.testing.assert_array_equal(session.target_index, aligned.target_index[2:])


@pytest.mark.parametrize("n_groups", [1, 6])
def test_too_few_or_too_many_groups_are_refused(data, n_groups):
    with pytest.raises(DataError, match=rf"^`neuron_folds` must be from 2 to 5, .* got {n_groups}[.]$"):
        neuron_groups(data, n_groups)


# Statistics of weighted trials


@pytest.fixture(scope="module")
def task():
    """Two sessions with gaps, rates for all, and a mask of hidden entries."""
    data = two_days()
    shape = data.train.targets["spikes"].shape
    rng = np.random.default_rng(0)
    rates, hidden = rng.uniform(0.5, 2, shape), rng.random(shape) < 0.4
    return Task(data, "train", hidden, psth_kernel_bins=1.5), rates


def ones(task):
    return np.ones(task.split.n_trials)


def pooled_bits(task, rates, mask):
    """Bits per spike of each session by the plain metric, weighted by spikes."""
    found = [
        bits_per_spike(rates[rows, :, :n], task.values[rows, :, :n], mask=mask[rows, :, :n])
        for _, rows, n in task.sessions()
    ]
    found = [of for of in found if of.n_spikes]
    return np.average([of.value for of in found], weights=[of.n_spikes for of in found])


def test_weights_of_one_give_the_plain_metrics(task):
    task, rates = task
    for measure in ("co_bps", "masked_bps", "fp_bps"):
        statistic = bits(task, rates, task.regions[measure])
        expected = pooled_bits(task, rates, task.regions[measure])
        assert statistic(ones(task)) == pytest.approx(expected, rel=1e-9)
    only = dataclasses.replace(task, dataset=recording(), hidden=None)
    rates = RNG.uniform(0.5, 2, only.values.shape)
    everywhere = np.ones(only.values.shape, bool)
    statistic = explained(only, rates, everywhere)
    assert statistic(ones(only)) == pytest.approx(r2_pooled(rates, only.values), rel=1e-9)
    behaviour = only.split.behaviour
    prediction = behaviour + RNG.standard_normal(behaviour.shape)
    prediction[:, -1] = np.nan
    expected = r2_by_channel(prediction[:, :-1], behaviour[:, :-1]).mean()
    assert decoded(only, prediction)(ones(only)) == pytest.approx(expected, rel=1e-6)
    expected = psth_r2(rates, only.values, only.split.condition, kernel_bins=1.5).value
    assert averaged(only, rates)(ones(only)) == pytest.approx(expected, rel=1e-9)


def test_weights_are_numbers_of_copies(task):
    task, _ = task
    only = dataclasses.replace(task, dataset=recording(), hidden=None)
    copies = np.arange(only.split.n_trials) % 3
    rows = np.repeat(np.arange(only.split.n_trials), copies)
    again = dataclasses.replace(only, dataset=dataclasses.replace(only.dataset, train=choose(only.split, rows)))
    rates = RNG.uniform(0.5, 2, only.values.shape)
    fold = np.arange(only.split.n_trials) % 2
    first, second = averaged(only, rates, fold), averaged(again, rates[rows], fold[rows])
    assert first(copies.astype(float)) == pytest.approx(second(np.ones(len(rows))), rel=1e-9)


def test_condition_averages_of_other_folds_do_not_help():
    """Averages over the other folds of noise without conditions make up those of all trials, if folds are mixed."""
    n, rng = 60, np.random.default_rng(0)
    data = from_arrays(rng.poisson(1.0, (n, 6, 4)), condition=np.arange(n) % 3, split=["train"] * 59 + ["valid"])
    trials = all_trials(data)
    task = Task(dataclasses.replace(data, test=trials), "test", psth_kernel_bins=0.0)
    fold = stratified_folds(trials, 3)
    rates = np.empty(task.values.shape)
    for k in range(3):
        for c in range(3):
            rates[(fold == k) & (trials.condition == c)] = task.values[(fold != k) & (trials.condition == c)].mean(0)
    assert averaged(task, rates)(np.ones(n)) > 0.5
    assert averaged(task, rates, fold)(np.ones(n)) < 0


def test_errors_are_those_of_the_mean_and_of_a_plain_bootstrap():
    values = np.random.default_rng(0).standard_normal(400)
    score = resample(ratio(values, np.ones(400)), 400)
    assert score.value == pytest.approx(values.mean())
    assert score.error == pytest.approx(values.std() / 20, rel=0.1)
    spikes = np.random.default_rng(1).integers(1, 9, 400)
    one, rng = resample(ratio(values, spikes), 400, n=2000), np.random.default_rng(2)
    rows = rng.integers(400, size=(2000, 400))
    low, high = np.quantile(values[rows].sum(1) / spikes[rows].sum(1), [0.025, 0.975])
    expected = (values.sum() / spikes.sum(), low, high)
    assert (one.value, one.low, one.high) == pytest.approx(expected, abs=2e-3)


# Cross-validation


def fold_of(found):
    """The fold that tested each trial."""
    return np.array(found.evaluation.detail["fold"])


@pytest.fixture(scope="module")
def crossed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("crossed") / "cv"
    return out, cross_validate(data, out, folds=3, model=MODEL, **QUICK)


def test_every_trial_gets_the_rates_of_the_fold_that_did_not_see_it(crossed, data):
    out, found = crossed
    trials = all_trials(data)
    posterior, fold = read_posterior(out / "cross_validated.h5"), fold_of(found)
    np.testing.assert_array_equal(posterior.trial_id, np.arange(24))
    for number, member in enumerate(found.result.members):
        own = fold_dataset(data, trials, fold == number)
        expected = infer(member.model, own, "test", n_samples=4, seed=TRAIN.seed)
        np.testing.assert_allclose(posterior.rates["spikes"][fold == number], expected.rates["spikes"], rtol=1e-5)
        np.testing.assert_allclose(posterior.factors[fold == number], expected.factors, rtol=1e-4, atol=1e-5)


def test_scores_are_pooled_over_folds(crossed, data):
    out, found = crossed
    fold, scores = fold_of(found), found.evaluation.comparison.scores
    assert set(scores) == {"masked_bps", "co_bps", "velocity_r2", "psth_r2"}
    names = ["lfads", "time course", "condition average", "smoothed spikes", "Poisson regression"]
    assert set(found.evaluation.comparison.models) == set(names)
    assert set(scores["velocity_r2"]) == {"lfads", "smoothed spikes"}
    trials = all_trials(data)
    posterior = read_posterior(out / "cross_validated.h5")
    task = Task(dataclasses.replace(data, test=trials), "test")
    expected = pooled_bits(task, posterior.rates["spikes"], task.regions["co_bps"])
    assert scores["co_bps"]["lfads"].value == pytest.approx(expected, rel=1e-6)
    for measure, difference in found.evaluation.comparison.differences.items():
        rival = scores[measure][found.evaluation.comparison.rivals[measure]].value
        assert difference.value == pytest.approx(scores[measure]["lfads"].value - rival)
        assert difference.low < difference.value < difference.high
    written = json.loads((out / "cv.json").read_text())
    assert written["trials"]["fold"] == fold.tolist()
    assert written["scores"]["co_bps"]["lfads"]["error"] == pytest.approx(scores["co_bps"]["lfads"].error)
    with (out / "cv.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "lfads"]
    assert [int(row["n_test"]) for row in rows] == np.bincount(fold).tolist()
    spikes = [trials.targets["spikes"][fold == k][:, :, -1].sum() for k in range(3)]
    mean = np.average([float(row["co_bps"]) for row in rows], weights=spikes)
    assert mean == pytest.approx(scores["co_bps"]["lfads"].value, rel=1e-4)


def test_a_cross_validation_goes_on_only_with_the_same_division(crossed, data):
    out, found = crossed
    again = cross_validate(data, out, folds=3, model=MODEL, **QUICK)
    assert again.evaluation.comparison.scores["co_bps"] == found.evaluation.comparison.scores["co_bps"]
    with pytest.raises(RunError, match="division.seed` of the data is 0 in that run and 1 in this one"):
        cross_validate(data, out, folds=3, fold_seed=1, model=MODEL, **QUICK)


@pytest.mark.slow
def test_with_neuron_folds_every_neuron_is_predicted_from_others(tmp_path):
    data = two_days()
    model = dataclasses.replace(MODEL, readin_dim=4)
    found = cross_validate(data, tmp_path, folds=2, neuron_folds=3, model=model, **QUICK)
    assert len(found.result.members) == 6
    trials, hidden, fold = all_trials(data), neuron_groups(data, 3), fold_of(found)
    held_out, _ = scoring_groups(data, hidden)
    posterior = read_posterior(tmp_path / "cross_validated.h5")
    for number in range(2):
        own = fold_dataset(data, trials, fold == number)
        rows = np.flatnonzero(fold == number)
        for group in range(3):
            member = found.result.members[number * 3 + group].model
            expected = infer(member, hide_neurons(own, hidden[group]), "test", n_samples=4)
            chosen = (held_out[trials.session[rows]] == group)[:, None] & np.isfinite(expected.rates["spikes"])
            left, right = posterior.rates["spikes"][rows], expected.rates["spikes"]
            np.testing.assert_allclose(left[chosen], right[chosen], rtol=1e-5)
    assert np.isfinite(found.evaluation.comparison.scores["co_bps"]["lfads"].value)
    # Smoothed spikes predict only neurons that they see, the regression only held-out neurons.
    assert (
        "smoothed spikes" in found.evaluation.comparison.scores["masked_bps"]
        and "smoothed spikes" not in found.evaluation.comparison.scores["co_bps"]
    )
    assert "Poisson regression" in found.evaluation.comparison.scores["co_bps"]


def test_real_valued_data_are_scored_by_r2(tmp_path):
    data = making.one_session(n_trials=16, likelihood="gaussian", held_out=1)
    model = dataclasses.replace(MODEL, likelihood="gaussian")
    found = cross_validate(data, tmp_path, folds=2, model=model, **QUICK)
    comparison = found.evaluation.comparison
    assert set(comparison.scores) == {"masked_r2", "co_r2"} == set(comparison.differences)
    assert comparison.models == ["lfads", "mean", "time course", "smoothed data"]
    assert np.isfinite(comparison.scores["co_r2"]["lfads"].value)


def test_a_model_that_knows_the_rates_is_better_than_one_that_does_not():
    """Made candidates: what comes out of pooling is not about training."""
    n, rng = 90, np.random.default_rng(0)
    rates = np.exp(rng.standard_normal((n, 5, 4)))
    data = from_arrays(rng.poisson(rates), held_out=1, split=["train"] * 89 + ["valid"])
    trials = all_trials(data)
    fold = stratified_folds(trials, 3)
    tested = []
    for k in range(3):
        rows = np.flatnonzero(fold == k)
        flat = np.ones_like(rates[rows])
        hidden = np.zeros(flat.shape, bool)
        hidden[:, :, :3] = rng.random(hidden[:, :, :3].shape) < 0.3
        candidates = [Candidate("lfads", rates[rows], rates[rows]), Candidate("flat", flat, flat)]
        tested.append(FoldResult(rows, None, candidates, hidden))  # pyright: ignore
    found = evaluate_folds(data, trials, tested).comparison
    assert found.differences["co_bps"].low > 0 and found.differences["masked_bps"].low > 0
    assert all(value > 0 for value in found.folds["co_bps"]["lfads"]) and found.rivals["co_bps"] == "flat"

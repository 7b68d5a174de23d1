"""The accuracy benchmark: settings are the examples', scores are those of the truth, comparisons are fair."""

import dataclasses

import numpy as np
import pytest

import lfadsx
from benchmarks.accuracy import COMPARISONS, Truth, _share_inside, summary
from benchmarks.comparisons import (
    _gains,
    _over_seeds,
    _over_trials,
    _relabelled,
    _session,
    _share,
    _with_batch,
    _with_steps,
)
from benchmarks.factors import expressed, rates_of
from benchmarks.settings import settings_of, with_changes
from lfadsx.data import chaotic_rnn, concatenate_sessions, read, simulate
from lfadsx.data.synthetic.table import RECIPES
from lfadsx.metrics import r2_pooled


@pytest.fixture(scope="module")
def data():
    return chaotic_rnn(conditions=6, neurons=8, duration=0.2, test_fraction=0.2, seed=3)


def test_every_data_set_has_settings():
    for name in RECIPES:
        settings = settings_of(name)
        assert settings.recipe == name and settings.train.epochs > 1
    assert set(COMPARISONS) <= set(RECIPES)
    with pytest.raises(ValueError, match="no example 'lorentz'"):
        settings_of("lorentz")


def test_the_model_of_the_pulses_is_put_to_data_without():
    pulses, none = settings_of("chaotic_rnn_inputs_g1p5"), settings_of("chaotic_rnn_no_inputs_controller")
    assert (pulses.model, pulses.hyper, pulses.train) == (none.model, none.hyper, none.train)
    assert none.recipe == settings_of("chaotic_rnn_no_inputs").recipe != pulses.recipe
    assert settings_of("chaotic_rnn_no_inputs", epochs=10).train.epochs == 10


def test_settings_other_than_the_examples():
    known = settings_of("lorenz")
    new = with_changes(
        known, ["factors=5", "standardise=false", "learning_rate=0.1", "kl_ramp_epochs=3", "variant=autonomous"]
    )
    assert new.model == dataclasses.replace(known.model, factors=5, standardise=False, variant="autonomous")
    assert new.hyper == dataclasses.replace(known.hyper, learning_rate=0.1)
    assert new.train == dataclasses.replace(known.train, kl_ramp_epochs=3)
    for change, message in (
        ("factors=5.5", "factors is '5.5'. Give a whole number, as in factors="),
        ("standardise=1", "standardise is '1'. Give true or false, as in standardise=True"),
        ("factor=5", "no setting 'factor'"),
        ("factors=0", "factors"),  # the model's own check
    ):
        with pytest.raises(ValueError, match=message):
            with_changes(known, [change])


def test_lorenz_is_also_scored_on_new_conditions():
    known, new = settings_of("lorenz"), settings_of("lorenz_conditions")
    assert new == dataclasses.replace(known, changes={"split": "conditions"}) and known.changes == {}


def test_scores_of_the_truth_and_of_the_mean(data):
    truth = Truth(data, "test", "poisson")
    exact, mean = data.test.truth, np.broadcast_to(data.test.truth.mean((0, 1)), data.test.truth.shape)
    assert truth.score_rates(exact) == {"rates_r2": pytest.approx(1), "rates_r2_pooled": 1}
    assert truth.score_rates(mean)["rates_r2_pooled"] == pytest.approx(0, abs=1e-6)
    (row,) = truth.differences([truth.errors(exact)], {"mean": truth.errors(mean)})
    # The lead over the mean is all of the variance, in both figures.
    assert row["rates_r2"] == pytest.approx(1) and row["rates_r2_pooled"] == pytest.approx(1)
    assert row["rates_r2_pooled_low"] < 1 < row["rates_r2_pooled_high"]
    other, ramp = truth.floors()
    assert 0 < other["rates_r2"] < 0.5 and 0 < ramp["inputs_r2"] < 0.2


def test_intervals_of_samples_from_the_law_of_the_truth_cover_their_share():
    random = np.random.default_rng(0)
    centre = random.normal(size=(40, 25, 4))
    samples, truth = centre + random.normal(size=(400, 40, 25, 4)), centre + random.normal(size=(40, 25, 4))
    # Shares of 4,000 values: a standard error of 0.008 and 0.005.
    assert _share_inside(samples, truth, 50) == pytest.approx(0.5, abs=0.03)
    assert _share_inside(samples, truth, 90) == pytest.approx(0.9, abs=0.02)
    assert _share_inside(samples, truth + 10, 90) == 0


def test_summary_names_what_stands_beside_a_seed():
    rows = [
        {"model": "lfads, seed 0", "rates_r2": 0.6},
        {"model": "PCA, 2 components", "rates_r2": 0.3},
        {"model": "truth of another trial", "rates_r2": 0.1},
        {"model": "straight ramp", "rates_r2": 0.2},
    ]
    expected = {"name": "x", "seed": 0, "rates_r2": 0.6, "rates_r2_optimum": 0.7, "rates_r2_pca": 0.3}
    expected |= {"rates_r2_ceiling": 0.8, "rates_r2_shuffled": 0.1, "rates_r2_ramp": 0.2}
    assert summary("x", 0, rows, {"optimum": {"rates_r2": 0.7}, "ceiling": {"rates_r2": 0.8}}) == expected


def test_stitched_and_single_models_take_as_many_steps(data):
    whole = concatenate_sessions(
        data, chaotic_rnn(conditions=6, neurons=5, duration=0.2, test_fraction=0.2, session="b")
    )
    settings = dataclasses.replace(settings_of("chaotic_rnn_multisession"), train=lfadsx.TrainConfig(batch_size=4))
    steps = settings.train.epochs * -(-whole.train.n_trials // 4)
    few = dataclasses.replace(whole, train=_share(whole.train, 0.25))
    for number in (0, 1):
        assert (few.train.session == number).sum() == 9  # a quarter of 36 trials
        single = _session(few, number)
        assert single.sessions == (whole.sessions[number],) and (single.train.session == 0).all()
        own = _with_steps(_with_batch(settings, 2), whole, single, settings).train
        assert own.epochs * -(-single.train.n_trials // 2) == pytest.approx(steps, rel=0.05)
        assert own.batch_size == 2


def test_shuffled_labels_are_those_of_other_trials(data):
    known = {
        name: dataclasses.replace(split, known_inputs=split.true_inputs.astype(np.float32))
        for name, split in data.splits.items()
    }
    labelled = dataclasses.replace(data, **known)
    shuffled = _relabelled(labelled, np.random.default_rng(0).permutation)
    before, after = (np.sort(d.train.known_inputs.argmax(1), axis=0) for d in (labelled, shuffled))
    np.testing.assert_array_equal(before, after)
    assert (labelled.train.known_inputs != shuffled.train.known_inputs).any()
    np.testing.assert_array_equal(labelled.train.truth, shuffled.train.truth)


def test_gains_of_labels_are_differences_of_bounds():
    bounds = {"with": np.array([-9.0, -8.0]), "without": np.array([-10.0, -10.0]), "shuffled": np.array([-9.0, -11.0])}
    line = _gains(bounds, _over_trials)
    assert line["with_nats"] == -8.5
    differences = {"with_minus_without": 1.5, "shuffled_minus_without": 0, "with_minus_shuffled": 1.5}
    assert {name: line[name] for name in differences} == pytest.approx(differences)
    assert line["with_minus_without_low"] == pytest.approx(1) and line["with_minus_without_high"] == pytest.approx(2)
    # Student's 97.5 % point of one degree of freedom is 12.71, the standard error of two values half their distance.
    over_seeds = _gains(bounds, _over_seeds)
    assert over_seeds["with_minus_without_high"] == pytest.approx(1.5 + 12.706 * 0.5, abs=1e-3)


def test_as_many_factors_as_the_rates_have_express_them_and_fewer_do_not():
    random = np.random.default_rng(0)
    rates = np.exp(0.4 * random.normal(size=(20, 10, 3)) @ random.normal(size=(3, 12)) - 1)
    assert r2_pooled(expressed(rates, 3), rates) > 0.999
    assert r2_pooled(expressed(rates, 2), rates) < 0.95


def test_sessions_are_joined_by_condition(tmp_path):
    files = simulate("chaotic_rnn_multisession", tmp_path, units=20, recorded=10, conditions=6, duration=0.2)
    data = read(*files)
    one, every = rates_of(data)
    np.testing.assert_array_equal(every[0, :, :10], one[0])
    # All of a trial come from one condition: what follows the second session's neurons is the same trial's course.
    own = data.train.truth[(data.train.session == 1) & (data.train.condition == data.train.condition.min())]
    np.testing.assert_array_equal(every[0, :, 10:], own[0])
    assert every.shape == (len(np.unique(data.train.condition)), one.shape[1], 20)

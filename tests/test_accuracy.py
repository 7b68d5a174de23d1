"""The accuracy benchmark: settings are the examples', scores are those of the truth, comparisons are fair."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from example_tools.quick_settings import shorter, tiny_model
from flax import nnx

import lfadsx
from benchmarks import accuracy, comparisons
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
from lfadsx.data import read
from lfadsx.datasets import chaotic_rnn, simulate
from lfadsx.datasets.named_datasets import RECIPES
from lfadsx.evaluation.metrics import r2_pooled


@pytest.fixture(scope="module")
def data():
    return chaotic_rnn(conditions=6, neurons=8, duration=0.2, test_fraction=0.2, seed=3)


def tiny(name, changes):
    """The settings of a benchmark, small."""
    settings = settings_of(name)
    return dataclasses.replace(
        settings,
        changes=settings.changes | {"duration": 0.2} | changes,
        model=tiny_model(settings.model),
        train=shorter(settings.train, 2, batch_size=10),
    )


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Two sessions of 10 neurons of one network."""
    folder = tmp_path_factory.mktemp("sessions")
    changes = {"units": 20, "recorded": 10, "components": 4, "conditions": 6, "duration": 0.2}
    return read(*simulate("chaotic_rnn_multisession", folder, **changes))


def test_every_data_set_has_settings():
    for name in RECIPES:
        settings = settings_of(name)
        assert settings.recipe == name and settings.train.epochs > 1
    assert {settings_of(name).recipe for name in COMPARISONS} <= set(RECIPES)
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
        ("learning_rate=-1.0", "learning_rate"),
        ("epochs=3", "no setting 'epochs'"),
    ):
        with pytest.raises(ValueError, match=message):
            with_changes(known, [change])


def test_lorenz_is_also_scored_on_new_conditions():
    known, new = settings_of("lorenz"), settings_of("lorenz_conditions")
    assert new == dataclasses.replace(known, changes={"split": "conditions"}) and known.changes == {}


def test_scores_of_the_truth_and_of_the_mean(data):
    truth = Truth(data, "test", "poisson")
    exact, mean = data.test.truth, np.broadcast_to(data.test.truth.mean((0, 1)), data.test.truth.shape)
    assert truth.score_rates(exact) == {"rates_r2": pytest.approx(1), "rates_r2_pooled": 1, "rates_r2_by_neuron": 1}
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
    best = {"optimum": {"rates_r2": 0.7}, "ceiling": {"rates_r2": 0.8}}
    whole = {"optimum_trials": 9, "rates_r2_same_trials": 0.6}
    assert summary("x", 0, rows, best, 9) == expected | whole
    some = {"optimum_trials": 4, "rates_r2_same_trials": 0.5}
    assert summary("x", 0, [*rows, {"model": "lfads, seed 0, 4 trials", "rates_r2": 0.5}], best, 4) == expected | some
    assert summary("x", 0, rows, {}, 0).keys() == expected.keys() - {"rates_r2_optimum", "rates_r2_ceiling"}


@pytest.mark.slow
def test_a_benchmark_from_end_to_end(tmp_path, monkeypatch, capsys):
    settings = tiny(
        "chaotic_rnn_inputs_g1p5", {"conditions": 5, "trials_per_condition": 8, "units": 10, "recorded": 10}
    )
    seen = []

    def best(file, data, split, trials):
        seen.append((file.name, split, trials))
        return dict.fromkeys(("rates_r2", "rates_r2_pooled", "inputs_r2", "inputs_r2_pooled"), 0.9)

    monkeypatch.setattr(accuracy, "settings_of", lambda name, epochs: settings)
    monkeypatch.setattr(accuracy, "optimum", best)
    monkeypatch.setattr(accuracy, "ceiling", best)
    words = ["accuracy", settings.recipe, "--first-seed", "1", "--optimum-trials", "3", "--set", "factors=3"]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(tmp_path)])
    accuracy.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["seed"] for line in lines] == [1] and seen == 2 * [("chaotic_rnn_inputs_g1p5.h5", "test", 3)]
    promised = "name seed rates_r2 rates_r2_pooled rates_r2_optimum rates_r2_pooled_optimum inputs_r2 inputs_r2_pooled"
    promised += " inputs_r2_optimum inputs_r2_pooled_optimum rates_r2_pca rates_r2_shuffled rates_r2_ramp seconds"
    promised += " rates_coverage_50 rates_coverage_90 inputs_coverage_50 inputs_coverage_90 pulse_within_2"
    assert set(promised.split()) <= set(lines[0])
    assert lines[0]["set"] == ["factors=3"] and lines[0]["rates_r2_same_trials"] != lines[0]["rates_r2"]
    folder = tmp_path / settings.recipe
    assert lfadsx.load(folder / "seed1_factors=3").decoder.n_factors == 3
    assert not list(folder.glob("*.unfinished"))


@pytest.mark.slow
def test_comparisons_from_end_to_end(sessions, data, tmp_path, monkeypatch):
    """With models as they start, and one line for each session and share, or for each seed and their mean."""
    monkeypatch.setattr(comparisons, "SHARES", {0.5: 0.25})
    monkeypatch.setattr(comparisons, "SAMPLES", 2)
    seen = []

    def start(settings, data, out, seed, model=None):
        seen.append((len(data.sessions), settings.train.batch_size, settings.train.epochs))
        return SimpleNamespace(model=model or lfadsx.build(data, settings.model, rngs=nnx.Rngs(seed)))

    stitched = tiny("chaotic_rnn_multisession", {})
    stitched = dataclasses.replace(stitched, train=dataclasses.replace(stitched.train, epochs=8))
    lines = comparisons.stitching(stitched, sessions, tmp_path, "valid", [3], start)
    # A quarter of the steps with half of the trials: half of the epochs.
    assert seen == [(2, 10, 4), (1, 5, 4), (1, 5, 4)]
    assert [line["session"] for line in lines] == [s.name for s in sessions.sessions]
    assert all(line["seed"] == 3 and line["difference_r2_low"] <= line["difference_r2"] for line in lines)

    seen.clear()
    lines = comparisons.new_session(stitched, sessions, tmp_path, "valid", [3], start)
    # One model of all, and for each session one of the others and its own.
    assert [n for n, *_ in seen] == [2, 1, 1, 1, 1]
    assert [line["session"] for line in lines] == [s.name for s in sessions.sessions]
    assert all(line["share_of_joint"] == line["added_r2"] / line["joint_r2"] for line in lines)

    labelled = dataclasses.replace(
        data,
        **{
            name: dataclasses.replace(split, known_inputs=np.ones((split.n_trials, split.n_bins, 1), np.float32))
            for name, split in data.splits.items()
        },
    )
    lines = comparisons.labels(tiny("chaotic_rnns_labeled", {}), labelled, tmp_path, "test", [0, 1], start)
    assert [line["seed"] for line in lines] == [0, 1, "mean"]
    # Shuffling changes nothing if all labels are equal.
    assert all(line["with_minus_shuffled_nats"] == 0 != line["with_minus_without_nats"] for line in lines)


def test_stitched_and_single_models_take_as_many_steps(sessions):
    settings = dataclasses.replace(settings_of("chaotic_rnn_multisession"), train=lfadsx.TrainConfig(batch_size=4))
    steps = settings.train.epochs * -(-sessions.train.n_trials // 4)
    few = _share(sessions, 0.1)
    for number in (0, 1):
        single = _session(few, number)
        assert single.sessions == (few.sessions[number],) and (single.train.session == 0).all()
        for share in (1.0, 0.5):
            own = _with_steps(_with_batch(settings, 2), sessions, single, settings, share).train
            assert own.epochs * -(-single.train.n_trials // 2) == pytest.approx(share * steps, rel=0.05)
        assert own.batch_size == 2


def test_few_trials_come_from_all_conditions_and_align_the_sessions_themselves(sessions):
    few, every = _share(sessions, 0.1), _share(sessions, 1.0)
    for number, session in enumerate(sessions.sessions):
        conditions = few.train.condition[few.train.session == number]
        # A tenth of 192 trials of 6 conditions.
        assert set(np.unique(conditions, return_counts=True)[1]) == {3, 4} and len(conditions) == 19
        # Few trials must not know the alignment that all of them give.
        whole = lfadsx.align(sessions, session.n_components).sessions[number].alignment
        np.testing.assert_array_equal(every.sessions[number].alignment, whole)
        assert np.abs(few.sessions[number].alignment - whole).max() > 0.01


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
    differences = {"with_minus_without_nats": 1.5, "shuffled_minus_without_nats": 0, "with_minus_shuffled_nats": 1.5}
    assert {name: line[name] for name in differences} == pytest.approx(differences)
    # The ends, 1 and 2, move with the mean of the resampled gains, which is 1.5 but for the draws.
    low, high = line["with_minus_without_nats_low"], line["with_minus_without_nats_high"]
    assert high - low == pytest.approx(1) and low == pytest.approx(1, abs=0.03)
    # Student's 97.5 % point of one degree of freedom is 12.71, the standard error of two values half their distance.
    over_seeds = _gains(bounds, _over_seeds)
    assert over_seeds["with_minus_without_nats_high"] == pytest.approx(1.5 + 12.706 * 0.5, abs=1e-3)


def test_as_many_factors_as_the_rates_have_express_them_and_fewer_do_not():
    random = np.random.default_rng(0)
    rates = np.exp(0.4 * random.normal(size=(20, 10, 3)) @ random.normal(size=(3, 12)) - 1)
    assert r2_pooled(expressed(rates, 3), rates) > 0.999
    assert r2_pooled(expressed(rates, 2), rates) < 0.95


def test_sessions_are_joined_by_condition(sessions):
    one, every = rates_of(sessions)
    np.testing.assert_array_equal(every[0, :, :10], one[0])
    # The second session's neurons follow, in a trial of the same condition.
    train = sessions.train
    own = train.truth[(train.session == 1) & (train.condition == train.condition.min())]
    np.testing.assert_array_equal(every[0, :, 10:], own[0])
    assert every.shape == (len(np.unique(train.condition)), one.shape[1], 20)

"""Controls: data with a known answer, what is measured on them, and the job."""

import dataclasses
import json

import numpy as np
import pytest
from making import SIZES

import lfadsx
from lfadsx.cli.command_line import main
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.controls import (
    decoded_conditions,
    drawn_from_averages,
    shuffled_trials,
    single_trial_share,
)

SMALL = {name: value for name, value in SIZES.items() if name not in ("readin_dim", "inferred_inputs")}


@pytest.fixture(scope="module")
def data():
    """Returns counts of 8 neurons, 2 held out, in 4 conditions; all neurons share the gain of each trial."""
    rng = np.random.default_rng(0)
    condition = np.repeat(np.arange(4), 50)
    gain = rng.gamma(4.0, 0.25, (200, 1, 1))
    rates = 3.0 * gain * rng.uniform(0.5, 1.5, (4, 10, 8))[condition]
    spikes = rng.poisson(rates)
    return lfadsx.from_arrays(spikes, held_out=2, condition=condition, truth=rates, test_fraction=0.3)


def noise_correlation(data):
    """Returns the mean correlation between neurons of their counts around the averages of conditions."""
    counts = data.train.targets["spikes"].sum(1).astype(float)
    for label in np.unique(data.train.condition):
        counts[data.train.condition == label] -= counts[data.train.condition == label].mean(0)
    found = np.corrcoef(counts.T)
    return found[~np.eye(8, dtype=bool)].mean()


def test_exchanged_spikes_keep_averages_and_lose_what_neurons_share(data):
    made = shuffled_trials(data, seed=3)
    for name, split in data.splits.items():
        own = made.splits[name]
        for label in np.unique(split.condition):
            of = split.condition == label
            pair = [np.sort(x.targets["spikes"][of], axis=0) for x in (own, split)]
            np.testing.assert_array_equal(*pair)
        np.testing.assert_array_equal(own.encoder_input, own.targets["spikes"][:, :, :6])
        assert own.truth is None
    assert noise_correlation(data) > 0.5
    assert abs(noise_correlation(made)) < 0.1


def test_exchange_keeps_whole_trials_of_a_neuron(data):
    made = shuffled_trials(data, seed=3)
    trials = {tuple(row) for row in data.train.targets["spikes"][:, :, 0].tolist()}
    assert {tuple(row) for row in made.train.targets["spikes"][:, :, 0].tolist()} <= trials


def test_exchange_moves_missing_entries_with_their_spikes():
    spikes = np.arange(20).reshape(20, 1, 1) * np.ones((1, 4, 3), int)
    observed = spikes % 2 == 0
    data = lfadsx.from_arrays(spikes, observed=observed)
    made = shuffled_trials(data)
    for split in made.splits.values():
        there = split.target_observed["spikes"]
        assert (split.targets["spikes"][there] % 2 == 0).all()
        np.testing.assert_array_equal(split.encoder_observed, there)


def test_exchange_needs_trials_of_one_length():
    ragged = [np.ones((bins, 3), int) for bins in range(5, 25)]
    with pytest.raises(LfadsxError, match="At least half of the trials must share condition and length"):
        shuffled_trials(lfadsx.from_arrays(ragged))


def test_channels_without_a_target_are_refused(data):
    sessions = [dataclasses.replace(s, target_index=np.full_like(s.target_index, -1)) for s in data.sessions]
    hidden = dataclasses.replace(data, sessions=tuple(sessions))
    with pytest.raises(LfadsxError, match="must be targets"):
        drawn_from_averages(hidden)


def test_drawn_spikes_are_poisson_around_the_averages(data):
    made = drawn_from_averages(data, seed=1)
    new, old = made.train.targets["spikes"].astype(float), data.train.targets["spikes"].astype(float)
    of = data.train.condition == 2
    assert abs(new[of].mean() / old[of].mean() - 1) < 0.05
    variance, mean = new[of].var(0, ddof=1), new[of].mean(0)
    assert abs((variance / mean).mean() - 1) < 0.15
    assert (old[of].var(0, ddof=1) / old[of].mean(0)).mean() > 1.3
    assert abs(noise_correlation(made)) < 0.1
    np.testing.assert_array_equal(made.train.encoder_input, made.train.targets["spikes"][:, :, :6])


def test_drawn_real_values_keep_their_spread():
    rng = np.random.default_rng(0)
    values = rng.normal(0, [1.0, 10.0], (300, 8, 2))
    made = drawn_from_averages(lfadsx.from_arrays(values, condition=np.arange(300) % 2))
    np.testing.assert_allclose(made.train.targets["spikes"].std((0, 1)), [1.0, 10.0], rtol=0.06)


def posterior_of(data, split, rates, factors):
    model = lfadsx.autonomous(data, factors=3, generator_dim=5, ic_dim=4, ic_encoder_dim=4)
    found = lfadsx.infer(model, data, split, n_samples=2)
    return dataclasses.replace(found, rates={"spikes": rates}, factors=factors)


def test_single_trial_share_is_the_variance_within_conditions(data):
    rng, split = np.random.default_rng(0), data.train
    courses = rng.normal(size=(4, 10, 8))[split.condition.astype(int)]
    for spread, share in ((0.0, 0.0), (1.0, 0.5)):
        rates = courses + spread * rng.normal(size=courses.shape)
        found = single_trial_share(split, posterior_of(data, "train", rates, courses))
        assert abs(found - share) < 0.04


def test_conditions_are_decoded_from_factors_and_not_when_shuffled(data):
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(4, 10, 5))
    posts = [
        posterior_of(data, name, split.targets["spikes"] * 1.0, means[split.condition.astype(int)])
        for name, split in data.splits.items()
    ]
    noisy = [dataclasses.replace(p, factors=p.factors + rng.normal(size=p.factors.shape)) for p in posts]
    true = decoded_conditions(data, noisy[0], noisy[2], "test")
    assert true.value > 0.95
    assert true.low < 0.25 < true.high < 0.5
    shuffled = [decoded_conditions(data, noisy[0], noisy[2], "test", shuffle=True, seed=s) for s in range(20)]
    assert np.mean([of.low <= of.value <= of.high for of in shuffled]) > 0.75
    assert abs(np.mean([of.value for of in shuffled]) - 0.25) < 0.05


def test_job_measures_resumes_and_reports(data, tmp_path):
    how = dict(epochs=4, progress=False, n_samples=4, inferred_inputs=1, **SMALL)
    outcome = lfadsx.controls(data, tmp_path / "out", **how)
    assert [row["passed"] for row in outcome.rows][0] is None
    assert len(outcome.rows) == 5
    names = [row["control"].split(":")[0] for row in outcome.rows]
    assert names[1] == "spikes exchanged" and names[-1] == "recording, conditions shuffled"
    failed = [row for row in outcome.rows if row["passed"] is False]
    assert len(outcome.findings) == len(failed)
    assert f"{4 - len(failed)} of 4 controls gave what they should." in outcome.text
    assert json.loads((tmp_path / "out" / "controls.json").read_text())["controls"] == outcome.rows
    again = lfadsx.controls(data, tmp_path / "out", **how)
    assert again.rows == outcome.rows


def test_autonomous_model_without_conditions_has_the_controls_that_apply(data):
    plain = lfadsx.from_arrays(np.concatenate([s.targets["spikes"] for s in data.splits.values()]))
    outcome = lfadsx.controls(plain, variant="autonomous", epochs=2, progress=False, n_samples=2, **SMALL)
    assert [row["control"].split(":")[0] for row in outcome.rows] == [
        "recording",
        "spikes exchanged",
        "spikes drawn from averages",
    ]
    assert "masked_bps" in outcome.rows[0]["control"]
    assert outcome.files == []


def test_command_writes_and_prints(data, tmp_path, capsys):
    (file,) = lfadsx.data.write_dataset(tmp_path, data)
    flags = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = ["controls", str(file), "--out", str(tmp_path / "run"), "--epochs", "2", "--samples", "2", *flags]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["controls"]) == 5
    assert "controls gave what they should" in printed.err

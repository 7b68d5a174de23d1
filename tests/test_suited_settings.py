"""Default settings by the amount of data, and what overrides them."""

import json
import logging

import numpy as np
import pytest

import lfadsx
from lfadsx.cli.command_flags import parse
from lfadsx.cli.fit_commands import Fit
from lfadsx.settings_for_data import STEPS_PER_ROOT, settings_line


def recording(trials=100, neurons=10, rate=1, **changes):
    spikes = np.full((trials, 20, neurons), rate, np.uint8)
    return lfadsx.from_arrays(spikes, **(dict(valid_fraction=0.2) | changes))


def test_more_data_need_less_dropout_and_more_steps():
    found = [lfadsx.suited_settings(recording(trials)) for trials in (50, 500, 5000)]
    dropout = [hyper.dropout_rate for hyper, _ in found]
    steps = [train.epochs * -(-int(0.8 * n) // 64) for (_, train), n in zip(found, (50, 500, 5000), strict=True)]
    assert 0.3 >= dropout[0] > dropout[1] > dropout[2] >= 0.05
    assert steps[0] < steps[1] < steps[2]


def test_amount_is_spikes_over_the_root_of_neurons():
    # Twice the spikes of four times as many neurons are the same amount.
    few, many = recording(200, neurons=16, rate=4), recording(200, neurons=64, rate=2)
    assert few.train.encoder_input.sum() * 2 == many.train.encoder_input.sum()
    assert lfadsx.suited_settings(few) == lfadsx.suited_settings(many)


def test_more_neurons_bring_more_visible_entries_into_the_loss():
    rates = [lfadsx.suited_settings(recording(10, neurons))[0].cd_pass_rate for neurons in (20, 99, 100, 250, 800)]
    assert rates == [0.0, 0.0, 0.2, 0.5, 1.0]


def test_hidden_spikes_are_not_counted():
    observed = np.zeros((40, 20, 10), bool)
    observed[:, :, 0] = True
    whole, part = recording(40, rate=30), recording(40, rate=30, observed=observed)
    assert lfadsx.suited_settings(part)[1].epochs < lfadsx.suited_settings(whole)[1].epochs
    assert lfadsx.suited_settings(part)[0].dropout_rate > lfadsx.suited_settings(whole)[0].dropout_rate


def test_batch_size_keeps_the_number_of_steps():
    data = recording(50, rate=200)
    for size in (16, 64):
        train = lfadsx.suited_settings(data, size)[1]
        per_epoch = -(-40 // min(size, 40))
        assert train.batch_size == size
        assert 0 <= train.epochs * per_epoch - STEPS_PER_ROOT * (1_600_000 / 10**0.5) ** 0.5 < per_epoch


def test_never_fewer_epochs_than_the_configuration():
    assert lfadsx.suited_settings(recording(2000))[1].epochs == lfadsx.TrainConfig().epochs


def test_patience_and_evaluations_go_with_many_epochs():
    train = lfadsx.suited_settings(recording(30, rate=20))[1]
    assert train.epochs > 240
    assert train.patience == train.epochs // 2
    assert 40 <= train.epochs / train.validate_every <= 80


def test_real_values_keep_the_defaults_of_the_configurations():
    data = lfadsx.from_arrays(np.random.default_rng(0).normal(size=(50, 10, 4)))
    assert lfadsx.suited_settings(data) == (lfadsx.HyperParams(), lfadsx.TrainConfig())
    assert settings_line(data, *lfadsx.suited_settings(data)).startswith("40 training trials: dropout 0.2")


def settings_of_run(run):
    found = json.loads((run / "run.json").read_text())
    return found["hyper"] | found["train"]


@pytest.fixture(scope="module")
def small():
    spikes = np.random.default_rng(0).poisson(30.0, (24, 6, 5))
    return lfadsx.from_arrays(spikes, bin_width=0.02)


@pytest.fixture
def ruled(monkeypatch):
    """Makes the values of the rule recognisable."""
    monkeypatch.setattr("lfadsx.settings_for_data.STEPS_PER_ROOT", 1.5)
    monkeypatch.setattr("lfadsx.settings_for_data.DROPOUT", (0.062, 0.062))


def test_fit_takes_the_rule_and_what_is_given_overrides_it(small, ruled, tmp_path, caplog):
    model = lfadsx.autonomous(small, factors=3, generator_dim=5, ic_dim=4, ic_encoder_dim=4)
    rule = lfadsx.suited_settings(small)
    assert rule[0].dropout_rate == 0.062 and rule[1].epochs == 133
    with caplog.at_level(logging.INFO, logger="lfadsx"):
        lfadsx.fit(model, small, out=tmp_path / "a", progress=False)
    said = "dropout 0.062, hidden entries in the loss, up to 133 steps (133 epochs)."
    assert f"19 training trials with 17,338 spikes: {said}" in caplog.text
    assert settings_of_run(tmp_path / "a")["dropout_rate"] == 0.062
    lfadsx.fit(model, small, out=tmp_path / "b", progress=False, epochs=2, dropout_rate=0.5)
    assert settings_of_run(tmp_path / "b")["dropout_rate"] == 0.5
    given = dict(hyper=lfadsx.HyperParams(), config=lfadsx.TrainConfig(epochs=2))
    lfadsx.fit(model, small, out=tmp_path / "c", progress=False, **given)
    assert settings_of_run(tmp_path / "c")["dropout_rate"] == 0.2


def test_flags_and_files_override_the_rule(small, ruled, tmp_path):
    def chosen(*words):
        return parse(Fit, ["day.h5", "--out", "runs/day", *words], "lfadsx fit").suited(small)

    hyper, train = chosen()
    assert (hyper.dropout_rate, train.epochs, train.seed) == (0.062, 133, 0)
    hyper, train = chosen("--epochs", "2", "--seed", "4")
    assert (hyper.dropout_rate, train.epochs, train.seed) == (0.062, 2, 4)
    (tmp_path / "own.toml").write_text("dropout_rate = 0.2\n")
    hyper, train = chosen("--config", str(tmp_path / "own.toml"), "--set", "batch_size=10")
    assert hyper.dropout_rate == 0.2  # given, though it equals the default of the class
    assert (train.batch_size, train.epochs) == (10, 120)


def test_population_takes_the_rule(small, ruled):
    def build(data, rngs):
        return lfadsx.autonomous(data, factors=3, generator_dim=5, ic_dim=4, ic_encoder_dim=4, rngs=rngs)

    found = lfadsx.population(build, small, members=2, progress=False, epochs=2)
    assert found.hyper.dropout_rate.tolist() == [0.062, 0.062]

"""Default settings by the amount of data, and what overrides them."""

import json
import logging

import making
import numpy as np
import pytest

import lfadsx
from lfadsx.cli.command_line import main
from lfadsx.training.suited_settings import settings_line

SIZES = {name: value for name, value in making.SIZES.items() if name not in ("readin_dim", "inferred_inputs")}


def recording(trials=100, neurons=10, rate=1.0, **changes):
    spikes = np.full((trials, 20, neurons), rate, np.float32 if rate % 1 else np.uint8)
    return lfadsx.from_arrays(spikes, **(dict(valid_fraction=0.2) | changes))


def test_more_data_need_less_dropout_and_more_steps():
    found = [lfadsx.suited_settings(recording(trials)) for trials in (50, 500, 5000)]
    dropout = [hyper.dropout_rate for hyper, _ in found]
    steps = [train.epochs * -(-int(0.8 * n) // 64) for (_, train), n in zip(found, (50, 500, 5000), strict=True)]
    assert dropout[0] == 0.2 > dropout[2] >= 0.05
    assert dropout == sorted(dropout, reverse=True)
    assert 150 <= steps[0] < steps[1] < steps[2]


def test_amount_is_spikes_over_the_root_of_neurons():
    few, many = recording(200, neurons=4), recording(100, neurons=16)
    # 64,000 or 128,000 counts per 20 bins: twice the spikes of four times as many neurons are the same amount.
    first, second = lfadsx.suited_settings(few)[1], lfadsx.suited_settings(many)[1]
    steps = [first.epochs * 3, second.epochs * 2]
    assert abs(steps[0] - steps[1]) <= 3


def test_hidden_spikes_are_not_counted():
    observed = np.zeros((400, 20, 10), bool)
    observed[:, :, 0] = True
    whole, part = recording(400, rate=3), recording(400, rate=3, observed=observed)
    assert lfadsx.suited_settings(part)[1].epochs < lfadsx.suited_settings(whole)[1].epochs


def test_batch_size_keeps_the_number_of_steps():
    data = recording(500)
    for size in (16, 64, 1000):
        train = lfadsx.suited_settings(data, size)[1]
        steps = train.epochs * -(-400 // min(size, 400))
        assert train.batch_size == size
        assert 0 <= steps - 4.1 * (80_000 / 10**0.5) ** 0.5 <= -(-400 // min(size, 400)) + 1


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
    """Makes the rule's values recognisable and short."""
    monkeypatch.setattr("lfadsx.training.suited_settings.AMOUNT", 100.0)
    monkeypatch.setattr("lfadsx.training.suited_settings.LEAST_STEPS", 1)
    monkeypatch.setattr("lfadsx.training.suited_settings.STEPS_PER_ROOT", 0.06)
    monkeypatch.setattr("lfadsx.training.suited_settings.LEAST_DROPOUT", 0.0625)


def test_fit_takes_the_rule_and_what_is_given_overrides_it(small, ruled, tmp_path, caplog):
    model = lfadsx.autonomous(small, factors=3, generator_dim=5, ic_dim=4, ic_encoder_dim=4)
    rule = lfadsx.suited_settings(small)
    assert rule[0].dropout_rate == 0.062 and rule[1].epochs == 6
    with caplog.at_level(logging.INFO, logger="lfadsx"):
        lfadsx.fit(model, small, out=tmp_path / "a", progress=False)
    assert "19 training trials with 16,933 spikes: dropout 0.062, up to 6 steps (6 epochs)." in caplog.text
    assert settings_of_run(tmp_path / "a")["dropout_rate"] == 0.062
    lfadsx.fit(model, small, out=tmp_path / "b", progress=False, epochs=2, dropout_rate=0.5)
    assert settings_of_run(tmp_path / "b")["dropout_rate"] == 0.5
    given = dict(hyper=lfadsx.HyperParams(), config=lfadsx.TrainConfig(epochs=2))
    lfadsx.fit(model, small, out=tmp_path / "c", progress=False, **given)
    assert settings_of_run(tmp_path / "c")["dropout_rate"] == 0.2


def test_flags_and_files_override_the_rule(small, ruled, tmp_path):
    (file,) = lfadsx.data.write_dataset(tmp_path, small)
    flags = [word for name, value in SIZES.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = ["fit", str(file), "--samples", "2", "--no-figures", "--devices", "1", *flags]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    found = settings_of_run(tmp_path / "a")
    assert (found["dropout_rate"], found["epochs"]) == (0.062, 6)
    assert main([*words, "--out", str(tmp_path / "b"), "--epochs", "2"]) == 0
    found = settings_of_run(tmp_path / "b")
    assert (found["dropout_rate"], found["epochs"]) == (0.062, 2)
    (tmp_path / "own.toml").write_text("dropout_rate = 0.2\nepochs = 2\n")
    assert main([*words, "--out", str(tmp_path / "c"), "--config", str(tmp_path / "own.toml")]) == 0
    assert settings_of_run(tmp_path / "c")["dropout_rate"] == 0.2  # given, though equal to the flag's default


def test_population_takes_the_rule(small, ruled):
    def build(data, rngs):
        return lfadsx.autonomous(data, factors=3, generator_dim=5, ic_dim=4, ic_encoder_dim=4, rngs=rngs)

    found = lfadsx.population(build, small, members=2, progress=False)
    assert found.hyper.dropout_rate.tolist() == [0.062, 0.062]
    assert len(found.members[0].history["loss"]) == 6

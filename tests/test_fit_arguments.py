"""Settings by name, a user's objective and optimiser, findings."""

import dataclasses
import json
from typing import get_type_hints

import jax.numpy as jnp
import making
import numpy as np
import optax
import pytest
from test_training import StopAfter

import lfadsx
from lfadsx import settings
from lfadsx.config import HyperParams, PopulationConfig, TrainConfig
from lfadsx.errors import LfadsxError, RunError
from lfadsx.files import atomic_path, to_json, write_json
from lfadsx.models.seams import SEAMS
from lfadsx.objective import Objective
from lfadsx.settings_by_name import with_settings
from lfadsx.training import RunFolder
from lfadsx.training.optimizer import describe_optimizer
from lfadsx.training.results import FitResult, PopulationResult
from lfadsx.training.training_findings import pooled_findings, training_findings

QUICK = dict(epochs=4, batch_size=2, kl_ramp_epochs=1, l2_ramp_epochs=1, schedule="constant", validate_every=1)


@pytest.fixture(scope="module")
def data():
    return making.one_session(n_trials=12)


def fit(data, **arguments):
    return lfadsx.fit(making.build(data), data, progress=False, **QUICK | arguments)


def test_settings_by_name_are_those_of_the_configurations(data):
    hyper, config = lfadsx.HyperParams(learning_rate=1e-2), lfadsx.TrainConfig(**QUICK | {"epochs": 2})
    one = lfadsx.fit(making.build(data), data, hyper=hyper, config=config)
    given = dict(hyper=lfadsx.HyperParams(), config=TrainConfig(epochs=9, batch_size=7))
    other = fit(data, **given, epochs=np.int64(2), learning_rate=jnp.float32(1e-2))
    np.testing.assert_array_equal(one.history["loss"], other.history["loss"])
    assert one.history["learning_rate"][0] == pytest.approx(1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epoch": 3},
            r"`epoch` must be a setting of `fit` \(did you mean 'epochs'\?\).* lfadsx.HyperParams and lfadsx.Tr",
        ),
        ({"zzz": 3}, "`zzz` must be a setting of `fit`. Settings are the fields"),
        ({"factors": 3}, "`factors` is a setting of the model. Give it to the function that builds the model"),
        ({"epochs": "3"}, "`epochs` must be a whole number, got '3'."),
        ({"epochs": 2.5}, "`epochs` must be a whole number, got 2.5"),
        ({"cd_rate": None}, "`cd_rate` must be a number, got None"),
        ({"batch_size": "64"}, "`batch_size` must be a whole number, got '64'."),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"cd_rate": 1.5}, "`cd_rate` must be .*, got 1.5"),
        ({"optimizer": 3}, "`optimizer` must be an Optax gradient transformation, got int"),
        ({"optimizer": optax.sgd(0.1)}, "its own learning rate. Leave that out"),
    ],
)
def test_settings_that_cannot_be_are_named(data, settings, message):
    with pytest.raises(LfadsxError, match=message):
        lfadsx.fit(making.build(data), data, **settings)


def test_settings_of_a_population(data):
    with pytest.raises(LfadsxError, match="did you mean 'burn_in'.* and lfadsx.PopulationConfig"):
        lfadsx.population(making.build(data), data, members=2, burnin=3)
    with pytest.raises(LfadsxError, match="`population` must be a PopulationConfig, got 2. Give members=8"):
        lfadsx.population(making.build(data), data, population=2)
    found = with_settings("x", {"burn_in": 3, "train": "readin/*"}, HyperParams(), TrainConfig(), PopulationConfig())
    assert found[2].burn_in == 3 and found[1].train == ("readin/*",)


def test_a_population_of_one_is_the_fit(data):
    """Not only its numbers: it is the same compiled program, without an axis of members."""
    single = fit(data)
    many = lfadsx.population(making.build(data), data, members=1, progress=False, **QUICK)
    for name in set(single.history) - {"seconds"}:
        np.testing.assert_array_equal(many.members[0].history[name], single.history[name])
    assert "1 members" in repr(many) and len(repr(many).splitlines()) <= 20


@dataclasses.dataclass(frozen=True)
class Shifted(Objective):
    """Another value, the same gradient."""

    by: float = 100.0

    def __call__(self, *args, **kwargs):
        value, parts = super().__call__(*args, **kwargs)
        return value + self.by, parts


def test_an_objective_replaces_the_loss_and_is_remembered(data, tmp_path):
    plain, shifted = fit(data), fit(data, objective=Shifted(), out=tmp_path)
    np.testing.assert_allclose(shifted.history["loss"], plain.history["loss"] + 100, rtol=1e-5)
    np.testing.assert_allclose(shifted.history["score"], plain.history["score"], rtol=1e-4)
    assert "by=100.0" in RunFolder(tmp_path).info.parts["objective"]
    with pytest.raises(RunError, match=r"other settings: `objective` is .*by=100.0.* in that run and .*by=1.0"):
        fit(data, objective=Shifted(by=1.0), out=tmp_path)
    with pytest.raises(RunError, match=r"other settings: `objective` is Shifted.* in that run and None in this one"):
        fit(data, out=tmp_path)
    assert fit(data, objective=Shifted(), out=tmp_path).reason == "epochs"


@pytest.mark.slow
def test_an_optimizer_replaces_adam_and_its_state_is_resumed(data, tmp_path):
    settings = dict(optimizer=optax.chain(optax.clip(10.0), optax.trace(0.9)), learning_rate=1e-3)
    whole = fit(data, **settings)
    first = fit(data, out=tmp_path, callbacks=[StopAfter(2)], **settings)
    assert first.reason == "interrupted"
    second = fit(data, out=tmp_path, **settings | {"optimizer": optax.chain(optax.clip(10.0), optax.trace(0.9))})
    np.testing.assert_array_equal(whole.history["loss"], second.history["loss"])
    assert not np.allclose(whole.history["loss"][1:], fit(data, learning_rate=1e-3).history["loss"][1:], rtol=1e-6)
    with pytest.raises(RunError, match="other settings: `optimizer`"):
        fit(data, out=tmp_path, **settings | {"optimizer": optax.chain(optax.clip(10.0), optax.trace(0.8))})


def test_an_optimizer_is_described_by_its_settings():
    text = describe_optimizer(optax.scale_by_adam(b1=0.85))
    assert "scale_by_adam" in text and "b1=0.85" in text and " at 0x" not in text
    assert text == describe_optimizer(optax.scale_by_adam(b1=0.85)) != describe_optimizer(optax.scale_by_adam(b1=0.8))


def test_a_collapse_is_found(data):
    heavy = dict(kl_ic_scale=50.0, kl_co_scale=50.0, kl_floors=(1.0, 1.0), dropout_rate=0.0)
    result = fit(data, epochs=150, kl_ramp_epochs=140, batch_size=6, learning_rate=0.02, validate_every=5, **heavy)
    found = {finding.where: finding for finding in result.findings if finding.name == "collapsed latents"}
    assert set(found) == {"initial condition", "inferred inputs"}
    at = result.best_epoch - 1
    assert found["initial condition"].value == result.history["valid_kl_ic"][at]
    assert found["inferred inputs"].value == pytest.approx(result.history["valid_kl_inputs"][at] / 8)
    assert "Lower kl_ic_scale (it was 50)" in found["initial condition"].remedy
    assert "collapsed" in repr(result) and len(repr(result).splitlines()) <= 20


FACTS = dict(hyper=HyperParams(), config=TrainConfig(), n_bins=10)


def history(ic, inputs):
    return {"valid_kl_ic": np.array(ic), "valid_kl_inputs": np.array(inputs)}


def findings(kl, **changes):
    settings = dict(
        reason="epochs", best_epoch=2, skipped_steps=0, hyper=HyperParams(), config=TrainConfig(), n_bins=10
    )
    return [finding.name for finding in training_findings(kl, **settings | changes)]


def test_what_counts_as_odd_in_a_training():
    nan = float("nan")
    healthy = history([1.0, 2.0, nan], [1.0, 2.0, nan])
    assert findings(healthy) == []
    assert findings(history([1.0, 0.05, 2.0], [1.0, 0.05, 2.0])) == 2 * ["collapsed latents"]  # of the selected model
    assert findings(history([1.0, 0.05, nan], [1.0] * 3), best_epoch=0) == ["no selected model", "collapsed latents"]
    assert findings(history([0.0] * 3, [0.0] * 3)) == []  # a model without these latents
    assert findings({}, reason="interrupted", best_epoch=0) == []
    assert findings(healthy, skipped_steps=3) == ["skipped steps"]
    assert findings({}, skipped_steps=30, reason="not finite", best_epoch=0) == ["broke off"]


def test_findings_of_members_say_whose_they_are():
    settings = dict(
        reason="epochs", best_epoch=2, skipped_steps=0, hyper=HyperParams(), config=TrainConfig(), n_bins=10
    )
    broken = training_findings({}, **settings | {"skipped_steps": 30, "reason": "not finite"})
    (one,), (both,) = pooled_findings([broken, ()]), pooled_findings([broken, broken])
    assert one.sentence.startswith("Members [0]: Training stopped early: 30 steps") and one.where == "members [0]"
    assert both.sentence.startswith("Training stopped early") and both.where == "all members"


def test_results_have_short_texts():
    one = FitResult(None, None, {}, "interrupted", 0, float("inf"), 0, 1.0)
    assert repr(one).splitlines()[1] == "  best model: none, the ramps had not ended; selection score - nats per trial"
    many = PopulationResult((one,) * 40, HyperParams(), tuple(range(40)), [], "epochs", 1.0)
    assert len(repr(many).splitlines()) <= 20 and "and 30 more" in repr(many)


def test_a_bar_is_shown_unless_asked_not_to(data, capsys, monkeypatch):
    monkeypatch.setattr("lfadsx.training.callbacks.is_live", lambda: True)
    fit(data, epochs=1)
    assert capsys.readouterr().err == ""
    lfadsx.fit(making.build(data), data, **QUICK | {"epochs": 1})
    assert "training (epochs)" in capsys.readouterr().err


def test_a_file_is_whole_or_not_there(tmp_path):
    file = tmp_path / "a.h5"
    with pytest.raises(KeyError), atomic_path(file) as partial:
        partial.write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with atomic_path(file) as partial:
        assert partial.suffix == ".h5" and not file.exists()
        partial.write_text("whole")
    assert file.read_text() == "whole" and list(tmp_path.iterdir()) == [file]


def test_json_holds_what_we_have(tmp_path):
    @dataclasses.dataclass
    class Own:
        path: object
        values: object

    value = {"a": Own(tmp_path, np.array([1.0, np.nan])), 2: (np.int64(3), True, None, float("inf")), "j": jnp.ones(1)}
    expected = {"a": {"path": str(tmp_path), "values": [1.0, None]}, "2": [3, True, None, None], "j": [1.0]}
    assert json.loads(to_json(value)) == expected
    assert json.loads(write_json(tmp_path / "a.json", value).read_text()) == expected


def test_type_checkers_know_the_settings_of_every_function():
    """The types of `lfadsx.settings` repeat the fields of the configurations."""
    tables = {
        settings.ModelSettings: lfadsx.ModelConfig,
        settings.HyperSettings: lfadsx.HyperParams,
        settings.TrainSettings: lfadsx.TrainConfig,
        settings.PopulationSettings: lfadsx.PopulationConfig,
    }
    apart = {"variant", "population"}  # of `build` alone, and the argument `members`
    mixed = {"readin", "generator", "ic_prior", "bias_prior", "input_prior", "likelihood"}  # a name, or a part
    for table, config in tables.items():
        fields = {field.name: field.type for field in dataclasses.fields(config) if field.name not in apart}
        assert set(table.__annotations__) == set(fields)
        hints = get_type_hints(table)
        for name, hint in get_type_hints(config).items():
            assert name in apart | mixed or hints[name] == hint, name
    parts = set(SEAMS) - set(settings.ModelSettings.__annotations__)
    assert parts <= set(settings.VariantSettings.__annotations__)

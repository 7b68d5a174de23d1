"""New sessions on a trained model: kept parts, new parts and trained parts."""

import dataclasses

import jax
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.data import concatenate
from lfadsx.data.splits import choose
from lfadsx.errors import DataError
from lfadsx.pipeline import evaluate_run, fit_run
from lfadsx.training.state import matches, parameter_paths, path_name


def by_path(model):
    return {path_name(path): np.asarray(value[...]) for path, value in nnx.to_flat_state(nnx.state(model))}


@pytest.fixture(scope="module")
def days():
    return making.apart()


def test_a_known_session_computes_what_it_did(days):
    monday, tuesday = days
    both = concatenate(*days)
    old = making.build(both)
    third = making.ragged("friday", n_channels=5, seed=7)
    new = lfadsx.with_sessions(old, concatenate(tuesday, third), rngs=nnx.Rngs(3))
    before, after = (making.forward(model)(batch_of(data)) for model, data in ((old, tuesday_of(both)), (new, tuesday)))
    np.testing.assert_allclose(after.factors, before.factors, rtol=1e-5, atol=1e-6)
    n = 4
    np.testing.assert_allclose(
        after.params["spikes"][:, :, :n], before.params["spikes"][:, :, :n], rtol=1e-5, atol=1e-6
    )
    assert set(new.readin.weight) == {"tuesday", "friday"}
    # Everything between is untouched, and the old model, too.
    old_values, new_values = by_path(old), by_path(new)
    for path, values in new_values.items():
        if not path.startswith(("readin", "readout")):
            np.testing.assert_array_equal(values, old_values[path])
    assert set(old.readin.weight) == {"monday", "tuesday"}


def tuesday_of(both):
    """The data of the second session, as trials of a model of both."""
    own = {name: choose(split, split.session == 1) for name, split in both.splits.items()}
    return dataclasses.replace(both, **own)


def test_rates_of_other_sessions_cannot_be_fed_back(days):
    monday, tuesday = days
    model = making.build(monday, feedback="rates")
    with pytest.raises(ValueError, match=r"must have one session of 6 channels, got \[4\]"):
        lfadsx.with_sessions(model, tuesday, rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_a_run_is_evaluated_on_its_sessions_in_any_order_and_on_no_others(days, tmp_path):
    both = concatenate(*days)
    config = lfadsx.TrainConfig(epochs=1, kl_ramp_epochs=0, l2_ramp_epochs=0)
    fit_run(both, tmp_path, model=making.build(both), train=config, n_samples=2, figures=False)
    scores = {
        order: evaluate_run(tmp_path, data, split="valid", n_samples=400).evaluation.scores["bits_per_spike"]
        for order, data in (("there", both), ("back", concatenate(*reversed(days))))
    }
    # The wrong maps would cost a multiple of that.
    assert scores["back"] == pytest.approx(scores["there"], abs=0.02)
    assert np.isfinite(evaluate_run(tmp_path, days[1], split="valid", n_samples=2).evaluation.scores["bits_per_spike"])
    friday = making.ragged("friday", n_channels=5, seed=7)
    with pytest.raises(DataError, match="must be among those of the model, monday, tuesday, got 'friday'"):
        evaluate_run(tmp_path, friday, split="valid", n_samples=2)


def test_inference_on_other_sessions_than_the_models_is_refused(days):
    monday, tuesday = days
    model = making.build(concatenate(monday, tuesday))
    for call in (lfadsx.infer, lfadsx.bounds):
        with pytest.raises(ValueError, match="but has {'monday': 4, 'tuesday': 3}"):
            call(model, concatenate(tuesday, monday), "valid")


def test_a_new_session_starts_at_its_mean_rates(days):
    monday, tuesday = days
    new = lfadsx.with_sessions(making.build(monday), tuesday, rngs=nnx.Rngs(3))
    fresh = lfadsx.build(tuesday, **making.SIZES, rngs=nnx.Rngs(0))
    biases = [model.readout["spikes"].bias["tuesday"][...] for model in (new, fresh)]
    np.testing.assert_array_equal(*biases)


def test_one_session_that_passed_as_it_was_becomes_the_identity(days):
    monday, tuesday = days
    old = making.build(monday)
    new = lfadsx.with_sessions(old, concatenate(monday, tuesday), rngs=nnx.Rngs(3))
    n = monday.sessions[0].n_channels
    np.testing.assert_array_equal(new.readin.weight["monday"][...], np.eye(n))
    both = batch_of(concatenate(monday, tuesday))
    rows = np.flatnonzero(np.asarray(both.session) == 0)
    after = making.forward(new)(making.rows(both, rows))
    before = making.forward(old)(batch_of(monday))
    np.testing.assert_allclose(after.factors, before.factors, rtol=1e-4, atol=1e-5)


def test_only_the_maps_of_the_new_session_train(days):
    monday, tuesday = days
    both = concatenate(monday, tuesday)
    model = lfadsx.with_sessions(making.build(monday), both, rngs=nnx.Rngs(3))
    patterns = lfadsx.session_patterns(["tuesday"])
    trained = [path for path in parameter_paths(model) if matches(path, patterns)]
    assert sorted(trained) == [
        "readin/bias/tuesday",
        "readin/weight/tuesday",
        "readout/spikes/bias/tuesday",
        "readout/spikes/weight/tuesday",
    ]
    config = lfadsx.TrainConfig(epochs=2, batch_size=4, kl_ramp_epochs=0, l2_ramp_epochs=0, train=patterns)
    hyper = lfadsx.HyperParams(learning_rate=0.02)
    after = by_path(lfadsx.fit(model, both, config=config, hyper=hyper).last)
    for path, values in by_path(model).items():
        assert np.array_equal(after[path], values) == (path not in trained), path


@pytest.mark.parametrize(
    ("patterns", "parts"),
    [
        (("ic_encoder/*", "ic_posterior/*", "input_encoder/*"), {"ic_encoder", "ic_posterior", "input_encoder"}),
        (("readin/*",), {"readin"}),
    ],
    ids=["encoders", "read-ins"],
)
def test_encoders_or_read_ins_train_alone(days, patterns, parts):
    """Neither weight decay nor a penalty moves what is frozen, bit for bit."""
    both = concatenate(*days)
    model = making.build(both)
    settings = dict(epochs=1, batch_size=4, kl_ramp_epochs=0, l2_ramp_epochs=0, progress=False)
    pressure = dict(learning_rate=0.02, weight_decay=0.5, l2_scale=0.1, l2_gen_scale=1.0, l2_readin_scale=1.0)
    after = by_path(lfadsx.fit(model, both, train=patterns, **pressure, **settings).last)
    moved = {path.split("/")[0] for path, values in by_path(model).items() if not np.array_equal(after[path], values)}
    assert moved == parts


def test_names_with_signs_of_patterns_are_taken_as_they_are():
    (readin, *_) = lfadsx.session_patterns(["day[1]*"])
    assert matches("readin/weight/day[1]*", [readin])
    assert not matches("readin/weight/day1x", [readin])


def test_real_valued_sessions_keep_their_units():
    monday = making.one_session(likelihood="gaussian", session="monday")
    friday = making.one_session(likelihood="gaussian", n_channels=3, session="friday", seed=4)
    old = making.build(monday, likelihood="gaussian")
    new = lfadsx.with_sessions(old, concatenate(monday, friday), rngs=nnx.Rngs(1))
    fresh = lfadsx.build(friday, likelihood="gaussian", **making.SIZES, rngs=nnx.Rngs(0))
    for part in ("mean", "unit"):
        found = getattr(new.standardiser, part)
        np.testing.assert_array_equal(found["monday"][...], getattr(old.standardiser, part)["monday"][...])
        np.testing.assert_array_equal(found["friday"][...], getattr(fresh.standardiser, part)["friday"][...])
    units = new.readout["spikes"].unit
    np.testing.assert_array_equal(units["friday"][...], fresh.readout["spikes"].unit["friday"][...])


@pytest.mark.slow
def test_it_is_saved_and_loaded(days, tmp_path):
    monday, tuesday = days
    model = lfadsx.with_sessions(making.build(monday), tuesday, rngs=nnx.Rngs(3))
    config = lfadsx.TrainConfig(epochs=1, batch_size=4, kl_ramp_epochs=0, l2_ramp_epochs=0)
    result = lfadsx.fit(model, tuesday, config=config, out=tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, nnx.state(lfadsx.load(tmp_path / "run")), nnx.state(result.model))


def test_what_cannot_be_extended_is_named(days):
    monday, _ = days
    other = making.ragged("monday", n_channels=5, seed=7)
    with pytest.raises(ValueError, match="The arrays of session 'monday' must have the shape"):
        lfadsx.with_sessions(making.build(monday), other, rngs=nnx.Rngs(0))
    model = making.build(monday)

    class Own(lfadsx.modules.AbstractReadin):
        def __init__(self):
            self.n_features = 4

        def __call__(self, x, session):
            return x[..., :4]

    model.readin = Own()
    with pytest.raises(ValueError, match="The read-in Own must have a method `with_sessions`"):
        lfadsx.with_sessions(model, monday, rngs=nnx.Rngs(0))

"""New trials from the prior: they have the prior's distribution, and each depends only on its number."""

import dataclasses

import h5py
import jax.numpy as jnp
import making
import numpy as np
import pytest

import lfadsx
from lfadsx.types import TargetGroup, TimeAxis


@pytest.fixture(scope="module")
def data():
    return making.several_sessions(known=2)


@pytest.fixture(scope="module")
def model(data):
    return making.build(data)


def test_draws_have_the_law_of_the_priors(model):
    found = lfadsx.generate(model, 3000, 12)
    ic, inputs = model.ic_prior.distribution(), model.decoder.input_prior
    error = np.sqrt(np.asarray(ic.variance) / 3000)
    assert np.all(np.abs(found.initial_condition.mean(0) - np.asarray(ic.mean)) < 5 * error)
    np.testing.assert_allclose(found.initial_condition.var(0), ic.variance, rtol=0.2)
    variance = np.asarray(inputs.stationary_variance)
    assert found.inputs.shape == (3000, 12, 2)
    np.testing.assert_allclose(found.inputs.var(0), np.tile(variance, (12, 1)), rtol=0.25)
    lagged = (found.inputs[:, 1:] * found.inputs[:, :-1]).mean((0, 1)) / (found.inputs[:, :-1] ** 2).mean((0, 1))
    np.testing.assert_allclose(lagged, inputs.phi, atol=0.05)


def test_the_generator_runs_from_them(model):
    """Bin by bin, with the inputs that were drawn."""
    found = lfadsx.generate(model, 4, 6)
    decoder = model.decoder
    state = decoder.generator.initial_state(jnp.asarray(found.initial_condition))
    np.testing.assert_allclose(found.initial_state, state, rtol=1e-5, atol=1e-6)
    for t in range(6):
        state = decoder.generator.step(state, None, jnp.asarray(found.inputs[:, t]))
        np.testing.assert_allclose(found.generator_states[:, t], state, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.factors[:, t], decoder.factor_map(state), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_trial_depends_on_its_number_alone(model, monkeypatch):
    many = lfadsx.generate(model, 7, 5, draw_data=True, seed=3)
    few = lfadsx.generate(model, 2, 5, draw_data=True, seed=3)
    monkeypatch.setattr("lfadsx.inference.generation.trials_at_once", lambda *_: 3)
    chunks = lfadsx.generate(model, 7, 5, draw_data=True, seed=3)
    for name in ("factors", "inputs", "initial_condition"):
        np.testing.assert_allclose(getattr(few, name), getattr(many, name)[:2], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(getattr(chunks, name), getattr(many, name), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(chunks.data["spikes"], many.data["spikes"])
    other = lfadsx.generate(model, 2, 5, seed=4)
    assert np.all(other.initial_condition != few.initial_condition)


def test_each_session_has_its_own_read_out(model):
    monday, tuesday = (lfadsx.generate(model, 3, 5, session=name) for name in ("monday", "tuesday"))
    assert (monday.rates["spikes"].shape[2], tuesday.rates["spikes"].shape[2]) == (6, 4)
    np.testing.assert_array_equal(monday.factors, tuesday.factors)
    readout = model.readout["spikes"]
    log_rates = tuesday.factors @ np.asarray(readout.weight["tuesday"][...])[:, :, 0]
    log_rates = log_rates + np.asarray(readout.bias["tuesday"][...])[:, 0]
    np.testing.assert_allclose(tuesday.rates["spikes"], np.exp(log_rates), rtol=1e-4)
    assert lfadsx.generate(model, 3, 5, session=1).session == "tuesday"


def test_data_scatter_about_the_rates_as_the_likelihood_says(model):
    found = lfadsx.generate(model, 400, 5, draw_data=True)
    rates, counts = found.rates["spikes"], found.data["spikes"]
    assert np.all(counts == np.floor(counts)) and counts.min() >= 0
    residual = (counts - rates) / np.sqrt(rates)
    assert abs(residual.mean()) < 5 / np.sqrt(residual.size) and residual.var() == pytest.approx(1, abs=0.1)
    assert lfadsx.generate(model, 2, 5).data == {}


def test_generated_trials_know_what_they_are(model, data, tmp_path):
    timed = dataclasses.replace(data, time=TimeAxis(0.02), source={"file": 1})
    found = lfadsx.generate(model, 3, 5, data=timed, draw_data=True, session="tuesday")
    assert found.groups == {"spikes": TargetGroup("counts", "counts per bin")} and found.variance == {}
    assert found.time.bin_width == 0.02 and found.source == {"file": 1} and found.version == lfadsx.__version__
    assert "3 trials of session 'tuesday'" in repr(found) and len(repr(found).splitlines()) <= 20
    found.save(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert (file.attrs["session"], file.attrs["bin_width_s"]) == ("tuesday", 0.02)
        np.testing.assert_allclose(file["rates_hz"], found.rates["spikes"] / 0.02)
        np.testing.assert_array_equal(file["data"], found.data["spikes"])
        assert all(len(array.attrs["dims"]) == array.ndim and array.attrs["description"] for array in file.values())
    bare = lfadsx.generate(model, 3, 5)
    assert bare.time.bin_width is None and bare.groups == found.groups


def test_known_inputs_drive_the_generator(data):
    model = making.build(data, variant="external_input")
    known = np.zeros((3, 6, 2), np.float32)
    before = lfadsx.generate(model, 3, 6, known_inputs=known)
    known[:, 3] = 1.0
    after = lfadsx.generate(model, 3, 6, known_inputs=known)
    np.testing.assert_array_equal(after.factors[:, :3], before.factors[:, :3])
    assert np.all(np.any(after.factors[:, 3:] != before.factors[:, 3:], axis=2))


def test_a_model_without_inputs_or_initial_condition():
    data = making.one_session()
    found = lfadsx.generate(making.build(data, variant="autonomous", ic_dim=0), 3, 5)
    assert found.inputs is None
    np.testing.assert_allclose(found.factors[0], found.factors[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": 0}, "`n_bins` must be at least 1, got 0 trials of 5 bins"),
        ({"n_bins": 0}, "at least 1, got 2 trials of 0 bins"),
        ({"session": "sunday"}, r"one of \['monday', 'tuesday'\] or its number, got 'sunday'"),
        ({"session": 2}, "or its number, got 2"),
        ({"known_inputs": np.zeros((2, 5, 2))}, "`known_inputs` must be left out"),
    ],
)
def test_what_cannot_be_generated_is_named(model, settings, message):
    with pytest.raises(ValueError, match=message):
        lfadsx.generate(model, **({"n_trials": 2, "n_bins": 5} | settings))


def test_known_inputs_that_are_missing_or_of_another_shape_are_named(data):
    model = making.outline(data, variant="external_input")
    with pytest.raises(ValueError, match=r"`known_inputs` \(trial, time, known\) must be given"):
        lfadsx.generate(model, 2, 5)
    with pytest.raises(ValueError, match=r"of 2 trials of 5 bins with 2 known inputs, got \(2, 4, 2\)"):
        lfadsx.generate(model, 2, 5, known_inputs=np.zeros((2, 4, 2)))

"""Real-valued data: the model is the same for any unit."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data import from_arrays
from lfadsx.distributions import Gaussian
from lfadsx.distributions.likelihood import mean_and_std
from lfadsx.inference import infer_trials
from lfadsx.models.initialization import ENCODER_STD
from lfadsx.modules import Standardiser
from lfadsx.results.labels import Labels

SMALL = dict(
    factors=3, generator_dim=6, ic_dim=4, ic_encoder_dim=5, input_encoder_dim=4, controller_dim=5, inferred_inputs=1
)
SCALE, SHIFT = np.array([1e-5, 1.0, 1e4, 30.0]), np.array([2e-5, -3.0, 0.0, 1000.0])


@pytest.fixture(scope="module")
def waves():
    """Trials of four noisy oscillations, shape (trial, time, channel)."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (40, 1, 1))
    return np.sin(np.linspace(0, 5, 12)[:, None] + phase + np.arange(4)) + 0.3 * rng.normal(size=(40, 12, 4))


def dataset(values, **options):
    return from_arrays(values, kind="real", valid_fraction=0.2, **options)


def fitted(data, out=None, **changes):
    model = lfadsx.inferred_input(data, likelihood="gaussian", **SMALL, **changes, rngs=nnx.Rngs(0))
    train = TrainConfig(epochs=16, batch_size=16, kl_ramp_epochs=1, l2_ramp_epochs=0)
    return lfadsx.fit(model, data, hyper=HyperParams(cd_rate=0.0, learning_rate=0.05), config=train, out=out).model


@pytest.fixture(scope="module")
def run(waves, tmp_path_factory):
    """A run folder, its model and its data, in units far from order 1."""
    out, data = tmp_path_factory.mktemp("units") / "run", dataset(waves * SCALE + SHIFT)
    return out, fitted(data, out), data


@pytest.fixture(scope="module")
def plain(waves):
    """The same model and data, in units of order 1."""
    data = dataset(waves)
    return fitted(data), data


def rates_of(model, data):
    return infer_trials(model, Labels.of(data), data.valid, 0, 0).rates["spikes"]


@pytest.mark.slow
def test_training_does_not_see_the_unit(plain, run):
    """The same data in volts, in digits and with an offset give the same model."""
    _, model, data = run
    rates, wanted = rates_of(model, data), rates_of(*plain)
    assert np.std(wanted, axis=(0, 1)).min() > 0.05  # it has begun to learn
    np.testing.assert_allclose((rates - SHIFT) / SCALE, wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_units_are_saved_with_the_model(run):
    out, model, data = run
    again = lfadsx.load(out)
    np.testing.assert_array_equal(rates_of(again, data), rates_of(model, data))
    wanted = data.train.encoder_input.std((0, 1)) / ENCODER_STD
    np.testing.assert_allclose(again.standardiser.unit["session"][...], wanted, rtol=1e-5)


def test_rates_of_hidden_entries_do_not_see_the_unit(plain, run):
    _, model, data = run
    rates, hidden = lfadsx.masked_rates(model, data, "valid", n_samples=2)
    wanted, _ = lfadsx.masked_rates(plain[0], plain[1], "valid", n_samples=2)
    assert hidden.all()
    np.testing.assert_allclose((rates - SHIFT) / SCALE, wanted, rtol=5e-3, atol=5e-3)


def test_a_missing_entry_counts_as_the_mean(waves):
    values = waves + 100.0
    values[:, 3, 1] = np.nan
    data = dataset(values, missing=True)
    model = lfadsx.autonomous(data, likelihood="gaussian", **SMALL, rngs=nnx.Rngs(0))
    seen = model._sequence(lfadsx.data.batch(data, "valid"), {}, 0.0)
    assert np.all(np.asarray(seen)[:, 3, 1] == 0)
    everything = np.asarray(model._sequence(lfadsx.data.batch(data, "train"), {}, 0.0))
    assert np.abs(everything.mean((0, 1))).max() < 1e-4
    spread = np.sqrt((everything**2).sum((0, 1)) / (len(everything) * np.array([12, 11, 12, 12])))
    np.testing.assert_allclose(spread, ENCODER_STD, rtol=1e-3)


def test_sessions_have_units_of_their_own():
    standardiser = Standardiser((("narrow", 1), ("wide", 2)))
    standardiser.set_units(0, mean=jnp.array([1.0]), unit=jnp.array([2.0]))
    standardiser.set_units(1, mean=jnp.array([0.0, 10.0]), unit=jnp.array([1.0, 5.0]))
    x = jnp.array([[[3.0, 7.0]], [[3.0, 20.0]]])
    np.testing.assert_allclose(standardiser(x, jnp.array([0, 1])), [[[1.0, 7.0]], [[3.0, 2.0]]])


def test_counts_stay_as_they_are(waves):
    counts = from_arrays(np.random.default_rng(0).poisson(1.0, (20, 6, 3)))
    assert lfadsx.autonomous(counts, **SMALL, rngs=nnx.Rngs(0)).standardiser is None
    data = dataset(waves * SCALE)
    model = lfadsx.autonomous(data, likelihood="gaussian", standardise=False, **SMALL, rngs=nnx.Rngs(0))
    assert model.standardiser is None and np.all(model.readout["spikes"].unit_of(0) == 1)


def test_a_small_spread_beside_a_large_mean_is_found():
    values = 1000.0 + np.array([[0.0, 0.1], [0.0, -0.1]])
    mean, std = mean_and_std(values.sum(0), (values**2).sum(0), np.array([2.0, 2.0]))
    np.testing.assert_allclose(mean, 1000.0)
    np.testing.assert_allclose(std, [1.0, 0.1], rtol=1e-4)  # a channel that does not vary has 1
    units = Gaussian().units(values.sum(0), (values**2).sum(0), np.array([2.0, 2.0]))
    np.testing.assert_allclose(units, [[1.0, 1.0], [0.1, 1.0]], rtol=1e-4)


def test_the_floor_of_the_variance_is_small_beside_the_data(waves):
    data = dataset(waves * 1e-5)
    likelihood = lfadsx.autonomous(data, likelihood="gaussian", **SMALL, rngs=nnx.Rngs(0)).likelihood["spikes"]
    assert likelihood.variance_min < 1e-5 * data.train.encoder_input.var((0, 1)).min()

"""The optimum: samplers against closed forms and each other, and the meaning of its scores."""

import dataclasses
import functools
import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import classical
from benchmarks.gpfa import gpfa
from benchmarks.optimum import bank, generators, methods, posterior, tempering
from benchmarks.optimum.methods import data_and_truth, optimum, recipe_of, spread
from benchmarks.optimum.posterior import Generator, Outcome
from benchmarks.optimum.scores import estimates, scores
from lfadsx.data import from_arrays, read
from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.lorenz import Lorenz
from lfadsx.evaluation.metrics import r2_pooled

pytestmark = pytest.mark.slow
"""They test a benchmark, not the library."""

D, T, N, NOISE = 3, 8, 3, 1.5


@pytest.fixture(scope="module")
def linear():
    """A linear-Gaussian generator, data, truth, and mean and covariance of the exact posterior."""
    rng = np.random.default_rng(0)
    weights = 0.6 * rng.normal(size=(T * N, D))
    z = rng.normal(size=(12, D))
    truth = (z @ weights.T).reshape(-1, T, N)
    data = truth + NOISE * rng.normal(size=truth.shape)
    covariance = np.linalg.inv(weights.T @ weights / NOISE**2 + np.eye(D))
    mean = data.reshape(len(z), -1) @ weights / NOISE**2 @ covariance
    on_device = jnp.asarray(weights)
    generator = Generator(D, lambda z: Outcome((on_device @ z).reshape(T, N)), noise_sd=NOISE)
    return generator, data, truth, mean, covariance, weights


@pytest.fixture(scope="module")
def drawn(linear):
    """Samples of Laplace's approximation for the linear generator."""
    return posterior.laplace(linear[0], linear[1], n_samples=1000, chunk=12)


def _moments(samples):
    z, weight = np.asarray(samples.z, float), np.asarray(samples.weight, float)
    mean = np.einsum("es,esd->ed", weight, z)
    centred = z - mean[:, None]
    return mean, np.einsum("es,esc,esd->cd", weight, centred, centred) / len(z)


def test_laplace_is_exact_for_a_linear_gaussian_generator(linear, drawn):
    generator, data, _, mean, covariance, _ = linear
    np.testing.assert_allclose(drawn.ess, 1000, rtol=1e-3)  # the proposal is the posterior: all weights are equal
    mode = posterior.find_mode(generator, jnp.asarray(data[0]), jnp.zeros(D))
    np.testing.assert_allclose(mode.z, mean[0], atol=1e-4)
    np.testing.assert_allclose(mode.factor @ mode.factor.T, np.linalg.inv(covariance), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "sample",
    [
        lambda g, x: posterior.laplace(g, x, n_samples=1500, spread=1.3),
        lambda g, x: posterior.hmc(g, x, n_draws=200, n_warmup=20, n_leapfrog=3),
        lambda g, x: tempering.smc(g, x, n_particles=600, chunk=12, n_moves=2, n_final=3, n_leapfrog=3),
    ],
    ids=["weighted laplace", "hmc", "smc"],
)
def test_samplers_find_the_closed_form_posterior(linear, sample):
    generator, data, truth, mean, covariance, _ = linear
    samples = sample(generator, data)
    found_mean, found_covariance = _moments(samples)
    deviation = np.sqrt(np.diag(covariance))
    assert np.max(np.sqrt(np.mean((found_mean - mean) ** 2, 0)) / deviation) < 0.1
    np.testing.assert_allclose(found_covariance / np.outer(deviation, deviation), _correlation(covariance), atol=0.1)
    table = scores(estimates(generator, samples, {"rates": truth}), {"rates": truth})
    weights = linear[-1]
    exact = (mean @ weights.T).reshape(truth.shape)
    total = ((truth - truth.mean((0, 1))) ** 2).sum()
    assert table["rates_r2_pooled"] == pytest.approx(1 - ((truth - exact) ** 2).sum() / total, abs=0.003)


def _correlation(covariance):
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)


def test_tempering_weighs_two_modes_by_their_mass():
    """Rates depend on |z - 0.3| only: two modes whose masses the prior sets apart; Laplace would see one."""

    def simulate(z):
        return Outcome(jnp.full((5, 2), 2.0) * jnp.abs(z[0] - 0.3))

    data = np.full((1, 5, 2), 2.0)
    samples = tempering.smc(Generator(1, simulate), data, n_particles=2000, n_moves=2, n_final=5, n_leapfrog=3)
    grid = np.linspace(-5, 5, 20001)
    rates = 2 * np.abs(grid - 0.3) + posterior.FLOOR
    log_density = 10 * (2 * np.log(rates) - rates) - grid**2 / 2
    density = np.exp(log_density - log_density.max())
    share = density[grid > 0.3].sum() / density.sum()
    assert 0.2 < share < 0.4
    assert float((samples.z > 0.3).mean()) == pytest.approx(share, abs=0.05)


def test_leading_direction_beats_every_other_estimate(linear, drawn):
    """Its expected squared correlation under the posterior is the largest eigenvalue."""
    generator, _, truth, *_ = linear
    samples = drawn
    found = estimates(generator, samples, {"rates": truth})["rates"]
    values = np.asarray(jax.vmap(jax.vmap(lambda z: generator.simulate(z).rates))(samples.z), float)
    shapes = values - values.mean(2, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=2, keepdims=True)
    products = np.einsum("es,estc,esuc->ectu", np.asarray(samples.weight, float), shapes, shapes)
    direction = found.direction.transpose(0, 2, 1)
    attained = np.einsum("ect,ectu,ecu->ec", direction, products, direction)
    np.testing.assert_allclose(attained, np.linalg.eigvalsh(products)[..., -1], rtol=1e-3)


def test_intervals_cover_as_often_as_they_say(linear, drawn):
    generator, _, truth, *_ = linear
    table = scores(estimates(generator, drawn, {"rates": truth}), {"rates": truth})
    assert table["rates_coverage_50"] == pytest.approx(0.5, abs=0.12)
    assert table["rates_coverage_90"] == pytest.approx(0.9, abs=0.08)


def test_a_trial_gets_the_same_samples_in_any_chunk(linear, drawn):
    generator, data, *_ = linear
    parts = posterior.laplace(generator, data, n_samples=1000, chunk=5)
    np.testing.assert_allclose(drawn.z, parts.z, atol=1e-4)


def _close_to_recipe(generator, numbers, expected, inputs=None, atol=2e-4):
    outcome = jax.vmap(generator.simulate)(jnp.asarray(numbers))
    np.testing.assert_allclose(outcome.rates, expected, atol=atol)
    if inputs is not None:
        np.testing.assert_allclose(outcome.inputs[:, :, 0], inputs, atol=1e-5)


def test_generators_are_the_recipes():
    recipe = IntegratorRNN(trials=5)
    run = recipe.from_normals(recipe.normals())
    _close_to_recipe(generators.integrator(recipe), recipe.normals(), run.expected, run.inputs)

    recipe = IntegrationToBound(conditions=4)
    run = recipe.from_normals(recipe.normals())
    _close_to_recipe(generators.bound(recipe), recipe.normals(), run.expected, run.inputs)

    recipe = Lorenz(conditions=4, duration=0.3)
    rates = recipe.rates(recipe.run(recipe.starts())) * recipe.bin_width
    _close_to_recipe(generators.lorenz(recipe), recipe.starts(), rates)


@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
def test_chaotic_generator_is_the_recipe(noise):
    recipe = ChaoticRNN(conditions=3, trials_per_condition=5, input_magnitude=20.0, noise=noise)
    arrays = recipe.simulate()[0].arrays
    conditions, times = arrays["condition_labels_train"], arrays["input_times_train"]
    starts = recipe.network().starts[conditions] / recipe.start_std
    place = (times - recipe.n_bins // 4 + 0.5) / (recipe.n_bins // 2)
    numbers = np.column_stack([starts, jax.scipy.stats.norm.ppf(place)])
    expected = arrays["train_truth"] / arrays["conversion_factor"]
    inputs = arrays["input_train_truth"][:, :, 0]
    size = 30.0 if noise == "gaussian" else 0.3
    _close_to_recipe(generators.chaotic(recipe), numbers, expected, inputs, atol=2e-3 * size)


def test_shifts_of_the_pulse_leave_its_law_as_it_is():
    z = jax.random.normal(jax.random.key(0), (20000, 1))
    moved = jax.vmap(generators.shift_pulse)(z, jax.random.split(jax.random.key(1), len(z)))
    counts = np.bincount(np.asarray(generators.pulse_bin(moved, 100)), minlength=100)
    assert counts[:25].sum() == counts[75:].sum() == 0
    assert np.abs(counts[25:75] - 400).max() < 100  # 5 standard deviations of a uniform law
    assert float(jnp.mean(moved != z)) == 1.0


def test_bank_of_draws_finds_the_closed_form_posterior():
    """One rate, z uniform on 0 to 1: a Gamma density cut off at 1."""
    generator = Generator(1, lambda z: Outcome(10 * jnp.broadcast_to(z, (2, 1))))

    def draw(seed, n):
        return jax.random.uniform(jax.random.key(seed), (n, 1))

    data = np.array([[[3.0], [5.0]], [[0.0], [1.0]]])
    samples = bank.importance(generator, data, draw, n_draws=8_000, n_kept=6_000, block=4_000)
    grid = np.linspace(1e-5, 1, 20001)
    for trial, total in enumerate((8, 1)):
        density = grid**total * np.exp(-20 * grid)
        mean = float((samples.weight[trial] * samples.z[trial, :, 0]).sum())
        assert mean == pytest.approx((grid * density).sum() / density.sum(), abs=0.01)
    walked = bank.refine(generator, data, samples._replace(ess=jnp.ones(2)), n_samples=1000, n_moves=20)
    assert float(walked.z[0].mean()) == pytest.approx(float((samples.weight[0] * samples.z[0, :, 0]).sum()), abs=0.03)


@pytest.fixture(scope="module")
def integration():
    """A short integrator as a recipe, its file's data set, and its file's path."""
    recipe = IntegratorRNN(trials=60, duration=0.2, train_fraction=0.5)
    arrays = recipe.simulate()[0].arrays
    data = np.concatenate([arrays["train_data"], arrays["valid_data"]])
    truth = np.concatenate([arrays["train_truth"], arrays["valid_truth"]])
    inputs = np.concatenate([arrays["input_train_truth"], arrays["input_valid_truth"]])
    return recipe, from_arrays(
        data, truth=truth, true_inputs=inputs, truth_unit="counts per bin", valid_fraction=0.5, test_fraction=0.0
    )


@pytest.mark.slow
def test_optimum_of_a_file_agrees_with_another_sampler(integration, tmp_path):
    recipe, dataset = integration
    path = recipe.simulate()[0].write(tmp_path / "integrator.h5")
    assert recipe_of(path) == recipe
    table = optimum(path, dataset, "valid", trials=4)
    generator = generators.integrator(recipe)
    data, truth = data_and_truth(recipe, dataset, dataset.valid, 4)
    assert len(data) == 4
    samples = posterior.hmc(generator, data, n_draws=120, n_warmup=20, n_leapfrog=4)
    other = scores(estimates(generator, samples, truth), truth)
    for name in ("rates_r2", "rates_r2_pooled", "inputs_r2", "inputs_r2_pooled"):
        assert table[name] == pytest.approx(other[name], abs=0.02)
    assert table["rates_floor_shuffled"] < table["rates_r2"] < 1
    assert table["ess_min"] > 500  # of 1000: the posterior is nearly Gaussian


def test_some_trials_are_spread_over_all():
    assert spread(100, 4).tolist() == [0, 33, 66, 99]
    assert spread(3).tolist() == spread(3, 9).tolist() == [0, 1, 2]


def test_chains_that_begin_at_the_truth_are_the_posterior_from_the_first_step(linear):
    generator, _, _, _, covariance, weights = linear
    rng = np.random.default_rng(3)
    z = rng.normal(size=(400, D))
    data = (z @ weights.T).reshape(-1, T, N) + NOISE * rng.normal(size=(400, T, N))
    mean = data.reshape(400, -1) @ weights / NOISE**2 @ covariance
    samples = posterior.hmc(generator, data, begin=z, n_warmup=0, n_draws=1, n_leapfrog=3, n_chains=1, chunk=400)
    error = np.asarray(samples.z[:, 0]) - mean
    assert np.mean(samples.acceptance) > 0.5 and np.abs(samples.z[:, 0] - z).max() > 0.1  # they have moved
    np.testing.assert_allclose(np.cov(error.T), covariance, atol=4 * covariance.max() * np.sqrt(2 / 400))


@pytest.mark.slow
@pytest.mark.parametrize("magnitude", [0.0, 20.0])
def test_the_ceiling_lies_above_the_optimum(magnitude, tmp_path, monkeypatch):
    """The truth of a small chaotic network, and estimates without the truth."""
    settings = {"units": 5, "recorded": 5, "conditions": 4, "trials_per_condition": 2, "duration": 0.3}
    (simulation,) = ChaoticRNN(**settings, max_rate=300.0, input_magnitude=magnitude, train_fraction=0.5).simulate()
    path = simulation.write(tmp_path / "chaos.h5")
    dataset = read(path)
    monkeypatch.setattr(methods, "smc", functools.partial(tempering.smc, n_particles=128, n_moves=2, n_final=4))
    best, limit = methods.optimum(path, dataset, "valid"), methods.ceiling(path, dataset, "valid")
    assert set(limit) == {f"rates_{name}" for name in ("r2", "r2_pooled", "coverage_50", "coverage_90")}
    assert 0.5 < best["rates_r2_pooled"] < limit["rates_r2_pooled"] + 0.02 < 1.02
    assert best.get("pulse_within_2", 1.0) > 0.5


def test_the_integrator_needs_no_ceiling(integration, tmp_path):
    recipe, dataset = integration
    assert methods.ceiling(recipe, dataset, "valid") == {}
    with pytest.raises(ValueError, match="ChaoticRNN has no second sampler"):
        methods.check(ChaoticRNN(), dataset, "valid", trials=1)


def test_other_data_have_no_optimum(integration, tmp_path):
    _, dataset = integration
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["lfadsx_source"] = '{"simulation": "labelled"}'
    with pytest.raises(ValueError, match="other.h5' says it was simulated as 'labelled'"):
        optimum(tmp_path / "other.h5", dataset, "valid")


def test_classical_methods_choose_without_the_truth_and_beat_the_mean(monkeypatch):
    """Two slow factors drive twenty neurons; every method explains more than the mean does."""
    monkeypatch.setattr(classical, "COMPONENTS", (1, 2, 5))
    monkeypatch.setattr(classical, "WIDTHS", (0.0, 1.0, 2.0))
    rng = np.random.default_rng(0)
    factors = np.cumsum(rng.normal(size=(60, 20, 2)), axis=1) / 4
    truth = np.exp(factors @ rng.normal(size=(2, 20)) / 2)
    dataset = from_arrays(rng.poisson(truth), truth=truth, truth_unit="counts per bin")
    blind = dataclasses.replace(dataset, valid=dataclasses.replace(dataset.valid, truth=None))
    rates = classical.baselines(dataset, "valid")
    for name, values in classical.baselines(blind, "valid").items():
        np.testing.assert_array_equal(values, rates[name])
    r2 = {name: r2_pooled(values, dataset.valid.truth.astype(float)) for name, values in rates.items()}
    assert r2["mean"] < 0.05
    assert min(r2["Gaussian smoothing"], r2["PCA, chosen"], r2["Factor Analysis"]) > 0.3
    assert r2["Factor Analysis"] > r2["PCA, 2 components"]


def test_smoothing_of_width_zero_is_the_data():
    data = np.random.default_rng(0).poisson(1.0, (12, 6, 3))
    dataset = from_arrays(data)
    np.testing.assert_allclose(classical.smoothing(dataset, dataset.valid, width=0.0), dataset.valid.encoder_input)


def test_projection_on_all_components_is_the_data():
    data = np.random.default_rng(0).poisson(1.0, (12, 6, 3))
    dataset = from_arrays(data)
    rates = classical.pca(dataset, dataset.valid, n_components=3, width=0.0)
    np.testing.assert_allclose(rates, dataset.valid.encoder_input, atol=1e-10)


def test_condition_mean_is_shrunk_by_one_trial():
    data = np.repeat([0, 6], 10)[:, None, None] * np.ones((20, 4, 2), int)
    condition = np.repeat([0, 1], 10)
    split = np.where(np.arange(20) % 5 == 0, "valid", "train")
    dataset = from_arrays(data, condition=condition, split=split)
    means = classical.condition_mean(dataset, dataset.valid, width=0.0)
    np.testing.assert_allclose(means[dataset.valid.condition == 1], (8 * 6 + 3) / 9)
    np.testing.assert_allclose(means[dataset.valid.condition == 0], 3 / 9)


def test_gpfa_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "quantities", None)
    with pytest.raises(ImportError, match="pip install elephant"):
        gpfa(np.ones((2, 4, 3), int), np.ones((2, 4, 3), int), bin_width=0.1, n_components=1)

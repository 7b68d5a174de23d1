"""The bias: constant inputs of the generator that are inferred for every trial."""

import dataclasses

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from benchmarks import trial_bias
from lfadsx import distributions
from lfadsx.config import HyperParams
from lfadsx.data import batch as batch_of
from lfadsx.errors import LfadsxError
from lfadsx.models.compatibility import check_fits
from lfadsx.models.named_parts import bias_prior_of
from lfadsx.models.seams import make
from lfadsx.objective import Objective, RampWeights, elbo, log_weight
from lfadsx.search import RandomSearch, Range, Space

CONFIG = lfadsx.TrainConfig(epochs=2, batch_size=3, kl_ramp_epochs=1, l2_ramp_epochs=1)
DRIVEN = dict(variant="external_input", bias_dim=3)


@pytest.fixture(scope="module")
def data():
    return making.ragged(known=2)


@pytest.fixture(scope="module")
def batch(data):
    return batch_of(data)


@pytest.fixture(scope="module")
def model(data):
    return making.build(data, **DRIVEN)


@pytest.fixture(scope="module")
def output(model, batch):
    return making.forward(model)(batch, making.drawer(model)(batch, dropout_rate=0.0))


def close(found, expected, rtol=1e-5):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=rtol, atol=1e-6)


def gaussian_kl(model, output):
    """KL of the bias by hand."""
    mean, log_variance = np.split(np.asarray(output.bias_params, np.float64), 2, axis=1)
    prior = model.bias_prior.distribution()
    ratio = (np.exp(log_variance) + model.bias_prior.post_var_min) / np.asarray(prior.variance)
    away = (mean - np.asarray(prior.mean)) ** 2 / np.asarray(prior.variance)
    return 0.5 * (ratio - np.log(ratio) + away - 1).sum(1)


def test_the_bias_is_known_inputs_that_are_constant_within_a_trial(model, batch, output):
    """Controller, known inputs and bias together; the generator sees [known inputs, bias]."""
    assert output.bias.shape == (batch.n_trials, 3) and output.bias_params.shape == (batch.n_trials, 6)
    constant = np.tile(np.asarray(output.bias)[:, None], (1, batch.n_bins, 1))
    plain = lfadsx.with_adjoint(model, "autodiff")
    plain.bias_prior = plain.bias_posterior = None
    wider = dataclasses.replace(batch, known_inputs=jnp.concatenate([batch.known_inputs, constant], axis=2))
    drawn = making.drawer(model)(batch, dropout_rate=0.0)
    own = making.forward(plain)(wider, dataclasses.replace(drawn, bias=None, keep={}))
    inside = np.asarray(batch.in_trial())
    for name in ("generator_states", "factors", "inputs"):
        close(np.asarray(getattr(own, name))[inside], np.asarray(getattr(output, name))[inside])


def test_without_noise_the_bias_is_the_mean_of_its_posterior(model, batch):
    mean = making.forward(model)(batch)
    np.testing.assert_array_equal(mean.bias, mean.bias_params[:, :3])


def test_the_posterior_of_the_bias_is_sampled_trial_by_trial(model, batch, output):
    noise = making.drawer(model)(batch, dropout_rate=0.0)
    mean, log_variance = np.split(np.asarray(output.bias_params), 2, axis=1)
    variance = np.exp(log_variance) + model.bias_prior.post_var_min
    close(output.bias, mean + np.sqrt(variance) * np.asarray(noise.bias))
    one = making.drawer(model)(making.alone(batch, 1), dropout_rate=0.0)
    np.testing.assert_array_equal(one.bias[0], noise.bias[1])
    assert not np.any(np.asarray(noise.bias) == np.asarray(noise.ic)[:, :3])


def test_the_loss_has_the_kl_of_the_bias_with_its_weight_and_the_ramp_of_the_initial_condition(model, batch, output):
    kl = gaussian_kl(model, output)
    ramps = RampWeights(kl_ic=0.3, kl_co=0.9, l2=0.4)
    total, parts = Objective()(model, batch, output, making.hyper(kl_bias_scale=2.0), ramps)
    close(parts.kl_bias, kl)
    others = parts.reconstruction + 0.3 * 0.7 * parts.kl_ic + 0.9 * 0.6 * parts.kl_inputs
    close(total, np.mean(np.asarray(others) + 0.3 * 2.0 * kl) + 0.4 * float(parts.l2))


def test_bounds_have_the_bias(model, batch, output):
    ones = HyperParams(kl_ic_scale=1.0, kl_co_scale=1.0, kl_bias_scale=1.0)
    close(elbo(model, batch, output).mean(), -Objective()(model, batch, output, ones, RampWeights())[0])
    without = nnx.clone(model)
    without.bias_prior = None
    prior = model.bias_prior
    ratio = prior.log_prob(output.bias) - prior.posterior_log_prob(output.bias_params, output.bias)
    close(log_weight(model, batch, output), log_weight(without, batch, output) + ratio)


def test_without_a_width_there_is_no_bias(data, batch):
    def run(batch):
        model = lfadsx.build(data, rngs=nnx.Rngs(0), **making.SIZES)
        assert model.bias_prior is None and model.bias_posterior is None
        return model(batch, model.draw(jax.random.key(0), batch))

    output = jax.eval_shape(run, batch)
    assert output.bias is None and output.bias_params is None


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("gaussian", distributions.GaussianPrior, dict(variance=0.25)),
        ("mixture", distributions.MixturePrior, dict(variance=0.25, components=3)),
        ("student_t", distributions.StudentTPrior, dict(scale=0.5, df=5.0)),
    ],
)
def test_priors_of_the_bias_have_names_and_settings(name, kind, found):
    config = lfadsx.ModelConfig(
        bias_prior=name, bias_prior_variance=0.25, ic_prior_components=3, ic_prior_df=5.0, post_var_min=(0.01, 0.02)
    )
    prior = make("bias_prior", bias_prior_of(config), dim=2, rngs=nnx.Rngs(0))
    assert type(prior) is kind
    assert {field: getattr(prior, field) for field in found} == found and prior.post_var_min == 0.01


def test_the_bias_alone_may_tell_trials_apart(data):
    model = making.outline(data, variant="autonomous", ic_dim=0, bias_dim=2)
    assert type(model.ic_encoder).__name__ == "BidirectionalGRU" and model.decoder.generator.n_known_inputs == 2


def test_a_prior_without_a_width_or_a_generator_without_the_inputs_is_refused(data):
    with pytest.raises(LfadsxError, match="`bias_prior` needs a bias, but `bias_dim` is 0"):
        making.outline(data, bias_prior=distributions.StudentTPrior)
    model, other = (making.outline(data, variant="autonomous", bias_dim=n) for n in (2, 0))
    model.decoder.generator = other.decoder.generator
    with pytest.raises(LfadsxError, match="n_known_inputs = 2, which is the dimension of the bias"):
        check_fits(model, data)
    driven = making.outline(data, **DRIVEN)
    check_fits(driven, data)
    with pytest.raises(LfadsxError, match="must have 2 known inputs for the model's generator, got 1"):
        check_fits(driven, making.ragged(known=1))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias") / "run"
    model = lfadsx.build(data, **(making.SIZES | DRIVEN), seed=0)
    return model, lfadsx.fit(model, data, config=CONFIG, out=folder, kl_bias_scale=0.5, progress=False), folder


def test_a_model_with_a_bias_trains_and_is_saved(data, trained, tmp_path):
    before, result, folder = trained
    start, end = (making.flat(nnx.state(of, nnx.Param)) for of in (before, result.last))
    moved = {path for path in start if np.any(start[path] != end[path])}
    assert {"bias_posterior/weight", "bias_posterior/bias", "bias_prior/loc"} <= moved
    history = result.history
    assert np.all(history["kl_bias"] > 0) and history["valid_kl_bias"][-1] > 0
    hyper = lfadsx.HyperParams()
    terms = (hyper.kl_ic_scale * history["valid_kl_ic"], hyper.kl_co_scale * history["valid_kl_inputs"])
    bias = 0.5 * history["valid_kl_bias"]
    np.testing.assert_allclose(
        (history["valid_reconstruction"] + sum(terms) + bias)[-1], history["valid_loss"][-1], rtol=1e-5
    )
    post = lfadsx.infer(result.model, data, "valid", n_samples=2)
    again = lfadsx.infer(lfadsx.load(folder), data, "valid", n_samples=2)
    post.save(tmp_path / "post.h5")
    read = lfadsx.read_posterior(tmp_path / "post.h5")
    for name in ("bias", "bias_std", "kl_bias"):
        values = getattr(post, name)
        assert values.shape == (post.n_trials, 3) and np.all(np.isfinite(values))
        np.testing.assert_array_equal(getattr(again, name), values)
        np.testing.assert_array_equal(getattr(read, name), values)
    bounds = lfadsx.bounds(result.model, data, "valid", n_samples=2)
    np.testing.assert_allclose(post.kl_bias.sum(1), bounds.terms["kl_bias"], rtol=1e-5)


def test_new_trials_have_biases_of_the_prior(data, trained):
    _, result, _ = trained
    known = np.zeros((400, 4, 2))
    new = lfadsx.generate(result.model, 400, 4, known_inputs=known, data=data)
    prior = result.model.bias_prior.distribution()
    error = np.sqrt(np.asarray(prior.variance) / 400)
    assert np.all(np.abs(new.bias.mean(0) - np.asarray(prior.mean)) < 5 * error)
    assert np.all(np.std(new.factors, axis=0) > 0)


@pytest.mark.slow
def test_members_have_weights_of_their_own(data, trained):
    """One compiled program; the second member's bias costs more."""
    model, _, _ = trained
    search = RandomSearch(Space({"kl_bias_scale": Range(1e-3, 10.0, log=True)}))
    found = lfadsx.population(model, data, members=2, strategy=search, config=CONFIG, progress=False)
    rows = {int(row["member"]): row for row in found.rows}
    assert rows[0]["kl_bias_scale"] != rows[1]["kl_bias_scale"] and all(row["kl_bias"] > 0 for row in rows.values())


def test_the_benchmark_scores_linear_maps_and_takes_the_bias_away(model):
    rng = np.random.default_rng(0)
    known = {name: rng.standard_normal((50, 4)) for name in ("train", "test")}
    linear = {name: values @ [[1.0], [2.0], [0.0], [-1.0]] + 3 for name, values in known.items()}
    other = {name: rng.standard_normal((50, 2)) for name in known}
    assert trial_bias.decoded(known, linear) == pytest.approx(1.0) and trial_bias.decoded(known, other) < 0.1
    head, mean = trial_bias.without(model).bias_posterior, np.asarray(model.bias_prior.loc[...])
    found = head(jnp.ones((2, head.n_in)))[:, :3]
    np.testing.assert_array_equal(found, np.tile(mean, (2, 1)))
    assert np.any(np.asarray(model.bias_posterior.weight[...]) != 0)
    data, truth = trial_bias.simulated(trial_bias.QUICK)
    assert truth["gravity"].shape == (60, 1) and truth["start"].shape == (60, 2) and len(data.test.truth) == 12

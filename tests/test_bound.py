"""Bounds of the evidence: exact for an exact posterior, always ordered, and consistent with the training loss."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

import lfadsx
from lfadsx.data.splits import choose
from lfadsx.datasets import chaotic_rnn
from lfadsx.evaluation.metrics import bits_per_spike
from lfadsx.inference.bounds import bounds_of
from lfadsx.objective import elbo
from lfadsx.parallel import make_mesh
from lfadsx.random import derive
from lfadsx.results.labels import Labels


@pytest.fixture(scope="module")
def data():
    return chaotic_rnn(conditions=3, neurons=6, duration=0.08, seed=1)


@pytest.fixture(scope="module")
def model(data):
    sizes = dict(factors=4, generator_dim=6, ic_dim=3, ic_encoder_dim=5, input_encoder_dim=0, controller_dim=5)
    return lfadsx.inferred_input(data, **sizes, inferred_inputs=2, rngs=nnx.Rngs(0))


def exact_model(data, model):
    """A model with rates that latents do not reach, and a posterior equal to the prior."""
    exact = nnx.clone(model)
    (name,) = (session.name for session in data.sessions)
    readout = exact.readout["spikes"]
    readout.weight[name][...] = jnp.zeros_like(readout.weight[name][...])
    decoder = exact.decoder
    for part, prior in ((exact.ic_posterior, exact.ic_prior), (decoder.input_posterior, decoder.input_prior)):
        part.weight[...] = jnp.zeros_like(part.weight[...])
        prior.post_var_min = 0.0
        if hasattr(prior, "log_tau"):  # tau near 0: neighbouring bins are independent, as they are in the posterior
            prior.log_tau[...] = jnp.full_like(prior.log_tau[...], np.log(1e-3))
        log_variance = jnp.log(0.1) * jnp.ones(prior.dim)
        part.bias[...] = jnp.concatenate([jnp.zeros(prior.dim), log_variance])
    return exact


def test_bounds_are_exact_when_the_posterior_is(data, model):
    """Every sample has the weight log p(x) then."""
    exact = exact_model(data, model)
    (name,) = (session.name for session in data.sessions)
    rate = np.exp(np.asarray(exact.readout["spikes"].bias[name][..., 0]))
    expected = stats.poisson.logpmf(data.valid.targets["spikes"], rate).sum((1, 2))
    found = lfadsx.bounds(exact, data, "valid", n_samples=5)
    np.testing.assert_allclose(found.elbo, expected, rtol=1e-5)
    np.testing.assert_allclose(found.importance_weighted, expected, rtol=1e-5)


def test_bounds_are_ordered_and_meet_at_one_sample(data, model):
    one = lfadsx.bounds(model, data, "valid", n_samples=1)
    np.testing.assert_allclose(one.elbo, one.importance_weighted, rtol=1e-6)
    few, many = (lfadsx.bounds(model, data, "valid", n_samples=n) for n in (4, 64))
    assert (few.importance_weighted > few.elbo).all()
    assert many.importance_weighted.mean() > few.importance_weighted.mean()
    np.testing.assert_array_equal(few.elbo, lfadsx.bounds(model, data, "valid", n_samples=4).elbo)


def test_two_devices_give_the_bounds_of_one(data, model):
    trials = choose(data.valid, np.arange(5))  # one device has a row more, which must not show
    one, two = (
        dataclasses.asdict(bounds_of(model, Labels.of(data), trials, n_samples=3, mesh=mesh))
        for mesh in (None, make_mesh(2))
    )
    assert one["elbo"].shape == (5,)
    # A divergence near 0 is a difference of larger terms, whose rounding it keeps.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-8), one, two)


@pytest.mark.slow
def test_importance_weights_are_averaged_before_the_logarithm(data, model):
    """The bound of several samples from those of single ones, with the same noise."""
    singles = []
    batch = lfadsx.data.batch(data, "valid")
    for number in range(3):
        noise = model.draw(derive(jax.random.key(0), number), batch)
        singles.append(lfadsx.objective.log_weight(model, batch, model(batch, noise)))
    expected = special.logsumexp(np.stack(singles), axis=0) - np.log(3)
    found = lfadsx.bounds(model, data, "valid", n_samples=3)
    np.testing.assert_allclose(found.importance_weighted, expected, rtol=1e-5)


def narrow_model(model):
    """A model with posteriors about as wide as their priors, so that averages over samples are precise."""
    narrow = nnx.clone(model)
    for part in (narrow.ic_posterior, narrow.decoder.input_posterior):
        part.bias[...] = part.bias[...].at[part.n_out // 2 :].set(np.log(0.1))
    return narrow


def test_elbo_is_that_of_the_objective(data, model):
    """With the same noise the sampled divergences average to the closed forms that training uses."""
    narrow = narrow_model(model)
    batch = lfadsx.data.batch(data, "valid")

    @jax.jit
    def closed(keys):
        return jax.lax.map(lambda key: elbo(narrow, batch, narrow(batch, narrow.draw(key, batch))), keys).mean(0)

    n = 400
    expected = closed(derive(jax.random.key(1), jnp.arange(n)))
    found = lfadsx.bounds(narrow, data, "valid", n_samples=n, seed=1).elbo
    np.testing.assert_allclose(found.mean(), expected.mean(), atol=0.3)


def test_bits_per_spike_are_those_of_the_likelihood_when_the_posterior_is_exact(data, model):
    """If no latent reaches the rates, the bound is their log likelihood."""
    found = lfadsx.bounds(exact_model(data, model), data, "valid", n_samples=2)
    (name,) = (session.name for session in data.sessions)
    rate = np.exp(np.asarray(model.readout["spikes"].bias[name][..., 0], np.float64))
    counts = data.valid.targets["spikes"]
    expected = bits_per_spike(np.broadcast_to(rate, counts.shape), counts).value
    assert found.bits_per_spike("elbo") == pytest.approx(expected, abs=1e-5)
    assert found.bits_per_spike() == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(found.n_spikes, counts.sum((1, 2)))
    np.testing.assert_allclose(found.null, stats.poisson.logpmf(counts, counts.mean((0, 1))).sum((1, 2)), rtol=1e-6)


def test_terms_of_the_loss_add_up_to_the_bound(data, model):
    """The mean log weight equals the closed forms up to sampling noise."""
    found = lfadsx.bounds(exact_model(data, model), data, "valid", n_samples=3)
    np.testing.assert_allclose(found.terms["kl_ic"], 0, atol=1e-5)
    np.testing.assert_allclose(found.elbo, -found.terms["reconstruction"], rtol=1e-5)
    free = lfadsx.bounds(narrow_model(model), data, "valid", n_samples=400)
    closed = -free.terms["reconstruction"] - free.terms["kl_ic"] - free.terms["kl_inputs"]
    assert (free.terms["kl_ic"] > 0).all() and (free.terms["kl_inputs"] > 0).all()
    np.testing.assert_allclose(free.elbo.mean(), closed.mean(), atol=0.3)


def test_real_values_have_no_bits_per_spike():
    data = making.one_session(likelihood="gaussian")
    found = lfadsx.bounds(making.build(data, likelihood="gaussian"), data, "valid", n_samples=2)
    assert np.isnan(found.bits_per_spike()) and np.isnan(found.null).all() and np.isfinite(found.elbo).all()


def test_as_many_trials_at_once_as_fit_into_memory(data, model, monkeypatch):
    whole = lfadsx.bounds(model, data, "valid", n_samples=3)
    monkeypatch.setattr("lfadsx.inference.bounds.trials_at_once", lambda *_: 2)
    parts = lfadsx.bounds(model, data, "valid", n_samples=3)
    np.testing.assert_allclose(parts.elbo, whole.elbo, rtol=1e-6)


def test_the_split_is_chosen_as_for_rates_and_the_result_says_what_it_is(data, model):
    found, valid = lfadsx.bounds(model, data, n_samples=2), lfadsx.bounds(model, data, "valid", n_samples=2)
    np.testing.assert_array_equal(found.elbo, valid.elbo)
    every = lfadsx.bounds(model, data, "all", n_samples=2)
    assert len(every.elbo) == sum(split.n_trials for split in data.splits.values())
    lines = repr(found).splitlines()
    assert lines[0] == f"Bounds of the log evidence of {len(found.elbo)} trials, 2 samples"
    assert f"elbo: {found.elbo.mean():.3f} nats per trial, {found.bits_per_spike('elbo'):.4f} bits per" in lines[1]


def test_messages(data, model):
    with pytest.raises(ValueError, match="`n_samples` must be at least 1, got 0"):
        lfadsx.bounds(model, data, "valid", n_samples=0)
    with pytest.raises(ValueError, match="`split` must be one of 'train', 'valid', 'all', got 'test'"):
        lfadsx.bounds(model, data, "test")

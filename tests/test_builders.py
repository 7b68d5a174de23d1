"""Builders: parts of a user's own at every seam, widths that are checked in words, and the start from data."""

import dataclasses
import logging
from functools import partial

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import distributions, modules
from lfadsx.distributions import AbstractLikelihood, soft_clip
from lfadsx.models.seams import SEAMS, make
from lfadsx.modules import Linear

SMALL = making.SIZES
ONE_EPOCH = lfadsx.TrainConfig(epochs=1, kl_ramp_epochs=0, l2_ramp_epochs=0)


class NegativeBinomial(AbstractLikelihood):
    """Two parameters, and nothing said about counts."""

    def __init__(self):
        self.n_params, self.safe_value = 2, 0.0

    def log_prob(self, params, data):
        mean, r = jnp.exp(soft_clip(params[..., 0])), jnp.exp(soft_clip(params[..., 1]))
        g = jax.lax.lgamma
        return g(data + r) - g(r) - g(data + 1.0) + r * jnp.log(r / (r + mean)) + data * jnp.log(mean / (r + mean))

    def mean(self, params):
        return jnp.exp(soft_clip(params[..., 0]))

    def sample(self, key, params):
        return jax.random.poisson(key, self.mean(params))

    def initial_params(self, total, total_squared, n):
        return jnp.stack([jnp.log(total / jnp.maximum(n, 1) + 1e-3), jnp.zeros_like(total)], -1)


class Tanh(modules.AbstractGenerator):
    def __init__(self, n_ic, n_inferred_inputs, n_units, speed=1.0, *, rngs):
        self.n_ic, self.n_inferred_inputs, self.n_units, self.speed = n_ic, n_inferred_inputs, n_units, speed
        self.n_state = n_units
        self.start, self.recurrent = Linear(n_ic, n_units, rngs=rngs), Linear(n_units, n_units, rngs=rngs)
        self.drive = Linear(n_inferred_inputs, n_units, rngs=rngs)

    def initial_state(self, initial_condition):
        return self.start(initial_condition)

    def step(self, state, projected_t, live_t):
        return jnp.tanh(self.recurrent(state) + self.drive(live_t))


class Silent(Tanh):
    """Keeps no width, so that only running it shows that it does not fit."""

    def __init__(self, n_ic, n_inferred_inputs, n_units, *, rngs):
        super().__init__(n_ic, n_inferred_inputs, n_units, rngs=rngs)
        del self.n_ic, self.n_inferred_inputs


@pytest.fixture(scope="module")
def data():
    return making.one_session()


def test_a_likelihood_and_a_generator_of_ones_own_train_and_load(data, tmp_path):
    def build():
        return lfadsx.inferred_input(data, generator=Tanh, likelihood=NegativeBinomial(), seed=3, **SMALL)

    model = build()
    assert model.readout["spikes"].n_params == 2 and model.decoder.generator.n_units == SMALL["generator_dim"]
    # Counts are not standardised, though the likelihood has support "any".
    assert model.standardiser is None and model.initialised
    result = lfadsx.fit(model, data, config=ONE_EPOCH, out=tmp_path / "run")
    for how in ({"build": build}, {"parts": [Tanh, NegativeBinomial]}):
        loaded = lfadsx.load(tmp_path / "run", **how)
        jax.tree.map(np.testing.assert_array_equal, nnx.state(loaded), nnx.state(result.model))
    with pytest.raises(lfadsx.LfadsxError, match=r"'(Tanh|NegativeBinomial)' is missing.*parts=\["):
        lfadsx.load(tmp_path / "run")


def test_every_seam_takes_a_class_and_an_instance(data):
    classes = {
        "readin": modules.LinearReadin,
        "readout": modules.LinearReadout,
        "ic_encoder": modules.CausalGRU,
        "input_encoder": modules.BidirectionalGRU,
        "controller": modules.GRUController,
        "generator": Tanh,
        "ic_prior": distributions.StudentTPrior,
        "bias_prior": distributions.StudentTPrior,
        "input_prior": distributions.GaussianPrior,
        "likelihood": distributions.Gaussian,
    }
    assert set(classes) == set(SEAMS)
    model = lfadsx.inferred_input(data, **classes, **SMALL, bias_dim=2)
    owner = {"controller": model.decoder, "generator": model.decoder, "input_prior": model.decoder}

    def part(seam, model=model):
        found = getattr(getattr(model, "decoder") if seam in owner else model, seam)  # noqa: B009
        return found["spikes"] if seam in ("readout", "likelihood") else found

    assert {seam: type(part(seam)) for seam in classes} == classes
    assert part("input_encoder").lag == 1 and part("ic_encoder").lag == 0
    instances = {seam: part(seam) for seam in classes}
    again = lfadsx.inferred_input(data, **instances, **SMALL, bias_dim=2)
    assert all(part(seam, again) is instances[seam] for seam in classes)


def test_the_seed_is_that_of_the_weights(data):
    first, same, other = (lfadsx.autonomous(data, seed=seed, **SMALL) for seam, seed in enumerate((1, 1, 2)))
    by_rngs = lfadsx.autonomous(data, rngs=nnx.Rngs(1), **SMALL)
    weights = [m.decoder.factor_map.weight[...] for m in (first, same, by_rngs, other)]
    assert np.array_equal(weights[0], weights[1]) and np.array_equal(weights[0], weights[2])
    assert not np.array_equal(weights[0], weights[3])


def test_a_class_gets_what_its_constructor_asks_for():
    known = dict(n_ic=4, n_known_inputs=0, n_inferred_inputs=2, n_units=5, rngs=nnx.Rngs(0))
    assert make("generator", partial(Tanh, speed=0.5), **known).speed == 0.5
    assert make("generator", partial(Tanh, n_units=7), **known).n_units == 7

    class Any(modules.GRUGenerator):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    assert make("generator", Any, **known).n_inferred_inputs == 2

    class Wants(Tanh):
        def __init__(self, n_ic, n_inputs, rngs):
            super().__init__(n_ic, n_inputs, 3, rngs=rngs)

    names = "n_ic, n_known_inputs, n_inferred_inputs, n_units, rngs, but Wants needs 'n_inputs'"
    with pytest.raises(lfadsx.LfadsxError, match=names):
        make("generator", Wants, **known)
    with pytest.raises(lfadsx.LfadsxError, match="instance of AbstractGenerator, but Poisson returns a Poisson"):
        make("generator", distributions.Poisson, **known)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(controller="gru"), "`controller` must be a class or an instance, got 'gru'"),
        (dict(generator="grue"), "`generator` must be one of 'gru', 'linear', .*, got 'grue'"),
        (
            dict(likelihood=3),
            "an instance of AbstractLikelihood or a class that returns one, got 3",
        ),
        (dict(inferred_input=2), r"`inferred_input` must be a field of ModelConfig .*did you mean 'inferred_inputs'"),
        (dict(encoder=modules.CausalGRU), "Pass your own encoder as `ic_encoder`"),
        (
            dict(likelihood={"emg": NegativeBinomial()}),
            r"`likelihood` must name target groups .*\['spikes'\]",
        ),
        (
            dict(generator=Tanh(9, 2, 5, rngs=nnx.Rngs(0))),
            "The Tanh must have n_ic = 4, which is the dimension of the initial condition's prior, but has 9",
        ),
        (
            dict(readout=modules.LinearReadout(3, (("session", 4),), rngs=nnx.Rngs(0))),
            r"must have the channels of the data, \{'session': 5\}, but has \{'session': 4\}",
        ),
    ],
)
def test_what_does_not_fit_is_said(data, changes, message):
    with pytest.raises(lfadsx.LfadsxError, match=message):
        lfadsx.inferred_input(data, **SMALL, **changes)


def test_a_part_that_keeps_no_widths_is_run(data):
    with pytest.raises(lfadsx.PartError, match=r"Silent raises .* for n_ic = 4, n_known_inputs = 0 and n_inf"):
        lfadsx.inferred_input(data, generator=Silent(4, 3, 5, rngs=nnx.Rngs(0)), **SMALL)


def test_a_controller_without_inputs_is_refused(data):
    with pytest.raises(lfadsx.LfadsxError, match="`controller` needs inferred inputs, but the variant 'auton"):
        lfadsx.autonomous(data, controller=modules.GRUController, **SMALL)


def test_a_likelihood_that_is_exchanged_alone_is_refused(data):
    """Its second parameter would be read from the column of the first."""
    model = lfadsx.autonomous(data, **SMALL)
    model.likelihood["spikes"] = NegativeBinomial()
    message = "The LinearReadout must have n_params = 2, .* NegativeBinomial likelihood of 'spikes', but has 1"
    with pytest.raises(lfadsx.LfadsxError, match=message):
        lfadsx.fit(model, data, config=ONE_EPOCH)


def test_poisson_is_refused_for_real_values():
    data = making.one_session(likelihood="gaussian")
    with pytest.raises(lfadsx.LfadsxError, match="must be counts for the likelihood Poisson, got .* Give integers"):
        lfadsx.fit(lfadsx.autonomous(data, **SMALL), data, config=ONE_EPOCH)
    own = lfadsx.autonomous(data, likelihood=NegativeBinomial, **SMALL)
    assert own.standardiser is not None  # "any": the data say that they are real


# Initialised from data


def by_hand(model):
    """The same parts in a model that data have not been shown to."""
    names = ("readin", "ic_encoder", "ic_prior", "decoder", "readout", "likelihood")
    parts = {name: getattr(nnx.clone(model), name) for name in names}
    for readout in parts["readout"].values():
        for bias in readout.bias.values():
            bias[...] = jnp.zeros_like(bias[...])
    return lfadsx.LFADS(**parts, rngs=nnx.Rngs(0))


def test_fit_initialises_a_model_that_was_composed_by_hand(data, caplog):
    built = lfadsx.autonomous(data, **SMALL)
    composed = by_hand(built)
    assert not composed.initialised and "not initialised" in repr(composed)
    hyper = lfadsx.HyperParams(learning_rate=1e-12)
    with caplog.at_level(logging.INFO, "lfadsx"):
        result = lfadsx.fit(composed, data, hyper=hyper, config=ONE_EPOCH)
    assert "not initialised from the data" in caplog.text
    assert not composed.initialised  # the caller's own model is left as it was
    assert result.model.initialised
    biases = [m.readout["spikes"].bias["session"][...] for m in (result.last, built)]
    np.testing.assert_allclose(*biases, rtol=1e-5)
    lfadsx.initialise(composed, data)
    assert composed.initialised
    np.testing.assert_array_equal(composed.readout["spikes"].bias["session"][...], biases[1])
    assert nnx.graphdef(composed) == nnx.graphdef(built)


def test_a_loaded_model_is_not_initialised_again(data, tmp_path):
    result = lfadsx.fit(lfadsx.autonomous(data, **SMALL), data, config=ONE_EPOCH, out=tmp_path / "run")
    loaded = lfadsx.load(tmp_path / "run")
    assert loaded.initialised and nnx.graphdef(loaded) == nnx.graphdef(result.model)


def test_initialised_members_have_one_structure(data):
    models = [lfadsx.autonomous(data, seed=seed, **SMALL) for seed in (0, 1)]
    assert nnx.graphdef(models[0]) == nnx.graphdef(models[1])


# In a few lines


def test_a_model_says_what_it_is(data):
    model = lfadsx.inferred_input(data, **SMALL)
    text, table = repr(model), lfadsx.summary(model)
    assert str(model) == text and len(text.splitlines()) <= 20 and len(table.splitlines()) <= 30
    total = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert f"LFADS with {total:,} trained parameters" in text
    assert table.splitlines()[-1].split()[:2] == ["total", f"{total:,}"]
    assert "decoder/generator" in table and "GRUGenerator" in table
    many = dataclasses.replace(data)
    assert len(repr(lfadsx.autonomous(many, **SMALL)).splitlines()) <= 20

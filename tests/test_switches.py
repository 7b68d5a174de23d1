"""Effects of every architecture switch on the computation."""

import dataclasses

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import distributions, modules
from lfadsx.config import ModelConfig
from lfadsx.data import batch as batch_of
from lfadsx.distributions import GaussianPrior, PointPrior


@pytest.fixture(scope="module")
def data():
    return making.one_session(bin_width=0.02)


@pytest.fixture(scope="module")
def batch(data):
    return batch_of(data)


def same(left, right):
    np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def differ(left, right):
    assert np.any(np.asarray(left) != np.asarray(right))


def test_without_an_initial_condition_all_trials_start_in_one_trained_state(data, batch):
    model = making.build(data, ic_dim=0, variant="autonomous")
    assert isinstance(model.ic_prior, PointPrior) and isinstance(model.ic_encoder, modules.NoEncoder)
    run = making.forward(model)
    output = run(batch)
    same(output.initial_state, np.tile(model.ic_prior.value[...], (batch.n_trials, 1)))
    # Nothing else tells trials apart: their rates are those of any other data, too.
    other = run(dataclasses.replace(batch, encoder_input=batch.encoder_input + 1))
    same(other.params["spikes"], output.params["spikes"])
    same(output.params["spikes"][0], output.params["spikes"][1])


def test_no_prior_of_the_initial_condition_is_no_initial_condition(data):
    named, sized = making.outline(data, ic_prior="none", ic_dim=7), making.outline(data, ic_dim=0)
    assert nnx.graphdef(named) == nnx.graphdef(sized)
    causal = making.outline(data, ic_prior="none", encoder="strictly_causal")
    assert isinstance(causal.ic_encoder, modules.NoEncoder)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("linear", modules.LinearGenerator, {}),
        ("rnn", modules.RNNGenerator, {}),
        ("low_rank", modules.LowRankGenerator, dict(rank=2)),
        ("neural_ode", modules.NeuralODEGenerator, dict(width=7, depth=3, substeps=2)),
    ],
)
def test_generators_have_names_and_settings(data, name, kind, settings):
    changes = {f"generator_{setting}": value for setting, value in settings.items()}
    changes |= dict(cell_clip=2.0, weight_scales=(1.0, 3.0, 0.5))
    generator = making.outline(data, generator=name, **changes).decoder.generator
    assert type(generator) is kind and generator.n_units == making.SIZES["generator_dim"]
    assert (generator.clip, generator.input_scale, generator.recurrent_scale) == (2.0, 3.0, 0.5)
    for setting, value in settings.items():
        assert getattr(generator, setting) == value


def test_priors_of_the_initial_condition_have_names_and_settings(data):
    shared = dict(post_var_min=(0.01, 0.02), ic_prior_variance=0.25)
    mixture = making.build(data, ic_prior="mixture", ic_prior_components=3, **shared).ic_prior
    assert isinstance(mixture, distributions.MixturePrior) and mixture.components == 3 and mixture.variance == 0.25
    heavy = making.outline(data, ic_prior="student_t", ic_prior_df=3.0, **shared).ic_prior
    assert isinstance(heavy, distributions.StudentTPrior) and (heavy.df, heavy.scale) == (3.0, 0.5)
    assert set(nnx.state(heavy, nnx.Param)) == {"loc"}
    assert mixture.post_var_min == heavy.post_var_min == 0.01


@pytest.mark.parametrize(
    "changes",
    [
        dict(generator="neural_ode", generator_width=6, ic_prior="mixture", input_prior="smooth", bias_dim=2),
        pytest.param(
            dict(generator="low_rank", ic_prior="student_t", bias_dim=2, bias_prior="mixture"), marks=pytest.mark.slow
        ),
        pytest.param(dict(generator="linear", ic_prior="none", bias_dim=1), marks=pytest.mark.slow),
    ],
)
def test_models_of_other_parts_train_and_are_saved(data, tmp_path, changes):
    model = lfadsx.build(data, **(making.SIZES | changes), seed=0)
    config = lfadsx.TrainConfig(epochs=2, batch_size=3, kl_ramp_epochs=1, l2_ramp_epochs=1)
    result = lfadsx.fit(model, data, config=config, out=tmp_path / "run")
    assert np.all(np.isfinite(result.history["loss"])) and np.all(result.history["loss"] < 200)
    start, end = (making.flat(nnx.state(of, nnx.Param)) for of in (model, result.last))
    moved = [path for path in start if np.any(start[path] != end[path])]
    assert set(moved) >= {path for path in start if path.startswith(("decoder/generator", "ic_prior", "bias_"))}
    again = lfadsx.load(tmp_path / "run")
    one, other = (lfadsx.infer(of, data, "valid", n_samples=2) for of in (again, result.model))
    same(one.rates["spikes"], other.rates["spikes"])
    new = lfadsx.generate(again, 3, 4)
    assert np.all(np.isfinite(new.rates["spikes"]))


@pytest.mark.slow
def test_the_one_trained_state_learns_and_is_saved(data, tmp_path):
    model = lfadsx.build(data, ic_dim=0, **{k: v for k, v in making.SIZES.items() if k != "ic_dim"}, rngs=nnx.Rngs(0))
    config = lfadsx.TrainConfig(epochs=2, batch_size=3, kl_ramp_epochs=1, l2_ramp_epochs=1)
    result = lfadsx.fit(model, data, config=config, out=tmp_path / "run")
    assert np.all(np.asarray(result.model.ic_prior.value[...]) != 0)
    assert np.all(result.history["kl_ic"] == 0) and np.all(result.history["kl_inputs"] > 0)
    again = lfadsx.load(tmp_path / "run")
    same(again.ic_prior.value[...], result.model.ic_prior.value[...])
    posterior = lfadsx.infer(again, data, "valid", n_samples=2)
    assert np.all(posterior.ic_std == 0) and np.all(np.isfinite(posterior.rates["spikes"]))


def test_the_generator_may_start_at_the_initial_condition_itself(data, batch):
    model = making.build(data, initial_state="identity", ic_dim=making.SIZES["generator_dim"])
    output = making.forward(model)(batch)
    same(output.initial_state, output.initial_condition)
    with pytest.raises(ValueError, match="must equal `n_units`, got 4 and 5"):
        making.outline(data, initial_state="identity")


def test_the_variance_of_the_initial_condition_is_trained_between_bounds(data):
    fixed = making.outline(data)
    assert "log_variance" not in nnx.state(fixed.ic_prior, nnx.Param)
    changes = dict(ic_prior_variance=0.1, ic_prior_variance_bounds=(0.05, 0.4))
    prior = lfadsx.build(data, **making.SIZES, **changes, rngs=nnx.Rngs(0)).ic_prior
    assert "log_variance" in nnx.state(prior, nnx.Param)
    np.testing.assert_allclose(prior.distribution().variance, 0.1, rtol=1e-5)
    for far, bound in ((-50.0, 0.05), (50.0, 0.4)):
        prior.log_variance[...] = jnp.full(4, far)
        np.testing.assert_allclose(prior.distribution().variance, bound, rtol=1e-5)


@pytest.mark.parametrize("variance", [0.05, 0.4, 1.0])
def test_a_variance_that_is_not_between_its_bounds_is_named(variance):
    with pytest.raises(ValueError, match=rf"between its bounds 0.05 and 0.4, got {variance}"):
        GaussianPrior(2, variance=variance, train_variance=True, variance_bounds=(0.05, 0.4))


@pytest.mark.parametrize("initial", ["state", "zeros"])
def test_rates_are_fed_back_to_the_controller(data, batch, initial):
    """The loop over time written out once more, with the rates of the last bin in the place of the factors."""
    model = making.build(data, feedback="rates", initial_feedback=initial)
    output = making.forward(model)(batch)
    decoder, group = model.decoder, model.input_group
    readout = lambda factors: model.readout[group](factors[:, None], batch.session)[:, 0]  # noqa: E731
    rates_of = lambda factors: model.likelihood[group].mean(readout(factors))  # noqa: E731
    generator = decoder.generator.initial_state(output.initial_condition)
    seen = rates_of(decoder.factor_map(generator))
    if initial == "zeros":
        seen = jnp.zeros_like(seen)
    controller = decoder.controller.initial_state(batch.n_trials)
    known = decoder.controller.project(jnp.swapaxes(output.encoding, 0, 1))
    for t in range(3):
        controller = decoder.controller.step(controller, known[t], seen)
        inputs = decoder.input_prior.posterior_mean(decoder.input_posterior(controller))
        np.testing.assert_allclose(output.inputs[:, t], inputs, rtol=1e-4, atol=1e-6)
        generator = decoder.generator.step(generator, None, inputs)
        seen = rates_of(decoder.factor_map(generator))
        np.testing.assert_allclose(model.likelihood[group].mean(output.params[group])[:, t], seen, rtol=1e-4)


def test_feedback_of_rates_depends_on_the_read_out_and_that_of_factors_does_not(data, batch):
    for feedback, depends in (("rates", True), ("factors", False), ("none", False)):
        model = making.build(data, feedback=feedback)
        run = making.forward(model)
        before = run(batch).controller_states
        readout = model.readout["spikes"]
        readout.set_bias(0, readout.bias["session"][...] + 1.0)
        after = making.forward(model)(batch).controller_states
        assert np.any(np.asarray(before != after)) == depends


@pytest.mark.parametrize(
    "likelihood", making.each(["gaussian", "gamma", "log_normal", "zero_inflated_gamma"], "gaussian", "gamma")
)
def test_rates_that_are_fed_back_have_no_unit(likelihood):
    """Real values in millivolts or in volts: the controller sees the same, also if the mean is an exponential."""
    data, states = making.one_session(likelihood="gaussian"), []
    change = np.asarray if likelihood == "gaussian" else np.exp
    for unit in (1.0, 1000.0):
        splits = {
            name: dataclasses.replace(
                split,
                encoder_input=unit * change(split.encoder_input),
                targets={group: unit * change(values) for group, values in split.targets.items()},
            )
            for name, split in data.splits.items()
        }
        scaled = dataclasses.replace(data, **splits)
        sizes = making.SIZES | {"likelihood": likelihood, "feedback": "rates"}
        model = lfadsx.build(scaled, **sizes, rngs=nnx.Rngs(0))
        states.append(making.forward(model)(batch_of(scaled)).controller_states)
    np.testing.assert_allclose(states[1], states[0], rtol=1e-3, atol=1e-5)


def test_rates_of_several_sessions_are_not_fed_back():
    with pytest.raises(ValueError, match="feedback = 'rates' must have one session, got 2. Use feedback = 'factors'"):
        making.outline(making.several_sessions(), feedback="rates")


@pytest.mark.parametrize(("shared", "feedback"), [(True, "factors"), (False, "rates"), (False, "none")])
def test_a_strictly_causal_model_never_sees_the_future(data, batch, shared, feedback):
    """Without an initial condition from data nothing at a bin depends on data after it, from the first bin on."""
    changes = dict(encoder="causal", controller_lag=0, ic_dim=0, feedback=feedback)
    changes |= {"input_encoder_dim": 0} if shared else {}
    model = making.build(data, **changes)
    run = making.forward(model)
    before = run(batch)
    for t in (0, 3):
        after = run(dataclasses.replace(batch, encoder_input=batch.encoder_input.at[:, t + 1 :].add(2)))
        for name in ("factors", "inputs", "controller_states", "encoding"):
            same(getattr(after, name)[:, : t + 1], getattr(before, name)[:, : t + 1])
            assert np.all(np.any(np.asarray(getattr(after, name) != getattr(before, name)), axis=(0, 2))[t + 1 :])
        same(after.params["spikes"][:, : t + 1], before.params["spikes"][:, : t + 1])


def test_after_its_window_a_causal_model_never_sees_the_future(data, batch):
    """With an initial condition from the first bins, only these bins may depend on later bins among them."""
    model = making.build(data, encoder="strictly_causal", ic_window=2, feedback="factors")
    run = making.forward(model)
    before = run(batch)
    for t in (1, 4):
        after = run(dataclasses.replace(batch, encoder_input=batch.encoder_input.at[:, t + 1 :].add(2)))
        for name in ("factors", "inputs"):
            same(getattr(after, name)[:, : t + 1], getattr(before, name)[:, : t + 1])
            assert np.any(np.asarray(getattr(after, name) != getattr(before, name))[:, -1])


def test_what_looks_ahead_is_refused_when_causality_is_asked_for(data):
    with pytest.raises(
        ValueError, match=r"ic_dim = 4\) and the bias \(bias_dim = 0\) are inferred from the whole trial. Give"
    ):
        making.outline(data, encoder="strictly_causal")
    with pytest.raises(ValueError, match=r"bias_dim = 2\) are inferred from the whole trial"):
        making.outline(data, encoder="strictly_causal", ic_dim=0, bias_dim=2)


def test_without_a_latent_variable_there_are_no_means_to_push(data):
    model = making.build(data, variant="autonomous", ic_dim=0)
    with pytest.raises(ValueError, match="`n_samples` must be at least 1 for a model without .*, got 0"):
        lfadsx.infer(model, data, "valid", n_samples=0)


def test_gains_of_the_initial_weights(data):
    sizes = {name: 40 for name in ("generator_dim", "ic_encoder_dim", "input_encoder_dim", "controller_dim")}
    gains = dict(weight_scales=(3.0, 5.0, 0.5))
    one, other = (lfadsx.build(data, **(making.SIZES | sizes | changes), rngs=nnx.Rngs(0)) for changes in ({}, gains))
    expected = {
        "ic_encoder/forward": (3, 3),
        "ic_encoder/backward": (3, 3),
        "input_encoder/forward": (3, 3),
        "input_encoder/backward": (3, 3),
        "decoder/controller/gru": (3, 3),
        "decoder/generator/gru": (5, 0.5),
    }
    for path, (of_inputs, of_state) in expected.items():
        cells = []
        for model in (one, other):
            for name in path.split("/"):
                model = getattr(model, name)
            cells.append(model)
        for name, gain in (("w_known", of_inputs), ("w_live", of_inputs), ("w_hidden", of_state)):
            pair = [getattr(cell, name) for cell in cells]
            if pair[0] is not None:
                np.testing.assert_allclose(pair[1][...], gain * pair[0][...], rtol=1e-5)


def test_what_of_the_prior_of_the_inputs_trains(data):
    def trained(**changes):
        return set(nnx.state(making.outline(data, **changes).decoder.input_prior, nnx.Param))

    assert trained() == {"log_tau", "log_variance"}
    assert trained(train_input_prior=("variance",)) == {"log_variance"}
    assert trained(train_input_prior=("tau", "mean")) == {"log_tau", "loc"}
    assert trained(input_prior="smooth") == {"log_tau", "log_variance"}
    assert trained(input_prior="gaussian", train_input_prior=()) == set()
    assert trained(input_prior="student_t", train_input_prior=()) == set()


def test_the_mean_of_the_inputs_prior(data):
    for kind in ("ar1", "smooth", "gaussian", "student_t"):
        model = lfadsx.build(data, **making.SIZES, input_prior=kind, input_prior_mean=0.7, rngs=nnx.Rngs(0))
        paths = model.decoder.input_prior.draw(jax.random.key(0), (4000, 3))
        assert np.median(np.asarray(paths)) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("prior", ["ar1", "smooth"])
def test_the_time_constant_may_be_given_in_seconds(data, prior):
    constants = dict(input_prior_tau=3.0, input_prior_tau_s=0.1)
    model = lfadsx.build(data, **making.SIZES, input_prior=prior, **constants, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(np.exp(model.decoder.input_prior.log_tau[...]), 0.1 / 0.02, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`input_prior_tau_s` is in seconds \(0.1\), .* Give the bin width"):
        making.outline(making.one_session(), input_prior_tau_s=0.1)


def test_a_state_stays_within_its_clip(data, batch):
    output = making.forward(making.build(data, cell_clip=0.01))(batch)
    assert np.abs(np.asarray(output.generator_states)).max() <= 0.01
    differ(output.generator_states, making.forward(making.build(data, cell_clip=5.0))(batch).generator_states)


def test_switches_have_ranges():
    with pytest.raises(ValueError, match="`input_prior_tau_s` must be at least 0, got -1.0."):
        ModelConfig(input_prior_tau_s=-1.0)
    for name in ("ic_prior_variance_bounds", "post_var_min"):
        with pytest.raises(ValueError, match=rf"`{name}` must hold numbers at least 0, got \(0.1, -1.0\)."):
            ModelConfig(**{name: (0.1, -1.0)})
    with pytest.raises(ValueError, match="`train_input_prior` must be one of 'tau', 'variance', 'mean', got 'df'."):
        ModelConfig(train_input_prior=("tau", "df"))  # pyright: ignore[reportArgumentType]

"""The whole model: dependencies of a trial's noise, outputs, loss and gradients, and the value of the loss."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx
from scipy import stats

import lfadsx
from lfadsx import HyperParams, ModelConfig, distributions, modules
from lfadsx.data import batch as batch_of
from lfadsx.modules.augmentations import combine
from lfadsx.objective import (
    Objective,
    RampWeights,
    elbo,
    held_in,
    kl_inferred_inputs,
    l2_penalty,
    reconstruction,
)
from lfadsx.training.default_augmentations import SWITCHES


def close(ours, theirs, tolerance=2e-6):
    """Within a tolerance relative to the array's largest entry."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def same(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def all_finite(tree):
    return all(np.all(np.isfinite(np.asarray(leaf))) for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def data():
    return making.several_sessions(known=2)


@pytest.fixture(scope="module")
def batch(data):
    return batch_of(data)


@pytest.fixture(scope="module")
def model(data):
    return making.build(data, variant="external_input")


@pytest.fixture(scope="module")
def run(model):
    """The compiled model."""
    return making.forward(model)


@pytest.fixture(scope="module")
def draw(model):
    """The compiled draw of noise and dropout masks."""
    return making.drawer(model)


@pytest.fixture(scope="module")
def output(run, draw, batch):
    """Output under noise and dropout."""
    return run(batch, draw(batch))


# Noise


def test_a_trial_has_its_own_noise(draw, batch):
    noise = draw(batch)
    assert set(noise.keep) == {"features", "ic_encoding", "encoding", "feedback", "known", "readout"}
    assert noise.ic.shape == (4, 4) and noise.inputs.shape == (9, 4, 2)
    shapes = {place: mask.shape for place, mask in noise.keep.items()}
    assert shapes["features"] == (7, 4, 4) and shapes["readout"] == (10, 4, 5) and shapes["ic_encoding"] == (4, 8)

    def of_trial(noise, trial, bins):
        """A trial's share of the noise, cut to a number of bins of the decoder."""
        keep = {place: mask[:, trial][: bins + 1] for place, mask in noise.keep.items() if mask.ndim == 3}
        keep |= {"features": keep["features"][: bins - 2], "ic_encoding": noise.keep["ic_encoding"][trial]}
        keep |= {place: keep[place][:bins] for place in ("encoding", "feedback", "known")}
        return noise.ic[trial], noise.inputs[:bins, trial], keep

    order = [3, 1, 0, 2]
    reordered, padded = draw(making.rows(batch, order)), draw(making.lengthen(batch, 4))
    for trial in (1, 3):
        alone = making.alone(batch, trial)
        bins = alone.n_bins
        assert bins == 7
        expected = of_trial(noise, trial, bins)
        chex.assert_trees_all_equal(of_trial(draw(alone), 0, bins), expected)
        chex.assert_trees_all_equal(of_trial(padded, trial, bins), expected)
        chex.assert_trees_all_equal(of_trial(reordered, order.index(trial), bins), expected)


def test_trials_steps_and_places_have_different_noise(draw, batch):
    noise, other = draw(batch, dropout_rate=0.5), draw(batch, seed=1, dropout_rate=0.5)
    assert len(np.unique(np.asarray(noise.ic))) == noise.ic.size
    assert len(np.unique(np.asarray(noise.inputs))) == noise.inputs.size
    assert np.all(np.asarray(noise.ic != other.ic)) and np.all(np.asarray(noise.inputs != other.inputs))
    for place, mask in noise.keep.items():
        assert np.any(np.asarray(mask != other.keep[place])), place
        trials = np.moveaxis(np.asarray(mask), -2, 0).reshape(4, -1)
        assert len(np.unique(trials, axis=0)) == 4, place
    n = min(noise.keep[place][1:7, :, 0].size for place in ("encoding", "feedback", "readout"))
    firsts = {np.asarray(noise.keep[place][1:7, :, 0]).tobytes() for place in ("encoding", "feedback", "readout")}
    assert n == 24 and len(firsts) == 3


def test_without_hyperparameters_nothing_is_dropped(model, run, draw, batch):
    noise = model.draw(jax.random.key(0), batch)
    assert noise.keep == {} and noise.dropout_rate == 0.0
    full = draw(batch, dropout_rate=0.0)
    same(full.ic, noise.ic)
    same(full.inputs, noise.inputs)
    close(run(batch, full).factors, run(batch, noise).factors)


@pytest.mark.slow
def test_it_also_runs_eagerly_with_plain_numbers(model, batch, output):
    eager = model(batch, model.draw(jax.random.key(0), batch, making.hyper()))
    close(eager.params["spikes"], output.params["spikes"])


# A batch is its trials


def transplanted(data, large, **settings):
    """A model of one session that shares all parameters with one of several."""
    model = making.build(data, readin="linear", **settings)
    values = making.flat(nnx.state(large))
    own = {path: jnp.asarray(values[path]) for path in making.flat(nnx.state(model))}
    state = nnx.state(model)
    for path, variable in nnx.to_flat_state(state):
        variable[...] = own["/".join(map(str, path))]
    nnx.update(model, state)
    return model


CASES = {
    "usual": dict(variant="external_input", likelihood="poisson"),
    "windowed": dict(
        variant="external_input",
        known_inputs_to="encoders",
        likelihood="gaussian",
        encoder="causal",
        input_encoder_dim=0,
        ic_window=3,
        controller_sees_ic_window=False,
        input_prior="gaussian",
        initial_feedback="zeros",
    ),
    "other parts": dict(
        variant="external_input",
        likelihood="poisson",
        generator="neural_ode",
        generator_width=6,
        ic_prior="mixture",
        input_prior="smooth",
    ),
}


@pytest.mark.parametrize(
    ("case", "reduction", "estimator"),
    [
        ("usual", "sum", "path"),
        pytest.param("windowed", "mean", "sample", marks=pytest.mark.slow),
        pytest.param("other parts", "sum", "path", marks=pytest.mark.slow),
    ],
)
def test_a_trial_in_a_batch_is_the_trial_alone(case, reduction, estimator):
    """Ragged, two sessions, entries missing, neurons held out, forward bins; all noise on; in float64.

    Alone, the trial is cut to its own bins and neurons, and the model knows its session only.
    """
    settings, hyper, key = CASES[case], making.hyper(), jax.random.key(3)
    objective = Objective(reduction=reduction, estimator=estimator, nominal_batch=1)
    how = dict(objective=objective, ramps=RampWeights(l2=0.0), augmentations=[modules.CoordinatedDropout()])
    with jax.enable_x64(True):
        parts = making.apart(known=2, likelihood=settings["likelihood"])
        data = lfadsx.data.concatenate(*parts)
        large, batch = making.build(data, **settings), making.rows(batch_of(data), [0, 3])
        run, params = making.training_loss(large, **how), making.split(large)[1]

        def weighted(*weight):
            batch_ = dataclasses.replace(batch, trial_weight=jnp.array(weight, jnp.float32))
            (value, (_, output)), gradient = run(params, batch_, key, hyper)
            assert value.dtype == jnp.float64
            return float(value), output, making.flat(gradient)

        value, output, gradient = weighted(0, 1)
        one = making.alone(batch, 1, data.sessions)
        shapes = one.encoder_input.shape[1:], one.targets["spikes"].shape[1:]
        assert shapes == ((5, 3), (7, 4)) and batch.targets["spikes"].shape == (2, 9, 6)
        one = dataclasses.replace(one, session=jnp.zeros_like(one.session))
        small = transplanted(parts[1], large, **settings)
        alone = making.training_loss(small, **how)
        (own_value, (_, own_output)), own_gradient = alone(making.split(small)[1], one, key, hyper)
        np.testing.assert_allclose(value, float(own_value), rtol=1e-12)
        compare(output, own_output, 1, one)
        own_gradient = making.flat(own_gradient)
        for path, x in gradient.items():
            assert x.dtype == np.float64
            close(x, own_gradient.get(path, np.zeros_like(x)), 1e-10)
            assert np.any(x != 0) == (path in own_gradient), path

        # The loss of a batch is the sum over its trials.
        other_value, _, other_gradient = weighted(1, 0)
        sum_value, _, sum_gradient = weighted(1, 1)
        np.testing.assert_allclose(sum_value, value + other_value, rtol=1e-12)
        for path, x in sum_gradient.items():
            close(x, gradient[path] + other_gradient[path], 1e-10)


def compare(output, own, trial, one):
    """A trial's outputs within its own bins and channels are those of the trial alone."""
    n_bins, n_targets = one.n_bins, one.targets["spikes"].shape[2]
    close(output.params["spikes"][trial, :n_bins, :n_targets], own.params["spikes"][0], 1e-12)
    for field in ("initial_condition", "ic_params", "initial_state"):
        close(getattr(output, field)[trial], getattr(own, field)[0], 1e-12)
    for field in ("factors", "generator_states", "inputs", "input_params", "controller_states", "encoding"):
        close(getattr(output, field)[trial, :n_bins], getattr(own, field)[0], 1e-12)


@pytest.mark.slow
def test_a_window_longer_than_a_trial():
    """The encoder sees 7 bins of the long trial and 2 of the short one, which the window swallows."""
    data = making.ragged(lengths=(9, 9, 4, 4))
    model = making.build(data, ic_window=3, controller_sees_ic_window=False, controller_lag=2)
    batch, run = batch_of(data), making.forward(model)
    one = making.alone(batch, 1)
    assert one.encoder_input.shape[1] == 2
    together, own = run(batch), run(one)
    close(together.factors[1, : one.n_bins], own.factors[0])
    close(together.ic_params[1], own.ic_params[0])
    assert not np.any(np.asarray(own.encoding)) and not np.any(np.asarray(together.encoding[1]))
    assert np.any(np.asarray(together.encoding[0]))


# Trials of weight 0, missing entries, padding


@pytest.fixture(scope="module", params=["poisson", "gaussian"])
def floats(request):
    """A batch of floats with every optional field, and a function from it to loss and gradient by path.

    Two more trials of weight 0 fill it up, with nothing masked in them.
    """
    data = making.several_sessions(known=2, likelihood=request.param)
    model = making.build(data, variant="external_input", likelihood=request.param)
    batch = making.rows(batch_of(data), [0, 1, 2, 3, 0, 3])
    real = jnp.arange(6) < 4
    batch = dataclasses.replace(
        batch,
        encoder_input=batch.encoder_input.astype(jnp.float32),
        targets={"spikes": batch.targets["spikes"].astype(jnp.float32)},
        trial_weight=real.astype(jnp.float32),
        encoder_observed=batch.encoder_observed | ~real[:, None, None],
        target_observed={"spikes": batch.target_observed["spikes"] | ~real[:, None, None]},
    )
    run = making.training_loss(model, augmentations=[modules.CoordinatedDropout()])

    def value_and_gradient(batch):
        (value, _), gradient = run(making.split(model)[1], batch, jax.random.key(0), making.hyper())
        return value, making.flat(gradient)

    return batch, value_and_gradient, value_and_gradient(batch)


@pytest.mark.parametrize("junk", [1e30, np.nan])
def test_trials_of_weight_0_do_not_count(floats, junk):
    batch, value_and_gradient, (value, gradient) = floats
    filled = dataclasses.replace(
        batch,
        encoder_input=batch.encoder_input.at[4:].set(junk),
        targets={"spikes": batch.targets["spikes"].at[4:].set(junk)},
        known_inputs=batch.known_inputs.at[4:].set(junk),
    )
    filled_value, filled_gradient = value_and_gradient(filled)
    assert filled_value == value and np.isfinite(value)
    for path, x in gradient.items():
        close(filled_gradient[path], x)


@pytest.mark.parametrize("where", ["missing", "padding"])
def test_nan_where_nothing_is_observed_reaches_nothing(floats, where):
    batch, value_and_gradient, (value, gradient) = floats
    inside, in_trial = batch.in_encoder()[:, :, None], batch.in_trial()[:, :, None]
    if where == "missing":
        seen, scored = batch.encoder_observed, batch.target_observed["spikes"]
        assert np.any(np.asarray(inside & ~seen)) and np.any(np.asarray(in_trial & ~scored))
    else:
        seen, scored = inside, in_trial
        assert not np.all(np.asarray(seen)) and not np.all(np.asarray(scored))
    broken = dataclasses.replace(
        batch,
        encoder_input=jnp.where(seen, batch.encoder_input, jnp.nan),
        targets={"spikes": jnp.where(scored, batch.targets["spikes"], jnp.nan)},
    )
    if where == "padding":
        broken = dataclasses.replace(
            broken,
            known_inputs=jnp.where(in_trial, batch.known_inputs, jnp.nan),
            encoder_observed=batch.encoder_observed | ~inside,
            target_observed={"spikes": batch.target_observed["spikes"] | ~in_trial},
        )
    broken_value, broken_gradient = value_and_gradient(broken)
    close(broken_value, value)
    for path, x in gradient.items():
        close(broken_gradient[path], x)


def test_missing_encoder_entries_are_zeros(run, batch):
    explicit = dataclasses.replace(
        batch, encoder_input=jnp.where(batch.encoder_observed, batch.encoder_input, 0), encoder_observed=None
    )
    junk = dataclasses.replace(
        batch, encoder_input=jnp.where(batch.encoder_observed, batch.encoder_input, jnp.uint8(200))
    )
    chex.assert_trees_all_equal(run(explicit), run(junk))


# Dependencies between bins and arrays


def test_ic_window_bounds_what_the_initial_condition_sees(data, batch):
    for sees in (True, False):
        model = making.build(data, ic_window=3, controller_sees_ic_window=sees)
        run = making.forward(model)
        before = run(batch)
        early = run(dataclasses.replace(batch, encoder_input=batch.encoder_input.at[:, 2].add(1)))
        late = run(dataclasses.replace(batch, encoder_input=batch.encoder_input.at[:, 3].add(1)))
        assert np.all(np.asarray(early.ic_params != before.ic_params))
        same(late.ic_params, before.ic_params)
        assert np.any(np.asarray(late.encoding != before.encoding))
        if sees:
            assert np.any(np.asarray(early.encoding != before.encoding))
        else:
            same(early.encoding, before.encoding)
            assert np.all(np.asarray(before.encoding[:, :3]) == 0)
            assert np.any(np.asarray(before.encoding[:, 3]) != 0)


def test_encoding_is_zero_in_forward_bins(model, batch, output):
    outside = np.arange(batch.n_bins) >= np.asarray(batch.encoder_length)[:, None]
    encoding = np.asarray(output.encoding)
    assert np.all(encoding[outside] == 0) and np.all(np.any(encoding[~outside] != 0, axis=-1))
    # The controller keeps running there.
    assert np.all(np.std(np.asarray(output.controller_states)[:, -2:], axis=1) > 0)


def test_known_inputs_of_the_generator_pass_the_encoders_by(data, batch):
    model = making.build(data, variant="external_input", inferred_inputs=0)
    assert model.decoder.controller is None and model.decoder.generator.n_known_inputs == 2
    run = making.forward(model)
    before = run(batch)
    after = run(dataclasses.replace(batch, known_inputs=batch.known_inputs.at[:, 4].add(1.0)))
    same(after.ic_params, before.ic_params)
    same(after.generator_states[:, :4], before.generator_states[:, :4])
    assert np.all(np.asarray(after.generator_states[:, 4:] != before.generator_states[:, 4:]))
    assert before.inputs is None and before.encoding is None


def test_known_inputs_of_the_encoders_pass_the_generator_by(data, batch):
    model = making.build(data, variant="external_input", known_inputs_to="encoders")
    assert model.decoder.generator.n_known_inputs == 0
    run = making.forward(model)
    before = run(batch)
    seen = run(dataclasses.replace(batch, known_inputs=batch.known_inputs.at[:, 4].add(1.0)))
    assert np.all(np.asarray(seen.ic_params != before.ic_params))
    assert np.any(np.asarray(seen.encoding != before.encoding))
    # Bins of forward prediction lie beyond the encoders.
    forward = run(dataclasses.replace(batch, known_inputs=batch.known_inputs.at[:, 7:].add(1.0)))
    chex.assert_trees_all_equal(forward, before)


def test_a_causal_model_does_not_look_ahead(data, batch):
    """With a causal encoder and the initial condition from the first bins, data change later bins only."""
    model = making.build(data, encoder="causal", ic_window=2, controller_lag=1)
    run = making.forward(model)
    before = run(batch)
    after = run(dataclasses.replace(batch, encoder_input=batch.encoder_input.at[:, 4:].add(1)))
    same(after.params["spikes"][:, :5], before.params["spikes"][:, :5])
    long = np.asarray(batch.encoder_length) > 5
    assert np.all(np.asarray(after.factors != before.factors)[long, 5:])


def test_noise_is_what_makes_samples_differ_from_means(model, run, batch):
    noise = model.draw(jax.random.key(0), batch)
    mean, sample = run(batch), run(batch, noise)
    same(sample.ic_params, mean.ic_params)
    same(mean.initial_condition, mean.ic_params[:, :4])
    std = model.ic_prior.posterior_std(mean.ic_params)
    close(sample.initial_condition, mean.initial_condition + std * noise.ic)
    silent = dataclasses.replace(noise, ic=jnp.zeros_like(noise.ic), inputs=jnp.zeros_like(noise.inputs))
    # Two compiled programs, which agree to the rounding of float32.
    chex.assert_trees_all_close(run(batch, silent), mean, rtol=2e-6, atol=2e-6)


# The loss


def poisson_by_hand(batch, output):
    """Each trial's log likelihood and number of entries, by a plain loop over known entries."""
    log_rate, counts = (
        np.asarray(output.params["spikes"], np.float64)[..., 0],
        np.asarray(batch.targets["spikes"]),
    )
    observed, n_targets = (
        np.asarray(batch.target_observed["spikes"]),
        np.asarray(batch.target_channels["spikes"]),
    )
    total, number = np.zeros(batch.n_trials), np.zeros(batch.n_trials)
    for trial in range(batch.n_trials):
        for t in range(int(batch.target_length[trial])):
            for channel in range(n_targets[trial]):
                if observed[trial, t, channel]:
                    rate = np.exp(log_rate[trial, t, channel])
                    total[trial] += stats.poisson.logpmf(counts[trial, t, channel], rate)
                    number[trial] += 1
    return total, number


def test_poisson_reconstruction_is_the_log_likelihood(model, batch, output):
    assert np.abs(np.asarray(output.params["spikes"])).max() < 8
    total, number = poisson_by_hand(batch, output)
    np.testing.assert_allclose(reconstruction(model, batch, output), total, rtol=1e-5)
    np.testing.assert_allclose(reconstruction(model, batch, output, "mean"), total / number, rtol=1e-5)
    assert len(set(number)) == 4


def test_weights_multiply_entries(model, batch, output):
    plain, weight = np.asarray(reconstruction(model, batch, output)), np.full((4, 9, 6), 0.5, np.float32)
    halved = reconstruction(model, batch, output, "sum", {"spikes": jnp.asarray(weight)})
    np.testing.assert_allclose(halved, 0.5 * plain, rtol=1e-6)
    weight[:, 4:] = 0.0
    early = dataclasses.replace(batch, target_length=jnp.minimum(batch.target_length, 4))
    expected = 0.5 * np.asarray(reconstruction(model, early, output))
    np.testing.assert_allclose(
        reconstruction(model, batch, output, "sum", {"spikes": jnp.asarray(weight)}), expected, rtol=1e-6
    )


def test_kl_of_inputs_ends_with_the_trial(model, batch, output):
    prior = model.decoder.input_prior
    for estimator in ("path", "sample"):
        ours = np.asarray(kl_inferred_inputs(model, batch, output, estimator))
        for trial, n in enumerate(np.asarray(batch.target_length)):
            params, path = output.input_params[trial : trial + 1, :n], output.inputs[trial : trial + 1, :n]
            if estimator == "path":
                expected = prior.kl(params, path)
            else:
                expected = prior.posterior_log_prob(params, path) - prior.log_prob(path)
            np.testing.assert_allclose(ours[trial], np.asarray(expected).sum(), rtol=1e-5)


def test_elbo_has_every_weight_1(model, batch, output):
    total, _ = poisson_by_hand(batch, output)
    q, p = model.ic_prior.posterior(output.ic_params), model.ic_prior.distribution()
    variance, prior_variance = np.asarray(q.variance), np.asarray(p.variance)
    away = (np.asarray(q.mean) - np.asarray(p.mean)) ** 2
    ratio = variance / prior_variance
    kl = 0.5 * (ratio - np.log(ratio) - 1 + away / prior_variance).sum(-1)
    kl += np.asarray(kl_inferred_inputs(model, batch, output))
    np.testing.assert_allclose(elbo(model, batch, output), total - kl, rtol=1e-5)
    ones = HyperParams(kl_ic_scale=1.0, kl_co_scale=1.0)
    negative, _ = Objective()(model, batch, output, ones, RampWeights())
    np.testing.assert_allclose(-negative, (total - kl).mean(), rtol=1e-5)


@pytest.mark.parametrize("nominal", [None, 8])
def test_the_loss_is_its_weighted_parts(model, batch, output, nominal):
    hyper, ramps = making.hyper(), RampWeights(kl_ic=0.3, kl_co=0.9, l2=0.4)
    weighted = dataclasses.replace(batch, trial_weight=jnp.array([1.0, 0.0, 0.5, 1.0]))
    total, parts = Objective(nominal_batch=nominal)(model, weighted, output, hyper, ramps)
    kl = 0.3 * 0.7 * np.asarray(parts.kl_ic) + 0.9 * 0.6 * np.asarray(parts.kl_inputs)
    per_trial = np.asarray(parts.reconstruction) + kl
    expected = per_trial @ [1.0, 0.0, 0.5, 1.0] / (nominal or 3) + 0.4 * float(parts.l2)
    np.testing.assert_allclose(float(total), expected, rtol=1e-6)
    real = np.array([0, 2, 3])
    close(parts.reconstruction[real], -np.asarray(reconstruction(model, batch, output))[real])
    assert np.all(np.asarray(parts.kl_ic) > 0) and np.all(np.asarray(parts.kl_inputs) > 0) and parts.l2 > 0


def test_l2_penalty_by_hand(model):
    hyper = making.hyper(l2_con_scale=0.0)
    decoder = model.decoder
    weights = {
        2.0: [model.ic_encoder.forward.w_hidden, model.ic_encoder.backward.w_hidden],
        3.0: [model.input_encoder.forward.w_hidden, model.input_encoder.backward.w_hidden],
        4.0: [decoder.generator.gru.w_hidden],
        0.0: [decoder.controller.gru.w_hidden],
    }
    each, total, size = 0.0, 0.0, 0
    for scale, arrays in weights.items():
        flat = np.concatenate([np.asarray(x[...]).ravel() for x in arrays])
        each += scale * 0.5 * (flat @ flat) / flat.size
        total += scale * 0.5 * (flat @ flat)
        size += flat.size if scale > 0 else 0
    np.testing.assert_allclose(l2_penalty(model, hyper, "each"), each, rtol=1e-6)
    np.testing.assert_allclose(l2_penalty(model, hyper, "pooled"), total / size, rtol=1e-6)
    nothing = {f"l2_{part}_scale": 0.0 for part in ("ic_enc", "ci_enc", "gen", "con")}
    for how in ("each", "pooled"):
        assert l2_penalty(model, making.hyper(**nothing), how) == 0


def test_the_penalty_of_the_read_in_by_hand():
    model = making.build(making.several_sessions())
    flat = np.concatenate([np.ravel(model.readin.weight[name][...]) for name in ("monday", "tuesday")])
    penalty = lambda **scales: l2_penalty(model, lfadsx.HyperParams(**scales), "pooled")  # noqa: E731
    np.testing.assert_allclose(penalty(l2_readin_scale=3.0), 1.5 * (flat @ flat) / flat.size, rtol=1e-6)
    together = penalty(l2_readin_scale=3.0, l2_gen_scale=2.0)
    np.testing.assert_allclose(together, penalty(l2_readin_scale=3.0) + penalty(l2_gen_scale=2.0), rtol=1e-6)
    assert making.outline(making.one_session()).readin.penalised_weights() == ()


@pytest.mark.slow
def test_scales_of_the_mean_convention_are_converted():
    """With `summed`, the gradient of the sum equals the gradient of the mean times bins and neurons."""
    hyper, n = making.hyper(), 8 * 5
    converted = hyper.summed(bins=8, neurons=5)
    with jax.enable_x64(True):
        data = making.one_session(n_trials=4)
        model, batch = making.build(data), batch_of(data)
        graphdef, params, fixed = making.split(model)

        def both(params, batch, key):
            model = nnx.merge(graphdef, params, fixed)
            output = model(batch, model.draw(key, batch, hyper))
            mean = Objective(reduction="mean")(model, batch, output, hyper, RampWeights())[0]
            total = Objective()(model, batch, output, converted, RampWeights())[0]
            return jnp.stack([mean, total])

        gradient = making.flat(jax.jit(jax.jacrev(both))(params, batch, jax.random.key(0)))
    for path, (mean, total) in gradient.items():
        close(total, n * mean, 1e-11)
        assert np.any(mean != 0), path
    unchanged = ("learning_rate", "weight_decay", "dropout_rate", "cd_rate", "cd_pass_rate")
    assert all(getattr(converted, name) == getattr(hyper, name) for name in unchanged)


def test_held_in_is_what_the_encoder_saw(data, batch):
    ours = np.asarray(held_in(batch, "spikes"))
    expected = np.zeros_like(ours)
    for trial in range(batch.n_trials):
        session = data.sessions[int(batch.session[trial])]
        for target in session.target_index:
            for t in range(int(batch.encoder_length[trial])):
                expected[trial, t, target] = batch.target_observed["spikes"][trial, t, target]
    same(ours, expected)


# Compiling and modes


@pytest.mark.both_modes
def test_forward_and_gradient_in_both_modes(nnx_mode):
    """The loss along a direction in parameter space has the slope that the gradient says."""
    with jax.enable_x64(True):
        data = making.ragged(known=2)
        model, batch = making.build(data, variant="external_input", input_encoder_dim=0), batch_of(data)
        key, params, hyper = jax.random.key(0), making.split(model)[1], making.hyper()
        run = making.training_loss(model)
        gradient = run(params, batch, key, hyper)[1]
        rng = np.random.default_rng(0)
        way = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape)), params)
        step = 1e-5
        ahead, behind = (
            run(jax.tree.map(lambda x, d, s=s: x + s * step * d, params, way), batch, key, hyper)[0][0] for s in (1, -1)
        )
        slope = sum(jnp.sum(g * d) for g, d in zip(*map(jax.tree.leaves, (gradient, way)), strict=True))
        np.testing.assert_allclose((ahead - behind) / (2 * step), slope, rtol=1e-6)


def test_no_hyperparameter_recompiles(model, batch):
    graphdef, params, fixed = making.split(model)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(1)
    def value(params, batch, key, hyper):
        model = nnx.merge(graphdef, params, fixed)
        changed, weights, opened = combine([modules.CoordinatedDropout()], batch, hyper, [key])
        output = model(changed, model.draw(key, changed, hyper))
        return Objective()(model, changed, output, hyper, RampWeights(), weights, opened)[0]

    def at(**changes):
        return float(value(params, batch, jax.random.key(0), making.hyper(**changes)))

    plain = at()
    # Those that act on the update, on the gradient alone, or through another augmentation leave the loss as it is.
    elsewhere = ("learning_rate", "weight_decay", "l2_scale", "cd_pass_rate", "spike_jitter_rate", *SWITCHES)
    elsewhere += ("other_targets_scale", "kl_bias_scale")  # of groups and of a bias that are not there
    for field in dataclasses.fields(HyperParams):
        changed = at(**{field.name: 0.5 * getattr(making.hyper(), field.name) + 0.01})
        assert (changed == plain) == (field.name in elsewhere), field.name


def test_equal_models_share_one_compilation(data):
    """Structures compare equal, so that a compiled function serves every model of one architecture."""
    one, two = (nnx.graphdef(making.outline(data)) for _ in range(2))
    assert one == two and hash(one) == hash(two)
    assert nnx.graphdef(making.outline(data, controller_lag=2)) != one


# Builders


def test_builders_make_the_parts_that_the_configuration_names(data):
    model = making.outline(data)
    assert isinstance(model.readin, modules.LinearReadin) and model.readin.n_features == 4
    assert model.readin.n_channels == (("monday", 4), ("tuesday", 3))
    assert model.readout["spikes"].n_targets == (("monday", 6), ("tuesday", 4))
    assert model.input_encoder.lag == 1 and model.ic_encoder.lag == 0
    assert model.known_inputs_to == "none" and model.decoder.generator.n_known_inputs == 0
    causal = making.outline(data, encoder="causal", input_encoder_dim=0, feedback="none", controller_lag=3)
    assert isinstance(causal.ic_encoder, modules.CausalGRU) and causal.ic_encoder.lag == 3
    assert causal.input_encoder is None and causal.decoder.controller.n_feedback == 0
    autonomous = making.outline(data, variant="autonomous", readin_dim=0)
    assert autonomous.decoder.controller is None and autonomous.decoder.input_prior is None
    assert autonomous.readin.n_features == 3
    priors = {"ar1": distributions.AutoregressivePrior, "gaussian": distributions.GaussianPrior}
    for name, kind in (priors | {"student_t": distributions.StudentTPrior}).items():
        other = making.outline(data, input_prior=name, input_prior_variance=0.25, input_prior_df=1.5)
        assert type(other.decoder.input_prior) is kind
    prior = other.decoder.input_prior
    assert (prior.df, prior.scale) == (1.5, 0.5)
    single = making.outline(making.one_session())
    assert isinstance(single.readin, modules.IdentityReadin) and single.readin.n_features == 5


@pytest.mark.parametrize("variant", ["autonomous", "inferred_input", "external_input"])
def test_builders_by_name_are_build(variant):
    data, config = making.one_session(known=1), ModelConfig(variant="autonomous", **making.SIZES)
    built = nnx.eval_shape(lambda: getattr(lfadsx, variant)(data, config, rngs=nnx.Rngs(0)))
    assert nnx.graphdef(built) == nnx.graphdef(making.outline(data, variant=variant))
    has_controller, n_known = variant != "autonomous", int(variant == "external_input")
    assert (built.decoder.controller is not None) == has_controller
    assert built.decoder.generator.n_known_inputs == n_known


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_the_read_out_starts_at_the_mean_of_each_neuron(likelihood):
    data = making.several_sessions(likelihood=likelihood)
    readout = jax.jit(
        lambda: nnx.state(lfadsx.autonomous(data, likelihood=likelihood, rngs=nnx.Rngs(0), **making.SIZES))
    )()["readout"]["spikes"]
    train = data.train
    for index, session in enumerate(data.sessions):
        bias = np.asarray(readout["bias"][session.name][...])
        if likelihood == "gaussian":  # in units of the standard deviation
            bias = bias * np.asarray(readout["unit"][session.name][...])
        for channel in range(session.n_targets["spikes"]):
            values = [
                train.targets["spikes"][trial, t, channel].astype(float)
                for trial in np.flatnonzero(train.session == index)
                for t in range(train.target_length[trial])
                if train.target_observed["spikes"][trial, t, channel]
            ]
            if likelihood == "poisson":
                expected = [np.log((np.sum(values) + 0.5) / len(values))]
            else:
                expected = [np.mean(values), np.log(np.var(values))]
            np.testing.assert_allclose(bias[channel], expected, rtol=1e-4, atol=1e-6)


def test_a_new_model_is_near_the_mean_rates():
    """The factors' contribution starts small, so that the first loss is near the loss of constant rates."""
    data = making.one_session(n_trials=20, n_bins=30)
    structure = lfadsx.autonomous(data, rngs=nnx.Rngs(0), **making.SIZES)
    batch = batch_of(data)
    output = making.forward(structure)(batch)
    constant = np.asarray(structure.readout["spikes"].bias["session"][...])[:, 0]
    assert np.abs(np.asarray(output.params["spikes"])[..., 0] - constant).max() < 0.5


def replaced(model, **changes):
    """The parts of a model, some of them replaced."""
    names = ("readin", "ic_encoder", "ic_prior", "decoder", "readout", "likelihood")
    arguments = {name: getattr(model, name) for name in names} | changes
    return lfadsx.LFADS(**arguments, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda d: lfadsx.autonomous(d, facters=1),
            lfadsx.LfadsxError,
            r"`facters` must be a field of ModelConfig \(did you mean 'factors'\?\)",
        ),
        (
            lambda d: lfadsx.inferred_input(d, inferred_inputs=0, rngs=nnx.Rngs(0)),
            ValueError,
            "`inferred_inputs` must be at least 1 for the variant 'inferred_input', got 0",
        ),
        (
            lambda d: lfadsx.external_input(d, rngs=nnx.Rngs(0)),
            ValueError,
            "needs known inputs, but the data have none",
        ),
        (
            lambda d: lfadsx.autonomous(d, readin="identity", rngs=nnx.Rngs(0)),
            ValueError,
            "must have one session, got 2. Use readin = 'linear'",
        ),
        (
            lambda d: lfadsx.autonomous(d, ic_window=7, rngs=nnx.Rngs(0)),
            ValueError,
            "`ic_window` must be below the number of bins of the encoder, 7, got 7",
        ),
    ],
)
def test_a_model_that_cannot_be_built_says_why(make, error, message):
    with pytest.raises(error, match=message):
        make(making.several_sessions())


def test_groups_without_read_out_or_likelihood_are_named(model):
    readout, likelihood = dict(model.readout), dict(model.likelihood)
    with pytest.raises(ValueError, match=r"same target groups, .* got \['emg'\], \['spikes'\] and 'spikes'"):
        replaced(model, readout={"emg": readout["spikes"]}, likelihood=likelihood)
    with pytest.raises(ValueError, match="and 'lfp'."):
        replaced(model, input_group="lfp", readout=readout, likelihood=likelihood)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": 0}, "`factors` must be at least 1, got 0."),
        ({"ic_window": -1}, "`ic_window` must be at least 0, got -1."),
        ({"cell_clip": 0.0}, "`cell_clip` must be above 0, got 0.0."),
        ({"input_prior_tau": float("nan")}, "`input_prior_tau` must be above 0, got nan."),
        ({"likelihood": "poison"}, "`likelihood` must be one of 'poisson', .* got 'poison'."),
        ({"encoder": "bidirectionnal"}, "`encoder` must be one of 'bidirectional', .* got 'bidirectionnal'."),
        ({"variant": "inferred"}, "`variant` must be one of .*'inferred_input'.* got 'inferred'."),
    ],
)
def test_a_configuration_out_of_range_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout_rate": 1.0}, "`dropout_rate` must be from 0 to below 1, got 1.0."),
        ({"cd_rate": -0.1}, "`cd_rate` must be from 0 to below 1, got -0.1."),
        ({"cd_pass_rate": 1.1}, "`cd_pass_rate` must be from 0 to 1, got 1.1."),
        ({"kl_ic_scale": -1.0}, "`kl_ic_scale` must be at least 0, got -1.0."),
        ({"l2_gen_scale": float("nan")}, "`l2_gen_scale` must be .*, got nan"),
        ({"learning_rate": -1e-3}, "`learning_rate` must be above 0, got -0.001."),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0, got 0.0."),
        ({"weight_decay": float("inf")}, "`weight_decay` must be .*, got inf"),
    ],
)
def test_hyperparameters_out_of_range_are_named(changes, message):
    HyperParams().check()
    with pytest.raises(ValueError, match=message):
        HyperParams(**changes).check()

"""A model taken over from the TensorFlow LFADS computes its numbers, and goes back to its arrays."""

import json

import h5py
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx
from tensorflow_lfads import Program, random_arrays

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.errors import DataError
from lfadsx.interop import from_tensorflow, to_tensorflow, write_posterior_runs
from lfadsx.interop.tensorflow.flags import FLAGS as KNOWN
from lfadsx.models.serialization import describe, rebuild
from lfadsx.objective import kl_inferred_inputs, kl_initial_condition, l2_penalty, reconstruction
from lfadsx.types import Noise

N_BINS, N_TRIALS = 7, 4
QUICK = ("inferred inputs", "two sessions", "causal", "lag 2", "external inputs to the generator")
CASES = {
    "inferred inputs": dict(),
    "one session as it is": dict(readin=False),
    "two sessions": dict(sessions={"monday": 5, "tuesday": 3}),
    "an identity read-out": dict(readin=False, readout=False, factors=5),
    "no controller": dict(inferred=0),
    "no initial condition": dict(ic=0),
    "an initial condition as wide as the generator": dict(ic=6),
    "causal": dict(causal=True),
    "lag 0": dict(flags={"controller_input_lag": 0}),
    "lag 2": dict(flags={"controller_input_lag": 2}),
    "feedback of rates": dict(feedback="rates", flags={"feedback_factors_or_rates": "rates"}),
    "no feedback": dict(feedback="none", flags={"do_feed_factors_to_controller": False}),
    "external inputs to the encoders": dict(known=2),
    "external inputs to the generator": dict(known=2, inject=True, flags={"inject_ext_input_to_gen": True}),
    "external inputs alone": dict(known=2, inferred=0, inject=True, flags={"inject_ext_input_to_gen": True}),
    "an early window": dict(flags={"num_steps_for_gen_ic": 3}),
    "a tight clip": dict(flags={"cell_clip_value": 0.3}),
    "a trained variance of the prior": dict(flags={"ic_prior_var_min": 0.05, "ic_prior_var_max": 0.4}),
    "real-valued data": dict(gaussian=True),
}
FLAGS = {"controller_input_lag": 1, "cell_clip_value": 5.0, "ic_post_var_min": 1e-4}


def make(case):
    """The arrays and flags of a case, and trials of its last session."""
    changes = dict(case)
    flags = FLAGS | changes.pop("flags", {})
    sessions = changes.pop("sessions", {"monday": 5})
    rng = np.random.default_rng(0)
    arrays = random_arrays(rng, sessions=sessions, features=4, **changes)
    n_channels, n_known = list(sessions.values())[-1], changes.get("known", 0)
    shape = (N_TRIALS, N_BINS, n_channels)
    data = rng.standard_normal(shape) if changes.get("gaussian") else rng.poisson(1.0, shape)
    known = rng.standard_normal((N_TRIALS, N_BINS, n_known)) if n_known else None
    return arrays, flags, sessions, data, known


def batch(sessions, data, known, gaussian):
    """Our batch of the trials, which belong to the last session."""
    last, datasets = list(sessions)[-1], []
    again = [*range(N_TRIALS), 0]  # one more trial, since there has to be something to validate on
    for name, n in sessions.items():
        own = data if name == last else np.zeros((N_TRIALS, N_BINS, n), int)
        settings = dict(session=name, kind="real" if gaussian else None)
        settings["known_inputs"] = None if known is None else known[again]
        split = ["train"] * N_TRIALS + ["valid"]
        datasets.append(lfadsx.data.from_arrays(own[again], split=split, **settings))
    every = batch_of(lfadsx.data.concatenate(*datasets), "train")
    return making.rows(every, np.flatnonzero(np.asarray(every.session) == len(sessions) - 1))


def settings_of(flags):
    """The flags that our function takes."""
    return {key: value for key, value in flags.items() if key in KNOWN}


@pytest.mark.parametrize("name", making.each(CASES, *QUICK))
def test_it_computes_the_numbers_of_the_program(name):
    arrays, flags, sessions, data, known = make(CASES[name])
    model = from_tensorflow(arrays, settings_of(flags))
    program = Program(arrays, flags, list(sessions)[-1])
    trials = batch(sessions, data, known, "gaussian" in CASES[name])
    rng = np.random.default_rng(1)
    noise_g0 = rng.standard_normal((N_TRIALS, model.ic_prior.dim))
    prior = model.decoder.input_prior
    noise_u = None if prior is None else rng.standard_normal((N_TRIALS, N_BINS, prior.dim))
    # Each kind of path compiles its own program; one case runs both.
    for sampled in (False, True) if name == "inferred inputs" else (True,):
        noise = None
        if sampled:
            by_time = None if noise_u is None else jnp.asarray(np.swapaxes(noise_u, 0, 1), jnp.float32)
            noise = Noise(jnp.asarray(noise_g0, jnp.float32), by_time, {}, 0.0)
        output = making.forward(model)(trials, noise)
        for trial in range(N_TRIALS):
            drawn = {"noise_g0": noise_g0[trial]} if sampled else {}
            drawn |= {"noise_u": noise_u[trial]} if sampled and noise_u is not None else {}
            theirs = program.trial(data[trial], None if known is None else known[trial], **drawn)
            pairs = {
                "gen_ics": output.initial_state[trial],
                "gen_states": output.generator_states[trial],
                "factors": output.factors[trial],
            }
            if prior is not None:
                mean, logvar = np.split(np.asarray(output.input_params[trial]), 2, axis=-1)
                pairs |= {"controller_outputs": output.inputs[trial], "post_u_mean": mean, "post_u_logvar": logvar}
            for key, values in pairs.items():
                np.testing.assert_allclose(values, theirs[key], rtol=2e-4, atol=2e-5, err_msg=key)
            n = data.shape[2]
            for number, values in enumerate(theirs["params"]):
                found = output.params["spikes"][trial, :, :n, number]
                np.testing.assert_allclose(found, values, rtol=2e-4, atol=2e-5)
            np.testing.assert_allclose(reconstruction(model, trials, output)[trial], theirs["logp"], rtol=1e-4)
            np.testing.assert_allclose(
                kl_initial_condition(model, output)[trial], theirs["kl_g0"], rtol=1e-4, atol=1e-4
            )
            if sampled and prior is not None:
                kl = kl_inferred_inputs(model, trials, output, "sample")[trial]
                np.testing.assert_allclose(kl, theirs["kl_u"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_it_goes_back_to_the_same_arrays(name):
    arrays, flags, *_ = make(CASES[name])
    back = to_tensorflow(from_tensorflow(arrays, settings_of(flags)))
    expected = dict(arrays)
    if name == "an identity read-out":  # is a matrix here
        n = arrays["LFADS_gen_gen_2_fac_W:0"].shape[1]
        readout = {"W": np.eye(n), "b": np.zeros((1, n))}
        expected |= {f"LFADS_glm_fac_2_logrates_session_{part}:0": value for part, value in readout.items()}
    if name == "a trained variance of the prior":  # is itself what we keep
        theta = arrays["LFADS_z_prior_g0_logvar:0"]
        expected["LFADS_z_prior_g0_logvar:0"] = np.log(0.05 + 0.35 / (1 + np.exp(-np.exp(theta))))
    assert set(back) == set(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(back[key], values, rtol=1e-6, atol=1e-6, err_msg=key)


def test_files_and_a_model_that_is_saved(tmp_path):
    """From the program's two files, booleans as text; the contents of a run folder give the same numbers again."""
    arrays, flags, *_ = make(CASES["two sessions"])
    with h5py.File(tmp_path / "model_params", "w") as file:
        for name, values in arrays.items():
            file[name] = values
            file[name.replace(":0", "/Adam:0").replace("/", "_")] = values  # the file also holds slots of the optimiser
    said = flags | {"controller_input_lag": 2, "do_causal_controller": "false", "num_steps_for_gen_ic": 2**63 - 1}
    (tmp_path / "hyperparameters-100.txt").write_text(json.dumps(said | {"dataset_names": ["tuesday", "monday"]}))
    model = from_tensorflow(tmp_path / "model_params", tmp_path / "hyperparameters-100.txt")
    assert model.input_encoder.lag == 2 and model.ic_window == 0
    assert model.readin.n_channels == (("tuesday", 3), ("monday", 5))
    again = rebuild(json.loads(json.dumps(describe(model))), rngs=nnx.Rngs(1))
    assert model.initialised  # its values are those of the file, which `load` would put into `again`
    again.initialised = True
    assert nnx.graphdef(again) == nnx.graphdef(model)


@pytest.mark.slow
def test_it_can_be_trained_on():
    arrays, flags, sessions, data, known = make(CASES["inferred inputs"])
    model = from_tensorflow(arrays, settings_of(flags))
    own = lfadsx.data.from_arrays(data, split=["train"] * 3 + ["valid"], session="monday")
    config = lfadsx.TrainConfig(epochs=1, batch_size=3, kl_ramp_epochs=0, l2_ramp_epochs=0)
    history = lfadsx.fit(model, own, config=config).history
    assert np.all(np.isfinite(history["loss"]))


def test_what_is_missing_or_does_not_fit_is_named():
    arrays, *_ = make(CASES["inferred inputs"])
    without = {key: value for key, value in arrays.items() if "post_g0_mean_W" not in key}
    with pytest.raises(ValueError, match="lack 'LFADS_z_ic_enc_2_post_g0_mean_W:0'; they hold .* Give the whole file"):
        from_tensorflow(without)
    wrong = arrays | {"LFADS_con_con_to_post_co_mean_W:0": np.zeros((4, 3))}
    with pytest.raises(ValueError, match=r"must have shape \(4, 2\) .* got \(4, 3\)"):
        from_tensorflow(wrong)
    with pytest.raises(ValueError, match="flag of the TensorFlow LFADS must be one of .* got .lag."):
        from_tensorflow(arrays, {"lag": 2})
    with pytest.raises(DataError, match="The file .* must exist, but was not found"):
        from_tensorflow("nowhere/model_params")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_prior": "student_t"}, "The prior of the inputs must be AutoregressivePrior for .* got StudentTPrior"),
        ({"input_encoder_dim": 0}, "The controller.s encoder must be BidirectionalGRU or CausalGRU .* got None"),
    ],
)
def test_a_model_that_the_program_does_not_know_has_no_arrays_there(changes, message):
    with pytest.raises(ValueError, match=message):
        to_tensorflow(making.build(making.one_session(), **changes))


def test_standardised_data_are_not_known_there():
    data = making.one_session(likelihood="gaussian")
    with pytest.raises(ValueError, match="This model has standardised data, which the TensorFlow LFADS lacks"):
        to_tensorflow(making.build(data, likelihood="gaussian"))


def test_results_of_several_sessions_and_of_real_values_by_the_names_of_the_program(tmp_path):
    """One file for each session with its channels; for real values means, then variances."""
    data = making.several_sessions(likelihood="gaussian")
    model = making.build(data, likelihood="gaussian")
    posterior = lfadsx.infer(model, data, "valid", n_samples=2)
    hyper = lfadsx.HyperParams(kl_ic_scale=0.5, kl_co_scale=0.25, l2_gen_scale=3.0)
    files = write_posterior_runs(
        tmp_path,
        model,
        {"valid": posterior},
        {"valid": lfadsx.bounds(model, data, "valid", n_samples=2)},
        sessions=data.sessions,
        hyper=hyper,
        config=lfadsx.TrainConfig(l2_normalize="pooled"),
        step=70,
    )
    kind = "posterior_sample_and_average"
    assert [file.name for file in files] == [f"model_runs_{day}_valid_{kind}" for day in ("monday", "tuesday")]
    found = lfadsx.bounds(model, data, "valid", n_samples=2)
    terms = found.terms["reconstruction"] + 0.5 * found.terms["kl_ic"] + 0.25 * found.terms["kl_inputs"]
    for number, (file, n) in enumerate(zip(files, (6, 4), strict=True)):
        rows = posterior.session == number
        with h5py.File(file) as content:
            mean, variance = np.split(content["output_dist_params"][...], 2, axis=2)
            np.testing.assert_array_equal(mean, posterior.rates["spikes"][rows][:, :, :n])
            np.testing.assert_array_equal(variance, posterior.variance["spikes"][rows][:, :, :n])
            assert np.nanmin(variance) > 0
            penalty = l2_penalty(model, hyper, "pooled")
            np.testing.assert_allclose(content["costs"][...], (terms + penalty)[rows], rtol=1e-5)
            np.testing.assert_array_equal(content["train_steps"][...], [70] * rows.sum())


def test_a_bounded_variance_of_the_prior_is_written_as_its_logarithm():
    data = making.one_session()
    model = making.build(data, inferred_inputs=1, ic_prior_variance_bounds=(0.05, 1.0))
    arrays = to_tensorflow(model)
    expected = model.ic_prior.distribution().variance
    np.testing.assert_allclose(np.exp(arrays["LFADS_z_prior_g0_logvar:0"][0]), expected, rtol=1e-6)
    again = from_tensorflow(arrays, {"dataset_names": ["session"]})
    np.testing.assert_allclose(again.ic_prior.distribution().variance, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "changes", "what"),
    [
        (making.ragged, {"inferred_inputs": 1}, "held-out neurons"),
        (making.one_session, {"initial_feedback": "zeros"}, "a controller that does not see the initial factors"),
        (making.one_session, {"ic_window": 3, "controller_sees_ic_window": False}, "does not see the early window"),
        (making.one_session, {"input_prior_mean": 0.5}, "inputs with a mean"),
    ],
)
def test_what_the_program_cannot_hold_is_refused_and_not_dropped(make, changes, what):
    with pytest.raises(ValueError, match=f"{what}, which the TensorFlow LFADS lacks"):
        to_tensorflow(making.build(make(), **changes))


def test_settings_of_another_model_are_named():
    arrays, flags, *_ = make({})
    with pytest.raises(ValueError, match=r"name the session 'friday' and the parameters are of \['monday'\]"):
        from_tensorflow(arrays, {"dataset_names": ["friday"]})

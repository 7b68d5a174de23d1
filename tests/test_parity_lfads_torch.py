"""A model taken over from lfads-torch computes its numbers: outputs, loss parts, gradients."""

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

from lfadsx import HyperParams
from lfadsx.interop import from_lfads_torch
from lfadsx.objective import Objective, RampWeights
from lfadsx.types import Batch, Noise

MODELS = [
    "torch_inferred_input",
    "torch_inferred_input_lag0",
    "torch_autonomous",
    "torch_external_input",
    "torch_external_only",
    "torch_ic_window_readin",
]
HYPER = HyperParams(
    kl_ic_scale=0.01,
    kl_co_scale=0.02,
    l2_ic_enc_scale=0.7,
    l2_ci_enc_scale=0.3,
    l2_gen_scale=2.0,
    l2_con_scale=1.5,
)


def close(ours, theirs):
    """Within 1e-5 of the array's largest entry."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.fixture(params=MODELS, scope="module")
def case(request, fixtures):
    """Model, batch, everything that it computes on both paths, the loss, its gradient, and theirs."""
    arrays = dict(np.load(fixtures / f"{request.param}.npz"))
    params = {name.removeprefix("param/"): v for name, v in arrays.items() if name.startswith("param/")}
    model = from_lfads_torch(
        params,
        controller_lag=0 if "lag0" in request.param else 1,
        ic_window=5 if "ic_window" in request.param else 0,
    )
    batch = make_batch(arrays)
    return model, batch, compute(model, batch, make_noise(arrays)), arrays


def compute(model, batch, noise):
    """Runs both paths and the gradient in one compiled program."""
    objective = Objective(reduction="mean", estimator="sample", l2_normalize="pooled")
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def total(params):
        model = nnx.merge(graphdef, params, rest)
        output = model(batch, noise)
        value, parts = objective(model, batch, output, HYPER, RampWeights())
        return value, (parts, output)

    @jax.jit
    def run(params):
        (value, (parts, sample)), gradient = jax.value_and_grad(total, has_aux=True)(params)
        mean = nnx.merge(graphdef, params, rest)(batch)
        return {"total": value, "parts": parts, "sample": sample, "mean": mean, "gradient": gradient}

    results = run(params)
    return results | {"gradient": nnx.merge(graphdef, results["gradient"], rest)}


def make_batch(arrays):
    data, target, known = (arrays[f"input/{k}"] for k in ("encod_data", "recon_data", "ext_input"))
    n, n_bins = target.shape[:2]
    known = np.pad(known, ((0, 0), (0, n_bins - known.shape[1]), (0, 0)))
    ints = lambda value: jnp.full(n, value, jnp.int32)  # noqa: E731
    return Batch(
        encoder_input=jnp.asarray(data),
        targets={"spikes": jnp.asarray(target)},
        encoder_observed=None,
        target_observed={"spikes": None},
        known_inputs=jnp.asarray(known) if known.shape[2] else None,
        encoder_length=ints(data.shape[1]),
        target_length=ints(n_bins),
        session=ints(0),
        trial_id=jnp.arange(n),
        trial_weight=jnp.ones(n),
        target_channels={"spikes": ints(target.shape[2])},
        target_index=jnp.tile(jnp.arange(data.shape[2]), (n, 1)),
    )


def make_noise(arrays):
    inputs = jnp.asarray(arrays["noise/co"]) if "noise/co" in arrays else None
    if inputs is not None and inputs.shape[-1] == 0:
        inputs = None
    return Noise(ic=jnp.asarray(arrays["noise/ic"]), inputs=inputs, keep={}, dropout_rate=0.0)


def check_output(model, batch, output, arrays, path):
    close(output.params["spikes"], arrays[f"{path}/output_params"])
    close(output.factors, arrays[f"{path}/factors"])
    close(output.generator_states, arrays[f"{path}/gen_states"])
    close(output.initial_state, arrays[f"{path}/gen_init"])
    close(model.ic_prior.posterior_mean(output.ic_params), arrays[f"{path}/ic_mean"])
    close(model.ic_prior.posterior_std(output.ic_params), arrays[f"{path}/ic_std"])
    prior = model.decoder.input_prior
    if prior is None:
        assert output.inputs is None and output.controller_states is None
        return
    close(output.controller_states, arrays[f"{path}/con_states"])
    close(prior.posterior_mean(output.input_params), arrays[f"{path}/co_means"])
    close(prior.posterior_std(output.input_params), arrays[f"{path}/co_stds"])
    driven = output.inputs if batch.known_inputs is None else jnp.concatenate([output.inputs, batch.known_inputs], -1)
    close(driven, arrays[f"{path}/gen_inputs"])


@pytest.mark.parametrize("path", making.each(["mean", "sample"], "sample"))
def test_outputs(case, path):
    model, batch, results, arrays = case
    check_output(model, batch, results[path], arrays, path)


def stirling_minus_exact(counts):
    """The reference replaces log k! by Stirling's formula for k > 1; this is the difference."""
    k = np.maximum(counts, 1.0).astype(np.float64)
    stirling = np.where(counts > 1, k * np.log(k) - k + 0.5 * np.log(2 * np.pi * k), 0.0)
    exact = np.array([sum(np.log(np.arange(1, c + 1))) for c in counts.astype(int).ravel()]).reshape(counts.shape)
    return stirling - exact


def test_loss_parts_on_the_sampled_path(case):
    model, batch, results, arrays = case
    output, parts = results["sample"], results["parts"]
    offset = stirling_minus_exact(arrays["input/recon_data"])
    entries = -model.likelihood["spikes"].log_prob(output.params["spikes"], batch.targets["spikes"])
    close(np.asarray(entries) + offset, arrays["loss/recon_elementwise"])
    close(parts.kl_ic.mean(), arrays["loss/kl_ic"])
    close(parts.l2, arrays["loss/l2"])
    if "loss/kl_co_on_path" in arrays:
        close(parts.kl_inputs.mean(), arrays["loss/kl_co_on_path"])
        close(model.decoder.input_prior.log_prob(output.inputs).sum(1), arrays["loss/co_log_prior"])
        log_q = model.decoder.input_prior.posterior_log_prob(output.input_params, output.inputs)
        close(log_q.sum(1), arrays["loss/co_log_posterior"])
    close(results["total"] + offset.mean(), arrays["loss/total"])


def test_gradients_on_the_sampled_path(case):
    _, _, results, arrays = case
    # A gradient has the model's shape: taking theirs over in the same way puts both side by side.
    theirs = {n.removeprefix("param/"): v for n, v in arrays.items() if n.startswith("param/")}
    theirs |= {n.removeprefix("grad/"): v for n, v in arrays.items() if n.startswith("grad/")}
    theirs = dict(nnx.to_flat_state(nnx.state(from_lfads_torch(theirs), nnx.Param)))
    ours = nnx.to_flat_state(nnx.state(results["gradient"], nnx.Param))
    for path, value in ours:
        close(value[...], theirs[path][...])
    assert sum(v.size for _, v in ours) == sum(v.size for n, v in arrays.items() if n.startswith("grad/"))

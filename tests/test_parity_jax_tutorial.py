"""A model composed by hand gives the JAX tutorial's results for posterior means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lfadsx import LFADS, modules
from lfadsx.distributions import AutoregressivePrior, GaussianPrior, Poisson
from lfadsx.types import Batch


def close(ours, theirs):
    """Within 1e-5 of the array's largest entry."""
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.fixture
def arrays(fixtures):
    return dict(np.load(fixtures / "jax_tutorial_posterior_mean.npz"))


def fill_gru(gru, arrays, name, n_known):
    """The tutorial stacks reset and update (keep) rows over [h, x] and adds 0.5 to the keep gate."""
    n = gru.n_hidden
    reset, keep = np.split(arrays[f"param/{name}/wRUHX"], 2)
    joint = np.concatenate([keep, reset, arrays[f"param/{name}/wCHX"]]).T  # (h then x, gates)
    gru.w_hidden[...] = jnp.asarray(joint[:n])
    known, live = joint[n : n + n_known], joint[n + n_known :]
    if gru.w_known is not None:
        gru.w_known[...] = jnp.asarray(known)
    if gru.w_live is not None:
        gru.w_live[...] = jnp.asarray(live)
    reset_bias, keep_bias = np.split(arrays[f"param/{name}/bRU"], 2)
    gru.bias[...] = jnp.asarray(np.concatenate([keep_bias + 0.5, reset_bias, arrays[f"param/{name}/bC"]]))


def tutorial_model(arrays):
    rngs, free = nnx.Rngs(0), dict(clip=float("inf"))
    encoder = modules.BidirectionalGRU(12, 10, lag=0, **free, rngs=rngs)
    for direction, gru in (("fwd", encoder.forward), ("bwd", encoder.backward)):
        fill_gru(gru, arrays, f"ic_enc/{direction}_rnn", 12)
    encoder.forward_initial[...] = arrays["param/ic_enc/fwd_rnn/h0"]
    encoder.backward_initial[...] = arrays["param/ic_enc/bwd_rnn/h0"]
    generator = modules.GRUGenerator(11, 0, 2, 11, initial="identity", **free, rngs=rngs)
    fill_gru(generator.gru, arrays, "gen", 0)
    controller = modules.GRUController(20, 5, 8, **free, rngs=rngs)
    fill_gru(controller.gru, arrays, "con", 20)
    controller.initial[...] = arrays["param/con/h0"]
    prior = AutoregressivePrior(2, train_mean=True)
    decoder = modules.Decoder(
        generator, 5, controller=controller, input_prior=prior, initial_feedback="zeros", rngs=rngs
    )
    decoder.factor_map.weight[...] = arrays["param/factors/w"].T
    decoder.input_posterior.weight[...] = arrays["param/con_out/w"].T
    decoder.input_posterior.bias[...] = arrays["param/con_out/b"]
    readout = modules.LinearReadout(5, (("session", 12),), rngs=rngs)
    readout.weight["session"][...] = arrays["param/logrates/w"].T[:, :, None]
    readout.bias["session"][...] = arrays["param/logrates/b"][:, None]
    ic_prior = GaussianPrior(11, post_var_min=0.001, prior_var_min=0.001)
    ic_prior.loc[...] = arrays["param/ic_prior/mean"]
    ic_prior.log_variance[...] = arrays["param/ic_prior/logvar"]
    model = LFADS(
        modules.IdentityReadin((("session", 12),)),
        encoder,
        ic_prior,
        decoder,
        {"spikes": readout},
        {"spikes": Poisson()},
        rngs=rngs,
    )
    backward_first = arrays["param/gen_ic/w"].T  # the tutorial joins the ends in this order
    model.ic_posterior.weight[...] = np.roll(backward_first, 10, axis=0)
    model.ic_posterior.bias[...] = arrays["param/gen_ic/b"]
    return model


def test_posterior_means(arrays):
    model = tutorial_model(arrays)
    data = jnp.asarray(arrays["input/x"])
    n, n_bins, n_channels = data.shape
    batch = Batch(
        encoder_input=data,
        targets={"spikes": data},
        encoder_observed=None,
        target_observed={"spikes": None},
        known_inputs=None,
        encoder_length=jnp.full(n, n_bins),
        target_length=jnp.full(n, n_bins),
        session=jnp.zeros(n, int),
        trial_id=jnp.arange(n),
        trial_weight=jnp.ones(n),
        target_channels={"spikes": jnp.full(n, n_channels)},
        target_index=jnp.tile(jnp.arange(n_channels), (n, 1)),
    )
    output = jax.jit(lambda batch: model(batch))(batch)
    close(output.encoding, arrays["mean/xenc_t"])
    close(output.ic_params, np.concatenate([arrays["mean/ic_mean"], arrays["mean/ic_logvar"]], -1))
    close(output.controller_states, arrays["mean/c_t"])
    close(output.input_params, np.concatenate([arrays["mean/ii_mean_t"], arrays["mean/ii_logvar_t"]], -1))
    close(output.inputs, arrays["mean/ii_t"])
    close(output.generator_states, arrays["mean/gen_t"])
    close(output.factors, arrays["mean/factor_t"])
    close(output.params["spikes"][..., 0], arrays["mean/lograte_t"])
    close(model.ic_prior.kl(output.ic_params, output.initial_condition), arrays["loss/kl_g0_batch"])
    log_prob = model.likelihood["spikes"].log_prob(output.params["spikes"], data)
    without_lgamma = np.asarray(log_prob) + np.asarray(jax.lax.lgamma(data + 1.0))
    close(without_lgamma, arrays["loss/poisson_log_likelihood_without_lgamma"])

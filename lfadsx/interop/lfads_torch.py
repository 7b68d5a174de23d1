"""Models trained with lfads-torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.types import INPUT_GROUP

Arrays = Mapping[str, np.ndarray]


def from_lfads_torch(
    arrays: Arrays,
    *,
    controller_lag: int = 1,
    ic_window: int = 0,
    ic_post_var_min: float = 1e-4,
    cell_clip: float = 5.0,
    likelihood: str = "poisson",
    sessions: Sequence[str] | None = None,
) -> LFADS:
    """Turns the parameters of a trained lfads-torch model into an `LFADS` that computes the same numbers.

    Sizes follow from the arrays. What a state dict does not hold has to be said: the settings below, under
    their lfads-torch names `ci_lag`, `ic_enc_seq_len`, `ic_post_var_min`, `cell_clip` and `reconstruction`.
    The inputs' posterior has no variance floor, as there. Both priors come along: the multivariate normal one of
    the initial condition and the autoregressive one of the inputs.

    Example:
        ```python
        checkpoint = torch.load("last.ckpt", map_location="cpu")
        arrays = {name: value.numpy() for name, value in checkpoint["state_dict"].items()}
        model = lfadsx.interop.from_lfads_torch(arrays, controller_lag=1)
        ```

    Args:
        arrays: The state dict as NumPy arrays, e.g. `encoder.ic_linear.weight` of shape (2 ic, 2 ic_enc).
        controller_lag: Lag of the controller's encoding, in bins.
        ic_window: Bins from the start that feed only the encoder of the initial condition; 0 for none.
        ic_post_var_min: Floor of the variance of the initial condition's posterior.
        cell_clip: Bound of the recurrent states.
        likelihood: "poisson" or "gaussian".
        sessions: Names of the sessions; by default "session", or "session0", "session1", ... for several.

    Raises:
        LfadsxError: If a parameter is missing or the likelihood is unknown.
    """
    arrays = _Parameters(arrays)
    likelihoods = {"poisson": distributions.Poisson, "gaussian": distributions.Gaussian}
    if likelihood not in likelihoods:
        raise LfadsxError(
            f"likelihood = {likelihood!r} is none of {sorted(likelihoods)}. Give the one the model was trained with."
        )
    density = likelihoods[likelihood]()
    n_sessions = len({name.split(".")[1] for name in arrays if name.startswith("readout.")})
    names = tuple(sessions or (["session"] if n_sessions == 1 else [f"session{i}" for i in range(n_sessions)]))
    if len(names) != n_sessions:
        raise LfadsxError(
            f"There are {n_sessions} read-outs but {len(names)} session names {names}. Give one name for each read-out."
        )
    rngs = nnx.Rngs(0)
    has_controller = "decoder.rnn.cell.con_cell.weight_ih" in arrays
    ic_encoder = _encoder(arrays, "ic", 0, cell_clip, rngs)
    input_encoder = _encoder(arrays, "ci", controller_lag, cell_clip, rngs) if has_controller else None
    ic_prior = _ic_prior(arrays, ic_post_var_min)
    decoder = _decoder(arrays, has_controller, cell_clip, rngs)
    model = LFADS(
        _readin(arrays, names, ic_encoder.n_in, rngs),
        ic_encoder,
        ic_prior,
        decoder,
        {INPUT_GROUP: _readout(arrays, names, density.n_params, rngs)},
        {INPUT_GROUP: density},
        input_encoder=input_encoder,
        known_inputs_to="generator" if _n_known(arrays) else "none",
        ic_window=ic_window,
        controller_sees_ic_window=not ic_window,
        rngs=rngs,
    )
    _set_linear(model.ic_posterior, arrays, "encoder.ic_linear")
    model.initialised = True
    return model


class _Parameters(dict):
    """A state dict whose missing entries are explained."""

    def __missing__(self, name: str) -> np.ndarray:
        raise LfadsxError(
            f"The lfads-torch parameters lack {name!r}; they hold {sorted(self)}. Give the whole state dict of "
            "the LFADS model."
        )


def _array(value: np.ndarray) -> jnp.ndarray:
    return jnp.asarray(np.asarray(value))


def _set_linear(linear: modules.Linear | None, arrays: Arrays, name: str) -> None:
    if linear is None:
        return
    linear.weight[...] = _array(arrays[f"{name}.weight"]).T
    linear.bias[...] = _array(arrays[f"{name}.bias"])


def _set_gru(gru: modules.GRU, arrays: Arrays, name: str, *, live_first: bool = False) -> None:
    """Fills a GRU; lfads-torch stacks update (keep), reset and candidate (new) in rows."""
    weight = _array(arrays[f"{name}.weight_ih"]).T
    if live_first:
        live, known = weight[: gru.n_live], weight[gru.n_live :]
    else:
        known, live = weight[: gru.n_known], weight[gru.n_known :]
    if gru.w_known is not None:
        gru.w_known[...] = known
    if gru.w_live is not None:
        gru.w_live[...] = live
    gru.w_hidden[...] = _array(arrays[f"{name}.weight_hh"]).T
    gru.bias[...] = _array(arrays[f"{name}.bias_ih"])


def _encoder(arrays: Arrays, kind: str, lag: int, clip: float, rngs: nnx.Rngs) -> modules.BidirectionalGRU:
    name = f"encoder.{kind}_enc"
    width, n_in = arrays[f"{name}.fwd_gru.cell.weight_ih"].shape
    encoder = modules.BidirectionalGRU(n_in, width // 3, lag=lag, clip=clip, rngs=rngs)
    _set_gru(encoder.forward, arrays, f"{name}.fwd_gru.cell")
    _set_gru(encoder.backward, arrays, f"{name}.bwd_gru.cell")
    initial = _array(arrays[f"{name}_h0"])
    encoder.forward_initial[...] = initial[0, 0]
    encoder.backward_initial[...] = initial[1, 0]
    return encoder


def _ic_prior(arrays: Arrays, post_var_min: float) -> distributions.GaussianPrior:
    prior = distributions.GaussianPrior(arrays["ic_prior.mean"].shape[0], post_var_min=post_var_min)
    prior.loc[...] = _array(arrays["ic_prior.mean"])
    prior.log_variance[...] = _array(arrays["ic_prior.logvar"])
    return prior


def _decoder(arrays: Arrays, has_controller: bool, clip: float, rngs: nnx.Rngs) -> modules.Decoder:
    cell = "decoder.rnn.cell"
    n_ic = arrays["decoder.ic_to_g0.weight"].shape[1]
    n_factors, n_generator = arrays[f"{cell}.fac_linear.weight"].shape
    n_inferred = arrays[f"{cell}.co_linear.weight"].shape[0] // 2 if has_controller else 0
    generator = modules.GRUGenerator(n_ic, _n_known(arrays), n_inferred, n_generator, clip=clip, rngs=rngs)
    _set_linear(generator.start, arrays, "decoder.ic_to_g0")
    _set_gru(generator.gru, arrays, f"{cell}.gen_cell", live_first=True)
    controller, prior = None, None
    if has_controller:
        width, n_in = arrays[f"{cell}.con_cell.weight_ih"].shape
        controller = modules.GRUController(n_in - n_factors, n_factors, width // 3, clip=clip, rngs=rngs)
        _set_gru(controller.gru, arrays, f"{cell}.con_cell")
        controller.initial[...] = _array(arrays["decoder.con_h0"])[0]
        prior = distributions.AutoregressivePrior(n_inferred, post_var_min=0.0)
        prior.log_tau[...] = _array(arrays["co_prior.logtaus"])
        prior.log_variance[...] = _array(arrays["co_prior.lognvars"])
    decoder = modules.Decoder(generator, n_factors, controller=controller, input_prior=prior, rngs=rngs)
    decoder.factor_map.weight[...] = _array(arrays[f"{cell}.fac_linear.weight"]).T
    if has_controller:
        _set_linear(decoder.input_posterior, arrays, f"{cell}.co_linear")
    return decoder


def _n_known(arrays: Arrays) -> int:
    """Inputs of the generator that are not inferred."""
    cell = "decoder.rnn.cell"
    inferred = arrays[f"{cell}.co_linear.weight"].shape[0] // 2 if f"{cell}.co_linear.weight" in arrays else 0
    return arrays[f"{cell}.gen_cell.weight_ih"].shape[1] - inferred


def _readin(arrays: Arrays, names: tuple[str, ...], n_features: int, rngs: nnx.Rngs) -> modules.AbstractReadin:
    if "readin.0.weight" not in arrays:
        return modules.IdentityReadin(((names[0], n_features),))
    sizes = tuple((name, arrays[f"readin.{i}.weight"].shape[1]) for i, name in enumerate(names))
    readin = modules.LinearReadin(sizes, n_features, rngs=rngs)
    for i, name in enumerate(names):
        readin.weight[name][...] = _array(arrays[f"readin.{i}.weight"]).T
        readin.bias[name][...] = _array(arrays[f"readin.{i}.bias"])
    return readin


def _readout(arrays: Arrays, names: tuple[str, ...], n_params: int, rngs: nnx.Rngs) -> modules.LinearReadout:
    weights = [_array(arrays[f"readout.{i}.weight"]).T for i in range(len(names))]
    sizes = tuple((name, w.shape[1] // n_params) for name, w in zip(names, weights, strict=True))
    readout = modules.LinearReadout(weights[0].shape[0], sizes, n_params=n_params, rngs=rngs)
    for i, ((name, n), weight) in enumerate(zip(sizes, weights, strict=True)):
        readout.weight[name][...] = weight.reshape(weight.shape[0], n, n_params)
        readout.bias[name][...] = _array(arrays[f"readout.{i}.bias"]).reshape(n, n_params)
    return readout

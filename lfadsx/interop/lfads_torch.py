"""Models trained with lfads-torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.data import validation
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
    """Returns an `LFADS` with the parameters of a trained lfads-torch model, which computes the same numbers.

    Sizes follow from the arrays. The settings below are not part of a state dict; lfads-torch calls them `ci_lag`,
    `ic_enc_seq_len`, `ic_post_var_min`, `cell_clip` and `reconstruction`. As in lfads-torch, the inputs' posterior has
    no variance floor. Both priors are taken over: multivariate normal for the initial condition and autoregressive
    for the inputs.

    Example:
        ```python
        checkpoint = torch.load("last.ckpt", map_location="cpu")
        arrays = {name: value.numpy() for name, value in checkpoint["state_dict"].items()}
        model = lfadsx.interop.from_lfads_torch(arrays, controller_lag=1)
        ```

    Args:
        arrays: The state dict as NumPy arrays, e.g. `encoder.ic_linear.weight` of shape (2 ic, 2 ic_enc).
        controller_lag: Lag of the controller's encoding, in bins.
        ic_window: First bins, which only the encoder of the initial condition sees; 0 for no such window.
        ic_post_var_min: Floor of the variance of the initial condition's posterior.
        cell_clip: Bound of the recurrent states.
        likelihood: "poisson" or "gaussian".
        sessions: Names of the sessions; by default "session", or "session0", "session1", ... for several.

    Raises:
        LfadsxError: If a parameter is missing or the likelihood is unknown.
    """
    arrays = _Parameters({name: jnp.asarray(np.asarray(value)) for name, value in arrays.items()})
    likelihoods = {"poisson": distributions.Poisson, "gaussian": distributions.Gaussian}
    validation.one_of(likelihood, likelihoods, "`likelihood`")
    density = likelihoods[likelihood]()
    n_sessions = len({name.split(".")[1] for name in arrays if name.startswith("readout.")})
    names = tuple(sessions or (["session"] if n_sessions == 1 else [f"session{i}" for i in range(n_sessions)]))
    if len(names) != n_sessions:
        raise LfadsxError(
            f"`sessions` must have one name for each of the {n_sessions} read-outs, got {len(names)} names {names}."
        )
    rngs = nnx.Rngs(0)
    cell = "decoder.rnn.cell"
    has_controller = f"{cell}.con_cell.weight_ih" in arrays
    n_inferred = arrays[f"{cell}.co_linear.weight"].shape[0] // 2 if has_controller else 0
    n_known = arrays[f"{cell}.gen_cell.weight_ih"].shape[1] - n_inferred
    ic_encoder = _encoder(arrays, "ic", 0, cell_clip, rngs)
    input_encoder = _encoder(arrays, "ci", controller_lag, cell_clip, rngs) if has_controller else None
    ic_prior = distributions.GaussianPrior(arrays["ic_prior.mean"].shape[0], post_var_min=ic_post_var_min)
    ic_prior.loc[...] = arrays["ic_prior.mean"]
    ic_prior.log_variance[...] = arrays["ic_prior.logvar"]
    decoder = _decoder(arrays, n_known, n_inferred, cell_clip, rngs)
    model = LFADS(
        _readin(arrays, names, ic_encoder.n_in, rngs),
        ic_encoder,
        ic_prior,
        decoder,
        {INPUT_GROUP: _readout(arrays, names, density.n_params, rngs)},
        {INPUT_GROUP: density},
        input_encoder=input_encoder,
        known_inputs_to="generator" if n_known else "none",
        ic_window=ic_window,
        controller_sees_ic_window=not ic_window,
        rngs=rngs,
    )
    _set_linear(model.ic_posterior, arrays, "encoder.ic_linear")
    model.initialised = True
    return model


class _Parameters(dict):
    """A state dict that explains missing entries."""

    def __missing__(self, name: str) -> jnp.ndarray:
        raise LfadsxError(
            f"The lfads-torch parameters lack {name!r}; they hold {sorted(self)}. Give the whole state dict of "
            "the LFADS model."
        )


def _set_linear(linear: modules.Linear | None, arrays: Arrays, name: str) -> None:
    if linear is not None:
        linear.weight[...] = arrays[f"{name}.weight"].T
        linear.bias[...] = arrays[f"{name}.bias"]


def _set_gru(gru: modules.GRU, arrays: Arrays, name: str, *, live_first: bool = False) -> None:
    """Fills a GRU; lfads-torch stacks update (keep), reset and candidate (new) in rows."""
    weight, first = arrays[f"{name}.weight_ih"].T, 0
    for inputs in (gru.w_live, gru.w_known) if live_first else (gru.w_known, gru.w_live):
        if inputs is not None:
            inputs[...] = weight[first : first + inputs.shape[0]]
            first += inputs.shape[0]
    gru.w_hidden[...] = arrays[f"{name}.weight_hh"].T
    gru.bias[...] = arrays[f"{name}.bias_ih"]


def _encoder(arrays: Arrays, kind: str, lag: int, clip: float, rngs: nnx.Rngs) -> modules.BidirectionalGRU:
    name = f"encoder.{kind}_enc"
    width, n_in = arrays[f"{name}.fwd_gru.cell.weight_ih"].shape
    encoder = modules.BidirectionalGRU(n_in, width // 3, lag=lag, clip=clip, rngs=rngs)
    _set_gru(encoder.forward, arrays, f"{name}.fwd_gru.cell")
    _set_gru(encoder.backward, arrays, f"{name}.bwd_gru.cell")
    encoder.forward_initial[...], encoder.backward_initial[...] = arrays[f"{name}_h0"][:, 0]
    return encoder


def _decoder(arrays: Arrays, n_known: int, n_inferred: int, clip: float, rngs: nnx.Rngs) -> modules.Decoder:
    cell = "decoder.rnn.cell"
    n_ic = arrays["decoder.ic_to_g0.weight"].shape[1]
    n_factors, n_generator = arrays[f"{cell}.fac_linear.weight"].shape
    generator = modules.GRUGenerator(n_ic, n_known, n_inferred, n_generator, clip=clip, rngs=rngs)
    _set_linear(generator.start, arrays, "decoder.ic_to_g0")
    _set_gru(generator.gru, arrays, f"{cell}.gen_cell", live_first=True)
    controller, prior = None, None
    if n_inferred:
        width, n_in = arrays[f"{cell}.con_cell.weight_ih"].shape
        controller = modules.GRUController(n_in - n_factors, n_factors, width // 3, clip=clip, rngs=rngs)
        _set_gru(controller.gru, arrays, f"{cell}.con_cell")
        controller.initial[...] = arrays["decoder.con_h0"][0]
        prior = distributions.AutoregressivePrior(n_inferred, post_var_min=0.0)
        prior.log_tau[...] = arrays["co_prior.logtaus"]
        prior.log_variance[...] = arrays["co_prior.lognvars"]
    decoder = modules.Decoder(generator, n_factors, controller=controller, input_prior=prior, rngs=rngs)
    decoder.factor_map.weight[...] = arrays[f"{cell}.fac_linear.weight"].T
    if n_inferred:
        _set_linear(decoder.input_posterior, arrays, f"{cell}.co_linear")
    return decoder


def _readin(arrays: Arrays, names: tuple[str, ...], n_features: int, rngs: nnx.Rngs) -> modules.AbstractReadin:
    if "readin.0.weight" not in arrays:
        return modules.IdentityReadin(((names[0], n_features),))
    sizes = tuple((name, arrays[f"readin.{i}.weight"].shape[1]) for i, name in enumerate(names))
    readin = modules.LinearReadin(sizes, n_features, rngs=rngs)
    for i, name in enumerate(names):
        readin.weight[name][...] = arrays[f"readin.{i}.weight"].T
        readin.bias[name][...] = arrays[f"readin.{i}.bias"]
    return readin


def _readout(arrays: Arrays, names: tuple[str, ...], n_params: int, rngs: nnx.Rngs) -> modules.LinearReadout:
    weights = [arrays[f"readout.{i}.weight"].T for i in range(len(names))]
    sizes = tuple((name, w.shape[1] // n_params) for name, w in zip(names, weights, strict=True))
    readout = modules.LinearReadout(weights[0].shape[0], sizes, n_params=n_params, rngs=rngs)
    for i, ((name, n), weight) in enumerate(zip(sizes, weights, strict=True)):
        readout.weight[name][...] = weight.reshape(weight.shape[0], n, n_params)
        readout.bias[name][...] = arrays[f"readout.{i}.bias"].reshape(n, n_params)
    return readout

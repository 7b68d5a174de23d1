"""Building a model with the sizes of the TensorFlow LFADS's arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.types import INPUT_GROUP

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, Any]
Feedback = Literal["factors", "rates", "none"]

READIN, READOUT = r"LFADS_x_2_infac_(.+)_W:0", r"LFADS_glm_fac_2_(?:logrates|means)_(.+)_W:0"
"""Names of the read-in's and the read-out's matrix of each session."""


class Parameters(dict):
    """Arrays by name; a missing array is an error, but a missing read-out is the identity."""

    def __missing__(self, name: str) -> np.ndarray:
        found = re.fullmatch(r"LFADS_glm_fac_2_logrates_(.+)_(W|b):0", name)
        if found and not _by_session(self, READOUT):
            n = self["LFADS_gen_gen_2_fac_W:0"].shape[1]
            return np.eye(n) if found.group(2) == "W" else np.zeros((1, n))
        raise LfadsxError(
            f"The parameters of the TensorFlow LFADS lack {name!r}; they hold {sorted(self)[:8]} and so on. Give the "
            "whole file of --kind=write_model_params."
        )


def build(arrays: Arrays, settings: Settings) -> LFADS:
    """Returns a model with the sizes of the arrays; its values are still to be filled in."""
    rngs, clip = nnx.Rngs(0), settings["cell_clip_value"]
    n_generator, n_factors = arrays["LFADS_gen_gen_2_fac_W:0"].shape
    outs, ins = _by_session(arrays, READOUT), _by_session(arrays, READIN)
    names = settings["dataset_names"] or sorted(outs or ins) or ["session"]
    if missing := [name for name in names if (outs and name not in outs) or (ins and name not in ins)]:
        raise LfadsxError(
            f"The settings name the session {missing[0]!r} and the parameters are of {sorted(outs or ins)}. Give "
            "the settings of the same model."
        )
    # A missing read-out is the identity, of one session with as many channels as factors.
    sessions = tuple((name, outs[name].shape[1] if name in outs else n_factors) for name in names)
    n_rates = sessions[0][1]
    n_features = ins[names[0]].shape[1] if ins else n_rates
    readin: modules.AbstractReadin = modules.IdentityReadin(((names[0], n_features),))
    if ins:
        readin = modules.LinearReadin(tuple((name, ins[name].shape[0]) for name in names), n_features, rngs=rngs)
    n_in = n_features
    for encoder in ("ci_enc", "ic_enc"):
        if f"LFADS_{encoder}_fwd_{encoder}_t0_fwd:0" in arrays:
            n_hidden = _width(arrays, f"LFADS_{encoder}_fwd_{encoder}_t0_fwd")
            n_in = arrays[f"LFADS_{encoder}_fwd_GRU_Gates_xh_2_ru_W:0"].shape[0] - n_hidden
    ic_encoder: modules.AbstractEncoder = modules.NoEncoder()
    ic_prior: distributions.AbstractPrior = distributions.PointPrior(n_generator)
    if "LFADS_z_prior_g0_mean:0" in arrays:
        n_hidden = _width(arrays, "LFADS_ic_enc_fwd_ic_enc_t0_fwd")
        ic_encoder = modules.BidirectionalGRU(n_in, n_hidden, clip=clip, rngs=rngs)
        n_ic = _width(arrays, "LFADS_z_prior_g0_mean")
        ic_prior = distributions.GaussianPrior(n_ic, post_var_min=settings["ic_post_var_min"])
    input_encoder, controller, input_prior, n_inferred = None, None, None, 0
    feedback: Feedback = "factors"
    if "LFADS_con_c0:0" in arrays:
        n_inferred = _width(arrays, "LFADS_z_u_prior_ar1_logatau")
        kind = modules.BidirectionalGRU if "LFADS_ci_enc_rev_ci_enc_t0_rev:0" in arrays else modules.CausalGRU
        lag, n_hidden = settings["controller_input_lag"], _width(arrays, "LFADS_ci_enc_fwd_ci_enc_t0_fwd")
        input_encoder = kind(n_in, n_hidden, lag=lag, clip=clip, rngs=rngs)
        n_feedback = arrays["LFADS_con_GenGRU_Gates_x_2_ru_W:0"].shape[0] - input_encoder.n_states
        feedback = _feedback(n_feedback, settings, n_factors, n_rates)
        n_hidden = _width(arrays, "LFADS_con_c0")
        controller = modules.GRUController(input_encoder.n_states, n_feedback, n_hidden, clip=clip, rngs=rngs)
        input_prior = distributions.AutoregressivePrior(n_inferred, post_var_min=0.0)
    driving = arrays.get("LFADS_gen_GenGRU_Gates_x_2_ru_W:0")
    n_known = 0 if driving is None else driving.shape[0] - n_inferred
    initial = "linear" if "LFADS_gen_g0_2_gen_ic_W:0" in arrays else "identity"
    generator = modules.GRUGenerator(
        ic_prior.dim, n_known, n_inferred, n_generator, initial=initial, clip=clip, rngs=rngs
    )
    decoder = modules.Decoder(
        generator,
        n_factors,
        controller=controller,
        input_prior=input_prior,
        feedback=feedback,
        n_rates=n_rates if feedback == "rates" else 0,
        rngs=rngs,
    )
    is_gaussian = any(name.startswith("LFADS_glm_fac_2_means_") for name in arrays)
    likelihood = distributions.Gaussian(variance_min=0.0) if is_gaussian else distributions.Poisson()
    return LFADS(
        readin,
        ic_encoder,
        ic_prior,
        decoder,
        {INPUT_GROUP: modules.LinearReadout(n_factors, sessions, n_params=likelihood.n_params, rngs=rngs)},
        {INPUT_GROUP: likelihood},
        input_encoder=input_encoder,
        known_inputs_to="encoders" if n_in > n_features else "generator" if n_known else "none",
        ic_window=settings["num_steps_for_gen_ic"],
        rngs=rngs,
    )


def _feedback(width: int, settings: Settings, factors: int, rates: int) -> Feedback:
    """Returns the feedback to the controller, by its width."""
    if width == 0:
        return "none"
    said = settings["feedback_factors_or_rates"]
    possible: dict[Feedback, int] = {"factors": factors, "rates": rates}
    fitting: list[Feedback] = [name for name, expected in possible.items() if expected == width]
    if not fitting:
        raise LfadsxError(
            f"The controller sees {width} values of the generator, but there are {factors} factors and {rates} rates. "
            "Give the whole file of one model."
        )
    return said if said in fitting else fitting[0]


def _by_session(arrays: Arrays, pattern: str) -> dict[str, np.ndarray]:
    return {m.group(1): value for name, value in arrays.items() if (m := re.fullmatch(pattern, name))}


def _width(arrays: Arrays, name: str) -> int:
    return arrays[f"{name}:0"].shape[1]

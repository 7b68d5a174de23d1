"""A model of the sizes of the TensorFlow LFADS's arrays."""

from __future__ import annotations

import dataclasses
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


class Parameters(dict):
    """Arrays by name; missing ones are explained, and the identity stands in for a read-out that there is not."""

    def __missing__(self, name: str) -> np.ndarray:
        found = re.fullmatch(r"LFADS_glm_fac_2_logrates_(.+)_(W|b):0", name)
        if found and not _by_session(self, r"LFADS_glm_fac_2_(?:logrates|means)_(.+)_W:0"):
            n = self["LFADS_gen_gen_2_fac_W:0"].shape[1]
            return np.eye(n) if found.group(2) == "W" else np.zeros((1, n))
        raise LfadsxError(
            f"The parameters of the TensorFlow LFADS lack {name!r}; they hold {sorted(self)[:8]} and so on. Give the "
            "whole file of --kind=write_model_params."
        )


def build(arrays: Arrays, settings: Settings) -> LFADS:
    """A model of the sizes of the arrays; its values are still to be filled in."""
    rngs, clip = nnx.Rngs(0), settings["cell_clip_value"]
    sizes = _Sizes.of(arrays, settings)
    has_controller, has_ic = sizes.inferred > 0, sizes.ic > 0
    n_in = sizes.features + sizes.known_to_encoders
    ic_encoder: modules.AbstractEncoder = modules.NoEncoder()
    ic_prior: distributions.AbstractPrior = distributions.PointPrior(sizes.generator)
    if has_ic:
        n_hidden = _width(arrays, "LFADS_ic_enc_fwd_ic_enc_t0_fwd")
        ic_encoder = modules.BidirectionalGRU(n_in, n_hidden, clip=clip, rngs=rngs)
        ic_prior = distributions.GaussianPrior(sizes.ic, post_var_min=settings["ic_post_var_min"])
    input_encoder, controller, input_prior = None, None, None
    if has_controller:
        kind = modules.BidirectionalGRU if "LFADS_ci_enc_rev_ci_enc_t0_rev:0" in arrays else modules.CausalGRU
        lag, n_hidden = settings["controller_input_lag"], _width(arrays, "LFADS_ci_enc_fwd_ci_enc_t0_fwd")
        input_encoder = kind(n_in, n_hidden, lag=lag, clip=clip, rngs=rngs)
        n_feedback = {"factors": sizes.factors, "rates": sizes.rates, "none": 0}[sizes.feedback]
        controller = modules.GRUController(
            input_encoder.n_states, n_feedback, _width(arrays, "LFADS_con_c0"), clip=clip, rngs=rngs
        )
        input_prior = distributions.AutoregressivePrior(sizes.inferred, post_var_min=0.0)
    initial = "linear" if "LFADS_gen_g0_2_gen_ic_W:0" in arrays else "identity"
    generator = modules.GRUGenerator(
        ic_prior.dim, sizes.known_to_generator, sizes.inferred, sizes.generator, initial=initial, clip=clip, rngs=rngs
    )
    decoder = modules.Decoder(
        generator,
        sizes.factors,
        controller=controller,
        input_prior=input_prior,
        feedback=sizes.feedback,
        n_rates=sizes.rates if sizes.feedback == "rates" else 0,
        rngs=rngs,
    )
    likelihood = distributions.Gaussian(variance_min=0.0) if sizes.gaussian else distributions.Poisson()
    known_to = "encoders" if sizes.known_to_encoders else "generator" if sizes.known_to_generator else "none"
    model = LFADS(
        _readin(arrays, sizes, rngs),
        ic_encoder,
        ic_prior,
        decoder,
        {INPUT_GROUP: modules.LinearReadout(sizes.factors, sizes.sessions, n_params=likelihood.n_params, rngs=rngs)},
        {INPUT_GROUP: likelihood},
        input_encoder=input_encoder,
        known_inputs_to=known_to,
        ic_window=settings["num_steps_for_gen_ic"],
        rngs=rngs,
    )
    return model


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What the shapes of the arrays say about the model."""

    sessions: tuple[tuple[str, int], ...]
    features: int
    known_to_encoders: int
    known_to_generator: int
    ic: int
    generator: int
    factors: int
    inferred: int
    feedback: Feedback
    gaussian: bool

    @property
    def rates(self) -> int:
        return self.sessions[0][1]

    @classmethod
    def of(cls, arrays: Arrays, settings: Settings) -> _Sizes:
        generator, factors = arrays["LFADS_gen_gen_2_fac_W:0"].shape
        outs = _by_session(arrays, r"LFADS_glm_fac_2_(?:logrates|means)_(.+)_W:0")
        ins = _by_session(arrays, r"LFADS_x_2_infac_(.+)_W:0")
        names = settings["dataset_names"] or sorted(outs or ins) or ["session"]
        if missing := [name for name in names if (outs and name not in outs) or (ins and name not in ins)]:
            raise LfadsxError(
                f"The settings name the session {missing[0]!r} and the parameters are of {sorted(outs or ins)}. Give "
                "the settings of the same model."
            )
        # A read-out that is missing is the identity, of one session with as many channels as factors.
        sessions = tuple((name, outs[name].shape[1] if name in outs else factors) for name in names)
        features = ins[names[0]].shape[1] if ins else sessions[0][1]
        encoder = "ic_enc" if "LFADS_ic_enc_fwd_ic_enc_t0_fwd:0" in arrays else "ci_enc"
        seen = 0
        if f"LFADS_{encoder}_fwd_{encoder}_t0_fwd:0" in arrays:
            n_hidden = _width(arrays, f"LFADS_{encoder}_fwd_{encoder}_t0_fwd")
            seen = arrays[f"LFADS_{encoder}_fwd_GRU_Gates_xh_2_ru_W:0"].shape[0] - n_hidden - features
        inferred = _width(arrays, "LFADS_z_u_prior_ar1_logatau") if "LFADS_con_c0:0" in arrays else 0
        driving = arrays.get("LFADS_gen_GenGRU_Gates_x_2_ru_W:0")
        return cls(
            sessions=sessions,
            features=features,
            known_to_encoders=seen,
            known_to_generator=0 if driving is None else driving.shape[0] - inferred,
            ic=_width(arrays, "LFADS_z_prior_g0_mean") if "LFADS_z_prior_g0_mean:0" in arrays else 0,
            generator=generator,
            factors=factors,
            inferred=inferred,
            feedback=_feedback(arrays, settings, factors, sessions[0][1]) if inferred else "factors",
            gaussian=any(name.startswith("LFADS_glm_fac_2_means_") for name in arrays),
        )


def _feedback(arrays: Arrays, settings: Settings, factors: int, rates: int) -> Feedback:
    """What the controller sees of the generator, by how wide its input is."""
    encoding = sum(
        arrays[f"LFADS_ci_enc_{d}_ci_enc_t0_{d}:0"].shape[1]
        for d in ("fwd", "rev")
        if f"LFADS_ci_enc_{d}_ci_enc_t0_{d}:0" in arrays
    )
    width = arrays["LFADS_con_GenGRU_Gates_x_2_ru_W:0"].shape[0] - encoding
    said = settings["feedback_factors_or_rates"]
    possible: dict[Feedback, int] = {"factors": factors, "rates": rates}
    if width == 0:
        return "none"
    if possible.get(said) == width:
        return said
    for name, expected in possible.items():
        if width == expected:
            return name
    raise LfadsxError(
        f"The controller sees {width} values of the generator, and there are {factors} factors and {rates} rates. Give "
        "the whole file of one model."
    )


def _readin(arrays: Arrays, sizes: _Sizes, rngs: nnx.Rngs) -> modules.AbstractReadin:
    ins = _by_session(arrays, r"LFADS_x_2_infac_(.+)_W:0")
    if not ins:
        return modules.IdentityReadin(((sizes.sessions[0][0], sizes.features),))
    channels = tuple((name, arrays[f"LFADS_x_2_infac_{name}_W:0"].shape[0]) for name, _ in sizes.sessions)
    return modules.LinearReadin(channels, sizes.features, rngs=rngs)


def _by_session(arrays: Arrays, pattern: str) -> dict[str, np.ndarray]:
    return {m.group(1): value for name, value in arrays.items() if (m := re.fullmatch(pattern, name))}


def _width(arrays: Arrays, name: str) -> int:
    return arrays[f"{name}:0"].shape[1]

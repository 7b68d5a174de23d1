"""Models of the TensorFlow LFADS: from its file of parameters, and back to its names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.data.files import open_to_read
from lfadsx.model import LFADS
from lfadsx.types import INPUT_GROUP

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, Any]
Feedback = Literal["factors", "rates", "none"]

DEFAULTS: dict[str, Any] = {
    "controller_input_lag": 1,
    "cell_clip_value": 5.0,
    "num_steps_for_gen_ic": 0,
    "ic_post_var_min": 1e-4,
    "ic_prior_var_min": 0.1,
    "ic_prior_var_max": 0.1,
    "feedback_factors_or_rates": "factors",
    "dataset_names": None,
}
"""Settings that the arrays do not tell, by the names of the program's flags, with its defaults."""


def from_tensorflow(source: str | Path | Arrays, settings: str | Path | Settings | None = None) -> LFADS:
    """Turns parameters that the TensorFlow LFADS has written into an `LFADS` that computes the same numbers.

    Sizes, sessions, likelihood and where known inputs go follow from the arrays. What they do not tell stands in the
    program's file `hyperparameters-<step>.txt`; without it these flags have their defaults: controller_input_lag,
    cell_clip_value, num_steps_for_gen_ic, ic_post_var_min, ic_prior_var_min and ic_prior_var_max,
    feedback_factors_or_rates, and dataset_names where a single session has neither read-in nor read-out of its own.

    Two things differ, and only far from any data: log rates beyond -15 and 8 are bent, and the log of a variance is not
    clipped at 80. A read-out that is the identity there is a trained matrix here.

    Example:
        ```python
        model = lfadsx.interop.from_tensorflow("lfads_run/model_params", "lfads_run/hyperparameters-10000.txt")
        ```

    Args:
        source: The file of `--kind=write_model_params`, or its arrays by name.
        settings: The file of settings, or settings by the names of the flags.

    Raises:
        DataError: If a file cannot be read.
        ValueError: If an array is missing or does not fit the others, or a setting is unknown.
    """
    arrays = _Parameters(_read(source) if isinstance(source, str | Path) else source)
    chosen = DEFAULTS | _known_settings(settings)
    model = _build(arrays, chosen)
    for slot in _slots(model):
        slot.fill(arrays)
    if chosen["ic_prior_var_max"] > chosen["ic_prior_var_min"]:
        _set_bounded_variance(model, chosen)
    return model


def to_tensorflow(model: LFADS) -> dict[str, np.ndarray]:
    """Returns the parameters of a model by the names and in the shapes of the TensorFlow LFADS.

    Args:
        model: A model of parts that the TensorFlow LFADS has, too.

    Raises:
        ValueError: If it has a part that the TensorFlow LFADS lacks.
    """
    _check_is_known(model)
    return {slot.name: slot.value() for slot in _slots(model)}


@dataclasses.dataclass(frozen=True)
class _Slot:
    """One array of the TensorFlow program, made of blocks of ours: entries of a parameter, less a constant.

    Attributes:
        name: Its name.
        blocks: Rows of blocks; each is a parameter, an index into it and what is subtracted.
    """

    name: str
    blocks: tuple[tuple[tuple[nnx.Variable, Any, float], ...], ...]

    def value(self) -> np.ndarray:
        """Returns the array."""
        return np.block([[_as_matrix(p[...][index]) - offset for p, index, offset in row] for row in self.blocks])

    def fill(self, arrays: Arrays) -> None:
        """Sets our parameters from the array."""
        array = np.asarray(arrays[self.name])
        expected = self.value().shape
        if array.shape != expected:
            raise ValueError(
                f"{self.name!r} has shape {array.shape}, and the other arrays ask for {expected}. Give the whole file "
                "of one model, and its settings."
            )
        top = 0
        for row in self.blocks:
            left, height = 0, _as_matrix(row[0][0][...][row[0][1]]).shape[0]
            for parameter, index, offset in row:
                old = parameter[...][index]
                width = _as_matrix(old).shape[1]
                new = array[top : top + height, left : left + width] + offset
                parameter[...] = parameter[...].at[index].set(jnp.asarray(new.reshape(old.shape)))
                left += width
            top += height


def _as_matrix(values: Any) -> np.ndarray:
    """Vectors are matrices of one row there."""
    return np.atleast_2d(np.asarray(values))


def _slots(model: Any) -> Iterator[_Slot]:
    """Every array of the TensorFlow program, with the parameters of ours that it stands for."""
    readin, decoder = model.readin, model.decoder
    if isinstance(readin, modules.LinearReadin):
        for name, _ in readin.n_channels:
            yield _slot(f"LFADS_x_2_infac_{name}_W", (readin.weight[name], np.s_[:]))
            yield _slot(f"LFADS_x_2_infac_{name}_b", (readin.bias[name], np.s_[:]))
    prior = model.ic_prior
    if isinstance(prior, distributions.GaussianPrior):
        yield from _encoder_slots("ic_enc", model.ic_encoder)
        yield _slot("LFADS_z_prior_g0_mean", (prior.loc, np.s_[:]))
        yield _slot("LFADS_z_prior_g0_logvar", (prior.log_variance, np.s_[:]))
        yield from _posterior_slots("LFADS_z_ic_enc_2_post_g0", model.ic_posterior, prior.dim)
    else:
        yield _slot("LFADS_gen_g0", (prior.value, np.s_[:]))
    if decoder.controller is not None:
        yield from _encoder_slots("ci_enc", model.input_encoder)
        yield _slot("LFADS_z_u_prior_ar1_logevars", (decoder.input_prior.log_variance, np.s_[:]))
        yield _slot("LFADS_z_u_prior_ar1_logatau", (decoder.input_prior.log_tau, np.s_[:]))
        yield _slot("LFADS_con_c0", (decoder.controller.initial, np.s_[:]))
        gru = decoder.controller.gru
        yield from _generator_slots("LFADS_con_GenGRU", gru, [gru.w_known, gru.w_live])
        yield from _posterior_slots("LFADS_con_con_to_post_co", decoder.input_posterior, decoder.input_prior.dim)
    generator = decoder.generator
    if generator.start is not None:
        yield _slot("LFADS_gen_g0_2_gen_ic_W", (generator.start.weight, np.s_[:]))
        yield _slot("LFADS_gen_g0_2_gen_ic_b", (generator.start.bias, np.s_[:]))
    yield from _generator_slots("LFADS_gen_GenGRU", generator.gru, [generator.gru.w_live, generator.gru.w_known])
    yield _slot("LFADS_gen_gen_2_fac_W", (decoder.factor_map.weight, np.s_[:]))
    readout = model.readout[model.input_group]
    names = ("logrates",) if readout.n_params == 1 else ("means", "logvars")
    for session, _ in readout.n_targets:
        for number, name in enumerate(names):
            yield _slot(f"LFADS_glm_fac_2_{name}_{session}_W", (readout.weight[session], np.s_[:, :, number]))
            yield _slot(f"LFADS_glm_fac_2_{name}_{session}_b", (readout.bias[session], np.s_[:, number]))


def _slot(name: str, *row: tuple[nnx.Variable, Any]) -> _Slot:
    return _Slot(f"{name}:0", (tuple((parameter, index, 0.0) for parameter, index in row),))


def _encoder_slots(name: str, encoder: Any) -> Iterator[_Slot]:
    directions = {"fwd": (encoder.forward, encoder.forward_initial)}
    if isinstance(encoder, modules.BidirectionalGRU):
        directions["rev"] = (encoder.backward, encoder.backward_initial)
    for direction, (gru, initial) in directions.items():
        place = f"LFADS_{name}_{direction}"
        keep, reset, new = _gates(gru)
        yield _slot(f"{place}_{name}_t0_{direction}", (initial, np.s_[:]))
        weights = (gru.w_known, gru.w_hidden)
        gates = tuple(tuple((w, np.s_[:, gate], 0.0) for gate in (reset, keep)) for w in weights)
        yield _Slot(f"{place}_GRU_Gates_xh_2_ru_W:0", gates)
        yield _bias_of_gates(f"{place}_GRU_Gates_xh_2_ru_b", gru)
        yield _Slot(f"{place}_GRU_Candidate_xrh_2_c_W:0", tuple(((w, np.s_[:, new], 0.0),) for w in weights))
        yield _slot(f"{place}_GRU_Candidate_xrh_2_c_b", (gru.bias, np.s_[new]))


def _generator_slots(place: str, gru: modules.GRU, inputs: Sequence[nnx.Variable | None]) -> Iterator[_Slot]:
    """A GRU with separate matrices of inputs, in the order in which the program concatenates these, and state."""
    keep, reset, new = _gates(gru)
    given = [w for w in inputs if w is not None]
    if given:
        gates = tuple(tuple((w, np.s_[:, gate], 0.0) for gate in (reset, keep)) for w in given)
        yield _Slot(f"{place}_Gates_x_2_ru_W:0", gates)
        yield _Slot(f"{place}_Candidate_x_2_c_W:0", tuple(((w, np.s_[:, new], 0.0),) for w in given))
    yield _slot(f"{place}_Gates_h_2_ru_W", (gru.w_hidden, np.s_[:, reset]), (gru.w_hidden, np.s_[:, keep]))
    yield _bias_of_gates(f"{place}_Gates_h_2_ru_b", gru)
    yield _slot(f"{place}_Candidate_rh_2_c_W", (gru.w_hidden, np.s_[:, new]))
    yield _slot(f"{place}_Candidate_rh_2_c_b", (gru.bias, np.s_[new]))


def _bias_of_gates(name: str, gru: modules.GRU) -> _Slot:
    """The program adds 1 to the bias of the keep gate (its update gate) at every step."""
    keep, reset, _ = _gates(gru)
    return _Slot(f"{name}:0", (((gru.bias, np.s_[reset], 0.0), (gru.bias, np.s_[keep], 1.0)),))


def _gates(gru: modules.GRU) -> tuple[slice, slice, slice]:
    n = gru.n_hidden
    return slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)


def _posterior_slots(place: str, linear: modules.Linear, dim: int) -> Iterator[_Slot]:
    for name, part in (("mean", slice(0, dim)), ("logvar", slice(dim, 2 * dim))):
        yield _slot(f"{place}_{name}_W", (linear.weight, np.s_[:, part]))
        yield _slot(f"{place}_{name}_b", (linear.bias, np.s_[part]))


def _build(arrays: Arrays, settings: Settings) -> LFADS:
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
    window = int(settings["num_steps_for_gen_ic"])
    model = LFADS(
        _readin(arrays, sizes, rngs),
        ic_encoder,
        ic_prior,
        decoder,
        {INPUT_GROUP: modules.LinearReadout(sizes.factors, sizes.sessions, n_params=likelihood.n_params, rngs=rngs)},
        {INPUT_GROUP: likelihood},
        input_encoder=input_encoder,
        known_inputs_to=known_to,
        ic_window=window if window < 10**6 else 0,  # the program's default is the largest integer
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
    raise ValueError(
        f"The controller sees {width} values of the generator, and there are {factors} factors and {rates} rates. Give "
        "the whole file of one model."
    )


def _readin(arrays: Arrays, sizes: _Sizes, rngs: nnx.Rngs) -> modules.AbstractReadin:
    ins = _by_session(arrays, r"LFADS_x_2_infac_(.+)_W:0")
    if not ins:
        return modules.IdentityReadin(sizes.features)
    channels = tuple((name, arrays[f"LFADS_x_2_infac_{name}_W:0"].shape[0]) for name, _ in sizes.sessions)
    return modules.LinearReadin(channels, sizes.features, rngs=rngs)


def _by_session(arrays: Arrays, pattern: str) -> dict[str, np.ndarray]:
    return {m.group(1): value for name, value in arrays.items() if (m := re.fullmatch(pattern, name))}


def _width(arrays: Arrays, name: str) -> int:
    return arrays[f"{name}:0"].shape[1]


def _set_bounded_variance(model: Any, settings: Settings) -> None:
    """The program keeps theta of v = min + (max - min) / (1 + exp(-exp(theta))), which is always in the upper half."""
    low, high = settings["ic_prior_var_min"], settings["ic_prior_var_max"]
    theta = np.asarray(model.ic_prior.log_variance[...], np.float64)
    model.ic_prior.log_variance[...] = jnp.log(jnp.asarray(low + (high - low) / (1 + np.exp(-np.exp(theta)))))


class _Parameters(dict):
    """Arrays by name; missing ones are explained, and the identity stands in for a read-out that there is not."""

    def __missing__(self, name: str) -> np.ndarray:
        found = re.fullmatch(r"LFADS_glm_fac_2_logrates_(.+)_(W|b):0", name)
        if found and not _by_session(self, r"LFADS_glm_fac_2_(?:logrates|means)_(.+)_W:0"):
            n = self["LFADS_gen_gen_2_fac_W:0"].shape[1]
            return np.eye(n) if found.group(2) == "W" else np.zeros((1, n))
        raise ValueError(
            f"The parameters of the TensorFlow LFADS lack {name!r}; they hold {sorted(self)[:8]} and so on. Give the "
            "whole file of --kind=write_model_params."
        )


def _read(path: str | Path) -> dict[str, np.ndarray]:
    with open_to_read(Path(path)) as file:
        return {name: np.asarray(value[()]) for name, value in file.items() if isinstance(value, h5py.Dataset)}


def _known_settings(settings: str | Path | Settings | None) -> dict[str, Any]:
    if settings is None:
        return {}
    from_file = isinstance(settings, str | Path)
    given = json.loads(Path(settings).read_text()) if from_file else dict(settings)
    if not from_file and (unknown := sorted(set(given) - set(DEFAULTS))):
        raise ValueError(f"The setting {unknown[0]!r} is none of {sorted(DEFAULTS)}. Give one of these flags.")
    return {name: value for name, value in given.items() if name in DEFAULTS}


def _check_is_known(model: LFADS) -> None:
    """Raises ValueError if the TensorFlow LFADS has no such part."""
    decoder = model.decoder
    wanted = {
        "the read-in": (model.readin, (modules.IdentityReadin, modules.LinearReadin)),
        "the prior of the initial condition": (
            model.ic_prior,
            (distributions.GaussianPrior, distributions.PointPrior),
        ),
        "the encoder of the initial condition": (model.ic_encoder, (modules.BidirectionalGRU, modules.NoEncoder)),
        "the generator": (decoder.generator, (modules.GRUGenerator,)),
        "the likelihood": (model.likelihood[model.input_group], (distributions.Poisson, distributions.Gaussian)),
    }
    if decoder.controller is not None:
        wanted |= {
            "the controller": (decoder.controller, (modules.GRUController,)),
            "the controller's encoder": (model.input_encoder, (modules.BidirectionalGRU, modules.CausalGRU)),
            "the prior of the inputs": (decoder.input_prior, (distributions.AutoregressivePrior,)),
        }
    for name, (part, kinds) in wanted.items():
        if type(part) not in kinds:
            what = "none of its own" if part is None else type(part).__name__
            raise ValueError(
                f"{name.capitalize()} of this model is {what}, which the TensorFlow LFADS does not have: there it is "
                f"{' or '.join(kind.__name__ for kind in kinds)}. Write the model with its own names instead."
            )
    if model.standardiser is not None or set(model.readout) != {model.input_group}:
        what = "standardised data" if model.standardiser is not None else f"the target groups {sorted(model.readout)}"
        raise ValueError(
            f"This model has {what}, which the TensorFlow LFADS does not know. Write it with its own names."
        )

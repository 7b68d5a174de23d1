"""The parameters of a model that correspond to each array of the TensorFlow LFADS."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lfadsx import distributions, modules
from lfadsx.errors import LfadsxError


@dataclasses.dataclass(frozen=True)
class Slot:
    """One array of the TensorFlow program, made of blocks: entries of a parameter minus a constant.

    Attributes:
        name: Name of the array.
        blocks: Rows of blocks: a parameter, an index into it and the constant that is subtracted.
    """

    name: str
    blocks: tuple[tuple[tuple[nnx.Variable, Any, float], ...], ...]

    def value(self) -> np.ndarray:
        """Returns the array."""
        return np.block([[_as_matrix(p[...][index]) - offset for p, index, offset in row] for row in self.blocks])

    def fill(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the parameters from the array."""
        array = np.asarray(arrays[self.name])
        expected = self.value().shape
        if array.shape != expected:
            raise LfadsxError(
                f"{self.name!r} must have shape {expected} to fit the other arrays, got {array.shape}. Give the whole "
                "file of one model, and its settings."
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
    """Returns vectors as matrices of one row, as the program has them."""
    return np.atleast_2d(np.asarray(values))


def slots_of(model: Any) -> Iterator[Slot]:
    """Yields every array of the TensorFlow program with its parameters."""
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


def _slot(name: str, *row: tuple[nnx.Variable, Any]) -> Slot:
    return Slot(f"{name}:0", (tuple((parameter, index, 0.0) for parameter, index in row),))


def _encoder_slots(name: str, encoder: Any) -> Iterator[Slot]:
    directions = {"fwd": (encoder.forward, encoder.forward_initial)}
    if isinstance(encoder, modules.BidirectionalGRU):
        directions["rev"] = (encoder.backward, encoder.backward_initial)
    for direction, (gru, initial) in directions.items():
        place = f"LFADS_{name}_{direction}"
        keep, reset, new = _gates(gru)
        yield _slot(f"{place}_{name}_t0_{direction}", (initial, np.s_[:]))
        weights = (gru.w_known, gru.w_hidden)
        gates = tuple(tuple((w, np.s_[:, gate], 0.0) for gate in (reset, keep)) for w in weights)
        yield Slot(f"{place}_GRU_Gates_xh_2_ru_W:0", gates)
        yield _bias_of_gates(f"{place}_GRU_Gates_xh_2_ru_b", gru)
        yield Slot(f"{place}_GRU_Candidate_xrh_2_c_W:0", tuple(((w, np.s_[:, new], 0.0),) for w in weights))
        yield _slot(f"{place}_GRU_Candidate_xrh_2_c_b", (gru.bias, np.s_[new]))


def _generator_slots(place: str, gru: modules.GRU, inputs: Sequence[nnx.Variable | None]) -> Iterator[Slot]:
    """Yields the arrays of a GRU with separate matrices of inputs, in the program's order, and state."""
    keep, reset, new = _gates(gru)
    given = [w for w in inputs if w is not None]
    if given:
        gates = tuple(tuple((w, np.s_[:, gate], 0.0) for gate in (reset, keep)) for w in given)
        yield Slot(f"{place}_Gates_x_2_ru_W:0", gates)
        yield Slot(f"{place}_Candidate_x_2_c_W:0", tuple(((w, np.s_[:, new], 0.0),) for w in given))
    yield _slot(f"{place}_Gates_h_2_ru_W", (gru.w_hidden, np.s_[:, reset]), (gru.w_hidden, np.s_[:, keep]))
    yield _bias_of_gates(f"{place}_Gates_h_2_ru_b", gru)
    yield _slot(f"{place}_Candidate_rh_2_c_W", (gru.w_hidden, np.s_[:, new]))
    yield _slot(f"{place}_Candidate_rh_2_c_b", (gru.bias, np.s_[new]))


def _bias_of_gates(name: str, gru: modules.GRU) -> Slot:
    """Returns the biases; the program adds 1 to the bias of the keep gate (its update gate) at every step."""
    keep, reset, _ = _gates(gru)
    return Slot(f"{name}:0", (((gru.bias, np.s_[reset], 0.0), (gru.bias, np.s_[keep], 1.0)),))


def _gates(gru: modules.GRU) -> tuple[slice, slice, slice]:
    n = gru.n_hidden
    return slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)


def _posterior_slots(place: str, linear: modules.Linear, dim: int) -> Iterator[Slot]:
    for name, part in (("mean", slice(0, dim)), ("logvar", slice(dim, 2 * dim))):
        yield _slot(f"{place}_{name}_W", (linear.weight, np.s_[:, part]))
        yield _slot(f"{place}_{name}_b", (linear.bias, np.s_[part]))

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
    readin, decoder, prior = model.readin, model.decoder, model.ic_prior
    if isinstance(readin, modules.LinearReadin):
        for name, _ in readin.n_channels:
            yield from _affine(f"LFADS_x_2_infac_{name}", readin.weight[name], readin.bias[name])
    if isinstance(prior, distributions.GaussianPrior):
        yield from _encoder_slots("ic_enc", model.ic_encoder)
        yield _slot("LFADS_z_prior_g0_mean", prior.loc)
        yield _slot("LFADS_z_prior_g0_logvar", prior.log_variance)
        yield from _posterior_slots("LFADS_z_ic_enc_2_post_g0", model.ic_posterior, prior.dim)
    else:
        yield _slot("LFADS_gen_g0", prior.value)
    if decoder.controller is not None:
        yield from _encoder_slots("ci_enc", model.input_encoder)
        yield _slot("LFADS_z_u_prior_ar1_logevars", decoder.input_prior.log_variance)
        yield _slot("LFADS_z_u_prior_ar1_logatau", decoder.input_prior.log_tau)
        yield _slot("LFADS_con_c0", decoder.controller.initial)
        gru = decoder.controller.gru
        yield from _generator_slots("LFADS_con_GenGRU", gru, [gru.w_known, gru.w_live])
        yield from _posterior_slots("LFADS_con_con_to_post_co", decoder.input_posterior, decoder.input_prior.dim)
    start, gru = decoder.generator.start, decoder.generator.gru
    if start is not None:
        yield from _affine("LFADS_gen_g0_2_gen_ic", start.weight, start.bias)
    yield from _generator_slots("LFADS_gen_GenGRU", gru, [gru.w_live, gru.w_known])
    yield _slot("LFADS_gen_gen_2_fac_W", decoder.factor_map.weight)
    readout = model.readout[model.input_group]
    names = ("logrates",) if readout.n_params == 1 else ("means", "logvars")
    for session, _ in readout.n_targets:
        for number, name in enumerate(names):
            place, index = f"LFADS_glm_fac_2_{name}_{session}", (..., number)
            yield from _affine(place, readout.weight[session], readout.bias[session], index)


def _slot(name: str, parameter: nnx.Variable, index: Any = ...) -> Slot:
    return Slot(f"{name}:0", (((parameter, index, 0.0),),))


def _affine(name: str, weight: nnx.Variable, bias: nnx.Variable, index: Any = ...) -> Iterator[Slot]:
    yield _slot(f"{name}_W", weight, index)
    yield _slot(f"{name}_b", bias, index)


def _posterior_slots(place: str, linear: modules.Linear, dim: int) -> Iterator[Slot]:
    yield from _affine(f"{place}_mean", linear.weight, linear.bias, np.s_[..., :dim])
    yield from _affine(f"{place}_logvar", linear.weight, linear.bias, np.s_[..., dim : 2 * dim])


def _encoder_slots(name: str, encoder: Any) -> Iterator[Slot]:
    directions = {"fwd": (encoder.forward, encoder.forward_initial)}
    if isinstance(encoder, modules.BidirectionalGRU):
        directions["rev"] = (encoder.backward, encoder.backward_initial)
    for direction, (gru, initial) in directions.items():
        place = f"LFADS_{name}_{direction}"
        yield _slot(f"{place}_{name}_t0_{direction}", initial)
        weights = (gru.w_known, gru.w_hidden)
        yield from _gru_slots(f"{place}_GRU_Gates_xh_2_ru", f"{place}_GRU_Candidate_xrh_2_c", gru, weights)


def _generator_slots(place: str, gru: modules.GRU, inputs: Sequence[nnx.Variable | None]) -> Iterator[Slot]:
    """Yields the arrays of a GRU with separate matrices of inputs, in the program's order, and state."""
    given = [weight for weight in inputs if weight is not None]
    if given:
        yield from _gru_slots(f"{place}_Gates_x_2_ru", f"{place}_Candidate_x_2_c", gru, given, bias=False)
    yield from _gru_slots(f"{place}_Gates_h_2_ru", f"{place}_Candidate_rh_2_c", gru, [gru.w_hidden])


def _gru_slots(
    gates: str, candidate: str, gru: modules.GRU, weights: Sequence[nnx.Variable], bias: bool = True
) -> Iterator[Slot]:
    """Yields weights, one below the other, and biases of a GRU's gates (reset, keep) and of its candidate."""
    keep, reset, new = (np.s_[..., i * gru.n_hidden : (i + 1) * gru.n_hidden] for i in range(3))
    yield Slot(f"{gates}_W:0", tuple(((weight, reset, 0.0), (weight, keep, 0.0)) for weight in weights))
    yield Slot(f"{candidate}_W:0", tuple(((weight, new, 0.0),) for weight in weights))
    if bias:  # the program adds 1 to the bias of the keep gate (its update gate) at every step
        yield Slot(f"{gates}_b:0", (((gru.bias, reset, 0.0), (gru.bias, keep, 1.0)),))
        yield _slot(f"{candidate}_b", gru.bias, new)

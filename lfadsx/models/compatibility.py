"""Checks, before compilation, that the parts of a model fit together and that data fit a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.scored_entries import scored_mask
from lfadsx.data.target_kinds import first_not_count
from lfadsx.errors import LfadsxError
from lfadsx.models.exercises import run_abstractly
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import is_built_in
from lfadsx.modules.readin_readout import AbstractReadout, Sizes
from lfadsx.modules.selective_readout import SelectiveReadout

LARGEST_VALUE, SMALLEST_VALUE = 1e15, 1e-15
"""Bounds of the largest real value of a target group: squares, and their sums, must fit single precision."""


def check_fits(model: LFADS, data: Dataset) -> None:
    """Raises LfadsxError if the data do not fit the model."""
    check_parts(model)
    check_shapes(model, data)
    check_magnitudes(data)
    for group in model.likelihood:
        _check_support(model, data, group)


def check_shapes(model: LFADS, data: Dataset) -> None:
    """Raises LfadsxError if sessions, channels, target groups or known inputs of data and model differ."""
    model.readin.check(n_channels_of(data.sessions))
    if set(model.readout) != set(data.train.targets):
        raise LfadsxError(
            f"The target groups of model and data must be the same, got {sorted(model.readout)} and "
            f"{sorted(data.train.targets)}. Give one read-out and one likelihood for each group of the data; "
            "`data.with_behaviour_target()` makes a group of the behaviour."
        )
    for group, readout in model.readout.items():
        readout.check(n_targets_of(data.sessions, group), group)
    for group, own in (model.seen_groups or {}).items():
        own.readin.check(n_targets_of(data.sessions, group))
    _check_known(model, data)
    _check_own_parts(model, data)


def check_parts(model: LFADS) -> None:
    """Raises LfadsxError if the widths of neighbouring parts differ."""
    for part, name, value, meaning in _widths(model):
        found = getattr(part, name, value)
        if part is not None and found != value:
            kind = type(part).__name__
            raise LfadsxError(
                f"The {kind} must have {name} = {value}, which is {meaning}, but has {found}. Build it with {name} = "
                f"{value}, or pass all your parts to the builder, which sizes the other parts to fit."
            )


def n_channels_of(sessions: tuple[Session, ...]) -> Sizes:
    """Returns the number of encoder channels of each session, as ((name, number), ...)."""
    return tuple((session.name, session.n_channels) for session in sessions)


def n_targets_of(sessions: tuple[Session, ...], group: str) -> Sizes:
    """Returns the number of target channels of each session, as ((name, number), ...)."""
    return tuple((session.name, session.n_targets[group]) for session in sessions)


def n_bias_of(model: LFADS) -> int:
    """Returns the number of constant inputs of a trial; the generator has them among its known inputs."""
    return 0 if model.bias_prior is None else model.bias_prior.dim


def _widths(model: LFADS) -> Iterator[tuple[object, str, int, str]]:
    """Yields (part, name of a width, value that its neighbour needs, meaning of that value).

    Only parts that have an attribute of this name are checked.
    """
    decoder, prior = model.decoder, model.decoder.input_prior
    ends, n_features = "the width of the ends of the initial condition's encoder", model.n_features
    generator, controller, seen = decoder.generator, decoder.controller, model.input_encoder or model.ic_encoder
    yield decoder.factor_map, "n_in", generator.n_state, f"the state of the {type(generator).__name__}"
    of_ic, of_bias = (model.ic_prior, model.ic_posterior), (model.bias_prior, model.bias_posterior)
    for name, (own, posterior) in {"initial condition": of_ic, "bias": of_bias}.items():
        if own is not None:
            yield posterior, "n_in", model.ic_encoder.n_ends, ends
            yield own if posterior is None else None, "n_params", 0, "the number for a model without posterior"
            meaning = f"the number of parameters of the {name}'s {type(own).__name__}"
            yield posterior, "n_out", own.n_params, meaning
    yield generator, "n_ic", model.ic_prior.dim, "the dimension of the initial condition's prior"
    yield generator, "n_inferred_inputs", 0 if prior is None else prior.dim, "the dimension of the inputs' prior"
    if model.known_inputs_to != "generator":
        yield generator, "n_known_inputs", n_bias_of(model), "the dimension of the bias"
    if controller is not None and prior is not None:
        state = f"the state of the {type(controller).__name__}"
        yield decoder.input_posterior, "n_in", controller.n_state, state
        meaning = f"the number of parameters of the inputs' {type(prior).__name__}"
        yield decoder.input_posterior, "n_out", prior.n_params, meaning
        yield controller, "n_encoding", seen.n_states, "the width of its encoder's states"
        yield controller, "n_feedback", decoder.n_feedback, f"the width of the feedback, {decoder.feedback!r}"
    if model.known_inputs_to != "encoders":
        for encoder in (model.ic_encoder, model.input_encoder):
            yield encoder, "n_in", n_features, f"the number of features of the {type(model.readin).__name__}"
    for group, readout in model.readout.items():
        likelihood = model.likelihood[group]
        yield readout, "n_factors", decoder.n_factors, "the decoder's number of factors"
        readout, n_factors = _reading(readout, decoder.n_factors)
        yield readout, "n_factors", n_factors, f"the number of factors that {group!r} is read from"
        meaning = f"the number of parameters of the {type(likelihood).__name__} likelihood of {group!r}"
        yield readout, "n_params", likelihood.n_params, meaning


def _reading(readout: AbstractReadout, n_factors: int) -> tuple[AbstractReadout, int]:
    """Returns the read-out proper and its number of factors, also if it reads only some of them."""
    if not isinstance(readout, SelectiveReadout):
        return readout, n_factors
    first, end = readout.factors
    return readout.readout, end - first


def _check_known(model: LFADS, data: Dataset) -> None:
    wanted = model.known_inputs_to
    if wanted != "none" and data.n_known_inputs == 0:
        raise LfadsxError(
            f"The data must have known inputs for the model's {wanted}, got none. Give them as known_inputs (trial, "
            "bin, input), or build a model without known inputs."
        )
    width = n_known_of(model)
    if wanted != "none" and width is not None and width != data.n_known_inputs:
        raise LfadsxError(
            f"The data must have {width} known inputs for the model's {wanted}, got {data.n_known_inputs}. Build a "
            "model for these data."
        )


def n_known_of(model: LFADS) -> int | None:
    """Returns the model's number of known inputs, or None if the user's own part does not record it."""
    if model.known_inputs_to == "generator":
        width = getattr(model.decoder.generator, "n_known_inputs", None)
        return None if width is None else width - n_bias_of(model)
    n_in = getattr(model.ic_encoder, "n_in", None) or getattr(model.input_encoder, "n_in", None)
    return None if n_in is None else n_in - model.n_features


def _check_own_parts(model: LFADS, data: Dataset) -> None:
    """Runs the user's own parts on abstract arrays, so that an error names the part whose shape is wrong."""
    decoder, prior, group = model.decoder, model.decoder.input_prior, data.input_group
    n_known = data.n_known_inputs
    n_in = model.n_features + (n_known if model.known_inputs_to == "encoders" else 0)
    widths = {"n_channels": n_channels_of(data.sessions), "n_in": n_in, "n_factors": decoder.n_factors}
    widths |= {"n_ic": model.ic_prior.dim, "n_inferred_inputs": 0 if prior is None else prior.dim}
    widths["n_known_inputs"] = (n_known if model.known_inputs_to == "generator" else 0) + n_bias_of(model)
    widths |= {"n_encoding": (model.input_encoder or model.ic_encoder).n_states, "n_feedback": decoder.n_feedback}
    parts = {"readin": model.readin, "ic_encoder": model.ic_encoder, "input_encoder": model.input_encoder}
    parts |= {"controller": decoder.controller, "generator": decoder.generator}
    parts |= {"ic_prior": model.ic_prior, "bias_prior": model.bias_prior, "input_prior": prior}
    for seam, part in parts.items():
        if part is not None and not is_built_in(part):
            run_abstractly(seam, part, widths)
    for group, readout in model.readout.items():
        readout, n_factors = _reading(readout, decoder.n_factors)
        likelihood = model.likelihood[group]
        of_group = widths | {"n_targets": n_targets_of(data.sessions, group), "n_params": likelihood.n_params}
        of_group["n_factors"] = n_factors
        for seam, part in {"readout": readout, "likelihood": likelihood}.items():
            if not is_built_in(part):
                run_abstractly(seam, part, of_group)


def check_magnitudes(data: Dataset) -> None:
    """Raises LfadsxError if real values are too large to train on, or all too small."""
    for group in (name for name, about in data.groups.items() if about.kind == "real"):
        largest = 0.0
        for name, split in data.splits.items():
            values = split.targets[group]
            own = max(float(values.max(initial=0)), -float(values.min(initial=0)))
            largest = max(largest, own)
            if own > LARGEST_VALUE:
                found = _first(data, split, group, np.abs(values) > LARGEST_VALUE)
                raise LfadsxError(
                    f"The {name} data of {group!r} must be at most {LARGEST_VALUE:g} in size, got {found}. Give the "
                    "data in another unit, or mark a fill value as missing (a mask, or NaN with --missing, "
                    "`missing=True`)."
                )
        if 0 < largest < SMALLEST_VALUE:
            raise LfadsxError(
                f"The largest value of {group!r} must be at least {SMALLEST_VALUE:g} in size, got {largest:g}. Give "
                "the data in another unit, such as pA for A."
            )


def _check_support(model: LFADS, data: Dataset, group: str) -> None:
    """Raises LfadsxError for real-valued data with a likelihood of counts, and for values outside of the support."""
    likelihood = model.likelihood[group]
    name = type(likelihood).__name__
    if likelihood.support != "counts" or data.is_counts(group):
        for split_name, split in data.splits.items():
            inside = likelihood.inside(split.targets[group])
            if not np.all(inside) and (outside := ~np.asarray(inside) & scored_mask(split, data, group)).any():
                raise LfadsxError(
                    f"The {split_name} data of {group!r} must be {likelihood.domain} for the likelihood {name}, got "
                    f"{_first(data, split, group, outside)}. {likelihood.remedy}"
                )
        return
    found = first_not_count(data, group)
    if found is None:
        raise LfadsxError(
            f"The data of {group!r} must be counts for the likelihood {name}, but were read as real numbers. Read them "
            'as counts (kind="counts"), or use --likelihood gaussian_by_channel.'
        )
    split, value, place = found
    raise LfadsxError(
        f"The {split} data of {group!r} must be counts for the likelihood {name}, got {value:g} at {place}. Give "
        "integers of at least 0, or use --likelihood gaussian_by_channel."
    )


def _first(data: Dataset, split: Split, group: str, mask: np.ndarray) -> str:
    """Returns number, value and place of the first entries of a mask, in words."""
    trial, time, channel = (int(i) for i in np.argwhere(mask)[0])
    session, value = data.sessions[split.session[trial]], split.targets[group][trial, time, channel]
    others = f", the first of {n} such values" if (n := int(mask.sum())) > 1 else ""
    return (
        f"{value:g} in session {session.name!r}, trial {split.trial_id[trial]}, bin {time}, channel "
        f"{session.names(group)[channel]}{others}"
    )

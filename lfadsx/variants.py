"""Builders of the usual models, and the table by which a saved model is built again."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from flax import nnx

from lfadsx import distributions, modules
from lfadsx.config import ModelConfig
from lfadsx.model import LFADS
from lfadsx.starts import (
    check_features,
    n_components_of,
    smallest_variance,
    standardise,
    start_at_mean_rates,
    start_from_alignment,
)
from lfadsx.types import Dataset, Session

PARTS: dict[str, type[nnx.Module]] = {
    part.__name__: part
    for part in (
        LFADS,
        modules.Decoder,
        modules.IdentityReadin,
        modules.LinearReadin,
        modules.LinearReadout,
        modules.Standardiser,
        modules.BidirectionalGRU,
        modules.CausalGRU,
        modules.GRUController,
        modules.GRUGenerator,
        distributions.GaussianPrior,
        distributions.AutoregressivePrior,
        distributions.StudentTPrior,
        distributions.Poisson,
        distributions.Gaussian,
    )
}
"""The built-in parts by name. A saved model names them; nothing else is ever looked up or imported."""


def autonomous(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds an LFADS without controller: each trial follows from its initial condition.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.data.chaotic_rnn(conditions=4, duration=0.2, input_magnitude=0.0)
        >>> model = lfadsx.autonomous(data, factors=8, rngs=nnx.Rngs(0))

    Args:
        data: Gives the sessions and, from its training trials, where the read-out starts. A linear read-in has
            the width of the sessions' alignment and starts from it, if they have one (`start_from_alignment`).
        config: Sizes and names of parts.
        rngs: Source of the initial weights.
        **changes: Fields of `ModelConfig` to change.

    Raises:
        ValueError: If `readin_dim` is below the number of the sessions' aligned components.
        TypeError: If a name in `changes` is no field of `ModelConfig`.
    """
    return build(data, config, rngs=rngs, **changes, variant="autonomous")


def inferred_input(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds an LFADS whose controller infers inputs to the generator.

    Args:
        data: Gives the sessions and, from its training trials, where the read-out starts.
        config: Sizes and names of parts.
        rngs: Source of the initial weights.
        **changes: Fields of `ModelConfig` to change.

    Raises:
        ValueError: If `inferred_inputs` is 0.
        TypeError: If a name in `changes` is no field of `ModelConfig`.
    """
    return build(data, config, rngs=rngs, **changes, variant="inferred_input")


def external_input(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds an LFADS with known inputs; they drive the generator or inform the encoders.

    With `inferred_inputs=0` there is no controller.

    Args:
        data: Gives sessions, known inputs and, from its training trials, where the read-out starts.
        config: Sizes and names of parts.
        rngs: Source of the initial weights.
        **changes: Fields of `ModelConfig` to change.

    Raises:
        ValueError: If the data have no known inputs.
        TypeError: If a name in `changes` is no field of `ModelConfig`.
    """
    return build(data, config, rngs=rngs, **changes, variant="external_input")


def build(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds the variant that the configuration names; see `autonomous` for the arguments."""
    config = dataclasses.replace(config or ModelConfig(), **changes)
    _check_variant(config, data)
    n_known = data.n_known_inputs if config.variant == "external_input" else 0
    n_inferred = 0 if config.variant == "autonomous" else config.inferred_inputs
    to_generator = n_known if config.known_inputs_to == "generator" else 0

    readin = _readin(config, data.sessions, rngs)
    n_sequence = readin.n_features + n_known - to_generator
    ic_encoder, input_encoder = _encoders(config, n_sequence, n_inferred > 0, rngs)
    likelihood = _likelihood(config, data)
    standardised = config.standardise and not likelihood.counts
    gru: dict[str, Any] = dict(clip=config.cell_clip, keep_bias=config.keep_bias, reset_bias=config.reset_bias)
    generator = modules.GRUGenerator(config.ic_dim, to_generator, n_inferred, config.generator_dim, **gru, rngs=rngs)
    controller = None
    if n_inferred:
        n_encoding = (input_encoder or ic_encoder).n_states
        n_feedback = config.factors if config.feedback == "factors" else 0
        controller = modules.GRUController(n_encoding, n_feedback, config.controller_dim, **gru, rngs=rngs)
    decoder = modules.Decoder(
        generator,
        config.factors,
        controller=controller,
        input_prior=_input_prior(config, n_inferred) if n_inferred else None,
        feedback=config.feedback,
        initial_feedback=config.initial_feedback,
        rngs=rngs,
    )
    group = data.input_group
    readout = modules.LinearReadout(
        config.factors,
        tuple((session.name, session.n_targets[group]) for session in data.sessions),
        n_params=likelihood.n_params,
        scale=config.readout_scale,
        units=standardised,
        rngs=rngs,
    )
    model = LFADS(
        readin,
        ic_encoder,
        distributions.GaussianPrior(
            config.ic_dim, variance=config.ic_prior_variance, post_var_min=config.ic_post_var_min
        ),
        decoder,
        {group: readout},
        {group: likelihood},
        standardiser=modules.Standardiser(_n_channels(data.sessions)) if standardised else None,
        input_encoder=input_encoder,
        known_inputs_to=config.known_inputs_to if n_known else "none",
        ic_window=config.ic_window,
        controller_sees_ic_window=config.controller_sees_ic_window,
        input_group=group,
        rngs=rngs,
    )
    standardise(model, data)
    start_at_mean_rates(model, data)
    if any(session.n_components for session in data.sessions) and isinstance(readin, modules.LinearReadin):
        start_from_alignment(model, data)
    return model


def describe(part: nnx.Module) -> dict[str, Any]:
    """Returns what is needed to build a part again: its class and its constructor's arguments.

    Parts keep every constructor argument as an attribute of the same name, so that this needs no bookkeeping.

    Args:
        part: A part, a user's own included; `rebuild` knows the built-in ones only.
    """
    name = type(part).__name__
    parameters = inspect.signature(type(part).__init__).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [p.name for p in parameters if p.name not in ("self", "rngs") and p.kind not in variadic]
    for argument in names:
        if not hasattr(part, argument):
            raise TypeError(
                f"The part {name} does not keep its constructor's argument {argument!r}. Keep each argument as an "
                "attribute of the same name; saved models are described by them."
            )
    return {"part": name, "arguments": {n: _describe(getattr(part, n), f"{name}.{n}") for n in names}}


def rebuild(description: Mapping[str, Any], *, rngs: nnx.Rngs) -> Any:
    """Builds a part from what `describe` returned, with fresh weights.

    Args:
        description: What `describe` returned, also after a way through JSON.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If a part is not a built-in one.
    """
    name = description["part"]
    if name not in PARTS:
        raise ValueError(
            f"The saved model has a part {name!r}, which is none of the built-in parts {sorted(PARTS)}. Load it "
            "with load(run, build=...), giving a function that builds your model."
        )
    arguments = {key: _rebuild(value, rngs) for key, value in description["arguments"].items()}
    if "rngs" in inspect.signature(PARTS[name].__init__).parameters:
        arguments["rngs"] = rngs
    return PARTS[name](**arguments)


def _describe(value: Any, name: str) -> Any:
    if isinstance(value, nnx.Dict):
        return {"group": {key: _describe(item, name) for key, item in value.items()}}
    if isinstance(value, nnx.Module):
        return describe(value)
    if isinstance(value, tuple):
        return tuple(_describe(item, name) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"The argument {name} of a part is a {type(value).__name__}, which no saved model can describe. Give numbers, "
        "strings, bools, tuples of these, or parts."
    )


def _rebuild(value: Any, rngs: nnx.Rngs) -> Any:
    if isinstance(value, dict) and "part" in value:
        return rebuild(value, rngs=rngs)
    if isinstance(value, dict) and "group" in value:
        return {key: _rebuild(item, rngs) for key, item in value["group"].items()}
    if isinstance(value, list):  # JSON has no tuples
        return tuple(_rebuild(item, rngs) for item in value)
    return value


def _check_variant(config: ModelConfig, data: Dataset) -> None:
    if config.variant == "inferred_input" and config.inferred_inputs == 0:
        raise ValueError(
            "The variant 'inferred_input' has inferred_inputs = 0. Give at least 1, or use the variant 'autonomous'."
        )
    if config.variant == "external_input" and data.n_known_inputs == 0:
        raise ValueError(
            "The variant 'external_input' needs known inputs, but the data have none. Give them as "
            "train_ext_input (trials, bins, inputs) and so on, or use another variant."
        )
    if config.readin == "identity" and len(data.sessions) > 1:
        raise ValueError(
            f"readin = 'identity' passes the neurons of one session on, but there are {len(data.sessions)} "
            "sessions. Use readin = 'linear'."
        )
    if config.ic_window >= data.train.encoder_input.shape[1]:
        raise ValueError(
            f"ic_window = {config.ic_window} leaves nothing of {data.train.encoder_input.shape[1]} bins. "
            "Give fewer bins, or 0 for the whole trial."
        )


def _readin(config: ModelConfig, sessions: tuple[Session, ...], rngs: nnx.Rngs) -> modules.AbstractReadin:
    if config.readin == "identity" or (config.readin == "auto" and len(sessions) == 1):
        return modules.IdentityReadin(sessions[0].n_channels)
    n_components = n_components_of(sessions)
    n_features = config.readin_dim or max(n_components, config.factors)
    check_features(n_features, n_components)  # before any other part is made in a width that does not fit
    return modules.LinearReadin(_n_channels(sessions), n_features, rngs=rngs)


def _n_channels(sessions: tuple[Session, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((session.name, session.n_channels) for session in sessions)


def _encoders(
    config: ModelConfig, n_in: int, has_controller: bool, rngs: nnx.Rngs
) -> tuple[modules.AbstractEncoder, modules.AbstractEncoder | None]:
    gru: dict[str, Any] = dict(clip=config.cell_clip, keep_bias=config.keep_bias, reset_bias=config.reset_bias)
    seen = modules.BidirectionalGRU if config.encoder == "bidirectional" else modules.CausalGRU
    if not has_controller:
        return modules.BidirectionalGRU(n_in, config.ic_encoder_dim, **gru, rngs=rngs), None
    if config.input_encoder_dim == 0:
        shared = seen(n_in, config.ic_encoder_dim, lag=config.controller_lag, **gru, rngs=rngs)
        return shared, None
    ic_encoder = modules.BidirectionalGRU(n_in, config.ic_encoder_dim, **gru, rngs=rngs)
    return ic_encoder, seen(n_in, config.input_encoder_dim, lag=config.controller_lag, **gru, rngs=rngs)


def _likelihood(config: ModelConfig, data: Dataset) -> distributions.AbstractLikelihood:
    if config.likelihood == "poisson":
        return distributions.Poisson()
    # A floor of the variance that is nothing beside the data, whatever their unit.
    return distributions.Gaussian(variance_min=1e-6 * smallest_variance(data))


def _input_prior(config: ModelConfig, n_inferred: int) -> distributions.AbstractPrior:
    variance, floor = config.input_prior_variance, config.co_post_var_min
    if config.input_prior == "gaussian":
        return distributions.GaussianPrior(n_inferred, variance=variance, train_variance=True, post_var_min=floor)
    if config.input_prior == "student_t":
        df, scale = config.input_prior_df, variance**0.5
        return distributions.StudentTPrior(n_inferred, df=df, scale=scale, post_var_min=floor)
    return distributions.AutoregressivePrior(
        n_inferred, tau=config.input_prior_tau, variance=variance, post_var_min=floor
    )

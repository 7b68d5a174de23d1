"""Builders of the usual models."""

from __future__ import annotations

import dataclasses
from typing import Any

from flax import nnx

from lfadsx import distributions, modules
from lfadsx.config import ModelConfig
from lfadsx.data.dataset import Dataset, Session
from lfadsx.errors import LfadsxError
from lfadsx.models.initialization import (
    check_features,
    n_components_of,
    smallest_variance,
    standardise,
    start_at_mean_rates,
    start_from_alignment,
)
from lfadsx.models.lfads import LFADS


def autonomous(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds an LFADS without controller: each trial follows from its initial condition.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.2, input_magnitude=0.0)
        >>> model = lfadsx.autonomous(data, factors=8, rngs=nnx.Rngs(0))

    Args:
        data: Gives the sessions and, from its training trials, where the read-out starts. A linear read-in has
            the width of the sessions' alignment and starts from it, if they have one (`start_from_alignment`).
        config: Sizes and names of parts.
        rngs: Source of the initial weights.
        **changes: Fields of `ModelConfig` to change.

    Raises:
        LfadsxError: If `readin_dim` is below the number of the sessions' aligned components.
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
        LfadsxError: If `inferred_inputs` is 0.
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
        LfadsxError: If the data have no known inputs.
        TypeError: If a name in `changes` is no field of `ModelConfig`.
    """
    return build(data, config, rngs=rngs, **changes, variant="external_input")


def build(data: Dataset, config: ModelConfig | None = None, *, rngs: nnx.Rngs, **changes: Any) -> LFADS:
    """Builds the variant that the configuration names; see `autonomous` for the arguments."""
    config = dataclasses.replace(config or ModelConfig(), **changes)
    _check_variant(config, data)
    n_known = data.n_known_inputs if config.variant == "external_input" else 0
    to_generator = n_known if config.known_inputs_to == "generator" else 0

    readin = _readin(config, data.sessions, rngs)
    n_sequence = readin.n_features + n_known - to_generator
    ic_encoder, input_encoder = _encoders(config, n_sequence, rngs)
    likelihood = _likelihood(config, data)
    standardised = config.standardise and not likelihood.counts
    group, ic_prior = data.input_group, _ic_prior(config)
    decoder = _decoder(config, data, ic_prior.dim, to_generator, (input_encoder or ic_encoder).n_states, rngs)
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
        ic_prior,
        decoder,
        {group: readout},
        {group: likelihood},
        standardiser=modules.Standardiser(_n_channels(data.sessions)) if standardised else None,
        input_encoder=input_encoder,
        known_inputs_to=config.known_inputs_to if n_known else "none",
        ic_window=config.ic_window,
        controller_sees_ic_window=config.controller_sees_ic_window,
        input_group=group,
        adjoint=config.adjoint,
        rngs=rngs,
    )
    standardise(model, data)
    start_at_mean_rates(model, data)
    if any(session.n_components for session in data.sessions) and isinstance(readin, modules.LinearReadin):
        start_from_alignment(model, data)
    return model


def _check_variant(config: ModelConfig, data: Dataset) -> None:
    if config.variant == "inferred_input" and config.inferred_inputs == 0:
        raise LfadsxError(
            "The variant 'inferred_input' has inferred_inputs = 0. Give at least 1, or use the variant 'autonomous'."
        )
    if config.variant == "external_input" and data.n_known_inputs == 0:
        raise LfadsxError(
            "The variant 'external_input' needs known inputs, but the data have none. Give them as "
            "train_ext_input (trials, bins, inputs) and so on, or use another variant."
        )
    if config.readin == "identity" and len(data.sessions) > 1:
        raise LfadsxError(
            f"readin = 'identity' passes the neurons of one session on, but there are {len(data.sessions)} "
            "sessions. Use readin = 'linear'."
        )
    if config.feedback == "rates" and len(data.sessions) > 1:
        raise LfadsxError(
            f"feedback = 'rates' shows the controller the neurons of one session, but there are {len(data.sessions)} "
            "sessions. Use feedback = 'factors'."
        )
    if config.strictly_causal:
        _check_causal(config)
    if config.ic_window >= data.train.encoder_input.shape[1]:
        raise LfadsxError(
            f"ic_window = {config.ic_window} leaves nothing of {data.train.encoder_input.shape[1]} bins. "
            "Give fewer bins, or 0 for the whole trial."
        )


def _check_causal(config: ModelConfig) -> None:
    if _n_inferred(config) and config.encoder != "causal":
        raise LfadsxError(
            f"strictly_causal is asked for, and encoder = {config.encoder!r} runs backward over the trial, so that the "
            "controller sees data after the current bin. Use encoder = 'causal'."
        )
    if config.ic_dim and not config.ic_window:
        raise LfadsxError(
            f"strictly_causal is asked for, and the initial condition (ic_dim = {config.ic_dim}) is inferred from the "
            "whole trial. Give ic_window, its bins from the start, or ic_dim = 0."
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


def _n_inferred(config: ModelConfig) -> int:
    return 0 if config.variant == "autonomous" else config.inferred_inputs


def _encoders(
    config: ModelConfig, n_in: int, rngs: nnx.Rngs
) -> tuple[modules.AbstractEncoder, modules.AbstractEncoder | None]:
    gru: dict[str, Any] = _gates(config) | {"weight_scale": config.cell_weight_scale, "rngs": rngs}
    gru["segment_bins"] = config.segment_bins
    seen = modules.BidirectionalGRU if config.encoder == "bidirectional" else modules.CausalGRU
    has_controller = _n_inferred(config) > 0
    if has_controller and config.input_encoder_dim == 0:
        return seen(n_in, config.ic_encoder_dim, lag=config.controller_lag, **gru), None
    ic_encoder = modules.BidirectionalGRU(n_in, config.ic_encoder_dim, **gru) if config.ic_dim else modules.NoEncoder()
    if not has_controller:
        return ic_encoder, None
    return ic_encoder, seen(n_in, config.input_encoder_dim, lag=config.controller_lag, **gru)


def _decoder(
    config: ModelConfig, data: Dataset, n_ic: int, n_driving: int, n_encoding: int, rngs: nnx.Rngs
) -> modules.Decoder:
    """Generator and, where inputs are inferred, controller, which sees an encoding and what is fed back."""
    n_inferred = _n_inferred(config)
    generator = modules.GRUGenerator(
        n_ic,
        n_driving,
        n_inferred,
        config.generator_dim,
        initial=config.initial_state if config.ic_dim else "identity",
        **_gates(config),
        input_scale=config.generator_input_scale,
        recurrent_scale=config.generator_recurrent_scale,
        rngs=rngs,
    )
    n_rates = data.sessions[0].n_targets[data.input_group] if config.feedback == "rates" else 0
    controller, input_prior = None, None
    if n_inferred:
        controller = modules.GRUController(
            n_encoding,
            {"factors": config.factors, "rates": n_rates, "none": 0}[config.feedback],
            config.controller_dim,
            **_gates(config),
            weight_scale=config.cell_weight_scale,
            rngs=rngs,
        )
        input_prior = _input_prior(config, n_inferred, data.bin_width)
    return modules.Decoder(
        generator,
        config.factors,
        controller=controller,
        input_prior=input_prior,
        feedback=config.feedback,
        initial_feedback=config.initial_feedback,
        n_rates=n_rates,
        segment_bins=config.segment_bins,
        rngs=rngs,
    )


def _gates(config: ModelConfig) -> dict[str, Any]:
    """Settings that all recurrent parts share."""
    return {"clip": config.cell_clip, "keep_bias": config.keep_bias, "reset_bias": config.reset_bias}


def _ic_prior(config: ModelConfig) -> distributions.AbstractPrior:
    if config.ic_dim == 0:
        return distributions.PointPrior(config.generator_dim)
    low, high = config.ic_prior_variance_min, config.ic_prior_variance_max
    return distributions.GaussianPrior(
        config.ic_dim,
        variance=config.ic_prior_variance,
        train_variance=high > low,
        variance_bounds=(low, high) if high > low else None,
        post_var_min=config.ic_post_var_min,
    )


def _likelihood(config: ModelConfig, data: Dataset) -> distributions.AbstractLikelihood:
    if config.likelihood == "poisson":
        return distributions.Poisson()
    # A floor of the variance that is nothing beside the data, whatever their unit.
    return distributions.Gaussian(variance_min=1e-6 * smallest_variance(data))


def _input_prior(config: ModelConfig, n_inferred: int, bin_width: float | None) -> distributions.AbstractPrior:
    variance, trained = config.input_prior_variance, config.train_input_prior_variance
    shared: dict[str, Any] = dict(
        mean=config.input_prior_mean, train_mean=config.train_input_prior_mean, post_var_min=config.co_post_var_min
    )
    if config.input_prior == "gaussian":
        return distributions.GaussianPrior(n_inferred, variance=variance, train_variance=trained, **shared)
    if config.input_prior == "student_t":
        df, scale = config.input_prior_df, variance**0.5
        return distributions.StudentTPrior(
            n_inferred, df=df, scale=scale, train_df=trained, train_scale=trained, **shared
        )
    return distributions.AutoregressivePrior(
        n_inferred,
        tau=_in_bins(config, bin_width),
        variance=variance,
        train_tau=config.train_input_prior_tau,
        train_variance=trained,
        **shared,
    )


def _in_bins(config: ModelConfig, bin_width: float | None) -> float:
    """Returns the time constant of the AR(1) prior in bins."""
    if not config.input_prior_tau_s:
        return config.input_prior_tau
    if bin_width is None:
        raise LfadsxError(
            f"input_prior_tau_s = {config.input_prior_tau_s} is in seconds, but the bin width of the data is not "
            "known. Give the bin width, or input_prior_tau in bins."
        )
    return config.input_prior_tau_s / bin_width

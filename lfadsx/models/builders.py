"""Builders of the usual models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

from flax import nnx

from lfadsx import distributions, modules
from lfadsx.aliases import without_aliases
from lfadsx.config import ModelConfig
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError, nearest
from lfadsx.models.compatibility import check_magnitudes, check_parts, check_shapes, n_channels_of, n_targets_of
from lfadsx.models.initialization import (
    TrainingSums,
    check_features,
    initialise_from,
    n_components_of,
)
from lfadsx.models.lfads import LFADS
from lfadsx.models.named_parts import (
    bias_prior_of,
    gates_of,
    generator_of,
    ic_dim_of,
    ic_prior_of,
    input_prior_of,
)
from lfadsx.models.readout_settings import delays_of, factors_of
from lfadsx.models.seams import SEAMS, Part, arguments, make
from lfadsx.settings import BuildSettings, VariantSettings
from lfadsx.settings_for_data import suited_inputs


def autonomous(
    data: Dataset,
    config: ModelConfig | None = None,
    *,
    seed: int = 0,
    rngs: nnx.Rngs | None = None,
    **parts: Unpack[VariantSettings],
) -> LFADS:
    """Builds an LFADS without controller: the initial condition determines each trial.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.2, input_magnitude=0.0)
        >>> model = lfadsx.autonomous(data, factors=8, likelihood=lfadsx.distributions.Gaussian())

    Args:
        data: Data set; its sessions set the sizes and its training trials the initial values (`lfadsx.initialise`).
        config: Sizes and names of parts.
        seed: Seed of the initial weights.
        rngs: Source of the initial weights; replaces `seed`.
        **parts: Fields of `ModelConfig` by name, and your own parts by the name of their seam; see `build`.

    Raises:
        LfadsxError: If a name is unknown, a setting is out of range, or parts and data do not fit together.
    """
    return build(data, config, seed=seed, rngs=rngs, **parts, variant="autonomous")


def inferred_input(
    data: Dataset,
    config: ModelConfig | None = None,
    *,
    seed: int = 0,
    rngs: nnx.Rngs | None = None,
    **parts: Unpack[VariantSettings],
) -> LFADS:
    """Builds an LFADS whose controller infers inputs to the generator; arguments and errors as in `autonomous`."""
    return build(data, config, seed=seed, rngs=rngs, **parts, variant="inferred_input")


def external_input(
    data: Dataset,
    config: ModelConfig | None = None,
    *,
    seed: int = 0,
    rngs: nnx.Rngs | None = None,
    **parts: Unpack[VariantSettings],
) -> LFADS:
    """Builds an LFADS with known inputs; they drive the generator or inform the encoders.

    With `inferred_inputs=0` the model has no controller. Arguments and errors are as in `autonomous`.
    """
    return build(data, config, seed=seed, rngs=rngs, **parts, variant="external_input")


def build(
    data: Dataset,
    config: ModelConfig | None = None,
    *,
    seed: int = 0,
    rngs: nnx.Rngs | None = None,
    **parts: Unpack[BuildSettings],
) -> LFADS:
    """Builds the variant of the configuration from built-in parts and your own parts.

    Pass your own part by the name of its seam: `readin`, `readout`, `ic_encoder`, `input_encoder`,
    `controller`, `generator`, `ic_prior`, `bias_prior`, `input_prior` or `likelihood`. An instance is used as it is,
    and its neighbours are built to fit. A class is called with the arguments of the seam that its constructor takes;
    the docstring of the seam's abstract class lists them. Your own read-out or likelihood applies to the encoders'
    target group; pass a dictionary to set it by group.

    Example:
        >>> import lfadsx
        >>> class Slow(lfadsx.modules.GRUGenerator):
        ...     def step(self, state, projected_t, live_t):
        ...         return 0.9 * state + 0.1 * super().step(state, projected_t, live_t)
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> model = lfadsx.build(data, generator=Slow, generator_dim=8, input_prior="student_t")
        >>> model.decoder.generator.n_units
        8

    Args:
        data: Data set; its sessions set the sizes and its training trials the initial values (`lfadsx.initialise`).
        config: Sizes and names of parts.
        seed: Seed of the initial weights.
        rngs: Source of the initial weights; replaces `seed`.
        **parts: Fields of `ModelConfig` by name, and your own parts by the name of their seam.

    Raises:
        LfadsxError: If a name is unknown, a setting is out of range, or parts and data do not fit together.
        PartError: If your own part raises an exception for arrays of its widths.
    """
    config, own = _settings(config or ModelConfig(), parts)
    if config.inferred_inputs is None:
        config = dataclasses.replace(config, inferred_inputs=suited_inputs(data))
    _check_variant(config, data, own)
    check_magnitudes(data)
    plan = _Plan(config, data, own, nnx.Rngs(seed) if rngs is None else rngs)
    sums, group, sizes = TrainingSums(data), data.input_group, n_channels_of(data.sessions)
    n_known = data.n_known_inputs if config.variant == "external_input" else 0
    to_generator = n_known if config.known_inputs_to == "generator" else 0

    readin = plan.readin()
    chosen = likelihoods(config, sums, own.get("likelihood"))
    likelihood = {name: make("likelihood", part, rngs=plan.rngs) for name, part in chosen.items()}
    seen = {name: plan.seen_group(name, likelihood[name]) for name in _encoder_groups(config, data)[1:]}
    n_features = readin.n_features + sum(own.readin.n_features for own in seen.values())
    ic_encoder, input_encoder = plan.encoders(n_features + n_known - to_generator)
    ic_prior = plan.part("ic_prior", ic_prior_of(config), dim=ic_dim_of(config) or config.generator_dim)
    bias_prior = plan.part("bias_prior", bias_prior_of(config), dim=config.bias_dim) if config.bias_dim else None
    n_driving = to_generator + (0 if bias_prior is None else bias_prior.dim)
    decoder = plan.decoder(ic_prior.dim, n_driving, (input_encoder or ic_encoder).n_states)
    readout = {name: plan.readout(name, likelihood[name]) for name in likelihood}
    model = LFADS(
        readin,
        ic_encoder,
        ic_prior,
        decoder,
        readout,
        likelihood,
        standardiser=modules.Standardiser(sizes) if plan.has_units(group, likelihood[group]) else None,
        input_encoder=input_encoder,
        bias_prior=bias_prior,
        known_inputs_to=config.known_inputs_to if n_known else "none",
        ic_window=config.ic_window,
        controller_sees_ic_window=config.controller_sees_ic_window,
        input_group=group,
        seen_groups=seen or None,
        adjoint=config.adjoint,
        rngs=plan.rngs,
    )
    if own:
        check_parts(model)
        check_shapes(model, data)
    initialise_from(model, sums)
    return model


def _settings(config: ModelConfig, given: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Any]]:
    """Returns the settings, and the user's own parts by seam; a string names a built-in part."""
    fields, given = {field.name for field in dataclasses.fields(ModelConfig)}, without_aliases(given)
    own = {name: value for name, value in given.items() if name in SEAMS and not isinstance(value, str)}
    changes = {name: value for name, value in given.items() if name not in own}
    for name, value in changes.items():
        if name in SEAMS and name not in fields:
            raise LfadsxError(f"`{name}` must be a class or an instance, got {value!r}. Leave it out for the default.")
        if name not in fields:
            raise LfadsxError(
                f"`{name}` must be a field of ModelConfig{nearest(name, fields | set(SEAMS) | {'seed'})} or a part: "
                f"{', '.join(SEAMS)}."
            )
    if not isinstance(changes.get("encoder", ""), str):
        raise LfadsxError(
            "`encoder` must be 'bidirectional', 'causal' or 'strictly_causal'. Pass your own encoder as `ic_encoder` "
            "or `input_encoder`; for one shared encoder pass `ic_encoder` and input_encoder_dim=0."
        )
    return dataclasses.replace(config, **changes), {name: part for name, part in own.items() if part is not None}


def _check_variant(config: ModelConfig, data: Dataset, own: dict[str, Any]) -> None:
    if config.variant == "inferred_input" and config.inferred_inputs == 0:
        raise LfadsxError(
            "`inferred_inputs` must be at least 1 for the variant 'inferred_input', got 0. Use the variant "
            "'autonomous' for a model without inputs."
        )
    if config.variant == "external_input" and data.n_known_inputs == 0:
        raise LfadsxError(
            "The variant 'external_input' needs known inputs, but the data have none. Give them as "
            "train_ext_input (trials, bins, inputs) and so on, or use another variant."
        )
    if without := [name for name in ("controller", "input_prior", "input_encoder") if name in own]:
        if not _n_inferred(config):
            raise LfadsxError(
                f"`{without[0]}` needs inferred inputs, but the variant {config.variant!r} has none. Leave it out, or "
                "use the variant 'inferred_input'."
            )
    if "bias_prior" in own and not config.bias_dim:
        raise LfadsxError(
            "`bias_prior` needs a bias, but `bias_dim` is 0. Give the number of constant inputs as bias_dim."
        )
    if config.readin == "identity" and "readin" not in own and len(data.sessions) > 1:
        raise LfadsxError(
            f"readin = 'identity' must have one session, got {len(data.sessions)}. Use readin = 'linear'."
        )
    if config.feedback == "rates" and len(data.sessions) > 1:
        raise LfadsxError(
            f"feedback = 'rates' must have one session, got {len(data.sessions)}. Use feedback = 'factors'."
        )
    if config.encoder == "strictly_causal" and (ic_dim_of(config) or config.bias_dim) and not config.ic_window:
        raise LfadsxError(
            "With encoder = 'strictly_causal', `ic_window` must be above 0: otherwise the initial condition "
            f"(ic_dim = {config.ic_dim}) and the bias (bias_dim = {config.bias_dim}) are inferred from the whole "
            "trial. Give ic_window, or ic_dim = 0 and bias_dim = 0."
        )
    if config.ic_window >= data.train.encoder_input.shape[1]:
        raise LfadsxError(
            f"`ic_window` must be below the number of bins of the encoder, {data.train.encoder_input.shape[1]}, got "
            f"{config.ic_window}. Give 0 for the whole trial."
        )


def _encoder_groups(config: ModelConfig, data: Dataset) -> tuple[str, ...]:
    """Returns the target groups that the encoders see, the input group first."""
    given, known = config.encoder_groups, list(data.train.targets)
    for group in given:
        if group not in known:
            raise LfadsxError(
                f"`encoder_groups` must name target groups of the data, {', '.join(known)}, got "
                f"{group!r}{nearest(group, known)}. Rename it, or give the data such a group."
            )
    if given and (data.input_group not in given or len(set(given)) < len(given)):
        raise LfadsxError(
            f"`encoder_groups` must name the input group {data.input_group!r} and each further group once, got "
            f"{', '.join(given)}. For encoders without it, make the data set with another group as its first one."
        )
    return (data.input_group, *(group for group in known if group in given and group != data.input_group))


def _n_inferred(config: ModelConfig) -> int:
    return 0 if config.variant == "autonomous" else config.inferred_inputs or 0


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Builds all parts from settings, data, the user's own parts by seam and the source of random weights."""

    config: ModelConfig
    data: Dataset
    own: dict[str, Any]
    rngs: nnx.Rngs

    def part(self, seam: str, default: Any, **known: Any) -> Any:
        """Returns the user's own part, or the default one."""
        return make(seam, self.own.get(seam, default), rngs=self.rngs, **known)

    def readin(self) -> modules.AbstractReadin:
        config, sessions = self.config, self.data.sessions
        n_components = n_components_of(sessions)
        n_features = config.readin_dim or max(n_components, config.factors)
        default = modules.IdentityReadin if self.passes_on else modules.LinearReadin
        if self.own.get("readin", default) is modules.LinearReadin:
            check_features(n_features, n_components)  # checked first, before other parts are built with a wrong width
        return self.part("readin", default, n_channels=n_channels_of(sessions), n_features=n_features)

    @property
    def passes_on(self) -> bool:
        """Whether read-ins pass the channels unchanged to the encoders."""
        return self.config.readin == "identity" or (self.config.readin == "auto" and len(self.data.sessions) == 1)

    def seen_group(self, group: str, likelihood: distributions.AbstractLikelihood) -> modules.SeenGroup:
        """Returns the way of a further target group to the encoders, standardised as the input group would be."""
        sizes, n_features = n_targets_of(self.data.sessions, group), self.config.readin_dim or self.config.factors
        if self.passes_on:
            readin: modules.AbstractReadin = modules.IdentityReadin(sizes)
        else:
            readin = modules.LinearReadin(sizes, n_features, rngs=self.rngs)
        return modules.SeenGroup(readin, modules.Standardiser(sizes) if self.has_units(group, likelihood) else None)

    def encoders(self, n_in: int) -> tuple[modules.AbstractEncoder, modules.AbstractEncoder | None]:
        """Returns the encoder of the initial condition, and the controller's encoder or None if both share one."""
        config = self.config
        gru: dict[str, Any] = gates_of(config) | {"weight_scale": config.weight_scales[0]}
        gru["segment_bins"] = config.segment_bins
        bidirectional = partial(modules.BidirectionalGRU, **gru)
        seen = bidirectional if config.encoder == "bidirectional" else partial(modules.CausalGRU, **gru)
        has_controller, lag = _n_inferred(config) > 0, config.controller_lag
        shared = has_controller and config.input_encoder_dim == 0 and "input_encoder" not in self.own
        has_ends = ic_dim_of(config) or config.bias_dim
        default = seen if shared else bidirectional if has_ends else modules.NoEncoder
        n_units, first_lag = config.ic_encoder_dim, lag if shared else 0
        ic_encoder = self.part("ic_encoder", default, n_in=n_in, n_units=n_units, lag=first_lag)
        if shared or not has_controller:
            return ic_encoder, None
        n_units = config.input_encoder_dim or config.ic_encoder_dim
        return ic_encoder, self.part("input_encoder", seen, n_in=n_in, n_units=n_units, lag=lag)

    def decoder(self, n_ic: int, n_driving: int, n_encoding: int) -> modules.Decoder:
        """Returns the decoder with a generator and, if inputs are inferred, a controller."""
        config, data = self.config, self.data
        n_inferred, controller, input_prior = _n_inferred(config), None, None
        if n_inferred:
            input_prior = self.part("input_prior", input_prior_of(config, data.bin_width), dim=n_inferred)
            n_inferred = input_prior.dim
        inputs = dict(n_known_inputs=n_driving, n_inferred_inputs=n_inferred)
        generator = self.part("generator", generator_of(config), n_ic=n_ic, **inputs, n_units=config.generator_dim)
        n_rates = data.sessions[0].n_targets[data.input_group] if config.feedback == "rates" else 0
        if n_inferred:
            gru = partial(modules.GRUController, **gates_of(config), weight_scale=config.weight_scales[0])
            n_feedback = {"factors": config.factors, "rates": n_rates, "none": 0}[config.feedback]
            widths = dict(n_encoding=n_encoding, n_feedback=n_feedback, n_units=config.controller_dim)
            controller = self.part("controller", gru, **widths)
        return modules.Decoder(
            generator,
            config.factors,
            controller=controller,
            input_prior=input_prior,
            feedback=config.feedback,
            initial_feedback=config.initial_feedback,
            n_rates=n_rates,
            segment_bins=config.segment_bins,
            rngs=self.rngs,
        )

    def readout(self, group: str, likelihood: distributions.AbstractLikelihood) -> modules.AbstractReadout:
        config, given = self.config, _by_group("readout", self.own.get("readout"), self.data).get(group)
        units = self.has_units(group, likelihood)
        linear = partial(modules.LinearReadout, scale=config.readout_scale, units=units)
        own = _by_group("readout_factors", factors_of(config), self.data)
        first, end = factors = own.get(group, (0, config.factors))
        widths: dict[str, Any] = dict(n_factors=end - first, n_targets=n_targets_of(self.data.sessions, group))
        chosen = linear if given is None else given
        widths |= dict(n_params=likelihood.n_params, n_constant=likelihood.n_constant)
        readout = make("readout", chosen, **widths, rngs=self.rngs)
        delay = _by_group("readout_delays", delays_of(config, self.data), self.data).get(group, 0)
        if not delay and factors == (0, config.factors):
            return readout
        return modules.SelectiveReadout(readout, config.factors, factors, delay=delay)

    def has_units(self, group: str, likelihood: distributions.AbstractLikelihood) -> bool:
        """Returns whether data are standardised: real values, or counts with a likelihood of real values."""
        support = likelihood.support
        return self.config.standardise and support != "counts" and (support != "any" or not self.data.is_counts(group))


def likelihoods(config: ModelConfig, sums: TrainingSums, given: Part | Mapping[str, Part] | None) -> dict[str, Part]:
    """Returns the likelihood of each target group, bound to the variances of the data: the user's own, or by name.

    Args:
        config: Settings with names of likelihoods. A group without a name has a Poisson likelihood for counts, squared
            errors for a group made of the behaviour, else squared errors in units of the variance of each channel.
        sums: Sums of the training data.
        given: The user's own likelihood of the input group, or by target group, or None.
    """
    data, found = sums.data, {}
    names = _by_group("other_likelihoods", dict(pair.split("=", 1) for pair in config.other_likelihoods), data)
    if data.input_group in names:
        raise LfadsxError(
            f"`other_likelihoods` must name target groups other than {data.input_group!r}, whose channels the encoder "
            "sees. Give the likelihood of this group as `likelihood`."
        )
    names[data.input_group] = config.likelihood
    own = _by_group("likelihood", given, data)
    for group in data.train.targets:
        name = names.get(group) or _usual_likelihood(data, group)
        part, variances = own.get(group, distributions.LIKELIHOODS[name]), sums.variances(group)
        # A variance floor that is negligible compared with the data, in any unit.
        sizes = dict(variance_min=1e-6 * float(variances.min()), noise_variance=float(variances.mean()))
        is_class = callable(part) and not isinstance(part, nnx.Module)
        found[group] = partial(part, **arguments("likelihood", part, sizes)) if is_class else part
    return found


def _usual_likelihood(data: Dataset, group: str) -> str:
    if data.is_counts(group):
        return "poisson"
    # Channels rest in many bins. A variance of every bin falls towards 0 there, and its gradient drowns all others.
    return "squared_error" if data.behaviour_target and group == data.behaviour_name else "squared_error_by_channel"


def _by_group(seam: str, given: Any, data: Dataset) -> dict[str, Any]:
    """Returns the user's read-outs or likelihoods by target group; a single one is that of the input group."""
    if not isinstance(given, Mapping):
        return {} if given is None else {data.input_group: given}
    groups = data.train.targets
    if unknown := set(given) - set(groups):
        name = min(unknown)
        raise LfadsxError(
            f"`{seam}` must name target groups of the data, {sorted(groups)}, got {name!r}{nearest(name, groups)}."
        )
    return dict(given)

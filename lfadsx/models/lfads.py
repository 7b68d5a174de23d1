"""LFADS: read-in, encoders, decoder, read-out. No loss, no optimiser, no logging."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from lfadsx.config import HyperParams
from lfadsx.distributions.count_likelihoods import Poisson
from lfadsx.distributions.likelihood import AbstractLikelihood
from lfadsx.distributions.prior import AbstractPrior
from lfadsx.errors import LfadsxError
from lfadsx.models.adjoint import set_adjoint
from lfadsx.models.summary import outline_of
from lfadsx.modules.decoder import Decoder, Trajectory
from lfadsx.modules.dropout import drop, keep_masks, trial_keys
from lfadsx.modules.encoders import AbstractEncoder
from lfadsx.modules.linear import Adjoint, Linear
from lfadsx.modules.readin_readout import AbstractReadin, AbstractReadout
from lfadsx.modules.seen_group import SeenGroup, features_of
from lfadsx.modules.standardiser import Standardiser
from lfadsx.types import INPUT_GROUP, Batch, Noise, Output


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Encoded:
    """Results of the encoders for a batch.

    Attributes:
        ic_params: Parameters of the initial condition's posterior, shape (trial, ic_params).
        encoding: Encoding of the data for the controller, shape (time, trial, encoding), or None.
        bias_params: Parameters of the posterior of the bias, shape (trial, bias_params), or None.
    """

    ic_params: Float[Array, "trial ic_params"]
    encoding: Float[Array, "time trial encoding"] | None
    bias_params: Float[Array, "trial bias_params"] | None = None


class LFADS(nnx.Module):
    r"""A sequential variational auto-encoder of single-trial neural activity, composed of parts.

    The encoders map the data x of a trial to the posterior of the initial condition, z ~ q(z | x), and, with a
    controller, of the inputs u_t. The generator starts from z and is driven by u_t and known inputs. With a bias b, it
    is also driven by b ~ q(b | x), which is constant within a trial. Its factors f_t are read out to the parameters of
    the likelihood.

    Every part can be replaced by your own part; docs/how_to/custom_parts.md shows how. The builders compose the usual
    models.

    Source: Pandarinath et al. 2018, Nature Methods; Sussillo et al. 2016 (arXiv 1608.06315).

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.2)
        >>> model = lfadsx.autonomous(data, generator_dim=16)
        >>> batch = lfadsx.data.batch(data, "valid")
        >>> model(batch).factors.shape
        (8, 20, 32)

    Args:
        readin: From the neurons of each session to the encoders' input.
        ic_encoder: Encoder of the initial condition.
        ic_prior: Prior of the initial condition.
        decoder: Controller, generator and factors.
        readout: From factors to likelihood parameters, by target group.
        likelihood: Distribution of the data given the factors, by target group.
        standardiser: Standardises channels before the read-in; None for no standardisation.
        input_encoder: Encoder for the controller; by default the controller uses the states of `ic_encoder`.
        bias_prior: Prior of the bias, a constant input of the generator in each trial; None for no bias. Its posterior
            comes from the ends of `ic_encoder`, too.
        known_inputs_to: Part that receives known inputs, "generator" or "encoders"; "none" without known inputs.
        ic_window: Number of first bins from which the initial condition is inferred; 0 for all bins.
        controller_sees_ic_window: If True, `input_encoder` also sees these bins.
        input_group: The target group whose channels the encoders see.
        seen_groups: Further target groups that the encoders see, by name; None for none.
        adjoint: Kind of derivative, set in all parts: "fused", written out and fast, or "autodiff", which also has
            forward mode; see `lfadsx.with_adjoint`.
        rngs: Source of the initial weights.

    Attributes:
        initialised: Whether the model was initialised from data (`lfadsx.initialise`); if not, `fit` does it.

    Raises:
        LfadsxError: If read-outs and likelihoods name different groups, or parts do not fit together.
    """

    def __init__(
        self,
        readin: AbstractReadin,
        ic_encoder: AbstractEncoder,
        ic_prior: AbstractPrior,
        decoder: Decoder,
        readout: Mapping[str, AbstractReadout],
        likelihood: Mapping[str, AbstractLikelihood],
        *,
        standardiser: Standardiser | None = None,
        input_encoder: AbstractEncoder | None = None,
        bias_prior: AbstractPrior | None = None,
        known_inputs_to: Literal["generator", "encoders", "none"] = "none",
        ic_window: int = 0,
        controller_sees_ic_window: bool = True,
        input_group: str = INPUT_GROUP,
        seen_groups: Mapping[str, SeenGroup] | None = None,
        adjoint: Adjoint = "fused",
        rngs: nnx.Rngs,
    ) -> None:
        if set(readout) != set(likelihood) or input_group not in readout:
            raise LfadsxError(
                "Read-outs and likelihoods must have the same target groups, including that of the encoders, got "
                f"{sorted(readout)}, {sorted(likelihood)} and {input_group!r}."
            )
        if unknown := sorted({*(seen_groups or {})} - ({*readout} - {input_group})):
            raise LfadsxError(
                f"`seen_groups` must name target groups other than the input group {input_group!r}, got {unknown}. "
                f"The groups are {sorted(readout)}."
            )
        self.standardiser, self.readin = standardiser, readin
        self.ic_encoder, self.input_encoder = ic_encoder, input_encoder
        self.ic_prior, self.bias_prior, self.decoder = ic_prior, bias_prior, decoder
        self.readout, self.likelihood = nnx.Dict(dict(readout)), nnx.Dict(dict(likelihood))
        self.known_inputs_to, self.ic_window = known_inputs_to, ic_window
        self.controller_sees_ic_window, self.input_group = controller_sees_ic_window, input_group
        self.seen_groups = nnx.Dict(dict(seen_groups)) if seen_groups else None
        # Part of the graph definition; set by `initialise`, by loading and by imports from other programs.
        self.initialised = False
        self.ic_posterior = _head(ic_encoder, ic_prior, rngs)
        self.bias_posterior = None if bias_prior is None else _head(ic_encoder, bias_prior, rngs)
        self.adjoint: Adjoint = "fused"
        set_adjoint(self, adjoint)

    def __call__(self, batch: Batch, noise: Noise | None = None) -> Output:
        """Runs the whole model, deterministically.

        Args:
            batch: The trials.
            noise: Result of `draw`; None pushes the posterior means through, without dropout.
        """
        encoded = self.encode(batch, noise)
        return self.decode(encoded, batch, noise)

    def draw(self, key: Key[Array, ""], batch: Batch, hyper: HyperParams | None = None) -> Noise:
        """Draws all random numbers of one pass; the noise of a trial depends on its id.

        Args:
            key: Random key.
            batch: The trials.
            hyper: Hyperparameters with the dropout rate, traced; None for no dropout.
        """
        for_ic, for_inputs, for_masks, *for_bias = trial_keys(key, batch.trial_id, 3 if self.bias_prior is None else 4)
        prior = self.decoder.input_prior

        def draw(keys, prior, shape):
            # Time is the first axis, if there is one, for loops over time.
            return jax.vmap(lambda key: prior.noise(key, shape), out_axes=len(shape))(keys)

        return Noise(
            ic=draw(for_ic, self.ic_prior, ()),
            inputs=None if prior is None else draw(for_inputs, prior, (batch.n_bins,)),
            keep={} if hyper is None else self._masks(for_masks, batch, hyper.dropout_rate),
            dropout_rate=0.0 if hyper is None else hyper.dropout_rate,
            bias=draw(for_bias[0], self.bias_prior, ()) if for_bias else None,
        )

    def _masks(self, keys: Key[Array, " trial"], batch: Batch, rate: Float[Array, ""] | float) -> dict[str, Array]:
        """Draws the masks of all places at once, since few draws compile and run faster than many."""
        widths = {"features": self.n_features, "readout": self.decoder.generator.n_state}
        if self.decoder.controller is not None:
            widths["encoding"] = self._controller_encoder.n_states
            if self.decoder.n_feedback:
                widths["feedback"] = self.decoder.n_feedback
        if batch.known_inputs is not None and self.known_inputs_to != "none":
            widths["known"] = batch.known_inputs.shape[2]
        # The first row belongs to the initial state and to the encoders' ends.
        mask, ends = keep_masks(keys, rate, 1 + batch.n_bins, sum(widths.values()), self.ic_encoder.n_ends)
        pieces = jnp.split(mask, np.cumsum(list(widths.values()))[:-1], axis=-1)
        keep = {place: piece if place == "readout" else piece[1:] for place, piece in zip(widths, pieces, strict=True)}
        return keep | {"features": keep["features"][: batch.encoder_input.shape[1]], "ic_encoding": ends}

    def encode(self, batch: Batch, noise: Noise | None = None) -> Encoded:
        """Runs read-in and encoders.

        Args:
            batch: The trials.
            noise: Dropout masks, or None.
        """
        keep = {} if noise is None else noise.keep
        rate = 0.0 if noise is None else noise.dropout_rate
        sequence, length = self._sequence(batch, keep, rate), batch.encoder_length
        window, end = self.ic_window, sequence.shape[1]
        if window:
            window = min(window, end)
            _, ends = self.ic_encoder(sequence[:, :window], jnp.minimum(length, window))
            states = None
        else:
            states, ends = self.ic_encoder(sequence, length)
        ends = drop(ends, keep.get("ic_encoding"), rate)
        ic_params = _params(self.ic_posterior, ends)
        bias_params = None if self.bias_prior is None else _params(self.bias_posterior, ends)
        if self.decoder.controller is None:
            return Encoded(ic_params, None, bias_params)

        start = 0 if self.controller_sees_ic_window else window
        if self.input_encoder is not None:
            states, _ = self.input_encoder(sequence[:, start:], jnp.maximum(length - start, 0))
        elif states is None:
            states, _ = self.ic_encoder(sequence[:, start:], jnp.maximum(length - start, 0))
        # The controller sees zeros before its window and in the bins of forward prediction.
        after = batch.n_bins - start - states.shape[1]
        encoding = jnp.pad(jnp.swapaxes(states, 0, 1), ((start, after), (0, 0), (0, 0)))
        return Encoded(ic_params, encoding, bias_params)

    def decode(
        self,
        encoded: Encoded,
        batch: Batch,
        noise: Noise | None = None,
        inputs: Float[Array, "time trial input"] | None = None,
    ) -> Output:
        """Samples initial condition and bias, and runs decoder and read-out.

        Args:
            encoded: Result of `encode`.
            batch: The trials.
            noise: Noise and dropout masks; None for posterior means without dropout.
            inputs: Inputs that drive the generator in place of the inferred ones, shape (time, trial, input).
        """
        of_ic, of_bias = (None, None) if noise is None else (noise.ic, noise.bias)
        initial_condition = _latent(self.ic_prior, encoded.ic_params, of_ic)
        bias = _latent(self.bias_prior, encoded.bias_params, of_bias)
        trajectory = self.decoder(
            initial_condition,
            batch.n_bins,
            encoding=encoded.encoding,
            known_inputs=self._driving_inputs(batch),
            bias=bias,
            inputs=inputs,
            rates=self._rates(batch.session) if self.decoder.feedback == "rates" else None,
            noise=noise,
        )
        return self.observe(trajectory, batch.session, initial_condition, encoded, bias)

    def observe(
        self,
        trajectory: Trajectory,
        session: Int[Array, " trial"],
        initial_condition: Float[Array, "trial ic"],
        encoded: Encoded,
        bias: Float[Array, "trial bias"] | None = None,
    ) -> Output:
        """Computes the likelihood parameters of a trajectory, and puts the trial axis first."""
        factors = jnp.swapaxes(trajectory.factors, 0, 1)
        return Output(
            params={group: readout(factors, session) for group, readout in self.readout.items()},
            factors=factors,
            initial_condition=initial_condition,
            ic_params=encoded.ic_params,
            initial_state=trajectory.initial_state,
            generator_states=jnp.swapaxes(trajectory.generator_states, 0, 1),
            inputs=_trial_first(trajectory.inputs),
            input_params=_trial_first(trajectory.input_params),
            controller_states=_trial_first(trajectory.controller_states),
            encoding=_trial_first(encoded.encoding),
            bias=bias,
            bias_params=encoded.bias_params,
        )

    def predicted(self, batch: Batch, group: str) -> Bool[Array, "trial time"]:
        """Returns True for bins of a target group whose factors, earlier by the read-out's delay, are in the trial."""
        bins = jnp.arange(batch.n_bins) - self.readout[group].delay
        return (bins >= 0) & (bins < batch.target_length[:, None])

    def scored(self, batch: Batch, group: str) -> Bool[Array, "trial time target_channel"]:
        """Returns True for existing entries of a target group, see `Batch.scored`, that its read-out predicts."""
        mask = batch.scored(group)
        return mask & self.predicted(batch, group)[:, :, None] if self.readout[group].delay else mask

    def expected(self, output: Output) -> dict[str, Float[Array, "trial time target_channel"]]:
        """Returns the expected data of each target group; for spikes, the rates in counts per bin."""
        return {group: self.likelihood[group].mean(params) for group, params in output.params.items()}

    def scatter(self, output: Output) -> dict[str, Float[Array, "trial time target_channel"]]:
        """Returns the observation variance around `expected(output)` of target groups, but of Poisson counts."""
        parts = {group: part for group, part in self.likelihood.items() if type(part) is not Poisson}
        found = {group: part.variance(output.params[group]) for group, part in parts.items()}
        return {group: variance for group, variance in found.items() if variance is not None}

    def __repr__(self) -> str:
        """Returns the parts and their numbers of trained parameters."""
        return outline_of(self)

    __str__ = __repr__

    @property
    def encoder_groups(self) -> tuple[str, ...]:
        """The target groups whose channels the encoders see, the input group first."""
        return (self.input_group, *sorted(self.seen_groups or ()))

    @property
    def n_features(self) -> int:
        """Width of what the encoders see: the features of all these groups."""
        return self.readin.n_features + sum(own.readin.n_features for own in (self.seen_groups or {}).values())

    @property
    def _dtype(self) -> jnp.dtype:
        return self.decoder.factor_map.weight[...].dtype

    def _rates(self, session: Array) -> Callable[[Array], Array]:
        """Returns a function from the factors of a bin to its expected data, in units of the channels.

        With a log link, the unit is the expected data of factors at 0, so that the unit of the data does not matter.
        """
        readout, likelihood = self.readout[self.input_group], self.likelihood[self.input_group]

        def expected(factors: Array) -> Array:
            return likelihood.mean(readout(factors[:, None], session)[:, 0])

        if likelihood.log_link:
            unit = jax.lax.stop_gradient(expected(jnp.zeros((len(session), self.decoder.n_factors), self._dtype)))
        else:  # models that feed rates back have one session
            of_params = readout.unit_of(0)
            unit = of_params if isinstance(of_params, float | int) else of_params[:, 0]
        return lambda factors: expected(factors) / unit

    @property
    def _controller_encoder(self) -> AbstractEncoder:
        return self.ic_encoder if self.input_encoder is None else self.input_encoder

    def _sequence(self, batch: Batch, keep: dict, rate: Array | float) -> Array:
        """Returns the input of the encoders: features with dropout and, if they receive them, known inputs."""
        dtype, how = self._dtype, (batch.encoder_gain, batch.session)
        data = batch.encoder_input.astype(dtype)
        features = features_of(data, batch.seen(), *how, self.readin, self.standardiser)
        if self.seen_groups is not None:
            values = {group: batch.targets[group][:, : features.shape[1]] for group in self.encoder_groups[1:]}
            others = [self.seen_groups[g](x.astype(dtype), batch.seen_of(g), *how) for g, x in values.items()]
            features = jnp.concatenate([features, *others], axis=-1)
        features = drop(features, _trial_first(keep.get("features")), rate)
        if self.known_inputs_to != "encoders" or batch.known_inputs is None:
            return features
        known = drop(self._known(batch, batch.known_inputs), _trial_first(keep.get("known")), rate)
        return jnp.concatenate([features, known[:, : features.shape[1]]], axis=-1)

    def _driving_inputs(self, batch: Batch) -> Array | None:
        if self.known_inputs_to != "generator" or batch.known_inputs is None:
            return None
        return jnp.swapaxes(self._known(batch, batch.known_inputs), 0, 1)

    def _known(self, batch: Batch, known: Array) -> Array:
        """Returns known inputs, set to 0 outside of trials, so that values there do not reach a gradient."""
        inside = (batch.in_trial() & (batch.trial_weight > 0)[:, None])[:, :, None]
        return jnp.where(inside, known, 0.0).astype(self._dtype)


def _head(encoder: AbstractEncoder, prior: AbstractPrior, rngs: nnx.Rngs) -> Linear | None:
    """Returns the map from the ends of the encoder to the parameters of a latent variable of a trial."""
    # A prior without posterior, such as a trained point, needs no inference.
    return Linear(encoder.n_ends, prior.n_params, rngs=rngs) if prior.n_params else None


def _params(head: Linear | None, ends: Array) -> Array:
    return ends[:, :0] if head is None else head(ends)


def _latent(prior: AbstractPrior | None, params: Array | None, noise: Array | None) -> Any:
    """Returns the posterior sample of the noise, or its mean without noise; None without this latent variable."""
    if prior is None or params is None:
        return None
    return prior.posterior_mean(params) if noise is None else prior.sample(params, noise)


def _trial_first(x: Array | None) -> Any:
    return None if x is None else jnp.swapaxes(x, 0, 1)

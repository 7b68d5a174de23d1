"""The loss: its terms, their weights, and the evidence bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from lfadsx.config import HyperParams
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import Masks, Weights, to_targets, with_forward_bins
from lfadsx.types import Batch, Output


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss, as a static combination of its terms.

    For your own loss, derive a frozen dataclass from it and pass an instance to `fit`. Override `__call__`, add terms
    to the value of `super().__call__`, and return its parts, which are reported. Only the training loss changes. The
    selection score remains the negative log likelihood of hidden entries.

    Example:
        >>> import dataclasses
        >>> from lfadsx.objective import Objective
        >>> @dataclasses.dataclass(frozen=True)
        ... class QuietRates(Objective):
        ...     scale: float = 0.1
        ...
        ...     def __call__(self, model, batch, output, *args):
        ...         value, parts = super().__call__(model, batch, output, *args)
        ...         return value + self.scale * (output.factors**2).mean(), parts

    Attributes:
        reduction: A trial's log likelihood is the "sum" over its bins and neurons, or their "mean".
        estimator: KL of the inferred inputs: "path" is the closed form given the path, "sample" the log ratio of the
            sample.
        l2_normalize: A part's penalty is divided by its own number of weights ("each") or by that of all
            parts with a penalty ("pooled").
        nominal_batch: Divisor of the sum over trials: the trials of a full step, so that a trial has the same weight in
            a step with one trial less. None: the number of trials of weight above 0.
        group_weights: Weights of the log likelihood of single target groups, as ((group, weight), ...); by default 1.
    """

    reduction: Literal["sum", "mean"] = "sum"
    estimator: Literal["path", "sample"] = "path"
    l2_normalize: Literal["each", "pooled"] = "each"
    nominal_batch: float | None = None
    group_weights: tuple[tuple[str, float], ...] = ()

    def __call__(
        self,
        model: LFADS,
        batch: Batch,
        output: Output,
        hyper: HyperParams,
        ramps: RampWeights,
        weights: Weights | None = None,
        opened: Masks | None = None,
    ) -> tuple[Float[Array, ""], LossParts]:
        r"""Returns the loss of a batch and its parts.

        .. math::
            \frac{1}{B} \sum_i w_i \left(-\sum_k s_k \log p(x_{ik} | z_i, b_i, u_i)
            + \beta_z (s_z KL_z + s_b KL_b) + \beta_u s_u KL_u + s_c C\right) + \gamma \, L_2

        with the ramps beta and gamma, the nominal batch size B and the penalty L2 on recurrent weights. The weight s_k
        of a target group is its own (`group_weights`), times `other_targets_scale` unless it is the input group. The
        training step adds the penalty on all parameters (`l2_scale`), which are one vector there. Trials of weight 0
        contribute neither to the value nor to the gradient.

        Args:
            model: The model.
            batch: The trials.
            output: Output of the model for these trials.
            hyper: Scales of the terms.
            ramps: Ramp weights.
            weights: Factors of entries of the log likelihood, from augmentations.
            opened: True for entries through which the gradient flows, from augmentations.

        Returns:
            The loss, shape (), and its parts.
        """
        log_likelihood = reconstruction(model, batch, output, self.reduction, weights, opened)
        weighted, scales = log_likelihood, self._scales(model, hyper)
        if scales:  # if all weights are 1, the likelihood is computed once
            weighted = reconstruction(model, batch, output, self.reduction, weights, opened, scales)
        kl_ic = kl_initial_condition(model, output)
        kl_inputs = kl_inferred_inputs(model, batch, output, self.estimator)
        correlation = input_correlation(model, batch, output)
        l2 = recurrent_penalty(model, hyper, self.l2_normalize)
        kl_bias = kl_trial_bias(model, output)
        parts = LossParts(-log_likelihood, kl_ic, kl_inputs, correlation, l2, kl_bias)
        ic_weight, co_weight = ramps.kl_ic * hyper.kl_ic_scale, ramps.kl_co * hyper.kl_co_scale
        per_trial = -weighted + ic_weight * kl_ic + co_weight * kl_inputs
        if kl_bias is not None:
            per_trial = per_trial + ramps.kl_ic * hyper.kl_bias_scale * kl_bias
        per_trial = per_trial + hyper.co_corr_scale * correlation
        total = jnp.sum(jnp.where(batch.trial_weight > 0, batch.trial_weight * per_trial, 0.0))
        n = self.nominal_batch or jnp.maximum(jnp.sum(batch.trial_weight > 0), 1)
        return total / n + ramps.l2 * l2, parts

    def _scales(self, model: LFADS, hyper: HyperParams) -> dict[str, Float[Array, ""] | float]:
        """Returns the weights of target groups; a model of one group without a weight has none."""
        own, first = dict(self.group_weights), model.input_group
        weighted = [group for group in model.likelihood if group in own or group != first]
        return {g: own.get(g, 1.0) * (1.0 if g == first else hyper.other_targets_scale) for g in weighted}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LossParts:
    """The terms of the loss before their weights, in nats.

    Attributes:
        reconstruction: Negative log likelihood of each trial, shape (trial,); sum or mean, see `Objective.reduction`.
        kl_ic: KL of the initial condition of each trial, shape (trial,).
        kl_inputs: KL of the inferred inputs of each trial, shape (trial,); zero without inputs.
        correlation: Correlation between different inferred inputs of each trial, shape (trial,), without unit;
            zero with fewer than two.
        l2: The L2 penalty on recurrent weights with its scales, shape ().
        kl_bias: KL of the bias of each trial, shape (trial,); None without a bias.
    """

    reconstruction: Float[Array, " trial"]
    kl_ic: Float[Array, " trial"]
    kl_inputs: Float[Array, " trial"]
    correlation: Float[Array, " trial"]
    l2: Float[Array, ""]
    kl_bias: Float[Array, " trial"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RampWeights:
    """Weights of the KL terms and of the L2 penalty while they are phased in, from 0 to 1.

    The KL of the bias has the weight of the initial condition's: both describe whole trials.
    """

    kl_ic: Float[Array, ""] | float = 1.0
    kl_co: Float[Array, ""] | float = 1.0
    l2: Float[Array, ""] | float = 1.0


def reconstruction(
    model: LFADS,
    batch: Batch,
    output: Output,
    reduction: Literal["sum", "mean"] = "sum",
    weights: Weights | None = None,
    opened: Masks | None = None,
    scales: Mapping[str, Float[Array, ""] | float] | None = None,
) -> Float[Array, " trial"]:
    """Returns each trial's log likelihood in nats, summed or averaged over the entries of all groups.

    `scales` are weights of target groups, 1 for all others.
    """
    total = jnp.zeros(batch.n_trials)
    count = jnp.zeros(batch.n_trials)
    for group in model.likelihood:
        scored = model.scored(batch, group)
        entries = entry_log_likelihood(model, batch, output, group, scored)
        if opened and group in opened:
            entries = jnp.where(opened[group], entries, jax.lax.stop_gradient(entries))
        if weights and group in weights:
            entries = entries * weights[group]
        of_group = entries.sum((1, 2))
        total = total + (scales[group] * of_group if scales and group in scales else of_group)
        count = count + scored.sum((1, 2))
    return total if reduction == "sum" else total / jnp.maximum(count, 1.0)


def entry_log_likelihood(
    model: LFADS, batch: Batch, output: Output, group: str, scored: Bool[Array, "trial time target_channel"]
) -> Float[Array, "trial time target_channel"]:
    """Returns the log likelihood of every entry in nats, 0 where it is not scored.

    Before the density is evaluated, masked data are set to the likelihood's safe value and masked parameters to 0.
    Multiplying by 0 afterwards would turn infinity into NaN, also in the gradient.
    """
    likelihood = model.likelihood[group]
    params = jnp.where(scored[..., None], output.params[group], 0.0)
    data = jnp.where(scored, batch.targets[group], likelihood.safe_value)
    return jnp.where(scored, likelihood.log_prob(params, data), 0.0)


def kl_initial_condition(model: LFADS, output: Output) -> Float[Array, " trial"]:
    """Returns each trial's KL of the initial condition in nats."""
    return model.ic_prior.kl(output.ic_params, output.initial_condition)


def kl_trial_bias(model: LFADS, output: Output) -> Float[Array, " trial"] | None:
    """Returns each trial's KL of the bias in nats, or None without a bias."""
    if model.bias_prior is None or output.bias is None or output.bias_params is None:
        return None
    return model.bias_prior.kl(output.bias_params, output.bias)


def kl_inferred_inputs(
    model: LFADS, batch: Batch, output: Output, estimator: Literal["path", "sample"] = "path"
) -> Float[Array, " trial"]:
    """Returns each trial's KL of the inferred inputs in nats, up to the trial's own last bin."""
    prior = model.decoder.input_prior
    if prior is None or output.inputs is None or output.input_params is None:
        return jnp.zeros(batch.n_trials)
    if estimator == "path":
        kl = prior.kl(output.input_params, output.inputs)
    else:
        log_q = prior.posterior_log_prob(output.input_params, output.inputs)
        kl = log_q - prior.log_prob(output.inputs)
    return jnp.where(batch.in_trial(), kl, 0.0).sum(1)


def input_correlation(model: LFADS, batch: Batch, output: Output) -> Float[Array, " trial"]:
    r"""Returns how much the inferred inputs of each trial are correlated over time.

    .. math:: C = \frac{2}{U (U - 1)} \sum_{i < j} \tfrac12 \Big(\sum_t m_{ti} m_{tj}\Big)^2

    with the posterior means m of U inputs; 0 for a single input.

    Source: the TensorFlow program, which returns NaN for a single input.
    """
    prior, params = model.decoder.input_prior, output.input_params
    if prior is None or params is None or prior.dim < 2:
        return jnp.zeros(batch.n_trials)
    mean = jnp.where(batch.in_trial()[:, :, None], prior.posterior_mean(params), 0.0)
    products = jnp.einsum("bti,btj->bij", mean, mean)
    first, second = jnp.triu_indices(prior.dim, k=1)
    return 0.5 * jnp.mean(products[:, first, second] ** 2, axis=-1)


def l2_penalty(model: LFADS, hyper: HyperParams, normalize: Literal["each", "pooled"] = "each") -> Float[Array, ""]:
    r"""Returns the penalty on recurrent weights and on all parameters.

    .. math:: \sum_p s_p \tfrac12 \|U_p\|^2 / n_p + s \|\theta\|^2

    The first term is `recurrent_penalty`; theta are all parameters of the model, including biases, without
    normalisation (as in the JAX tutorial).
    """
    everything = jax.tree.leaves(nnx.state(model, nnx.Param))
    squares = sum(jnp.sum(jnp.square(weight)) for weight in everything)
    return recurrent_penalty(model, hyper, normalize) + hyper.l2_scale * squares


def recurrent_penalty(
    model: LFADS, hyper: HyperParams, normalize: Literal["each", "pooled"] = "each"
) -> Float[Array, ""]:
    r"""Returns the penalty on recurrent weights.

    .. math:: \sum_p s_p \tfrac12 \|U_p\|^2 / n_p

    over IC encoder, controller's encoder, generator, controller and read-in (its linear weights, of all sessions), with
    n_p the number of the part's own weights ("each") or of all weights with a scale above 0 ("pooled", as in
    lfads-torch; the read-in keeps its own number, as in AutoLFADS).
    """
    decoder = model.decoder
    penalised = (
        (model.ic_encoder, hyper.l2_ic_enc_scale),
        (model.input_encoder, hyper.l2_ci_enc_scale),
        (decoder.generator, hyper.l2_gen_scale),
        (decoder.controller, hyper.l2_con_scale),
    )
    total, pooled = jnp.zeros(()), jnp.zeros(())
    for part, scale in penalised:
        weights = () if part is None else part.recurrent_weights()
        size = sum(weight.size for weight in weights)
        if size == 0:
            continue
        squares = sum(jnp.sum(weight**2) for weight in weights)
        total = total + scale * 0.5 * squares / (size if normalize == "each" else 1.0)
        pooled = pooled + jnp.where(jnp.asarray(scale) > 0, float(size), 0.0)
    total = total if normalize == "each" else total / (1e-8 + pooled)
    readins = (model.readin, *(own.readin for own in (model.seen_groups or {}).values()))
    weights = [weight for readin in readins for weight in readin.penalised_weights()]
    if not weights:
        return total
    squares, size = sum(jnp.sum(weight**2) for weight in weights), sum(weight.size for weight in weights)
    return total + hyper.l2_readin_scale * 0.5 * squares / size


def elbo(model: LFADS, batch: Batch, output: Output) -> Float[Array, " trial"]:
    """Returns each trial's evidence lower bound in nats: all weights 1, without ramps and penalties."""
    kl = kl_initial_condition(model, output) + kl_inferred_inputs(model, batch, output)
    of_bias = kl_trial_bias(model, output)
    kl = kl if of_bias is None else kl + of_bias
    return reconstruction(model, batch, output) - kl


def log_weight(model: LFADS, batch: Batch, output: Output) -> Float[Array, " trial"]:
    r"""Returns each trial's log importance weight of the output's posterior sample, in nats.

    .. math::
        \log p(x | z, b, u) + \log \frac{p(z)}{q(z | x)} + \log \frac{p(b)}{q(b | x)}
        + \sum_t \log \frac{p(u_t | u_{t-1})}{q(u_t | u_{<t}, x)}

    Its mean over samples is the evidence lower bound; the log of its mean exponential is the importance-weighted bound.
    """
    total = reconstruction(model, batch, output)
    of_ic = model.ic_prior, output.ic_params, output.initial_condition
    for own, of_posterior, value in (of_ic, (model.bias_prior, output.bias_params, output.bias)):
        if own is not None and of_posterior is not None and value is not None:
            total = total + own.log_prob(value) - own.posterior_log_prob(of_posterior, value)
    prior, path, params = model.decoder.input_prior, output.inputs, output.input_params
    if prior is None or path is None or params is None:
        return total
    ratio = prior.log_prob(path) - prior.posterior_log_prob(params, path)
    return total + jnp.where(batch.in_trial(), ratio, 0.0).sum(1)


def seen_targets(model: LFADS, batch: Batch) -> dict[str, Bool[Array, "trial time target_channel"]]:
    """Returns, by target group that the encoders see, True for scored entries that they saw."""
    first, *others = model.encoder_groups
    return {first: held_in(batch, first)} | {group: with_forward_bins(batch.seen_of(group), batch) for group in others}


def held_in(batch: Batch, group: str) -> Bool[Array, "trial time target_channel"]:
    """Returns True for scored entries of the input group that the encoder saw."""
    seen = batch.in_encoder()[:, :, None] & (batch.target_index >= 0)[:, None, :]
    return to_targets(seen, batch.target_index, batch.targets[group].shape) & batch.scored(group)

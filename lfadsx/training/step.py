"""The compiled functions of training: a block of steps, and the selection score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jaxtyping import Array, ArrayLike, Float, Int, Key

from lfadsx.config import HyperParams
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation, Masks, Weights, combine
from lfadsx.modules.hidden_entries import CoordinatedDropout, SampleValidation
from lfadsx.objective import (
    LossParts,
    RampWeights,
    entry_log_likelihood,
    kl_inferred_inputs,
    kl_initial_condition,
    kl_trial_bias,
    reconstruction,
    seen_targets,
)
from lfadsx.parallel import compiler_options, on_devices, over_trials
from lfadsx.random import derive
from lfadsx.training.optimizer import apply_update
from lfadsx.training.schedules import Schedule, decay, observe, observe_loss, ramp
from lfadsx.training.state import Program, TrainState
from lfadsx.types import Batch, Output


class StepReport(NamedTuple):
    """Figures of a training step; shape (step,) for the steps of a block.

    Attributes:
        reconstruction: Sum over real trials, in nats.
        kl_ic: Sum over real trials, in nats.
        kl_inputs: Sum over real trials, in nats.
        correlation: Penalty on correlated inputs, without its scale; sum over real trials.
        n_trials: Number of real trials; 0 for an empty step.
        loss: The loss.
        l2: The L2 penalty with its scales.
        kl_ic_weight: Ramp weight of the initial condition's KL.
        kl_co_weight: Ramp weight of the inputs' KL.
        l2_weight: Ramp weight of the L2 penalty.
        learning_rate: Learning rate of the step.
        grad_norm: Global norm of the gradient before clipping.
        skipped: 1 if the step was skipped because loss or gradient were not finite, otherwise 0.
        kl_bias: KL of the bias; sum over real trials, in nats. NaN without a bias.
        sv_trained: Sample validation: negative log likelihood of the entries that train, see `SampleValidation`; sum
            over real trials, in nats. NaN, as is the next one, without sample validation.
        sv_withheld: Sample validation: negative log likelihood of the withheld entries.
    """

    reconstruction: Float[np.ndarray, "*step"]
    kl_ic: Float[np.ndarray, "*step"]
    kl_inputs: Float[np.ndarray, "*step"]
    correlation: Float[np.ndarray, "*step"]
    n_trials: Float[np.ndarray, "*step"]
    loss: Float[np.ndarray, "*step"]
    l2: Float[np.ndarray, "*step"]
    kl_ic_weight: Float[np.ndarray, "*step"]
    kl_co_weight: Float[np.ndarray, "*step"]
    l2_weight: Float[np.ndarray, "*step"]
    learning_rate: Float[np.ndarray, "*step"]
    grad_norm: Float[np.ndarray, "*step"]
    skipped: Float[np.ndarray, "*step"]
    kl_bias: Float[np.ndarray, "*step"] | float = np.nan
    sv_trained: Float[np.ndarray, "*step"] | float = np.nan
    sv_withheld: Float[np.ndarray, "*step"] | float = np.nan

    @classmethod
    def of(cls, figures: Float[ArrayLike, "*step figure"], extra: Sequence[str] = ()) -> StepReport:
        """Returns the report, on the host, from the figures of `train_block`, with the program's `extra_figures`."""
        names = *(name for name in cls._fields if name not in cls._field_defaults), *extra
        columns = np.moveaxis(np.asarray(figures, np.float64), -1, 0)
        return cls(**dict(zip(names, columns, strict=True)))


def n_figures(program: Program) -> int:
    """Returns the number of figures of a step: the fields of `StepReport` that this program has."""
    return len(StepReport._fields) - len(StepReport._field_defaults) + len(program.extra_figures)


def train_block(
    program: Program, state: TrainState, hyper: HyperParams, schedule: Schedule, block: Batch
) -> tuple[TrainState, Float[Array, "step figure"]]:
    """Takes one training step for each batch of a block, which is stacked along a first axis; pure.

    Hyperparameters and schedule are traced, so changing them does not recompile. The columns of the figures are the
    fields of `StepReport`.
    """

    def steps(shared: Any, block: Batch) -> tuple[TrainState, Array]:
        state, hyper, schedule = shared
        return jax.lax.scan(lambda state, batch: _step(program, state, hyper, schedule, batch), state, block)

    with program.products():
        return on_devices(steps, program.mesh)((state, hyper, schedule), block)


def block_runner(mesh: Mesh | None) -> Any:
    """Returns `train_block`, compiled for the devices of a mesh; the state that is passed in becomes invalid."""
    return _compiled(compiler_options(mesh))


@cache
def _compiled(options: tuple[tuple[str, bool], ...]) -> Any:
    return jax.jit(train_block, static_argnums=0, donate_argnums=1, compiler_options=dict(options) or None)


run_block = block_runner(None)
"""`train_block`, compiled for one device."""


def _step(
    program: Program, state: TrainState, hyper: HyperParams, schedule: Schedule, batch: Batch
) -> tuple[TrainState, Float[Array, " figure"]]:
    """Returns the state after a step and the fields of `StepReport`."""
    ramps = ramp_weights(state.step, schedule)
    of_all = over_trials(partial(differentiate, program), program.mesh, at_once=program.portion_limit)
    (value, l2, gradient), (sums, more) = of_all((state, hyper, ramps), batch)
    # One vector: a few operations on it compile faster than a few on each parameter.
    params, unravel = ravel_pytree(state.params)
    penalty = hyper.l2_scale * jnp.sum(params**2)
    value, l2 = value + ramps.l2 * penalty, l2 + penalty
    gradient = gradient + 2.0 * ramps.l2 * hyper.l2_scale * params
    update: Any
    update, optimizer_state = program.optimizer.update(gradient, state.optimizer, params)
    monitor = state.monitor
    rate = hyper.learning_rate * monitor.rate_scale * decay(state.step - monitor.rate_start, schedule)
    norm = optax.tree.norm(gradient)
    n_trials = sums[-1]
    finite = jnp.isfinite(value) & jnp.isfinite(norm)
    moved = apply_update(params, update, rate, hyper.weight_decay)
    # Broken and empty steps change neither the parameters nor Adam's moments.
    moved, optimizer_state = jax.tree.map(
        lambda new, old: jnp.where(finite & (n_trials > 0), new, old),
        (moved, optimizer_state),
        (params, state.optimizer),
    )
    is_broken = ~finite & (n_trials > 0)
    new = dataclasses.replace(
        state,
        params=unravel(moved),
        optimizer=optimizer_state,
        step=state.step + (n_trials > 0),
        skipped=state.skipped + is_broken.astype(jnp.int32),
    )
    figures = (value, l2, ramps.kl_ic, ramps.kl_co, ramps.l2, rate, norm, is_broken)
    return new, jnp.concatenate([sums, jnp.stack([jnp.asarray(figure, sums.dtype) for figure in figures]), *more])


def ramp_weights(step: Int[Array, ""], schedule: Schedule) -> RampWeights:
    """Returns the ramp weights at a step."""
    kl, l2 = (schedule.kl_start, schedule.kl_length), (schedule.l2_start, schedule.l2_length)
    # All three at once: operations on one vector compile faster than the same operations on each number.
    table = (*kl, schedule.kl_ic_floor), (*kl, schedule.kl_co_floor), (*l2, 0.0)
    return RampWeights(*ramp(step, *jnp.array(table).T))


def augmented(
    program: Program, state: TrainState, hyper: HyperParams, batch: Batch
) -> tuple[Sequence[AbstractAugmentation], Key[Array, ""], tuple[Batch, Weights, Masks]]:
    """Returns the augmentations, the key of the model's noise in this step, and what the augmentations return."""
    _, augmentations = program.merge(state)
    noise_key, *augment_keys = derive(derive(state.key, state.step), jnp.arange(1 + len(augmentations)))
    return augmentations, noise_key, combine(augmentations, batch, hyper, augment_keys)


def differentiate(
    program: Program, shared: tuple[TrainState, HyperParams, RampWeights], batch: Batch, n_shares: int
) -> tuple[tuple[Array, Array, Array], tuple[Array, list[Array]]]:
    """Returns loss, L2 penalty and gradient (a vector) of a share of the trials, and sums of their terms.

    The loss of the step is the mean over its shares. The sums are the first fields of `StepReport`; those of its last
    fields, if the program has them, are in a list.
    """
    state, hyper, ramps = shared
    nominal = cast(float, program.objective.nominal_batch) / n_shares
    of_share = dataclasses.replace(program.objective, nominal_batch=nominal)
    augmentations, noise_key, (changed, weights, opened) = augmented(program, state, hyper, batch)
    withholding = [own for own in augmentations if isinstance(own, SampleValidation)][:1]

    def objective(params: Any) -> tuple[Array, tuple[LossParts, list[Array]]]:
        model = program.merge_model(params, state.fixed)
        output = model(changed, model.draw(noise_key, changed, hyper))
        loss, parts = of_share(model, changed, output, hyper, ramps, weights, opened)
        return loss, (parts, [_sample_validation(model, batch, output, hyper, own) for own in withholding])

    (value, (parts, more)), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
    terms = (parts.reconstruction, parts.kl_ic, parts.kl_inputs, parts.correlation, jnp.ones_like(parts.kl_ic))
    sums = jnp.where(batch.trial_weight > 0, jnp.stack(terms), 0.0).sum(1)
    of_bias = [] if parts.kl_bias is None else [parts.kl_bias[None]]
    more = [jnp.where(batch.trial_weight > 0, figures, 0.0).sum(1) for figures in (*of_bias, *more)]
    return (value, parts.l2, ravel_pytree(gradient)[0]), (sums, more)


def _sample_validation(
    model: LFADS, batch: Batch, output: Output, hyper: HyperParams, augmentation: SampleValidation
) -> Float[Array, "two trial"]:
    """Returns each trial's negative log likelihood of the entries that train, and of withheld ones, by their shares."""
    rate, trained, left_out = jnp.asarray(hyper.sv_rate), jnp.zeros(batch.n_trials), jnp.zeros(batch.n_trials)
    seen = seen_targets(model, batch)
    for group, withheld in augmentation.withheld_targets(batch, hyper).items():
        entries = -entry_log_likelihood(model, batch, output, group, seen[group])
        trained = trained + jnp.where(withheld, 0.0, entries).sum((1, 2))
        left_out = left_out + jnp.where(withheld, entries, 0.0).sum((1, 2))
    return jnp.stack([trained / (1.0 - rate), left_out / rate])


SELECTION_SAMPLES = 8
"""Number of posterior samples of the selection score; fewer make the choice of the best model noisy."""
SELECTION_HIDDEN = 0.25
"""Share of the validation data that is hidden from the encoders for the selection score."""


class ValidReport(NamedTuple):
    """Validation figures in nats per trial, without dropout.

    Attributes:
        score: The selection score: negative log likelihood of entries that were hidden from the encoders (held-in
            neurons, bins of the encoder), averaged over posterior samples and divided by the share of hidden entries.
            Copying spikes does not lower it. It has no KL term, since scales of KL terms differ between models.
            That of `selection_groups` is added: of all their entries, or of the hidden ones in the same way if the
            encoders see the group. Weights of groups have no effect.
        reconstruction: Negative log likelihood of all targets at one posterior sample, without hidden entries.
        kl_ic: KL of the initial condition at the same sample.
        kl_inputs: KL of the inferred inputs at the same sample.
        kl_bias: KL of the bias at the same sample; NaN without a bias.
    """

    score: float
    reconstruction: float
    kl_ic: float
    kl_inputs: float
    kl_bias: float = np.nan

    @classmethod
    def of(cls, sums: Float[ArrayLike, " figure"]) -> ValidReport:
        """Returns the report from the results of `validate`, summed over blocks."""
        *figures, n_trials = np.asarray(sums).tolist()
        return cls(*(figure / n_trials for figure in figures))


def n_valid_figures(program: Program) -> int:
    """Returns the number of figures of an evaluation: the fields of `ValidReport` that this program has, and trials."""
    return len(ValidReport._fields) + ("kl_bias" in program.extra_figures)


def validate(program: Program, state: TrainState, block: Batch, key: Key[Array, ""]) -> Float[Array, " figure"]:
    """Returns sums over real trials of the fields of `ValidReport`, and the number of these trials; pure.

    The block holds validation batches, stacked along a first axis. The key must be the same at every evaluation, so
    that epochs and models are compared under the same noise and hidden entries.
    """
    evaluate = over_trials(partial(_evaluate, program), program.mesh, at_once=program.portion_limit)

    def batches(shared: Any, block: Batch) -> Array:
        def one(totals: Array, batch: Batch) -> tuple[Array, None]:
            return totals + evaluate(shared, batch)[1], None

        return jax.lax.scan(one, jnp.zeros(n_valid_figures(program)), block)[0]

    with program.products():
        return on_devices(batches, program.mesh)((state, key), block)


def _evaluate(
    program: Program, shared: tuple[TrainState, Array], batch: Batch, n_shares: int
) -> tuple[tuple[()], Array]:
    """Returns an empty tuple of averages, and sums of the trials' figures with their number, shape (figure,)."""
    state, key = shared
    model, _ = program.merge(state)
    hide_key, part_key, sample_key = derive(key, jnp.arange(3))
    score = _hidden_nll(model, batch, hide_key, sample_key, SELECTION_SAMPLES, program.selection_groups)
    output = model(batch, model.draw(part_key, batch))
    of_bias = kl_trial_bias(model, output)
    figures = (
        score,
        -reconstruction(model, batch, output, program.objective.reduction),
        kl_initial_condition(model, output),
        kl_inferred_inputs(model, batch, output, program.objective.estimator),
        *(() if of_bias is None else (of_bias,)),
        jnp.ones(batch.n_trials),
    )
    return (), jnp.where(batch.trial_weight > 0, jnp.stack(figures), 0.0).sum(1)


def _hidden_nll(
    model: LFADS, batch: Batch, hide_key: Array, sample_key: Array, n_samples: int, others: Sequence[str] = ()
) -> Float[Array, " trial"]:
    """Returns each trial's negative log likelihood of unseen entries, averaged over samples; see `ValidReport.score`.

    Hidden entries count for those of their group that are not hidden.
    """
    first, *seen_others = model.encoder_groups
    hiding = CoordinatedDropout(first, seen_others)
    masked, _, opened = hiding(batch, HyperParams(cd_rate=SELECTION_HIDDEN), hide_key)
    seen = seen_targets(model, batch)
    masks = {group: seen[group] & opened[group] for group in (first, *others) if group in seen}
    masks |= {group: model.scored(batch, group) for group in others if group not in seen}
    encoded = model.encode(masked)

    def one_sample(log_means: dict[str, Array], sample: Array) -> tuple[dict[str, Array], None]:
        noise = model.draw(derive(sample_key, sample), batch)
        output = model.decode(encoded, batch, noise)
        entries = {group: entry_log_likelihood(model, batch, output, group, mask) for group, mask in masks.items()}
        found = {group: jnp.logaddexp(log_means[group], of - jnp.log(n_samples)) for group, of in entries.items()}
        return found, None

    start = {group: jnp.full(mask.shape, -jnp.inf) for group, mask in masks.items()}
    log_means, _ = jax.lax.scan(one_sample, start, jnp.arange(n_samples))
    nll = {group: -jnp.where(mask, log_means[group], 0.0).sum((1, 2)) for group, mask in masks.items()}
    scores = [of / SELECTION_HIDDEN if group in seen else of for group, of in nll.items()]
    return sum(scores[1:], scores[0])


def select(state: TrainState, score: Array, epoch: Array, after_ramps: Array, schedule: Schedule) -> TrainState:
    """Updates the monitor of a state with a selection score; pure."""
    monitor = observe(state.monitor, score, state.params, epoch, after_ramps, schedule)
    return dataclasses.replace(state, monitor=monitor)


def watch_loss(state: TrainState, loss: Array, schedule: Schedule) -> TrainState:
    """Updates the monitor of a state with the training loss of an epoch; pure."""
    return dataclasses.replace(state, monitor=observe_loss(state.monitor, loss, schedule))


run_watch_loss = partial(jax.jit, donate_argnums=0)(watch_loss)
run_validate = partial(jax.jit, static_argnums=0)(validate)
run_select = partial(jax.jit, donate_argnums=0)(select)

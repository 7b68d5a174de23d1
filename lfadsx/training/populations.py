"""`population`: train many models in one program, and let a search decide between generations."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, PopulationConfig, TrainConfig, with_settings
from lfadsx.data.batching import Feed
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models.compatibility import check_fits
from lfadsx.models.initialization import initialise_if_needed
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation, CoordinatedDropout
from lfadsx.modules.spike_jitter import SpikeJitter
from lfadsx.objective import Objective
from lfadsx.search import AbstractStrategy, Ensemble
from lfadsx.search.builtin_strategies import describe
from lfadsx.training.callbacks import AbstractCallback, GenerationTable, ProgressBar
from lfadsx.training.cohort import OneModel, Stacked
from lfadsx.training.history import history_of
from lfadsx.training.loop import Loop, Position, of_members
from lfadsx.training.members import stack
from lfadsx.training.optimizer import check_optimizer, describe_optimizer
from lfadsx.training.results import FitResult, PopulationResult
from lfadsx.training.run_folder import RunFolder, make_info
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState, start
from lfadsx.training.stopping import MAX_SKIPPED_STEPS, Reason
from lfadsx.training.training_findings import training_findings

log = logging.getLogger("lfadsx")

Build = Callable[[Dataset, nnx.Rngs], LFADS]
"""Builds a member's model for its data, from the random numbers of its seed."""


def population(
    model: LFADS | Build,
    data: Dataset | Sequence[Dataset],
    *,
    members: int | None = None,
    strategy: AbstractStrategy | None = None,
    population: PopulationConfig | None = None,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    out: str | Path | None = None,
    mesh: Mesh | None = None,
    augmentations: Sequence[AbstractAugmentation] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
    trainable: Callable[[str], bool] | None = None,
    objective: Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    progress: bool = True,
    reset_learning_rate: bool = False,
    **settings: Any,
) -> PopulationResult:
    """Trains a population of models as one compiled program.

    Member m has the seed `config.seed + m` and, with a search that changes nothing, becomes what `fit` with that seed
    makes of its model; on a CPU bit for bit.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> build = lambda data, rngs: lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=rngs)
        >>> result = lfadsx.population(build, data, members=2, epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1)
        >>> len(result.members), result.reason
        (2, 'epochs')

    Args:
        model: A function of a data set and `nnx.Rngs` that builds a member's model, as in the example; or a model that
            all members start from.
        data: Training and validation trials; or a data set of the same shapes for each member.
        members: Number of members; overrides that of the argument `population`.
        strategy: What decides between generations: `Ensemble` (the default), `RandomSearch`, `PBT` or one of your own.
        population: Number of members and generations.
        hyper: Hyperparameters of whatever the strategy leaves alone.
        config: Run settings; its seed is that of the first member and of the search.
        out: Run folder for checkpoints. An unfinished population of the same settings in it is resumed; only
            `members_at_once` and `trials_at_once` may differ, which changes rounding. At the end, the folder
            `best_member` in it is an ordinary run folder.
        mesh: Spreads members over the devices of its axis `members` and trials over those of its axis `data`.
        augmentations: As in `fit`, shared by the members.
        callbacks: Called after epochs and generations, besides the table of generations.
        trainable: As in `fit`.
        objective: As in `fit`.
        optimizer: As in `fit`.
        progress: If True, a table of generations and a progress bar are shown.
        reset_learning_rate: As in `fit`.
        settings: Fields of `HyperParams`, `TrainConfig` and `PopulationConfig` by name.

    Raises:
        LfadsxError: If a setting is unknown or out of range, the data do not fit the model, members do not fit on the
            devices, or the members' models differ in more than their values.
        RunError: If `out` cannot be written or holds a run with other settings.
    """
    sizes = population or PopulationConfig()
    if not isinstance(sizes, PopulationConfig):
        raise LfadsxError(f"`population` must be a PopulationConfig, got {population!r}. Give members=8, say.")
    settings |= {} if members is None else {"population": members}
    whole = with_settings("population", settings, hyper or HyperParams(), config or TrainConfig(), sizes)
    numbers, train_config, sizes = whole
    if progress and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks = [GenerationTable(), *callbacks]
    return train(
        model,
        _datasets(data, sizes.population),
        strategy=strategy,
        population=sizes,
        hyper=numbers,
        config=train_config,
        out=out,
        mesh=mesh,
        augmentations=augmentations,
        callbacks=callbacks,
        trainable=trainable,
        objective=objective,
        optimizer=optimizer,
        reset_learning_rate=reset_learning_rate,
    )


def train(
    model: LFADS | Build,
    datasets: Sequence[Dataset],
    *,
    strategy: AbstractStrategy | None = None,
    population: PopulationConfig | None = None,
    hyper: HyperParams,
    config: TrainConfig,
    out: str | Path | None,
    mesh: Mesh | None,
    augmentations: Sequence[AbstractAugmentation] | None,
    callbacks: Sequence[AbstractCallback],
    trainable: Callable[[str], bool] | None,
    objective: Objective | None,
    optimizer: optax.GradientTransformation | None,
    reset_learning_rate: bool,
) -> PopulationResult:
    """Trains a model for each data set: what `fit` (no population) and `population` share; arguments are theirs."""
    strategy, n = strategy or Ensemble(), len(datasets)
    strategy.check(n)
    _check_devices(n, mesh)
    strategy = strategy.prepared((objective or config).reduction, _entries(datasets[0]))
    position = Position.start(strategy.start(np.random.default_rng([config.seed, 0]), n, hyper))
    for own in position.hypers:
        own.check()
    configs = [dataclasses.replace(config, seed=config.seed + member) for member in range(n)]
    most = max(d.train.n_trials for d in datasets), max(d.valid.n_trials for d in datasets)
    feeds = [Feed.of(d, c, mesh, least=most) for d, c in zip(datasets, configs, strict=True)]
    program, states, first = _begin(
        model,
        feeds,
        configs,
        augmentations,
        trainable=trainable,
        mesh=mesh,
        n_trials=most[0],
        objective=objective,
        optimizer=None if optimizer is None else check_optimizer(optimizer),
    )
    state = stack(states) if n > 1 else states[0]
    folder = None if out is None else RunFolder(out)
    if folder is not None:
        search = {"strategy": describe(strategy), "n_data": len({id(own) for own in datasets})}
        parts = {"objective": objective and repr(objective), "optimizer": optimizer and describe_optimizer(optimizer)}
        info = dataclasses.replace(
            make_info(first, datasets[0], hyper, config),
            population=dataclasses.asdict(population) | search if population else {},
            parts={name: text for name, text in parts.items() if text},
        )
        if folder.open(info):
            state, position = _resume(folder, state, position, reset_learning_rate)
    layout = feeds[0].train
    schedule = Schedule.of(config, layout.steps)
    ends = population.ends(config, layout.steps) if population else (config.epochs,)
    settings: dict[str, Any] = dict(epochs=ends[-1], mesh=mesh)
    if population and n > 1:
        cohort = Stacked(program, state, feeds, schedule, at_once=population.members_at_once, **settings)
    else:
        cohort = OneModel(program, state, feeds, schedule, **settings)
    how: dict[str, Any] = dict(folder=folder, callbacks=callbacks, is_population=population is not None)
    loop = Loop(cohort, position, strategy, ends, config, layout, **how)
    result = _result(loop, loop.run(), configs, datasets)
    if folder is not None and population and result.reason != "interrupted":
        member = result.ranking[0]
        best_hyper = HyperParams(**{name: of[member] for name, of in position.best_hyper.items()})
        folder.best_member.write_run(
            result.best, datasets[member], best_hyper, configs[member], layout.steps, member=member
        )
    return result


def _result(
    loop: Loop, reason: Reason, configs: Sequence[TrainConfig], datasets: Sequence[Dataset]
) -> PopulationResult:
    """Returns what `population` returns."""
    position, facts = loop.position, loop.cohort.facts()
    # Before the ramps end there is no best score; what broke down by then has none at all.
    before = np.where(facts.skipped > MAX_SKIPPED_STEPS, np.inf, facts.smoothed)
    scores = np.where(facts.best_epoch > 0, facts.best_score, before)
    hyper, members = of_members(position.best_hyper), []
    for member, (best, last) in enumerate(loop.cohort.models()):
        found: dict[str, Any] = dict(
            history=history_of(position.rows, member),
            reason=position.reasons[member] or reason,
            best_epoch=int(facts.best_epoch[member]),
            skipped_steps=int(facts.skipped[member]),
        )
        own = jax.tree.map(lambda values, member=member: values[member], hyper)
        n_bins = float(np.mean(datasets[member].valid.target_length))
        findings = training_findings(**found, hyper=own, config=loop.config, n_bins=n_bins)
        how: dict[str, Any] = dict(seconds=position.seconds, signal=loop.signal, findings=findings)
        members.append(FitResult(model=best, last=last, best_score=float(scores[member]), **found, **how))
    seeds = tuple(own.seed for own in configs)
    return PopulationResult(tuple(members), hyper, seeds, position.rows, reason, position.seconds, loop.signal)


def default_augmentations(model: LFADS, data: Dataset, config: TrainConfig) -> tuple[AbstractAugmentation, ...]:
    """Returns spike jitter, where the run settings ask for it, and coordinated dropout."""
    group = model.input_group
    jitter = (SpikeJitter(config.spike_jitter, group),) if config.spike_jitter else ()
    if jitter and not data.is_counts(group):
        raise LfadsxError(
            f"spike_jitter = {config.spike_jitter} moves spikes, but the data of {group!r} are real numbers. Give 0."
        )
    return (*jitter, CoordinatedDropout(group))


def _datasets(data: Dataset | Sequence[Dataset], n: int) -> list[Dataset]:
    """Returns a data set for each member."""
    if isinstance(data, Dataset):
        return [data] * n
    if len(data) != n:
        raise LfadsxError(f"{len(data)} data sets were given for {n} members. Give one for each, or one for all.")
    return list(data)


def _entries(data: Dataset) -> float:
    """Bins times neurons that a training trial reconstructs, the mean over trials."""
    split = data.train
    channels = np.array([sum(session.n_targets.values()) for session in data.sessions])
    return float(np.mean(split.target_length * channels[split.session]))


def _begin(
    model: LFADS | Build,
    feeds: Sequence[Feed],
    configs: Sequence[TrainConfig],
    augmentations: Sequence[AbstractAugmentation] | None,
    **settings: Any,
) -> tuple[Program, list[TrainState], LFADS]:
    """Returns the program that all members share, their first states, and the first member's model."""
    programs, states, models = [], [], []
    for feed, config in zip(feeds, configs, strict=True):
        own = model if isinstance(model, LFADS) else model(feed.data, nnx.Rngs(config.seed))
        own = initialise_if_needed(own, feed.data)
        check_fits(own, feed.data)
        chosen = default_augmentations(own, feed.data, config) if augmentations is None else augmentations
        program, state = start(own, chosen, config, **settings)
        models.append(own)
        programs.append(program)
        states.append(state)
    for member, program in enumerate(programs):
        if program != programs[0] or _shapes(states[member]) != _shapes(states[0]):
            raise LfadsxError(
                f"The model of member {member} has other sizes or parts than that of member 0, so they cannot share "
                "one program. Train models that differ in more than their values in populations of their own."
            )
    return programs[0], states, models[0]


def _shapes(state: TrainState) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(state)]


def _check_devices(n: int, mesh: Mesh | None) -> None:
    spread = 1 if mesh is None else mesh.shape["members"]
    if n > 1 and n % spread:
        raise LfadsxError(
            f"{n} members cannot be spread evenly over the {spread} devices of the mesh's axis `members`. Give a "
            "multiple of these, or make_mesh with another number."
        )


def _resume(
    folder: RunFolder, state: TrainState, position: Position, reset_learning_rate: bool
) -> tuple[TrainState, Position]:
    found = folder.restore_state(state)
    if found is None:
        return state, position
    state, position = found[0], Position(**found[1]["position"])
    log.info("The run in %s is resumed after epoch %d.", folder.path, position.epoch)
    if reset_learning_rate:
        state = dataclasses.replace(state, monitor=state.monitor.with_new_rate(state.step))
        position.forget_learning_rate()
    return state, position

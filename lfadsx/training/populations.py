"""`population`: train many models in one program, with a search that decides between generations."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from lfadsx import processes
from lfadsx.config import HyperParams, PopulationConfig, TrainConfig
from lfadsx.data.batching import Feed
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError, RunError
from lfadsx.models.compatibility import check_fits
from lfadsx.models.initialization import initialise_if_needed
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.objective import Objective
from lfadsx.parallel import meet
from lfadsx.search import AbstractStrategy, Ensemble
from lfadsx.search.builtin_strategies import describe
from lfadsx.settings import PopulationFitSettings
from lfadsx.settings_for_data import settings_line, with_suited
from lfadsx.training import checkpoint
from lfadsx.training.alike import check_alike, check_same_position
from lfadsx.training.callbacks import AbstractCallback, GenerationTable, ProgressBar
from lfadsx.training.cohort import Cohort, Stacked
from lfadsx.training.default_augmentations import SWITCHES, default_augmentations, switched_on
from lfadsx.training.history import history_of
from lfadsx.training.loop import Loop, Position, of_members
from lfadsx.training.members import stack
from lfadsx.training.optimizer import describe_optimizer
from lfadsx.training.results import FitResult, PopulationResult
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import make_info
from lfadsx.training.run_lock import check_held, locks_out
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState, start
from lfadsx.training.stopping import MAX_SKIPPED_STEPS, Reason
from lfadsx.training.training_findings import training_findings

log = logging.getLogger("lfadsx")

Build = Callable[[Dataset, nnx.Rngs], LFADS]
"""Builds a member's model for its data, with the random numbers of its seed."""


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
    notes: Mapping[str, Any] | None = None,
    **settings: Unpack[PopulationFitSettings],
) -> PopulationResult:
    """Trains a population of models as one compiled program.

    Member m has the seed `config.seed + m`. If the search changes nothing, it becomes the model that `fit` trains with
    that seed; on a CPU bit for bit.

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
        data: Training and validation trials for all members; or one data set for each member, of the same shapes.
        members: Number of members; overrides the number in `population`.
        strategy: Search that decides between generations: `Ensemble` (the default), `RandomSearch`, `PBT` or your own.
        population: Number of members and generations.
        hyper: Hyperparameters that the strategy does not change. By default as in `fit`, as is `config`.
        config: Run settings; `seed` seeds the first member and the search.
        out: Run folder for checkpoints. An unfinished population of the same settings in it is resumed; only
            `members_at_once` and `trials_at_once` may differ, which changes rounding. At the end, its folder
            `best_member` is an ordinary run folder.
        mesh: Spreads members over the devices of its axis `members` and trials over those of its axis `data`.
        augmentations: As in `fit`, shared by the members.
        callbacks: Called after epochs and generations, in addition to the table of generations.
        trainable: As in `fit`.
        objective: As in `fit`.
        optimizer: As in `fit`.
        progress: If True, a table of generations and a progress bar are shown.
        reset_learning_rate: As in `fit`.
        notes: As in `fit`.
        settings: Fields of `HyperParams`, `TrainConfig` and `PopulationConfig` by name.

    Raises:
        LfadsxError: If a setting is unknown or out of range, the data do not fit the model, members do not fit on the
            devices, or the members' models differ in more than their values.
        RunError: If `out` cannot be written or holds a run with other settings.
    """
    sizes = population or PopulationConfig()
    if not isinstance(sizes, PopulationConfig):
        raise LfadsxError(f"`population` must be a PopulationConfig, got {population!r}. Give members=8, say.")
    named = dict(settings) | ({} if members is None else {"population": members})
    first = data if isinstance(data, Dataset) else data[0]
    numbers, train_config, sizes = with_suited("population", first, named, hyper, config, sizes)
    log.info("%s.", settings_line(first, numbers, train_config))
    if progress and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks = [GenerationTable(), *callbacks]
    return train(
        model,
        _datasets(data, sizes.population),
        numbers,
        train_config,
        population=sizes,
        strategy=strategy or Ensemble(),
        out=out,
        mesh=mesh,
        callbacks=callbacks,
        reset_learning_rate=reset_learning_rate,
        notes=notes,
        augmentations=augmentations,
        trainable=trainable,
        objective=objective,
        optimizer=optimizer,
    )


@locks_out
def train(
    model: LFADS | Build,
    datasets: Sequence[Dataset],
    hyper: HyperParams,
    config: TrainConfig,
    *,
    population: PopulationConfig | None,
    strategy: AbstractStrategy,
    out: str | Path | None,
    mesh: Mesh | None,
    callbacks: Sequence[AbstractCallback],
    reset_learning_rate: bool,
    notes: Mapping[str, Any] | None,
    objective: Objective | None,
    optimizer: optax.GradientTransformation | None,
    **parts: Any,
) -> PopulationResult:
    """Trains a model for each data set; shared by `fit`, for which `population` is None, and `population`."""
    n, folder = len(datasets), None if out is None else RunFolder(out)
    earlier = None if folder is None else folder.begun(population=population is not None)
    strategy.check(n)
    _check_devices(n, mesh)
    strategy = strategy.prepared((objective or config).reduction, _entries(datasets[0]))
    position = Position.start(strategy.start(np.random.default_rng([config.seed, 0]), n, hyper))
    for own in position.hypers:
        own.check()
    configs = [dataclasses.replace(config, seed=config.seed + member) for member in range(n)]
    feeds = [Feed.of(d, c, mesh, others=datasets) for d, c in zip(datasets, configs, strict=True)]
    parts |= dict(mesh=mesh, n_trials=max(d.train.n_trials for d in datasets), objective=objective, optimizer=optimizer)
    parts["switches"] = switched_on(position.hypers, strategy)
    program, states, first = _begin(model, feeds, configs, **parts)
    state = stack(states) if n > 1 else states[0]
    layout = feeds[0].train
    config = config.with_ramps(layout.steps, None if earlier is None else earlier.train)
    configs = [dataclasses.replace(config, seed=own.seed) for own in configs]
    _warn_of_ramps(config, layout.steps)
    search = {"strategy": describe(strategy), "n_data": len({id(own) for own in datasets})}
    sizes = dataclasses.asdict(population) | search if population else {}
    given = {"objective": objective and repr(objective), "optimizer": optimizer and describe_optimizer(optimizer)}
    given = {name: text for name, text in given.items() if text}
    how_made: dict[str, Any] = dict(population=sizes, parts=given, notes=dict(notes or {}))
    if processes.count() > 1:
        check_alike(make_info(first, datasets[0], hyper, config, **how_made), earlier, datasets, mesh)
        meet(mesh)
    if folder is not None:
        info = make_info(first, datasets[0], hyper, config, **how_made)
        if earlier is None:
            processes.on_first(lambda: folder.write_info(info), None)
        else:
            more = folder.check_same(earlier, info)
            state, position = _resume(folder, state, position, config, reset_learning_rate)
            if more and not position.reason and processes.is_first():
                continued = [*earlier.continued, position.epoch]
                folder.write_info(dataclasses.replace(earlier, train=info.train, continued=continued))
    position.epochs = config.epochs
    schedule = Schedule.of(config, layout.steps, int(np.max(state.monitor.rate_start)))
    ends = population.ends(config, layout.steps) if population else (config.epochs,)
    settings: dict[str, Any] = dict(epochs=ends[-1], mesh=mesh)
    if population and n > 1:
        cohort = Stacked(program, state, feeds, schedule, at_once=population.members_at_once, **settings)
    else:
        cohort = Cohort(program, state, feeds, schedule, **settings)
    off = set(SWITCHES) - parts["switches"] if parts["augmentations"] is None else ()
    callbacks = callbacks if processes.is_first() else ()
    loop = Loop(cohort, position, strategy, ends, config, layout, folder, callbacks, population is not None, off)
    result = _result(loop, loop.run(), configs, datasets)
    if folder is not None and population and result.reason != "interrupted" and processes.is_first():
        check_held(folder.path)
        member = result.ranking[0]
        best_hyper = HyperParams(**{name: of[member] for name, of in position.best_hyper.items()})
        folder.best_member.write_run(
            result.best, datasets[member], best_hyper, configs[member], layout.steps, member=member
        )
    return result


def _result(
    loop: Loop, reason: Reason, configs: Sequence[TrainConfig], datasets: Sequence[Dataset]
) -> PopulationResult:
    """Returns the result of `population`."""
    position, facts = loop.position, loop.cohort.facts()
    # Best scores exist only after the ramps end; members that broke down earlier have none.
    before = np.where(facts.skipped > MAX_SKIPPED_STEPS, np.inf, facts.smoothed)
    scores = np.where(facts.best_epoch > 0, facts.best_score, before)
    hyper, members = of_members(position.best_hyper), []
    for member, (best, last) in enumerate(loop.cohort.models()):
        skips, rescues = position.skips_of(member), position.rescues_of(member)
        found: dict[str, Any] = dict(
            history=history_of(position.rows, member),
            reason=position.reasons[member] or reason,
            best_epoch=int(facts.best_epoch[member]),
            skipped_steps=int(facts.skipped[member]) + sum(rescue["skipped"] for rescue in rescues),
        )
        own = jax.tree.map(lambda values, member=member: values[member], hyper)
        n_bins = float(np.mean(datasets[member].valid.target_length))
        past: dict[str, Any] = dict(n_bins=n_bins, skips=skips, rescues=rescues)
        findings = training_findings(**found, hyper=own, config=loop.config, **past)
        how: dict[str, Any] = dict(seconds=position.seconds, signal=loop.signal, findings=findings)
        members.append(FitResult(model=best, last=last, best_score=float(scores[member]), **found, **how))
    seeds = tuple(own.seed for own in configs)
    return PopulationResult(tuple(members), hyper, seeds, position.rows, reason, position.seconds, loop.signal)


def _datasets(data: Dataset | Sequence[Dataset], n: int) -> list[Dataset]:
    """Returns a data set for each member."""
    if isinstance(data, Dataset):
        return [data] * n
    if len(data) != n:
        raise LfadsxError(f"`data` must be one data set, or one for each of {n} members, got {len(data)}.")
    return list(data)


def _entries(data: Dataset) -> float:
    """Returns the number of bins times neurons that a training trial reconstructs, averaged over trials."""
    split = data.train
    channels = np.array([sum(session.n_targets.values()) for session in data.sessions])
    return float(np.mean(split.target_length * channels[split.session]))


def _begin(
    model: LFADS | Build,
    feeds: Sequence[Feed],
    configs: Sequence[TrainConfig],
    augmentations: Sequence[AbstractAugmentation] | None,
    switches: frozenset[str],
    **settings: Any,
) -> tuple[Program, list[TrainState], LFADS]:
    """Returns the program that all members share, their first states, and the first member's model."""
    programs, states, models = [], [], []
    for feed, config in zip(feeds, configs, strict=True):
        own = model if isinstance(model, LFADS) else model(feed.data, nnx.Rngs(config.seed))
        own = initialise_if_needed(own, feed.data)
        check_fits(own, feed.data)
        chosen = augmentations
        if chosen is None:
            chosen = default_augmentations(own, feed.data, config, switches)
        program, state = start(own, chosen, config, **settings)
        models.append(own)
        programs.append(program)
        states.append(state)
    for member, program in enumerate(programs):
        if program != programs[0] or _shapes(states[member]) != _shapes(states[0]):
            raise LfadsxError(
                f"All members must have models of the same sizes and parts, but member {member} differs from member 0. "
                "Train models of different sizes in separate populations."
            )
    return programs[0], states, models[0]


def _shapes(state: TrainState) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(state)]


def _check_devices(n: int, mesh: Mesh | None) -> None:
    spread = 1 if mesh is None else mesh.shape["members"]
    if n > 1 and n % spread:
        raise LfadsxError(
            f"The number of members must be a multiple of the {spread} devices of the mesh's axis `members`, got {n}. "
            "Change it, or call make_mesh with another `members`."
        )


def _resume(
    folder: RunFolder,
    state: TrainState,
    position: Position,
    config: TrainConfig,
    reset_learning_rate: bool,
) -> tuple[TrainState, Position]:
    """Returns the newest saved state and position of a run, those of a new run if nothing was saved."""
    found = checkpoint.restore_newest(folder.checkpoints, state)
    check_same_position(found and found[1]["position"])
    if found is None:
        return state, position
    state, position = found[0], Position(**found[1]["position"])
    more, cosine = position.epoch < config.epochs and position.reason == "epochs", config.schedule == "cosine"
    if more:
        position.reason = None
    if cosine and not position.reason and position.epochs not in (0, config.epochs) and not more:
        raise RunError(
            f"An unfinished run with a cosine schedule must be resumed with its own `epochs`, {position.epochs}, got "
            f"{config.epochs}. Resume it, and give more epochs when it has finished."
        )
    new_cosine = more and cosine
    if new_cosine or reset_learning_rate:
        state = dataclasses.replace(state, monitor=state.monitor.with_new_rate(state.step))
        position.forget_learning_rate()
    if position.reason:
        log.info("The run in %s ended after epoch %d: %s.", folder.path, position.epoch, position.reason)
    else:
        rate = f", with a new cosine from learning rate {position.hyper['learning_rate'][0]:g}" if new_cosine else ""
        what = folder.path, position.epoch, config.epochs, rate
        log.info("Resuming the run in %s after epoch %d of %d%s.", *what)
    return state, position


def _warn_of_ramps(config: TrainConfig, steps_per_epoch: int) -> None:
    """Says before training that no model can be selected because the ramps are too long."""
    end = config.ramp_end(steps_per_epoch)
    if end > config.epochs:
        log.warning(
            "The ramps end after epoch %d, but training has %d epochs: the last model will be used instead of a "
            "selected one. Give more epochs, or shorter ramps (kl_ramp_epochs, l2_ramp_epochs).",
            end,
            config.epochs,
        )

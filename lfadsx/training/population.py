"""`fit_population`: train many models in one program, and let a search decide between generations."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, PopulationConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.data.feed import Feed
from lfadsx.errors import LfadsxError
from lfadsx.models.compatibility import check_fits
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.parallel import to_host
from lfadsx.search import AbstractStrategy, Ensemble, describe
from lfadsx.training import checkpoint, run_folder
from lfadsx.training.cohort import Cohort
from lfadsx.training.fit import FitResult, Reason, default_augmentations
from lfadsx.training.generation_log import AbstractPopulationCallback
from lfadsx.training.generation_loop import STEP_SIZE, GenerationLoop, Position, by_name, of_member, of_members
from lfadsx.training.history import Row, columns
from lfadsx.training.lineage import ancestry
from lfadsx.training.members import stack
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState, start

log = logging.getLogger("lfadsx")

Build = Callable[[Dataset, nnx.Rngs], LFADS]
"""Builds a member's model for its data, from the random numbers of its seed."""


@dataclasses.dataclass(frozen=True)
class PopulationResult:
    """What `fit_population` returns.

    Attributes:
        members: What `fit` would return of each member; where weights were copied, the history is that of the member
            itself since then and of the one that they come from before.
        hyper: Hyperparameters that each member's best model was being trained with, arrays of shape (member,).
        seeds: Seeds of the members.
        rows: A row of figures for every member at every evaluation.
        reason: Why training stopped: "epochs", "generations", "converged" (the search's own rule), "finished" (every
            member had its own reason, which may be "search": it was dismissed), "not finite" (all broke down) or
            "interrupted".
        seconds: Time spent, all runs of a resumed one together.
        signal: Number of the signal that interrupted the run, 0 for none.
    """

    members: tuple[FitResult, ...]
    hyper: HyperParams
    seeds: tuple[int, ...]
    rows: list[Row]
    reason: Reason
    seconds: float
    signal: int = 0

    @property
    def ranking(self) -> list[int]:
        """The members by their best selection scores, the best one first."""
        return sorted(range(len(self.members)), key=lambda member: self.members[member].best_score)

    @property
    def best(self) -> FitResult:
        """The member with the best selection score."""
        return self.members[self.ranking[0]]


def fit_population(
    model: LFADS | Build,
    data: Dataset | Sequence[Dataset],
    *,
    strategy: AbstractStrategy | None = None,
    population: PopulationConfig | None = None,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    out: str | Path | None = None,
    mesh: Mesh | None = None,
    augmentations: Sequence[AbstractAugmentation] | None = None,
    callbacks: Sequence[AbstractPopulationCallback] = (),
    trainable: Callable[[str], bool] | None = None,
) -> PopulationResult:
    """Trains a population of models as one compiled program.

    Member m has the seed `config.seed + m` and, with a search that changes nothing, becomes what `fit` with that seed
    makes of its model; on a CPU bit for bit.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> build = lambda data, rngs: lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=rngs)
        >>> config = lfadsx.TrainConfig(epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1)
        >>> members = lfadsx.PopulationConfig(population=2)
        >>> result = lfadsx.fit_population(build, data, population=members, config=config)
        >>> len(result.members), result.reason
        (2, 'epochs')

    Args:
        model: A function of a data set and `nnx.Rngs` that builds a member's model, as in the example; or a model that
            all members start from.
        data: Training and validation trials; or a data set of the same shapes for each member.
        strategy: What decides between generations: `Ensemble` (the default), `RandomSearch`, `PBT` or one of your own.
        population: Number of members and generations.
        hyper: Hyperparameters of whatever the strategy leaves alone.
        config: Run settings; its seed is that of the first member and of the search.
        out: Run folder for checkpoints. If it holds an unfinished population of the same settings, that one goes on.
            Only `members_at_once` and `trials_at_once` may differ, and then the rounding does.
            When all is done, `best_member` in it is an ordinary run folder.
        mesh: Spreads members over the devices of its axis `members` and trials over those of its axis `data`.
        augmentations: As in `fit`, shared by the members.
        callbacks: Called after epochs and generations.
        trainable: As in `fit`.

    Raises:
        LfadsxError: If a setting is out of range, the data do not fit the model, members do not fit on the devices, or
            the members' models differ in more than their values.
        RunError: If `out` cannot be written or holds a run with other settings.
    """
    strategy, population = strategy or Ensemble(), population or PopulationConfig()
    hyper, config = hyper or HyperParams(), config or TrainConfig()
    n = population.population
    strategy.check(n)
    _check_devices(n, mesh)
    datasets = _datasets(data, n)
    strategy = strategy.prepared(config.reduction, _entries(datasets[0]))
    rng = np.random.default_rng([config.seed, 0])
    position = Position.start(strategy.start(rng, n, hyper))
    for member in range(n):
        of_member(position.hyper, member).check()
    configs = [dataclasses.replace(config, seed=config.seed + member) for member in range(n)]
    most = max(d.train.n_trials for d in datasets), max(d.valid.n_trials for d in datasets)
    feeds = [Feed.of(d, c, mesh, least=most) for d, c in zip(datasets, configs, strict=True)]
    program, state, info = _begin(model, feeds, configs, hyper, augmentations, trainable, mesh, most[0])
    folder = None if out is None else Path(out).absolute()
    if folder is not None:
        info = dataclasses.replace(
            info, population={**dataclasses.asdict(population), "strategy": describe(strategy), "n_data": len(datasets)}
        )
        if run_folder.open_run(folder, info):
            state, position = _resume(folder, state, position)
    layout = feeds[0].train
    schedule, ends = Schedule.of(config, layout.steps), population.ends(config, layout.steps)
    cohort = Cohort(program, state, feeds, schedule, epochs=ends[-1], at_once=population.members_at_once, mesh=mesh)
    loop = GenerationLoop(cohort, position, strategy, population, config, layout, folder)
    for callback in callbacks:
        callback.on_start(position.rows)
    reason = loop.run(callbacks)
    for callback in callbacks:
        callback.on_end(reason)
    result = _result(loop, reason, [config.seed for config in configs])
    if folder is not None and reason != "interrupted":
        write_best(folder / run_folder.BEST_MEMBER, result, feeds, configs)
    return result


def _result(loop: GenerationLoop, reason: Reason, seeds: Sequence[int]) -> PopulationResult:
    """Returns what `fit_population` returns."""
    position, state, monitor = loop.position, loop.cohort.state, loop.cohort.state.monitor
    best_epoch, skipped = to_host(monitor.best_epoch), to_host(state.skipped)
    # Before the ramps end there is no best score; what broke down by then has none at all.
    before = np.where(skipped > loop.config.max_skipped_steps, np.inf, to_host(monitor.smoothed))
    scores = np.where(best_epoch > 0, to_host(monitor.best_score), before)
    members = [
        FitResult(
            model=best,
            last=last,
            history=_history(position.rows, member),
            reason=position.reasons[member] or reason,
            best_epoch=int(best_epoch[member]),
            best_score=float(scores[member]),
            skipped_steps=int(skipped[member]),
            seconds=position.seconds,
            signal=loop.signal,
        )
        for member, (best, last) in enumerate(loop.cohort.models())
    ]
    return PopulationResult(
        members=tuple(members),
        hyper=of_members(position.best_hyper),
        seeds=tuple(seeds),
        rows=position.rows,
        reason=reason,
        seconds=position.seconds,
        signal=loop.signal,
    )


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
    hyper: HyperParams,
    augmentations: Sequence[AbstractAugmentation] | None,
    trainable: Callable[[str], bool] | None,
    mesh: Mesh | None,
    n_trials: int,
) -> tuple[Program, TrainState, run_folder.RunInfo]:
    """Returns the program that all members share, their first states, and what the run says about itself."""
    programs, states, models = [], [], []
    for feed, config in zip(feeds, configs, strict=True):
        own = model if isinstance(model, LFADS) else model(feed.data, nnx.Rngs(config.seed))
        check_fits(own, feed.data)
        models.append(own)
        chosen = default_augmentations(own, config) if augmentations is None else augmentations
        program, state = start(own, chosen, config, n_trials=n_trials, trainable=trainable, mesh=mesh)
        programs.append(program)
        states.append(state)
    for member, program in enumerate(programs):
        if program != programs[0] or _shapes(states[member]) != _shapes(states[0]):
            raise LfadsxError(
                f"The model of member {member} has other sizes or parts than that of member 0, so they cannot share "
                "one program. Train models that differ in more than their values in populations of their own."
            )
    return programs[0], stack(states), run_folder.make_info(models[0], feeds[0].data, hyper, configs[0])


def _shapes(state: TrainState) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(state)]


def _check_devices(n: int, mesh: Mesh | None) -> None:
    spread = 1 if mesh is None else mesh.shape["members"]
    if n % spread:
        raise LfadsxError(
            f"{n} members cannot be spread evenly over the {spread} devices of the mesh's axis `members`. Give a "
            "multiple of these, or make_mesh with another number."
        )


def _resume(folder: Path, state: TrainState, position: Position) -> tuple[TrainState, Position]:
    found = checkpoint.restore_newest(folder / "checkpoints", state)
    if found is None:
        return state, position
    state, position = found[0], Position(**found[1]["position"])
    log.info("The population in %s goes on after epoch %d.", folder, position.epoch)
    return state, position


def _history(rows: Sequence[Row], member: int) -> dict[str, np.ndarray]:
    """Returns the figures of a member and of those whose weights it had before, named as those of `fit`."""
    others = {"generation", "member", "parent", "active", "best_score", STEP_SIZE}
    others |= {f.name for f in dataclasses.fields(HyperParams)}
    own = [row for row in ancestry(rows, member) if row["active"]] if rows else []
    kept = [{name: value for name, value in row.items() if name not in others} for row in own]
    return columns([row | {"learning_rate": full[STEP_SIZE]} for row, full in zip(kept, own, strict=True)])


def write_best(folder: Path, result: PopulationResult, feeds: Sequence[Feed], configs: Sequence[TrainConfig]) -> None:
    """Writes the best member as the run folder that `fit` would have written."""
    member, best = result.ranking[0], result.best
    feed, hyper = feeds[member], of_member(by_name(result.hyper), member)
    run_folder.write_info(folder, run_folder.make_info(best.model, feed.data, hyper, configs[member]))
    trained = int(best.history["epoch"][-1]) if best.history else 0
    epochs = {"best": best.best_epoch or trained, "last": trained}
    for (name, epoch), model in zip(epochs.items(), (best.model, best.last), strict=True):
        meta = {"epoch": epoch, "best_epoch": best.best_epoch, "step": epoch * feed.train.steps, "member": member}
        checkpoint.save(folder / name, {"model": nnx.state(model)}, meta)

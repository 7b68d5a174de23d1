"""The host's side of a population: epochs, generations, what the search decides, and when to stop."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lfadsx.config import HyperParams, PopulationConfig, TrainConfig
from lfadsx.data.batching import Layout
from lfadsx.parallel import to_host
from lfadsx.search import AbstractStrategy, Generation
from lfadsx.training import checkpoint
from lfadsx.training.cohort import Cohort
from lfadsx.training.fit import Reason, reason_to_stop
from lfadsx.training.generation_log import AbstractPopulationCallback, PopulationProgress
from lfadsx.training.history import Row, report_skipped, summarise, valid_loss
from lfadsx.training.signals import stop_request
from lfadsx.training.step import StepReport, ValidReport

log = logging.getLogger("lfadsx")

STEP_SIZE = "step_size"
"""Name of the learning rate of an epoch's last step, schedule included; `learning_rate` is the hyperparameter."""


@dataclasses.dataclass
class Position:
    """Where a population stands, on the host; saved with every checkpoint, hence of plain numbers.

    Attributes:
        hyper: Hyperparameters of the members by name.
        best_hyper: The same of each member's best model.
        parents: The slot whose weights each member began the generation with.
        active: Whether each member trains.
        reasons: Why those that do not have stopped.
        epoch: Number of epochs trained.
        block: Number of blocks trained of the next one.
        generation: Number of the generation.
        rows: A row of figures for every member at every evaluation.
        best: The best score at the end of each generation.
        pending: Figures of the blocks of an epoch that has not ended, (block, member, step, figure).
        seconds: Time spent.
        reason: Why the population has stopped.
    """

    hyper: dict[str, list[float]]
    best_hyper: dict[str, list[float]]
    parents: list[int]
    active: list[bool]
    reasons: list[Any]
    epoch: int = 0
    block: int = 0
    generation: int = 1
    rows: list[Row] = dataclasses.field(default_factory=list)
    best: list[float] = dataclasses.field(default_factory=list)
    pending: list[Any] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    reason: Any = None

    @classmethod
    def start(cls, hyper: HyperParams) -> Position:
        """Returns the position before the first step of members with hyperparameters of shape (member,)."""
        n = len(hyper.learning_rate)  # pyright: ignore[reportArgumentType]
        return cls(by_name(hyper), by_name(hyper), list(range(n)), [True] * n, [None] * n)


def by_name(hyper: HyperParams) -> dict[str, list[float]]:
    """Returns the members' hyperparameters as lists, one value for each member."""
    return {f.name: np.asarray(getattr(hyper, f.name), float).tolist() for f in dataclasses.fields(hyper)}


def of_members(values: dict[str, list[float]]) -> HyperParams:
    """Returns hyperparameters as arrays of shape (member,), from what `by_name` returned."""
    return HyperParams(**{name: np.array(of) for name, of in values.items()})  # pyright: ignore[reportArgumentType]


def of_member(values: dict[str, list[float]], member: int) -> HyperParams:
    """Returns one member's hyperparameters as numbers."""
    return HyperParams(**{name: of[member] for name, of in values.items()})


class GenerationLoop:
    """Hands out blocks to all members, validates, asks the strategy, saves, and decides to stop."""

    def __init__(
        self,
        cohort: Cohort,
        position: Position,
        strategy: AbstractStrategy,
        population: PopulationConfig,
        config: TrainConfig,
        layout: Layout,
        folder: Path | None,
    ) -> None:
        self.cohort, self.position, self.strategy = cohort, position, strategy
        self.config, self.layout, self.folder = config, layout, folder
        self.n, self.ends = population.population, population.ends(config, layout.steps)
        self.signal = 0

    def run(self, callbacks: Sequence[AbstractPopulationCallback]) -> Reason:
        """Trains until there is a reason to stop."""
        began, before = time.monotonic(), self.position.seconds
        last_save, position = began, self.position
        with stop_request() as requested:
            while not position.reason:
                ended_epoch = self._train_block()
                position.seconds = before + time.monotonic() - began
                if ended_epoch:
                    self._end_epoch()
                    for callback in callbacks:
                        callback.on_epoch_end(position.epoch, position.rows)
                    if position.epoch in self.ends or not any(position.active):
                        self._end_generation(callbacks)
                stopped = requested() if not position.reason else 0
                due = time.monotonic() - last_save > 60.0 * self.config.checkpoint_minutes
                if self.folder is not None and (position.reason or stopped or due):
                    self._save(self.folder)
                    last_save = time.monotonic()
                if stopped:
                    self.signal = stopped
                    return "interrupted"
        return position.reason

    def _train_block(self) -> bool:
        """Trains one block of every active member; returns whether it ended an epoch."""
        position = self.position
        hyper, active = of_members(position.hyper), np.array(position.active)
        figures = self.cohort.train(position.epoch, position.block, hyper, active)
        position.pending.append(figures.tolist())
        for member in np.flatnonzero(active):
            report_skipped(_steps(figures[member]), position.epoch + 1, f"Member {member}: ")
        position.block += 1
        return position.block == self.layout.blocks

    def _end_epoch(self) -> None:
        position, config = self.position, self.config
        position.epoch, position.block = position.epoch + 1, 0
        epochs = [summarise([_steps(block[member]) for block in position.pending]) for member in range(self.n)]
        position.pending = []
        if config.schedule == "training_loss":
            self.cohort.watch([epoch["loss"] for epoch in epochs], np.array(position.active))
        if position.epoch % config.validate_every == 0 or position.epoch == config.epochs:
            self._evaluate(epochs)
        self._retire()

    def _evaluate(self, epochs: Sequence[Row]) -> None:
        """Evaluates the validation trials, lets the monitors see the scores, and adds the rows."""
        position, active = self.position, np.array(self.position.active)
        reports = self.cohort.validate(active)
        after_ramps = position.epoch >= self.config.ramp_end(self.layout.steps)
        self.cohort.select([report.score for report in reports], position.epoch, after_ramps, active)
        monitor = self.cohort.state.monitor
        best, is_new = to_host(monitor.best_score), to_host(monitor.best_epoch) == position.epoch
        for member, (report, trained) in enumerate(zip(reports, epochs, strict=True)):
            if is_new[member] and active[member]:
                for name, values in position.hyper.items():
                    position.best_hyper[name][member] = values[member]
            position.rows.append(self._row(member, report, trained, float(best[member])))

    def _row(self, member: int, report: ValidReport, trained: Row, best_score: float) -> Row:
        position = self.position
        hyper = of_member(position.hyper, member)
        row = {
            "generation": float(position.generation),
            "epoch": float(position.epoch),
            "member": float(member),
            "parent": float(position.parents[member]),
            "active": float(position.active[member]),
            "score": report.score,
            "best_score": best_score,
            **trained,
            STEP_SIZE: trained["learning_rate"],
            "valid_reconstruction": report.reconstruction,
            "valid_kl_ic": report.kl_ic,
            "valid_kl_inputs": report.kl_inputs,
            "seconds": position.seconds,
        }
        return row | {"valid_loss": valid_loss(row, hyper)} | dataclasses.asdict(hyper)

    def _retire(self) -> None:
        """Lets members rest that have a reason of their own to stop."""
        state, monitor, position = self.cohort.state, self.cohort.state.monitor, self.position
        facts = [monitor.rate_scale, state.step - monitor.rate_start, state.skipped, monitor.since_best]
        for member, (scale, steps, skipped, since) in enumerate(zip(*map(to_host, facts), strict=True)):
            reason = reason_to_stop(
                self.config,
                self.cohort.schedule,
                learning_rate=position.hyper["learning_rate"][member] * float(scale),
                steps=int(steps),
                skipped=int(skipped),
                since_best=int(since) if self.strategy.early_stopping else 0,
            )
            if reason and position.active[member]:
                position.active[member], position.reasons[member] = False, reason
                log.info("Member %d trains no longer after epoch %d: %s.", member, position.epoch, reason)

    def _end_generation(self, callbacks: Sequence[AbstractPopulationCallback]) -> None:
        """Asks the strategy what the next generation is, unless this was the last one."""
        position = self.position
        progress = PopulationProgress(position.generation, position.epoch, self.ends[-1], position.rows)
        for callback in callbacks if position.rows else ():
            callback.on_generation_end(progress)
        scores = self._scores()
        position.best.append(float(scores.min()))
        position.reason = self._reason(scores)
        if position.reason:
            return
        rng = np.random.default_rng([self.config.seed, position.generation])
        generation = Generation(position.generation, scores, of_members(position.hyper), np.array(position.active))
        decision = self.strategy.decide(rng, generation)
        parents, active = np.asarray(decision.parents), np.asarray(decision.active)
        self.cohort.exchange(parents)
        position.hyper = by_name(decision.hyper)
        for member in range(self.n):
            of_member(position.hyper, member).check()
        position.best_hyper = {name: [of[parent] for parent in parents] for name, of in position.best_hyper.items()}
        # Who goes on, with its own weights or another one's, has no reason to stop any more.
        reasons = zip(active, position.reasons, strict=True)
        position.reasons = [None if on else reason or "search" for on, reason in reasons]
        position.parents, position.active = parents.tolist(), active.tolist()
        position.generation += 1
        if not active.any():
            position.reason = "finished"

    def _scores(self) -> Float[np.ndarray, " member"]:
        """The members' smoothed scores; infinite for those that broke down."""
        state, newest = self.cohort.state, {int(row["member"]): row["score"] for row in self.position.rows}
        broken = to_host(state.skipped) > self.config.max_skipped_steps
        failed = [on and not math.isfinite(newest[m]) for m, on in enumerate(self.position.active)]
        return np.where(broken | np.array(failed), np.inf, to_host(state.monitor.smoothed).astype(float))

    def _reason(self, scores: np.ndarray) -> Reason | None:
        position = self.position
        if not np.isfinite(scores).any():
            return "not finite"
        if position.epoch >= self.ends[-1]:
            return "epochs" if self.ends[-1] == self.config.epochs else "generations"
        if self.strategy.is_done(position.best):
            return "converged"
        return None

    def _save(self, folder: Path) -> None:
        position = self.position
        step = position.epoch * self.layout.steps + position.block * self.layout.block_steps
        meta = {"position": dataclasses.asdict(position)}
        keep = self.config.checkpoints_to_keep
        checkpoint.save_numbered(folder / "checkpoints", step, self.cohort.state, meta, keep=keep)


def _steps(figures: Any) -> dict[str, list[float]]:
    """The figures of a member's steps by name."""
    return {name: list(values) for name, values in StepReport.of(np.array(figures))._asdict().items()}

"""The training loop: blocks, epochs, generations and stopping. A single model is a population of one."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lfadsx import processes
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.batching import Layout
from lfadsx.search import AbstractStrategy, Generation
from lfadsx.training import checkpoint
from lfadsx.training.broken_steps import Skip, broken_sum, report_skipped
from lfadsx.training.callbacks import AbstractCallback, Progress
from lfadsx.training.cohort import Cohort, Facts
from lfadsx.training.default_augmentations import check_off
from lfadsx.training.history import STEP_SIZE, Row, single, summarise, valid_loss
from lfadsx.training.rescue import Rescue
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_lock import check_held
from lfadsx.training.step import StepReport, ValidReport
from lfadsx.training.stopping import MAX_SKIPPED_STEPS, Reason, reason_to_stop, stop_request

log = logging.getLogger("lfadsx")


@dataclasses.dataclass
class Position:
    """Position of a run, on the host. It is saved with every checkpoint, so it holds plain numbers.

    Attributes:
        hyper: Hyperparameters of the members by name.
        best_hyper: Hyperparameters of each member's best model by name.
        parents: For each member, the member whose weights it had at the start of the generation.
        active: Whether each member trains.
        reasons: Why each member stopped; None while it trains.
        epoch: Number of epochs trained.
        block: Number of blocks trained of the next epoch.
        generation: Number of the generation.
        epochs: Number of epochs after which the run ends.
        rows: A row of figures for every member and epoch.
        best: The best score at the end of each generation.
        skips: Causes of skipped steps, those of the first one of each block and member.
        rescues: The rescues of all members in order.
        pending: Figures of the blocks of an unfinished epoch, (block, member, step, figure).
        seconds: Time spent, in seconds.
        reason: Why the run stopped; None while it runs.
    """

    hyper: dict[str, list[float]]
    best_hyper: dict[str, list[float]]
    parents: list[int]
    active: list[bool]
    reasons: list[Any]
    epoch: int = 0
    block: int = 0
    generation: int = 1
    epochs: int = 0
    rows: list[Row] = dataclasses.field(default_factory=list)
    best: list[float] = dataclasses.field(default_factory=list)
    pending: list[Any] = dataclasses.field(default_factory=list)
    skips: list[Skip] = dataclasses.field(default_factory=list)
    rescues: list[Rescue] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    reason: Any = None

    @classmethod
    def start(cls, hyper: HyperParams) -> Position:
        """Returns the position before the first step; hyperparameters have the shape (member,)."""
        n = len(hyper.learning_rate)  # pyright: ignore[reportArgumentType]
        return cls(by_name(hyper), by_name(hyper), list(range(n)), [True] * n, [None] * n)

    @property
    def hypers(self) -> list[HyperParams]:
        """Each member's hyperparameters as numbers."""
        return [HyperParams(**{name: of[m] for name, of in self.hyper.items()}) for m in range(len(self.active))]

    def skips_of(self, member: int) -> list[Skip]:
        """Returns the causes of a member's skipped steps."""
        return [skip for skip in self.skips if skip["member"] == member]

    def rescues_of(self, member: int) -> list[Rescue]:
        """Returns the rescues of a member in order."""
        return [rescue for rescue in self.rescues if rescue["member"] == member]

    def forget_learning_rate(self) -> None:
        """Reactivates members that stopped because their learning rate was low."""
        for member, reason in enumerate(self.reasons):
            if reason == "learning rate":
                self.active[member], self.reasons[member] = True, None
        if self.reason == "finished" and any(self.active):
            self.reason = None


def by_name(hyper: HyperParams) -> dict[str, list[float]]:
    """Returns the members' hyperparameters as lists, one value for each member."""
    return {f.name: np.asarray(getattr(hyper, f.name), float).tolist() for f in dataclasses.fields(hyper)}


def of_members(values: dict[str, list[float]]) -> HyperParams:
    """Returns the result of `by_name` as hyperparameters of shape (member,)."""
    return HyperParams(**{name: np.array(of) for name, of in values.items()})  # pyright: ignore[reportArgumentType]


@dataclasses.dataclass(eq=False)
class Loop:
    """Trains blocks of all members, validates, calls the strategy, saves and decides when to stop.

    Generations end after the epochs `ends`; the last of these ends the run. `is_population` is False for `fit`. The
    hyperparameters in `off` must stay 0, see `check_off`.
    """

    cohort: Cohort
    position: Position
    strategy: AbstractStrategy
    ends: Sequence[int]
    config: TrainConfig
    layout: Layout
    folder: RunFolder | None
    callbacks: Sequence[AbstractCallback]
    is_population: bool
    off: Collection[str] = ()
    signal: int = 0

    def __post_init__(self) -> None:
        rows = self.position.rows
        self._shown = rows if self.is_population else [single(row) for row in rows]

    def run(self) -> Reason:
        """Trains until there is a reason to stop, and returns it."""
        position = self.position
        self._tell("on_start")
        last_save = time.monotonic()
        began = last_save - position.seconds
        with stop_request() as requested:
            while not position.reason:
                ended_epoch = self._train_block()
                self._rescue()
                position.seconds = time.monotonic() - began
                if ended_epoch:
                    self._end_epoch()
                elif self._broken()[position.active].all():
                    self._retire()
                    position.reason = "not finite"
                self.signal = 0 if position.reason else requested.signal
                due = time.monotonic() - last_save > 60.0 * self.config.checkpoints[0]
                self.signal, due = self._agreed(self.signal, due)
                asked = requested.time or time.monotonic()  # another process may have got the signal
                if self.folder and (position.reason or self.signal or due):
                    self._save(self.folder)
                    last_save = time.monotonic()
                if self.signal:
                    if self.folder:
                        took = time.monotonic() - asked
                        log.info("Saved after step %s (took %.1f s).", f"{self._step:,}", took)
                    break
        reason: Reason = position.reason or "interrupted"
        self._tell("on_end", reason)
        return reason

    def _agreed(self, signal: int, due: bool) -> tuple[int, bool]:
        """Returns the same signal and need to save for all processes, so that these stop and save together."""
        signals, dues = zip(*processes.exchange((signal, due)), strict=True)
        return max(signals), dues[0]

    def _tell(self, event: str, reason: str = "") -> None:
        position = self.position
        facts = position.epoch, self.ends[-1], self._shown, self.cohort.model
        progress = Progress(*facts, generation=position.generation, reason=reason)
        for callback in self.callbacks:
            getattr(callback, event)(progress)

    def _train_block(self) -> bool:
        """Trains one block of every active member; returns whether it ended an epoch."""
        position, active = self.position, np.array(self.position.active)
        figures = self.cohort.train(position.epoch, position.block, position.hypers, active)
        position.pending.append(figures.tolist())
        for member in np.flatnonzero(active).tolist():
            self._report_skipped(member, self._report(figures[member]))
        position.block += 1
        return position.block == self.layout.blocks

    def _report_skipped(self, member: int, steps: dict[str, Any]) -> None:
        """Says why the first skipped step of a member's block was skipped, and keeps that for the findings."""
        position, skipped = self.position, np.flatnonzero(steps["skipped"]).tolist()
        if not skipped:
            return
        causes = self.cohort.causes(member, position.epoch, position.block, skipped[0], position.hypers)
        causes = causes or [broken_sum(steps, skipped[0])]
        position.skips += [Skip(**cause, member=member, epoch=position.epoch + 1) for cause in causes]
        who = f"Member {member}: " if self.is_population else ""
        report_skipped(causes, position.epoch + 1, len(skipped), who)

    def _rescue(self) -> None:
        """Takes members that broke down back to their last good states, as often as `rescue` allows."""
        position, most = self.position, self.config.rescue
        if not most:
            return
        left = [len(position.rescues_of(member)) < most for member in range(len(position.active))]
        broken = self._broken() & position.active & left
        for member in np.flatnonzero(broken).tolist():
            skipped = int(self.cohort.facts().skipped[member])
            position.rescues.append(Rescue(member=member, epoch=position.epoch + 1, skipped=skipped))
            log.warning(
                "%sRescue %d of %d in epoch %d: %d steps were not finite, so training continues from the last good "
                "state with half the learning rate.",
                f"Member {member}: " if self.is_population else "",
                len(position.rescues_of(member)),
                most,
                position.epoch + 1,
                skipped,
            )
        if broken.any():
            self.cohort.go_back(broken)

    def _end_epoch(self) -> None:
        position, config, active = self.position, self.config, np.array(self.position.active)
        position.epoch, position.block = position.epoch + 1, 0
        steps = np.concatenate(position.pending, axis=1)
        trained = [summarise(self._report(own)) for own in steps]
        position.pending = []
        if config.schedule == "training_loss":
            self.cohort.watch([row["loss"] for row in trained], active)
        reports: Sequence[ValidReport | None] = [None] * len(active)
        if position.epoch % config.validate_every == 0 or position.epoch == config.epochs:
            reports = self._evaluate()
        facts = self.cohort.facts()
        hypers = position.hypers
        rows = [self._row(m, hypers[m], trained[m], report, facts) for m, report in enumerate(reports)]
        position.rows += rows
        if not self.is_population:
            self._shown.append(single(rows[0]))
        if config.rescue:
            scored = [report is None or math.isfinite(report.score) for report in reports]
            self.cohort.keep_good(active & scored & [_ended_well(self._report(own)) for own in steps])
        self._retire()
        self._tell("on_epoch_end")
        if position.epoch in self.ends or not any(position.active):
            self._end_generation()

    def _report(self, figures: np.ndarray) -> dict[str, Any]:
        """Returns the fields of `StepReport` of a member's steps."""
        return StepReport.of(figures, self.cohort.program.extra_figures)._asdict()

    def _evaluate(self) -> list[ValidReport]:
        """Evaluates the validation trials and updates the monitors with the scores."""
        position, active = self.position, np.array(self.position.active)
        reports = self.cohort.validate(active)
        after_ramps = position.epoch >= self.config.ramp_end(self.layout.steps)
        self.cohort.select([report.score for report in reports], position.epoch, after_ramps, active)
        for member in np.flatnonzero(active & (self.cohort.facts().best_epoch == position.epoch)):
            for name, values in position.hyper.items():
                position.best_hyper[name][member] = values[member]
        return reports

    def _row(self, member: int, hyper: HyperParams, trained: Row, report: ValidReport | None, facts: Facts) -> Row:
        position, nan = self.position, math.nan
        found = report or ValidReport(nan, nan, nan, nan)
        row = {
            "generation": float(position.generation),
            "epoch": float(position.epoch),
            "member": float(member),
            "parent": float(position.parents[member]),
            "active": float(position.active[member]),
            "evaluated": float(report is not None),
            **trained,
            "score": found.score,
            "valid_loss": nan,
            "valid_reconstruction": found.reconstruction,
            "valid_kl_ic": found.kl_ic,
            "valid_kl_inputs": found.kl_inputs,
            **({"valid_kl_bias": found.kl_bias} if "kl_bias" in trained else {}),
            "best_epoch": float(facts.best_epoch[member]),
            "best_score": float(facts.best_score[member]),
            "seconds": position.seconds,
            STEP_SIZE: trained["learning_rate"],
        }
        return row | {"valid_loss": valid_loss(row, hyper)} | dataclasses.asdict(hyper)

    def _broken(self) -> np.ndarray:
        """Returns which members have skipped too many steps."""
        return self.cohort.facts().skipped > MAX_SKIPPED_STEPS

    def _retire(self) -> None:
        """Stops the members that have a reason to stop."""
        facts, position = self.cohort.facts(), self.position
        for member in np.flatnonzero(position.active):
            reason = reason_to_stop(
                self.config,
                self.cohort.schedule,
                learning_rate=position.hyper["learning_rate"][member] * float(facts.rate_scale[member]),
                steps=int(facts.step[member] - facts.rate_start[member]),
                skipped=int(facts.skipped[member]),
                since_best=int(facts.since_best[member]) if self.strategy.early_stopping else 0,
            )
            if reason:
                position.active[member], position.reasons[member] = False, reason
                if self.is_population:
                    log.info("Member %d stops after epoch %d: %s.", member, position.epoch, reason)

    def _end_generation(self) -> None:
        """Takes the next generation from the strategy, unless the run ends here."""
        position = self.position
        if self.is_population:
            self._tell("on_generation_end")
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
        for hyper in position.hypers:
            hyper.check()
        check_off(self.off, position.hypers)
        position.best_hyper = {name: [of[parent] for parent in parents] for name, of in position.best_hyper.items()}
        # Members that keep training have their stop reason cleared.
        reasons = zip(active, position.reasons, strict=True)
        position.reasons = [None if on else reason or "search" for on, reason in reasons]
        position.parents, position.active = parents.tolist(), active.tolist()
        position.skips = _inherited(position.skips, position.parents)
        position.rescues = _inherited(position.rescues, position.parents)
        position.generation += 1
        if not active.any():
            position.reason = "finished"

    def _scores(self) -> Float[np.ndarray, " member"]:
        """Returns the members' smoothed scores; infinite for members that broke down."""
        newest = {int(row["member"]): row["score"] for row in self.position.rows if row["evaluated"]}
        failed = [on and not math.isfinite(newest.get(m, math.nan)) for m, on in enumerate(self.position.active)]
        return np.where(self._broken() | np.array(failed), np.inf, self.cohort.facts().smoothed.astype(float))

    def _reason(self, scores: np.ndarray) -> Reason | None:
        position = self.position
        if self._broken().all():
            return "not finite"
        if position.epoch >= self.ends[-1]:
            return "epochs"
        if not np.isfinite(scores).any():
            return "not finite"
        return "converged" if self.strategy.is_done(position.best) else None

    @property
    def _step(self) -> int:
        """Number of steps trained."""
        return self.position.epoch * self.layout.steps + self.position.block * self.layout.block_steps

    def _save(self, folder: RunFolder) -> None:
        """Saves the state for a resumed run and, for a single model, its best and last weights for `load`."""
        check_held(folder.path)
        try:
            self._write(folder)
        except Exception:
            check_held(folder.path)  # a folder that is moved during the writing fails in many ways
            raise

    def _write(self, folder: RunFolder) -> None:
        position = self.position
        # The state comes last: a run whose saved state says that it has ended never saves its models again.
        if not self.is_population:
            best, last = self.cohort.models()[0]
            facts = dict(epoch=position.epoch, best_epoch=int(self.cohort.facts().best_epoch[0]))
            folder.save_models(best, last, **facts, step=self._step, steps_per_epoch=self.layout.steps)
        meta, keep = {"position": dataclasses.asdict(position)}, self.config.checkpoints[1]
        if position.reason != "not finite":  # a run that broke down keeps its last checkpoint
            checkpoint.save_numbered(folder.checkpoints, self._step, self.cohort.state, meta, keep=keep)


def _ended_well(steps: Mapping[str, np.ndarray]) -> bool:
    """Returns whether the last step of an epoch was finite; False for members that do not train."""
    return bool((steps["skipped"][steps["n_trials"] > 0] == 0)[-1:].any())


def _inherited(past: Sequence[Any], parents: Sequence[int]) -> list[Any]:
    """Returns skips or rescues after an exchange: each member has those of the member whose weights it has."""
    pairs = list(enumerate(parents))
    return [own | {"member": member} for member, parent in pairs for own in past if own["member"] == parent]

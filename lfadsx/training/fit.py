"""`fit`: train a model on a data set."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Key

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.feed import Feed
from lfadsx.errors import LfadsxError
from lfadsx.models.compatibility import check_fits
from lfadsx.models.initialization import initialise_if_needed
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation, CoordinatedDropout
from lfadsx.modules.spike_jitter import SpikeJitter
from lfadsx.parallel import place_block, replicate
from lfadsx.random import derive
from lfadsx.training import checkpoint, run_folder
from lfadsx.training.callbacks import AbstractCallback, Progress
from lfadsx.training.full_memory import within_memory
from lfadsx.training.history import Row, columns, report_skipped, summarise, valid_loss
from lfadsx.training.schedules import Schedule
from lfadsx.training.signals import stop_request
from lfadsx.training.state import Program, TrainState, start
from lfadsx.training.step import StepReport, ValidReport, block_runner, run_select, run_validate, run_watch_loss
from lfadsx.types import Batch, Dataset

log = logging.getLogger("lfadsx")

Reason = Literal[
    "patience", "epochs", "learning rate", "interrupted", "not finite", "search", "generations", "converged", "finished"
]
"""Why training stopped; the last four are those of a population and of its members."""

_REMEDY = (
    "Set trials_at_once, e.g. to 32, or lower it. If that is not enough, lower steps_per_block, or set segment_bins "
    "where trials are long, and give a new run folder."
)
"""What to do when the memory of a device is full."""


def validation_key() -> Key[Array, ""]:
    """Returns the key of the noise and the hidden entries of validation: one for all, so that models compare."""
    return derive(jax.random.key(1), -1)  # which is no step, so that no run's own noise is the same


def reason_to_stop(
    config: TrainConfig, schedule: Schedule, *, learning_rate: float, steps: int, skipped: int, since_best: int
) -> Reason | None:
    """Returns why a model trains no longer, or None.

    Args:
        config: Run settings.
        schedule: What of them the steps need.
        learning_rate: Learning rate before its exponential decay.
        steps: Steps since that began.
        skipped: Steps skipped because loss or gradient were not finite.
        since_best: Epochs since the best selection score.
    """
    if skipped > config.max_skipped_steps:
        return "not finite"
    if since_best >= config.patience:
        return "patience"
    rate = learning_rate * math.exp(steps * schedule.decay_log)
    waits = config.schedule not in ("constant", "cosine")
    return "learning rate" if waits and rate < config.learning_rate_stop else None


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` returns.

    Attributes:
        model: The model with the best selection score (the last one if the ramps had not ended).
        last: The model after the last step.
        history: Figures of every epoch by name, shape (epoch,); NaN where nothing was evaluated.
        reason: Why training stopped: "patience", "epochs", "learning rate", "interrupted" or "not finite".
        best_epoch: Number of epochs trained at the best score; 0 if the ramps had not ended.
        best_score: The best selection score, in nats per trial.
        skipped_steps: Steps skipped because loss or gradient were not finite.
        seconds: Time spent, all runs of a resumed one together.
        signal: Number of the signal that interrupted the run, 0 for none.
    """

    model: LFADS
    last: LFADS
    history: dict[str, np.ndarray]
    reason: Reason
    best_epoch: int
    best_score: float
    skipped_steps: int
    seconds: float
    signal: int = 0


@dataclasses.dataclass
class _Position:
    """Where a run stands, on the host; saved with every checkpoint."""

    epoch: int = 0
    block: int = 0
    history: list[Row] = dataclasses.field(default_factory=list)
    pending: list[dict[str, list[float]]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def fit(
    model: LFADS,
    data: Dataset,
    *,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    out: str | Path | None = None,
    mesh: Mesh | None = None,
    augmentations: Sequence[AbstractAugmentation] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
    trainable: Callable[[str], bool] | None = None,
    reset_learning_rate: bool = False,
) -> FitResult:
    """Trains a model; the caller's own model is left as it was.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, factors=4, rngs=nnx.Rngs(0))
        >>> config = lfadsx.TrainConfig(epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1)
        >>> lfadsx.fit(model, data, config=config).reason
        'epochs'

    Args:
        model: The model to start from.
        data: Training and validation trials.
        hyper: Hyperparameters, traced.
        config: Run settings.
        out: Run folder for checkpoints. If it holds an unfinished run of the same settings, that run goes on and
            ends, on as many devices of a CPU, bit for bit where it would have ended. Only `trials_at_once` may
            differ, and then the rounding does.
        mesh: Spreads the trials of a step over the devices of its axis `data`.
        augmentations: Augmentations of the training batches; by default spike jitter, where `config` asks for it, and
            coordinated dropout.
        callbacks: Called after every epoch.
        trainable: Says for a parameter path whether it trains; by default the patterns of `config.train`.
        reset_learning_rate: Whether a run that goes on begins anew with its learning rate and the rule that lowers it.

    Returns:
        The trained model, the history and the reason why training stopped.

    Raises:
        LfadsxError: If a setting is out of range, the data do not fit the model, or a step not into the memory of the
            device.
        RunError: If `out` cannot be written or holds a run with other settings.
    """
    hyper, config = hyper or HyperParams(), config or TrainConfig()
    hyper.check()
    model = initialise_if_needed(model, data)
    check_fits(model, data)
    if augmentations is None:
        augmentations = default_augmentations(model, config)
    program, state = start(model, augmentations, config, n_trials=data.train.n_trials, trainable=trainable, mesh=mesh)
    folder = None if out is None else Path(out).absolute()
    position = _Position()
    if folder is not None and run_folder.open_run(folder, run_folder.make_info(model, data, hyper, config)):
        state, position = _resume(folder, state, position)
        if reset_learning_rate:
            state = dataclasses.replace(state, monitor=state.monitor.with_new_rate(state.step))
    loop = _Loop(program, replicate(state, mesh), position, data, hyper, config, folder, mesh)
    for callback in callbacks:
        callback.on_start(position.epoch, config.epochs, position.history)
    reason = loop.run(callbacks)
    for callback in callbacks:
        callback.on_end(reason)
    return loop.result(reason)


class _Loop:
    """The host's side of training: hands out blocks, validates, saves, and decides when to stop."""

    def __init__(
        self,
        program: Program,
        state: TrainState,
        position: _Position,
        data: Dataset,
        hyper: HyperParams,
        config: TrainConfig,
        folder: Path | None,
        mesh: Mesh | None,
    ) -> None:
        self.program, self.state, self.position = program, state, position
        self.data, self.hyper, self.config = data, hyper, config
        self.folder, self.mesh, self.run_block = folder, mesh, block_runner(mesh)
        self.feed = Feed.of(data, config, mesh)
        self.layout = self.feed.train
        self.schedule = Schedule.of(config, self.layout.steps)
        self.valid = place_block(self.feed.valid_block(0), mesh) if self.feed.valid.blocks == 1 else None
        self.ahead: Batch | None = None
        self.signal = 0

    def run(self, callbacks: Sequence[AbstractCallback]) -> Reason:
        """Trains until there is a reason to stop."""
        began, before = time.monotonic(), self.position.seconds
        last_save = began
        with stop_request() as requested:
            reason = self._finished()
            while reason is None:
                ended_epoch = self._train_block()
                self.position.seconds = before + time.monotonic() - began
                if ended_epoch:
                    self._end_epoch()
                    for callback in callbacks:
                        callback.on_epoch_end(self._progress())
                reason = self._finished() if ended_epoch else None
                if reason is None and int(self.state.skipped) > self.config.max_skipped_steps:
                    reason = "not finite"
                if reason is None and requested():
                    reason, self.signal = "interrupted", requested()
                due = time.monotonic() - last_save > 60.0 * self.config.checkpoint_minutes
                # A run that broke down keeps the checkpoint from before.
                if self.folder is not None and (reason or due) and reason != "not finite":
                    self._save(self.folder)
                    last_save = time.monotonic()
        return reason

    def result(self, reason: Reason) -> FitResult:
        """Returns what `fit` returns."""
        monitor = self.state.monitor
        best, last = self._models()
        return FitResult(
            model=best,
            last=last,
            history=columns(self.position.history),
            reason=reason,
            best_epoch=int(monitor.best_epoch),
            best_score=float(monitor.best_score),
            skipped_steps=int(self.state.skipped),
            seconds=self.position.seconds,
            signal=self.signal,
        )

    def _load(self, epoch: int, block: int) -> Batch:
        return place_block(self.feed.train_block(epoch, block), self.mesh)

    def _load_ahead(self) -> Batch | None:
        """Returns the block after the current one, or None after the last of all."""
        following = self.layout.after(self.position.epoch, self.position.block)
        return self._load(*following) if following[0] < self.config.epochs else None

    def _train_block(self) -> bool:
        """Trains one block; returns whether it ended an epoch."""
        with within_memory("The trials of a step", _REMEDY):
            block = self.ahead or self._load(self.position.epoch, self.position.block)
            self.state, figures = self.run_block(self.program, self.state, self.hyper, self.schedule, block)
            self.ahead = self._load_ahead()  # while the devices are at work; only two blocks are ever on them
            report = StepReport.of(figures)
        sums = {name: values.tolist() for name, values in report._asdict().items()}
        report_skipped(sums, self.position.epoch + 1)
        self.position.pending.append(sums)
        self.position.block += 1
        return self.position.block == self.layout.blocks

    def _end_epoch(self) -> None:
        position, config = self.position, self.config
        position.epoch, position.block = position.epoch + 1, 0
        row = {"epoch": float(position.epoch), **summarise(position.pending)}
        position.pending = []
        if config.schedule == "training_loss":
            self.state = run_watch_loss(self.state, jnp.asarray(row["loss"]), self.schedule)
        row |= dict.fromkeys(
            ("score", "valid_loss", "valid_reconstruction", "valid_kl_ic", "valid_kl_inputs"), math.nan
        )
        if position.epoch % config.validate_every == 0 or position.epoch == config.epochs:
            report = self._validate()
            after_ramps = jnp.asarray(position.epoch >= config.ramp_end(self.layout.steps))
            epoch = jnp.asarray(position.epoch)
            self.state = run_select(self.state, jnp.asarray(report.score), epoch, after_ramps, self.schedule)
            row |= {
                "score": report.score,
                "valid_reconstruction": report.reconstruction,
                "valid_kl_ic": report.kl_ic,
                "valid_kl_inputs": report.kl_inputs,
            }
            row["valid_loss"] = valid_loss(row, self.hyper)
        row["best_epoch"] = float(self.state.monitor.best_epoch)
        row["seconds"] = position.seconds
        position.history.append(row)

    def _validate(self) -> ValidReport:
        """Evaluates the validation trials, which stay on the devices if they make one block only."""
        loaded = (place_block(self.feed.valid_block(number), self.mesh) for number in range(self.feed.valid.blocks))
        sums = jnp.zeros(5)
        with within_memory("The validation trials of a step", _REMEDY):
            for block in [self.valid] if self.valid else loaded:  # the next one is loaded while this one is evaluated
                sums = jax.block_until_ready(sums) + run_validate(self.program, self.state, block, validation_key())
            return ValidReport.of(sums)

    def _finished(self) -> Reason | None:
        state, monitor = self.state, self.state.monitor
        found = reason_to_stop(
            self.config,
            self.schedule,
            learning_rate=float(self.hyper.learning_rate) * float(monitor.rate_scale),
            steps=int(state.step) - int(monitor.rate_start),
            skipped=int(state.skipped),
            since_best=int(monitor.since_best),
        )
        return found or ("epochs" if self.position.epoch >= self.config.epochs else None)

    def _progress(self) -> Progress:
        return Progress(self.position.epoch, self.config.epochs, self.position.history, self.program, self.state)

    def _models(self) -> tuple[LFADS, LFADS]:
        """Returns the best and the last model; the last one twice if the ramps had not ended."""
        has_best = int(self.state.monitor.best_epoch) > 0
        best = self.state.monitor.best_params if has_best else self.state.params
        pair = (self.program.merge_model(params, self.state.fixed) for params in (best, self.state.params))
        best_model, last_model = (nnx.clone(model) for model in pair)
        return best_model, last_model

    def _save(self, folder: Path) -> None:
        """Saves all that a resumed run needs, and the best and the last model for `load`."""
        meta = {"position": dataclasses.asdict(self.position)}
        keep = self.config.checkpoints_to_keep
        checkpoint.save_numbered(folder / "checkpoints", int(self.state.step), self.state, meta, keep=keep)
        best_epoch = int(self.state.monitor.best_epoch)
        step = int(self.state.step)
        steps = {"best": best_epoch * self.layout.steps if best_epoch else step, "last": step}
        for (name, at), model in zip(steps.items(), self._models(), strict=True):
            meta = {"epoch": self.position.epoch, "best_epoch": best_epoch, "step": at}
            checkpoint.save(folder / name, {"model": nnx.state(model)}, meta)


def default_augmentations(model: LFADS, config: TrainConfig) -> tuple[AbstractAugmentation, ...]:
    """Returns spike jitter, where the run settings ask for it, and coordinated dropout.

    Raises:
        LfadsxError: If there are no spikes that could be moved.
    """
    group = model.input_group
    jitter = (SpikeJitter(config.spike_jitter, group),) if config.spike_jitter else ()
    if jitter and not model.likelihood[group].counts:
        raise LfadsxError(
            f"spike_jitter = {config.spike_jitter} moves spikes, but the data of {group!r} are no counts. Give 0."
        )
    return (*jitter, CoordinatedDropout(group))


def _resume(folder: Path, state: TrainState, position: _Position) -> tuple[TrainState, _Position]:
    found = checkpoint.restore_newest(folder / "checkpoints", state)
    if found is None:
        return state, position
    state, position = found[0], _Position(**found[1]["position"])
    log.info("The run in %s goes on after epoch %d.", folder, position.epoch)
    return state, position

"""A run folder: where its description, its checkpoints and its models are, and how they are written and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from lfadsx import old_names
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.damaged_files import read_json, readable
from lfadsx.data.dataset import Dataset
from lfadsx.errors import CheckpointError, RunError
from lfadsx.files import check_writable, write_json, writing
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import rebuild
from lfadsx.training import checkpoint
from lfadsx.training.history import rows_of, write_rows
from lfadsx.training.run_info import FORMAT, RunInfo, first_difference, make_info, without_paths

if TYPE_CHECKING:
    from lfadsx.training.results import FitResult

Which = Literal["best", "last"] | int
"""The best model, the last model, or the number of a step whose checkpoint exists."""
SINGLE = "run.json"
POPULATION = "population.json"
"""File of a population's folder in place of `run.json`."""
FREE = ("trials_at_once", "members_at_once")
"""Settings that may differ in a resumed run: they change only rounding."""
BEST_MEMBER = "best_member"
"""Run folder of the best member, inside the folder of a population."""


class RunFolder:
    """The folder of a run, with the paths of its files.

    Example:
        ```python
        run = RunFolder("runs/monkey")
        run.info.train["epochs"], run.load(which="last")
        ```

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.history, self.posterior = self.path / "history.csv", self.path / "posterior.h5"
        self.metrics, self.report = self.path / "metrics.json", self.path / "report.md"
        self.report_page, self.calibration = self.path / "report.html", self.path / "calibration.json"
        self.dynamics = self.path / "dynamics.json"
        self.figures, self.checkpoints = self.path / "figures", self.path / "checkpoints"

    @property
    def best_member(self) -> RunFolder:
        """The run folder of a population's best member."""
        return RunFolder(self.path / BEST_MEMBER)

    @property
    def info(self) -> RunInfo:
        """The description of the run.

        Raises:
            RunError: If the folder holds no run, or a run of a newer format.
        """
        if (self.path / POPULATION).is_file():
            raise RunError(
                f"The folder {self.path} holds a population. Give the run folder of its best member, "
                f"{self.best_member.path}, which exists when the population has ended."
            )
        if not (self.path / SINGLE).is_file():
            what = "does not exist" if not self.path.exists() else "has no run.json"
            raise RunError(f"The run folder {self.path} {what}. Give the folder that was the --out of a fit.")
        return self._read(SINGLE)

    def begun(self, *, population: bool = False) -> RunInfo | None:
        """Returns the description of the run that the folder holds, or None if the folder is new or empty.

        Args:
            population: If True, a population is to be trained in the folder, else a single model.

        Raises:
            RunError: If the folder cannot be written, or holds a run of another kind or format.
        """
        check_writable(self.path / SINGLE)
        own, other = (POPULATION, SINGLE) if population else (SINGLE, POPULATION)
        if (self.path / other).is_file():
            held, wanted = ("a single model", "a population")[:: 1 if population else -1]
            raise RunError(
                f"The folder {self.path} holds {held}, so {wanted} cannot be trained in it. Give another folder."
            )
        if not (self.path / own).is_file():
            return None
        earlier = self._read(own)
        if earlier.format != FORMAT:
            raise RunError(
                f"The run in {self.path} has format {earlier.format}, but this lfadsx resumes only format {FORMAT}. "
                "Give another folder; the models in this one still load."
            )
        return earlier

    def check_own(self) -> None:
        """Checks that the folder is new, empty or an earlier run.

        Raises:
            RunError: If it holds other files.
        """
        files = sorted(file.name for file in self.path.glob("[!.]*")) if self.path.is_dir() else []
        if files and not {SINGLE, POPULATION}.intersection(files):
            raise RunError(
                f"The output folder {self.path} must be new, empty or an earlier run, but it holds other "
                f"files, such as {files[0]}. Give another folder."
            )

    def check_same(self, earlier: RunInfo, info: RunInfo) -> bool:
        """Returns True if two descriptions differ only in that the second one has more epochs.

        Raises:
            RunError: If they differ in anything else.
        """
        more = not info.population and info.train["epochs"] > earlier.train["epochs"]
        free = (*FREE, "epochs") if more else FREE
        for part in ("notes", "model", "hyper", "train", "data", "population", "parts"):
            facts = (without_paths(getattr(own, part)) for own in (earlier, info))
            before, now = ({name: value for name, value in of.items() if name not in free} for of in facts)
            # Notes only help to name differences of the model; a run without them can be resumed.
            if before == now or (part == "notes" and not (before and now)):
                continue
            name, a, b = first_difference("", before, now)
            where = f"`{name}` of the data" if part == "data" else f"`{name.removeprefix('model.')}`"
            raise RunError(
                f"The folder {self.path} holds a run with other settings: {where} is {a} in that run and {b} in this "
                "one. Give another folder, or resume with the settings of that run."
            )
        return more

    def write_info(self, info: RunInfo) -> None:
        """Writes the description of a run.

        Raises:
            RunError: If the folder cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / (POPULATION if info.population else SINGLE), info)

    def save_models(
        self, best: LFADS, last: LFADS, *, epoch: int, best_epoch: int, step: int, steps_per_epoch: int, **meta: Any
    ) -> None:
        """Saves the best and the last model for `load`, with their epochs and steps."""
        facts = meta | {"epoch": epoch, "best_epoch": best_epoch}
        of_best = best_epoch * steps_per_epoch if best_epoch else step
        checkpoint.save(self.path / "best", {"model": nnx.state(best)}, facts | {"step": of_best})
        checkpoint.save(self.path / "last", {"model": nnx.state(last)}, facts | {"step": step})

    def write_run(
        self,
        result: FitResult,
        data: Dataset,
        hyper: HyperParams,
        config: TrainConfig,
        steps_per_epoch: int,
        **meta: Any,
    ) -> None:
        """Writes a member of a population as a run folder of `fit`, with its history."""
        self.write_info(make_info(result.model, data, hyper, config))
        write_rows(self.history, rows_of(result.history))
        epoch = int(result.history["epoch"][-1]) if result.history else 0
        how: dict[str, Any] = dict(epoch=epoch, best_epoch=result.best_epoch, step=epoch * steps_per_epoch)
        self.save_models(result.model, result.last, **how, steps_per_epoch=steps_per_epoch, **meta)

    def load(
        self, *, which: Which = "best", parts: Iterable[type[nnx.Module]] = (), build: Callable[[], LFADS] | None = None
    ) -> LFADS:
        """Loads a model; arguments and errors as of `lfadsx.load`."""
        try:
            return self._loaded(which, tuple(parts), build)
        except checkpoint.DamagedError as error:
            raise CheckpointError(f"{error} {self._whole_ones()}") from error

    def _loaded(self, which: Which, parts: tuple[type[nnx.Module], ...], build: Callable[[], LFADS] | None) -> LFADS:
        model = build() if build else self._rebuilt(self.info, which, parts)
        model.initialised = True
        state = nnx.state(model)
        if isinstance(which, int):
            nnx.update(model, self._at_step(which, state))
        else:
            restored, _ = checkpoint.restore(self.path / which, {"model": state})
            nnx.update(model, restored["model"])
        return model

    def _whole_ones(self) -> str:
        """Returns a sentence that lists the models of the folder that can be loaded."""
        named = [f'which="{name}"' for name in ("best", "last") if checkpoint.is_whole(self.path / name)]
        steps = [path for path in checkpoint.numbered(self.checkpoints) if checkpoint.is_whole(path)]
        found = [*named, *(f"which={int(path.name)}" for path in steps)]
        return (
            f"The folder {self.path} also holds undamaged models: load with {' or '.join(found)}."
            if found
            else f"The folder {self.path} holds no other undamaged model."
        )

    def _rebuilt(self, info: RunInfo, which: Which, parts: tuple[type[nnx.Module], ...]) -> LFADS:
        """Returns the model that `run.json` describes, with new weights."""
        if parts:  # the user's code, whose faults must show
            return rebuild(info.model, rngs=nnx.Rngs(0), parts=parts)
        failure = f"The model that {self.path / SINGLE} describes cannot be built"
        with readable(failure, "Restore the file from a copy.", error=RunError):
            if not isinstance(which, int):
                _check_sizes(info.model, checkpoint.read_manifest(self.path / which)["shapes"])
            return rebuild(info.model, rngs=nnx.Rngs(0))

    def step_of(self, which: Which) -> int:
        """Returns the number of steps that a model has trained; argument as of `lfadsx.load`."""
        if isinstance(which, int):
            return which
        meta = checkpoint.read_meta(self.path / which)
        if "step" not in meta:
            raise RunError(
                f"The run {self.path} does not record the steps of its models. Give the number of a step instead."
            )
        return int(meta["step"])

    def _at_step(self, step: int, state: nnx.State) -> nnx.State:
        """Returns the values of a model at a step; its checkpoint keeps trained and fixed ones separately."""
        found = {int(path.name): path for path in checkpoint.numbered(self.checkpoints)}
        if step not in found:
            raise RunError(
                f"The step must have a checkpoint in {self.path}, which has those of {sorted(found)}, got {step}."
            )
        arrays = checkpoint.read_arrays(found[step])
        values = {name: arrays.get(f"params.{name}", arrays.get(f"fixed.{name}")) for name in checkpoint.by_name(state)}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise RunError(
                f"The checkpoint {found[step]} has no `{missing[0]}`. Build the model that it was written for."
            )
        return jax.tree.unflatten(jax.tree.structure(state), [jnp.asarray(value) for value in values.values()])

    def _read(self, name: str) -> RunInfo:
        remedy = "Check its permissions, or give another folder."
        content = read_json(self.path / name, remedy, error=RunError)
        with readable(f"The file {self.path / name} must describe a run, but does not", remedy, error=RunError):
            found = int(content.get("format", 0))
            if found > FORMAT:
                raise RunError(
                    f"The run {self.path} has format {found}, but this lfadsx reads formats up to {FORMAT}. "
                    "Update lfadsx."
                )
            info = RunInfo(**(old_names.translated(content) if found < FORMAT else content))
            info.check()
        return info


def load(
    run: str | Path,
    *,
    which: Which = "best",
    parts: Iterable[type[nnx.Module]] = (),
    build: Callable[[], LFADS] | None = None,
) -> LFADS:
    """Loads the model of a run folder.

    Example:
        ```python
        model = lfadsx.load("runs/monkey")
        own = lfadsx.load("runs/own", parts=[MyGenerator, MyCounts])
        ```

    Args:
        run: The run folder.
        which: "best": the model with the best selection score; "last": the last model; or the number of a step whose
            checkpoint exists (see `checkpoints` of `TrainConfig`).
        parts: Your own classes that the model has; nothing is ever imported because a run folder names it.
        build: Function that builds the model, in place of `parts`, for parts that their constructor arguments do not
            describe. Its values are replaced.

    Raises:
        RunError: If the folder holds no run, or no checkpoint of the step.
        CheckpointError: If the checkpoint is missing, damaged, or does not fit.
        LfadsxError: If the model has parts that are neither built in nor given.
    """
    return RunFolder(run).load(which=which, parts=parts, build=build)


LARGEST_SIZE = 10_000
"""Sizes up to this one are built without a look at the arrays of the checkpoint."""


def _check_sizes(description: Any, shapes: dict[str, list[int]]) -> None:
    """Raises `RunError` if a size of a model is larger than all arrays, before memory is taken for it."""
    largest = max([LARGEST_SIZE, *(size for shape in shapes.values() for size in shape)])
    waiting = [description]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int) and value > largest:
            raise RunError(
                f"Sizes of a model must be at most {largest}, as its arrays are, got {value} in {SINGLE}. Restore the "
                "file from a copy."
            )
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()

"""A run folder: what it says about itself, and loading a model from it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.errors import RunError
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import describe, rebuild
from lfadsx.training import checkpoint
from lfadsx.types import Dataset, Session

FORMAT = 1
POPULATION = "population.json"
"""What a population's folder has in place of `run.json`."""
BEST_MEMBER = "best_member"
"""The run folder of its best member, within it."""


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What a run folder says about itself.

    Attributes:
        model: What `parts.describe` returned.
        hyper: Hyperparameters.
        train: Run settings.
        data: Sessions, splits, bin width, input group and sources of the data.
        versions: Versions of Python, lfadsx and what it stands on.
        device: The devices.
        command: The command line.
        created: Date and time, UTC.
        population: Members, generations and search of a population; empty for a single model.
    """

    model: dict[str, Any]
    hyper: dict[str, Any]
    train: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    device: str = ""
    command: str = ""
    created: str = ""
    format: int = FORMAT
    population: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of the training data."""
        return tuple(Session(**{**s, "target_index": np.array(s["target_index"], int)}) for s in self.data["sessions"])

    @property
    def bin_width(self) -> float | None:
        """Bin width of the training data in seconds, or None."""
        return self.data["bin_width"]


def make_info(model: LFADS, data: Dataset, hyper: HyperParams, config: TrainConfig) -> RunInfo:
    """Returns what a new run says about itself."""
    device = jax.devices()[0]
    info = RunInfo(
        model=describe(model),
        hyper={f.name: float(getattr(hyper, f.name)) for f in dataclasses.fields(hyper)},
        train=dataclasses.asdict(config),
        data=_describe_data(data),
        versions=versions(),
        device=f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return RunInfo(**json.loads(_json(info)))  # what a file would give back: lists for tuples


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    packages = ("lfadsx", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def open_run(folder: Path, info: RunInfo) -> bool:
    """Makes a run folder, or finds one that the same settings have begun.

    Returns:
        True if the folder holds a run of the same settings, which can be resumed.

    Raises:
        RunError: If the folder cannot be written or holds a run with other settings.
    """
    other = Path(folder) / ("run.json" if info.population else POPULATION)
    if other.is_file():
        kinds = ("a single model", "a population")
        held, wanted = kinds if info.population else kinds[::-1]
        raise RunError(
            f"The folder {folder} holds the run of {held}, and {wanted} is to be trained. Give another folder."
        )
    if _file(folder, info).is_file():
        _compare(folder, _read(_file(folder, info)), info)
        return True
    write_info(folder, info)
    return False


def write_info(folder: Path, info: RunInfo) -> None:
    """Makes a folder, if need be, and writes what a run says about itself.

    Raises:
        RunError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(_file(folder, info), _json(info))
    except OSError as error:
        raise RunError(
            f"The output folder {folder} cannot be written: {error.strerror}. Give another folder, or make this one "
            "writable."
        ) from error


def read_info(folder: str | Path) -> RunInfo:
    """Reads what a run folder says about itself.

    Raises:
        RunError: If the folder holds no run, or one of a newer format.
    """
    file = Path(folder) / "run.json"
    if (Path(folder) / POPULATION).is_file():
        raise RunError(
            f"The folder {folder} holds a population. Give the run folder of its best member: "
            f"{Path(folder) / BEST_MEMBER}, which is there when the population has ended."
        )
    if not file.is_file():
        what = "does not exist" if not Path(folder).exists() else "holds no run: there is no run.json"
        raise RunError(f"The folder {folder} {what}. Give the folder that was the --out of a fit.")
    return _read(file)


def _file(folder: Path, info: RunInfo) -> Path:
    return Path(folder) / (POPULATION if info.population else "run.json")


def _read(file: Path) -> RunInfo:
    content = json.loads(file.read_text())
    if content.get("format", 0) > FORMAT:
        raise RunError(
            f"The run {file.parent} has format {content['format']}, this lfadsx reads up to {FORMAT}. Update lfadsx."
        )
    return RunInfo(**content)


Which = Literal["best", "last"] | int
"""The model with the best selection score, the last one, or that of a step whose checkpoint is still there."""


def load(run: str | Path, *, which: Which = "best", build: Callable[[], LFADS] | None = None) -> LFADS:
    """Loads the model of a run folder.

    Example:
        ```python
        model = lfadsx.load("runs/monkey")
        ```

    Args:
        run: The run folder.
        which: The model with the best selection score, the last one, or the number of a step whose checkpoint the run
            has kept (`checkpoints_to_keep`).
        build: For models with parts of your own: a function that builds the model; its values are replaced.

    Raises:
        RunError: If the folder holds no run, or no checkpoint of this step.
        CheckpointError: If the checkpoint is missing, damaged, or does not fit.
        LfadsxError: If the model has parts that are not built in and `build` is None.
    """
    info = read_info(run)
    model = build() if build else rebuild(info.model, rngs=nnx.Rngs(0))
    model.initialised = True
    state = nnx.state(model)
    if isinstance(which, int):
        nnx.update(model, _at_step(Path(run), which, state))
    else:
        restored, _ = checkpoint.restore(Path(run) / which, {"model": state})
        nnx.update(model, restored["model"])
    return model


def step_of(run: str | Path, which: Which) -> int:
    """Returns how many steps a model of a run has trained; arguments as in `load`."""
    if isinstance(which, int):
        return which
    meta = checkpoint.read_meta(Path(run) / which)
    if "step" not in meta:
        raise RunError(f"The run {run} does not say how many steps its models have trained. Name a step's checkpoint.")
    return int(meta["step"])


def _at_step(run: Path, step: int, state: nnx.State) -> nnx.State:
    """Returns the values of a model at a step: those that trained and the others, which a checkpoint keeps apart."""
    found = {int(path.name): path for path in checkpoint.numbered(run / "checkpoints")}
    if step not in found:
        raise RunError(f"The run {run} has no checkpoint of step {step}, only of {sorted(found)}. Give one of these.")
    arrays = checkpoint.read_arrays(found[step])
    values = {name: arrays.get(f"params.{name}", arrays.get(f"fixed.{name}")) for name in checkpoint.by_name(state)}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise RunError(f"The checkpoint {found[step]} lacks {missing[0]}. Build the model that it was written for.")
    return jax.tree.unflatten(jax.tree.structure(state), [jnp.asarray(value) for value in values.values()])


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and moves it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _json(info: RunInfo) -> str:
    return json.dumps(dataclasses.asdict(info), indent=1)


def _describe_data(data: Dataset) -> dict[str, Any]:
    return {
        "sessions": [_describe_session(session) for session in data.sessions],
        "bin_width": data.bin_width,
        "input_group": data.input_group,
        "behaviour_lag": data.behaviour_lag,
        "n_trials": {name: split.n_trials for name, split in data.splits.items()},
        "n_bins": {name: split.n_bins for name, split in data.splits.items()},
        "n_known_inputs": data.n_known_inputs,
        "forward_bins": data.train.n_bins - data.train.encoder_input.shape[1],
        "source": data.source,
    }


def _describe_session(session: Session) -> dict[str, Any]:
    # The alignment is left out: it is where weights started, and a saved model has its weights.
    facts = {f.name: getattr(session, f.name) for f in dataclasses.fields(session)}
    facts = {name: value for name, value in facts.items() if name not in ("alignment", "alignment_bias")}
    return {**facts, "target_index": np.asarray(session.target_index).tolist()}


FREE = ("trials_at_once", "members_at_once")
"""Settings that may differ when a run goes on: they change only the rounding."""


def _compare(folder: Path, old: RunInfo, new: RunInfo) -> None:
    for part in ("model", "hyper", "train", "data", "population"):
        before, now = ({k: v for k, v in getattr(info, part).items() if k not in FREE} for info in (old, new))
        if before == now:
            continue
        name, a, b = _first_difference(part, before, now)
        raise RunError(
            f"The folder {folder} holds a run with other settings: {name} is {a} there and {b} here. Give another "
            "folder, or the settings of that run to resume it."
        )


def _first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            if before.get(key) != now.get(key):
                return _first_difference(f"{name}.{key}", before.get(key), now.get(key))
    return name, before, now

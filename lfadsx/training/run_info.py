"""The description of a run: model, settings, data and versions, as `run.json` keeps them."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lfadsx import __version__
from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Dataset, Session
from lfadsx.files import to_json
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import describe
from lfadsx.types import Kind

FORMAT = 2
"""Models of all formats up to this one load; only runs of this format resume."""


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """Description of a run folder.

    Attributes:
        model: The model, as `lfadsx.models.serialization.describe` returns it.
        hyper: Hyperparameters.
        train: Run settings.
        data: Sessions, splits, bin width, input group and sources of the data.
        versions: Versions of Python, lfadsx and the packages that it uses.
        device: The devices.
        command: The command line.
        created: Date and time, UTC.
        format: Format of the folder.
        notes: What the caller recorded beside the settings.
        continued: Epochs after which the run was continued with more epochs.
        population: Members, generations and search of a population; empty for a single model.
        parts: Objective and optimiser passed to `fit`, as text; empty for the default ones.
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
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    continued: list[int] = dataclasses.field(default_factory=list)
    population: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: dict[str, str] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Raises TypeError or KeyError if a fact is missing or of another type, as in a damaged file."""
        for field in dataclasses.fields(self):
            kind, value = field.type.partition("[")[0], getattr(self, field.name)  # pyright: ignore
            if type(value).__name__ != kind:
                raise TypeError(f"{field.name!r} must be {kind}, got {type(value).__name__}")
        for name in ("n_trials", "n_bins", "source", "input_group"):
            if self.data and name not in self.data:
                raise KeyError(name)
        _ = self.sessions, self.kinds, self.bin_width

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of the training data."""
        return tuple(_session(facts) for facts in self.data["sessions"])

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kind of the training data by target group of the files; empty if the folder does not record it."""
        groups, made = self.data.get("groups", {}), self.data.get("behaviour_target")
        return {name: group["kind"] for name, group in groups.items() if name != made}

    @property
    def bin_width(self) -> float | None:
        """Bin width of the training data in seconds; None if it is not known."""
        return self.data["bin_width"]


def make_info(model: LFADS, data: Dataset, hyper: HyperParams, config: TrainConfig, **more: Any) -> RunInfo:
    """Returns the description of a new run."""
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
        **more,
    )
    return RunInfo(**json.loads(to_json(info)))  # as it will be read from the file: lists instead of tuples


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "python": platform.python_version(),
        "lfadsx": __version__,
        **{name: metadata.version(name) for name in packages},
    }


def without_paths(facts: Any) -> Any:
    """Returns recorded facts without the places of files, which may be moved; their hashes tell whether they are same.

    Example:
        >>> from lfadsx.training.run_info import without_paths
        >>> without_paths({"day1": {"path": "/data/day1.nwb", "files": [{"file": "day1.nwb"}]}})
        {'day1': {'files': [{'file': 'day1.nwb'}]}}
    """
    if isinstance(facts, dict):
        return {name: without_paths(value) for name, value in facts.items() if name != "path"}
    return [without_paths(value) for value in facts] if isinstance(facts, list) else facts


def first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """Returns the name and both values of the first entry in which two nested dictionaries differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            if before.get(key) != now.get(key):
                return first_difference(f"{name}.{key}".lstrip("."), before.get(key), now.get(key))
    return name, before, now


def _describe_data(data: Dataset) -> dict[str, Any]:
    made = {"behaviour_target": data.behaviour_name} if data.behaviour_target else {}
    return made | {
        "sessions": [_describe_session(session) for session in data.sessions],
        "bin_width": data.bin_width,
        "start": data.time.start,
        "event": data.time.event,
        "groups": {name: dataclasses.asdict(group) for name, group in data.groups.items()},
        "input_group": data.input_group,
        "behaviour_lag": data.behaviour_lag,
        "n_trials": {name: split.n_trials for name, split in data.splits.items()},
        "n_bins": {name: split.n_bins for name, split in data.splits.items()},
        "n_known_inputs": data.n_known_inputs,
        "forward_bins": data.train.n_bins - data.train.encoder_input.shape[1],
        "source": data.source,
    }


def _describe_session(session: Session) -> dict[str, Any]:
    # The alignment is left out: it only initialises weights, and a saved model has its weights.
    facts = {f.name: getattr(session, f.name) for f in dataclasses.fields(session)}
    facts = {name: value for name, value in facts.items() if name not in ("alignment", "alignment_bias")}
    return {**facts, "target_index": np.asarray(session.target_index).tolist()}


def _session(facts: dict[str, Any]) -> Session:
    names = {group: tuple(own) for group, own in facts["channel_names"].items()}
    own = {"target_index": np.array(facts["target_index"], int), "areas": tuple(facts.get("areas", ()))}
    return Session(**{**facts, **own, "channel_names": names})

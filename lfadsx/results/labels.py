"""Labels of a result: the sessions, time axis, target groups and channels that its numbers belong to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from lfadsx import __version__
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.types import TargetGroup, TimeAxis

if TYPE_CHECKING:
    from lfadsx.models.lfads import LFADS


PER_TRIAL = (
    *("trial_id", "session", "row", "condition", "behaviour"),
    *("start_time", "piece_of", "first_bin"),
)
"""Fields of `Split` that a `Posterior` has as well."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of the trials of some sessions.

    Attributes:
        sessions: The sessions that `Split.session` is an index of.
        time: The time axis of a trial.
        groups: Kind and unit of each target group.
        input_group: The target group whose channels the encoder sees.
        behaviour_name: Name of `Split.behaviour`.
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds.
        source: Origin of the data, as in `Dataset.source`.
    """

    sessions: tuple[Session, ...]
    time: TimeAxis
    groups: dict[str, TargetGroup]
    input_group: str
    behaviour_name: str = "velocity"
    behaviour_lag: float = 0.0
    source: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, data: Dataset) -> Labels:
        """Returns the labels of a data set."""
        return cls(**{field.name: getattr(data, field.name) for field in dataclasses.fields(cls)})

    def of_trials(self, trials: Split) -> dict[str, Any]:
        """Returns the fields of `Posterior` that label its trials, bins and channels."""
        kept = ("time", "groups", "input_group", "behaviour_name", "behaviour_lag", "source")
        return {name: getattr(self, name) for name in kept} | {
            **{name: getattr(trials, name) for name in PER_TRIAL},
            "length": trials.target_length,
            "sessions": tuple(session.name for session in self.sessions),
            "channel_names": self.channel_names(),
            "held_out": self.held_out(),
            "version": __version__,
        }

    def held_out(self) -> Bool[np.ndarray, "session target_channel"]:
        """Returns True for channels of the input group that the encoder does not see."""
        found = np.zeros((len(self.sessions), self._width()), bool)
        for row, session in zip(found, self.sessions, strict=True):
            n = session.n_targets[self.input_group]
            row[:n] = ~np.isin(np.arange(n), session.target_index)
        return found

    def channel_names(self) -> np.ndarray | None:
        """Returns names of the input group's channels, shape (session, target_channel), or None without names."""
        if not any(self.input_group in session.channel_names for session in self.sessions):
            return None
        rows = [[*session.channel_names.get(self.input_group, ())] for session in self.sessions]
        return np.array([row + [""] * (self._width() - len(row)) for row in rows], dtype=str)

    def _width(self) -> int:
        return max(session.n_targets[self.input_group] for session in self.sessions)


def groups_of_model(model: LFADS) -> dict[str, TargetGroup]:
    """Returns kind and unit of the target groups of a model, for use without a data set."""
    real, counts = TargetGroup("real"), TargetGroup("counts", "counts per bin")
    return {name: real if likelihood.support == "real" else counts for name, likelihood in model.likelihood.items()}

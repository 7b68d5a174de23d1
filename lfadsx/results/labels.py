"""What the numbers of trials mean: all that a result knows besides its numbers."""

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

COUNTS = "counts per bin"


@dataclasses.dataclass(frozen=True)
class Labels:
    """What the trials of some sessions are.

    Attributes:
        sessions: The sessions that `Split.session` counts.
        time: The time axis of a trial.
        groups: What the numbers of each target group are.
        input_group: The target group whose channels the encoder sees.
        behaviour_name: What `Split.behaviour` is.
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds.
        source: Where the data came from, as in `Dataset.source`.
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
        return cls(
            sessions=data.sessions,
            time=data.time,
            groups=data.groups,
            input_group=data.input_group,
            behaviour_name=data.behaviour_name,
            behaviour_lag=data.behaviour_lag,
            source=data.source,
        )

    def of_trials(self, trials: Split) -> dict[str, Any]:
        """Returns the fields of `Posterior` that say what its trials, bins and channels are."""
        return {
            "trial_id": trials.trial_id,
            "session": trials.session,
            "length": trials.target_length,
            "row": trials.row,
            "condition": trials.condition,
            "behaviour": trials.behaviour,
            "sessions": tuple(session.name for session in self.sessions),
            "time": self.time,
            "groups": self.groups,
            "input_group": self.input_group,
            "channel_names": self.channel_names(),
            "held_out": self.held_out(),
            "behaviour_name": self.behaviour_name,
            "behaviour_lag": self.behaviour_lag,
            "version": __version__,
            "source": self.source,
        }

    def held_out(self) -> Bool[np.ndarray, "session target_channel"]:
        """Returns True for channels of the input group that the encoder does not see."""
        found = np.zeros((len(self.sessions), self._width()), bool)
        for row, session in zip(found, self.sessions, strict=True):
            n = session.n_targets[self.input_group]
            row[:n] = ~np.isin(np.arange(n), session.target_index)
        return found

    def channel_names(self) -> np.ndarray | None:
        """Returns the names of the input group's channels, shape (session, target_channel), or None without any."""
        if not any(self.input_group in session.channel_names for session in self.sessions):
            return None
        rows = [[*session.channel_names.get(self.input_group, ())] for session in self.sessions]
        return np.array([row + [""] * (self._width() - len(row)) for row in rows], dtype=str)

    def _width(self) -> int:
        return max(session.n_targets[self.input_group] for session in self.sessions)


def groups_of_model(model: LFADS) -> dict[str, TargetGroup]:
    """Returns what a model takes its data to be, where there is no data set to say it."""
    real, counts = TargetGroup("real"), TargetGroup("counts", COUNTS)
    return {name: real if likelihood.support == "real" else counts for name, likelihood in model.likelihood.items()}

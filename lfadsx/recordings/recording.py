"""One recording as every reader returns it: spike times or traces, trials, and what else was recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.traces import Traces

MISSING = np.iinfo(np.int64).min
"""An event that did not happen, in columns of integer samples; NaN in columns of seconds."""


@dataclasses.dataclass(frozen=True)
class Signal:
    """A sampled signal such as hand velocity, with its own sample times.

    Attributes:
        times: Times of the samples in seconds, sorted, shape (sample,).
        values: Shape (sample, column); NaN where nothing was measured.
        unit: Unit of the values, such as "mm/s"; empty if unknown.
        columns: Names of the columns; empty if unknown.
        trial: Row of the trial that each sample belongs to, sorted, shape (sample,); None for a signal of the whole
            session. With it, times are sorted within each trial.
    """

    times: np.ndarray
    values: np.ndarray
    unit: str = ""
    columns: tuple[str, ...] = ()
    trial: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Raises `DataError` unless there is one time for each sample."""
        if self.values.ndim != 2 or len(self.values) != len(self.times):
            raise DataError(
                f"A signal must have the axes (sample, column) and one time for each sample, got values of shape "
                f"{self.values.shape} and {len(self.times)} times. Transpose it if its axes are the other way round."
            )


@dataclasses.dataclass(frozen=True, repr=False)
class Recording:
    """One session: spike times or traces of every unit, a table of trials, and what else was recorded.

    All times but those of signals have one unit: seconds (float64), or samples of `clock_hz` (int64).

    Attributes:
        name: Name of the session.
        unit_id: The ids of the units in the file, integers or text, shape (unit,).
        spikes: Times of the spikes of each unit, sorted, shape (spike,) each. With `spike_trial` they are sorted by
            trial, then by time. With `traces` all are empty.
        trials: Columns of the table of trials, shape (trial,) each. "trial_id" is always there; "start" and "stop"
            if they are known. A missing time is NaN, or `MISSING` in samples. A missing label is "" or NaN.
        events: Names of the columns of `trials` that hold times, "start" and "stop" included.
        clock_hz: Samples per second if times are integer samples; None if times are seconds.
        unit_columns: What is known of the units by name, such as "area", "quality" and "heldout", shape (unit,) each.
        observed: Intervals in which the recording ran, sorted, shape (interval, 2), in the unit of the spikes; None if
            they are unknown (then every window counts as recorded).
        signals: Sampled signals by name, such as hand velocity.
        spike_trial: Row of the trial that each spike of each unit belongs to, for files that hold only the spikes of
            each trial; None if the session was recorded as a whole. With it, windows must lie inside their trials,
            and a spike that two trials share is listed twice.
        traces: Real values of the units at the frames of a microscope, in place of spikes; times are seconds then.
        trial_clocks: If True, each trial has its own time 0, so times of different trials cannot be compared;
            needs `spike_trial`.
        no_trials: What would fill the table of trials, in words, if it is empty.
        source: Where it comes from: "format", "path" (of NWB files, which results can be written back to), "files" (a
            list of `lfadsx.data.hdf5_files.describe`), and which parts were read. The hash "sha256" is inside "files":
            at the top it would mark a file that `lfadsx.read` can read.
        findings: What looked odd in reading.
    """

    name: str
    unit_id: np.ndarray
    spikes: tuple[np.ndarray, "..."]
    trials: dict[str, np.ndarray]
    events: tuple[str, ...] = ()
    clock_hz: float | None = None
    unit_columns: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    observed: np.ndarray | None = None
    signals: dict[str, Signal] = dataclasses.field(default_factory=dict)
    spike_trial: tuple[np.ndarray, "..."] | None = None
    traces: Traces | None = None
    trial_clocks: bool = False
    no_trials: str = ""
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Raises `DataError` unless units and trials have columns of one length, and ids that differ."""
        if not len(self.unit_id):
            raise DataError(
                f"{self.name!r} must have at least one unit, got 0. Check the spikes and the table of units."
            )
        _same_length("unit", {"unit_id": self.unit_id, "spikes": self.spikes, **self.unit_columns})
        if "trial_id" not in self.trials:
            raise DataError(f"The table of trials must have the column 'trial_id', got {', '.join(self.trials)}.")
        _same_length("trial", self.trials)
        for what, ids in (("unit", self.unit_id), ("trial", self.trials["trial_id"])):
            found, times = np.unique(ids, return_counts=True)
            if np.any(times > 1):
                raise DataError(
                    f"Every {what} of {self.name!r} must have a unique id, but {found[times > 1][0]} occurs "
                    f"{times.max()} times. Rename the ids, or leave their column out."
                )

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.unit_id)

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.trials["trial_id"])

    @property
    def n_spikes(self) -> int:
        """Number of spikes of all units."""
        return sum(map(len, self.spikes))

    @property
    def within_trials(self) -> bool:
        """Whether spikes are known only inside each trial."""
        return self.spike_trial is not None

    def times(self, event: str) -> np.ndarray:
        """Returns the times of an event in seconds, NaN where it is missing, shape (trial,)."""
        values = self.trials[event]
        if self.clock_hz is None:
            return np.asarray(values, np.float64)
        return np.where(values == MISSING, np.nan, values / self.clock_hz)

    def in_seconds(self) -> Recording:
        """Returns the recording with all times in seconds, as float64."""
        clock = self.clock_hz
        if clock is None:
            return self
        return dataclasses.replace(
            self,
            spikes=tuple(times / clock for times in self.spikes),
            trials=self.trials | {event: self.times(event) for event in self.events},
            observed=None if self.observed is None else self.observed / clock,
            clock_hz=None,
        )

    def __repr__(self) -> str:
        """Returns a summary in at most 20 lines."""
        from lfadsx.recordings.recording_summary import summarise

        return summarise(self)


def no_trials() -> dict[str, np.ndarray]:
    """Returns an empty table of trials, for recordings that are cut into pieces."""
    return {"trial_id": np.zeros(0, np.int64)}


def by_unit(trials: Sequence[Sequence[np.ndarray]]) -> tuple[tuple[np.ndarray, "..."], tuple[np.ndarray, "..."]]:
    """Returns `Recording.spikes` and `Recording.spike_trial` of times that are listed by trial, then by unit.

    Example:
        >>> import numpy as np
        >>> from lfadsx.recordings.recording import by_unit
        >>> trials = [[np.array([0.2, 0.1]), np.array([])], [np.array([0.3]), np.array([0.4])]]
        >>> spikes, spike_trial = by_unit(trials)
        >>> spikes[0].tolist(), spike_trial[0].tolist()
        ([0.1, 0.2, 0.3], [0, 0, 1])

    Args:
        trials: For each trial, for each unit, the times of its spikes, shape (spike,).
    """
    spikes, rows = [], []
    for unit in zip(*trials, strict=True):
        spikes.append(np.concatenate([np.sort(np.ravel(times)) for times in unit]))
        rows.append(np.repeat(np.arange(len(unit)), [np.size(times) for times in unit]))
    return tuple(spikes), tuple(rows)


def _same_length(what: str, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    first, expected = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != expected:
            raise DataError(
                f"The columns of the {what}s must have one length, but {first!r} has {expected} entries and {name!r} "
                f"has {length}. Give every {what} one entry in each column."
            )

"""Whole sessions in bare arrays: spike times or traces of imaging, with the times of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.errors import DataError
from lfadsx.recordings.imaging import read_traces
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.spike_times import read_spike_times
from lfadsx.recordings.tables import read_table

Signals = dict[str, tuple[np.ndarray, np.ndarray]]
"""Times and values of signals by name."""


def session_in_arrays(
    path: Path,
    names: Mapping[str, str],
    found: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    trials: Mapping[str, Any] | str | Path | None,
    events: Sequence[str] | None,
    align: str | None,
    frame_rate: float | None,
) -> Recording:
    """Returns the session of a file of arrays as a recording.

    Args:
        path: The file.
        names: Name of the array of each role.
        found: Array of each role.
        vectors: Further vectors of the file; those of the right length are columns of trials or of units.
        trials: Table of trials or its file; by default the vectors with one entry for each event of `align`.
        events: Further columns of trials that hold times, if any.
        align: The event at time 0.
        frame_rate: Frames per second of traces; None if the file tells it.
    """
    if isinstance(trials, str | Path):
        trials = read_table(Path(trials))
    if trials is None:
        trials = _event_columns(found, vectors, align)
    how: dict[str, Any] = {"events": None if not events else [*events], "align": align, "session": path.stem}
    how["observed"] = found.get("observed")
    if "traces" in found:
        traces, times = found["traces"], found.get("frame_times")
        rate = _stored_rate(path, names, found) if frame_rate is None else frame_rate
        how["unit_columns"] = _unit_columns(found, vectors, min(traces.shape))
        # Behaviour without sample times has those of the frames.
        of_frames = np.arange(max(traces.shape)) / rate if times is None and rate else times
        how["signals"] = _signals(path, names, found, found.get("behaviour_times", of_frames))
        how |= {"unit_id": found.get("unit_id"), "label": f"{names['traces']!r} of {path.name!r}"}
        recording = read_traces(traces, trials, frame_times=times, frame_rate=rate, **how)
    else:
        unit = np.ravel(found["unit"])
        how["unit_columns"] = _unit_columns(found, vectors, len(np.unique(unit)))
        how["signals"] = _signals(path, names, found, found.get("behaviour_times"))
        recording = read_spike_times(np.ravel(found["spike_times"]), trials, unit_of_spike=unit, **how)
    what = "traces" if "traces" in found else "spike times"
    missing = (
        f"The {what} of {path.name!r} need a table of trials: give `align`, an array of event times in seconds "
        f"(vectors of the file: {', '.join(vectors) or 'none'}), or `trials`, a CSV file with a column of event times."
    )
    return dataclasses.replace(recording, no_trials=missing)


def _stored_rate(path: Path, names: Mapping[str, str], found: Mapping[str, np.ndarray]) -> float | None:
    """Returns the frame rate that the file tells, or None."""
    if "frame_rate" not in found:
        return None
    rate = np.ravel(found["frame_rate"])
    if len(rate) != 1 or rate.dtype.kind not in "iuf":
        raise DataError(f"{names['frame_rate']!r} of {path.name!r} must be one number, got shape {rate.shape}.")
    return float(rate[0])


def _event_columns(
    found: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], align: str | None
) -> dict[str, np.ndarray] | None:
    """Returns the vectors that have one entry for each event of `align`, or for each start; None without these."""
    name = align or next((name for name in ("start", "start_time", "trial_start") if name in vectors), None)
    if name is None or name not in vectors:
        return None
    n = len(vectors[name])
    columns = {other: values for other, values in vectors.items() if len(values) == n}
    return columns | {role: np.ravel(found[role]) for role in ("trial_id", "condition") if role in found}


def _unit_columns(
    found: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], n_units: int
) -> dict[str, np.ndarray]:
    columns = {name: values for name, values in vectors.items() if len(values) == n_units}
    return columns | ({"area": np.ravel(found["area"])} if "area" in found else {})


def _signals(
    path: Path, names: Mapping[str, str], found: Mapping[str, np.ndarray], times: np.ndarray | None
) -> Signals:
    if "behaviour" not in found:
        return {}
    if times is None:
        raise DataError(
            f"The behaviour {names['behaviour']!r} of {path.name!r} needs the time of each sample. Add "
            "behaviour_times=NAME to `map`."
        )
    return {names["behaviour"]: (np.ravel(times), found["behaviour"])}

"""Which units of a recording are kept: those of some areas, and those that fire often enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.binning import by_window, unit_values
from lfadsx.recordings.drawing import HeldOut, draw_held_out
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.recording_findings import dropped_units
from lfadsx.recordings.windows import Windows


@dataclasses.dataclass(frozen=True)
class CountedUnits:
    """The units that are kept, with their counts, or for imaging the values of their traces.

    Attributes:
        recording: The recording with these units only.
        counts: Counts or values of the bins of all windows, shape (bin, unit).
        held_out: True for units that the encoder does not see, shape (unit,).
        findings: Which units are left out.
    """

    recording: Recording
    counts: np.ndarray
    held_out: np.ndarray
    findings: tuple[Finding, ...]

    def arrays(self, windows: Windows) -> dict[str, Any]:
        """Returns the arguments of `from_arrays` about counts or values."""
        data, traces = by_window(self.counts, windows), self.recording.traces
        if traces is None:
            return {"spikes": data, "kind": "counts"}
        known = np.isfinite(self.counts)
        observed = None if known.all() else by_window(known, windows)
        return {"spikes": data, "kind": "real", "observed": observed, "unit": traces.unit or None}


def count_units(
    recording: Recording,
    windows: Windows,
    areas: str | Sequence[str] | None,
    min_rate: float,
    held_out: HeldOut,
    seed: int,
) -> CountedUnits:
    """Returns the counts of the units that are kept; arguments as in `cut`."""
    keep = np.ones(recording.n_units, bool) if areas is None else _in_areas(recording, areas)
    findings = dropped_units(recording, keep, "their areas were not asked for")
    everything, rows = recording, np.flatnonzero(keep)
    recording = _with_units(everything, rows)
    counts = unit_values(recording, windows)
    rate = _mean_rate(recording, counts, windows, min_rate)
    enough = (rate >= min_rate) | (recording.traces is not None)
    findings += dropped_units(recording, enough, f"their rate in the windows is below {min_rate:g} Hz")
    if not enough.any():
        raise DataError(
            f"At least one unit of {recording.name!r} must reach `min_rate`, {min_rate:g} Hz, but the highest rate is "
            f"{rate.max(initial=0):.3g} Hz. Lower `min_rate`."
        )
    if not enough.all():
        rows, counts, rate = rows[enough], counts[:, enough], rate[enough]
        recording = _with_units(everything, rows)
    # Ids and masks are about all units of the file; numbers and shares about those that are kept.
    if np.ndim(held_out) > 0:
        mask = draw_held_out(held_out, everything, np.zeros(everything.n_units), seed)[rows]
    else:
        mask = draw_held_out(held_out, recording, rate, seed)
    return CountedUnits(recording, counts, mask, tuple(findings))


def areas_by_unit(recording: Recording) -> dict[str, str]:
    """Returns the area of each unit by its name, empty if areas are unknown."""
    area = recording.unit_columns.get("area")
    if area is None:
        return {}
    return {str(unit): str(name) for unit, name in zip(recording.unit_id, area, strict=True)}


def _mean_rate(recording: Recording, counts: np.ndarray, windows: Windows, min_rate: float) -> np.ndarray:
    """Returns the mean rate of each unit in Hz, or the mean of its trace, shape (unit,)."""
    if recording.traces is None:
        return counts.sum(axis=0, dtype=np.int64) / (len(counts) * windows.width * windows.scale)
    if min_rate:
        raise DataError(
            f"`min_rate` needs spikes, but {recording.name!r} has traces. Leave it out, or choose units by their areas."
        )
    known = np.isfinite(counts)
    return counts.sum(axis=0, dtype=np.float64, where=known) / np.maximum(known.sum(axis=0), 1)


def _in_areas(recording: Recording, areas: str | Sequence[str]) -> np.ndarray:
    own = recording.unit_columns.get("area")
    if own is None:
        raise DataError(
            f"`areas` needs the area of each unit, but the units of {recording.name!r} have only the columns "
            f"{', '.join(recording.unit_columns) or 'unit_id'}. Leave `areas` out, or add a column 'area'."
        )
    asked = [areas] if isinstance(areas, str) else [str(area) for area in areas]
    for area in asked:
        validation.one_of(area, sorted({str(name) for name in own}), "An area in `areas`")
    return np.isin(own.astype(str), asked)


def _with_units(recording: Recording, rows: np.ndarray) -> Recording:
    own_trials = recording.spike_trial
    return dataclasses.replace(
        recording,
        unit_id=recording.unit_id[rows],
        spikes=tuple(recording.spikes[row] for row in rows),
        traces=None if recording.traces is None else recording.traces.chosen(rows),
        spike_trial=None if own_trials is None else tuple(own_trials[row] for row in rows),
        unit_columns={name: values[rows] for name, values in recording.unit_columns.items()},
    )

"""Units in NWB files: spike times, areas, and when they were recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.nwb_tables import columns_of, ragged, tidy
from lfadsx.recordings.recording_findings import dropped_spikes
from lfadsx.recordings.tidying import tidy_times

AREA_COLUMNS = ("location", "brain_area", "brain_region", "region", "area", "structure")
"""Columns of units that may hold the area, beside the places of electrodes."""

NOT_COLUMNS = (
    "spike_times",
    "obs_intervals",
    "electrodes",
    "electrode_group",
    "waveform_mean",
    "waveform_sd",
    "waveforms",
)


def read_units(
    nwb: Any, file: str, area: str | None
) -> tuple[np.ndarray, tuple[np.ndarray, "..."], dict[str, np.ndarray], str, list[Finding]]:
    """Returns ids, spike times and columns of the units, where their areas come from, and notes on areas."""
    units = nwb.units
    if units is None or "spike_times" not in units.colnames:
        found = "no table of units" if units is None else f"the columns {some(list(units.colnames))}"
        raise DataError(
            f"{file!r} must hold units with 'spike_times', found {found}. Add the sorted spikes to `units`."
        )
    tidied = [tidy_times(times, None, f"A unit of {file!r}") for times in ragged(units["spike_times"])]
    spikes, n_dropped = tuple(times for times, _ in tidied), sum(n for _, n in tidied)
    columns, _ = columns_of(units, NOT_COLUMNS)
    places = {name: values for name, values in _areas(nwb).items() if len(values) == len(spikes)}
    places |= {name: values.astype(str) for name, values in columns.items() if name in AREA_COLUMNS or name == area}
    if area is not None:
        validation.one_of(area, places, f"`area`, which says where the units of {file!r} were,")
    varied = [name for name, values in places.items() if len(np.unique(values)) > 1]
    place = area or next(iter([*varied, *places]), "")
    if place:
        columns["area"] = places[place]
    other = next((name for name in varied if name != place and np.any(places[name] != places[place])), None)
    notes = dropped_spikes(file, n_dropped, sum(map(len, spikes)) + n_dropped, "because their times are not finite")
    if area is None and other is not None:
        sentence = f"The areas of the units of {file!r} are those of {place!r}; {other!r} says otherwise."
        remedy = f"Give area={other!r} if that is right."
        notes.append(Finding("note", "areas said twice", None, None, file, sentence, remedy))
    return np.asarray(units.id[:]), spikes, columns, place, notes


def _areas(nwb: Any) -> dict[str, np.ndarray]:
    """Returns the areas of all units by where they are said: their first electrode, or their electrode group."""
    units, found = nwb.units, {}
    if "electrodes" in units.colnames and nwb.electrodes is not None and "location" in nwb.electrodes.colnames:
        location = tidy(nwb.electrodes["location"].data)
        rows = [np.ravel(own) for own in ragged(units["electrodes"])]
        if location is not None:
            found["electrodes.location"] = np.array([str(location[own[0]]) if len(own) else "" for own in rows])
    if "electrode_group" in units.colnames:
        groups = [units["electrode_group"][row] for row in range(len(units))]
        found["electrode_group.location"] = np.array([str(getattr(group, "location", "")) for group in groups])
    return found


def observed_intervals(
    nwb: Any, file: str, span: tuple[float, float], units: Any
) -> tuple[np.ndarray | None, list[Finding]]:
    """Returns the intervals in which all units were recorded and nothing was marked invalid, None if they are unknown.

    `span` is the time from the first to the last trial or spike; it counts as recorded if only invalid times are known.
    `units` is the table of units, or None for imaging.
    """
    observed, notes = (None, []) if units is None else _of_all_units(units, file)
    invalid = nwb.invalid_times
    if invalid is None or not len(invalid):
        return observed, notes
    observed = np.array([span]) if observed is None else observed
    for first, last in zip(invalid["start_time"].data[:], invalid["stop_time"].data[:], strict=True):
        observed = _without(observed, first, last)
    sentence = f"{file!r} marks {len(invalid)} intervals as invalid; trials in them are dropped."
    return observed, [*notes, Finding("note", "invalid times", len(invalid), 0, file, sentence)]


def _of_all_units(units: Any, file: str) -> tuple[np.ndarray | None, list[Finding]]:
    if "obs_intervals" not in units.colnames:
        return None, []
    each = [np.asarray(own, np.float64).reshape(-1, 2) for own in ragged(units["obs_intervals"])]
    different = list({own.tobytes(): own for own in each if len(own)}.values())
    if not different:
        return None, []
    common = different[0]
    for other in different[1:]:
        common = _overlap(common, other)
    if len(different) == 1:
        return common[np.argsort(common[:, 0], kind="stable")], []
    if not len(common):
        raise DataError(
            f"The units of {file!r} must have been recorded at the same time, but no time is in the 'obs_intervals' of "
            "all of them. Remove the units that were recorded alone."
        )
    sentence = (
        f"The units of {file!r} have {len(different)} different 'obs_intervals'; trials are kept where all units were "
        "recorded."
    )
    return common, [Finding("note", "units recorded apart", len(different), 1, file, sentence)]


def _without(observed: np.ndarray, first: float, last: float) -> np.ndarray:
    """Returns intervals without the time from first to last, shape (interval, 2)."""
    before = np.stack([observed[:, 0], np.minimum(observed[:, 1], first)], axis=1)
    after = np.stack([np.maximum(observed[:, 0], last), observed[:, 1]], axis=1)
    parts = np.concatenate([before, after])
    parts = parts[parts[:, 1] > parts[:, 0]]
    return parts[np.argsort(parts[:, 0], kind="stable")]


def _overlap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the intervals that two sets of intervals share, shape (interval, 2)."""
    start = np.maximum(left[:, None, 0], right[None, :, 0]).ravel()
    stop = np.minimum(left[:, None, 1], right[None, :, 1]).ravel()
    shared = np.stack([start, stop], axis=1)[stop > start]
    return shared[np.argsort(shared[:, 0], kind="stable")]

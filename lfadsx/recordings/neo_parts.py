"""Spike trains, times and signals of Neo as arrays in seconds; objects are known by what they have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from lfadsx.data.given_arrays import plain, unit_of
from lfadsx.errors import DataError
from lfadsx.recordings.nwb_signals import MOST_VALUES
from lfadsx.recordings.nwb_units import AREA_COLUMNS
from lfadsx.recordings.recording import Signal

IDS = ("unit_id", "unit", "id", "cluster_id", "neuron_id", "unit_name", "channel_id")
"""Annotations that may be the id of a unit; the first that every spike train has, each time another, is taken."""

OF_THE_FILE = ("nix_name", "neo_name", "nix_id")
"""Annotations that Neo adds when it writes files."""


def seconds(times: Any) -> np.ndarray:
    """Returns times of any unit in seconds, shape (time,); times without a unit are seconds."""
    if hasattr(times, "rescale") and unit_of(times) not in ("", "dimensionless"):
        times = times.rescale("s")
    return np.atleast_1d(np.asarray(plain(times), np.float64))


def second(time: Any) -> float:
    """Returns one time in seconds."""
    return float(seconds(time)[0])


def unit_ids(trains: Sequence[Any], wanted: str | None, label: str) -> list[Any]:
    """Returns the id of the unit of each spike train of one segment.

    Args:
        trains: The spike trains.
        wanted: Annotation that is the id; None to find it.
        label: Name of the segment in messages.

    Raises:
        DataError: If a spike train lacks the annotation that is asked for.
    """
    notes = [getattr(train, "annotations", None) or {} for train in trains]
    if wanted is not None:
        lacking = sum(wanted not in own for own in notes)
        if lacking:
            known = ", ".join(sorted({str(name) for own in notes for name in own})) or "none"
            raise DataError(
                f"`unit_id` must name an annotation of every spike train of {label}, but {lacking} of {len(trains)} "
                f"have no {wanted!r}. Annotations are {known}."
            )
    for name in (wanted,) if wanted else IDS:
        ids = [_scalar(own[name]) for own in notes if name in own]
        if len(ids) == len(trains) and (wanted or len(set(map(str, ids))) == len(ids)):
            return ids
    names = [str(getattr(train, "name", None) or "") for train in trains]
    return names if "" not in names and len(set(names)) == len(names) else list(range(len(trains)))


def columns_of_units(trains: Sequence[Any]) -> dict[str, np.ndarray]:
    """Returns the annotations that every spike train has, one number or text each, with "area" if one is a place."""
    found = annotations_as_columns([getattr(train, "annotations", None) or {} for train in trains])
    place = next((name for name in ("area", *AREA_COLUMNS) if name in found), None)
    return found if place is None else found | {"area": found[place].astype(str)}


def annotations_as_columns(notes: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the annotations that all of several objects have, one number or text each, shape (object,)."""
    names = [name for name in (notes[0] if notes else ()) if all(name in own for own in notes)]
    columns = {str(name): np.array([_scalar(own[name]) for own in notes]) for name in names if name not in OF_THE_FILE}
    return {name: values for name, values in columns.items() if values.ndim == 1 and values.dtype.kind in "iufbU"}


def extent(trains: Sequence[Any]) -> np.ndarray:
    """Returns the interval in seconds from the first `t_start` to the last `t_stop` of spike trains; NaN if unknown."""
    first = min((second(train.t_start) for train in trains if hasattr(train, "t_start")), default=np.nan)
    last = max((second(train.t_stop) for train in trains if hasattr(train, "t_stop")), default=np.nan)
    return np.array([first, last])


def signals_of(segment: Any, wanted: Collection[str] | None) -> dict[str, Signal]:
    """Returns the analog signals of a segment by name; None for all that are not very large."""
    series = [*getattr(segment, "analogsignals", ()), *getattr(segment, "irregularlysampledsignals", ())]
    found = {}
    for number, one in enumerate(series):
        name = str(getattr(one, "name", None) or f"signal {number}")
        if name in (wanted if wanted is not None else (name,)) and (wanted is not None or one.size <= MOST_VALUES):
            values = np.asarray(plain(one), np.float64)
            notes = getattr(one, "array_annotations", None) or {}
            names = tuple(map(str, notes.get("channel_names", ())))
            found[name] = Signal(seconds(one.times), values.reshape(len(values), -1), unit_of(one), names)
    return found


def _scalar(value: Any) -> Any:
    value = plain(value) if hasattr(value, "rescale") else value
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value
    )

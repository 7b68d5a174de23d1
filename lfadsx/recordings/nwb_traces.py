"""Imaging in NWB files: fluorescence, dF/F or events of regions of interest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.nwb_tables import columns_of
from lfadsx.recordings.traces import Traces, tidy_traces

CHANGE = "DfOverF"
"""Type of the containers that hold dF/F, which is taken first."""


class Regions(NamedTuple):
    """The regions of interest of one series: their ids, traces and columns, the name of the series, and notes."""

    unit_id: np.ndarray
    traces: Traces
    columns: dict[str, np.ndarray]
    name: str
    notes: list[Finding]


def responses(nwb: Any) -> dict[str, Any]:
    """Returns all series of regions by name, those with dF/F first.

    A series is called like its container, such as "DfOverF", or container/series if the container has several.
    """
    found = list(_walk(nwb))
    found.sort(key=lambda item: item[2] != CHANGE)
    containers = [container for container, *_ in found]
    return {
        container if containers.count(container) == 1 else f"{container}/{series.name}": series
        for container, series, _ in found
    }


def read_regions(series: dict[str, Any], wanted: str | None, file: str) -> Regions:
    """Returns the regions of a series.

    Args:
        series: The series of the file by name.
        wanted: Name of the series; None for the first.
        file: Name of the file, for messages.

    Raises:
        DataError: If the name is unknown, or the series has no times or other axes.
    """
    if wanted is not None:
        validation.one_of(wanted, series, f"`traces`, the name of a series of regions of {file!r},")
    name = next(iter(series)) if wanted is None else wanted
    one, label = series[name], f"The series {name!r} of {file!r}"
    rows, table = np.asarray(one.rois.data[:], np.int64), one.rois.table
    values = np.asarray(one.data[:], np.float64) * (one.conversion or 1.0) + (getattr(one, "offset", None) or 0.0)
    values = values.reshape(len(values), -1)
    turned = values.shape[0] == len(rows) != values.shape[1]
    values = values.T if turned else values
    if values.shape[1] != len(rows):
        raise DataError(
            f"{label} must have a column for each of its {len(rows)} regions, got shape {one.data.shape}. Write it "
            "again with the axes (frame, region)."
        )
    times, rate = one.timestamps, one.rate
    if times is None:
        times = (one.starting_time or 0.0) + np.arange(len(values)) / rate
    traces = tidy_traces(values, np.asarray(times[:]), rate, label, "" if one.unit in (None, "n.a.") else one.unit)
    columns = {
        column: own[rows] for column, own in columns_of(table, ("pixel_mask", "voxel_mask", "image_mask"))[0].items()
    }
    area = getattr(getattr(table, "imaging_plane", None), "location", "")
    if area and "area" not in columns:
        columns["area"] = np.full(len(rows), str(area))
    notes = []
    if turned:
        sentence = f"{label} has the axes (region, frame) and is turned round."
        notes.append(Finding("note", "axes of traces", None, None, file, sentence))
    others = [other for other in series if other != name]
    if others and wanted is None:
        sentence = f"{label} is read; there are also {some(others)}."
        remedy = f"Give traces={others[0]!r} (--traces {others[0]}) for another one."
        notes.append(Finding("note", "several traces", len(others), 0, file, sentence, remedy))
    return Regions(np.asarray(table.id[:])[rows], traces, columns, name, notes)


def _walk(nwb: Any) -> Iterator[tuple[str, Any, str]]:
    """Yields each series of regions with the name and the type of its container."""
    for module in nwb.processing.values():
        for item in module.data_interfaces.values():
            inside = dict(getattr(item, "roi_response_series", None) or {})
            for series in inside.values() or [item]:
                if type(series).__name__ == "RoiResponseSeries":
                    yield (item.name, series, type(item).__name__)

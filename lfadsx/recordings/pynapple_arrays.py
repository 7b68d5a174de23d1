"""The npz files that pynapple saves, read with NumPy alone and without pickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.data.hdf5_files import describe, open_npz
from lfadsx.errors import DataError
from lfadsx.recordings.recording import Signal

NEEDED = {
    "TsGroup": ("t", "index", "keys", "start", "end"),
    "Tsd": ("t", "d"),
    "TsdFrame": ("t", "d"),
    "IntervalSet": ("start", "end"),
}
"""Arrays that a file of each type holds."""


@dataclasses.dataclass(frozen=True)
class Saved:
    """What the npz files of one folder hold.

    Attributes:
        path: The folder.
        unit_id: Keys of the group of spike trains, silent ones included, shape (unit,).
        spikes: Times of the spikes of each unit in seconds.
        support: Time support of the spikes, shape (interval, 2).
        intervals: Interval sets by file name, shape (interval, 2).
        events: Ids of trials and times of series whose values are whole numbers, each once.
        signals: All other series.
        source: Name and SHA-256 of the files.
        unreadable: Files with parts that only a pickle holds.
    """

    path: Path
    unit_id: np.ndarray
    spikes: tuple[np.ndarray, "..."]
    support: np.ndarray
    intervals: dict[str, np.ndarray]
    events: dict[str, tuple[np.ndarray, np.ndarray]]
    signals: dict[str, Signal]
    source: dict[str, Any]
    unreadable: list[str]


def load_folder(path: Path) -> Saved:
    """Reads all npz files of pynapple in a folder; `path` may also be the file with the spikes.

    Raises:
        DataError: If there is not one file with a group of spike trains, or a file cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    loaded = {file: _load(file) for file in files}
    loaded = {file: arrays for file, arrays in loaded.items() if "type" in arrays}
    kinds = {file: str(np.ravel(arrays["type"])[0]) for file, arrays in loaded.items()}
    groups = [file for file, kind in kinds.items() if kind == "TsGroup" and path in (folder, file)]
    if len(groups) != 1:
        raise DataError(
            f"{str(path)!r} must hold one group of spike trains (TsGroup) that pynapple saved, found {len(groups)} "
            f"among {some([file.name for file in files]) or 'no npz files'}. "
            "Name the npz file of the spikes, or pass objects to `from_pynapple`."
        )
    spikes = loaded[groups[0]]
    for file, kind in kinds.items():
        if kind != "TsGroup" or file == groups[0]:
            _check_arrays(loaded[file], NEEDED.get(kind, ()), file)
    events, signals = {}, {}
    for file, kind in kinds.items():
        if kind in ("Tsd", "TsdFrame"):
            event = _event(loaded[file]) if kind == "Tsd" else None
            if event is None:
                signals[file.stem] = _signal(loaded[file])
            else:
                events[file.stem] = event
    return Saved(
        path=folder,
        unit_id=spikes["keys"],
        spikes=_by_unit(spikes["t"], spikes["index"], spikes["keys"]),
        support=_intervals(spikes),
        intervals={file.stem: _intervals(loaded[file]) for file, kind in kinds.items() if kind == "IntervalSet"},
        events=events,
        signals=signals,
        source={"folder": folder.name, "files": [describe(file) for file in loaded]},
        unreadable=[file.name for file, arrays in loaded.items() if arrays[""]],
    )


def _load(file: Path) -> dict[str, Any]:
    """Returns the arrays of a file that need no pickle by name, and under "" the names of the others."""
    arrays, pickled = {}, []
    try:
        with open_npz(file) as npz:
            for name, array in npz.items():
                if array.is_pickled:
                    pickled.append(name)
                else:
                    arrays[name] = array.read()
    except DataError as error:
        raise DataError(
            f"{str(file)!r} cannot be read as an npz file: {error} Check that it is whole, or remove it."
        ) from error
    return arrays | {"": pickled}


def _check_arrays(arrays: dict[str, Any], needed: Sequence[str], file: Path) -> None:
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DataError(
            f"{file.name!r} must hold the arrays {some(list(needed))}, but has no readable {some(missing)}. "
            "Save the object again with pynapple, or remove the file."
        )


def _by_unit(times: np.ndarray, unit: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, "..."]:
    """Returns the sorted times of each unit; units without spikes stay."""
    order = np.lexsort((times, unit))
    edges = [np.searchsorted(unit[order], keys, side) for side in ("left", "right")]
    return tuple(times[order][first:last] for first, last in zip(*edges, strict=True))


def _intervals(arrays: dict[str, Any]) -> np.ndarray:
    return np.stack([arrays["start"], arrays["end"]], axis=1).astype(np.float64)


def _event(arrays: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns ids and times of a series whose values are whole numbers, each once: the trials of an event."""
    values = arrays["d"]
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (values != np.round(values)).any():
        return None
    ids = values.astype(np.int64)
    return (ids, arrays["t"]) if len(np.unique(ids)) == len(ids) else None


def _signal(arrays: dict[str, Any]) -> Signal:
    values = np.asarray(arrays["d"], np.float64)
    columns = arrays.get("columns")
    names = tuple(map(str, columns)) if columns is not None and columns.dtype.kind in "UiS" else ()
    return Signal(arrays["t"], values.reshape(len(values), -1), columns=names)

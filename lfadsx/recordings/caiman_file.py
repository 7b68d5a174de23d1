"""Data sets from the HDF5 files that CaImAn saves: traces of components, with a table of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import h5py
import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe, open_to_read, read_array
from lfadsx.data.opening import is_hdf5
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.event_tables import read_events
from lfadsx.recordings.imaging import read_traces
from lfadsx.recordings.recording import Recording

TraceKind = Literal["S", "F_dff", "C"]
"""What is taken of a file: deconvolved events, dF/F, or denoised fluorescence."""

UNITS = {"S": "", "F_dff": "dF/F", "C": "fluorescence"}
TABLES = ("trials.csv", "events.csv")
"""Tables of trials that are found beside the file."""

ESTIMATES, FRAME_RATE = "estimates", "params/data/fr"
"""Where a file holds its results and its frame rate."""


def from_caiman(
    path: str | Path,
    *,
    frame_rate: float | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    traces: TraceKind = "S",
    frame_times: Any = None,
    session: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Returns a data set of a file of CaImAn, cut into windows at an event, into whole trials or into pieces.

    Components that CaImAn's evaluation has rejected are left out. The layout is the one of CaImAn's `cnm.save`.

    Example:
        >>> import pathlib, tempfile
        >>> import h5py
        >>> import numpy as np
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "day1.hdf5"
        >>> with h5py.File(path, "w") as file:  # as CaImAn writes it
        ...     file["estimates/S"] = np.maximum(np.random.default_rng(0).normal(size=(5, 3000)), 0)
        ...     file["estimates/C"] = np.zeros((5, 3000))
        ...     file["estimates/idx_components"] = np.array([0, 1, 3])
        ...     file["params/data/fr"] = 30
        >>> trials = {"go_cue": np.arange(2.0, 98.0, 2.0)}
        >>> data = lfadsx.from_caiman(path, trials=trials, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.sessions[0].names("spikes")
        ((34, 21, 3), ('0', '1', '3'))

    Args:
        path: HDF5 file of CaImAn.
        frame_rate: Frames per second, if there are no `frame_times`; by default the one that the file holds.
        trials: Table of trials or events with times in seconds: columns by name or a CSV file; by default `trials.csv`
            or `events.csv` beside the file. A recording that is cut into pieces needs none.
        align: The event at time 0, a column of trials; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        traces: "S", deconvolved events; "F_dff", dF/F; or "C", denoised fluorescence in arbitrary units.
        frame_times: Time of each frame in seconds on the clock of the events, shape (frame,); by default the first
            frame is at 0 s.
        session: Name of the session; by default the name of the file.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `interval`, `areas`, `observed`,
            `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set; see `lfadsx.from_traces`. Channels are named by the rows of the components in the file.

    Raises:
        DataError: If the file cannot be read, lacks these traces, or too few trials are left.
    """
    recording = read_caiman(
        path,
        frame_rate=frame_rate,
        trials=trials,
        traces=traces,
        frame_times=frame_times,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, **options)


def read_caiman(
    path: str | Path,
    *,
    frame_rate: float | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    traces: TraceKind = "S",
    frame_times: Any = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a file of CaImAn with a table of events as a recording; arguments as in `from_caiman`."""
    path = Path(path)
    validation.one_of(traces, get_args(TraceKind), "`traces`")
    name = session or path.stem
    with open_to_read(path) as file:
        if ESTIMATES not in file:
            raise DataError(f"{path.name!r} must be a file of CaImAn with the group 'estimates'. Check the path.")
        values, accepted = _values(file, traces, path.name), _array(file, f"{ESTIMATES}/idx_components")
        stored = _array(file, FRAME_RATE)
    rate = float(np.ravel(stored)[0]) if frame_rate is None and stored is not None else frame_rate
    rows = np.arange(len(values)) if accepted is None else np.ravel(accepted).astype(np.int64)
    if not len(rows) or rows.min() < 0 or rows.max() >= len(values):
        raise DataError(
            f"'idx_components' of {path.name!r} must name at least one of its {len(values)} components, got "
            f"{len(rows)}{f', up to {rows.max()}' if len(rows) else ''}. Evaluate the components again."
        )
    beside = read_events(trials, (path.parent,), TABLES, f"the file of CaImAn {name!r}")
    recording = read_traces(
        values[rows].T,
        beside.table,
        frame_rate=None if frame_times is not None and frame_rate is None else rate,
        frame_times=frame_times,
        unit=UNITS[traces],
        unit_id=rows,
        events=beside.names,
        align=align,
        session=name,
        label=f"The traces of {name!r}",
    )
    tables = [describe(table) for table in beside.files]
    source = {"format": "CaImAn", "files": [describe(path)], "tables": tables, "traces": traces}
    notes = (*recording.findings, *_about_components(accepted is not None, len(values), len(rows), name))
    return dataclasses.replace(recording, source=source, no_trials=beside.missing, findings=notes)


def is_caiman(path: Path) -> bool:
    """Returns whether a path is a file of CaImAn, by its content."""
    if not is_hdf5(path):
        return False
    try:
        with open_to_read(path) as file:
            return any(f"{ESTIMATES}/{traces}" in file for traces in UNITS)
    except DataError:  # damaged; whoever reads it says so
        return False


def _about_components(are_evaluated: bool, n_found: int, n_kept: int, session: str) -> list[Finding]:
    if not are_evaluated:
        sentence = f"The components of {session!r} were not evaluated ('idx_components'), so all {n_found} are units."
        return [Finding("note", "units not evaluated", n_found, None, session, sentence)]
    if n_kept == n_found:
        return []
    sentence = f"{n_found - n_kept} of {n_found} components of {session!r} are left out: 'idx_components' lacks them."
    return [Finding("note", "units dropped", n_found - n_kept, 0, session, sentence)]


def _values(file: h5py.File, traces: TraceKind, name: str) -> np.ndarray:
    """Returns the traces of all components, shape (component, frame)."""
    values = _array(file, f"{ESTIMATES}/{traces}")
    if values is None or values.ndim != 2:
        found = [kind for kind in UNITS if _array(file, f"{ESTIMATES}/{kind}") is not None]
        raise DataError(
            f"{name!r} must hold 'estimates/{traces}' with the axes (component, frame); it holds "
            f"{', '.join(found) or 'no traces'}. Choose other `traces`."
        )
    return values


def _array(file: h5py.File, place: str) -> np.ndarray | None:
    """Returns an array of numbers, or None: CaImAn writes the text "NoneType" for what it has not computed."""
    if not isinstance(file.get(place), h5py.Dataset):
        return None
    values = np.asarray(read_array(file, place, repr(place)))
    return values if values.dtype.kind in "iuf" else None

"""Data sets from the folders that Suite2p writes: traces of regions of interest, with a table of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.data.opening import open_npy
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.event_tables import read_events
from lfadsx.recordings.fluorescence import Baseline, relative_change
from lfadsx.recordings.imaging import read_traces
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.traces import frames_per_second

TraceKind = Literal["spks", "dff", "F"]
"""What is taken of a folder: deconvolved events, dF/F, or raw fluorescence."""

UNITS = {"spks": "", "dff": "dF/F", "F": "fluorescence"}
TABLES = ("trials.csv", "events.csv")
"""Tables of trials that are found in the folder or in the one above."""


def from_suite2p(
    folder: str | Path,
    *,
    frame_rate: float | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    traces: TraceKind = "spks",
    baseline: Baseline = "maximin",
    neuropil: float = 0.7,
    frame_times: Any = None,
    session: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Returns a data set of a folder of Suite2p, cut into windows at an event or into whole trials.

    Regions that `iscell.npy` calls no cell are left out. `ops.npy` and `stat.npy` are pickles and never opened, so the
    frame rate must be given; it is `ops["fs"]`, frames per second of one plane.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> plane = pathlib.Path(folder.name) / "plane0"
        >>> plane.mkdir()
        >>> events = np.maximum(np.random.default_rng(0).normal(size=(5, 3000)), 0).astype(np.float32)
        >>> np.save(plane / "spks.npy", events)
        >>> np.save(plane / "iscell.npy", np.array([[1, 0.9]] * 4 + [[0, 0.1]]))
        >>> trials = {"go_cue": np.arange(2.0, 98.0, 2.0)}
        >>> data = lfadsx.from_suite2p(plane, frame_rate=30.0, trials=trials, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape
        (34, 21, 4)

    Args:
        folder: A folder such as `suite2p/plane0`, or the folder above, whose planes are joined.
        frame_rate: Frames per second of one plane, if there are no `frame_times`.
        trials: Table of trials or events with times in seconds: columns by name or a CSV file; by default `trials.csv`
            or `events.csv` in the folder or above it. A recording that is cut into pieces needs none.
        align: The event at time 0, a column of trials; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        traces: "spks", deconvolved events; "dff", the change of F - `neuropil` Fneu relative to a baseline; or "F".
        baseline: Baseline of dF/F: "maximin", which follows slow drift, or "percentile", the 8th of the session.
        neuropil: Share of the neuropil's signal that is subtracted for dF/F.
        frame_times: Time of each frame in seconds on the clock of the events, shape (frame,); by default the first
            frame is at 0 s.
        session: Name of the session; by default the name of the folder.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `interval`, `areas`, `observed`,
            `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set; see `lfadsx.from_traces`.

    Raises:
        DataError: If a file is missing or cannot be read, the frame rate is unknown, or too few trials are left.
    """
    recording = read_suite2p(
        folder,
        frame_rate=frame_rate,
        trials=trials,
        traces=traces,
        baseline=baseline,
        neuropil=neuropil,
        frame_times=frame_times,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, **options)


def read_suite2p(
    folder: str | Path,
    *,
    frame_rate: float | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    traces: TraceKind = "spks",
    baseline: Baseline = "maximin",
    neuropil: float = 0.7,
    frame_times: Any = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a folder of Suite2p with a table of events as a recording; arguments as in `from_suite2p`."""
    folder = Path(folder)
    validation.one_of(traces, get_args(TraceKind), "`traces`")
    if frame_rate is None and frame_times is None:
        raise DataError(
            "`frame_rate` must be given for a folder of Suite2p, such as 30: the file that holds it, ops.npy, is "
            'a pickle and is not opened. It is ops["fs"], frames per second of one plane.'
        )
    rate = frames_per_second(frame_times, frame_rate, "the folder of Suite2p")
    inside = folder.resolve()
    planes = [inside] if is_plane(inside) else sorted(filter(is_plane, inside.glob("plane*")))
    if not planes:
        raise DataError(f"{str(folder)!r} must be a folder of Suite2p with iscell.npy and spks.npy. Check the path.")
    name = session or inside.name
    beside = read_events(trials, (inside, inside.parent), TABLES, f"the Suite2p folder {name!r}")
    read = [_plane(plane, traces, rate, baseline, neuropil, name) for plane in planes]
    n_frames = min(len(plane.values) for plane in read)  # the last volume of a session may lack planes
    several = len(planes) > 1
    ids = [[f"{plane.folder.name}/{row}" if several else row for row in plane.rows] for plane in read]
    recording = read_traces(
        np.concatenate([plane.values[:n_frames] for plane in read], axis=1),
        beside.table,
        frame_rate=frame_rate,
        frame_times=frame_times,
        unit=UNITS[traces],
        unit_id=np.concatenate(ids),
        unit_columns={"plane": np.repeat([plane.folder.name for plane in read], [len(own) for own in ids])},
        events=beside.names,
        align=align,
        session=name,
        label=f"The traces of {name!r}",
    )
    files = [describe(path) | {"file": str(path.relative_to(inside))} for plane in read for path in plane.files]
    tables = [describe(path) for path in beside.files]
    source = {"format": "Suite2p", "files": files, "tables": tables, "traces": traces}
    source |= {"baseline": baseline, "neuropil": neuropil} if traces == "dff" else {}
    notes = tuple(note for plane in read for note in plane.notes)
    notes = (*recording.findings, *notes)
    return dataclasses.replace(recording, source=source, no_trials=beside.missing, findings=notes)


def is_suite2p(path: Path) -> bool:
    """Returns whether a path is a folder of one plane, or one with planes."""
    return path.is_dir() and any(map(is_plane, (path, *path.glob("plane*"))))


def is_plane(folder: Path) -> bool:
    """Returns whether a folder holds the traces of one plane."""
    traces = any((folder / name).is_file() for name in ("F.npy", "spks.npy"))
    return traces and (folder / "iscell.npy").is_file()


class Plane(NamedTuple):
    """The cells of one plane: its folder, values (frame, unit), rows of the cells, files that were read, and notes."""

    folder: Path
    values: np.ndarray
    rows: list[int]
    files: list[Path]
    notes: list[Finding]


def _plane(folder: Path, traces: TraceKind, rate: float, baseline: Baseline, neuropil: float, session: str) -> Plane:
    """Returns the cells of one plane."""
    is_cell = np.asarray(_array(folder / "iscell.npy"))
    cells = np.flatnonzero((is_cell[:, 0] if is_cell.ndim == 2 else is_cell) > 0)
    if not len(cells):
        raise DataError(f"'iscell.npy' of {folder.name!r} must call at least one region a cell, got none. Curate it.")
    files, notes = [folder / "iscell.npy", folder / ("spks.npy" if traces == "spks" else "F.npy")], []
    values = _of_cells(files[1], cells, len(is_cell))
    out = len(is_cell) - len(cells)
    if out:
        sentence = (
            f"{out} of {len(is_cell)} regions of {folder.name!r} are left out: 'iscell.npy' says they are not cells."
        )
        notes.append(Finding("note", "units dropped", out, 0, session, sentence))
    if traces == "dff":
        around = folder / "Fneu.npy"
        if neuropil and around.is_file():
            files.append(around)
            values = values - neuropil * _of_cells(around, cells, len(is_cell))
        elif neuropil:
            sentence = f"{folder.name!r} has no 'Fneu.npy', so the signal of the neuropil is not subtracted."
            notes.append(Finding("note", "neuropil", None, None, session, sentence))
        values = relative_change(values, rate, baseline)
        defined = np.isfinite(values).all(axis=0)
        if not defined.all():
            names = some([str(row) for row in cells[~defined]])
            sentence = (
                f"{(~defined).sum()} units of {folder.name!r} are left out: their baseline is not above 0 ({names})."
            )
            notes.append(Finding("note", "units dropped", int((~defined).sum()), 0, session, sentence))
            cells, values = cells[defined], values[:, defined]
    return Plane(folder, values, cells.tolist(), files, notes)


def _of_cells(path: Path, cells: np.ndarray, n_regions: int) -> np.ndarray:
    """Returns the values of some regions with the axes (frame, unit)."""
    values = _array(path)
    if values.ndim != 2 or len(values) != n_regions:
        raise DataError(
            f"{path.name!r} of {path.parent.name!r} must have the axes (region, frame) and the {n_regions} regions of "
            f"'iscell.npy', got shape {values.shape}. Take all files from one run of Suite2p."
        )
    return np.asarray(values[cells]).T


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise DataError(f"{path.parent.name!r} must hold {path.name!r}, but does not. Choose other `traces`.")
    return open_npy(path)

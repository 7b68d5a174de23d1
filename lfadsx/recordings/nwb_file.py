"""Recordings from NWB files: laboratories' own, and those of the Neural Latents Benchmark."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe, open_to_read
from lfadsx.errors import DataError, MissingExtraError
from lfadsx.findings import Finding
from lfadsx.recordings.benchmark_files import hide_missing_units, join_test_file
from lfadsx.recordings.cutting import Cutting, cut
from lfadsx.recordings.nwb_signals import read_signals
from lfadsx.recordings.recording import Recording

AREA_COLUMNS = ("location", "brain_area", "brain_region", "region", "area", "structure")
"""Columns of units that may hold the area, beside the places of electrodes."""

TRIAL_IDS = ("trial_id", "trial_number")
"""Columns of trials that are ids, if all are different; otherwise the ids of the table are taken."""

NOT_COLUMNS = (
    "spike_times",
    "obs_intervals",
    "electrodes",
    "electrode_group",
    "waveform_mean",
    "waveform_sd",
    "waveforms",
)
SPLITS = {"train", "val", "valid", "test", "none"}
HELD_OUT, SPLIT = "heldout", "split"
"""Columns of units and of trials in files of the benchmark."""


def from_nwb(
    path: str | Path,
    test_file: str | Path | None = None,
    *,
    trials: str | None = None,
    area: str | None = None,
    events: Sequence[str] = (),
    **cutting: Unpack[Cutting],
) -> Dataset:
    """Reads a recording from an NWB file and cuts it into a data set.

    Files of the Neural Latents Benchmark need no more than their alignment: units with `heldout` are held out, and
    trials have the split that the column `split` says, unless `held_out` and `split` are given.

    Example:
        data = lfadsx.from_nwb("session.nwb", align="go_cue_time", window=(-0.25, 0.45), behaviour="hand_vel")

    Args:
        path: The file.
        test_file: The test file of the benchmark. Its trials become the test split; units that it lacks are held out
            and not observed there.
        trials: Name of the table of trials; by default "trials", or the only table of intervals.
        area: What says the area of a unit: a column of the units, "electrodes.location" (of the first electrode) or
            "electrode_group.location"; by default the first of these that the file has and that varies.
        events: Further columns of trials that hold times.
        **cutting: Arguments of `lfadsx.recordings.cutting.cut`: `align`, `window`, `bin_width`, `condition`,
            `behaviour`, `areas`, `min_rate`, `held_out`, `split`, `seed` and others. `align` is a column of trials;
            "start_time" or "start", "go_cue_time" or "go_cue" are the same.

    Returns:
        The data set.

    Raises:
        MissingExtraError: If pynwb is not installed.
        DataError: If the file cannot be read, has no spike times or no trials, or a name is unknown.
    """
    behaviour = cutting.get("behaviour")
    recording = read_nwb(
        path, test_file, trials=trials, area=area, events=events, signals=() if behaviour is None else (behaviour,)
    )
    align = cutting.get("align")
    if align is not None:
        cutting["align"] = event_name(recording, align)
    if np.any(recording.unit_columns.get(HELD_OUT, False)):
        cutting.setdefault("held_out", HELD_OUT)
    if SPLIT in recording.trials and set(recording.trials[SPLIT].tolist()) <= SPLITS:
        cutting.setdefault("split", SPLIT)
    return hide_missing_units(cut(recording, **cutting), recording)


def event_name(recording: Recording, align: str) -> str:
    """Returns the event that a user means, with or without "_time"; other names come back as they are."""
    known = (align, f"{align}_time", align.removesuffix("_time"))
    return next((name for name in known if name in recording.events), align)


def read_nwb(
    path: str | Path,
    test_file: str | Path | None = None,
    *,
    trials: str | None = None,
    area: str | None = None,
    events: Sequence[str] = (),
    signals: Sequence[str] | None = None,
) -> Recording:
    """Reads units, trials and signals from an NWB file.

    Args:
        path: The file.
        test_file: A test file of the Neural Latents Benchmark, whose trials follow behind.
        trials: Name of the table of trials; by default "trials", or the only table of intervals.
        area: What says the area of a unit: a column of the units, "electrodes.location" (of the first electrode) or
            "electrode_group.location"; by default the first of these that the file has and that varies.
        events: Further columns of trials that hold times; columns that end in "_time" are known.
        signals: Names of the time series to read; by default all that are not very large.

    Raises:
        MissingExtraError: If pynwb is not installed.
        DataError: If the file cannot be read, has no spike times or no trials, or a name is unknown.
    """
    path = Path(path)
    with _opened(path) as nwb:
        table_name, columns, times, notes = _trials(nwb, path.name, trials, events)
        unit_id, spikes, unit_columns, place, area_notes = _units(nwb, path.name, area)
        observed, own_notes = _observed(nwb.units, path.name)
        series, left_out = read_signals(nwb, signals, path.name)
    recording = Recording(
        name=path.stem,
        unit_id=unit_id,
        spikes=spikes,
        trials=columns,
        events=times,
        unit_columns=unit_columns,
        observed=observed,
        signals=series,
        source=describe(path) | {"format": "NWB", "trials": table_name, "area": place},
        findings=(*notes, *area_notes, *own_notes, *left_out),
    )
    if test_file is None:
        return recording
    return join_test_file(recording, read_nwb(test_file, trials=trials, area=area, events=events, signals=()))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens an NWB file with pynwb; what breaks the schema is a `DataError`."""
    try:
        import pynwb
    except ImportError as error:
        raise MissingExtraError(
            'NWB files need pynwb, which is not installed. Install it with `pip install "lfadsx[nwb]"`.'
        ) from error
    with open_to_read(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions of schemas; what is read here is the same in all
        try:
            io = pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True)
            nwb = io.read()
        except Exception as error:  # pynwb raises errors of many kinds for files that break the schema
            raise DataError(
                f"{str(path)!r} cannot be read as an NWB file ({type(error).__name__}: {error}). "
                "Check it with `python -m pynwb.validate`."
            ) from error
        with io:
            yield nwb


def _trials(
    nwb: Any, file: str, wanted: str | None, events: Sequence[str]
) -> tuple[str, dict[str, np.ndarray], tuple[str, ...], list[Finding]]:
    """Returns name, columns and events of the table of trials, and notes on columns that are left out."""
    tables = {"trials": nwb.trials, "epochs": nwb.epochs, **dict(nwb.intervals or {})}
    tables = {name: table for name, table in tables.items() if table is not None and len(table)}
    name = wanted or ("trials" if "trials" in tables or len(tables) != 1 else next(iter(tables)))
    if name not in tables:
        raise DataError(
            f"{file!r} must hold the table of trials {name!r}, found {some([repr(n) for n in tables]) or 'no table'}. "
            "Name the table with `trials`, or use `from_spike_times` with a table of your own."
        )
    columns, left_out = _columns(tables[name], ("tags", "timeseries"))
    columns = {{"start_time": "start", "stop_time": "stop"}.get(column, column): v for column, v in columns.items()}
    for column in events:
        validation.one_of(column, columns, f"An event of {file!r}")
    ids = np.asarray(tables[name].id[:])
    given = [columns[column] for column in TRIAL_IDS if column in columns]
    ids = next((values for values in given if len(np.unique(values)) == len(values)), ids)
    times = [column for column, values in columns.items() if column in events or _is_event(column, values, columns)]
    columns |= {column: np.asarray(columns[column], np.float64) for column in times}
    return name, {"trial_id": ids, **columns}, tuple(times), _left_out(left_out, "trials", file)


def _is_event(name: str, values: np.ndarray, columns: dict[str, np.ndarray]) -> bool:
    """Returns whether a column holds times: by its name, or because all its numbers lie inside the trials."""
    if name in ("start", "stop") or (name.endswith("_time") and values.dtype.kind in "iuf"):
        return True
    if values.dtype.kind != "f" or not {"start", "stop"} <= set(columns) or len(values) < 2:
        return False
    known = np.isfinite(values)
    inside = (values >= columns["start"]) & (values <= columns["stop"])
    return bool(known.any() and inside[known].all())


def _units(
    nwb: Any, file: str, area: str | None
) -> tuple[np.ndarray, tuple[np.ndarray, ...], dict[str, np.ndarray], str, list[Finding]]:
    """Returns ids, spike times and columns of the units, where their areas come from, and notes on areas."""
    units = nwb.units
    if units is None or "spike_times" not in units.colnames:
        found = "no table of units" if units is None else f"the columns {some(list(units.colnames))}"
        raise DataError(
            f"{file!r} must hold units with 'spike_times', found {found}. Add the sorted spikes to `units`."
        )
    spikes = tuple(np.sort(times[np.isfinite(times)].astype(np.float64)) for times in _ragged(units["spike_times"]))
    columns, _ = _columns(units, NOT_COLUMNS)
    places = {name: values for name, values in _areas(nwb).items() if len(values) == len(spikes)}
    places |= {name: values.astype(str) for name, values in columns.items() if name in AREA_COLUMNS or name == area}
    if area is not None:
        validation.one_of(area, places, f"`area`, which says where the units of {file!r} were,")
    varied = [name for name, values in places.items() if len(np.unique(values)) > 1]
    place = area or next(iter([*varied, *places]), "")
    if place:
        columns["area"] = places[place]
    other = next((name for name in varied if name != place and np.any(places[name] != places[place])), None)
    notes = []
    if area is None and other is not None:
        sentence = f"The areas of the units of {file!r} are those of {place!r}; {other!r} says otherwise."
        remedy = f"Give area={other!r} if that is right."
        notes = [Finding("note", "areas said twice", None, None, file, sentence, remedy)]
    return np.asarray(units.id[:]), spikes, columns, place, notes


def _areas(nwb: Any) -> dict[str, np.ndarray]:
    """Returns the areas of all units by where they are said: their first electrode, or their electrode group."""
    units, found = nwb.units, {}
    if "electrodes" in units.colnames and nwb.electrodes is not None and "location" in nwb.electrodes.colnames:
        location = _tidy(nwb.electrodes["location"].data)
        rows = [np.ravel(own) for own in _ragged(units["electrodes"])]
        if location is not None:
            found["electrodes.location"] = np.array([str(location[own[0]]) if len(own) else "" for own in rows])
    if "electrode_group" in units.colnames:
        groups = [units["electrode_group"][row] for row in range(len(units))]
        found["electrode_group.location"] = np.array([str(getattr(group, "location", "")) for group in groups])
    return found


def _observed(units: Any, file: str) -> tuple[np.ndarray | None, list[Finding]]:
    """Returns the intervals in which all units were recorded, None if they are unknown."""
    if "obs_intervals" not in units.colnames:
        return None, []
    each = [np.asarray(own, np.float64).reshape(-1, 2) for own in _ragged(units["obs_intervals"])]
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
    sentence = f"The units of {file!r} have {len(different)} different 'obs_intervals'; trials are kept where all units were recorded."
    return common, [Finding("note", "units recorded apart", len(different), 1, file, sentence)]


def _overlap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the intervals that two sets of intervals share, shape (interval, 2)."""
    start = np.maximum(left[:, None, 0], right[None, :, 0]).ravel()
    stop = np.minimum(left[:, None, 1], right[None, :, 1]).ravel()
    shared = np.stack([start, stop], axis=1)[stop > start]
    return shared[np.argsort(shared[:, 0], kind="stable")]


def _ragged(column: Any) -> list[np.ndarray]:
    """Returns the entries of a column, one array a row; a ragged column is stored as ends of stretches of another."""
    if not hasattr(column, "target"):
        return [np.atleast_1d(entry) for entry in np.asarray(column.data[:])]
    ends, flat = np.asarray(column.data[:], np.int64), np.asarray(column.target.data[:])
    return np.split(flat, ends[:-1]) if len(ends) else []


def _columns(table: Any, skipped: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the columns of a table with one number or text a row, and the names of all others."""
    columns, left_out = {}, []
    for name in table.colnames:
        if name in skipped:
            continue
        values = None if hasattr(table[name], "target") else _tidy(table[name].data)
        if values is None:
            left_out.append(name)
        else:
            columns[name] = values
    return columns, left_out


def _tidy(data: Any) -> np.ndarray | None:
    """Returns numbers, booleans or text, shape (row,), or None for anything else."""
    values = np.asarray(data[:])
    if values.dtype.kind in "OS" and all(isinstance(value, str | bytes) for value in values.ravel()):
        values = np.array([v.decode() if isinstance(v, bytes) else v for v in values.ravel()], str).reshape(
            values.shape
        )
    return values if values.ndim == 1 and values.dtype.kind in "iufbU" else None


def _left_out(names: list[str], what: str, file: str) -> list[Finding]:
    if not names:
        return []
    sentence = f"Columns of the {what} of {file!r} with more than one entry a row are left out: {some(names)}."
    return [Finding("note", "unread columns", len(names), 0, file, sentence)]

"""Recordings from NWB files: spikes or imaging of laboratories, and the Neural Latents Benchmark."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lfadsx.damaged_files import readable
from lfadsx.data import validation
from lfadsx.data.benchmark_sets import BIN_WIDTH, SETS, BenchmarkName
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe, open_to_read
from lfadsx.errors import DataError, MissingExtraError
from lfadsx.findings import Finding
from lfadsx.recordings.benchmark_files import forget_test_times, hide_missing_units, join_test_file
from lfadsx.recordings.chopping import is_whole
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.nwb_signals import read_signals
from lfadsx.recordings.nwb_tables import columns_of
from lfadsx.recordings.nwb_traces import read_regions, responses
from lfadsx.recordings.nwb_units import observed_intervals, read_units
from lfadsx.recordings.recording import Recording, no_trials

TRIAL_IDS = ("trial_id", "trial_number")
"""Columns of trials that are ids, if all are different; otherwise the ids of the table are taken."""

SPLITS = {"train", "val", "valid", "test", "none"}
HELD_OUT, SPLIT = "heldout", "split"
"""Columns of units and of trials in files of the benchmark."""


def from_nwb(
    path: str | Path,
    test_file: str | Path | None = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    benchmark: BenchmarkName | None = None,
    trials: str | None = None,
    area: str | None = None,
    events: Sequence[str] = (),
    traces: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Reads a recording from an NWB file and cuts it into a data set.

    For files of the Neural Latents Benchmark only the name of the set is needed (`benchmark`). Their column `heldout`
    marks held-out units and their column `split` the split of each trial; `held_out` and `split` override them.

    A file without spike times, but with a `RoiResponseSeries` (fluorescence, dF/F or events), is read as imaging, as by
    `lfadsx.from_traces`.

    Example:
        >>> import datetime, pathlib, tempfile
        >>> import numpy as np
        >>> import pynwb
        >>> import lfadsx
        >>> nwb = pynwb.NWBFile("reaching", "monday", datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC))
        >>> for unit in range(3):
        ...     _ = nwb.add_unit(spike_times=np.arange(0.1, 99, 0.3 + 0.1 * unit))
        >>> _ = nwb.add_trial_column("go_cue_time", "when the cue appeared")
        >>> for start in np.arange(1.0, 97.0, 2.0):
        ...     _ = nwb.add_trial(start_time=start, stop_time=start + 1.9, go_cue_time=start + 1)
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "monday.nwb"
        >>> with pynwb.NWBHDF5IO(path, "w") as io:
        ...     _ = io.write(nwb)
        >>> data = lfadsx.from_nwb(path, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.time.event
        ((34, 70, 3), 'go_cue_time')

    Args:
        path: The file.
        test_file: The test file of the benchmark. Its trials become the test split; units that it lacks are held out
            and not observed there.
        align: The event at time 0, a column of trials; by default "start". "start_time" and "start", "go_cue_time" and
            "go_cue" are the same.
        window: First and last time relative to the event in seconds; None for whole trials, from the event to the stop.
        bin_width: Width of a bin in seconds; by default 0.01, and for imaging the time between two frames.
        benchmark: Set of the Neural Latents Benchmark, such as "mc_maze": event, window, bins of 5 ms, conditions and
            behaviour with its lag are those of the benchmark where no others are given.
        trials: Name of the table of trials; by default "trials", or the only table of intervals.
        area: What says the area of a unit: a column of the units, "electrodes.location" (of the first electrode) or
            "electrode_group.location"; by default the first of these that the file has and that varies.
        events: Further columns of trials that hold times.
        traces: Name of the series of regions of interest or of its container, such as "DfOverF"; by default imaging is
            read only from files without spike times.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour` (the name of a time series),
            `behaviour_lag`, `interval`, `areas`, `min_rate`, `observed`, `held_out`, `split`, `split_by`, `chop`,
            `overlap`, `seed`.

    Returns:
        The data set.

    Raises:
        MissingExtraError: If pynwb is not installed.
        DataError: If the file cannot be read, has no spike times or no trials, or a name is unknown.
    """
    if benchmark is not None:
        validation.one_of(benchmark, SETS, "`benchmark`")
        if options.get("chop") is not None:
            raise DataError(
                f"`benchmark` names the windows of trials, got {benchmark!r} with `chop`, which cuts pieces. Leave one "
                "of them out."
            )
        known = SETS[benchmark]
        align, window, bin_width = align or known.align, window or known.window, bin_width or BIN_WIDTH
        for name in ("condition", "behaviour", "behaviour_lag", "interval"):
            options.setdefault(name, getattr(known, name))
    behaviour = options.get("behaviour")
    recording = read_nwb(
        path,
        test_file,
        trials=trials,
        area=area,
        events=events,
        signals=() if behaviour is None else (behaviour,),
        traces=traces,
    )
    if benchmark is not None and known.interval in recording.trials:  # the benchmark tells it in milliseconds
        in_seconds = np.asarray(recording.trials[known.interval], np.float64) / 1000
        recording = dataclasses.replace(recording, trials=recording.trials | {known.interval: in_seconds})
    if np.any(recording.unit_columns.get(HELD_OUT, False)):
        options.setdefault("held_out", HELD_OUT)
    whole = options.get("chop") is not None and is_whole(recording, align, window)
    if whole and test_file is not None:
        raise DataError(f"A test file holds windows of trials, got {str(test_file)!r} with `chop`. Leave it out.")
    if not whole and SPLIT in recording.trials and set(recording.trials[SPLIT].tolist()) <= SPLITS:
        options.setdefault("split", SPLIT)
    align = None if align is None else event_name(recording, align)
    data = cut(recording, align=align, window=window, bin_width=bin_width, **options)
    return forget_test_times(hide_missing_units(data, recording), recording)


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
    traces: str | None = None,
) -> Recording:
    """Reads units with spikes or traces, trials and signals from an NWB file.

    Args:
        path: The file.
        test_file: A test file of the Neural Latents Benchmark, whose trials follow behind.
        trials: Name of the table of trials; by default "trials", or the only table of intervals.
        area: What says the area of a unit: a column of the units, "electrodes.location" (of the first electrode) or
            "electrode_group.location"; by default the first of these that the file has and that varies.
        events: Further columns of trials that hold times; columns that end in "_time" are known.
        signals: Names of the time series to read; by default all that are not very large.
        traces: Name of a series of regions of interest; by default it is read only from files without spike times.

    Raises:
        MissingExtraError: If pynwb is not installed.
        DataError: If the file cannot be read, has neither spike times nor traces, or a name is unknown.
    """
    path = Path(path)
    with _opened(path) as nwb:
        table_name, columns, times, notes, missing = _trials(nwb, path.name, trials, events)
        units, place, notes_on_units = _units(nwb, path.name, area, traces)
        span = _span([*units["spikes"], *_frames(units)], [columns[event] for event in times])
        observed, own_notes = observed_intervals(nwb, path.name, span, None if _frames(units) else nwb.units)
        series, left_out = read_signals(nwb, signals, path.name)
    recording = Recording(
        name=path.stem,
        **units,
        trials=columns,
        events=times,
        no_trials=missing,
        observed=observed,
        signals=series,
        source={
            **{"format": "NWB", "path": str(path.resolve()), "files": [describe(path)], "trials": table_name},
            **place,
        },
        findings=(*notes, *notes_on_units, *own_notes, *left_out),
    )
    if test_file is None:
        return recording
    return join_test_file(recording, read_nwb(test_file, trials=trials, area=area, events=events, signals=()))


def _units(
    nwb: Any, file: str, area: str | None, traces: str | None
) -> tuple[dict[str, Any], dict[str, str], list[Finding]]:
    """Returns the fields of `Recording` about units, what `Dataset.source` says of them, and notes."""
    imaged = responses(nwb)
    spiking = nwb.units is not None and "spike_times" in nwb.units.colnames
    if traces is not None or (imaged and not spiking):
        regions = read_regions(imaged, traces, file)
        fields = {"unit_id": regions.unit_id, "spikes": (np.empty(0),) * len(regions.unit_id)}
        fields |= {"traces": regions.traces, "unit_columns": regions.columns}
        return fields, {"traces": regions.name}, regions.notes
    unit_id, spikes, columns, place, notes = read_units(nwb, file, area)
    return {"unit_id": unit_id, "spikes": spikes, "unit_columns": columns}, {"area of": place}, notes


def _frames(units: dict[str, Any]) -> list[np.ndarray]:
    """Returns first and last times of the frames of imaging; nothing for spikes."""
    return [units["traces"].intervals.ravel()] if "traces" in units else []


def _span(spikes: Sequence[np.ndarray], events: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns the first and the last time of spikes and events."""
    times = [values[np.isfinite(values)] for values in (*spikes, *events)]
    known = [(float(values.min()), float(values.max())) for values in times if len(values)]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else (0.0, 0.0)


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
        failure = f"{str(path)!r} cannot be read as an NWB file"
        with readable(failure, "Check it with `python -m pynwb.validate`."):
            io = pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True)
            nwb = io.read()
        with io:
            yield nwb


def _trials(
    nwb: Any, file: str, wanted: str | None, events: Sequence[str]
) -> tuple[str, dict[str, np.ndarray], tuple[str, ...], list[Finding], str]:
    """Returns name, columns and events of the table of trials, notes on columns that are left out, and what is missing.

    A file without the table of the usual name has no trials, and only the last value says what was looked for.
    """
    tables = {"trials": nwb.trials, "epochs": nwb.epochs, **dict(nwb.intervals or {})}
    tables = {name: table for name, table in tables.items() if table is not None and len(table)}
    name = wanted or ("trials" if "trials" in tables or len(tables) != 1 else next(iter(tables)))
    if name not in tables:
        missing = (
            f"{file!r} must hold the table of trials {name!r}, found {some([repr(n) for n in tables]) or 'no table'}. "
            "Name the table with `trials`, or use `from_spike_times` with your own table."
        )
        if wanted is not None:
            raise DataError(missing)
        return "", no_trials(), (), [], missing
    columns, left_out = columns_of(tables[name], ("tags", "timeseries"))
    columns = {{"start_time": "start", "stop_time": "stop"}.get(column, column): v for column, v in columns.items()}
    for column in events:
        validation.one_of(column, columns, f"An event of {file!r}")
    given = [columns[column] for column in TRIAL_IDS if column in columns]
    ids = next((values for values in given if _may_be_ids(values)), np.asarray(tables[name].id[:]))
    columns["trial_id"] = ids.astype(np.int64) if ids.dtype.kind == "f" else ids
    times = [column for column, values in columns.items() if column in events or _is_event(column, values, columns)]
    columns |= {column: np.asarray(columns[column], np.float64) for column in times}
    return name, columns, tuple(times), _left_out(left_out, "trials", file), ""


def _may_be_ids(values: np.ndarray) -> bool:
    """Returns whether labels are all different, and whole if they are numbers."""
    whole = values.dtype.kind != "f" or bool(np.all(values == np.round(values)))
    return whole and len(np.unique(values)) == len(values)


def _is_event(name: str, values: np.ndarray, columns: dict[str, np.ndarray]) -> bool:
    """Returns whether a column holds times: by its name, or because all its numbers lie inside the trials."""
    if name in ("start", "stop") or (name.endswith("_time") and values.dtype.kind in "iuf"):
        return True
    if values.dtype.kind != "f" or not {"start", "stop"} <= set(columns) or len(values) < 2:
        return False
    known = np.isfinite(values)
    inside = (values >= columns["start"]) & (values <= columns["stop"])
    return bool(known.any() and inside[known].all())


def _left_out(names: list[str], what: str, file: str) -> list[Finding]:
    if not names:
        return []
    sentence = f"Columns of the {what} of {file!r} with more than one entry a row are left out: {some(names)}."
    return [Finding("note", "unread columns", len(names), 0, file, sentence)]

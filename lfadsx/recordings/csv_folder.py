"""Data sets from a folder of CSV tables: spikes, trials, units, recorded intervals and signals."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, Unpack, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.recording import Recording, Signal, no_trials
from lfadsx.recordings.recording_findings import dropped_spikes
from lfadsx.recordings.tables import column_of, read_columns, read_header, read_table
from lfadsx.recordings.tidying import by_id, tidy_intervals, tidy_trials

TimeUnit = Literal["s", "ms"]
"""Unit of all times in the tables of a folder."""

UNIT_COLUMNS = ("unit", "unit_id", "neuron", "cluster", "cluster_id", "id")
TIME_COLUMNS = ("time", "spike_time", "times", "time_s", "t", "sample")
"""Names of the columns of units and of times; the first that exists is taken."""


def from_csv(
    folder: str | Path,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float = 0.01,
    time_unit: TimeUnit = "s",
    clock_hz: float | None = None,
    events: Collection[str] | None = None,
    session: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    r"""Returns a data set of a folder of CSV tables, cut into windows at an event or into whole trials.

    Example:
        >>> import pathlib, tempfile
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name)
        >>> spikes = [f"{unit},{0.1 * i + 0.01 * unit}" for unit in (1, 2) for i in range(200)]
        >>> _ = (path / "spikes.csv").write_text("\n".join(["unit,time", *spikes]))
        >>> trials = [f"{i},{2 * i + 0.5}" for i in range(10)]
        >>> _ = (path / "trials.csv").write_text("\n".join(["trial_id,go_cue", *trials]))
        >>> data = lfadsx.from_csv(path, align="go_cue", window=(-0.2, 0.4))
        >>> data.train.targets["spikes"].shape
        (6, 60, 2)

    Args:
        folder: Folder with the tables, each with a header: `spikes.csv` (unit, time) and `trials.csv` (trial_id, times
            of events with empty fields for events that did not happen, further columns), which a recording that is cut
            into pieces does not need; if they exist `units.csv` (unit, area, ...), which also names silent units, and
            `recorded.csv` (start, stop of each interval in which the recording ran). Every other table with a column
            "time" is a signal, named after its file.
        align: The event at time 0, a column of `trials.csv`; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        bin_width: Width of a bin in seconds.
        time_unit: "s" or "ms", the unit of all times in the tables.
        clock_hz: Samples per second, if all times in the tables are integer samples.
        events: Columns of `trials.csv` that hold times; by default they are found by their values.
        session: Name of the session; by default the name of the folder.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `observed`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set; `Dataset.source` has the reason of every trial that is dropped.

    Raises:
        DataError: If a table is missing or cannot be read, a name is unknown, or too few trials are left.
    """
    recording = read_csv(folder, time_unit=time_unit, clock_hz=clock_hz, events=events, align=align, session=session)
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_csv(
    folder: str | Path,
    *,
    time_unit: TimeUnit = "s",
    clock_hz: float | None = None,
    events: Collection[str] | None = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a folder of CSV tables as a recording; arguments as in `from_csv`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} must be a folder with spikes.csv and trials.csv. Check the path.")
    validation.one_of(time_unit, get_args(TimeUnit), "`time_unit`")
    if clock_hz is not None and time_unit != "s":
        raise DataError(f"Times must be samples of `clock_hz` or in `time_unit`, got {clock_hz:g} and {time_unit!r}.")
    scale = 0.001 if time_unit == "ms" else 1.0
    name = session or folder.resolve().name
    read = [folder / "spikes.csv"]
    trials, names = no_trials(), ()
    if (folder / "trials.csv").is_file():
        read.append(folder / "trials.csv")
        trials, names = tidy_trials(read_table(read[-1]), clock_hz, events, also=align)
    unit_id, columns = None, {}
    if (folder / "units.csv").is_file():
        read.append(folder / "units.csv")
        columns = read_table(read[-1])
        unit_id = columns.pop(column_of(list(columns), UNIT_COLUMNS, read[-1]))
    unit_id, spikes, findings = _spikes(read[0], unit_id, clock_hz, name)
    observed = None
    if (folder / "recorded.csv").is_file():
        read.append(folder / "recorded.csv")
        observed = tidy_intervals(read[-1], clock_hz)
    signals = {path.stem: _signal(path, scale / (clock_hz or 1.0)) for path in _signal_files(folder, read)}
    read += [folder / f"{signal}.csv" for signal in signals]
    unused = sorted(path.name for path in folder.glob("*.csv") if path not in read)
    if unused:
        sentence = f"Tables of {folder.name!r} that nothing reads: {some(unused)}."
        findings.append(Finding("note", "unused keys", len(unused), 0, name, sentence))
    if time_unit == "ms":
        spikes = tuple(times * scale for times in spikes)
        trials |= {event: trials[event] * scale for event in names}
        observed = None if observed is None else observed * scale
    return Recording(
        name=name,
        unit_id=unit_id,
        spikes=spikes,
        trials=trials,
        events=names,
        clock_hz=clock_hz,
        no_trials=f"{str(folder)!r} must hold the table of trials trials.csv. Add it.",
        unit_columns=columns,
        observed=observed,
        signals=signals,
        source={"format": "CSV", "files": [describe(path) for path in read]},
        findings=tuple(findings),
    )


def _spikes(
    path: Path, unit_id: np.ndarray | None, clock_hz: float | None, name: str
) -> tuple[np.ndarray, tuple[np.ndarray, "..."], list[Finding]]:
    """Returns the units, the times of their spikes, and what is left out."""
    header, _ = read_header(path)
    unit, times = read_columns(path, column_of(header, UNIT_COLUMNS, path), column_of(header, TIME_COLUMNS, path))
    if unit.dtype.kind == "f" and np.array_equal(unit, np.floor(unit)):
        unit = unit.astype(np.int64)
    if unit_id is None:
        unit_id = np.unique(unit)
    elif unit_id.dtype.kind != unit.dtype.kind:
        unit_id, unit = unit_id.astype(str), unit.astype(str)
    spikes, unknown, not_finite = by_id(unit, times, unit_id, clock_hz, f"{path.name!r}")
    findings = dropped_spikes(name, unknown, len(times), "because units.csv does not name their units")
    findings += dropped_spikes(name, not_finite, len(times), "because their times are not finite")
    return unit_id, spikes, findings


def _signal_files(folder: Path, read: list[Path]) -> list[Path]:
    others = [path for path in sorted(folder.glob("*.csv")) if path not in read]
    return [path for path in others if "time" in read_header(path)[0]]


def _signal(path: Path, scale: float) -> Signal:
    """Returns a table with a column of times as a signal, its times in seconds; columns of text are left out."""
    columns = read_table(path)
    times = np.asarray(columns.pop("time"), np.float64) * scale
    numbers = {name: values for name, values in columns.items() if values.dtype.kind in "iuf"}
    if not numbers:
        raise DataError(f"{path.name!r} must have a column of numbers beside 'time', got {', '.join(columns)}.")
    values = np.stack(list(numbers.values()), axis=1).astype(np.float64)
    order = np.argsort(times, kind="stable")
    return Signal(times[order], values[order], columns=tuple(numbers))

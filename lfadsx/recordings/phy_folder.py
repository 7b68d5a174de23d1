"""Data sets from a folder of Kilosort or Phy, with a table of events on the same clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack, get_args

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.event_tables import by_trial, is_by_event
from lfadsx.recordings.phy_clusters import read_clusters, sample_rate
from lfadsx.recordings.recording import Recording, no_trials
from lfadsx.recordings.recording_findings import dropped_spikes
from lfadsx.recordings.tables import read_table
from lfadsx.recordings.tidying import by_id, tidy_intervals, tidy_trials

EventTimes = Literal["samples", "seconds"]
"""Unit of the times in the tables of events and of recorded intervals."""


def from_phy(
    folder: str | Path,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float = 0.01,
    events: str | Path = "events.csv",
    event_times: EventTimes = "samples",
    recorded: str | Path | None = None,
    labels: Sequence[str] | None = ("good",),
    label_column: str | None = None,
    clock_hz: float | None = None,
    session: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    r"""Returns a data set of a folder of Kilosort or Phy, cut into windows at an event or into whole trials.

    Sorters know no events: they come from a table whose times are on the clock of the recording.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name)
        >>> np.save(path / "spike_times.npy", np.arange(0, 600_000, 500, dtype=np.uint64))
        >>> np.save(path / "spike_clusters.npy", np.tile([4, 9], 600).astype(np.int32))
        >>> _ = (path / "cluster_group.tsv").write_text("cluster_id\tgroup\n4\tgood\n9\tgood\n")
        >>> _ = (path / "params.py").write_text("sample_rate = 30000.0\n")
        >>> trials = [f"{30_000 * i},go_cue,{i}" for i in range(1, 15)]
        >>> _ = (path / "events.csv").write_text("\n".join(["sample,event,trial_id", *trials]))
        >>> data = lfadsx.from_phy(path, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.sessions[0].names("spikes")
        ((10, 70, 2), ('4', '9'))

    Args:
        folder: Folder with `spike_times.npy` (samples), `spike_clusters.npy` (or `spike_templates.npy`), `params.py`
            (only its `sample_rate` is read, as text) and `cluster_*.tsv`.
        align: The event at time 0; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        bin_width: Width of a bin in seconds.
        events: Table of events, in the folder or elsewhere: a row for each event (sample, event, trial_id, further
            columns), or a row for each trial with a column for each event. A recording that is cut into pieces needs
            none.
        event_times: "samples" or "seconds", the unit of times in that table and in `recorded`.
        recorded: Table of the intervals in which the recording ran (first, end); by default `recorded.csv` in the
            folder if it exists.
        labels: Labels of the clusters that are kept; None for all clusters.
        label_column: Column with the labels; by default "group" (from a person), else "KSLabel" (from Kilosort).
        clock_hz: Samples per second; by default `sample_rate` of `params.py`.
        session: Name of the session; by default the name of the folder.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `observed`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set; `Dataset.source` has the reason of every trial that is dropped.

    Raises:
        DataError: If a file is missing or cannot be read, a name is unknown, or too few clusters or trials are left.
    """
    recording = read_phy(
        folder,
        events=events,
        event_times=event_times,
        recorded=recorded,
        labels=labels,
        label_column=label_column,
        clock_hz=clock_hz,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_phy(
    folder: str | Path,
    *,
    events: str | Path = "events.csv",
    event_times: EventTimes = "samples",
    recorded: str | Path | None = None,
    labels: Sequence[str] | None = ("good",),
    label_column: str | None = None,
    clock_hz: float | None = None,
    align: str | None = None,
    session: str | None = None,
) -> Recording:
    """Returns a folder of Kilosort or Phy with a table of events as a recording; arguments as in `from_phy`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} must be a folder of Kilosort or Phy. Check the path.")
    validation.one_of(event_times, get_args(EventTimes), "`event_times`")
    name = session or folder.resolve().name
    clock = sample_rate(folder / "params.py") if clock_hz is None else clock_hz
    validation.positive(clock, "`clock_hz`")
    clusters = read_clusters(folder)
    unit_id, findings = clusters.chosen(labels, label_column, name)
    spikes, _, _ = by_id(clusters.cluster, clusters.samples, unit_id, clock, "'spike_times.npy'")
    early = sum(int(np.searchsorted(times, 0)) for times in spikes)
    findings += dropped_spikes(name, early, sum(map(len, spikes)), "because their samples are negative")
    spikes = tuple(times[times >= 0] for times in spikes)

    # Events in seconds are compared with spikes in seconds; in samples all stays in integers.
    event_clock = clock if event_times == "samples" else None
    table = _beside(folder, events)
    known = table.is_file() or events != "events.csv"
    trials, names = _trials(table, event_clock, align) if known else (no_trials(), ())
    missing = f"{str(folder)!r} must hold the table of events events.csv. Add it, or name another one with `events`."
    intervals = _beside(folder, recorded or "recorded.csv")
    observed = tidy_intervals(intervals, event_clock) if recorded or intervals.is_file() else None
    read = [*clusters.files, *([table] if known else []), *([intervals] if observed is not None else [])]
    return Recording(
        name=name,
        unit_id=unit_id,
        spikes=spikes if event_clock else tuple(times / clock for times in spikes),
        trials=trials,
        events=names,
        clock_hz=event_clock,
        no_trials=missing,
        unit_columns=clusters.columns(unit_id),
        observed=observed,
        source={"format": "Phy", "clock_hz": clock, "files": [describe(path) for path in read]},
        findings=tuple(findings),
    )


def _beside(folder: Path, file: str | Path) -> Path:
    """Returns a file in the folder if it is there, else the path as it is given."""
    return folder / file if (folder / file).is_file() or not Path(file).is_file() else Path(file)


def _trials(path: Path, clock_hz: float | None, align: str | None) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    table, events = read_table(path), None
    if is_by_event(table):
        table, events = by_trial(table, path)
    return tidy_trials(table, clock_hz, events, also=align)

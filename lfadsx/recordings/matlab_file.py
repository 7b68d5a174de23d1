"""Recordings from MATLAB files of any version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.recordings import matlab_layouts as layouts
from lfadsx.recordings.binned_counts import cut_counts
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.matlab_contents import choose_variable, examine
from lfadsx.recordings.matlab_counts import counts_recording
from lfadsx.recordings.matlab_rasters import by_raster
from lfadsx.recordings.matlab_values import open_matlab
from lfadsx.recordings.recording import Recording


def from_matlab(
    path: str | Path,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    variable: str | None = None,
    events: Sequence[str] = (),
    relative_to: str | None = None,
    time_unit: float | None = None,
    extent: tuple[float, float] | None = None,
    axes: str | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Reads a recording from a MATLAB file and cuts it into a data set.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import scipy.io
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "monday.mat"
        >>> scipy.io.savemat(path, {"counts": np.random.default_rng(0).poisson(0.3, (40, 6, 50))})
        >>> data = lfadsx.from_matlab(path, axes="trial neuron time", bin_width=0.01)
        >>> data.train.targets["spikes"].shape
        (28, 50, 6)

    Args:
        path: The file, v4 to v7.3. `read_matlab` lists the layouts.
        align: The event at time 0, a column of the table of trials; by default "start". "zero" is time 0 of trials that
            have their own clocks. For counts: a name for the event that their times count from.
        window: First and last time relative to the event in seconds; None for whole trials, from the event to the stop.
        bin_width: Width of a bin in seconds; by default 0.01, and for counts that of the file. Bins of counts may also
            be several of the file together.
        variable: The variable that holds the spikes; by default the form that is cut least.
        events: Further columns of the table of trials that hold times.
        relative_to: For a cell and for counts: the event that their times count from.
        time_unit: Seconds per unit of all times: 1 for s, 0.001 for ms, 1/30000 for samples at 30 kHz.
        extent: For a cell: first and last time in seconds, from `relative_to`, that spikes were kept for.
        axes: Order of the axes, if sizes do not tell: "unit trial" for a cell, "unit time" for rasters, "trial neuron
            time" for counts.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `observed`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set.

    Raises:
        DataError: If the file cannot be read, or its layout or the unit of its times is not clear.
    """
    recording = read_matlab(
        path,
        variable=variable,
        events=events,
        relative_to=relative_to,
        time_unit=time_unit,
        extent=extent,
        axes=axes,
        bin_width=bin_width,
    )
    if "bins" in recording.source:
        return cut_counts(recording, align, window, bin_width, **options)
    return cut(recording, align=align, window=window, bin_width=bin_width or 0.01, **options)


def read_matlab(
    path: str | Path,
    *,
    variable: str | None = None,
    events: Sequence[str] = (),
    relative_to: str | None = None,
    time_unit: float | None = None,
    extent: tuple[float, float] | None = None,
    axes: str | None = None,
    bin_width: float | None = None,
) -> Recording:
    """Reads spike times and trials from a MATLAB file of any version.

    These layouts are read; fields are known by their usual names, such as `spikes`, `startTime` and `unitArea`:

    * a struct array of units with spike times of the whole session, beside a table of trials;
    * a struct array of trials with a cell of spike times by unit and with times of events;
    * a cell of spike times, {unit, trial} or {trial, unit};
    * rasters: counts by unit and bin of each trial, in a struct array or a cell. They become spikes in the middle of
      their bins, whose width is `time_unit`;
    * counts with three axes in any order. They become spikes in the middle of their bins.

    Args:
        path: The file, v4 to v7.3.
        variable: The variable that holds the spikes; by default the first of these forms that the file holds.
        events: Further columns of the table of trials that hold times.
        relative_to: For a cell and for counts: the event that their times count from. For a cell with negative times
            it must be a column of the table of trials.
        time_unit: Seconds per unit of all times: 1 for s, 0.001 for ms, 1/30000 for samples at 30 kHz. By default ms
            for names that end in Ms or _ms, and s for all others.
        extent: For a cell: first and last time in seconds, from `relative_to`, that spikes were kept for. By default
            from the first to the last spike of all, rounded to 10 ms.
        axes: Order of the axes, if sizes do not tell: "unit trial" for a cell, "unit time" for rasters, "trial neuron
            time" for counts.
        bin_width: For counts without times of their bins: width of a bin in seconds.

    Returns:
        The recording. Where a file holds only the spikes of each trial, windows must lie inside the trials.

    Raises:
        DataError: If the file cannot be read, or its layout or the unit of its times is not clear.
    """
    path = Path(path)
    with open_matlab(path) as file:
        contents = examine(file, path)
        name = choose_variable(contents, variable)
        counts = file.read(name) if contents.forms[name] == "counts" else None
    if counts is not None:
        return counts_recording(
            counts,
            name,
            contents.facts,
            contents.trial_table,
            axes=axes,
            bin_width=bin_width,
            relative_to=relative_to,
            time_unit=time_unit,
            session=path.stem,
            source={"format": "MATLAB", "files": [describe(path)], "variable": name},
        )
    if contents.forms[name] == "raster":
        return by_raster(contents, name, events, time_unit, axes)
    if contents.forms[name] == "cell":
        return layouts.by_unit_and_trial(contents, name, events, time_unit, relative_to, extent, axes)
    if contents.forms[name] == "units":
        return layouts.by_unit_alone(contents, name, events, time_unit)
    return layouts.by_trial(contents, name, events, time_unit)

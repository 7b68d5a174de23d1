"""Data sets from spike times and a table of trials in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.errors import DataError
from lfadsx.recordings.cutting import CommonCutOptions, cut
from lfadsx.recordings.recording import Recording, Signal, by_unit, no_trials
from lfadsx.recordings.recording_findings import dropped_spikes
from lfadsx.recordings.tidying import by_id, tidy_intervals, tidy_signals, tidy_times, tidy_trials

Units = Mapping[Any, Any] | Sequence[Any] | np.ndarray
"""Spike times by unit id, or listed by unit, or listed by trial and then by unit."""


def from_spike_times(
    units: Units,
    trials: Mapping[str, Any] | None = None,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float = 0.01,
    unit_of_spike: Any = None,
    clock_hz: float | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    signals: Mapping[str, Signal | tuple[Any, Any]] | None = None,
    events: Collection[str] | None = None,
    session: str = "session",
    **options: Unpack[CommonCutOptions],
) -> Dataset:
    """Returns a data set of spike times in memory, cut into windows at an event or into whole trials.

    Example:
        >>> import numpy as np
        >>> import lfadsx
        >>> rng = np.random.default_rng(0)
        >>> units = {unit: np.sort(rng.uniform(0, 100, 1000)) for unit in (3, 7, 12)}
        >>> trials = {"go_cue": np.arange(2.0, 98.0, 2.0), "condition": ["left", "right"] * 24}
        >>> data = lfadsx.from_spike_times(
        ...     units, trials, align="go_cue", window=(-0.25, 0.45), observed=[[0, 100]]
        ... )
        >>> data.train.targets["spikes"].shape, data.channel_names()
        ((34, 70, 3), {'session': ('3', '7', '12')})

    Args:
        units: Times of the spikes in seconds of the session: a dictionary by unit id, or a list by unit; shape
            (spike,) each. Times that count from each trial's own start are listed by trial, then by unit; all times
            of `trials` then count from there as well.
        trials: Columns of the table of trials, shape (trial,) each, such as a dictionary or a table of pandas: times
            of events in seconds (NaN for an event that did not happen), "start" and "stop", "trial_id", conditions.
            None for a recording that is cut into pieces (`chop`).
        align: The event at time 0, a column of `trials`; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials from the event to "stop".
        bin_width: Width of a bin in seconds.
        unit_of_spike: Unit id of each spike, shape (spike,), if `units` is one array with the times of all spikes.
        clock_hz: Samples per second, if times of spikes, trials and `observed` are integer samples of one clock. Bins
            are then cut in integers.
        observed: Intervals in which the recording ran, shape (interval, 2); None if they are unknown. Windows that are
            not inside one interval are dropped.
        unit_columns: What is known of the units, such as "area", shape (unit,) each.
        signals: Signals by name, such as hand velocity: times in seconds, shape (sample,), and values of any unit,
            shape (sample, column).
        events: Columns of `trials` that hold times; by default they are found by their values.
        session: Name of the session.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`.

    Returns:
        The data set; `Dataset.source` has the reason of every trial that is dropped.

    Raises:
        DataError: If columns do not fit each other, a name is unknown, or too few trials are left.
    """
    recording = read_spike_times(
        units,
        trials,
        unit_of_spike=unit_of_spike,
        clock_hz=clock_hz,
        observed=observed,
        unit_columns=unit_columns,
        signals=signals,
        events=events,
        align=align,
        session=session,
    )
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_spike_times(
    units: Units,
    trials: Mapping[str, Any] | None = None,
    *,
    unit_of_spike: Any = None,
    clock_hz: float | None = None,
    observed: Any = None,
    unit_columns: Mapping[str, Any] | None = None,
    signals: Mapping[str, Signal | tuple[Any, Any]] | None = None,
    events: Collection[str] | None = None,
    align: str | None = None,
    session: str = "session",
) -> Recording:
    """Returns spike times in memory as a recording; arguments as in `from_spike_times`."""
    table, names = tidy_trials(no_trials() if trials is None else trials, clock_hz, events, also=align)
    if unit_of_spike is not None:
        units = _listed_by_unit(units, np.asarray(unit_of_spike), clock_hz)
    if _is_by_trial(units):
        spikes, spike_trial, n_dropped = _by_trial(units, clock_hz, len(table["trial_id"]))
        unit_id: np.ndarray = np.arange(len(spikes))
        if "start" not in table:
            table["start"] = np.zeros(len(table["trial_id"]), np.float64 if clock_hz is None else np.int64)
            names = (*names, "start")
    else:
        if isinstance(units, np.ndarray) and units.dtype != object:
            raise DataError(
                f"`units` must hold the spike times of each unit, got an array of shape {units.shape}. Give a list of "
                "times for each unit, or `unit_of_spike` for one array of times; `lfadsx.from_arrays` takes counts."
            )
        ids, times = (units.keys(), units.values()) if isinstance(units, Mapping) else (range(len(units)), units)
        unit_id, spike_trial = np.array(list(ids)), None
        spikes, n_dropped = _tidy_units(unit_id, times, clock_hz)
    n_spikes = sum(map(len, spikes)) + n_dropped
    return Recording(
        name=session,
        unit_id=unit_id,
        spikes=spikes,
        trials=table,
        events=names,
        clock_hz=clock_hz,
        no_trials="`trials` must hold the times of an event, got None. Give a table of trials.",
        unit_columns={name: np.asarray(values) for name, values in (unit_columns or {}).items()},
        observed=tidy_intervals(observed, clock_hz),
        signals=tidy_signals(signals),
        spike_trial=spike_trial,
        trial_clocks=spike_trial is not None,
        source={"format": "spike times"},
        findings=tuple(dropped_spikes(session, n_dropped, n_spikes, "because their times are not finite")),
    )


def _tidy_units(unit_id: np.ndarray, times: Any, clock_hz: float | None) -> tuple[tuple[np.ndarray, "..."], int]:
    tidy = [tidy_times(own, clock_hz, f"Unit {unit}") for unit, own in zip(unit_id, times, strict=True)]
    return tuple(own for own, _ in tidy), sum(n for _, n in tidy)


def _listed_by_unit(times: Any, unit: np.ndarray, clock_hz: float | None) -> dict[Any, np.ndarray]:
    times = np.asarray(times)
    if times.shape != unit.shape or times.ndim != 1:
        raise DataError(
            f"`units` must hold one time for each entry of `unit_of_spike`, got shapes {times.shape} and {unit.shape}."
        )
    unit_id = np.unique(unit)
    spikes, _, _ = by_id(unit, times, unit_id, clock_hz, "`units`")
    return dict(zip(unit_id.tolist(), spikes, strict=True))


def _is_by_trial(units: Units) -> bool:
    """Whether spike times are listed by trial and then by unit."""
    if isinstance(units, Mapping) or not len(units):
        return False
    first = units[0]
    listed = isinstance(first, list | tuple) or (isinstance(first, np.ndarray) and first.dtype == object)
    return listed and any(np.ndim(own) > 0 for own in first)


def _by_trial(
    units: Units, clock_hz: float | None, n_trials: int
) -> tuple[tuple[np.ndarray, "..."], tuple[np.ndarray, "..."], int]:
    if len(units) != n_trials or len({len(trial) for trial in units}) != 1:
        raise DataError(
            f"`units` must list {n_trials} trials, as the table does, and the same units in each, got {len(units)} "
            f"trials with {', '.join(sorted({str(len(trial)) for trial in units}))} units."
        )
    tidy = [
        [tidy_times(own, clock_hz, f"Unit {unit} of trial {trial}") for unit, own in enumerate(trials)]
        for trial, trials in enumerate(units)
    ]
    return *by_unit([[times for times, _ in trial] for trial in tidy]), sum(n for trial in tidy for _, n in trial)

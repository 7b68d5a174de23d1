"""From a recording to a data set: windows at an event, or whole trials, with units and trials chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import from_arrays
from lfadsx.data.dataset import Dataset
from lfadsx.errors import DataError
from lfadsx.recordings import recording_findings
from lfadsx.recordings.binning import by_window, mean_signal
from lfadsx.recordings.choosing_units import areas_by_unit, count_units
from lfadsx.recordings.drawing import HeldOut, SplitBy, draw_splits
from lfadsx.recordings.framing import bin_width_of, describe_frames, on_frames
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.windows import Windows, exact, lay_windows

CONDITION = "condition"
"""The column of trials that is the condition unless another one is named."""


class CutOptions(TypedDict, total=False):
    """The arguments of `cut` beside event, window and bin width, for type checkers and editors."""

    condition: str | Sequence[str] | None
    behaviour: str | None
    behaviour_lag: float
    interval: str | None
    areas: str | Sequence[str] | None
    min_rate: float
    held_out: HeldOut
    split: Sequence[float] | str
    split_by: SplitBy
    seed: int


def cut(
    recording: Recording,
    *,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    condition: str | Sequence[str] | None = (),
    behaviour: str | None = None,
    behaviour_lag: float = 0.0,
    interval: str | None = None,
    areas: str | Sequence[str] | None = None,
    min_rate: float = 0.0,
    held_out: HeldOut = 0,
    split: Sequence[float] | str = (0.7, 0.15, 0.15),
    split_by: SplitBy = "condition",
    seed: int = 0,
) -> Dataset:
    """Cuts a recording into trials of binned counts, or of the frames of traces, and returns them as a data set.

    Bins are half-open: a spike on an edge belongs to the later bin. Windows come from the continuous recording and may
    overlap. A trial is dropped if its event is missing or its window is not inside one recorded interval. In files with
    only the spikes of each trial, the window must be inside its trial. Only whole bins are kept; nothing is filled.
    For imaging the bins are frames: the first at or after the start of the window, and as many as the window holds.

    Example:
        >>> import numpy as np
        >>> from lfadsx.recordings.cutting import cut
        >>> from lfadsx.recordings.spike_times import read_spike_times
        >>> rng = np.random.default_rng(0)
        >>> units = [np.sort(rng.uniform(0, 100, 1000)) for _ in range(8)]
        >>> recording = read_spike_times(units, {"go_cue": np.arange(2.0, 98.0, 2.0)}, observed=[[0, 100]])
        >>> data = cut(recording, align="go_cue", window=(-0.25, 0.45))
        >>> data.train.targets["spikes"].shape, data.time.start
        ((34, 70, 8), -0.25)

    Args:
        recording: The recording.
        align: The event at time 0, a column of `Recording.trials`; by default "start".
        window: First and last time relative to the event in seconds; None for whole trials of different length, from
            the event to "stop".
        bin_width: Width of a bin in seconds; by default 0.01, and for imaging the time between two frames.
        condition: Column of trials that is the condition, or several that are one together; by default "condition" if
            there is such a column; None for no conditions.
        behaviour: Name of the signal that is the behaviour: the mean of its finite samples in each bin, NaN where
            there is none.
        behaviour_lag: Delay of behaviour after rates in seconds; stored in the data set, nothing is shifted.
        interval: Column of trials with the interval that the animal produced, in seconds; it ends at the event.
        areas: Areas whose units are kept; None for all units.
        min_rate: Units with a lower mean rate in the windows are left out, in Hz.
        held_out: Units that the encoder does not see: their number, their share (below 1), the name of a column of
            units such as "heldout", their ids, or a boolean mask of all units. A number or a share is drawn evenly
            over areas and rates.
        split: Shares of train, valid and test, or the name of the column of trials that names the split of each.
        split_by: "condition": at random, each condition in proportion; "time": in blocks, the last ones test. Windows
            that overlap are never in two splits.
        seed: Seed of all draws.

    Returns:
        The data set. Channels are named by their unit ids. `Dataset.source` has, by session, where the data come from,
        how they were cut, the area of each unit, and "dropped": trial id -> reason.

    Raises:
        DataError: If a name is unknown, a value is out of range, or too few trials or units are left.
    """
    bin_width = bin_width_of(recording, bin_width)
    _check(window, bin_width, min_rate)
    align = align or "start"
    notes = [*recording.findings]
    recording = exact(recording, bin_width, *(window or ()))
    windows, reason = lay_windows(recording, align, window, bin_width)
    if recording.traces is not None:
        windows, reason = on_frames(recording.traces, windows, reason)
    notes += recording_findings.examine(recording, align)
    _check_left(recording, reason)
    labels = _condition(recording, condition)
    names, why = draw_splits(split, split_by, windows, recording, None if labels is None else labels[windows.row], seed)
    reason[windows.row] = why
    windows, names = windows.chosen(why == ""), names[why == ""]
    notes += recording_findings.dropped_trials(recording, reason)
    notes += recording_findings.reaching_beyond(recording, windows)

    units = count_units(recording, windows, areas, min_rate, held_out, seed)
    data = from_arrays(
        **units.arrays(windows),
        held_out=units.held_out,
        bin_width=bin_width,
        start=0.0 if window is None else window[0],
        event=align,
        condition=None if labels is None else labels[windows.row],
        behaviour=_behaviour(recording, behaviour, windows),
        behaviour_name=behaviour or "velocity",
        behaviour_lag=behaviour_lag,
        interval=None if interval is None else _interval(recording, interval)[windows.row],
        trial_id=recording.trials["trial_id"][windows.row],
        channel_names=[str(unit) for unit in units.recording.unit_id],
        split=names,
        session=recording.name,
    )
    how: dict[str, Any] = {"align": align, "window": window, "bin_width": bin_width, "min_rate": min_rate}
    drawn = {"column": split} if isinstance(split, str) else {"shares": list(split), "by": split_by, "seed": seed}
    source = {
        **recording.source,
        "cut": how | {"areas": areas, "behaviour": behaviour, "interval": interval},
        "split": drawn,
        "dropped": _dropped(recording, reason),
        "area": areas_by_unit(units.recording),
    }
    if recording.traces is not None:
        facts, found = describe_frames(recording, windows, align, window[0] if window else 0.0, units.counts)
        source, notes = source | facts, [*notes, *found]
    sessions = tuple(dataclasses.replace(one, areas=tuple(source["area"].values())) for one in data.sessions)
    return dataclasses.replace(
        data, sessions=sessions, source={recording.name: source}, findings=(*notes, *units.findings, *data.findings)
    )


def _check(window: tuple[float, float] | None, bin_width: float, min_rate: float) -> None:
    validation.positive(bin_width, "`bin_width`")
    if not (np.isfinite(min_rate) and min_rate >= 0):
        raise DataError(f"`min_rate` must be a rate in Hz of at least 0, got {min_rate}.")
    if window is None:
        return
    if len(window) != 2 or not np.isfinite(window).all() or window[1] - window[0] < bin_width * (1 - 1e-6):
        raise DataError(
            f"`window` must hold a first and a last time in seconds, at least one bin of {bin_width:g} s apart, got "
            f"{', '.join(map(str, window))}. Give for example window=(-0.25, 0.45)."
        )


def _check_left(recording: Recording, reason: np.ndarray) -> None:
    """Raises `DataError` if fewer than two trials are left; says why the others are dropped."""
    left = int((reason == "").sum())
    if left < 2:
        said = "".join(f" {finding.sentence}" for finding in recording_findings.dropped_trials(recording, reason))
        raise DataError(
            f"At least two trials of {recording.name!r} must be left to cut, got {left} of {len(reason)}.{said} "
            "Check the event, the window and the unit of times."
        )


def _condition(recording: Recording, condition: str | Sequence[str] | None) -> np.ndarray | None:
    """Returns the condition of every trial, shape (trial,); several columns are joined as text."""
    if condition is None:
        return None
    columns = [condition] if isinstance(condition, str) else list(condition)
    if not columns:
        return recording.trials.get(CONDITION)
    for name in columns:
        validation.one_of(name, recording.trials, "A column of `condition`")
    if len(columns) == 1:
        return recording.trials[columns[0]]
    parts = zip(*(recording.trials[name].tolist() for name in columns), strict=True)
    return np.array(["" if any(_is_missing(part) for part in row) else ", ".join(map(_label, row)) for row in parts])


def _label(value: Any) -> str:
    """Returns a value as text; whole numbers are alike as integers and as floats, as which they may be stored."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    return value in ("", None) or value != value


def _interval(recording: Recording, name: str) -> np.ndarray:
    validation.one_of(name, recording.trials, "`interval`")
    validation.numbers(recording.trials[name], f"The column {name!r} of trials")
    return recording.trials[name]


def _behaviour(recording: Recording, name: str | None, windows: Windows) -> np.ndarray | list[np.ndarray] | None:
    if name is None:
        return None
    validation.one_of(name, recording.signals, "`behaviour`")
    signal = recording.signals[name]
    if recording.trial_clocks and signal.trial is None:
        raise DataError(
            f"The times of {name!r} must count from the start of each trial, as those of the spikes do, but the signal "
            "has no trials. Leave `behaviour` out, or give the trial of each sample."
        )
    return by_window(mean_signal(signal, windows), windows)


def _dropped(recording: Recording, reason: np.ndarray) -> dict[int | str, str]:
    ids = recording.trials["trial_id"].tolist()
    return {trial: str(why) for trial, why in zip(ids, reason, strict=True) if why}

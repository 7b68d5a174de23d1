"""Counts of spikes, values of traces and means of signals in the bins of windows."""

from __future__ import annotations

import numpy as np

from lfadsx.recordings.framing import frame_values
from lfadsx.recordings.recording import Recording, Signal
from lfadsx.recordings.windows import FORGIVEN, Windows


def unit_values(recording: Recording, windows: Windows) -> np.ndarray:
    """Returns what each unit has in each bin, counts or values of traces, shape (bin, unit)."""
    if recording.traces is not None:
        return frame_values(recording.traces, windows)
    return count_spikes(recording, windows)


def count_spikes(recording: Recording, windows: Windows) -> np.ndarray:
    """Returns counts in half-open bins, the bins of all windows one after another, shape (bin, unit).

    A spike on an edge belongs to the later bin. A spike that two windows share counts in both.
    """
    first_bin, n_bins = _bins(windows)
    counts = np.zeros((n_bins, recording.n_units), np.uint8)
    for unit, times in enumerate(recording.spikes):
        own_trial = None if recording.spike_trial is None else recording.spike_trial[unit]
        window, place, _ = _placed(times, own_trial, windows)
        own = np.bincount(first_bin[window] + place, minlength=n_bins)
        counts = counts.astype(np.promote_types(counts.dtype, np.min_scalar_type(int(own.max(initial=0)))), copy=False)
        counts[:, unit] = own
    return counts


def mean_signal(signal: Signal, windows: Windows) -> np.ndarray:
    """Returns the mean of the finite samples in each bin, NaN where there is none, shape (bin, column).

    Nothing is interpolated. The bins of all windows stand one after another.
    """
    first_bin, n_bins = _bins(windows)
    window, place, sample = _placed(signal.times, signal.trial, windows.in_seconds())
    where = first_bin[window] + place
    means = np.full((n_bins, signal.values.shape[1]), np.nan, np.float32)
    for column in range(signal.values.shape[1]):
        values = np.asarray(signal.values[:, column], np.float64)[sample]
        finite = np.isfinite(values)
        count = np.bincount(where[finite], minlength=n_bins)
        total = np.bincount(where[finite], values[finite], minlength=n_bins)
        means[count > 0, column] = total[count > 0] / count[count > 0]
    return means


def by_window(values: np.ndarray, windows: Windows) -> np.ndarray | list[np.ndarray]:
    """Returns bins that follow each other, (bin, column), as (window, bin, column), or a list if lengths differ."""
    if len(np.unique(windows.n_bins)) == 1:
        return values.reshape(len(windows.row), -1, values.shape[1])
    return np.split(values, np.cumsum(windows.n_bins)[:-1])


def _bins(windows: Windows) -> tuple[np.ndarray, int]:
    """Returns the number of the first bin of each window, and how many bins there are."""
    ends = np.cumsum(windows.n_bins)
    return ends - windows.n_bins, int(ends[-1]) if len(ends) else 0


def _placed(
    times: np.ndarray, own_trial: np.ndarray | None, windows: Windows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns window, bin and index of every pair of a time and a window that holds it.

    Each window takes a stretch of the sorted times that is a bin too long at both ends; the number of the bin decides.
    The work grows with the times that lie in windows, not with all times times all windows.
    """
    if own_trial is None:
        first = np.searchsorted(times, windows.start - windows.width)
        last = np.searchsorted(times, windows.stop + windows.width)
    else:
        first, last = (np.searchsorted(own_trial, windows.row, side) for side in ("left", "right"))
    length = last - first
    window = np.repeat(np.arange(len(length)), length)
    index = np.arange(len(window)) + np.repeat(first - (np.cumsum(length) - length), length)
    since = times[index] - windows.start[window]
    if isinstance(windows.width, int):
        place = since // windows.width
    else:
        place = np.floor(since / windows.width + FORGIVEN).astype(np.int64)
    inside = (place >= 0) & (place < windows.n_bins[window])
    return window[inside], place[inside], index[inside]

"""Windows on the frames of imaging: the first frame at or after the start of each, and a fixed number of frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lfadsx.data.pieces import runs_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.traces import Traces
from lfadsx.recordings.windows import AFTER_RECORDING, BEFORE_RECORDING, FORGIVEN, OVER_GAP, Windows, inside, joined

LEAST_ZEROS = 0.05
"""Share of exact zeros from which values that are never negative look like deconvolved events."""


def bin_width_of(recording: Recording, asked: float | None) -> float:
    """Returns the width of the bins in seconds: as asked, by default 0.01; for imaging one frame.

    Raises:
        DataError: If another width is asked of imaging.
    """
    if recording.traces is None:
        return 0.01 if asked is None else asked
    frame = 1 / recording.traces.rate
    if asked is not None and abs(asked / frame - 1) > 1e-3:
        raise DataError(
            f"The bins of {recording.name!r} must be its frames, {frame:.6g} s, got `bin_width` {asked:g}. Leave it "
            "out; `data.rebin(2)` joins two frames."
        )
    return frame


def on_frames(traces: Traces, windows: Windows, reason: np.ndarray) -> tuple[Windows, np.ndarray]:
    """Moves each window to the first frame at or after its start, and drops windows that lack frames.

    Args:
        traces: The traces.
        windows: The windows in seconds, with bins as wide as a frame.
        reason: Why each trial is dropped, "" if it is kept, shape (trial,).
    """
    first = first_frame(traces, windows)
    last = np.minimum(first + windows.n_bins, len(traces.times)) - 1
    missing = np.r_[0, np.cumsum(traces.gaps)]  # stretches without frames before each frame
    late = traces.times[np.minimum(first, last)] - windows.start > windows.width * (1 + FORGIVEN)
    reason = reason.copy()
    for why, where in (
        (BEFORE_RECORDING, windows.start < traces.times[0] - FORGIVEN * windows.width),
        (AFTER_RECORDING, first + windows.n_bins > len(traces.times)),
        (OVER_GAP, late | (missing[last] > missing[np.minimum(first, last)])),
    ):
        rows = windows.row[where]
        reason[rows[reason[rows] == ""]] = why
    left = reason[windows.row] == ""
    kept = windows.chosen(left)
    return dataclasses.replace(kept, start=traces.times[first[left]]), reason


def observed_frames(traces: Traces, observed: np.ndarray | None) -> np.ndarray:
    """Returns first bin and bin after the last of each run of frames without a gap, counted as `Traces.bins`.

    A frame that is NaN in all units, or not wholly inside a recorded interval, is a gap, like a missing frame.

    Args:
        traces: The traces.
        observed: Recorded intervals in seconds, shape (interval, 2); None if they are unknown.
    """
    known, frame = np.isfinite(traces.values).any(axis=1), 1 / traces.rate
    if observed is not None:
        slack = FORGIVEN * frame
        known &= inside(joined(observed, slack), traces.times, traces.times + frame, slack)
    bins = np.zeros(traces.bins[-1] + 1, bool)
    bins[traces.bins] = known
    return runs_of(bins)


def frame_values(traces: Traces, windows: Windows) -> np.ndarray:
    """Returns the values of the frames of all windows, one window after another, shape (bin, unit)."""
    begin = np.cumsum(windows.n_bins) - windows.n_bins
    frames = np.repeat(first_frame(traces, windows) - begin, windows.n_bins) + np.arange(windows.n_bins.sum())
    return traces.values[frames]


def delays(recording: Recording, windows: Windows, align: str, first: float) -> tuple[dict[str, Any], list[Finding]]:
    """Returns what `Dataset.source` says of the delay of the first frames, and a note about it.

    Args:
        recording: The recording.
        windows: The windows on their frames.
        align: The event at time 0.
        first: Start of the windows relative to the event in seconds.
    """
    delay = windows.start - recording.times(align)[windows.row] - first
    seconds = dict(zip(recording.trials["trial_id"][windows.row].tolist(), delay.tolist(), strict=True))
    if not len(delay):
        return {"frame_delay_s": seconds}, []
    sentence = (
        f"Each trial begins with the first frame of its window, {1000 * delay.mean():.3g} ms after the window's "
        f"start on average and at most {1000 * delay.max():.3g} ms. `Dataset.source` has the delay of each."
    )
    note = Finding("note", "delay of frames", float(delay.max()), 0, recording.name, sentence)
    return {"frame_delay_s": seconds}, [note]


def describe_traces(recording: Recording, values: np.ndarray) -> tuple[dict[str, Any], Finding]:
    """Returns what `Dataset.source` says of the traces, and a note about the likelihood that suits them.

    Args:
        recording: The recording.
        values: Values of all frames in windows, shape (bin, unit).
    """
    likelihood = suited_likelihood(values)
    looks = "deconvolved events" if likelihood == "zero_inflated_gamma" else "real numbers such as dF/F"
    sentence = f"The traces of {recording.name!r} look like {looks}: the likelihood {likelihood} suits them."
    remedy = f"Train with --likelihood {likelihood}."
    note = Finding("note", "likelihood of traces", None, None, recording.name, sentence, remedy)
    return {"frame_rate": recording.traces.rate, "likelihood": likelihood}, note


def suited_likelihood(values: np.ndarray) -> str:
    """Returns the likelihood for traces: zero-inflated gamma for events, which are often exactly 0, else Gaussian."""
    known = values[np.isfinite(values)]
    if known.size and known.min() >= 0 and np.mean(known == 0) >= LEAST_ZEROS:
        return "zero_inflated_gamma"
    return "gaussian_by_channel"


def first_frame(traces: Traces, windows: Windows) -> np.ndarray:
    """Returns the first frame at or after the start of each window, shape (window,)."""
    return np.searchsorted(traces.times, windows.start - FORGIVEN * windows.width)

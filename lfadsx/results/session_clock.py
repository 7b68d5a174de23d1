"""Results on the clock of their session: one time axis for the bins of all trials."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.errors import LfadsxError
from lfadsx.findings import Finding
from lfadsx.results.by_session import SessionResults
from lfadsx.results.described_arrays import Described
from lfadsx.results.joining import join_arrays

DECIMALS = 9
"""Decimals of times in seconds; rounding undoes the errors of sums of floats."""


@dataclasses.dataclass(frozen=True)
class OnClock:
    """Arrays of a session on one time axis.

    Attributes:
        times: Middle of each bin in seconds on the clock of the session, sorted, shape (bin,).
        trial: Row of the trial of each bin in the table of trials of the session, shape (bin,).
        arrays: Arrays over time by name, shape (bin, column).
        rows: Rows of the trials whose start is known, in the order of time, shape (known trial,).
        windows: Start and stop of these trials in seconds, shape (known trial, 2).
    """

    times: np.ndarray
    trial: np.ndarray
    arrays: dict[str, Described]
    rows: np.ndarray
    windows: np.ndarray


def has_clock(session: SessionResults) -> bool:
    """Returns whether the time at which trials began on the clock of the session is known, at least for some."""
    start = session.posterior.start_time
    return start is not None and bool(np.isfinite(start).any())


def seconds_per_bin(session: SessionResults) -> float:
    """Returns the width of a bin in seconds.

    Raises:
        LfadsxError: If it is unknown.
    """
    width = session.posterior.time.bin_width
    if width is None:
        raise LfadsxError(
            "Times in seconds need the width of a bin, which is unknown. Give the data set its bin width "
            "(`bin_width=`, in seconds), or export to matlab or csv, whose times are then numbers of bins."
        )
    return width


def on_clock(session: SessionResults) -> OnClock:
    """Returns the arrays that have a time axis, with the bins of all trials in the order of time.

    Trials whose start is unknown are left out. Bins of trials that overlap are all there, sorted by time. Pieces of a
    continuous recording or of long trials are joined (`lfadsx.join`); the trial of a bin is the last piece that covers
    it.

    Args:
        session: The results of a session that has a clock.

    Raises:
        LfadsxError: If the width of a bin is unknown.
    """
    posterior, (rows, windows) = session.posterior, _windows(session)
    width = seconds_per_bin(session)
    over_time = {name: array for name, array in session.arrays.items() if array.dims.startswith("trial time ")}
    if posterior.first_bin is not None:
        number, values = posterior.sessions.index(session.name), {name: a.values for name, a in over_time.items()}
        times, trial, joined = join_arrays(posterior, number, values)
        order = np.argsort(times, kind="stable")
        arrays = {name: _over_bins(array, joined[name][order]) for name, array in over_time.items()}
        return OnClock(np.round(times[order], DECIMALS), trial[order], arrays, rows, windows)
    length = posterior.length[rows]
    trial, bins = np.repeat(rows, length), np.concatenate([np.arange(n) for n in length])
    start = np.repeat(windows[:, 0], length)
    times = np.round(start + (bins + 0.5) * width, DECIMALS)
    order = np.argsort(times, kind="stable")
    trial, bins, times = trial[order], bins[order], times[order]
    arrays = {name: _over_bins(array, array.values[trial, bins]) for name, array in over_time.items()}
    return OnClock(times, trial, arrays, rows, windows)


def _over_bins(array: Described, values: np.ndarray) -> Described:
    """Returns an array with values by bin of the session in place of those by trial and time."""
    return array._replace(values=values, dims=array.dims.removeprefix("trial "))


def ends_before(windows: np.ndarray) -> np.ndarray:
    """Returns the latest stop of all earlier windows, -inf for the first; sorted windows, shape (trial, 2)."""
    return np.append(-np.inf, np.maximum.accumulate(windows[:-1, 1]))


def clock_findings(session: SessionResults) -> list[Finding]:
    """Returns which trials `on_clock` leaves out, and which overlap."""
    (_, windows), found = _windows(session), []
    if unknown := session.posterior.n_trials - len(windows):
        sentence = (
            f"{unknown} of {session.posterior.n_trials} trials of {session.name!r} are left out, because the time at "
            "which they began on the clock of the session is unknown."
        )
        found.append(Finding("warning", "trials without a start", unknown, 0, session.name, sentence))
    if session.posterior.first_bin is not None:
        sentence = f"The {len(windows)} pieces of {session.name!r} are joined on one time axis."
        found.append(Finding("note", "pieces joined", len(windows), None, session.name, sentence))
    elif overlaps := int((windows[:, 0] < ends_before(windows)).sum()):
        sentence = (
            f"{overlaps} of {len(windows)} trials of {session.name!r} begin before an earlier one has ended. The bins "
            "of both are there, sorted by time; the series `trial` has the trial of each bin."
        )
        found.append(Finding("note", "trials overlap", overlaps, 0, session.name, sentence))
    return found


def _windows(session: SessionResults) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows, starts and stops of the trials whose start is known, in the order of time."""
    start, width = np.asarray(session.posterior.start_time), seconds_per_bin(session)
    rows = np.flatnonzero(np.isfinite(start))
    rows = rows[np.argsort(start[rows], kind="stable")]
    stop = start[rows] + session.posterior.length[rows] * width
    return rows, np.stack([start[rows], stop], axis=1).round(DECIMALS)

"""Counts that a file has binned already, as a recording on the grid of their bins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.data.pieces import runs_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.recording import Recording, Signal, no_trials

FORGIVEN = 1e-6

NEEDS_LENGTHS = "has the axes (time, unit) and needs the bins of each trial: add lengths=NAME to `map`."
"""What is wrong with counts of trials whose lengths are unknown, behind the name of the counts."""


@dataclasses.dataclass(frozen=True)
class Bins:
    """The bins of counts, the same in every trial but for their number.

    Attributes:
        start: Left edge of the first bin from the event in seconds.
        width: Width of a bin in seconds.
        number: Bins of each trial, shape (trial,).
        zero: Name of the event at time 0.
    """

    start: float
    width: float
    number: np.ndarray
    zero: str

    @property
    def trial(self) -> np.ndarray:
        """Row of the trial of each bin, all trials joined, shape (bin,)."""
        return np.repeat(np.arange(len(self.number)), self.number)

    @property
    def middle(self) -> np.ndarray:
        """Middle of each bin from the event in seconds, all trials joined, shape (bin,)."""
        first = np.repeat(np.cumsum(self.number) - self.number, self.number)
        return self.start + (np.arange(self.number.sum()) - first + 0.5) * self.width


def counts_as_recording(
    counts: np.ndarray,
    bins: Bins,
    *,
    session: str,
    trials: Mapping[str, np.ndarray],
    unit_id: np.ndarray,
    unit_columns: Mapping[str, np.ndarray],
    source: Mapping[str, Any],
    signals: Mapping[str, Signal] | None = None,
    findings: tuple[Finding, ...] = (),
) -> Recording:
    """Returns counts as spikes in the middle of their bins, each trial on its own clock.

    Counts of the same bins, or of several together, come back as they were; `cut_counts` ensures it.

    Args:
        counts: Counts per bin, all trials joined, shape (bin, unit).
        bins: The bins.
        session: Name of the session.
        trials: Columns of the table of trials, "trial_id" among them, shape (trial,) each.
        unit_id: Ids of the units, shape (unit,).
        unit_columns: What is known of the units, shape (unit,) each.
        source: Where the counts come from.
        signals: Signals by name, with the trial of each sample.
        findings: What looked odd in reading.
    """
    trial, middle = bins.trial, bins.middle
    spikes = tuple(_in_the_middle(own, middle) for own in counts.T)
    rows = tuple(_in_the_middle(own, trial) for own in counts.T)
    start = np.full(len(bins.number), bins.start)
    events = {"start": start, "stop": start + bins.number * bins.width, bins.zero: np.zeros(len(start))}
    said = {"start": bins.start, "width": bins.width, "number": int(bins.number.max()), "zero": bins.zero}
    return Recording(
        name=session,
        unit_id=unit_id,
        spikes=spikes,
        trials={**trials, **events},
        events=tuple(events),
        unit_columns=dict(unit_columns),
        signals=dict(signals or {}),
        spike_trial=rows,
        trial_clocks=True,
        source={**source, "bins": said | {"ragged": bool(np.ptp(bins.number))}},
        findings=findings,
    )


def counts_never_cut(
    counts: np.ndarray,
    bins: Bins,
    observed: np.ndarray,
    *,
    session: str,
    unit_id: np.ndarray,
    unit_columns: Mapping[str, np.ndarray],
    source: Mapping[str, Any],
    signals: Mapping[str, Signal],
    label: str,
) -> Recording:
    """Returns counts of a recording without trials as spikes in the middle of their bins.

    Args:
        counts: Counts per bin, shape (bin, unit).
        bins: The bins, from the start of the recording.
        observed: True for bins in which the recording ran, shape (bin,).
        session: Name of the session.
        unit_id: Ids of the units, shape (unit,).
        unit_columns: What is known of the units, shape (unit,) each.
        source: Where the counts come from.
        signals: Signals by name.
        label: Name of the counts in messages.
    """
    notes, off = [], bins.start / bins.width
    if abs(off - round(off)) > FORGIVEN * max(1, abs(off)):  # bins of a recording are multiples of their width
        sentence = f"{label} begins at {bins.start:g} s, between two bins. Times count from its first bin."
        notes = [Finding("note", "start of bins", bins.start, None, session, sentence)]
        bins = dataclasses.replace(bins, start=0.0)
    return Recording(
        name=session,
        unit_id=unit_id,
        spikes=tuple(_in_the_middle(own, bins.middle) for own in counts.T),
        trials=no_trials(),
        no_trials=f"{label} {NEEDS_LENGTHS}",
        unit_columns=dict(unit_columns),
        observed=bins.start + runs_of(observed) * bins.width,
        signals=dict(signals),
        source={**source, "bins": {"start": bins.start, "width": bins.width, "never_cut": True}},
        findings=tuple(notes),
    )


def _in_the_middle(counts: np.ndarray, of_bin: np.ndarray) -> np.ndarray:
    """Returns the entry of each spike's bin in `of_bin`; `counts` of a unit by bin."""
    (place,) = np.nonzero(counts)
    return np.repeat(of_bin[place], counts[place].astype(np.int64))


def cut_counts(
    recording: Recording,
    align: str | None,
    window: tuple[float, float] | None,
    bin_width: float | None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Cuts counts into a data set whose bins are whole bins of the counts; by default all of them as they are.

    `align` only names the event at time 0: the bins of the counts already fix that time.

    Raises:
        DataError: If bins or window do not fit on the bins of the counts.
    """
    bins = recording.source["bins"]
    width = bin_width or float(bins["width"])
    _check_steps("`bin_width`", width / bins["width"], bins)
    if "never_cut" in bins:
        return cut(recording, align=align, window=window, bin_width=width, **options)
    if window is None and not bins["ragged"]:
        window = (bins["start"], bins["start"] + bins["number"] * bins["width"])
    if window is None:
        data = cut(recording, align="start", bin_width=width, **options)
    else:
        _check_steps("The start of `window`", (window[0] - bins["start"]) / bins["width"], bins)
        data = cut(recording, align=bins["zero"], window=window, bin_width=width, **options)
    if options.get("chop") is not None:
        return data
    start = bins["start"] if window is None else data.time.start
    return dataclasses.replace(data, time=dataclasses.replace(data.time, start=start, event=align or bins["zero"]))


def _check_steps(what: str, steps: float, bins: Mapping[str, Any]) -> None:
    if abs(steps - round(steps)) > FORGIVEN * max(1, abs(steps)) or (what == "`bin_width`" and round(steps) < 1):
        raise DataError(
            f"{what} must fit the bins of the counts, which are {bins['width']:g} s wide from {bins['start']:g} s. "
            "Use whole bins of the file, or read spike times."
        )

"""Pieces of a whole recording, and pieces of long trials, as windows to cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lfadsx.data.piece_splits import about_pieces, draw_blocks
from lfadsx.data.pieces import EVENT, bins_of, lay_pieces, without_short
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings import recording_findings
from lfadsx.recordings.cut_plan import CutPlan
from lfadsx.recordings.drawing import SplitBy
from lfadsx.recordings.framing import first_frame, observed_frames
from lfadsx.recordings.recording import Recording
from lfadsx.recordings.windows import FORGIVEN, Windows, joined


def is_whole(recording: Recording, align: str | None, window: tuple[float, float] | None) -> bool:
    """Returns whether pieces are cut from the whole recording: no event is named, and it is known as a whole."""
    return align is None and window is None and not recording.within_trials


def plan_whole(
    recording: Recording,
    bin_width: float,
    chop: float,
    overlap: float | None,
    condition: str | Sequence[str] | None,
    split: Sequence[float] | str,
    split_by: SplitBy,
    seed: int,
) -> CutPlan:
    """Returns the pieces of a recording that is not cut into trials; arguments as in `cut`.

    Bins are counted from time 0, and frames of traces from the first one. A bin that is not wholly inside a recorded
    interval is not observed.
    """
    for name, value in {"condition": condition or None, "split": split if isinstance(split, str) else None}.items():
        if value is not None:
            raise DataError(
                f"`{name}` names a column of trials, got {value!r}, but pieces of a whole recording belong to no "
                "trials. Leave it out, or give `align` to cut trials and to chop these."
            )
    length, shared = bins_of(chop, overlap, bin_width)
    traces, width = recording.traces, _width(recording, bin_width)
    if traces is None:
        runs, notes = _observed_bins(recording, bin_width)
    else:
        runs, notes = observed_frames(traces, recording.observed), []
    begin = int(runs[0, 0]) if len(runs) else 0
    runs, short = without_short(runs - begin, length, recording.name)
    by = "time" if split_by == "time" else "block"
    stretches, names = draw_blocks(runs, length, shared, split, by, seed, recording.name)  # pyright: ignore[reportArgumentType]
    pieces = lay_pieces(stretches, length, shared)
    notes += [*short, about_pieces(pieces, stretches, runs, length, shared, recording.name)]
    number, first = np.arange(len(pieces.first_bin)), begin + pieces.first_bin
    start = first * width if traces is None else traces.times[np.searchsorted(traces.bins, first)]
    return CutPlan(
        windows=Windows(number, start, pieces.n_bins, width, 1 / (recording.clock_hz or 1.0)),
        split=names[pieces.stretch],
        trial_id=number,
        start=0.0,
        event=EVENT,
        condition=None,
        reason=np.full(recording.n_trials, "", object),
        piece_of=np.zeros(len(number), np.int64),
        first_bin=pieces.first_bin,
        findings=(*recording_findings.examine(recording), *notes),
    )


def chop_trials(plan: CutPlan, recording: Recording, bin_width: float, chop: float, overlap: float | None) -> CutPlan:
    """Returns a plan in which trials that are longer than a piece are cut into pieces; the others stay whole.

    Pieces keep id and split of their trial. They have no condition, because pieces of one condition begin at different
    times of their trials.
    """
    length, shared = bins_of(chop, overlap, bin_width)
    whole = plan.windows
    pieces = lay_pieces(np.stack([np.zeros_like(whole.n_bins), whole.n_bins], axis=1), length, shared)
    trial = pieces.stretch
    long = int((whole.n_bins > length).sum())
    sentence = (
        f"{long} of {len(whole.n_bins)} trials are longer than {length} bins. All trials together are cut into "
        f"{len(trial)} pieces that overlap by {shared} bins and stay in the split of their trial."
    )
    note = Finding("note", "pieces", len(trial), None, recording.name, sentence)
    if recording.traces is None:
        start = whole.start[trial] + pieces.first_bin * whole.width
    else:
        start = recording.traces.times[first_frame(recording.traces, whole)[trial] + pieces.first_bin]
    return dataclasses.replace(
        plan,
        windows=dataclasses.replace(whole, row=whole.row[trial], start=start, n_bins=pieces.n_bins),
        split=plan.split[trial],
        trial_id=plan.trial_id[trial],
        start=0.0,
        event=EVENT,
        condition=None,
        piece_of=whole.row[trial],
        first_bin=pieces.first_bin,
        findings=(*plan.findings, note),
    )


def _width(recording: Recording, bin_width: float) -> float | int:
    return bin_width if recording.clock_hz is None else round(bin_width * recording.clock_hz)


def _observed_bins(recording: Recording, bin_width: float) -> tuple[np.ndarray, list[Finding]]:
    """Returns first bin and bin after the last of each run of bins inside a recorded interval, counted from time 0."""
    notes, width, observed = [], _width(recording, bin_width), recording.observed
    if observed is None:
        spans = [(times[0], times[-1]) for times in recording.spikes if len(times)]
        if not spans:
            raise DataError(f"{recording.name!r} must have spikes or recorded intervals to be cut, but has neither.")
        first, last = np.array(spans).T
        observed = np.array([[first.min(), last.max()]])
        scale = recording.clock_hz or 1.0
        sentence = (
            f"The recorded intervals are unknown; the recording is taken to run from the first to the last spike, "
            f"{first.min() / scale:.6g} to {last.max() / scale:.6g} s."
        )
        remedy = "Give the recorded intervals (`observed`), so that gaps are not read as silence."
        notes = [Finding("note", "recorded intervals unknown", None, None, recording.name, sentence, remedy)]
    forgiven = 0 if isinstance(width, int) else FORGIVEN
    first, stop = joined(observed, forgiven * width).T
    # Integers are divided as integers, which is exact.
    inner = -(-first // width) if isinstance(width, int) else np.ceil(first / width - forgiven)
    outer = stop // width if isinstance(width, int) else np.floor(stop / width + forgiven)
    runs = np.stack([inner, outer], axis=1).astype(np.int64)
    runs = runs[runs[:, 1] > runs[:, 0]]
    if not len(runs):
        raise DataError(f"A recorded interval of {recording.name!r} must hold a bin of {bin_width:g} s, but none does.")
    return runs, notes

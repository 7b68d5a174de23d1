"""Wider bins: counts are summed, real values averaged."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.data_findings import kept_notes, with_findings
from lfadsx.data.dataset import SERIES, Dataset, Session, Split
from lfadsx.data.target_kinds import cast
from lfadsx.data.trials import inside
from lfadsx.errors import DataError
from lfadsx.findings import Finding


def rebin(data: Dataset, n: int) -> Dataset:
    """Returns the data with bins that are n times as wide; see `Dataset.rebin`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"`n` of `rebin` must be an integer of at least 1, got {n!r}.")
    shortest = min(int(split.encoder_length.min()) for split in data.splits.values())
    if n > shortest:
        raise DataError(
            f"`n` of `rebin` must be at most {shortest}, the encoder's bins of the shortest trial, got {n}. Give fewer "
            "bins, or leave short trials out with `data.select`."
        )
    splits = {
        name: cast(_rebinned(split, n, data), data.groups, data.input_group) for name, split in data.splits.items()
    }
    width = None if data.bin_width is None else round(data.bin_width * n, 12)
    left = sum(int((split.target_length % n > 0).sum()) for split in data.splits.values())
    sentence = f"The last bins of {left} trials were dropped, because they do not fill a bin of {n}."
    notes = [Finding("note", "bins dropped", left, 0, "", sentence)] if left else []
    off = any(split.first_bin is not None and np.any(split.first_bin % n) for split in data.splits.values())
    if off:
        sentence = f"Pieces do not begin at multiples of {n} bins of the recording, so they cannot be joined any more."
        remedy = "Use the wide bins from the start (`bin_width`), or pieces and overlaps of a multiple of them."
        notes.append(Finding("note", "pieces off the grid", None, None, "", sentence, remedy))
    splits = {name: _new_places(split, n, off) for name, split in splits.items()}
    sessions = tuple(_with_alignment(session, n) if data.is_counts() else session for session in data.sessions)
    time = dataclasses.replace(data.time, bin_width=width)
    return with_findings(dataclasses.replace(data, **splits, sessions=sessions, time=time), *kept_notes(data), *notes)


def _with_alignment(session: Session, n: int) -> Session:
    """Returns a session whose alignment gives the same components for counts that are n times as high."""
    matrix, bias = session.alignment, session.alignment_bias
    return dataclasses.replace(
        session,
        alignment=None if matrix is None else matrix / n,
        alignment_bias=None if bias is None else bias * n,
    )


def _new_places(split: Split, n: int, off: bool) -> Split:
    """Returns a split whose pieces, if it has any, begin at the new bins; unknown if they are `off` these."""
    if split.first_bin is None or off:
        return dataclasses.replace(split, first_bin=None, piece_of=None)
    return dataclasses.replace(split, first_bin=split.first_bin // n)


def _rebinned(split: Split, n: int, data: Dataset) -> Split:
    """Joins the bins of a split, whose counts keep a wide type until `cast`."""
    encoder_length, target_length = (
        (length // n).astype(np.int32) for length in (split.encoder_length, split.target_length)
    )
    encoder_observed = _observed(split.encoder_observed, n, encoder_length)
    observed = {group: _observed(mask, n, target_length) for group, mask in split.target_observed.items()}

    series = {}
    for name, padding in SERIES.items():
        values, summed = getattr(split, name), name == "truth" and data.truth_unit == "counts per bin"
        if values is not None:
            series[name] = _joined(values, n, target_length, None, summed, padding).astype(np.float32)
    return dataclasses.replace(
        split,
        encoder_input=_joined(split.encoder_input, n, encoder_length, encoder_observed, data.is_counts()),
        encoder_observed=encoder_observed,
        encoder_length=encoder_length,
        targets={
            group: _joined(values, n, target_length, observed.get(group), data.is_counts(group))
            for group, values in split.targets.items()
        },
        target_observed=observed,
        target_length=target_length,
        **series,
    )


def _joined(
    values: np.ndarray, n: int, length: np.ndarray, observed: np.ndarray | None, summed: bool, padding: float = 0.0
) -> np.ndarray:
    """Sums or averages n bins each; `padding` outside the trial or if a part is not observed."""
    made = _parts(values, n).sum(2, dtype=np.uint64 if values.dtype.kind in "iu" else None)
    exists = inside(length, values.shape[1] // n)[:, :, None]
    exists = exists if observed is None else exists & observed
    return np.where(exists, made if summed else made / n, np.asarray(padding, made.dtype if summed else float))


def _observed(mask: np.ndarray | None, n: int, length: np.ndarray) -> np.ndarray | None:
    """Returns True for new bins inside the trial whose parts are all observed."""
    if mask is None:
        return None
    return _parts(mask, n).all(2) & inside(length, mask.shape[1] // n)[:, :, None]


def _parts(values: np.ndarray, n: int) -> np.ndarray:
    """Returns the parts of each new bin, shape (trial, new bin, n, channel), without the remainder."""
    n_bins = values.shape[1] // n
    return values[:, : n_bins * n].reshape(len(values), n_bins, n, values.shape[2])

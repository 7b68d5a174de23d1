"""Trials of different length that are padded with NaN: the padding is recognised as the end of the trial."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.trials import RawTrials
from lfadsx.findings import Finding

LENGTHS = ("length", "encoder_length", "target_length")


def end_at_nan(raw: RawTrials, input_group: str, where: str, forward_bins: int = 0) -> tuple[RawTrials, list[Finding]]:
    """Returns trials with lengths where all channels are NaN from some bin to the end, and a note about it.

    Trials whose lengths are given, and trials without any number, stay as they are.

    Args:
        raw: The trials, before any check.
        input_group: The target group whose channels the encoder sees.
        where: Name of the split in messages.
        forward_bins: Bins of forward prediction at the end of the targets.
    """
    target = f"targets/{input_group}"
    field, name = ("target_length", target) if target in raw.arrays else ("encoder_length", "encoder_input")
    if any(own in raw.arrays for own in LENGTHS):
        return raw, []
    ends, encoder = _ends(raw.arrays[name]), _ends(raw.arrays["encoder_input"])
    if ends is None or encoder is None or len(ends) != len(encoder) or np.any(encoder > ends):
        return raw, []
    n_bins = raw.arrays[name].shape[1]
    least = 1 + forward_bins if field == "target_length" else 1
    short = (ends < n_bins) & (ends > 0)
    if not short.any() or np.any(ends[short] < least):
        return raw, []
    length = np.where(short, ends, n_bins)
    arrays, labels = {**raw.arrays, field: length}, {**raw.labels, field: f"The length of {raw.labels[name]}"}
    sentence = (
        f"{short.sum()} of {len(ends)} {where} trials end in NaN in all channels; that is taken as the end of the "
        f"trial ({length.min()} to {length.max()} bins)."
    )
    note = Finding("note", "end of trials", int(short.sum()), 0, where, sentence)
    return dataclasses.replace(raw, arrays=arrays, labels=labels), [note]


def _ends(values: np.ndarray) -> np.ndarray | None:
    """Returns the bin after the last one with a number, shape (trial,); None for data that cannot hold NaN."""
    if values.dtype.kind != "f" or values.ndim != 3:
        return None
    there = np.asarray(~np.isnan(values).all(axis=2))
    return np.where(np.any(there, axis=1), values.shape[1] - there[:, ::-1].argmax(axis=1), 0)

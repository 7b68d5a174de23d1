"""What `read` and `read_split` check alike: axes, ends of trials, ids, rows, the time axis and the session's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import time_axis
from lfadsx.data.axis_order import parse_axes, transposed
from lfadsx.data.dataset import Split
from lfadsx.data.file_contents import Contents
from lfadsx.data.trial_ends import end_at_nan
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import TargetGroup, TimeAxis

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5", ".mat")
"""Endings of files that are not part of a session's name."""


def session_name(path: Path) -> str:
    """Returns the file's name without its ending; text after another dot is part of the name."""
    return path.stem if path.suffix in ENDINGS else path.name


def transpose_as_asked(file: Contents, axes: str | None = None) -> bool:
    """Transposes a file's trials to (trial, time, channel); returns whether the order was given by caller or file.

    Args:
        file: The file; its trials are replaced.
        axes: The order, such as "channel time trial"; by default the file's attribute `axes`.
    """
    said = axes is not None or "axes" in file.said
    label = "`axes`" if axes is not None else f"The attribute 'axes' of {file.file!r}"
    order = parse_axes(file.said.get("axes") if axes is None else axes, label)
    if order is not None:
        file.splits = {name: transposed(raw, order) for name, raw in file.splits.items()}
        file.source["axes"] = file.said.get("axes") if axes is None else axes
    return said


def mark_ends(file: Contents, missing: bool, n_forward: int | None = None) -> None:
    """Sets the length of trials that end in NaN, if NaN means missing; adds notes to the file's findings."""
    if not missing:
        return
    for name, raw in file.splits.items():
        n_bins = forward_bins(raw, file.input_group) if n_forward is None else n_forward
        file.splits[name], notes = end_at_nan(raw, file.input_group, name, n_bins)
        file.findings.extend(notes)


def forward_bins(raw: RawTrials, group: str) -> int:
    """Returns the number of forward-predicted bins: target bins after the encoder's bins."""
    targets, n_encoder_bins = raw.arrays.get(f"targets/{group}"), raw.arrays["encoder_input"].shape[1]
    if targets is None:
        return 0
    label = raw.labels[f"targets/{group}"]
    validation.dimensions(targets, 3, label)
    advice = "Targets hold the encoder's bins and, after them, the bins to predict."
    validation.at_least(targets.shape[1], n_encoder_bins, "bins", label, raw.encoder_label, advice)
    return targets.shape[1] - n_encoder_bins


def check_is_cut(values: np.ndarray, label: str, file: Contents) -> None:
    """Raises `DataError` for data (time, channel), as a recording that was never cut into trials has them."""
    if values.ndim != 2:
        return
    key, width = label.split("'")[1], file.said.get("bin_width")
    command = f"lfadsx prepare {file.file} --out pieces.h5 --map counts={key} --bin-width {width or 0.01:g} --chop 1"
    raise DataError(
        f"{label} must have the axes (trial, time, channel), got two axes, shape {values.shape}, like a recording that "
        f"was never cut into trials. Cut it into pieces with `{command}` (bins and pieces in seconds) and fit "
        "pieces.h5; in Python use `lfadsx.from_continuous`."
    )


def check_target_order(file: Contents, splits: Mapping[str, Split], groups: Mapping[str, TargetGroup]) -> None:
    """Checks that encoder counts equal the counts of the same target channels; skips data with missing entries.

    Raises:
        DataError: If held-out channels are not the last ones and the file has no 'target_index'.
    """
    group = file.input_group
    if groups[group].kind == "real":
        return
    for kind, split in splits.items():
        target, encoder, raw = split.targets[group], split.encoder_input, file.splits[kind]
        if split.encoder_observed is not None or split.target_observed[group] is not None:
            continue
        if file.target_index is None:
            if target.shape[2] > encoder.shape[2]:
                validation.first_channels(encoder, target, raw.labels[f"targets/{group}"], raw.encoder_label)
            continue
        seen = file.target_index >= 0
        index = file.target_index[seen]
        if f"targets/{group}" in raw.arrays and not _agree(encoder[:, :, seen], target, index):
            from_1 = len(index) and index.min() >= 1 and _agree(encoder[:, :, seen], target, index - 1)
            sentence = (
                f"The channels of {raw.encoder_label} differ from those of {raw.labels[f'targets/{group}']} that "
                "'target_index' names" + (", which seems to count from 1." if from_1 else ".")
            )
            remedy = "Subtract 1 from 'target_index'." if from_1 else "Check 'target_index'; it counts from 0."
            file.findings.append(Finding("warning", "target index", None, None, file.file, sentence, remedy))
            return


def _agree(encoder: np.ndarray, target: np.ndarray, index: np.ndarray) -> bool:
    return np.array_equal(encoder, target[:, : encoder.shape[1], index])


def id_findings(splits: Mapping[str, RawTrials], file: str) -> list[Finding]:
    """Returns findings about trial ids: missing, given for some splits only, or shared by two splits."""
    ids = {name: raw.arrays["trial_id"] for name, raw in splits.items() if "trial_id" in raw.arrays}
    findings = []
    if ids and len(ids) < len(splits):
        lacking = " and ".join(name for name in splits if name not in ids)
        sentence = (
            f"The {lacking} trials of {file!r} have no ids, but other splits do. These trials are numbered from 0."
        )
        findings.append(Finding("note", "some ids", None, None, file, sentence))
    missing = sum(int(np.isnan(own).sum()) for own in ids.values() if own.dtype.kind == "f")
    if missing:
        sentence = f"{missing} trials of {file!r} have no id (NaN)."
        findings.append(Finding("note", "some ids", missing, 0, file, sentence))
    per_split = all(map(_counted, ids.values()))
    names = list(ids)
    shared = [(a, b, np.intersect1d(ids[a], ids[b])) for i, a in enumerate(names) for b in names[i + 1 :]]
    for first, second, both in shared:
        if len(both) and not per_split:
            sentence = f"{len(both)} trial ids of {file!r} are in {first} and in {second}, such as {both[0]}."
            remedy = "Keep each trial in one split, or give each trial a unique id."
            findings.append(Finding("warning", "shared ids", len(both), 0, file, sentence, remedy))
    return findings


def _counted(ids: np.ndarray) -> bool:
    """Returns whether ids are only the numbers of the trials, from 0 or 1."""
    if ids.dtype.kind not in "iu":
        return False
    return any(np.array_equal(np.sort(ids), np.arange(len(ids)) + first) for first in (0, 1))


def with_rows(splits: dict[str, Split], raws: Mapping[str, RawTrials]) -> dict[str, Split]:
    """Returns the splits of one file with each trial's position in the file; see `Split.row`."""
    place = np.cumsum([0, *(split.n_trials for split in splits.values())])
    rows = np.arange(place[-1])
    for field in ("trial_id", "row"):  # rows in the file come last, so they override ids
        given = np.concatenate([getattr(split, field) for split in splits.values()])
        said = all(field in raw.arrays for raw in raws.values())
        if said and given.dtype.kind in "iu" and len(np.unique(given)) == len(given):
            rows = np.argsort(np.argsort(given))
    return {
        name: dataclasses.replace(split, row=rows[first : first + split.n_trials])
        for first, (name, split) in zip(place, splits.items(), strict=False)
    }


def time_of(file: Contents, bin_width: float | None, start: float | None, event: str | None) -> TimeAxis:
    """Returns the time axis; the caller's start and event win over the file's, and bin widths must agree."""
    said = file.said.get("bin_width")
    for width in (said, bin_width):
        if width is not None:
            validation.positive(width, f"The bin width of {file.file!r}")
    if said is not None and bin_width is not None and not np.isclose(said, bin_width, rtol=1e-6):
        raise DataError(
            f"{file.file!r} has bins of {said:g} s, but `bin_width` is {bin_width:g} s. "
            "Leave the bin width out, or change the bins with `data.rebin`."
        )
    asked = {"start": start, "event": event}
    facts = {name: file.said.get(name) if value is None else value for name, value in asked.items()}
    width = bin_width if said is None else said
    return time_axis(width, **{name: value for name, value in facts.items() if value is not None})

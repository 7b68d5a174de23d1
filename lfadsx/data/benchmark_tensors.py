"""Tensors that nlb_tools writes of the sets of the Neural Latents Benchmark, as the trials of one session.

Train trials are the training data, eval trials the test. Neurons that are held out stand behind the others, bins of
forward prediction behind the bins that the encoder sees. NaN means not observed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsx.data import validation
from lfadsx.data.benchmark_sets import SETS, set_in
from lfadsx.data.condition_lists import conditions_in, labels_of
from lfadsx.data.file_contents import Contents
from lfadsx.data.hdf5_files import describe, items_of, open_to_read, read_array
from lfadsx.data.opening import is_hdf5
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP

SPLITS = {"train": "train", "eval": "test"}
"""What the benchmark calls the splits, and what they are here."""

SPIKES = ("spikes_heldin", "spikes_heldout", "spikes_heldin_forward", "spikes_heldout_forward")
USED = tuple(f"{split}_{what}" for split in SPLITS for what in (*SPIKES, "behavior", "cond_idx"))
"""Keys that are read."""

TIMING = ("is_eye", "theta", "is_short", "ts", "tp")
"""Columns of the behaviour of dmfc_rsg, one value a trial: the condition, then the produced interval in ms."""

WIDTHS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Usual widths of bins in seconds; with other numbers of bins the window is not that of the benchmark."""

LONGEST_SECONDS = 10.0
"""Median of produced intervals above which they are milliseconds."""


def is_benchmark(path: Path) -> bool:
    """Returns whether a file holds tensors of the benchmark."""
    return bool(_keys(path))


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Returns the files of each session: tensors without train spikes belong to those before them, or to the first."""
    groups: list[list[Path]] = []
    early: list[Path] = []
    for path in paths:
        keys = _keys(path)
        if keys and "train_spikes_heldin" not in keys:
            own = next((group for group in reversed(groups) if is_benchmark(group[0])), early)
            own.append(path)
        else:
            groups.append([path, *early] if keys else [path])
            early = [] if keys else early
    return groups + ([early] if early else [])


def benchmark_contents(paths: Sequence[Path], input_group: str | None = None) -> Contents:
    """Reads the tensors of one set from one file or from several that complete each other.

    Raises:
        DataError: If the files hold several sets or the same key twice, or arrays do not fit each other.
    """
    name, group = paths[0].name, input_group or INPUT_GROUP
    arrays, labels, unused, places = _arrays(paths)
    known = next((found for text in [*places, *(path.stem for path in paths)] if (found := set_in(text))), None)
    wide = [values for key, values in arrays.items() if key.endswith("spikes_heldin")]
    findings, splits = [], {}
    n_heldout, n_forward = _size(arrays, "heldout", 2), _size(arrays, "forward", 1)
    for split, ours in SPLITS.items():
        if f"{split}_spikes_heldin" in arrays:
            splits[ours] = _trials(split, arrays, labels, n_heldout, n_forward, group)
            findings += _behaviour(splits[ours], split, arrays, labels, name)
        else:
            unused += [key for key in arrays if key.startswith(split)]
    if not splits:
        raise DataError(
            f"{name!r} must be read together with the spikes that the encoder sees, but holds only targets. Name the "
            "file with 'train_spikes_heldin' before it, such as `lfadsx.read('train_input.h5', 'target.h5')`."
        )
    if unused:
        sentence = (
            f"Keys of {', '.join(path.name for path in paths)} that nothing reads: {', '.join(map(repr, unused))}."
        )
        findings.append(Finding("note", "unused keys", len(unused), 0, name, sentence))
    said = _said(known, wide[0].shape[1]) if wide else {}
    behaving = any("behaviour" in raw.arrays for raw in splits.values())
    if known and behaving and SETS[known].behaviour_lag:
        sentence = (
            f"The behaviour of {known} is shifted against its spikes already, as nlb_tools writes it: its lag is 0."
        )
        findings.append(Finding("note", "behaviour shifted", None, None, name, sentence))
    source = describe(paths[0]) | ({"with": [describe(path) for path in paths[1:]]} if paths[1:] else {})
    return Contents(
        file=name,
        splits=splits,
        said=said,
        behaviour_name=(known and SETS[known].behaviour) or "behaviour",
        truth_unit=None,
        input_group=group,
        target_index=None,
        channel_names={},
        groups={},
        alignment={},
        source=source | ({"benchmark": known} if known else {}),
        findings=findings,
    )


def _keys(path: Path) -> set[str]:
    """Returns the keys of a file with tensors of the benchmark, at its root or in a group; of other files none."""
    if not is_hdf5(path):
        return set()
    with open_to_read(path) as file:
        return {str(key) for group in _places(file).values() for key in group}


def _places(file: h5py.File) -> dict[str, h5py.Group]:
    """Returns the root ("") and the groups of a file that hold spikes of the benchmark."""
    spikes = {f"{split}_{what}" for split in SPLITS for what in SPIKES}
    groups = {key: item for key, item in items_of(file).items() if isinstance(item, h5py.Group)}
    return {place: group for place, group in {"": file, **groups}.items() if spikes & set(group)}


def _arrays(paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, str], list[str], list[str]]:
    """Returns arrays by key, their labels, the keys that are not read, and the groups that hold the set.

    Of conditions it returns the lists of their trials.
    """
    arrays, labels, unused, places = {}, {}, [], []
    for path in paths:
        with open_to_read(path) as file:
            groups = _places(file)
            places += [place for place in groups if place and place not in places]
            if len(places) > 1:
                raise DataError(
                    f"The files of a session must hold one set of the benchmark, found {', '.join(places)}. Write each "
                    "set to a separate file."
                )
            for group in {"": file, **groups}.values():
                for key, item in items_of(group).items():
                    if key in groups:
                        continue
                    label = f"{key!r} of {path.name!r}"
                    if key not in USED:
                        unused.append(str(key))
                        continue
                    lists = key.endswith("cond_idx")
                    values = conditions_in(item, label) if lists else read_array(group, key, label)
                    if key in arrays and not _same(arrays[key], values):
                        raise DataError(f"{label} differs from {labels[key]}. Keep one, or read the files apart.")
                    arrays[key], labels[key] = values, label
    return arrays, labels, unused, places


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f")


def _size(arrays: Mapping[str, Any], what: str, axis: int) -> int:
    """Returns the size that all spikes named `what` share on an axis, 0 if there are none."""
    found = {key: values for key, values in arrays.items() if what in key.split("_")}
    for key, values in found.items():
        validation.dimensions(values, 3, repr(key))
    return max((values.shape[axis] for values in found.values()), default=0)


def _trials(
    split: str, arrays: Mapping[str, Any], labels: Mapping[str, str], n_heldout: int, n_forward: int, group: str
) -> RawTrials:
    """Returns the trials of a split; what the files do not hold is not observed."""
    seen, label = arrays[f"{split}_spikes_heldin"], labels[f"{split}_spikes_heldin"]
    validation.dimensions(seen, 3, label)
    validation.numbers(seen, label)
    n_trials, n_bins, n_heldin = seen.shape
    whole = np.full((n_trials, n_bins + n_forward, n_heldin + n_heldout), np.nan, np.float32)
    places = {
        "spikes_heldin": (slice(0, n_bins), slice(0, n_heldin)),
        "spikes_heldout": (slice(0, n_bins), slice(n_heldin, None)),
        "spikes_heldin_forward": (slice(n_bins, None), slice(0, n_heldin)),
        "spikes_heldout_forward": (slice(n_bins, None), slice(n_heldin, None)),
    }
    for what, (bins, neurons) in places.items():
        values, target = arrays.get(f"{split}_{what}"), whole[:, bins, neurons]
        if values is not None:
            validation.same_shape(values, target.shape, labels[f"{split}_{what}"], f"the place beside {label}")
            whole[:, bins, neurons] = values
    made = {"encoder_input": seen}
    if n_heldout or n_forward:  # otherwise the encoder's data are the targets
        made[f"targets/{group}"] = whole
    masks = {"encoder_input": "encoder_observed", f"targets/{group}": f"target_observed/{group}"}
    for name, mask in masks.items():
        known = np.isfinite(made[name]) if name in made else np.ones(1, bool)
        if not known.all():
            made |= {name: np.where(known, made[name], 0), mask: known}
    names = dict.fromkeys(made, label)
    if f"{split}_cond_idx" in arrays:
        made["condition"] = labels_of(arrays[f"{split}_cond_idx"], n_trials, labels[f"{split}_cond_idx"])
        names["condition"] = labels[f"{split}_cond_idx"]
    return RawTrials(made, names)


def _behaviour(
    raw: RawTrials, split: str, arrays: Mapping[str, Any], labels: Mapping[str, str], name: str
) -> list[Finding]:
    """Adds behaviour of each bin, or the intervals of a timing task; returns a note about other behaviour."""
    values, label = arrays.get(f"{split}_behavior"), labels.get(f"{split}_behavior", "")
    if values is None:
        return []
    if values.ndim == 3:
        raw.arrays["behaviour"], raw.labels["behaviour"] = values, label
        return []
    if values.ndim == 2 and values.shape[1] == len(TIMING) and len(values) == len(raw.arrays["encoder_input"]):
        interval = np.asarray(values[:, -1], np.float64)
        interval = interval / 1000 if np.nanmedian(interval) > LONGEST_SECONDS else interval
        raw.arrays["interval"], raw.labels["interval"] = interval, label
        if "condition" not in raw.arrays:
            known = np.isfinite(values[:, :-1]).all(axis=1)
            text = [
                ", ".join(f"{value:g}" for value in row) if ok else ""
                for row, ok in zip(values[:, :-1], known, strict=True)
            ]
            raw.arrays["condition"], raw.labels["condition"] = np.array(text), label
        return []
    sentence = (
        f"{label} is not used: its shape {values.shape} is neither (trial, bin, column) nor that of a timing task."
    )
    return [Finding("note", "unused keys", 1, 0, name, sentence)]


def _said(known: Any, n_bins: int) -> dict[str, Any]:
    """Returns start, event and bin width of a set; nothing if its window does not divide into usual bins."""
    if known is None:
        return {}
    first, last = SETS[known].window
    width = round((last - first) / n_bins, 6)
    return {"bin_width": width, "start": first, "event": SETS[known].align} if width in WIDTHS else {}

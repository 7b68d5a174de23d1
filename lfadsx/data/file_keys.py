"""What is in an HDF5 data file: the keys of lfads-torch and of the TensorFlow program, and more."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsx.data import validation
from lfadsx.data.hdf5_files import as_text, attributes_of, describe, open_to_read, read_array, subgroup
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.types import INPUT_GROUP, TargetGroup

SPLITS = ("train", "valid", "test")
WHOLE = "all"
"""Name of the one split of a file whose keys name no split."""

KEYS = {
    "encoder_input": ("{split}_encod_data", "{split}_data"),
    "targets": ("{split}_recon_data",),
    "encoder_observed": ("{split}_observed",),
    "target_observed": ("{split}_target_observed",),
    "length": ("{split}_length",),
    "encoder_length": ("{split}_encoder_length",),
    "target_length": ("{split}_target_length",),
    "known_inputs": ("{split}_ext_input",),
    "truth": ("{split}_truth",),
    "true_inputs": ("{split}_true_inputs", "input_{split}_truth"),
    "condition": ("{split}_condition", "condition_labels_{split}"),
    "behaviour": ("{split}_velocity", "{split}_behaviour", "{split}_behavior"),
    "trial_id": ("{split}_inds",),
    "row": ("{split}_row",),
}
"""The keys that a file may use, by what they hold; the first one is written. Beside them, the HDF5 groups
`{split}_other_targets` and `{split}_other_observed` hold further target groups by name."""

ALIGNMENT_KEYS = {
    "alignment": ("alignment_matrix_cxf", "readin_weight"),
    "alignment_bias": ("alignment_bias_c", "readout_bias"),
}
"""The keys of a session's alignment, by the field of `Session`; the first one is written."""

OTHER_GROUPS = {"other_targets": "targets", "other_observed": "target_observed"}
"""HDF5 groups of further target groups, by the field of `Split` that they hold."""

FACTS = ("target_index", "conversion_factor", "dt")
"""Further keys that are read."""


@dataclasses.dataclass
class Contents:
    """What one file holds, before any check of the trials.

    Attributes:
        path: The file.
        splits: The trials by split.
        bin_width: Width of a bin in seconds, or None.
        start: Time of the first bin relative to the event in seconds, or None.
        event: Name of the event that time is counted from, or None.
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds, or None.
        behaviour_name: What the behaviour is.
        truth_unit: Unit of the truth, or None when there is no truth.
        input_group: Name of the target group whose channels the encoder sees.
        target_index: For each encoder channel its channel of the input group, shape (channel,), or None.
        channel_names: By target group, the names of its channels.
        groups: What the file says that the numbers of its target groups are.
        alignment: Matrix onto aligned components, shape (channel, component), or None.
        alignment_bias: What is subtracted from the data before, shape (channel,), or None.
        source: Name, SHA-256 and size of the file, and what it says itself about where it came from.
        unused: Keys that nothing reads.
    """

    path: Path
    splits: dict[str, RawTrials]
    bin_width: float | None
    start: float | None
    event: str | None
    behaviour_lag: float | None
    behaviour_name: str
    truth_unit: str | None
    input_group: str
    target_index: np.ndarray | None
    channel_names: dict[str, tuple[str, ...]]
    groups: dict[str, TargetGroup]
    alignment: np.ndarray | None
    alignment_bias: np.ndarray | None
    source: dict[str, Any]
    unused: list[str]


def read_contents(path: Path, input_group: str | None = None) -> Contents:
    """Reads everything that a file holds under known keys.

    Args:
        input_group: Name of the target group that the encoder sees; by default what the file says.
    """
    with open_to_read(path) as file:
        names = _splits_in(file, path.name)
        attributes = attributes_of(file)
        group = input_group or str(attributes.get("input_group", INPUT_GROUP))
        splits = {name: _raw_trials(file, name, group, path.name) for name in names}
        factor = _scalar(file, "conversion_factor")
        width = attributes.get("bin_width_s", _scalar(file, "dt"))
        index = read_array(file, "target_index", "'target_index'") if "target_index" in file else None
        alignment, alignment_bias = _alignment(file, path.name)
        keys, unused = set(file), _unused(file, names)
    unit = str(attributes.get("truth_unit", "relative"))
    validation.one_of(unit, validation.TRUTH_UNITS, f"The attribute 'truth_unit' of {path.name!r}")
    if factor is not None:
        _convert_truth(splits, factor, path.name)
        unit = "data" if unit == "data" else "counts per bin"
    has_truth = any(raw.get("truth") is not None for raw in splits.values())
    lag, start, event, made = (attributes.get(key) for key in ("behaviour_lag_s", "start_s", "event", "lfadsx_source"))
    return Contents(
        path=path,
        splits=splits,
        bin_width=None if width is None else float(width),
        start=None if start is None else float(start),
        event=None if event is None else str(event),
        behaviour_lag=None if lag is None else float(lag),
        behaviour_name=str(attributes.get("behaviour_name", _behaviour_name(keys))),
        truth_unit=unit if has_truth else None,
        input_group=group,
        target_index=index,
        channel_names=_channel_names(attributes, group),
        groups=_groups(attributes, path.name),
        alignment=alignment,
        alignment_bias=alignment_bias,
        source=describe(path) if made is None else {**describe(path), "made_from": json.loads(made)},
        unused=unused,
    )


def keys_of(field: str, split: str) -> list[str]:
    """Returns the keys that may hold a field of a split; those of the split "all" name no split."""
    if split != WHOLE:
        return [key.format(split=split) for key in KEYS[field]]
    return [key.removeprefix("{split}_") for key in KEYS[field] if key.startswith("{split}_")]


def _splits_in(file: h5py.File, name: str) -> list[str]:
    known = [key for split in SPLITS for field in KEYS for key in keys_of(field, split)]
    groups = [f"{split}_{what}" for split in SPLITS for what in OTHER_GROUPS]
    validation.misspelt(list(file), known + groups, SPLITS, name)
    found = [split for split in SPLITS if any(key in file for key in keys_of("encoder_input", split))]
    if not found and any(key in file for key in keys_of("encoder_input", WHOLE)):
        return [WHOLE]
    # A split that has anything, such as ids, needs data; a file that has nothing needs any.
    begun = [split for split in SPLITS if any(key in file for f in KEYS for key in keys_of(f, split))]
    for wanted in [[split] for split in begun] or [SPLITS]:
        validation.has_data(list(file), [k for s in wanted for k in keys_of("encoder_input", s)], name)
    return found


def _unused(file: h5py.File, splits: list[str]) -> list[str]:
    """Returns the keys of a file that nothing reads."""
    used = {key for split in splits for field in KEYS for key in keys_of(field, split)} | set(FACTS)
    used |= {key for keys in ALIGNMENT_KEYS.values() for key in keys}
    used |= {f"{split}_{what}".removeprefix(f"{WHOLE}_") for split in splits for what in OTHER_GROUPS}
    return [key for key in map(str, file) if key not in used]


def _channel_names(attributes: dict[str, Any], input_group: str) -> dict[str, tuple[str, ...]]:
    """Returns the names of channels by target group, from `channel_names` and `channel_names/GROUP`."""
    found = {key: value for key, value in attributes.items() if key.partition("/")[0] == "channel_names"}
    return {key.partition("/")[2] or input_group: tuple(map(as_text, names)) for key, names in found.items()}


def _groups(attributes: dict[str, Any], name: str) -> dict[str, TargetGroup]:
    """Returns kind and unit of target groups from the attribute `target_groups`, which is JSON."""
    try:
        said = json.loads(str(attributes.get("target_groups", "{}")))
        return {group: TargetGroup(**facts) for group, facts in said.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"The attribute 'target_groups' of {name!r} cannot be read ({error}). Give JSON such as "
            '{"emg": {"kind": "real", "unit": "mV"}}, or leave it out.'
        ) from error


def _raw_trials(file: h5py.File, split: str, input_group: str, name: str) -> RawTrials:
    arrays, labels = {}, {}

    def add(field: str, key: str) -> None:
        labels[field] = f"{key!r} of {name!r}"
        arrays[field] = read_array(file, key, labels[field])

    for field in KEYS:
        present = [key for key in keys_of(field, split) if key in file]
        if len(present) > 1:
            raise DataError(f"{name!r} holds {present[0]!r} and {present[1]!r}, which mean the same. Keep one.")
        if present:
            add(f"{field}/{input_group}" if field in ("targets", "target_observed") else field, present[0])
    for kind, field in OTHER_GROUPS.items():
        key = kind if split == WHOLE else f"{split}_{kind}"
        for group in subgroup(file, key):
            add(f"{field}/{group}", f"{key}/{group}")
    target = f"targets/{input_group}"
    if f"target_observed/{input_group}" in arrays and target not in arrays and "encoder_input" in arrays:
        arrays[target], labels[target] = arrays["encoder_input"], labels["encoder_input"]
    return RawTrials(arrays, labels)


def _alignment(file: h5py.File, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns matrix and bias of a file's alignment, checked but for their channels; None for what is not there."""
    found = {}
    for field, axes in (("alignment", ("channel", "component")), ("alignment_bias", ("channel",))):
        present = [key for key in ALIGNMENT_KEYS[field] if key in file]
        if len(present) > 1:
            raise DataError(f"{name!r} holds {present[0]!r} and {present[1]!r}, which mean the same. Keep one.")
        if present:
            label = f"{present[0]!r} of {name!r}"
            values = read_array(file, present[0], label)
            validation.numbers(values, label)
            if values.ndim != len(axes) or 0 in values.shape:
                raise DataError(f"{label} has shape {values.shape}. Give it the axes ({', '.join(axes)}).")
            if not np.isfinite(values).all():
                place = np.argwhere(~np.isfinite(values))[0]
                where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=True))
                raise DataError(f"{label} is {values[tuple(place)]} at {where}. Fit the alignment to finite data.")
            found[field] = values.astype(np.float64)
    if "alignment_bias" in found and "alignment" not in found:
        matrix, bias = (" or ".join(map(repr, ALIGNMENT_KEYS[field])) for field in ("alignment", "alignment_bias"))
        raise DataError(f"{name!r} holds {bias} and no {matrix}. Add the matrix, or leave the bias out.")
    return found.get("alignment"), found.get("alignment_bias")


def _scalar(file: h5py.File, key: str) -> float | None:
    """Returns a number that may be stored as a dataset or as an attribute, or None."""
    value = read_array(file, key, repr(key)) if key in file else attributes_of(file).get(key)
    if value is None:
        return None
    if np.size(value) != 1:
        raise DataError(f"{key!r} has shape {np.shape(value)} and one number is needed. Store it as a scalar.")
    return float(np.ravel(value)[0])


def _convert_truth(splits: dict[str, RawTrials], factor: float, name: str) -> None:
    """Brings the truth to counts per bin (or the unit of the data): that times the factor is what is stored."""
    if not (np.isfinite(factor) and factor > 0):
        raise DataError(f"'conversion_factor' of {name!r} is {factor}. Give a number above 0.")
    for raw in splits.values():
        if raw.get("truth") is not None:
            validation.numbers(raw.arrays["truth"], raw.labels["truth"])
            raw.arrays["truth"] = raw.arrays["truth"] / factor


def _behaviour_name(keys: set[str]) -> str:
    other = any(key in keys for split in SPLITS for key in keys_of("behaviour", split)[1:])
    return "behaviour" if other else "velocity"

"""Contents of an HDF5 data file: the keys of lfads-torch and of the TensorFlow program, and more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import TruthUnit
from lfadsx.data.hdf5_files import as_text, attributes_of, describe, open_to_read, read_array, subgroup
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.types import INPUT_GROUP, TargetGroup

SPLITS = ("train", "valid", "test")
WHOLE = "all"
"""Name of the only split of a file whose keys have no split."""

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
"""Keys by content; the first key is written. The HDF5 groups `{split}_other_targets` and
`{split}_other_observed` hold further target groups by name."""

ALIGNMENT_KEYS = {
    "alignment": ("alignment_matrix_cxf", "readin_weight"),
    "alignment_bias": ("alignment_bias_c", "readout_bias"),
}
"""Keys of a session's alignment by the field of `Session`; the first key is written."""

OTHER_GROUPS = {"other_targets": "targets", "other_observed": "target_observed"}
"""HDF5 groups of further target groups, by the field of `Split` that they hold."""

FACTS = ("target_index", "conversion_factor", "dt")
"""Further keys that are read."""


@dataclasses.dataclass
class Contents:
    """The contents of one file, before any check of the trials.

    Attributes:
        file: Name of the file.
        splits: The trials by split.
        said: Settings that the file gives, by argument of `read`: bin_width, start, event, behaviour_lag.
        behaviour_name: Name of the behaviour.
        truth_unit: Unit of the truth, or None without truth.
        input_group: The target group whose channels the encoder sees.
        target_index: Target channel of each encoder channel, shape (channel,), or None.
        channel_names: Names of the channels by target group.
        groups: Kind and unit of target groups that the file gives.
        alignment: Fields `alignment` and `alignment_bias` of `Session` that the file gives.
        source: Name, SHA-256 and size of the file, and the origin that it gives.
        unused: Keys that nothing reads.
    """

    file: str
    splits: dict[str, RawTrials]
    said: dict[str, Any]
    behaviour_name: str
    truth_unit: str | None
    input_group: str
    target_index: np.ndarray | None
    channel_names: dict[str, tuple[str, ...]]
    groups: dict[str, TargetGroup]
    alignment: dict[str, np.ndarray]
    source: dict[str, Any]
    unused: list[str]


def read_contents(path: Path, input_group: str | None = None) -> Contents:
    """Reads everything that a file holds under known keys; `input_group` overrides the file's."""
    name = path.name
    with open_to_read(path) as file:
        splits_in = _splits_in(file, name)
        attributes = attributes_of(file)
        group = input_group or str(attributes.get("input_group", INPUT_GROUP))
        splits = {split: _raw_trials(file, split, group, name) for split in splits_in}
        factor = _scalar(file, "conversion_factor")
        facts = {
            "bin_width": (float, attributes.get("bin_width_s", _scalar(file, "dt"))),
            "start": (float, attributes.get("start_s")),
            "event": (str, attributes.get("event")),
            "behaviour_lag": (float, attributes.get("behaviour_lag_s")),
        }
        index = read_array(file, "target_index", "'target_index'") if "target_index" in file else None
        alignment = _alignment(file, name)
        keys, unused = set(file), _unused(file, splits_in)
    unit = str(attributes.get("truth_unit", "relative"))
    validation.one_of(unit, get_args(TruthUnit), f"The attribute 'truth_unit' of {name!r}")
    if factor is not None:
        _convert_truth(splits, factor, name)
        unit = "data" if unit == "data" else "counts per bin"
    named_otherwise = any(key in keys for split in SPLITS for key in keys_of("behaviour", split)[1:])
    behaviour_name = "behaviour" if named_otherwise else "velocity"
    made = attributes.get("lfadsx_source")
    return Contents(
        file=name,
        splits=splits,
        said={fact: kind(value) for fact, (kind, value) in facts.items() if value is not None},
        behaviour_name=str(attributes.get("behaviour_name", behaviour_name)),
        truth_unit=unit if any(raw.arrays.get("truth") is not None for raw in splits.values()) else None,
        input_group=group,
        target_index=index,
        channel_names=_channel_names(attributes, group),
        groups=_groups(attributes, name),
        alignment=alignment,
        source=describe(path) | ({} if made is None else {"made_from": json.loads(made)}),
        unused=unused,
    )


def keys_of(field: str, split: str) -> list[str]:
    """Returns the keys that may hold a field of a split; the keys of the split "all" name no split."""
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
    # A split that has anything, such as ids, needs data; a file without any split needs one.
    begun = [split for split in SPLITS if any(key in file for f in KEYS for key in keys_of(f, split))]
    for wanted in [[split] for split in begun] or [SPLITS]:
        validation.has_data(list(file), [k for s in wanted for k in keys_of("encoder_input", s)], name)
    return found


def _unused(file: h5py.File, splits: list[str]) -> list[str]:
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
        key = _only_key(file, keys_of(field, split), name)
        if key is not None:
            add(f"{field}/{input_group}" if field in ("targets", "target_observed") else field, key)
    for kind, field in OTHER_GROUPS.items():
        key = kind if split == WHOLE else f"{split}_{kind}"
        for group in subgroup(file, key):
            add(f"{field}/{group}", f"{key}/{group}")
    target = f"targets/{input_group}"
    if f"target_observed/{input_group}" in arrays and target not in arrays and "encoder_input" in arrays:
        arrays[target], labels[target] = arrays["encoder_input"], labels["encoder_input"]
    return RawTrials(arrays, labels)


def _only_key(file: h5py.File, keys: Collection[str], name: str) -> str | None:
    """Returns the key that a file uses of several with the same meaning, or None."""
    present = [key for key in keys if key in file]
    if len(present) > 1:
        raise DataError(f"{name!r} holds {present[0]!r} and {present[1]!r}, which mean the same. Keep one.")
    return present[0] if present else None


def _alignment(file: h5py.File, name: str) -> dict[str, np.ndarray]:
    """Returns matrix and bias of a file's alignment, checked except for the number of channels."""
    found = {}
    for field, axes in (("alignment", ("channel", "component")), ("alignment_bias", ("channel",))):
        key = _only_key(file, ALIGNMENT_KEYS[field], name)
        if key is None:
            continue
        label = f"{key!r} of {name!r}"
        values = read_array(file, key, label)
        validation.numbers(values, label)
        if values.ndim != len(axes) or 0 in values.shape:
            raise DataError(f"{label} has shape {values.shape}. Give it the axes ({', '.join(axes)}).")
        wrong = ~np.isfinite(values)
        if wrong.any():
            where = validation.place(wrong, axes)
            raise DataError(f"{label} must be finite, got {values[wrong][0]} at {where}. Fit it to finite data.")
        found[field] = values.astype(np.float64)
    if "alignment_bias" in found and "alignment" not in found:
        matrix, bias = (" or ".join(map(repr, ALIGNMENT_KEYS[field])) for field in ("alignment", "alignment_bias"))
        raise DataError(f"{name!r} holds {bias} without {matrix}. Add the matrix, or leave the bias out.")
    return found


def _scalar(file: h5py.File, key: str) -> float | None:
    """Returns a number that is stored as a dataset or as an attribute, or None."""
    value = read_array(file, key, repr(key)) if key in file else attributes_of(file).get(key)
    if value is None:
        return None
    if np.size(value) != 1:
        raise DataError(f"{key!r} must be one number, got shape {np.shape(value)}. Store it as a scalar.")
    return float(np.ravel(value)[0])


def _convert_truth(splits: dict[str, RawTrials], factor: float, name: str) -> None:
    """Divides the stored truth by the conversion factor, which gives counts per bin (or the unit of the data)."""
    validation.positive(factor, f"'conversion_factor' of {name!r}")
    for raw in splits.values():
        if raw.arrays.get("truth") is not None:
            validation.numbers(raw.arrays["truth"], raw.labels["truth"])
            raw.arrays["truth"] = raw.arrays["truth"] / factor

"""Contents of an HDF5 data file: its trials by split, its facts, and what was odd about them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from lfadsx.data import file_facts, validation
from lfadsx.data.condition_lists import conditions_in, labels_of
from lfadsx.data.dataset import TruthUnit
from lfadsx.data.file_keys import (
    ALIGNMENT_KEYS,
    KEYS,
    OTHER_GROUPS,
    PER_TRIAL,
    SPLITS,
    WHOLE,
    keys_of,
    splits_in,
    unknown_attributes,
    unused_keys,
)
from lfadsx.data.hdf5_files import attributes_of, describe, is_empty, open_to_read, read_array, subgroup
from lfadsx.data.opening import is_hdf5
from lfadsx.data.trials import RawTrials
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP, TargetGroup


@dataclasses.dataclass
class Contents:
    """The contents of one file, before any check of the trials.

    Attributes:
        file: Name of the file.
        splits: The trials by split.
        said: Settings that the file gives, by argument of `read`: bin_width, start, event, behaviour_lag, axes.
        behaviour_name: Name of the behaviour.
        truth_unit: Unit of the truth, or None without truth.
        input_group: The target group whose channels the encoder sees.
        target_index: Target channel of each encoder channel, shape (channel,), or None.
        channel_names: Names of the channels by target group.
        groups: Kind and unit of target groups that the file gives.
        alignment: Fields `alignment` and `alignment_bias` of `Session` that the file gives.
        source: Name, SHA-256 and size of the file, and the origin that it gives.
        findings: Unused keys and other oddities of the file.
        from_matlab: If True, MATLAB wrote the data, which reverses the axes.
        areas: Brain area of each channel of the input group; empty if unknown.
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
    findings: list[Finding]
    from_matlab: bool = False
    areas: tuple[str, ...] = ()


def read_contents(path: Path, input_group: str | None = None) -> Contents:
    """Reads everything that a file holds under known keys; `input_group` overrides the file's."""
    name = path.name
    with open_to_read(path) as file:
        empty = [key for key in map(str, file) if is_empty(file, key)]
        present = [key for key in map(str, file) if key not in empty]
        names = splits_in(present, name)
        attributes = attributes_of(file)
        group = input_group or file_facts.text_in(attributes.get("input_group"), "'input_group'") or INPUT_GROUP
        splits = {split: _raw_trials(file, present, split, group, name) for split in names}
        factor = file_facts.number_in(_stored(file, present, "conversion_factor"), "'conversion_factor'")
        said = _said(attributes, _stored(file, present, "dt"), name)
        index = _whole(read_array(file, "target_index", "'target_index'")) if "target_index" in present else None
        areas = _vector(read_array(file, "brain_area", "'brain_area'")) if "brain_area" in present else ()
        alignment = _alignment(file, present, name)
        from_matlab = any("MATLAB_class" in file[key].attrs for key in present if key in _data_keys(names))
    unit = file_facts.text_in(attributes.get("truth_unit"), "'truth_unit'") or "relative"
    unit = file_facts.spelt_as(unit, get_args(TruthUnit))
    validation.one_of(unit, get_args(TruthUnit), f"The attribute 'truth_unit' of {name!r}")
    if factor is not None:
        _convert_truth(splits, factor, name)
        unit = "data" if unit == "data" else "counts per bin"
    named_otherwise = any(key in present for split in SPLITS for key in keys_of("behaviour", split)[1:])
    behaviour = file_facts.text_in(attributes.get("behaviour_name"), "'behaviour_name'")
    origin, findings = _origin(attributes, name)
    return Contents(
        file=name,
        splits=splits,
        said=said,
        behaviour_name=behaviour or ("behaviour" if named_otherwise else "velocity"),
        truth_unit=unit if any(raw.arrays.get("truth") is not None for raw in splits.values()) else None,
        input_group=group,
        target_index=index,
        channel_names=_channel_names(attributes, group),
        groups=_groups(attributes, name),
        alignment=alignment,
        source=describe(path) | origin,
        findings=[*findings, *unused_keys(present, empty, names, name), *unknown_attributes(attributes, name)],
        from_matlab=from_matlab,
        areas=file_facts.names_in(areas),
    )


def source_of(path: Path) -> dict[str, Any]:
    """Returns name, SHA-256 and size of a data file, and the origin that it gives, as in `Contents.source`."""
    with open_to_read(path) as file:
        origin, _ = _origin(attributes_of(file), path.name)
    return describe(path) | origin


def is_data_file(path: Path) -> bool:
    """Returns whether a file is an HDF5 file with keys of a data file; MATLAB may have written it."""
    if not is_hdf5(path):
        return False
    with open_to_read(path) as file:
        return any(key in file for key in _data_keys((*SPLITS, WHOLE)))


def _data_keys(splits: Collection[str]) -> list[str]:
    return [key for split in splits for key in keys_of("encoder_input", split)]


def _said(attributes: dict[str, Any], dt: Any, name: str) -> dict[str, Any]:
    """Returns the settings that a file gives, in seconds and as text."""

    def label(key: str) -> str:
        return f"The attribute {key!r} of {name!r}"

    width = file_facts.seconds_in(attributes.get("bin_width_s"), f"The bin width of {name!r}")
    said = {
        "bin_width": file_facts.seconds_in(dt, f"The bin width of {name!r}") if width is None else width,
        "start": file_facts.seconds_in(attributes.get("start_s"), label("start_s")),
        "behaviour_lag": file_facts.seconds_in(attributes.get("behaviour_lag_s"), label("behaviour_lag_s")),
        "event": file_facts.text_in(attributes.get("event"), label("event")),
        "axes": file_facts.text_in(attributes.get("axes"), label("axes")),
    }
    return {fact: value for fact, value in said.items() if value is not None}


def _origin(attributes: dict[str, Any], name: str) -> tuple[dict[str, Any], list[Finding]]:
    """Returns the origin that lfadsx recorded when it wrote the file, or a finding about another text in its place."""
    made = file_facts.text_in(attributes.get("lfadsx_source"), "'lfadsx_source'")
    if made is None:
        return {}, []
    try:
        return {"made_from": json.loads(made)}, []
    except ValueError:
        sentence = (
            f"The attribute 'lfadsx_source' of {name!r} is {made[:60]!r}, not a record of lfadsx; it is kept as text."
        )
        return {"made_from": made}, [Finding("note", "foreign source", None, None, name, sentence)]


def _channel_names(attributes: dict[str, Any], input_group: str) -> dict[str, tuple[str, ...]]:
    """Returns the names of channels by target group, from `channel_names` and `channel_names/GROUP`."""
    found = {key: value for key, value in attributes.items() if key.partition("/")[0] == "channel_names"}
    return {key.partition("/")[2] or input_group: file_facts.names_in(names) for key, names in found.items()}


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


def _raw_trials(file: h5py.File, present: Collection[str], split: str, input_group: str, name: str) -> RawTrials:
    arrays, labels = {}, {}

    def add(field: str, key: str) -> None:
        labels[field] = f"{key!r} of {name!r}"
        arrays[field] = read_array(file, key, labels[field])

    for field in KEYS:
        key = _only_key(present, keys_of(field, split), name)
        if key is not None:
            add(f"{field}/{input_group}" if field in ("targets", "target_observed") else field, key)
    for kind, field in OTHER_GROUPS.items():
        key = kind if split == WHOLE else f"{split}_{kind}"
        for group in subgroup(file, key):
            add(f"{field}/{group}", f"{key}/{group}")
    for field in PER_TRIAL:
        if field in arrays:
            arrays[field] = _whole(_vector(arrays[field]))
    lists = f"{split}_cond_idx"
    if "condition" not in arrays and "encoder_input" in arrays and lists in present:
        labels["condition"] = f"{lists!r} of {name!r}"
        rows = conditions_in(file[lists], labels["condition"])
        arrays["condition"] = labels_of(rows, len(arrays["encoder_input"]), labels["condition"])
    target = f"targets/{input_group}"
    if f"target_observed/{input_group}" in arrays and target not in arrays and "encoder_input" in arrays:
        arrays[target], labels[target] = arrays["encoder_input"], labels["encoder_input"]
    return RawTrials(arrays, labels)


def _vector(values: np.ndarray) -> np.ndarray:
    """Returns a vector for a row or a column, as MATLAB stores vectors; other arrays are returned as they are."""
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values


def _whole(values: np.ndarray) -> np.ndarray:
    """Returns integers for whole numbers that are stored as floats, as MATLAB does."""
    values = _vector(values)
    if values.dtype.kind == "f" and np.isfinite(values).all() and np.all(values == np.floor(values)):
        return values.astype(np.int64) if np.abs(values).max(initial=0) < 2**53 else values
    return values


def _only_key(present: Collection[str], keys: Collection[str], name: str) -> str | None:
    """Returns the key that a file uses of several with the same meaning, or None."""
    found = [key for key in keys if key in present]
    if len(found) > 1:
        raise DataError(f"{name!r} holds {found[0]!r} and {found[1]!r}, which mean the same. Keep one.")
    return found[0] if found else None


def _alignment(file: h5py.File, present: Collection[str], name: str) -> dict[str, np.ndarray]:
    """Returns matrix and bias of a file's alignment, checked except for the number of channels."""
    found = {}
    for field, axes in (("alignment", ("channel", "component")), ("alignment_bias", ("channel",))):
        key = _only_key(present, ALIGNMENT_KEYS[field], name)
        if key is None:
            continue
        label = f"{key!r} of {name!r}"
        values = read_array(file, key, label)
        values = _vector(values) if len(axes) == 1 else values
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


def _stored(file: h5py.File, present: Collection[str], key: str) -> Any:
    """Returns a fact that is stored as a dataset or as an attribute, or None."""
    return read_array(file, key, repr(key)) if key in present else attributes_of(file).get(key)


def _convert_truth(splits: dict[str, RawTrials], factor: float, name: str) -> None:
    """Divides the stored truth by the conversion factor, which gives counts per bin (or the unit of the data)."""
    validation.positive(factor, f"'conversion_factor' of {name!r}")
    for raw in splits.values():
        if raw.arrays.get("truth") is not None:
            validation.numbers(raw.arrays["truth"], raw.labels["truth"])
            raw.arrays["truth"] = raw.arrays["truth"] / factor

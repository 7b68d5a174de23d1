"""Keys of HDF5 data files: those of lfads-torch and of the TensorFlow program, and more."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from lfadsx.data import validation
from lfadsx.findings import Finding

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
    "interval": ("{split}_interval",),
    "start_time": ("{split}_start_time",),
    "piece_of": ("{split}_piece_of",),
    "first_bin": ("{split}_first_bin",),
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

FACTS = ("target_index", "conversion_factor", "dt", "brain_area")
"""Further keys that are read."""

PER_TRIAL = (
    *("condition", "interval", "start_time", "piece_of", "first_bin", "trial_id", "row"),
    *("length", "encoder_length", "target_length"),
)
"""Fields with one value for each trial."""

ATTRIBUTES = (
    *("bin_width_s", "start_s", "event", "axes", "behaviour_name", "behaviour_lag_s", "truth_unit", "input_group"),
    *("target_groups", "channel_names", "lfadsx_source", "conversion_factor", "dt"),
)
"""Attributes of a file that are read."""

LIKE_OURS = (
    "bin_width",
    "binwidth",
    "bin_size",
    "binsize",
    "bin_size_s",
    "bin_width_ms",
    "bin_size_ms",
    "binSize",
    "fs",
)
"""Names under which other programs store what `bin_width_s` says."""

OTHER_SPLITS = {"val": "valid", "validation": "valid", "dev": "valid", "training": "train", "testing": "test"}
"""What other programs call the splits."""


def keys_of(field: str, split: str) -> list[str]:
    """Returns the keys that may hold a field of a split; the keys of the split "all" name no split."""
    if split != WHOLE:
        return [key.format(split=split) for key in KEYS[field]]
    return [key.removeprefix("{split}_") for key in KEYS[field] if key.startswith("{split}_")]


def splits_in(present: Collection[str], name: str) -> list[str]:
    """Returns the splits of a file with these keys; raises `DataError` for keys that only look like known ones."""
    known = [key for split in SPLITS for field in KEYS for key in keys_of(field, split)]
    groups = [f"{split}_{what}" for split in SPLITS for what in OTHER_GROUPS]
    validation.misspelt(present, known + groups, SPLITS, name)
    validation.other_names(present, known, OTHER_SPLITS, name)
    found = [split for split in SPLITS if any(key in present for key in keys_of("encoder_input", split))]
    if not found and any(key in present for key in keys_of("encoder_input", WHOLE)):
        return [WHOLE]
    # A split that has anything, such as ids, needs data; a file without any split needs one.
    begun = [split for split in SPLITS if any(key in present for f in KEYS for key in keys_of(f, split))]
    for wanted in [[split] for split in begun] or [SPLITS]:
        validation.has_data(present, [k for s in wanted for k in keys_of("encoder_input", s)], name)
    return found


def unused_keys(present: Collection[str], empty: Collection[str], splits: Collection[str], name: str) -> list[Finding]:
    """Returns notes that name the keys that nothing reads, and the known keys that are empty."""
    used = {key for split in splits for field in KEYS for key in keys_of(field, split)} | set(FACTS)
    used |= {key for keys in ALIGNMENT_KEYS.values() for key in keys} | {f"{split}_cond_idx" for split in splits}
    used |= {f"{split}_{what}".removeprefix(f"{WHOLE}_") for split in splits for what in OTHER_GROUPS}
    unused, findings = [key for key in present if key not in used], []
    if unused:
        sentence = f"Keys of {name!r} that nothing reads: {', '.join(map(repr, unused))}."
        findings.append(Finding("note", "unused keys", len(unused), 0, name, sentence))
    if empty:
        sentence = f"Keys of {name!r} that are empty and so left out: {', '.join(map(repr, empty))}."
        findings.append(Finding("note", "empty keys", len(empty), 0, name, sentence))
    return findings


def unknown_attributes(attributes: Mapping[str, Any], name: str) -> list[Finding]:
    """Returns findings about attributes that nothing reads, above all those that look like known ones."""
    unknown = [key for key in attributes if key.partition("/")[0] not in ATTRIBUTES]
    findings = []
    for key in unknown:
        like = "bin_width_s" if key in LIKE_OURS and "bin_width_s" not in attributes else _like(key, attributes)
        if like:
            sentence = f"The attribute {key!r} of {name!r} is not read, but looks like {like!r}."
            remedy = f"Rename it to {like!r}" + (" and give it in seconds." if like.endswith("_s") else ".")
            findings.append(Finding("warning", "unknown attributes", 1, 0, name, sentence, remedy))
    return findings


def _like(key: str, attributes: Mapping[str, Any]) -> str:
    """Returns the known attribute that is absent and nearly spelt like `key`, or an empty text."""
    absent = [known for known in ATTRIBUTES if known not in attributes]
    close = difflib.get_close_matches(key, absent, 1, 0.85)
    return close[0] if close else ""

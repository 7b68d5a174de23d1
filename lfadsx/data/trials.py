"""The trials of one session: from the user's arrays to a checked and padded `Split`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.condition_labels import tidy_labels
from lfadsx.data.dataset import SERIES, Session, Split
from lfadsx.errors import DataError


@dataclasses.dataclass
class RawTrials:
    """The user's arrays of the trials of one split and session, before any check.

    Attributes:
        arrays: By name, the array fields of `Split`, with "targets/GROUP" and "target_observed/GROUP" for
            `targets` and `target_observed`, and "length" for the encoder's bins of each trial, shape (trial,). Only
            "encoder_input" is required.
        labels: Name of each array in error messages.
    """

    arrays: dict[str, np.ndarray]
    labels: dict[str, str]

    @property
    def groups(self) -> list[str]:
        """Names of the given target groups."""
        return [name.removeprefix("targets/") for name in self.arrays if name.startswith("targets/")]

    @property
    def encoder_label(self) -> str:
        """Name of the encoder's data in error messages."""
        return self.labels["encoder_input"]


def session_of(
    name: str,
    raw: RawTrials,
    input_group: str,
    target_index: np.ndarray | None = None,
    channel_names: Mapping[str, Sequence[str]] | None = None,
) -> Session:
    """Returns a session with the channels of its trials, which have targets if any split has them.

    By default the encoder's channels are the first channels of the targets.
    """
    encoder = raw.arrays["encoder_input"]
    validation.dimensions(encoder, 3, raw.encoder_label)
    n_channels = encoder.shape[2]
    for group in raw.groups:
        validation.dimensions(raw.arrays[f"targets/{group}"], 3, raw.labels[f"targets/{group}"])
    n_targets = {group: raw.arrays[f"targets/{group}"].shape[2] for group in raw.groups}
    if input_group not in n_targets:
        highest = n_channels - 1 if target_index is None else int(np.max(target_index, initial=0))
        n_targets = {input_group: max(n_channels, highest + 1), **n_targets}
    elif target_index is None:
        label = raw.labels[f"targets/{input_group}"]
        advice = (
            "Add the missing channels, or a dataset 'target_index' with the target channel of each encoder channel "
            "(-1 for an encoder channel that is not a target)."
        )
        validation.at_least(n_targets[input_group], n_channels, "channels", label, raw.encoder_label, advice)
    index = np.arange(n_channels) if target_index is None else np.asarray(target_index)
    validation.target_index(index, n_channels, n_targets[input_group], f"'target_index' of {name!r}")
    for group, names in (channel_names or {}).items():
        validation.one_of(group, n_targets, f"A target group of 'channel_names' of {name!r}")
        label = f"'channel_names' of {name!r}"
        validation.size(len(names), n_targets[group], "names", label, "the target, one a channel,")
    named = {group: tuple(map(str, names)) for group, names in (channel_names or {}).items()}
    return Session(name, n_channels, n_targets, index.astype(np.int64), named)


def split_of(raw: RawTrials, session: Session, input_group: str, forward_bins: int = 0, missing: bool = False) -> Split:
    """Returns the checked trials of one session as a split of session index 0; data keep their type until `cast`.

    Entries outside a trial or not observed become 0 in data and known inputs, and NaN in `truth`,
    `true_inputs` and `behaviour`. Without targets of the input group, the encoder's data are the targets;
    bins and channels beyond them are marked as not observed.

    Args:
        raw: The trials.
        session: Their session.
        input_group: The target group whose channels the encoder sees.
        forward_bins: Bins of forward prediction, after the bins that the encoder sees.
        missing: If True, NaN marks missing entries of the data; otherwise NaN is an error.
    """
    encoder = raw.arrays["encoder_input"]
    validation.dimensions(encoder, 3, raw.encoder_label)
    n_trials, n_encoder_bins, n_channels = encoder.shape
    expected = f"session {session.name!r}"
    validation.size(n_channels, session.n_channels, "channels", raw.encoder_label, expected)
    n_bins = n_encoder_bins + forward_bins
    _check_targets(raw, session, n_bins)
    encoder_length, target_length = _lengths(raw, n_trials, n_encoder_bins, n_bins)

    encoder_input, encoder_observed = _data(raw, "encoder_input", encoder_length, missing)
    seen = encoder_observed
    if seen is None:
        seen = np.broadcast_to(inside(encoder_length, n_encoder_bins)[:, :, None], encoder.shape)
    alike = encoder_observed is None and n_bins == n_encoder_bins and np.array_equal(encoder_length, target_length)
    alike &= session.n_targets.get(input_group) == n_channels
    alike &= np.array_equal(session.target_index, np.arange(n_channels))
    targets, observed = {}, {}
    for group, n_targets in session.n_targets.items():
        if group == input_group and _one_array(raw, input_group) and np.array_equal(encoder_length, target_length):
            made = encoder_input, encoder_observed
        elif f"targets/{group}" in raw.arrays:
            made = _data(raw, f"targets/{group}", target_length, missing)
        elif group == input_group:
            made = encoder_input, None  # large data are not copied
            if not alike:
                made = _from_encoder(encoder_input, seen, target_length, n_bins, session.target_index, n_targets)
        else:
            unknown = np.zeros((n_trials, n_bins, n_targets), bool)
            made = unknown.astype(np.uint8), unknown
        targets[group], observed[group] = made
    per_trial = ("trial_id", "row", "condition", "interval", "start_time")
    trial_id, row, condition, interval, start_time = (_checked(raw, name, 1) for name in per_trial)
    pieces = {name: _whole_numbers(raw, name) for name in ("piece_of", "first_bin")}
    if trial_id is not None and trial_id.dtype.kind == "b":
        label = raw.labels["trial_id"]
        raise DataError(f"{label} must hold an id for each trial, got a mask. Give `numpy.flatnonzero(mask)`.")
    if raw.arrays.get("truth") is not None:
        label = raw.labels.get(f"targets/{input_group}", raw.encoder_label)
        validation.same_shape(raw.arrays["truth"], targets[input_group].shape, raw.labels["truth"], label)
    return Split(
        encoder_input=encoder_input,
        targets=targets,
        encoder_length=encoder_length,
        target_length=target_length,
        session=np.zeros(n_trials, np.int32),
        trial_id=np.arange(n_trials) if trial_id is None else trial_id,
        row=np.arange(n_trials) if row is None else row,
        encoder_observed=encoder_observed,
        target_observed=observed,
        condition=None if condition is None else tidy_labels(condition, raw.labels["condition"]),
        interval=None if interval is None else _intervals(interval, raw.labels["interval"]),
        start_time=None if start_time is None else _start_times(start_time, raw.labels["start_time"]),
        **pieces,
        **{name: _series(raw, name, target_length, n_bins) for name in SERIES},
    )


def inside(length: np.ndarray, n_bins: int) -> np.ndarray:
    """Returns True for the bins of each trial, shape (trial, n_bins)."""
    return np.arange(n_bins) < length[:, None]


def existing(values: np.ndarray, length: np.ndarray, n_channels: np.ndarray) -> np.ndarray:
    """Returns True for entries of `values` inside the trial (length by trial) and its session (channels by trial)."""
    of_session = np.arange(values.shape[2]) < n_channels[:, None]
    there = inside(length, values.shape[1])[:, :, None]
    return np.broadcast_to(there, values.shape) if of_session.all() else there & of_session[:, None, :]


def _check_targets(raw: RawTrials, session: Session, n_bins: int) -> None:
    for group in raw.groups:
        target, label = _checked(raw, f"targets/{group}", 3), raw.labels[f"targets/{group}"]
        validation.one_of(group, session.n_targets, f"A target group of session {session.name!r}")
        n_targets = session.n_targets[group]
        validation.size(target.shape[2], n_targets, "channels", label, f"session {session.name!r}")
        validation.size(target.shape[1], n_bins, "bins", label, f"the decoder, after {raw.encoder_label},")


def _lengths(raw: RawTrials, n_trials: int, n_encoder_bins: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the encoder's and the decoder's bins of each trial."""
    forward_bins = n_bins - n_encoder_bins
    for name in ("length", "encoder_length"):
        if raw.arrays.get(name) is not None:
            validation.lengths(raw.arrays[name], 1, n_encoder_bins, n_trials, raw.labels[name])
    encoder = raw.arrays.get("encoder_length")
    encoder = raw.arrays.get("length") if encoder is None else encoder
    target = raw.arrays.get("target_length")
    if target is not None:
        lowest = 1 + forward_bins if encoder is None else encoder
        validation.lengths(target, lowest, n_bins, n_trials, raw.labels["target_length"])
    if encoder is None:
        encoder = np.full(n_trials, n_encoder_bins) if target is None else target - forward_bins
    target = encoder + forward_bins if target is None else target
    return encoder.astype(np.int32), target.astype(np.int32)


def _data(raw: RawTrials, name: str, length: np.ndarray, missing: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns data with 0 for missing entries, and the mask of observed entries (None if all are observed)."""
    values, label = raw.arrays[name], raw.labels[name]
    validation.numbers(values, label)
    observed = np.broadcast_to(inside(length, values.shape[1])[:, :, None], values.shape)
    is_target, group = name.startswith("targets/"), name.removeprefix("targets/")
    mask_name = f"target_observed/{group}" if is_target else "encoder_observed"
    mask = raw.arrays.get(mask_name)
    gaps = mask is not None
    if mask is not None:
        validation.same_shape(mask, values.shape, raw.labels[mask_name], label)
        validation.mask(mask, raw.labels[mask_name])
        observed = observed & mask.astype(bool)
    if missing and values.dtype.kind == "f":
        unknown = np.isnan(values) & observed
        gaps |= bool(unknown.any())
        observed = observed & ~unknown
    validation.finite(values, observed, label)
    if not observed.all() and np.any(values, where=~observed):
        values = np.where(observed, values, 0)
    return values, observed if gaps else None


def _one_array(raw: RawTrials, input_group: str) -> bool:
    """Returns whether the encoder's data and the targets are the same arrays, so that they are checked once."""
    pairs = (("encoder_input", "targets"), ("encoder_observed", "target_observed"))
    return all(raw.arrays.get(seen) is raw.arrays.get(f"{target}/{input_group}") for seen, target in pairs)


def _from_encoder(
    encoder: np.ndarray, seen: np.ndarray, target_length: np.ndarray, n_bins: int, index: np.ndarray, n_targets: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the encoder's data as targets, and the mask of observed entries (None if all are observed)."""
    n_trials, n_encoder_bins, _ = encoder.shape
    shape = (n_trials, n_bins, n_targets)
    targets, observed = np.zeros(shape, encoder.dtype), np.zeros(shape, bool)
    for made, given in ((targets, encoder), (observed, seen)):
        made[:, :n_encoder_bins, index[index >= 0]] = given[:, :, index >= 0]
    exists = np.broadcast_to(inside(target_length, n_bins)[:, :, None], shape)
    return targets, None if np.array_equal(observed, exists) else observed


def _series(raw: RawTrials, name: str, length: np.ndarray, n_bins: int) -> np.ndarray | None:
    """Returns an array of `SERIES`, (trial, n_bins, width) in float32, padded after each trial."""
    values, padding = _checked(raw, name, 3), SERIES[name]
    if values is None:
        return None
    label = raw.labels[name]
    validation.numbers(values, label)
    n_encoder_bins = raw.arrays["encoder_input"].shape[1]
    if values.shape[1] != n_encoder_bins:
        validation.size(values.shape[1], n_bins, "bins", label, "the data")
    padded = np.full((len(values), n_bins, values.shape[2]), padding, np.float32)
    with np.errstate(over="ignore"):  # numbers beyond single precision become infinite, which is refused below
        padded[:, : values.shape[1]] = values
    exists = np.broadcast_to(inside(length, n_bins)[:, :, None], padded.shape)
    validation.not_infinite(padded, exists, label)
    if name == "known_inputs":
        validation.finite(padded, exists, label, "Replace them: known inputs must be known in every bin.")
    return np.where(exists, padded, np.float32(padding))


def _intervals(values: np.ndarray, label: str) -> np.ndarray:
    """Returns intervals in float32 after a check; NaN where a trial has none."""
    validation.numbers(values, label)
    wrong = ~np.isnan(values) & ~((values > 0) & (values < np.inf))
    if wrong.any():
        raise DataError(f"{label} must hold intervals above 0 s, got {values[wrong][0]:g}. Give NaN for no interval.")
    return values.astype(np.float32)


def _start_times(values: np.ndarray, label: str) -> np.ndarray:
    """Returns times in float64, which resolves a clock of any length, after a check; NaN where one is unknown."""
    validation.numbers(values, label)
    wrong = np.isinf(values)
    if wrong.any():
        raise DataError(f"{label} must hold times in seconds, got {values[wrong][0]}. Give NaN for an unknown time.")
    return values.astype(np.float64)


def _whole_numbers(raw: RawTrials, name: str) -> np.ndarray | None:
    """Returns whole numbers by trial, from 0, after a check, or None if they are missing."""
    values = _checked(raw, name, 1)
    if values is not None and (values.dtype.kind not in "iu" or values.min() < 0):
        raise DataError(f"{raw.labels[name]} must hold a whole number from 0 for each piece. Leave it out for trials.")
    return None if values is None else values.astype(np.int64)


def _checked(raw: RawTrials, name: str, n_axes: int) -> Any:
    """Returns an array after a check of its axes and of its number of trials, or None if it is missing."""
    values = raw.arrays.get(name)
    if values is not None:
        validation.dimensions(values, n_axes, raw.labels[name])
        shape = raw.arrays["encoder_input"].shape
        reversed_axes = len(shape) == 3 and len(values) == shape[2]
        advice = validation.REVERSED if reversed_axes else ""
        validation.size(len(values), shape[0], "trials", raw.labels[name], raw.encoder_label, advice)
    return values

"""The trials of one session, from the arrays that a user hands over to a checked and padded `Split`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.data.condition_labels import tidy_labels
from lfadsx.data.dataset import Session, Split


@dataclasses.dataclass
class RawTrials:
    """Arrays of the trials of one split and session as a user hands them over, before any check.

    Attributes:
        arrays: By name: the array fields of `Split`, with `targets` and `target_observed` as
            "targets/GROUP" and "target_observed/GROUP", and `length` for the bins of each trial that the
            encoder sees, shape (trial,). All may be missing but `encoder_input`.
        labels: By the same names, what an error message calls the array.
    """

    arrays: dict[str, np.ndarray]
    labels: dict[str, str]

    def get(self, name: str) -> np.ndarray | None:
        """Returns an array, or None when there is none of that name."""
        return self.arrays.get(name)

    @property
    def groups(self) -> list[str]:
        """Names of the target groups that the user gave."""
        return [name.removeprefix("targets/") for name in self.arrays if name.startswith("targets/")]

    @property
    def encoder_label(self) -> str:
        """What an error message calls the encoder's data."""
        return self.labels["encoder_input"]


def session_of(
    name: str,
    raw: RawTrials,
    input_group: str,
    target_index: np.ndarray | None = None,
    channel_names: Mapping[str, Sequence[str]] | None = None,
) -> Session:
    """Works out a session's channels from its trials.

    Args:
        raw: Trials of a split that has targets, or of any split when none has.
        input_group: The target group whose channels the encoder sees.
        target_index: For each encoder channel its target channel or -1, shape (channel,); by default the
            encoder's channels are the first ones of the targets.
        channel_names: By target group, the names of its channels.
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
            "Add the missing channels, or a dataset 'target_index' that says which channel of the targets "
            "each encoder channel is (-1 for none)."
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
    """Checks the trials of one session and makes a `Split` of them, whose data keep their type until `cast`.

    Entries outside a trial or not observed become 0 in data and known inputs, and NaN in `truth`,
    `true_inputs` and `behaviour`. Without targets of the input group, the encoder's data are the targets as
    far as they go and the rest is marked as not observed.

    Args:
        raw: The trials.
        session: The session that they belong to.
        input_group: The target group whose channels the encoder sees.
        forward_bins: Bins of forward prediction, after those that the encoder sees.
        missing: If True, NaN marks missing entries of the data; otherwise NaN is an error.

    Returns:
        The split, of session index 0 and as wide and long as the session.
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
    targets, observed = {}, {}
    for group, n_targets in session.n_targets.items():
        if f"targets/{group}" in raw.arrays:
            made = _data(raw, f"targets/{group}", target_length, missing)
        elif group == input_group:
            made = _from_encoder(encoder_input, seen, target_length, n_bins, session.target_index, n_targets)
        else:
            unknown = np.zeros((n_trials, n_bins, n_targets), bool)
            made = unknown.astype(np.uint8), unknown
        targets[group], observed[group] = made
    trial_id, row = (_per_trial(raw, name, n_trials) for name in ("trial_id", "row"))
    condition = _per_trial(raw, "condition", n_trials)
    if raw.get("truth") is not None:
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
        known_inputs=_series(raw, "known_inputs", target_length, n_bins, 0.0),
        truth=_series(raw, "truth", target_length, n_bins, np.nan),
        true_inputs=_series(raw, "true_inputs", target_length, n_bins, np.nan),
        condition=None if condition is None else tidy_labels(condition, raw.labels["condition"]),
        behaviour=_series(raw, "behaviour", target_length, n_bins, np.nan),
    )


def inside(length: np.ndarray, n_bins: int) -> np.ndarray:
    """Returns True for the bins of each trial of `length` bins, shape (trial, n_bins)."""
    return np.arange(n_bins) < length[:, None]


def _check_targets(raw: RawTrials, session: Session, n_bins: int) -> None:
    """Raises `DataError` unless all targets have the trials, the decoder's bins and the session's channels."""
    n_trials = len(raw.arrays["encoder_input"])
    for group in raw.groups:
        target, label = raw.arrays[f"targets/{group}"], raw.labels[f"targets/{group}"]
        validation.dimensions(target, 3, label)
        validation.same_trials(target, n_trials, label, raw.encoder_label)
        validation.one_of(group, session.n_targets, f"A target group of session {session.name!r}")
        n_targets = session.n_targets[group]
        validation.size(target.shape[2], n_targets, "channels", label, f"session {session.name!r}")
        validation.size(target.shape[1], n_bins, "bins", label, f"the decoder, after {raw.encoder_label},")


def _lengths(raw: RawTrials, n_trials: int, n_encoder_bins: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    forward_bins = n_bins - n_encoder_bins
    for name in ("length", "encoder_length"):
        if raw.get(name) is not None:
            validation.lengths(raw.arrays[name], 1, n_encoder_bins, n_trials, raw.labels[name])
    encoder = raw.get("encoder_length")
    encoder = raw.get("length") if encoder is None else encoder
    target = raw.get("target_length")
    if target is not None:
        lowest = 1 + forward_bins if encoder is None else encoder
        validation.lengths(target, lowest, n_bins, n_trials, raw.labels["target_length"])
    if encoder is None:
        encoder = np.full(n_trials, n_encoder_bins) if target is None else target - forward_bins
    target = encoder + forward_bins if target is None else target
    return encoder.astype(np.int32), target.astype(np.int32)


def _data(raw: RawTrials, name: str, length: np.ndarray, missing: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns data, 0 where there are none, and what of them is observed or None."""
    values, label = raw.arrays[name], raw.labels[name]
    validation.numbers(values, label)
    exists = np.broadcast_to(inside(length, values.shape[1])[:, :, None], values.shape)
    mask = _mask(raw, name, values)
    observed = exists if mask is None else exists & mask
    gaps = mask is not None
    if missing and values.dtype.kind == "f":
        unknown = np.isnan(values) & observed
        gaps |= bool(unknown.any())
        observed = observed & ~unknown
    validation.finite(values, observed, label)
    if not observed.all():
        values = np.where(observed, values, 0)
    return values, observed if gaps else None


def _mask(raw: RawTrials, name: str, values: np.ndarray) -> np.ndarray | None:
    """Returns what the user marks as observed in the data called `name`, of their shape, or None."""
    group = name.removeprefix("targets/")
    mask_name = f"target_observed/{group}" if name.startswith("targets/") else "encoder_observed"
    mask = raw.get(mask_name)
    if mask is None:
        return None
    validation.same_shape(mask, values.shape, raw.labels[mask_name], raw.labels[name])
    return mask.astype(bool)


def _from_encoder(
    encoder: np.ndarray, seen: np.ndarray, target_length: np.ndarray, n_bins: int, index: np.ndarray, n_targets: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns targets made of the encoder's data, with the mask of what is observed or None."""
    n_trials, n_encoder_bins, _ = encoder.shape
    shape = (n_trials, n_bins, n_targets)
    targets, observed = np.zeros(shape, encoder.dtype), np.zeros(shape, bool)
    targets[:, :n_encoder_bins, index[index >= 0]] = encoder[:, :, index >= 0]
    observed[:, :n_encoder_bins, index[index >= 0]] = seen[:, :, index >= 0]
    exists = np.broadcast_to(inside(target_length, n_bins)[:, :, None], shape)
    return targets, None if np.array_equal(observed, exists) else observed


def _series(raw: RawTrials, name: str, length: np.ndarray, n_bins: int, padding: float) -> np.ndarray | None:
    """Returns what goes along with the data, (trial, n_bins, width) in float32, padded after each trial."""
    values = raw.get(name)
    if values is None:
        return None
    label = raw.labels[name]
    validation.numbers(values, label)
    validation.dimensions(values, 3, label)
    validation.same_trials(values, len(length), label, raw.encoder_label)
    n_encoder_bins = raw.arrays["encoder_input"].shape[1]
    if values.shape[1] != n_encoder_bins:
        validation.size(values.shape[1], n_bins, "bins", label, "the data")
    padded = np.full((len(values), n_bins, values.shape[2]), padding, np.float32)
    padded[:, : values.shape[1]] = values
    exists = np.broadcast_to(inside(length, n_bins)[:, :, None], padded.shape)
    if name == "known_inputs":
        validation.finite(padded, exists, label)
    return np.where(exists, padded, np.float32(padding))


def _per_trial(raw: RawTrials, name: str, n_trials: int) -> np.ndarray | None:
    values = raw.get(name)
    if values is not None:
        validation.dimensions(values, 1, raw.labels[name])
        validation.same_trials(values, n_trials, raw.labels[name], raw.encoder_label)
    return values

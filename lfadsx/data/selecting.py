"""A part of a data set: some trials, some neurons, some bins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from lfadsx.data import validation
from lfadsx.data.choices import Choice, chosen
from lfadsx.data.data_findings import kept_notes, with_findings
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.fold_datasets import hide_neurons, taker
from lfadsx.data.sessions import fit
from lfadsx.data.splits import choose, map_arrays
from lfadsx.errors import DataError
from lfadsx.findings import Finding

Window = tuple[float | None, float | None]


def select(
    data: Dataset,
    trials: Choice | Callable[[Split], np.ndarray] | None,
    neurons: Choice | Mapping[str, Choice] | None,
    window: Window | None,
) -> Dataset:
    """Returns a part of the data; see `Dataset.select`."""
    notes = list(kept_notes(data))
    if trials is not None:
        data = _with_trials(data, _trial_masks(data, trials))
    if neurons is not None:
        data = _with_neurons(data, neurons)
    if window is not None:
        data, dropped = _with_window(data, window)
        notes += dropped
    return with_findings(data, *notes)


def _trial_masks(data: Dataset, trials: Choice | Callable[[Split], np.ndarray]) -> dict[str, np.ndarray]:
    """Returns True for the chosen trials of each split."""
    if callable(trials):
        return {
            name: chosen(np.asarray(trials(split)), split.n_trials, f"`trials({name})`", "trials")
            for name, split in data.splits.items()
        }
    rows = np.concatenate([split.row for split in data.splits.values()])
    place = np.argsort(np.argsort(rows))  # position of each trial among all trials
    mask = chosen(trials, len(rows), "`trials`", "trials")[place]
    ends = np.cumsum([split.n_trials for split in data.splits.values()])
    return dict(zip(data.splits, np.split(mask, ends[:-1]), strict=True))


def _with_trials(data: Dataset, masks: Mapping[str, np.ndarray]) -> Dataset:
    """Keeps trials; sessions and a test split without trials are left out."""
    for name in ("train", "valid"):
        if not masks[name].any():
            raise DataError(f"`select` must keep at least one of the {len(masks[name])} {name} trials, got 0.")
    splits = {name: choose(split, masks[name]) for name, split in data.splits.items() if masks[name].any()}
    used = np.unique(np.concatenate([split.session for split in splits.values()]))
    sessions = tuple(data.sessions[i] for i in used)
    for name, split in splits.items():
        session = np.searchsorted(used, split.session).astype(np.int32)
        splits[name] = dataclasses.replace(split, session=session)
    source = {name: value for name, value in data.source.items() if name in {session.name for session in sessions}}
    splits = {"test": None, **splits}
    return _fitted(dataclasses.replace(data, **splits, sessions=sessions, source=source or data.source))


def _with_neurons(data: Dataset, neurons: Choice | Mapping[str, Choice]) -> Dataset:
    """Keeps channels of the input group, among the targets and in the encoder."""
    group, names = data.input_group, [session.name for session in data.sessions]
    if not isinstance(neurons, Mapping):
        if len(names) > 1:
            raise DataError(
                f"`neurons` must be a dict by session, such as {{{names[0]!r}: [0, 1]}}, because the data have "
                f"{len(names)} sessions."
            )
        neurons = {names[0]: neurons}
    for name in neurons:
        validation.one_of(name, names, "A session of `neurons`")
    kept = []
    for session in data.sessions:
        n, labels = session.n_targets[group], session.channel_names.get(group, ())
        choice = neurons.get(session.name)
        choice = np.ones(n, bool) if choice is None else choice
        kept.append(chosen(choice, n, f"`neurons` of {session.name!r}", "channels", labels))
    return _fitted(_keep_channels(data, kept))


def _keep_channels(data: Dataset, kept: list[np.ndarray]) -> Dataset:
    group = data.input_group
    hidden = np.zeros((len(kept), data.train.encoder_input.shape[2]), bool)
    for row, session, own in zip(hidden, data.sessions, kept, strict=True):
        row[: session.n_channels] = (session.target_index >= 0) & ~own[session.target_index]
        if row[: session.n_channels].all():
            raise DataError(
                f"The encoder would see no channel of session {session.name!r}. Choose at least one neuron that is not "
                "held out."
            )
    data = hide_neurons(data, hidden)
    take = taker([np.flatnonzero(own) for own in kept])
    splits = {
        name: dataclasses.replace(
            split,
            targets={**split.targets, group: take(split, split.targets[group], 0)},
            target_observed={**split.target_observed, group: take(split, split.target_observed.get(group), 0)},
            truth=take(split, split.truth, np.nan),
        )
        for name, split in data.splits.items()
    }
    sessions = tuple(_with_targets(session, own, group) for session, own in zip(data.sessions, kept, strict=True))
    return dataclasses.replace(data, **splits, sessions=sessions)


def _with_targets(session: Session, kept: np.ndarray, group: str) -> Session:
    place = np.cumsum(kept) - 1
    names = dict(session.channel_names)
    if group in names:
        names[group] = tuple(np.array(names[group], object)[kept])
    return dataclasses.replace(
        session,
        n_targets={**session.n_targets, group: int(kept.sum())},
        target_index=np.where(session.target_index >= 0, place[session.target_index], -1),
        channel_names=names,
        areas=tuple(np.array(session.areas, object)[kept]) if session.areas else (),
    )


def _with_window(data: Dataset, window: Window) -> tuple[Dataset, list[Finding]]:
    """Keeps the bins that lie wholly in a window, and the trials with an encoder bin among them."""
    n_bins = max(split.n_bins for split in data.splits.values())
    first, stop = _bins_of(data, window, n_bins)
    masks = {name: split.encoder_length > first for name, split in data.splits.items()}
    if not all(masks[name].any() for name in ("train", "valid")):
        raise DataError(
            f"The encoder sees no bin of the train or valid trials in the window {window}. Choose an earlier window."
        )
    gone = sum(int((~mask).sum()) for mask in masks.values())
    if gone:
        data = _with_trials(data, masks)
    width = data.bin_width
    splits = {name: _cut(split, first, stop, width) for name, split in data.splits.items()}
    time = dataclasses.replace(data.time, start=round(data.time.start + first * width, 9)) if width else data.time
    sentence = f"{gone} trials were left out because they have no encoder bin in the window {window}."
    note = Finding("note", "trials dropped", gone, 0, "", sentence)
    return _fitted(dataclasses.replace(data, **splits, time=time)), [note] if gone else []


def _bins_of(data: Dataset, window: Window, n_bins: int) -> tuple[int, int]:
    """Returns the first bin of a window and the bin after its last."""
    if len(window) != 2:
        raise DataError(f"`window` must be a pair (start, stop), got {window!r}. Use None for an open end.")
    width, start = (1.0, 0.0) if data.bin_width is None else (data.bin_width, data.time.start)
    low, high = window
    # A millionth of a bin allows for rounding: 0.3 / 0.1 is a little less than 3.
    first = 0 if low is None else int(np.ceil((low - start) / width - 1e-6))
    stop = n_bins if high is None else int(np.floor((high - start) / width + 1e-6))
    first, stop = max(first, 0), min(stop, n_bins)
    if first >= stop:
        unit = "bins" if data.bin_width is None else "s"
        raise DataError(
            f"The window {window} holds no whole bin. Choose a window of at least one bin between {start:g} and "
            f"{start + n_bins * width:g} {unit}."
        )
    return first, stop


def _cut(split: Split, first: int, stop: int, bin_width: float | None) -> Split:
    lengths = {
        name: (np.minimum(getattr(split, name), stop) - first).astype(np.int32)
        for name in ("encoder_length", "target_length")
    }
    # Arrays with three axes have time as the second one; all others have one number for each trial.
    cut = map_arrays(split, lambda values: values[:, first:stop] if values.ndim == 3 else values)
    later = None if split.first_bin is None else split.first_bin + first
    return dataclasses.replace(cut, **lengths, first_bin=later, start_time=_later(split.start_time, first, bin_width))


def _later(start_time: np.ndarray | None, n_bins: int, bin_width: float | None) -> np.ndarray | None:
    """Returns the times of the bins that come `n_bins` after the first ones; None if the bin width is unknown."""
    if start_time is None or n_bins == 0:
        return start_time
    return None if bin_width is None else start_time + n_bins * bin_width


def _fitted(data: Dataset) -> Dataset:
    """Returns the data with arrays cut to the longest trial and the widest session."""
    splits = fit(list(data.splits.values()), data.sessions, data.input_group)
    return dataclasses.replace(data, **dict(zip(data.splits, splits, strict=True)))

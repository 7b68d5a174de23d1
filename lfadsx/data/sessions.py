"""Several sessions in one data set: padding to the widest session and the longest trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import SERIES, Dataset, Session, Split
from lfadsx.data.trials import existing
from lfadsx.errors import DataError


def concatenate(*datasets: Dataset) -> Dataset:
    """Joins data sets into one with the sessions of all, in the given order.

    Arrays are padded to the widest session and the longest trial (0 in data and known inputs, NaN in `truth`,
    `true_inputs` and `behaviour`, False in masks). If some sessions lack truth, true inputs, behaviour or conditions,
    their entries are NaN (or "" among conditions that are text).

    Example:
        >>> from lfadsx.data import concatenate
        >>> from lfadsx.datasets import chaotic_rnn
        >>> monday = chaotic_rnn(conditions=2, neurons=50, session="monday")
        >>> tuesday = chaotic_rnn(conditions=3, neurons=30, session="tuesday")
        >>> concatenate(monday, tuesday).train.encoder_input.shape
        (40, 100, 50)

    Args:
        *datasets: Data sets of one or more sessions each.

    Returns:
        The data set; a split that only some sessions have holds the trials of these.

    Raises:
        DataError: If sessions share a name or disagree on these: time axis, input group, kinds and units of target
            groups, number of known inputs, unit of the truth, kind of condition labels, behaviour, number of aligned
            components.
    """
    for dataset in datasets:
        if not isinstance(dataset, Dataset):
            raise DataError(f"`concatenate` joins data sets, got {type(dataset).__name__}. Give them one by one.")
    if not datasets:
        raise DataError("`concatenate` needs at least one data set, got 0.")
    sessions = [session for dataset in datasets for session in dataset.sessions]
    validation.unique([session.name for session in sessions])
    _check_agreement(datasets)
    ends = [1 + max(int(split.row.max()) for split in d.splits.values()) for d in datasets]
    first_rows = np.cumsum([0, *ends])
    first_sessions = np.cumsum([0, *(len(d.sessions) for d in datasets)])
    sources = [(name, number, split) for number, d in enumerate(datasets) for name, split in d.splits.items()]
    fitted = fit([split for *_, split in sources], sessions, datasets[0].input_group)
    parts: dict[str, list[Split]] = {"train": [], "valid": [], "test": []}
    for (name, number, _), split in zip(sources, fitted, strict=True):
        session = (split.session + first_sessions[number]).astype(np.int32)
        parts[name].append(dataclasses.replace(split, session=session, row=split.row + first_rows[number]))
    groups = list(fitted[0].targets)
    sessions = tuple(
        dataclasses.replace(session, n_targets={group: session.n_targets.get(group, 0) for group in groups})
        for session in sessions
    )
    joined: dict[str, Any] = {name: join_splits(found, sessions) if found else None for name, found in parts.items()}
    behaving = next(filter(_has_behaviour, datasets), datasets[0])
    return Dataset(
        **joined,
        sessions=sessions,
        groups={name: group for d in reversed(datasets) for name, group in d.groups.items()},
        time=datasets[0].time,
        input_group=datasets[0].input_group,
        truth_unit=next((d.truth_unit for d in datasets if d.truth_unit is not None), None),
        behaviour_name=behaving.behaviour_name,
        behaviour_lag=behaving.behaviour_lag,
        source={name: value for d in datasets for name, value in d.source.items()},
        findings=tuple(finding for d in datasets for finding in d.findings),
    )


def pad_to_sessions(split: Split, sessions: Sequence[Session], position: int, input_group: str) -> Split:
    """Returns a split of the session at a position, as wide as the widest of `sessions`."""
    (padded,) = fit([split], sessions, input_group)
    return dataclasses.replace(padded, session=np.full(split.n_trials, position, np.int32))


def fit(splits: Sequence[Split], sessions: Sequence[Session], input_group: str) -> list[Split]:
    """Cuts or pads splits to the longest trial and the widest session, and casts their data to common types.

    Masks and optional arrays that are None stay None.
    """
    n_encoder_bins = max(int(split.encoder_length.max()) for split in splits)
    n_bins = max(int(split.target_length.max()) for split in splits)
    n_channels = max(session.n_channels for session in sessions)
    encoder_type = np.result_type(*(split.encoder_input for split in splits))
    widths, types = {group: 0 for session in sessions for group in session.n_targets}, {}
    for group in widths:
        widths[group] = max(session.n_targets.get(group, 0) for session in sessions)
        arrays = [split.targets[group] for split in splits if group in split.targets]
        types[group] = np.result_type(*arrays) if arrays else np.dtype(np.float32)

    def fitted(split: Split) -> Split:
        targets, observed, series = {}, {}, {}
        for group, width in widths.items():
            values = split.targets.get(group, np.zeros((split.n_trials, 0, 0), types[group]))
            targets[group] = _resize(values, n_bins, width).astype(types[group], copy=False)
            mask = split.target_observed.get(group)
            observed[group] = None if mask is None else _resize(mask, n_bins, width)
        for name, padding in SERIES.items():
            values = getattr(split, name)
            if values is not None:
                width = widths[input_group] if name == "truth" else values.shape[2]
                series[name] = _resize(values, n_bins, width, padding)
        mask = split.encoder_observed
        return dataclasses.replace(
            split,
            encoder_input=_resize(split.encoder_input, n_encoder_bins, n_channels).astype(encoder_type, copy=False),
            encoder_observed=None if mask is None else _resize(mask, n_encoder_bins, n_channels),
            targets=targets,
            target_observed=observed,
            **series,
        )

    return [fitted(split) for split in splits]


def _resize(values: np.ndarray, n_bins: int, width: int, padding: float = 0) -> np.ndarray:
    values = values[:, :n_bins, :width]
    if values.shape[1:] == (n_bins, width):
        return values
    resized = np.full((len(values), n_bins, width), padding, values.dtype)
    resized[:, : values.shape[1], : values.shape[2]] = values
    return resized


def join_splits(splits: Sequence[Split], sessions: Sequence[Session]) -> Split:
    """Joins splits of equal sizes; arrays that only some of them have are filled in for the others."""
    if len(splits) == 1:
        return splits[0]
    sizes = [split.n_trials for split in splits]

    def every(name: str) -> np.ndarray:
        return np.concatenate([getattr(split, name) for split in splits])

    def some(parts: Sequence[np.ndarray | None], blank: np.ndarray) -> np.ndarray | None:
        """Joins arrays by trial, with the trials of `blank` in place of None; None if all are None."""
        if all(part is None for part in parts):
            return None
        blanks = np.split(blank, np.cumsum(sizes)[:-1])
        return np.concatenate([b if part is None else part for b, part in zip(blanks, parts, strict=True)])

    def series(name: str, padding: float) -> np.ndarray | None:
        parts = [getattr(split, name) for split in splits]
        shape = next((part.shape[1:] for part in parts if part is not None), ())
        return some(parts, np.full((sum(sizes), *shape), padding, np.float32))

    names = ("encoder_input", "encoder_length", "target_length", "session", "trial_id", "row")
    joined: dict[str, Any] = {name: every(name) for name in names}
    session, encoder_input = joined["session"], joined["encoder_input"]
    channels = np.array([own.n_channels for own in sessions])[session]
    targets, observed = {}, {}
    for group in splits[0].targets:
        targets[group] = np.concatenate([split.targets[group] for split in splits])
        width = np.array([own.n_targets[group] for own in sessions])[session]
        masks = [split.target_observed[group] for split in splits]
        observed[group] = some(masks, existing(targets[group], joined["target_length"], width))
    seen = existing(encoder_input, joined["encoder_length"], channels)
    conditions = [split.condition for split in splits]
    is_text = any(values is not None and values.dtype.kind == "U" for values in conditions)
    joined |= {name: series(name, padding) for name, padding in SERIES.items()}
    return Split(
        **joined,
        targets=targets,
        encoder_observed=some([split.encoder_observed for split in splits], seen),
        target_observed=observed,
        condition=some(conditions, np.full(sum(sizes), "" if is_text else np.nan)),
        interval=some([split.interval for split in splits], np.full(sum(sizes), np.nan, np.float32)),
        start_time=some([split.start_time for split in splits], np.full(sum(sizes), np.nan)),
        # A whole trial is the only piece of itself.
        piece_of=some([split.piece_of for split in splits], joined["row"]),
        first_bin=some([split.first_bin for split in splits], np.zeros(sum(sizes), np.int64)),
    )


def _has_behaviour(dataset: Dataset) -> bool:
    return any(split.behaviour is not None for split in dataset.splits.values())


def _check_agreement(datasets: Sequence[Dataset]) -> None:
    components = {f"session {s.name!r}": s.n_components for dataset in datasets for s in dataset.sessions}
    advice = "Give all sessions an alignment with the same components, or no session an alignment."
    validation.agree(components, "number of aligned components", advice)
    named = {f"session {dataset.sessions[0].name!r}": dataset for dataset in datasets}
    advice = "Give all sessions the same bins, or fit them apart."
    validation.agree({name: d.bin_width for name, d in named.items()}, "bin width", advice)
    advice = "Give all sessions trials that start at the same time of the same event, or fit them apart."
    validation.agree({name: d.time.start for name, d in named.items()}, "start of the first bin", advice)
    validation.agree({name: d.time.event for name, d in named.items()}, "event", advice)
    validation.agree({name: d.input_group for name, d in named.items()}, "input group", "Rename it in one.")
    for group in {group for d in datasets for group in d.groups}:
        own = {name: d.groups[group] for name, d in named.items() if group in d.groups}
        advice = 'Read all as real numbers (`kind="real"`), or give all counts.'
        validation.agree({name: g.kind for name, g in own.items()}, f"kind of {group!r}", advice)
        validation.agree({name: g.unit for name, g in own.items()}, f"unit of {group!r}", "Convert one to the other.")
    units = {name: d.truth_unit for name, d in named.items() if d.truth_unit is not None}
    validation.agree(units, "unit of the truth", "Convert the truth of one.")
    behaving = {name: d for name, d in named.items() if _has_behaviour(d)}
    validation.agree({name: d.behaviour_name for name, d in behaving.items()}, "behaviour", "Leave one out.")
    lags = {name: d.behaviour_lag for name, d in behaving.items()}
    validation.agree(lags, "behaviour lag", "Give one lag for all (`behaviour_lag`).")
    splits = {f"{split} of {name}": value for name, d in named.items() for split, value in d.splits.items()}
    conditions = {name: split.condition.dtype.kind for name, split in splits.items() if split.condition is not None}
    labels = {name: "text" if kind == "U" else "numbers" for name, kind in conditions.items()}
    validation.agree(labels, "kind of condition labels", "Give all trials numbers, or all of them text.")
    for field, what, advice in (
        ("known_inputs", "number of known inputs", "Give all trials the same inputs, zeros for absent inputs."),
        ("true_inputs", "number of true inputs", "Give all trials the same number."),
        ("behaviour", "number of behaviour columns", "Give all trials the same number."),
    ):
        arrays = {name: getattr(split, field) for name, split in splits.items()}
        widths = {name: 0 if array is None else array.shape[2] for name, array in arrays.items()}
        if field != "known_inputs":
            widths = {name: width for name, width in widths.items() if width}
        validation.agree(widths, what, advice)

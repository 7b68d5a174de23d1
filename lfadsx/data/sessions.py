"""Several sessions in one data set: padding to the widest session and the longest trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.trials import inside
from lfadsx.errors import DataError


def concatenate(*datasets: Dataset) -> Dataset:
    """Joins data sets into one whose sessions are all of theirs, in the order given.

    Arrays are padded to the widest session and the longest trial (0 in data and known inputs, NaN in `truth`,
    `true_inputs` and `behaviour`, False in masks). Where some sessions lack truth, true inputs or behaviour,
    theirs are NaN; where some lack conditions, theirs are NaN (or "" among conditions that are text).

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
        DataError: If sessions share a name, or disagree on the time axis, the input group, kind or unit of a target
            group, the number of known inputs, the unit of the truth, the labels of conditions (numbers or text), what
            the behaviour is or the number of aligned components.
    """
    for dataset in datasets:
        if not isinstance(dataset, Dataset):
            raise DataError(f"`concatenate` joins data sets, got {type(dataset).__name__}. Give them one by one.")
    if not datasets:
        raise DataError("There are no data sets to join. Give at least one.")
    sessions = [session for dataset in datasets for session in dataset.sessions]
    validation.unique([session.name for session in sessions])
    _check_agreement(datasets)
    splits = [split for dataset in datasets for split in dataset.splits.values()]
    extent = extent_of(splits, sessions, datasets[0].input_group)
    sessions = tuple(_with_groups(session, extent) for session in sessions)
    ends = [1 + max(int(split.row.max()) for split in d.splits.values()) for d in datasets]
    first_rows, joined = np.cumsum([0, *ends]), {}
    for name in ("train", "valid", "test"):
        parts = [
            _renumbered(d, name, sessions, extent, first)
            for d, first in zip(datasets, first_rows, strict=False)
            if name in d.splits
        ]
        joined[name] = join_splits(parts, sessions) if parts else None
    behaving = next((d for d in datasets if _widths(d, "behaviour")), datasets[0])
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


@dataclasses.dataclass(frozen=True)
class Extent:
    """Sizes and types that the arrays of all sessions are brought to.

    Attributes:
        n_encoder_bins: Bins that the encoders see of the longest trial.
        n_bins: Bins of the longest trial, forward prediction included.
        n_channels: Encoder channels of the widest session.
        n_targets: By target group, channels of the widest session.
        input_group: The target group whose channels the encoder sees.
        encoder_type: A type that holds all encoder data.
        target_types: By target group, a type that holds all targets.
    """

    n_encoder_bins: int
    n_bins: int
    n_channels: int
    n_targets: dict[str, int]
    input_group: str
    encoder_type: np.dtype
    target_types: dict[str, np.dtype]


def extent_of(splits: Sequence[Split], sessions: Sequence[Session], input_group: str) -> Extent:
    """Returns the sizes and types that hold all trials of the splits and all channels of the sessions."""
    n_targets = {group: 0 for session in sessions for group in session.n_targets}
    types = {}
    for group in n_targets:
        n_targets[group] = max(session.n_targets.get(group, 0) for session in sessions)
        arrays = [split.targets[group] for split in splits if group in split.targets]
        types[group] = np.result_type(*arrays) if arrays else np.dtype(np.float32)
    return Extent(
        n_encoder_bins=max(int(split.encoder_length.max()) for split in splits),
        n_bins=max(int(split.target_length.max()) for split in splits),
        n_channels=max(session.n_channels for session in sessions),
        n_targets=n_targets,
        input_group=input_group,
        encoder_type=np.result_type(*(split.encoder_input for split in splits)),
        target_types=types,
    )


def pad_to_sessions(split: Split, sessions: Sequence[Session], position: int, input_group: str) -> Split:
    """Returns a split of one session as wide as the widest of some sessions.

    Returns:
        The same trials; `session` counts `sessions`.
    """
    padded = fit(split, extent_of([split], sessions, input_group))
    return dataclasses.replace(padded, session=np.full(split.n_trials, position, np.int32))


def fit(split: Split, extent: Extent) -> Split:
    """Cuts or pads the arrays of a split to the sizes of a data set and casts them to its types.

    Args:
        split: The split.
        extent: Sizes and types of the result.

    Returns:
        The split with the same trials; masks and optional arrays that are None stay None.
    """
    n_bins, n_trials = extent.n_bins, split.n_trials
    targets, observed = {}, {}
    for group, width in extent.n_targets.items():
        values = split.targets.get(group, np.zeros((n_trials, 0, 0), extent.target_types[group]))
        targets[group] = _resize(values, n_bins, width, 0).astype(extent.target_types[group], copy=False)
        mask = split.target_observed.get(group)
        observed[group] = None if mask is None else _resize(mask, n_bins, width, False)

    def series(values: np.ndarray | None, padding: float, width: int | None = None) -> np.ndarray | None:
        return None if values is None else _resize(values, n_bins, width or values.shape[2], padding)

    n_encoder_bins, n_channels = extent.n_encoder_bins, extent.n_channels
    mask = split.encoder_observed
    return dataclasses.replace(
        split,
        encoder_input=_resize(split.encoder_input, n_encoder_bins, n_channels, 0).astype(
            extent.encoder_type, copy=False
        ),
        encoder_observed=None if mask is None else _resize(mask, n_encoder_bins, n_channels, False),
        targets=targets,
        target_observed=observed,
        known_inputs=series(split.known_inputs, 0.0),
        truth=series(split.truth, np.nan, extent.n_targets[extent.input_group]),
        true_inputs=series(split.true_inputs, np.nan),
        behaviour=series(split.behaviour, np.nan),
    )


def _resize(values: np.ndarray, n_bins: int, width: int, padding: float) -> np.ndarray:
    values = values[:, :n_bins, :width]
    if values.shape[1:] == (n_bins, width):
        return values
    resized = np.full((len(values), n_bins, width), padding, values.dtype)
    resized[:, : values.shape[1], : values.shape[2]] = values
    return resized


def _with_groups(session: Session, extent: Extent) -> Session:
    """Returns a session that knows all target groups, with 0 channels of those it lacks."""
    return dataclasses.replace(session, n_targets={g: session.n_targets.get(g, 0) for g in extent.n_targets})


def _renumbered(dataset: Dataset, name: str, sessions: Sequence[Session], extent: Extent, first_row: int) -> Split:
    """Returns a split in the sizes of `extent`, its sessions counted among `sessions`, its rows from `first_row`."""
    split = fit(dataset.splits[name], extent)
    start = [session.name for session in sessions].index(dataset.sessions[0].name)
    return dataclasses.replace(split, session=(split.session + start).astype(np.int32), row=split.row + first_row)


def join_splits(splits: Sequence[Split], sessions: Sequence[Session]) -> Split:
    """Joins splits of equal sizes; what only some of them have is filled in for the others."""
    if len(splits) == 1:
        return splits[0]
    sizes = [split.n_trials for split in splits]

    def every(name: str) -> np.ndarray:
        return np.concatenate([getattr(split, name) for split in splits])

    def series(name: str, padding: float) -> np.ndarray | None:
        parts = [getattr(split, name) for split in splits]
        shape = next((part.shape[1:] for part in parts if part is not None), ())
        return _join_some(parts, sizes, np.full((sum(sizes), *shape), padding, np.float32))

    session, encoder_length, target_length = every("session"), every("encoder_length"), every("target_length")
    encoder_input = every("encoder_input")
    channels = np.array([own.n_channels for own in sessions])[session]
    targets, observed = {}, {}
    for group in splits[0].targets:
        targets[group] = np.concatenate([split.targets[group] for split in splits])
        width = np.array([own.n_targets[group] for own in sessions])[session]
        masks = [split.target_observed[group] for split in splits]
        observed[group] = _join_some(masks, sizes, _existing(targets[group], target_length, width))
    conditions = [split.condition for split in splits]
    is_text = any(values is not None and values.dtype.kind == "U" for values in conditions)
    return Split(
        encoder_input=encoder_input,
        targets=targets,
        encoder_length=encoder_length,
        target_length=target_length,
        session=session,
        trial_id=every("trial_id"),
        row=every("row"),
        encoder_observed=_join_some(
            [split.encoder_observed for split in splits],
            sizes,
            _existing(encoder_input, encoder_length, channels),
        ),
        target_observed=observed,
        known_inputs=series("known_inputs", 0.0),
        truth=series("truth", np.nan),
        true_inputs=series("true_inputs", np.nan),
        condition=_join_some(conditions, sizes, np.full(sum(sizes), "" if is_text else np.nan)),
        behaviour=series("behaviour", np.nan),
    )


def _join_some(parts: Sequence[np.ndarray | None], sizes: Sequence[int], blank: np.ndarray) -> np.ndarray | None:
    """Joins arrays by trial with the trials of `blank` where there is none, or returns None without any."""
    if all(part is None for part in parts):
        return None
    blanks = np.split(blank, np.cumsum(sizes)[:-1])
    return np.concatenate([b if part is None else part for b, part in zip(blanks, parts, strict=True)])


def _existing(values: np.ndarray, length: np.ndarray, n_channels: np.ndarray) -> np.ndarray:
    """Returns True for entries inside the trial and of the session, of the shape of `values`."""
    of_session = np.arange(values.shape[2]) < n_channels[:, None]
    return inside(length, values.shape[1])[:, :, None] & of_session[:, None, :]


def _widths(dataset: Dataset, name: str) -> dict[str, int]:
    """Returns the width of an optional array by split, for the splits that have it."""
    arrays = {split: getattr(value, name) for split, value in dataset.splits.items()}
    return {split: array.shape[2] for split, array in arrays.items() if array is not None}


def _check_agreement(datasets: Sequence[Dataset]) -> None:
    components = {f"session {s.name!r}": s.n_components for dataset in datasets for s in dataset.sessions}
    advice = "Give all sessions an alignment with the same components, or none of them one."
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
    labels = {
        f"{split_name} of {name}": "text" if split.condition.dtype.kind == "U" else "numbers"
        for name, d in named.items()
        for split_name, split in d.splits.items()
        if split.condition is not None
    }
    validation.agree(labels, "kind of condition labels", "Give all trials numbers, or all of them text.")
    units = {name: d.truth_unit for name, d in named.items() if d.truth_unit is not None}
    validation.agree(units, "unit of the truth", "Convert the truth of one.")
    behaving = {name: d for name, d in named.items() if _widths(d, "behaviour")}
    validation.agree({name: d.behaviour_name for name, d in behaving.items()}, "behaviour", "Leave one out.")
    lags = {name: d.behaviour_lag for name, d in behaving.items()}
    validation.agree(lags, "behaviour lag", "Give one lag for all (`behaviour_lag`).")
    advice = "Give all trials the same ones, zeros where there are none."
    known = {
        f"{split} of {name}": _widths(d, "known_inputs").get(split, 0)
        for name, d in named.items()
        for split in d.splits
    }
    validation.agree(known, "number of known inputs", advice)
    for field, what in (
        ("true_inputs", "number of true inputs"),
        ("behaviour", "number of behaviour columns"),
    ):
        widths = {f"{split} of {name}": w for name, d in named.items() for split, w in _widths(d, field).items()}
        validation.agree(widths, what, "Give all trials the same number.")

"""Reading data sets from HDF5 files, one file for each session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import time_axis
from lfadsx.data.data_findings import with_findings
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.file_keys import WHOLE, Contents, keys_of, read_contents
from lfadsx.data.sessions import concatenate, pad_to_sessions
from lfadsx.data.splits import choose, random_names
from lfadsx.data.target_kinds import Asked, cast, target_groups
from lfadsx.data.trials import RawTrials, session_of, split_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP, Kind, TargetGroup, TimeAxis

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")
"""Endings of files that are no part of a session's name."""


def read(
    *paths: str | Path,
    bin_width: float | None = None,
    start: float | None = None,
    event: str | None = None,
    behaviour_lag: float | None = None,
    kind: Asked = None,
    unit: str | Mapping[str, str] | None = None,
    missing: bool = False,
    seed: int = 0,
    valid_fraction: float = 0.2,
    sessions: Sequence[str] = (),
) -> Dataset:
    """Reads a data set from HDF5 files in the format of lfads-torch or of the TensorFlow program.

    Each file is a session, called like the file without its ending. The encoder's data are
    `{split}_encod_data` or `{split}_data` with the split `train`, `valid` or `test`; `lfadsx.data.file_keys.KEYS`
    lists all keys. `{split}_recon_data` may have more channels than the encoder's data (held-out neurons,
    last unless a dataset `target_index` says otherwise) and more bins (forward prediction). A matrix
    `alignment_matrix_cxf` (channel, component) with a bias `alignment_bias_c` (channel,) in each file is where the
    read-ins and read-outs of several sessions start; see `lfadsx.models.initialization.start_from_alignment`. A file
    without valid trials gets some of its train trials as such, at random and from each condition in proportion;
    `Dataset.source` records that, with name and SHA-256 of every file.

    Example:
        >>> import pathlib, tempfile
        >>> from lfadsx.data import read, write_dataset
        >>> from lfadsx.datasets import chaotic_rnn
        >>> folder = tempfile.TemporaryDirectory()
        >>> files = write_dataset(pathlib.Path(folder.name), chaotic_rnn(conditions=2))
        >>> data = read(*files)
        >>> data.train.encoder_input.shape, data.bin_width
        ((16, 100, 50), 0.01)

    Args:
        *paths: The files; sessions keep their order.
        bin_width: Width of a bin in seconds, for files that do not say it (attribute `bin_width_s`).
        start: Time of the left edge of the first bin relative to the event, in seconds; by default as in the files
            (attribute `start_s`), or 0.
        event: Name of the event that time is counted from; by default as in the files (attribute `event`), or
            "trial start".
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds; by default as in the files
            (attribute `behaviour_lag_s`), or 0.
        kind: What the encoder's data are, "counts" or "real", or a dict by target group. By default as the files say
            (attribute `target_groups`), else whole numbers from 0 are counts and all others real.
        unit: Unit of the encoder's data, or a dict by target group; counts have "counts per bin" by default.
        missing: If True, NaN in the data means a missing entry.
        seed: Seed of the draw of valid trials.
        valid_fraction: Share of train trials that validate when a file has no valid trials.
        sessions: Names of the sessions, one for each file, where they are not to be called like the files.

    Raises:
        DataError: If a file cannot be read or anything about the data is wrong; the message says what to do.
    """
    if not paths:
        raise DataError("No data file is named. Name one HDF5 file for each session.")
    names = list(sessions) or [_session_name(Path(path)) for path in paths]
    if len(names) != len(paths):
        raise DataError(
            f"{len(paths)} files and {len(names)} names of sessions are given. Give one name for each file."
        )
    validation.unique(names)
    found = [_File.of(read_contents(Path(path)), name, missing) for path, name in zip(paths, names, strict=True)]
    parts = [(split, file.contents.splits[kind].labels) for file in found for kind, split in file.splits.items()]
    groups = _groups(found, parts, kind, unit)
    datasets = []
    for file in found:
        contents, splits, source = file.contents, file.splits, dict(file.contents.source)
        splits = {name: cast(split, groups, contents.input_group) for name, split in splits.items()}
        file.check_order(splits, groups)
        if "valid" not in splits:
            splits, source["split"] = _with_valid(splits, valid_fraction, seed)
        lag = contents.behaviour_lag if behaviour_lag is None else behaviour_lag
        data = Dataset(
            train=splits["train"],
            valid=splits["valid"],
            test=splits.get("test"),
            sessions=(file.session,),
            groups={group: groups[group] for group in file.session.n_targets},
            time=_time(contents, bin_width, start, event),
            input_group=contents.input_group,
            truth_unit=contents.truth_unit,  # pyright: ignore[reportArgumentType]
            behaviour_name=contents.behaviour_name,
            behaviour_lag=lag or 0.0,
            source={file.session.name: source},
        )
        datasets.append(with_findings(data, *_notes(contents)))
    return concatenate(*datasets)


def read_split(
    path: str | Path,
    sessions: Sequence[Session],
    *,
    split: str | None = None,
    session: str | None = None,
    input_group: str = INPUT_GROUP,
    forward_bins: int = 0,
    n_known_inputs: int | None = None,
    bin_width: float | None = None,
    kind: Asked = None,
    missing: bool = False,
) -> dict[str, Split]:
    """Reads the trials of one file for a model that is trained already, checked against its sessions.

    Unlike for `read`, the file may hold any one split, or `data` or `encod_data` without a split in the key;
    the split is then called "all".

    Args:
        path: The file.
        sessions: The sessions of the model.
        split: Name of the only split to return; all by default.
        session: Name of the session that the trials belong to. By default the session called like the file,
            or the only one.
        input_group: The target group whose channels the model's encoder sees.
        forward_bins: Bins of forward prediction of the model.
        n_known_inputs: Number of known inputs of the model; not checked when None.
        bin_width: Width of a bin of the model in seconds; not checked when None.
        kind: What the data are that the model was trained on, as for `read`.
        missing: If True, NaN in the data means a missing entry.

    Returns:
        The splits by name, as wide as the widest of `sessions`; `Split.session` counts `sessions`.

    Raises:
        DataError: If the file does not fit the model or anything about the data is wrong.
    """
    contents = read_contents(Path(path), input_group)
    _time(contents, bin_width, None, None)
    position, found = _position(Path(path), sessions, session), contents.splits
    if split is not None:
        validation.one_of(split, list(found), f"The split to read from {contents.path.name!r}")
    wanted = [split] if split is not None else list(found)
    splits = {name: split_of(found[name], sessions[position], input_group, forward_bins, missing) for name in wanted}
    groups = target_groups([(own, found[name].labels) for name, own in splits.items()], input_group, kind)
    for name, read_in in _with_rows(splits, {name: found[name] for name in wanted}).items():
        read_in = cast(read_in, groups, input_group)
        if n_known_inputs is not None:
            width = 0 if read_in.known_inputs is None else read_in.known_inputs.shape[2]
            validation.size(width, n_known_inputs, "known inputs", f"{name!r} of {contents.path.name!r}", "the model")
        splits[name] = pad_to_sessions(read_in, sessions, position, input_group)
    return splits


@dataclasses.dataclass(frozen=True)
class _File:
    """One file whose trials are checked: what it holds, its splits before `cast`, and its session."""

    contents: Contents
    splits: dict[str, Split]
    session: Session

    @classmethod
    def of(cls, contents: Contents, name: str, missing: bool) -> _File:
        raws = {"train" if kind == WHOLE else kind: raw for kind, raw in contents.splits.items()}
        if "train" not in raws:
            raise DataError(
                f"{contents.path.name!r} holds {' and '.join(raws)} trials and none to train on. Add "
                f"{keys_of('encoder_input', 'train')[0]!r}, or use `read_split` to apply a trained model to them."
            )
        _check_alike(raws)
        train, group = raws["train"], contents.input_group
        session = session_of(name, train, group, contents.target_index, contents.channel_names)
        session = _aligned(session, contents, train.encoder_label)
        forward_bins = _forward_bins(train, group)
        splits = {name: split_of(raw, session, group, forward_bins, missing) for name, raw in raws.items()}
        return cls(dataclasses.replace(contents, splits=raws), _with_rows(splits, raws), session)

    def check_order(self, splits: dict[str, Split], groups: dict[str, TargetGroup]) -> None:
        """Raises `DataError` when held-out channels of counts do not come last; data with gaps are not checked."""
        group, raws = self.contents.input_group, self.contents.splits
        if groups[group].kind == "real" or self.contents.target_index is not None:
            return
        for kind, split in splits.items():
            target, encoder = split.targets[group], split.encoder_input
            complete = split.encoder_observed is None and split.target_observed[group] is None
            if complete and target.shape[2] > encoder.shape[2]:
                label = raws[kind].labels[f"targets/{group}"]
                validation.first_channels(encoder, target, label, raws[kind].encoder_label)


def _groups(
    found: Sequence[_File], parts: list[tuple[Split, dict[str, str]]], kind: Asked, unit: str | Mapping[str, str] | None
) -> dict[str, TargetGroup]:
    """Returns what the numbers of all files are: as the caller says, else as the files say, else by the numbers."""
    input_group = found[0].contents.input_group
    kinds: dict[str, Kind] = {group: said.kind for file in found for group, said in file.contents.groups.items()}
    units = {group: said.unit for file in found for group, said in file.contents.groups.items() if said.unit}
    kinds |= {input_group: kind} if isinstance(kind, str) else dict(kind or {})
    units |= {input_group: unit} if isinstance(unit, str) else dict(unit or {})
    return target_groups(parts, input_group, kinds, units)


def _with_rows(splits: dict[str, Split], raws: Mapping[str, RawTrials]) -> dict[str, Split]:
    """Returns the splits of one file with the position of each trial in it; see `Split.row`."""
    place = np.cumsum([0, *(split.n_trials for split in splits.values())])
    rows = np.arange(place[-1])
    for field in ("trial_id", "row"):  # what the file says itself comes last, and wins
        given = np.concatenate([getattr(split, field) for split in splits.values()])
        said = all(field in raw.arrays for raw in raws.values())
        if said and given.dtype.kind in "iu" and len(np.unique(given)) == len(given):
            rows = np.argsort(np.argsort(given))
    return {
        name: dataclasses.replace(split, row=rows[first : first + split.n_trials])
        for first, (name, split) in zip(place, splits.items(), strict=False)
    }


def _notes(contents: Contents) -> list[Finding]:
    """Returns what the reader has to say of a file beside its trials."""
    if not contents.unused:
        return []
    keys = ", ".join(map(repr, contents.unused[:10]))
    n, file = len(contents.unused), contents.path.name
    return [Finding("note", "unused keys", n, 0, file, f"Keys of {file!r} that nothing reads: {keys}.")]


def _aligned(session: Session, contents: Contents, encoder_label: str) -> Session:
    """Returns the session with the alignment of its file, one row for each channel that the encoder sees."""
    for field, what in (("alignment", "matrix"), ("alignment_bias", "bias")):
        values = getattr(contents, field)
        if values is not None:
            label = f"The alignment {what} of {contents.path.name!r}"
            validation.size(len(values), session.n_channels, "channels", label, encoder_label)
    return dataclasses.replace(session, alignment=contents.alignment, alignment_bias=contents.alignment_bias)


def _check_alike(raws: dict[str, RawTrials]) -> None:
    """Raises `DataError` unless all splits have the channels and bins of the train split."""
    first = raws["train"]
    for raw in raws.values():
        values = raw.arrays["encoder_input"]
        validation.dimensions(values, 3, raw.encoder_label)
        for axis, what in ((2, "channels"), (1, "bins")):
            expected = first.arrays["encoder_input"].shape[axis]
            validation.size(values.shape[axis], expected, what, raw.encoder_label, first.encoder_label)


def _forward_bins(raw: RawTrials, group: str) -> int:
    targets, n_encoder_bins = raw.get(f"targets/{group}"), raw.arrays["encoder_input"].shape[1]
    if targets is None:
        return 0
    label = raw.labels[f"targets/{group}"]
    validation.dimensions(targets, 3, label)
    advice = "Targets hold the encoder's bins and, after them, those to predict."
    validation.at_least(targets.shape[1], n_encoder_bins, "bins", label, raw.encoder_label, advice)
    return targets.shape[1] - n_encoder_bins


def _with_valid(
    splits: dict[str, Split], valid_fraction: float, seed: int
) -> tuple[dict[str, Split], dict[str, float]]:
    """Takes valid trials from the train trials; returns the splits and how that was done."""
    train = splits["train"]
    names = random_names(train.condition, train.n_trials, valid_fraction, 0.0, seed)
    parts = {name: choose(train, names == name) for name in ("train", "valid")}
    return {**splits, **parts}, {"valid_fraction": valid_fraction, "seed": seed}


def _time(contents: Contents, bin_width: float | None, start: float | None, event: str | None) -> TimeAxis:
    """Returns the time axis that the file and the caller agree on; of start and event, the caller's wins."""
    name = contents.path.name
    for width in (contents.bin_width, bin_width):
        if width is not None:
            validation.positive(width, f"bin width of {name!r}")
    said = contents.bin_width
    if said is not None and bin_width is not None and not np.isclose(said, bin_width, rtol=1e-6):
        raise DataError(
            f"{name!r} has bins of {said:g} s and {bin_width:g} s are asked for. "
            "Leave the bin width out, or change the bins with `data.rebin`."
        )
    width = bin_width if said is None else said
    facts = {"start": contents.start if start is None else start, "event": contents.event if event is None else event}
    return time_axis(width, **{name: value for name, value in facts.items() if value is not None})


def _session_name(path: Path) -> str:
    """The file's name without its ending, unless what follows a dot is part of the name."""
    return path.stem if path.suffix in ENDINGS else path.name


def _position(path: Path, sessions: Sequence[Session], session: str | None) -> int:
    """Returns which of the model's sessions the trials of a file belong to."""
    names = [own.name for own in sessions]
    if session is not None:
        validation.one_of(session, names, "The session")
        return names.index(session)
    if _session_name(path) in names:
        return names.index(_session_name(path))
    if len(names) == 1:
        return 0
    raise DataError(
        f"The file {path.name!r} is called like none of the model's sessions {', '.join(names)}. "
        "Say which one it belongs to (`session`)."
    )

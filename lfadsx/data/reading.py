"""Reading data sets from HDF5 files, one file for each session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import time_axis
from lfadsx.data.data_findings import with_findings
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.file_keys import WHOLE, Contents, keys_of, read_contents
from lfadsx.data.sessions import concatenate, pad_to_sessions
from lfadsx.data.splits import choose, random_names
from lfadsx.data.target_kinds import Asked, by_group, cast, target_groups
from lfadsx.data.trials import RawTrials, session_of, split_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP, Kind, TargetGroup, TimeAxis

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")
"""Endings of files that are not part of a session's name."""


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

    Each file is a session, named after the file without its ending. The encoder's data are
    `{split}_encod_data` or `{split}_data` with the split `train`, `valid` or `test`; `lfadsx.data.file_keys.KEYS`
    lists all keys. `{split}_recon_data` may have more channels than the encoder's data (held-out neurons,
    last unless a dataset `target_index` gives their places) and more bins (forward prediction). A matrix
    `alignment_matrix_cxf` (channel, component) with a bias `alignment_bias_c` (channel,) in each file sets the
    start of the read-ins and read-outs of several sessions; see `lfadsx.models.initialization.start_from_alignment`.
    If a file has no valid trials, some train trials become valid, at random and from each condition in proportion;
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
        bin_width: Width of a bin in seconds, for files without the attribute `bin_width_s`.
        start: Time of the left edge of the first bin relative to the event, in seconds; by default the files'
            attribute `start_s`, or 0.
        event: Name of the event that time is relative to; by default the files' attribute `event`, or "trial start".
        behaviour_lag: Delay of behaviour after rates in seconds: behaviour at t + lag belongs to rates at t; by
            default the files' attribute `behaviour_lag_s`, or 0.
        kind: Kind of the encoder's data, "counts" or "real", or a dict by target group. By default the files'
            attribute `target_groups`, else whole numbers from 0 are counts and all others real.
        unit: Unit of the encoder's data, or a dict by target group; by default "counts per bin" for counts.
        missing: If True, NaN in the data means a missing entry.
        seed: Seed of the draw of valid trials.
        valid_fraction: Share of train trials that become valid if a file has no valid trials.
        sessions: Names of the sessions, one for each file; by default the names of the files.

    Raises:
        DataError: If a file cannot be read or its data are wrong; the message names the remedy.
    """
    if not paths:
        raise DataError("`read` needs at least one data file, got 0. Name one HDF5 file for each session.")
    names = list(sessions) or [_session_name(Path(path)) for path in paths]
    if len(names) != len(paths):
        raise DataError(f"`sessions` must have one name for each of the {len(paths)} files, got {len(names)} names.")
    validation.unique(names)
    files = [read_contents(Path(path)) for path in paths]
    checked = [_checked(file, name, missing) for file, name in zip(files, names, strict=True)]
    groups = _groups(files, [splits for _, splits in checked], kind, unit)
    datasets = []
    for file, (session, splits) in zip(files, checked, strict=True):
        splits = {name: cast(split, groups, file.input_group) for name, split in splits.items()}
        _check_order(file, splits, groups)
        source = dict(file.source)
        if "valid" not in splits:
            train = splits["train"]
            parts = random_names(train.condition, train.n_trials, valid_fraction, 0.0, seed)
            splits |= {name: choose(train, parts == name) for name in ("train", "valid")}
            source["split"] = {"valid_fraction": valid_fraction, "seed": seed}
        data = Dataset(
            train=splits["train"],
            valid=splits["valid"],
            test=splits.get("test"),
            sessions=(session,),
            groups={group: groups[group] for group in session.n_targets},
            time=_time(file, bin_width, start, event),
            input_group=file.input_group,
            truth_unit=file.truth_unit,  # pyright: ignore[reportArgumentType]
            behaviour_name=file.behaviour_name,
            behaviour_lag=file.said.get("behaviour_lag", 0.0) if behaviour_lag is None else behaviour_lag,
            source={session.name: source},
        )
        notes = []
        if file.unused:
            sentence = f"Keys of {file.file!r} that nothing reads: {', '.join(map(repr, file.unused[:10]))}."
            notes = [Finding("note", "unused keys", len(file.unused), 0, file.file, sentence)]
        datasets.append(with_findings(data, *notes))
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
    """Reads the trials of one file for a trained model, checked against its sessions.

    Unlike for `read`, the file may hold any one split, or `data` or `encod_data` without a split in the key;
    the split is then called "all".

    Args:
        path: The file.
        sessions: The sessions of the model.
        split: Name of the only split to return; all by default.
        session: Name of the session of the trials. By default the session named after the file, or the only session.
        input_group: The target group whose channels the model's encoder sees.
        forward_bins: Bins of forward prediction of the model.
        n_known_inputs: Number of known inputs of the model; None to skip the check.
        bin_width: Width of a bin of the model in seconds; None to skip the check.
        kind: Kind of the training data of the model, as for `read`.
        missing: If True, NaN in the data means a missing entry.

    Returns:
        The splits by name, as wide as the widest of `sessions`; `Split.session` counts `sessions`.

    Raises:
        DataError: If the file does not fit the model or its data are wrong.
    """
    file = read_contents(Path(path), input_group)
    _time(file, bin_width, None, None)
    position, found = _position(Path(path), sessions, session), file.splits
    if split is not None:
        validation.one_of(split, list(found), f"The split to read from {file.file!r}")
        found = {split: found[split]}
    splits = {
        name: split_of(raw, sessions[position], input_group, forward_bins, missing) for name, raw in found.items()
    }
    groups = target_groups([(own, found[name].labels) for name, own in splits.items()], input_group, kind)
    for name, read_in in _with_rows(splits, found).items():
        read_in = cast(read_in, groups, input_group)
        if n_known_inputs is not None:
            width = 0 if read_in.known_inputs is None else read_in.known_inputs.shape[2]
            validation.size(width, n_known_inputs, "known inputs", f"{name!r} of {file.file!r}", "the model")
        splits[name] = pad_to_sessions(read_in, sessions, position, input_group)
    return splits


def _checked(file: Contents, name: str, missing: bool) -> tuple[Session, dict[str, Split]]:
    """Returns the session of a file and its checked splits before `cast`."""
    if WHOLE in file.splits:
        file.splits["train"] = file.splits.pop(WHOLE)
    raws = file.splits
    if "train" not in raws:
        raise DataError(
            f"{file.file!r} must hold train trials, found {' and '.join(raws)} trials only. Add "
            f"{keys_of('encoder_input', 'train')[0]!r}, or use `read_split` to apply a trained model to them."
        )
    train, group = raws["train"], file.input_group
    for raw in raws.values():
        values = raw.arrays["encoder_input"]
        validation.dimensions(values, 3, raw.encoder_label)
        for axis, what in ((2, "channels"), (1, "bins")):
            expected = train.arrays["encoder_input"].shape[axis]
            validation.size(values.shape[axis], expected, what, raw.encoder_label, train.encoder_label)
    session = session_of(name, train, group, file.target_index, file.channel_names)
    for field, values in file.alignment.items():
        label = f"The {field.replace('_', ' ')} of {file.file!r}"
        validation.size(len(values), session.n_channels, "channels", label, train.encoder_label)
    session = dataclasses.replace(session, **file.alignment)
    forward_bins = _forward_bins(train, group)
    splits = {kind: split_of(raw, session, group, forward_bins, missing) for kind, raw in raws.items()}
    return session, _with_rows(splits, raws)


def _forward_bins(raw: RawTrials, group: str) -> int:
    targets, n_encoder_bins = raw.arrays.get(f"targets/{group}"), raw.arrays["encoder_input"].shape[1]
    if targets is None:
        return 0
    label = raw.labels[f"targets/{group}"]
    validation.dimensions(targets, 3, label)
    advice = "Targets hold the encoder's bins and, after them, the bins to predict."
    validation.at_least(targets.shape[1], n_encoder_bins, "bins", label, raw.encoder_label, advice)
    return targets.shape[1] - n_encoder_bins


def _check_order(file: Contents, splits: dict[str, Split], groups: dict[str, TargetGroup]) -> None:
    """Raises `DataError` when held-out channels of counts do not come last; data with gaps are not checked."""
    group = file.input_group
    if groups[group].kind == "real" or file.target_index is not None:
        return
    for kind, split in splits.items():
        target, encoder, raw = split.targets[group], split.encoder_input, file.splits[kind]
        complete = split.encoder_observed is None and split.target_observed[group] is None
        if complete and target.shape[2] > encoder.shape[2]:
            validation.first_channels(encoder, target, raw.labels[f"targets/{group}"], raw.encoder_label)


def _groups(
    files: Sequence[Contents], splits: Sequence[dict[str, Split]], kind: Asked, unit: Any
) -> dict[str, TargetGroup]:
    """Returns kind and unit of all target groups: the caller's, else the files', else by the numbers."""
    input_group = files[0].input_group
    said = {group: facts for file in files for group, facts in file.groups.items()}
    kinds: dict[str, Kind] = {group: facts.kind for group, facts in said.items()}
    kinds |= by_group(kind, input_group)
    units = {group: facts.unit for file in files for group, facts in file.groups.items() if facts.unit}
    pairs = zip(files, splits, strict=True)
    parts = [(split, file.splits[name].labels) for file, own in pairs for name, split in own.items()]
    return target_groups(parts, input_group, kinds, units | by_group(unit, input_group))


def _with_rows(splits: dict[str, Split], raws: Mapping[str, RawTrials]) -> dict[str, Split]:
    """Returns the splits of one file with the position of each trial in it; see `Split.row`."""
    place = np.cumsum([0, *(split.n_trials for split in splits.values())])
    rows = np.arange(place[-1])
    for field in ("trial_id", "row"):  # the rows that the file gives come last and win
        given = np.concatenate([getattr(split, field) for split in splits.values()])
        said = all(field in raw.arrays for raw in raws.values())
        if said and given.dtype.kind in "iu" and len(np.unique(given)) == len(given):
            rows = np.argsort(np.argsort(given))
    return {
        name: dataclasses.replace(split, row=rows[first : first + split.n_trials])
        for first, (name, split) in zip(place, splits.items(), strict=False)
    }


def _time(file: Contents, bin_width: float | None, start: float | None, event: str | None) -> TimeAxis:
    """Returns the time axis; the caller's start and event win over the file's, and bin widths must agree."""
    said = file.said.get("bin_width")
    for width in (said, bin_width):
        if width is not None:
            validation.positive(width, f"The bin width of {file.file!r}")
    if said is not None and bin_width is not None and not np.isclose(said, bin_width, rtol=1e-6):
        raise DataError(
            f"{file.file!r} has bins of {said:g} s, but `bin_width` is {bin_width:g} s. "
            "Leave the bin width out, or change the bins with `data.rebin`."
        )
    asked = {"start": start, "event": event}
    facts = {name: file.said.get(name) if value is None else value for name, value in asked.items()}
    width = bin_width if said is None else said
    return time_axis(width, **{name: value for name, value in facts.items() if value is not None})


def _session_name(path: Path) -> str:
    """Returns the file's name without its ending; text after another dot is part of the name."""
    return path.stem if path.suffix in ENDINGS else path.name


def _position(path: Path, sessions: Sequence[Session], session: str | None) -> int:
    """Returns the number of the model's session that a file belongs to."""
    names = [own.name for own in sessions]
    if session is None:
        session = names[0] if len(names) == 1 else _session_name(path)
        if session not in names:
            raise DataError(
                f"The file {path.name!r} must be named after one of the model's sessions {', '.join(names)}. "
                "Name its session with `session`."
            )
    validation.one_of(session, names, "`session`")
    return names.index(session)

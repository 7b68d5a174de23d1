"""Reading data sets from HDF5 files, one file for each session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsx.data import validation
from lfadsx.data.axis_order import doubtful_order, order_hint
from lfadsx.data.benchmark_tensors import benchmark_contents, is_benchmark, together
from lfadsx.data.data_findings import with_findings
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.file_checks import (
    check_is_cut,
    check_target_order,
    forward_bins,
    id_findings,
    mark_ends,
    session_name,
    time_of,
    transpose_as_asked,
    with_rows,
)
from lfadsx.data.file_contents import Contents, read_contents
from lfadsx.data.file_keys import WHOLE, keys_of
from lfadsx.data.given_arrays import seconds
from lfadsx.data.large_arrays import enough_memory
from lfadsx.data.pieces import groups_of
from lfadsx.data.sessions import concatenate
from lfadsx.data.splits import choose, names_by_group
from lfadsx.data.target_kinds import Asked, by_group, cast, target_groups
from lfadsx.data.trials import session_of, split_of
from lfadsx.errors import DataError
from lfadsx.types import Kind, TargetGroup


@enough_memory
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
    axes: str | None = None,
) -> Dataset:
    """Reads a data set from HDF5 files of lfads-torch, the TensorFlow program or the Neural Latents Benchmark.

    Each file is a session, named after the file without its ending. The encoder's data are
    `{split}_encod_data` or `{split}_data` with the split `train`, `valid` or `test`; `lfadsx.data.file_keys.KEYS`
    lists all keys. `{split}_recon_data` may have more channels than the encoder's data (held-out neurons,
    last unless a dataset `target_index` gives their places) and more bins (forward prediction). A matrix
    `alignment_matrix_cxf` (channel, component) with a bias `alignment_bias_c` (channel,) in each file sets the
    start of the read-ins and read-outs of several sessions; see `lfadsx.models.initialization.start_from_alignment`.
    If a file has no valid trials, some train trials become valid, at random and from each condition in proportion;
    `Dataset.source` records that, with name and SHA-256 of every file.

    Tensors of the benchmark (`train_spikes_heldin`, ...) are read as nlb_tools writes them: eval trials are the test,
    and files without train spikes, such as targets, belong to the file before them.

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
        missing: If True, NaN in the data means a missing entry. NaN in all channels up to the end of a trial means that
            the trial is shorter.
        seed: Seed of the draw of valid trials.
        valid_fraction: Share of train trials that become valid if a file has no valid trials.
        sessions: Names of the sessions, one for each file; by default the names of the files.
        axes: Order of the axes in the files if they are not (trial, time, channel), such as "channel time trial" for
            files of MATLAB; by default the files' attribute `axes`.

    Raises:
        DataError: If a file cannot be read or its data are wrong; the message names the remedy.
    """
    if not paths:
        raise DataError("`read` needs at least one data file, got 0. Name one HDF5 file for each session.")
    parts = together([Path(path) for path in paths])
    names = list(sessions) or [session_name(own[0]) for own in parts]
    if len(names) != len(parts):
        raise DataError(f"`sessions` must have one name for each of the {len(parts)} files, got {len(names)} names.")
    validation.unique(names)
    bin_width, start = seconds(bin_width, "`bin_width`"), seconds(start, "`start`")
    files = [benchmark_contents(own) if is_benchmark(own[0]) else read_contents(own[0]) for own in parts]
    checked = [_checked(file, name, missing, axes) for file, name in zip(files, names, strict=True)]
    groups = _groups(files, [splits for _, splits in checked], kind, unit)
    datasets = []
    for file, (session, splits) in zip(files, checked, strict=True):
        splits = {name: cast(split, groups, file.input_group) for name, split in splits.items()}
        check_target_order(file, splits, groups)
        source = dict(file.source)
        if "valid" not in splits:
            train = splits["train"]
            parts = names_by_group(groups_of(train), train.condition, valid_fraction, 0.0, seed)
            splits |= {name: choose(train, parts == name) for name in ("train", "valid")}
            source["split"] = {"valid_fraction": valid_fraction, "seed": seed}
        data = Dataset(
            train=splits["train"],
            valid=splits["valid"],
            test=splits.get("test"),
            sessions=(session,),
            groups={group: groups[group] for group in session.n_targets},
            time=time_of(file, bin_width, start, event),
            input_group=file.input_group,
            truth_unit=file.truth_unit,  # pyright: ignore[reportArgumentType]
            behaviour_name=file.behaviour_name,
            behaviour_lag=file.said.get("behaviour_lag", 0.0) if behaviour_lag is None else behaviour_lag,
            source={session.name: source},
        )
        datasets.append(with_findings(data, *file.findings))
    return concatenate(*datasets)


def _checked(file: Contents, name: str, missing: bool, axes: str | None) -> tuple[Session, dict[str, Split]]:
    """Returns the session of a file and its checked splits before `cast`."""
    if WHOLE in file.splits:
        file.splits["train"] = file.splits.pop(WHOLE)
    known = transpose_as_asked(file, axes)
    raws = file.splits
    if "train" not in raws:
        raise DataError(
            f"{file.file!r} must hold train trials, found {' and '.join(raws)} trials only. Add "
            f"{keys_of('encoder_input', 'train')[0]!r}, or use `read_split` to apply a trained model to them."
        )
    train, group = raws["train"], file.input_group
    others = {name: raw.arrays["encoder_input"] for name, raw in raws.items() if name != "train"}
    hint = order_hint(train.arrays["encoder_input"], others)
    for raw in raws.values():
        values = raw.arrays["encoder_input"]
        check_is_cut(values, raw.encoder_label, file)
        validation.dimensions(values, 3, raw.encoder_label)
        for axis, what in ((2, "channels"), (1, "bins")):
            expected = train.arrays["encoder_input"].shape[axis]
            validation.size(values.shape[axis], expected, what, raw.encoder_label, train.encoder_label, hint)
    session = session_of(name, train, group, file.target_index, file.channel_names)
    for field, values in file.alignment.items():
        label = f"The {field.replace('_', ' ')} of {file.file!r}"
        validation.size(len(values), session.n_channels, "channels", label, train.encoder_label)
    if file.areas:
        label = f"'brain_area' of {file.file!r}"
        validation.size(len(file.areas), session.n_targets[group], "areas", label, "the target, one a channel,")
    session = dataclasses.replace(session, **file.alignment, areas=file.areas)
    n_forward = forward_bins(train, group)
    mark_ends(file, missing, n_forward)
    known |= file.target_index is not None or bool(file.channel_names)
    splits = {kind: split_of(raw, session, group, n_forward, missing) for kind, raw in raws.items()}
    file.findings += doubtful_order(raws, file.file, from_matlab=file.from_matlab, known=known)
    file.findings += id_findings(raws, file.file)
    return session, with_rows(splits, raws)


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

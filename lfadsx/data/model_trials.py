"""Reading the trials of one file for a trained model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lfadsx.data import validation
from lfadsx.data.benchmark_tensors import benchmark_contents, is_benchmark
from lfadsx.data.dataset import Session, Split
from lfadsx.data.file_checks import check_is_cut, mark_ends, session_name, time_of, transpose_as_asked, with_rows
from lfadsx.data.file_contents import read_contents
from lfadsx.data.large_arrays import enough_memory
from lfadsx.data.sessions import pad_to_sessions
from lfadsx.data.target_kinds import Asked, cast, target_groups
from lfadsx.data.trials import RawTrials, split_of
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.types import INPUT_GROUP


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
    the split is then called "all". If it holds all channels of the session, those that the model does not see are
    left out of the encoder's data.

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
    return read_trials(
        path,
        sessions,
        split=split,
        session=session,
        input_group=input_group,
        forward_bins=forward_bins,
        n_known_inputs=n_known_inputs,
        bin_width=bin_width,
        kind=kind,
        missing=missing,
    )[0]


@enough_memory
def read_trials(
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
) -> tuple[dict[str, Split], list[Finding]]:
    """Reads trials as `read_split` does, and returns findings about the file beside them."""
    path = Path(path)
    file = benchmark_contents([path], input_group) if is_benchmark(path) else read_contents(path, input_group)
    transpose_as_asked(file)
    mark_ends(file, missing, forward_bins)
    time_of(file, bin_width, None, None)
    position, found, findings = _position(Path(path), sessions, session), file.splits, file.findings
    if split is not None:
        validation.one_of(split, list(found), f"The split to read from {file.file!r}")
        found = {split: found[split]}
    own = sessions[position]
    for name, raw in found.items():
        check_is_cut(raw.arrays["encoder_input"], raw.encoder_label, file)
        found[name], note = _held_in(raw, own, input_group)
        findings += [note] if note else []
    splits = {name: split_of(raw, own, input_group, forward_bins, missing) for name, raw in found.items()}
    groups = target_groups([(own, found[name].labels) for name, own in splits.items()], input_group, kind)
    for name, read_in in with_rows(splits, found).items():
        read_in = cast(read_in, groups, input_group)
        if n_known_inputs is not None:
            width = 0 if read_in.known_inputs is None else read_in.known_inputs.shape[2]
            validation.size(width, n_known_inputs, "known inputs", f"{name!r} of {file.file!r}", "the model")
        splits[name] = pad_to_sessions(read_in, sessions, position, input_group)
    return splits, findings


def _held_in(raw: RawTrials, session: Session, input_group: str) -> tuple[RawTrials, Finding | None]:
    """Returns trials with the channels that the model sees, and a note about the others that the file holds."""
    encoder, held_out = raw.arrays["encoder_input"], session.held_out(input_group)
    n_targets, index = session.n_targets.get(input_group, 0), session.target_index
    if encoder.ndim != 3 or encoder.shape[2] != n_targets or not len(held_out) or np.any(index < 0):
        return raw, None
    if n_targets == session.n_channels:
        return raw, None
    names = ", ".join(session.names(input_group)[channel] for channel in held_out)
    sentence = (
        f"{raw.encoder_label} holds all {n_targets} channels of session {session.name!r}. The model sees "
        f"{session.n_channels} of them; the {len(held_out)} held-out channels are left out: {names}."
    )
    cut = {name: raw.arrays[name][:, :, index] for name in ("encoder_input", "encoder_observed") if name in raw.arrays}
    note = Finding("note", "held-out channels left out", len(held_out), 0, session.name, sentence)
    return dataclasses.replace(raw, arrays=raw.arrays | cut), note


def _position(path: Path, sessions: Sequence[Session], session: str | None) -> int:
    """Returns the number of the model's session that a file belongs to."""
    names = [own.name for own in sessions]
    if session is None:
        session = names[0] if len(names) == 1 else session_name(path)
        if session not in names:
            raise DataError(
                f"The file {path.name!r} must be named after one of the model's sessions {', '.join(names)}. "
                "Name its session with `session`."
            )
    validation.one_of(session, names, "`session`")
    return names.index(session)

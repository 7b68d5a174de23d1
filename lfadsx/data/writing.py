"""Writing data sets to HDF5 files that `read` and lfads-torch understand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np

from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.file_keys import ALIGNMENT_KEYS, KEYS
from lfadsx.data.hdf5_files import open_to_write, write_array
from lfadsx.data.splits import choose
from lfadsx.errors import DataError
from lfadsx.files import plain


def write_dataset(path: str | Path, dataset: Dataset) -> list[Path]:
    """Writes each session of a data set to a file of its own, with the keys of lfads-torch.

    `read` gives the same data set back, but for `source` and, when trials of several sessions are mixed,
    their order between sessions.

    Example:
        >>> import pathlib, tempfile
        >>> from lfadsx.data import write_dataset
        >>> from lfadsx.datasets import chaotic_rnn
        >>> folder = tempfile.TemporaryDirectory()
        >>> [file.name for file in write_dataset(folder.name, chaotic_rnn(conditions=2))]
        ['chaotic_rnn.h5']

    Args:
        path: A folder, made when it does not exist; the files in it are called like the sessions. For a
            single session also the file itself, with the ending .h5 or .hdf5.
        dataset: The data set.

    Returns:
        The files in the order of the sessions.

    Raises:
        DataError: If a session's name cannot be a file's name, or a file cannot be written.
    """
    path = Path(path)
    if len(dataset.sessions) == 1 and path.suffix in (".h5", ".hdf5"):
        files = [path]
    else:
        files = [path / f"{session.name}.h5" for session in dataset.sessions]
    for number, (file, session) in enumerate(zip(files, dataset.sessions, strict=True)):
        if Path(session.name).name != session.name:
            raise DataError(f"The session name {session.name!r} cannot be a file name. Rename the session.")
        with open_to_write(file) as target:
            _write_facts(target, dataset, session)
            own = {name: choose(split, split.session == number) for name, split in dataset.splits.items()}
            own = {name: split for name, split in own.items() if split.n_trials}
            for name, split in own.items():
                _write_split(target, name, split, session, _sizes(own), dataset)
    return files


def _write_facts(file: h5py.File, dataset: Dataset, session: Session) -> None:
    facts = {
        "input_group": dataset.input_group,
        "behaviour_name": dataset.behaviour_name,
        "behaviour_lag_s": dataset.behaviour_lag,
        "bin_width_s": dataset.bin_width,
        "start_s": dataset.time.start,
        "event": dataset.time.event,
        "target_groups": json.dumps({name: dataclasses.asdict(group) for name, group in dataset.groups.items()}),
        "truth_unit": dataset.truth_unit,
        **{f"channel_names/{group}": list(names) for group, names in session.channel_names.items()},
        "lfadsx_source": json.dumps(plain(dataset.source.get(session.name, dataset.source))),
    }
    file.attrs.update({name: value for name, value in facts.items() if value is not None})
    file["target_index"] = session.target_index
    if dataset.truth_unit == "counts per bin":
        file["conversion_factor"] = 1.0
    for field, keys in ALIGNMENT_KEYS.items():
        if getattr(session, field) is not None:
            write_array(file, keys[0], getattr(session, field))


def _sizes(splits: dict[str, Split]) -> tuple[int, int]:
    """Returns the encoder's and the decoder's bins of the longest trial."""
    encoder = max(int(split.encoder_length.max()) for split in splits.values())
    return encoder, max(int(split.target_length.max()) for split in splits.values())


def _write_split(
    file: h5py.File, name: str, split: Split, session: Session, sizes: tuple[int, int], dataset: Dataset
) -> None:
    group = dataset.input_group
    n_encoder_bins, n_bins = sizes
    encoder = np.s_[:, :n_encoder_bins, : session.n_channels]
    target = np.s_[:, :n_bins, : session.n_targets[group]]
    series = np.s_[:, :n_bins]
    ragged = np.any(split.encoder_length < n_encoder_bins) or np.any(split.target_length < n_bins)
    arrays = {
        "encoder_input": (split.encoder_input, encoder),
        "targets": (split.targets[group], target),
        "encoder_observed": (split.encoder_observed, encoder),
        "target_observed": (split.target_observed.get(group), target),
        "encoder_length": (split.encoder_length if ragged else None, np.s_[:]),
        "target_length": (split.target_length if ragged else None, np.s_[:]),
        "known_inputs": (split.known_inputs, series),
        "truth": (split.truth, target),
        "true_inputs": (split.true_inputs, series),
        "condition": (split.condition, np.s_[:]),
        "trial_id": (split.trial_id, np.s_[:]),
        "row": (split.row, np.s_[:]),
        "behaviour": (split.behaviour, series),
    }
    for field, (values, part) in arrays.items():
        if values is not None:
            write_array(file, KEYS[field][0].format(split=name), values[part])
    for other in session.n_targets:
        if other != group and session.n_targets[other]:
            part = np.s_[:, :n_bins, : session.n_targets[other]]
            write_array(file, f"{name}_other_targets/{other}", split.targets[other][part])
            mask = split.target_observed.get(other)
            if mask is not None:
                write_array(file, f"{name}_other_observed/{other}", mask[part])

"""Writing data sets to HDF5 files for `read` and lfads-torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np

from lfadsx.data.dataset import SERIES, Dataset, Session, Split
from lfadsx.data.file_keys import ALIGNMENT_KEYS, KEYS
from lfadsx.data.hdf5_files import open_to_write, write_array
from lfadsx.data.sessions import fit
from lfadsx.data.splits import choose
from lfadsx.errors import DataError
from lfadsx.files import plain


def write_dataset(path: str | Path, dataset: Dataset) -> list[Path]:
    """Writes each session of a data set to a separate file with the keys of lfads-torch.

    Every array has checksums (Fletcher-32), which damage does not pass. The attribute `lfadsx_source` says where
    the data come from, with name, size and SHA-256 of the source files.
    `read` gives the same data set back, except `source` and the order of mixed trials of several sessions.

    Example:
        >>> import pathlib, tempfile
        >>> from lfadsx.data import write_dataset
        >>> from lfadsx.datasets import chaotic_rnn
        >>> folder = tempfile.TemporaryDirectory()
        >>> [file.name for file in write_dataset(folder.name, chaotic_rnn(conditions=2))]
        ['chaotic_rnn.h5']

    Args:
        path: A folder, made if it does not exist; files are named after the sessions. For a single session also a
            file name that ends in .h5 or .hdf5.
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
            for name, split in zip(own, fit(list(own.values()), (session,), dataset.input_group), strict=True):
                _write_split(target, name, split, session, dataset.input_group)
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
    write_array(file, "target_index", session.target_index)
    if session.areas:
        write_array(file, "brain_area", np.array(session.areas))
    if dataset.truth_unit == "counts per bin":
        file["conversion_factor"] = 1.0
    for field, keys in ALIGNMENT_KEYS.items():
        if getattr(session, field) is not None:
            write_array(file, keys[0], getattr(session, field))


def _write_split(file: h5py.File, name: str, split: Split, session: Session, input_group: str) -> None:
    fields = ["encoder_input", "encoder_observed", *SERIES, "condition", "interval", "start_time"]
    fields += ["piece_of", "first_bin", "trial_id", "row"]
    if np.any(split.encoder_length < split.encoder_input.shape[1]) or np.any(split.target_length < split.n_bins):
        fields += ["encoder_length", "target_length"]
    key = {field: keys[0].format(split=name) for field, keys in KEYS.items()}
    arrays = {key[field]: getattr(split, field) for field in fields}
    for group, width in session.n_targets.items():
        own = group == input_group
        if width:
            arrays[key["targets"] if own else f"{name}_other_targets/{group}"] = split.targets[group]
            mask_key = key["target_observed"] if own else f"{name}_other_observed/{group}"
            arrays[mask_key] = split.target_observed.get(group)
    for path, values in arrays.items():
        if values is not None:
            write_array(file, path, values)

"""What a file holds, in words: the arrays of an HDF5 or NPZ file, and the rates and conditions of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.data.file_keys import ALIGNMENT_KEYS, KEYS, SPLITS, WHOLE, keys_of
from lfadsx.data.hdf5_files import broken_link, open_npz, open_to_read
from lfadsx.data.scored_entries import scored_mask

MOST_ROWS = 60
"""Arrays that are listed."""

MOST_CONDITIONS = 12
"""Conditions that are listed with their trials."""

MEANING = {
    "encoder_input": "data that the encoder sees (trial, time, channel)",
    "targets": "data to reconstruct (trial, time, channel)",
    "encoder_observed": "True where the encoder's data are observed",
    "target_observed": "True where the targets are observed",
    "length": "bins of each trial",
    "encoder_length": "bins of each trial that the encoder sees",
    "target_length": "bins of each trial of the targets",
    "known_inputs": "known inputs (trial, time, input)",
    "truth": "true rates (trial, time, channel)",
    "true_inputs": "true inputs (trial, time, input)",
    "condition": "condition of each trial",
    "behaviour": "behaviour (trial, time, column)",
    "interval": "produced interval of each trial in seconds",
    "start_time": "time of each trial's first bin in seconds of the session",
    "piece_of": "number of the trial that each piece was chopped from, 0 for a whole recording",
    "first_bin": "number of each piece's first bin there",
    "trial_id": "id of each trial",
    "row": "position of each trial in the input",
}
"""What the keys of a data file mean, by field."""


def array_rows(path: Path) -> list[str]:
    """Returns a line for each array of an HDF5 file: key, shape, type and meaning."""
    with open_to_read(path) as file:
        meanings = _meanings(file)
        rows = [(key, _shape_of(file, key), meanings.get(key, "")) for key in _arrays_in(file)]
    return _table(rows)


def npz_rows(path: Path) -> list[str]:
    """Returns a line for each array of an NPZ file: name, shape and type."""
    with open_npz(path) as arrays:
        return _table(
            [
                (name, _words(array.shape, str(array.dtype)), "pickled, never opened" if array.is_pickled else "")
                for name, array in arrays.items()
            ]
        )


def rate_lines(data: Dataset) -> Iterator[str]:
    """Yields a line about the mean values of the channels of each group in each session, with silent ones."""
    for group in data.train.targets:
        exists, values = scored_mask(data.train, data, group), data.train.targets[group]
        for number, session in enumerate(data.sessions):
            own, n = data.train.session == number, session.n_targets.get(group, 0)
            there = exists[own][:, :, :n]
            n_seen = there.sum((0, 1))
            if not n_seen.any():
                continue
            mean = values[own][:, :, :n].sum((0, 1), where=there, dtype=np.float64)[n_seen > 0] / n_seen[n_seen > 0]
            unit = data.groups[group].unit
            if data.is_counts(group) and data.bin_width is not None:
                mean, unit = mean / data.bin_width, "Hz"
            low, middle, high = np.quantile(mean, (0, 0.5, 1))
            line = f"{group} of {session.name!r}: means from {low:.3g} to {high:.3g} {unit}".rstrip()
            silent = f"; {np.sum(mean == 0)} silent in training" if data.is_counts(group) else ""
            yield f"{line}, median {middle:.3g}{silent}"


def condition_line(data: Dataset) -> str:
    """Returns the conditions with the number of their trials, or an empty text."""
    labels = [split.condition[split.labelled] for split in data.splits.values() if split.condition is not None]
    if not labels or not sum(map(len, labels)):
        return ""
    names, times = np.unique(np.concatenate(labels), return_counts=True)
    shown = [f"{name} ({n} trials)" for name, n in zip(names[:MOST_CONDITIONS], times, strict=False)]
    more = f" and {len(names) - MOST_CONDITIONS} more" if len(names) > MOST_CONDITIONS else ""
    return f"{', '.join(shown)}{more}"


def _meanings(file: h5py.File) -> dict[str, str]:
    splits = [
        *SPLITS,
        *([] if any(key.startswith(f"{split}_") for split in SPLITS for key in map(str, file)) else [WHOLE]),
    ]
    found = {key: f"{MEANING[field]}" for split in splits for field in KEYS for key in keys_of(field, split)}
    found |= {
        key: f"{field} of the session".replace("_", " ") for field, keys in ALIGNMENT_KEYS.items() for key in keys
    }
    return found | {"target_index": "target channel of each encoder channel", "dt": "bin width in seconds"}


def _arrays_in(file: h5py.File) -> list[str]:
    """Returns the paths of all arrays, also in groups and behind links that lead nowhere."""
    found = [key for key in map(str, file) if broken_link(file, key) is not None]
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    linked = [key for key in map(str, file) if isinstance(file.get(key), h5py.Dataset)]  # `visititems` follows no links
    return sorted(key for key in dict.fromkeys([*found, *linked]) if not key.startswith("#"))


def _shape_of(file: h5py.File, key: str) -> str:
    place = broken_link(file, key)
    if place is not None:
        return f"a link to {place}, which cannot be found"
    found = file[key]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        return "empty"
    text = h5py.check_string_dtype(found.dtype) is not None
    return _words(found.shape, "text" if text else str(found.dtype))


def _words(shape: tuple[int, ...], kind: str) -> str:
    return f"{' x '.join(map(str, shape)) or 'one value'}, {kind}"


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    lines = [f"{a:<{min(first, 40)}}  {b:<{min(second, 30)}}  {c}".rstrip() for a, b, c in rows[:MOST_ROWS]]
    return lines + ([f"and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else [])

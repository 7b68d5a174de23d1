"""Recordings from bare arrays in NPZ, MATLAB and HDF5 files, whose meaning a map of names tells."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import h5py
import numpy as np

from lfadsx.data.data_findings import some
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe, items_of, open_npz, open_to_read, read_array
from lfadsx.data.opening import check_is_file, is_hdf5
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.array_counts import counts_in_arrays
from lfadsx.recordings.array_map import JOINED, in_words, resolve
from lfadsx.recordings.array_sessions import session_in_arrays
from lfadsx.recordings.array_values import values_in_arrays
from lfadsx.recordings.binned_counts import cut_counts
from lfadsx.recordings.continuous_values import values_never_cut
from lfadsx.recordings.cutting import CutOptions, cut
from lfadsx.recordings.matlab_values import open_matlab
from lfadsx.recordings.recording import Recording


class Lazy(NamedTuple):
    """An array of an open file: its shape, and a function that reads it."""

    shape: tuple[int, ...]
    read: Callable[[], Any]


def from_array_file(
    path: str | Path,
    *,
    map: Mapping[str, str] | str | None = None,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    bin_width: float | None = None,
    axes: str | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    events: Sequence[str] = (),
    frame_rate: float | None = None,
    **options: Unpack[CutOptions],
) -> Dataset:
    """Reads bare arrays of a file, spike times, counts, traces or real values, as a data set.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import lfadsx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "monday.npz"
        >>> np.savez(path, binned=np.random.default_rng(0).poisson(0.3, (40, 50, 6)))
        >>> data = lfadsx.from_array_file(path, map={"counts": "binned"}, bin_width=0.01)
        >>> data.train.targets["spikes"].shape
        (28, 50, 6)

    Args:
        path: NPZ, MATLAB or HDF5 file.
        map: Name of the array of each role, such as {"counts": "binned", "lengths": "n_bins"}, or in one word
            "counts=binned,lengths=n_bins". Roles are `counts`, `values`, `lengths`, `spike_times`, `unit`, `trial_id`,
            `condition`, `unit_id`, `area`, `bin_width`, `behaviour`, `behaviour_times` and `observed`, and for imaging
            `traces` (frame, unit), `frame_times` and `frame_rate`; "+" joins arrays as columns. Roles that are left
            out are recognised by usual names. `values` are real values such as EMG: the input group, named after the
            array; beside counts a further target group.
        align: The event at time 0, an array of event times in seconds. For counts: a name for the event at their first
            bin.
        window: First and last time relative to the event in seconds; None for whole trials.
        bin_width: Width of a bin in seconds; by default 0.01, for counts that of the file, and for traces one frame.
            Bins of counts may also be several of the file together.
        axes: Order of the axes of counts and values, such as "neuron time trial"; by default "trial time neuron".
        trials: For spike times and traces: the table of trials, columns by name or a CSV file; by default the arrays of
            the file that have one entry for each event.
        events: Further columns of trials that hold times.
        frame_rate: Frames per second, for traces whose file does not tell it.
        **options: Further arguments of `lfadsx.recordings.cut`: `condition`, `behaviour`, `behaviour_lag`, `interval`,
            `areas`, `min_rate`, `observed`, `held_out`, `split`, `split_by`, `chop`, `overlap`, `seed`. All
            vectors with one entry for each trial are columns of trials.

    Returns:
        The data set. The array with the role `behaviour` is its behaviour.

    Raises:
        DataError: If the file cannot be read, an array is missing, or sizes do not fit each other.
    """
    path = Path(path)
    names = _roles(path, map)
    how: dict[str, Any] = {"align": align, "bin_width": bin_width, "axes": axes, "trials": trials}
    how |= {"frame_rate": frame_rate, "events": events or None}
    if "values" in names:
        given = how | {"window": window} | options
        return _of_values(path, names, **{name: value for name, value in given.items() if value is not None})
    recording = _recording(path, names, **how)
    if options.get("behaviour") is None:
        options["behaviour"] = recording.source["map"].get("behaviour")
    if "bins" in recording.source:
        return cut_counts(recording, align, window, bin_width, **options)
    return cut(recording, align=align, window=window, bin_width=bin_width, **options)


def read_array_file(
    path: str | Path,
    *,
    map: Mapping[str, str] | str | None = None,
    align: str | None = None,
    bin_width: float | None = None,
    axes: str | None = None,
    trials: Mapping[str, Any] | str | Path | None = None,
    events: Sequence[str] = (),
    frame_rate: float | None = None,
) -> Recording:
    """Reads bare arrays of a file as a recording; arguments as in `from_array_file`."""
    path = Path(path)
    names = _roles(path, map)
    if "values" in names:
        raise DataError(
            f"The values {names['values']!r} of {path.name!r} are cut into trials already. Make a data set of them "
            "with `lfadsx.from_array_file` or lfadsx prepare."
        )
    return _recording(path, names, align, bin_width, axes, trials, frame_rate, events)


def _recording(
    path: Path,
    names: dict[str, str],
    align: str | None,
    bin_width: float | None,
    axes: str | None,
    trials: Mapping[str, Any] | str | Path | None,
    frame_rate: float | None,
    events: Sequence[str] | None,
) -> Recording:
    """Returns the recording of a file whose arrays have the roles `names`; arguments as in `from_array_file`."""
    if frame_rate is not None and "traces" not in names:
        raise DataError(f"`frame_rate` needs traces of imaging, got {in_words(names)}. Leave it out, or change `map`.")
    found, others, vectors = _arrays_of(path, names)
    source = {"format": "arrays", "files": [describe(path)], "map": names}
    if "counts" in found:
        if trials is not None:
            raise DataError("`trials` needs spike times, got counts, which are cut already. Leave `trials` out.")
        recording = counts_in_arrays(path, names, found, vectors, source, bin_width, axes)
    else:
        recording = session_in_arrays(path, names, found, vectors, trials, events, align, frame_rate)
        recording = dataclasses.replace(recording, source=source)
    unused = [name for name in others if name not in recording.trials and name not in recording.unit_columns]
    return dataclasses.replace(recording, findings=(*_read_as(path, names, unused), *recording.findings))


def recognised(path: Path, map: Mapping[str, str] | str | None = None) -> str:
    """Returns the map that a file is read with, in the form of `--map`.

    Raises:
        DataError: If it is not clear which arrays hold the spikes.
    """
    return in_words(_roles(path, map))


@contextlib.contextmanager
def open_arrays(path: Path) -> Iterator[dict[str, Lazy]]:
    """Opens a file of bare arrays and yields its arrays by name; arrays of Python objects are left out."""
    check_is_file(path)
    with path.open("rb") as file:
        start = file.read(20)
    if start.startswith(b"MATLAB"):
        with open_matlab(path) as matlab:
            yield {name: Lazy(shape, partial(matlab.read, name)) for name, shape in matlab.shapes.items()}
    elif is_hdf5(path):
        with open_to_read(path) as hdf5:
            own = {name: item for name, item in items_of(hdf5).items() if isinstance(item, h5py.Dataset)}
            yield {name: Lazy(item.shape, partial(read_array, hdf5, name, repr(name))) for name, item in own.items()}
    else:
        with open_npz(path) as npz:
            yield {name: Lazy(array.shape, array.read) for name, array in npz.items() if not array.is_pickled}


def _roles(path: Path, map: Mapping[str, str] | str | None) -> dict[str, str]:
    """Returns the name of the array of each role."""
    with open_arrays(path) as arrays:
        return resolve(map, {name: array.shape for name, array in arrays.items()}, path.name)


def _arrays_of(path: Path, names: Mapping[str, str]) -> tuple[dict[str, np.ndarray], list[str], dict[str, np.ndarray]]:
    """Returns the array of each role, the names of all others, and those of them that are vectors."""
    with open_arrays(path) as arrays:
        found = {role: _columns([arrays[part] for part in name.split(JOINED)]) for role, name in names.items()}
        used = {part for name in names.values() for part in name.split(JOINED)}
        others = {name: array for name, array in arrays.items() if name not in used}
        vectors = {name: np.ravel(array.read()) for name, array in others.items() if _is_vector(array)}
    return found, list(others), vectors


def _of_values(path: Path, names: dict[str, str], **options: Any) -> Dataset:
    """Returns the data set of real values, with where they come from and how they are read."""
    found, others, vectors = _arrays_of(path, names)
    were_cut = found["values"].ndim != 2 or "lengths" in found
    data = (values_in_arrays if were_cut else values_never_cut)(path.stem, names, found, vectors, **options)
    source = {"format": "arrays", "files": [describe(path)], "map": names} | data.source[path.stem]
    unused = [name for name in others if name not in vectors]
    notes = (*_read_as(path, names, unused), *data.findings)
    return dataclasses.replace(data, source={path.stem: source}, findings=notes)


def _read_as(path: Path, names: Mapping[str, str], unused: Sequence[str]) -> Iterator[Finding]:
    """Yields what the arrays are taken for, and which are not used."""
    sentence = f"The arrays of {path.name!r} are read as {in_words(names)}."
    advice = "Give `map` if this is wrong."
    yield Finding("note", "meaning of arrays", None, None, path.stem, sentence, advice)
    if unused:
        sentence = f"These arrays of {path.name!r} are not used: {some(list(unused))}."
        yield Finding("note", "unused keys", len(unused), 0, path.stem, sentence)


def _is_vector(array: Lazy) -> bool:
    return len([size for size in array.shape if size != 1]) == 1 and max(array.shape) <= 10**7


def _columns(arrays: Sequence[Lazy]) -> np.ndarray:
    """Returns the array of a role; several are joined as columns."""
    values = [np.asarray(array.read()) for array in arrays]
    if len(values) == 1:
        return values[0]
    sizes = {one.size for one in values}
    if len(sizes) != 1:
        raise DataError(f"Arrays that are joined by {JOINED!r} in `map` must have one length, got {sorted(sizes)}.")
    return np.stack([np.ravel(one) for one in values], axis=1)

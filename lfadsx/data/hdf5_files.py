"""Opening HDF5 files with readable errors and without half-written files."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsx.errors import DataError
from lfadsx.files import atomic_path


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file to read."""
    if not path.exists():
        raise DataError(f"The file {str(path)!r} must exist, but was not found. Check the path.")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder, not a data file. Name the HDF5 files in it.")
    try:
        path.open("rb").close()
        if not h5py.is_hdf5(path):
            raise DataError(
                f"{str(path)!r} is not an HDF5 file. Write the data with h5py, or make them with `from_arrays`."
            )
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise DataError(
            f"The file {str(path)!r} cannot be read ({error}). Check its permissions and that it is whole."
        ) from error


@contextlib.contextmanager
def open_to_write(path: Path) -> Iterator[h5py.File]:
    """Opens a new HDF5 file; if writing fails, no file is left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, h5py.File(partial, "w") as file:
            yield file
    except OSError as error:
        raise DataError(
            f"The file {str(path)!r} cannot be written ({error}). "
            "Name a file in a folder that you may write to and that has room."
        ) from error


def write_array(
    group: h5py.Group, name: str, values: Any, *, compression: str | None = "gzip", **attributes: Any
) -> None:
    """Writes an array of any shape, compressed, with attributes; text becomes UTF-8."""
    shape = getattr(values, "shape", ())
    if getattr(values, "dtype", None) is not None and values.dtype.kind in "US":
        values = values.astype(h5py.string_dtype())
    # HDF5 can compress neither scalars nor arrays without elements.
    options = {"compression": compression, "shuffle": True} if compression and shape and 0 not in shape else {}
    dataset = group.create_dataset(name, data=values, **options)
    dataset.attrs.update(attributes)


def read_array(group: h5py.Group, name: str, label: str) -> np.ndarray:
    """Reads an array of any shape, text as Python strings."""
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{label} is a group, not an array. Store the array itself under this key.")
    if h5py.check_string_dtype(dataset.dtype) is None:
        return np.asarray(dataset[()])
    return np.asarray(dataset.asstr()[()], dtype=str)


def subgroup(group: h5py.Group, name: str) -> dict[str, Any]:
    """Returns the contents of an HDF5 group called `name`; empty if it does not exist."""
    found = group.get(name)
    return dict(found) if isinstance(found, h5py.Group) else {}


def attributes_of(group: h5py.Group) -> dict[str, Any]:
    """Returns the attributes of a file or group, text as Python strings."""
    return {name: as_text(v) if isinstance(v, str | bytes) else v for name, v in group.attrs.items()}


def as_text(value: Any) -> str:
    """Returns text or bytes of HDF5 as a Python string."""
    return value.decode() if isinstance(value, bytes) else str(value)


def describe(path: Path) -> dict[str, Any]:
    """Returns name, SHA-256 of the content and size in bytes of a file, for `Dataset.source`."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}

"""The only place where files of users are opened to be read: HDF5, ZIP (NPZ), NPY, and MATLAB up to v7.

Every opening goes through `_opened`, which checks the path and keeps the limits of size and time. No pickle is opened.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from h5py._objects import phil  # pyright: ignore[reportMissingImports]

from lfadsx.damaged_files import readable
from lfadsx.data.probing import probe
from lfadsx.errors import DataError

T = TypeVar("T")

MOST_BYTES = 2**42
"""Size of the largest file that is opened, 4 TiB."""

MOST_SECONDS = 120.0
"""Time that opening one file may take, in seconds. Reading its arrays afterwards has no limit."""


def open_hdf5(path: Path) -> h5py.File:
    """Opens an HDF5 file, after another process has tried it."""
    check_is_file(path)
    probe(path)
    # A thread that is in the middle of a loop over h5py objects, also in the traceback of an error that is kept, holds
    # the lock of h5py. Another thread would wait for it for ever.
    return _opened(path, lambda: h5py.File(path, "r"), timed=not phil._is_owned())


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a ZIP archive such as an NPZ file; what it holds is not read yet."""
    return _opened(path, lambda: zipfile.ZipFile(path))


def open_npy(path: Path) -> np.ndarray:
    """Opens an NPY file; its numbers are read when they are used.

    Raises:
        DataError: If it is damaged or holds Python objects, which are never opened.
    """
    with readable(f"{str(path)!r} cannot be read as an array of numbers", "Save it again with numpy.save."):
        found = _opened(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        if not isinstance(found, np.ndarray):
            raise TypeError("it holds several arrays")
    return found


def matlab_variables(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Returns name, size and class of each variable of a MATLAB file up to v7."""
    import scipy.io

    check_is_file(path)
    probe(path, "matlab")
    return _opened(path, lambda: scipy.io.whosmat(path))


def read_matlab_variable(path: Path, name: str) -> Any:
    """Returns one variable of a MATLAB file up to v7, as SciPy gives it."""
    import scipy.io

    return _opened(path, lambda: scipy.io.loadmat(path, variable_names=[name])[name], timed=False)


def is_hdf5(path: Path) -> bool:
    """Returns whether a path is an HDF5 file, by its content."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def is_zip(path: Path) -> bool:
    """Returns whether a path is a ZIP archive, by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def _opened(path: Path, opening: Callable[[], T], *, timed: bool = True) -> T:
    """Returns what `opening` returns, within the limits of size and, if `timed`, of time.

    Raises:
        DataError: If the path is not a file, or beyond a limit. Errors of `opening` are raised as they are.
    """
    check_is_file(path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"{str(path)!r} must have at most {MOST_BYTES} bytes, got {size}. Write fewer trials or channels to a file."
        )
    if not timed:
        return opening()
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(opening())
        except BaseException as error:  # raised again below, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    if thread.is_alive():
        raise DataError(
            f"{str(path)!r} must open within {MOST_SECONDS:g} s, but did not. Copy it to a local disk, or write it "
            "again."
        )
    if failed:
        raise failed[0]
    return done[0]


def check_is_file(path: Path) -> None:
    """Raises `DataError` unless a path is a file."""
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder, not a data file. Name the files in it.")
    if not path.exists():
        raise DataError(f"The file {str(path)!r} must exist, but was not found. Check the path.")
    if not path.is_file():
        raise DataError(f"{str(path)!r} must be a file, but is a pipe or a device. Copy its content to a file.")

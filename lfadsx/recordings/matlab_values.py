"""Variables of MATLAB files as plain values, the same for files up to v7 (SciPy) and v7.3 (HDF5)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from lfadsx.damaged_files import readable
from lfadsx.data.hdf5_files import open_to_read
from lfadsx.data.large_arrays import check_room
from lfadsx.data.opening import is_hdf5, matlab_variables, read_matlab_variable
from lfadsx.errors import DataError

DEEPEST = 20
"""Levels of cells and structs that are followed; a cell that contains itself has no end."""

MOST_VALUES = 2**31
"""Numbers and references that are read from one file at most."""

NUMERIC = ("double", "single", "logical") + tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))

Value = Any
"""A variable of MATLAB as a plain value.

| MATLAB | here |
|---|---|
| numeric or logical array | array of the same axes, two at least |
| char | `str`; several rows: array of `str`, shape (row,) |
| cell | array of objects with the same axes |
| 1 x 1 struct | `dict` |
| struct array | list of `dict` in MATLAB's order |
| table, string, sparse array, object | `Unreadable` |
"""


class Unreadable:
    """A value that Python cannot read, such as a table."""

    def __init__(self, kind: str) -> None:
        """Keeps the class of the value in MATLAB."""
        self.kind = kind

    @property
    def remedy(self) -> str:
        """The command of MATLAB that turns the value `x` into something readable."""
        return {"table": "table2struct(x)", "string": "cellstr(x)", "sparse": "full(x)"}.get(
            self.kind, "cellstr(x) for strings, table2struct(x) for tables, full(x) for sparse arrays"
        )


class MatlabFile(Protocol):
    """The variables of an open file."""

    shapes: dict[str, tuple[int, ...]]
    """Size of each variable in MATLAB."""

    def read(self, name: str) -> Value:
        """Reads a variable."""
        ...


@contextlib.contextmanager
def open_matlab(path: Path) -> Iterator[MatlabFile]:
    """Opens a MATLAB file of any version to read.

    Raises:
        DataError: If the file is missing or damaged, or is not a MATLAB file.
    """
    if path.is_file() and not is_hdf5(path):
        yield _Version5(path)
        return
    with open_to_read(path) as file:
        yield _Version73(file, path)


class _Version5:
    """A file of version 4 to 7, read by SciPy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _whole(path):
            found = matlab_variables(path)
        self.shapes = {name: tuple(shape) for name, shape, _ in found}
        self._kinds = {name: kind for name, _, kind in found}

    def read(self, name: str) -> Value:
        kind = self._kinds[name]
        if kind not in (*NUMERIC, "char", "cell", "struct"):
            return Unreadable(kind)
        _check_size(math.prod(self.shapes[name]), self.path)
        check_room(8 * math.prod(self.shapes[name]), f"{name!r} of {self.path.name!r}")
        with _whole(self.path):
            return _from_scipy(read_matlab_variable(self.path, name))


def _from_scipy(value: Any, depth: int = 0) -> Value:
    if depth > DEEPEST:
        raise _too_deep()
    if not isinstance(value, np.ndarray):
        return Unreadable("sparse" if hasattr(value, "tocsc") else type(value).__name__)
    if type(value).__name__ in ("MatlabOpaque", "MatlabFunction"):
        return Unreadable("object")
    if value.dtype.names:
        names = value.dtype.names
        return _structs([{name: _from_scipy(one[name], depth + 1) for name in names} for one in value.ravel("F")])
    if value.dtype == object:
        return _cell([_from_scipy(item, depth + 1) for item in value.ravel("F")], value.shape)
    if value.dtype.kind in "US":
        return _text([str(row) for row in value.ravel()])
    return value


class _Version73:
    """A file of version 7.3, which is HDF5 with all axes reversed."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path, self.n_read = file, path, 0
        with _whole(path):
            self.shapes = {str(name): self._shape(file.get(name)) for name in file if not str(name).startswith("#")}

    def read(self, name: str) -> Value:
        with _whole(self.path):
            return self._value(self.file[name], 0)

    def _shape(self, item: Any) -> tuple[int, ...]:
        if isinstance(item, h5py.Dataset):
            return tuple(map(int, item[()])) if "MATLAB_empty" in item.attrs and item.size < 9 else item.shape[::-1]
        if isinstance(item, h5py.Group) and _is_struct_array(item):
            return next(iter(item.values())).shape[::-1]
        return (1, 1)

    def _value(self, item: Any, depth: int) -> Value:
        if depth > DEEPEST:
            raise _too_deep()
        if item is None:
            return Unreadable("a broken link")
        if isinstance(item, h5py.Group):
            return self._group(item, depth)
        self.n_read += item.size
        _check_size(self.n_read, self.path)
        kind = _matlab_class(item)
        if "MATLAB_empty" in item.attrs:
            return _empty(tuple(map(int, item[()])), kind)
        if h5py.check_ref_dtype(item.dtype) is not None:
            # HDF5 has the axes reversed and the last one fastest: the order of MATLAB, where the first one is.
            return _cell([self._target(reference, depth) for reference in item[()].ravel()], item.shape[::-1])
        if kind == "char":
            return _text(["".join(map(chr, row)) for row in np.atleast_2d(item[()].T)])
        if (kind and kind not in NUMERIC) or item.dtype.kind not in "iufb":
            return Unreadable(kind or str(item.dtype))
        values = np.asarray(item[()]).T
        return values.astype(bool) if kind == "logical" else values

    def _target(self, reference: h5py.Reference, depth: int) -> Value:
        if not reference:
            return np.zeros((0, 0))
        # A file can hold a million small arrays of spike times, one for each unit and trial. h5py objects take twice as
        # long to read, so the low-level interface is used.
        found = h5py.h5r.dereference(reference, self.file.id)
        if not isinstance(found, h5py.h5d.DatasetID) or found.dtype.kind != "f":
            return self._value(self.file[reference], depth + 1)
        self.n_read += math.prod(found.shape)
        _check_size(self.n_read, self.path)
        values = np.empty(found.shape, found.dtype)
        found.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        return values.T

    def _group(self, group: h5py.Group, depth: int) -> Value:
        if "MATLAB_sparse" in group.attrs:
            return Unreadable("sparse")
        if not _is_struct_array(group):
            return {name: self._value(group.get(name), depth + 1) for name in _fields(group)}
        columns = {name: self._value(group[name], depth).ravel("F") for name in _fields(group)}
        n = min(map(len, columns.values()))
        return _structs([{name: column[i] for name, column in columns.items()} for i in range(n)])


def _fields(group: h5py.Group) -> list[str]:
    """Returns the names of the fields in MATLAB's order, which HDF5 does not keep."""
    known = [b"".join(letters).decode() for letters in group.attrs.get("MATLAB_fields", ())]
    return known if set(known) == set(group) else list(map(str, group))


def _is_struct_array(group: h5py.Group) -> bool:
    """Returns whether each field holds one reference for each element and has no MATLAB class."""
    return len(group) > 0 and all(
        isinstance(item, h5py.Dataset)
        and h5py.check_ref_dtype(item.dtype) is not None
        and "MATLAB_class" not in item.attrs
        for item in group.values()
    )


def _matlab_class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _empty(shape: tuple[int, ...], kind: str) -> Value:
    """Returns an empty value, for which the file stores the sizes instead of data."""
    if kind == "char":
        return ""
    if kind == "struct":
        return []
    return np.zeros(shape if 0 in shape else (0, 0), object if kind == "cell" else float)


def _cell(items: Sequence[Value], shape: tuple[int, ...]) -> np.ndarray:
    cell = np.empty(len(items), object)
    for i, item in enumerate(items):  # one by one, because NumPy would make one array of items of equal size
        cell[i] = item
    return cell.reshape(shape, order="F")


def _structs(elements: list[dict[str, Value]]) -> Value:
    return elements[0] if len(elements) == 1 else elements


def _text(rows: list[str]) -> Value:
    if len(rows) > 1:
        return np.array([row.rstrip() for row in rows])
    return rows[0].rstrip("\0") if rows else ""


def _check_size(n_values: int, path: Path) -> None:
    if n_values > MOST_VALUES:
        raise DataError(
            f"{path.name!r} must hold at most {MOST_VALUES} values, but {n_values} and more were found. "
            "Save only spike times and trials to a new file."
        )


def _too_deep() -> DataError:
    return DataError(
        f"Cells and structs of a MATLAB file must have at most {DEEPEST} levels, but more were found. "
        "Save the variables that hold spikes and trials alone."
    )


def _whole(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turns what SciPy and h5py raise for damaged files into a `DataError`."""
    failure = f"The file {str(path)!r} cannot be read as a MATLAB file"
    return readable(failure, "Check that it is whole, or save it again with `save(..., '-v7')`.")

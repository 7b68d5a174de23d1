"""Opening HDF5 and NPZ files: one function each, with readable errors and without half-written files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsx.damaged_files import readable
from lfadsx.data.large_arrays import check_room, read_in_blocks
from lfadsx.data.opening import check_is_file, is_hdf5, is_zip, open_hdf5, open_zip
from lfadsx.data.probing import trust
from lfadsx.errors import DataError, RunError
from lfadsx.files import atomic_path, writing

LARGE = 2**26
"""Bytes from which an array of numbers is read in blocks."""

HDF5_LIBRARIES = ("h5py", "hdmf", "pynwb")
"""Packages whose errors, while an HDF5 file is read, come from the file."""

PERMISSIONS = "Check its permissions and that it is whole."
SAVE_AGAIN = "Save the array again."

MOST_HEADER = 2**16
"""Bytes of the header of an array in an NPZ file at most; NumPy allows 10000 characters."""

FILTERS = {32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32013: "ZFP", 32015: "Zstandard", 32026: "Blosc2"}
"""Names of the most common compressions that HDF5 loads from plugins."""


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file to read. What h5py raises in the block for a damaged file becomes a `DataError`."""
    check_is_file(path)
    failure = f"The file {str(path)!r} cannot be read"
    with readable(failure, PERMISSIONS):
        path.open("rb").close()
    if not is_hdf5(path):
        raise DataError(
            f"{str(path)!r} must be an HDF5 file, but its content is of another kind. Write the data with h5py (in "
            "MATLAB: save with '-v7.3'), or make them with `from_arrays`."
        )
    with readable(failure, PERMISSIONS, libraries=HDF5_LIBRARIES), open_hdf5(path) as file:
        yield file


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[dict[str, NpzArray]]:
    """Opens an NPZ file and yields its arrays by name; each is read by `NpzArray.read`.

    Pickled Python objects in it are never opened, because they can run code.
    """
    check_is_file(path)
    with readable(f"The file {str(path)!r} cannot be read", PERMISSIONS):
        path.open("rb").close()
        if not is_zip(path):
            raise DataError(f"{str(path)!r} is not an NPZ file. Write the arrays with `numpy.savez`.")
        archive = open_zip(path)
        for member in archive.infolist():  # a damaged name would hide an array; this compares it with its copy
            archive.open(member).close()
    with archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        yield {name.removesuffix(".npy"): NpzArray(archive, name, path.name) for name in names}


class NpzArray:
    """One array of an open NPZ file: its shape and type are known at once, its numbers when they are read.

    Args:
        archive: The open file.
        member: Name of the array in the archive.
        file: Name of the file in messages.
    """

    def __init__(self, archive: zipfile.ZipFile, member: str, file: str) -> None:
        self._archive, self._member = archive, member
        self._label = f"{member.removesuffix('.npy')!r} of {file!r}"
        with readable(f"{self._label} cannot be read", SAVE_AGAIN), archive.open(member) as content:
            start = content.read(12)  # a damaged size of the header would be allocated before its content is checked
            content.seek(0)
            if start[6:7] == b"\x02" and int.from_bytes(start[8:12], "little") > MOST_HEADER:
                raise DataError(f"{self._label} must have a header of at most {MOST_HEADER} bytes. {SAVE_AGAIN}")
            version = np.lib.format.read_magic(content)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, _, self.dtype = header(content)

    @property
    def is_pickled(self) -> bool:
        """If True, the array holds Python objects and is never opened."""
        return self.dtype.hasobject

    def read(self) -> np.ndarray:
        """Returns the array.

        Raises:
            DataError: If it holds Python objects, or more than fits into memory.
        """
        if self.is_pickled:
            raise DataError(
                f"{self._label} must hold numbers or text, but holds Python objects (a pickle), which are never opened "
                "because they can run code. Save it as an array of numbers or of text."
            )
        check_room(int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize, self._label)
        with readable(f"{self._label} cannot be read", SAVE_AGAIN), self._archive.open(self._member) as content:
            values = np.lib.format.read_array(content, allow_pickle=False)
            if content.read(1):  # the end must be reached, because the checksum is compared there
                raise DataError(f"{self._label} must end with its last number, but more bytes follow. {SAVE_AGAIN}")
        return values


@contextlib.contextmanager
def open_to_write(path: Path) -> Iterator[h5py.File]:
    """Opens a new HDF5 file; if writing fails, no file is left."""
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, h5py.File(partial, "w") as file:
            yield file
        trust(path)
    except RunError as error:
        raise DataError(f"{error} Name a file in a folder that you may write to and that has room.") from error


def write_array(
    group: h5py.Group, name: str, values: Any, *, compression: str | None = "gzip", **attributes: Any
) -> None:
    """Writes an array of any shape, with checksums, compressed, with attributes; text becomes UTF-8."""
    values = np.asarray(values)
    if values.dtype.kind == "U":
        values = np.char.encode(values, "utf-8")
    if values.dtype.kind == "S":  # of fixed length, because checksums do not cover text of variable length
        values = values.astype(h5py.string_dtype(length=max(1, values.dtype.itemsize)))
    # HDF5 can neither compress nor check scalars and arrays without elements.
    options: dict[str, Any] = {}
    if values.size and values.shape:
        options = {"fletcher32": True} | ({"compression": compression, "shuffle": True} if compression else {})
    dataset = group.create_dataset(name, data=values, **options)
    dataset.attrs.update(attributes)


def read_array(group: h5py.Group, name: str, label: str) -> np.ndarray:
    """Reads an array of any shape, text as Python strings, large arrays in the smallest type that holds them.

    Raises:
        DataError: If it is missing, a group, compressed with an unknown filter, or larger than memory.
    """
    dataset = group[name] if broken_link(group, name) is None else None
    if dataset is None:
        raise DataError(
            f"{label} is a link to {broken_link(group, name)}, which cannot be found. Store the array itself."
        )
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{label} is a group, not an array. Store the array itself under this key.")
    remedy = "Copy it again or write it again: the file is damaged."
    with readable(f"{label} must be whole, but cannot be read", remedy, libraries=HDF5_LIBRARIES):
        _check_readable(dataset, label)
        values = _values(dataset, label)
        if dataset.fletcher32:
            _check_chunks(dataset, values, label)
    return values


def _values(dataset: h5py.Dataset, label: str) -> np.ndarray:
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        return _cell_of_text(dataset, label)
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return _text(dataset)
    if h5py.check_vlen_dtype(dataset.dtype) is not None:
        raise DataError(
            f"{label} must hold counts per bin with the axes (trial, time, channel), but holds sequences of different "
            "length, as spike times are stored. Cut them into trials with `lfadsx.from_spike_times`."
        )
    if dataset.dtype.kind in "iuf" and dataset.dtype.itemsize > 1 and dataset.nbytes >= LARGE:
        return _without_fill(read_in_blocks(dataset, label), dataset)
    check_room(dataset.nbytes, label)
    return _without_fill(np.asarray(dataset[()]), dataset)


def _cell_of_text(dataset: h5py.Dataset, label: str) -> np.ndarray:
    """Returns a cell of MATLAB that holds text, such as labels of conditions, with the axes of the file."""
    items: list[Any] = [dataset.file[reference] if reference else None for reference in dataset[()].ravel()]
    if not all(isinstance(item, h5py.Dataset) and item.attrs.get("MATLAB_class") == b"char" for item in items):
        raise DataError(
            f"{label} must hold numbers or text, but holds references to other arrays (in MATLAB: a cell). Store a "
            "matrix of numbers, or a cell of text only."
        )
    texts = ["" if "MATLAB_empty" in item.attrs else "".join(map(chr, item[()].ravel())) for item in items]
    return np.array(texts, dtype=str).reshape(dataset.shape)


def broken_link(group: h5py.Group, name: str) -> str | None:
    """Returns where a link leads if nothing is there, or None if the key can be opened."""
    try:
        group[name]
    except (KeyError, OSError, RuntimeError):  # the last one for links in a circle
        link = group.get(name, getlink=True)
        place = getattr(link, "path", "nothing")
        return f"{place!r} of {link.filename!r}" if isinstance(link, h5py.ExternalLink) else repr(place)
    return None


def is_empty(group: h5py.Group, name: str) -> bool:
    """Returns whether a key holds an empty array as MATLAB and netCDF write it: without values, or so marked."""
    found = group.get(name) if broken_link(group, name) is None else None
    return isinstance(found, h5py.Dataset) and (found.shape is None or bool(found.attrs.get("MATLAB_empty", 0)))


def _check_readable(dataset: h5py.Dataset, label: str) -> None:
    filters = dataset.id.get_create_plist()
    for number in range(filters.get_nfilters()):
        code = filters.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code) and not _plugin_has(code):
            name = FILTERS.get(code, "an unknown filter")
            raise DataError(
                f"{label} is compressed with {name} (HDF5 filter {code}) and cannot be read without its plugin. "
                "Install it (`pip install hdf5plugin`), or write the file with gzip (`h5repack -f GZIP=4 OLD NEW`)."
            )
    if filters.get_layout() == h5py.h5d.CONTIGUOUS and filters.get_external_count():
        raise DataError(
            f"{label} must be stored in the file, but its numbers are in another one. Store the array itself."
        )
    if dataset.is_virtual:
        folder = Path(dataset.file.filename).parent
        for source in dataset.virtual_sources():
            # HDF5 silently reads zeros in place of a missing source.
            if source.file_name != "." and not (folder / source.file_name).exists():
                raise DataError(
                    f"{label} is put together from {source.file_name!r}, which cannot be found. Store the array itself."
                )


def _check_chunks(dataset: h5py.Dataset, values: np.ndarray, label: str) -> None:
    """Raises an error unless all chunks of an array with checksums are stored, each with its checksum.

    Chunks that HDF5 does not find, because their index is damaged, are read as the fill value, without an error. Those
    of which nothing else was read are looked up once more, by a function that raises one.
    """
    filters = dataset.id.get_create_plist()
    codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
    without, masks = 1 << codes.index(h5py.h5z.FILTER_FLETCHER32), set()
    dataset.id.chunk_iter(lambda chunk: masks.add(chunk.filter_mask))
    if any(mask & without for mask in masks):
        raise DataError(f"{label} must have a checksum for each chunk, but lacks one: the file is damaged.")
    chunks: tuple[int, ...] = dataset.chunks or ()  # never without, because it has a filter
    starts = (range(0, size, step) for size, step in zip(dataset.shape, chunks, strict=True))
    for start in itertools.product(*starts):
        part = values[tuple(slice(first, first + step) for first, step in zip(start, chunks, strict=True))]
        if part.dtype.kind not in "iufb" or not np.any(part != dataset.fillvalue):
            dataset.id.read_direct_chunk(start)


def _plugin_has(code: int) -> bool:
    """Loads the optional package of further filters and returns whether it knows this one."""
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  # pyright: ignore[reportMissingImports]
    return h5py.h5z.filter_avail(code)


def _without_fill(values: np.ndarray, dataset: h5py.Dataset) -> np.ndarray:
    """Returns numbers with NaN in place of the fill value that netCDF and others name in an attribute."""
    for name in ("_FillValue", "missing_value"):
        fill = np.ravel(dataset.attrs.get(name, ()))
        if fill.size == 1 and fill.dtype.kind in "iuf" and values.dtype.kind in "iuf" and np.any(values == fill[0]):
            values = np.where(values == fill[0], np.nan, values.astype(np.result_type(values, np.float32)))
    return values


def _text(dataset: h5py.Dataset) -> np.ndarray:
    try:
        return np.asarray(dataset.asstr()[()], dtype=str)
    except UnicodeDecodeError:  # older programs wrote text in Latin-1
        return np.asarray(dataset.asstr("latin-1")[()], dtype=str)


def subgroup(group: h5py.Group, name: str) -> dict[str, Any]:
    """Returns the contents of an HDF5 group called `name`; empty if it does not exist."""
    found = group[name] if name in group and broken_link(group, name) is None else None
    return items_of(found) if isinstance(found, h5py.Group) else {}


def items_of(group: h5py.Group) -> dict[str, Any]:
    """Returns the contents of an HDF5 group by name, without links that lead nowhere."""
    return {name: group[name] for name in map(str, group) if broken_link(group, name) is None}


def attributes_of(group: h5py.Group) -> dict[str, Any]:
    """Returns the attributes of a file or group, text as Python strings."""
    return {as_text(name): as_text(v) if isinstance(v, str | bytes) else v for name, v in group.attrs.items()}


def as_text(value: Any) -> str:
    """Returns text or bytes of HDF5 as a Python string."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def describe(path: Path) -> dict[str, Any]:
    """Returns name, SHA-256 of the content and size in bytes of a file, for `Dataset.source`."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}

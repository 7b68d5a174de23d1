"""A small process that opens files before the user's process does. It imports neither JAX nor lfadsx.

The HDF5 library can crash on damaged files, or never return, and so can SciPy on MATLAB files up to v7. Here only this
process ends then. Each line on its input has the path, size and kind of a file in JSON. HDF5 files are opened, their
objects walked through, attributes and chunks looked at, and one chunk of each array read. MATLAB files are read as a
whole. The answer is one line: which other files the file refers to.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import time
import zlib
from typing import Any, NamedTuple

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5t, h5z  # pyright: ignore[reportAttributeAccessIssue]

WALK = 0.3
"""Seconds of the processor for the walk, enough for some thousand objects. Files of a million arrays end it early."""

MOST_SECONDS = 2.0
"""Seconds of the processor after which the library is taken to hang in one of its calls."""

BYTES_PER_SECOND = 2**26
"""What is added to that time: a second for each of so many bytes, for long lists of names and chunks."""

SECONDS_OF_MATLAB = 600.0
"""Seconds of the processor for a MATLAB file up to v7, whose size is at most some GiB."""

MOST_BYTES = 4 * 2**30
"""Memory that a file may need here; attributes are small, so only damaged sizes need more."""

MOST_COMPRESSION = 100
"""How many times its size a MATLAB file up to v7 may need."""

LARGEST_CHUNK = 2**24
"""Bytes of the chunks of which one of each array is read."""

SMALLEST_CHUNK = 4
"""Bytes of a Fletcher-32 checksum; what went through filters is larger."""

MOST_CHUNKS = 50_000
"""Chunks of an array whose sizes are looked at."""

MOST_RATIO = 1032
"""How many times its size a chunk can inflate to at most."""

MOST_INFLATED = 2**28
"""Bytes that a chunk may inflate to without being tried: 256 MiB."""

MOST_TEXTS = 10**4
"""Texts of variable length in arrays up to this size are read, because damage to their heap can crash the library."""

References = list[tuple[str, str, str]]
"""Kind ("link", "virtual" or "raw"), place in the file, and name of the other file; or "chunk", place, and what is
wrong with a chunk."""

BOMB = "inflates to far more than it can hold"


class LargeChunk(NamedTuple):
    """A compressed chunk that may inflate to much: the place of its array, the array, its offset, and bytes at most."""

    where: str
    dataset: Any
    offset: tuple[int, ...]
    most: int


def main() -> None:
    """Answers until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the user's process
    print("ready", flush=True)
    for line in sys.stdin:
        path, size, kind = json.loads(line)
        if kind == "hdf5":
            _limit(MOST_SECONDS + size / BYTES_PER_SECOND, MOST_BYTES)
        else:
            _limit(SECONDS_OF_MATLAB, max(MOST_BYTES, MOST_COMPRESSION * size))
        try:
            answer: Any = references(path) if kind == "hdf5" else _read_matlab(path)
        except MemoryError:
            answer = "memory"
        except Exception:  # whoever reads the file meets the same error and says so in words
            answer = []
        print(json.dumps(answer), flush=True)


def references(path: str) -> References:
    """Walks through a file and returns which other files it refers to."""
    found: References = []
    large: list[LargeChunk] = []
    with h5py.File(path, "r") as file:
        _walk(file.id, found, large)
        until = time.process_time() + WALK
        for chunk in large:
            if time.process_time() > until:
                break
            if _inflates_too_far(chunk):
                found.append(("chunk", chunk.where, BOMB))
    return found


def _walk(root: Any, found: References, large: list[LargeChunk]) -> None:
    """Adds references and large chunks, as far as it comes in its time."""
    until = time.process_time() + WALK
    _read_attributes(root)
    waiting, seen = [("", root)], set()
    while waiting:
        place, group = waiting.pop()
        for name in _names(group):
            if time.process_time() > until:
                return
            with contextlib.suppress(Exception):  # a damaged object does not hide the others
                where = f"{place}/{name.decode(errors='replace')}"
                item = _opened(group, name, where, found, seen)
                if isinstance(item, h5d.DatasetID):
                    _examine(item, where, found, large)
                elif isinstance(item, h5g.GroupID):
                    waiting.append((where, item))


def _names(group: Any) -> list[bytes]:
    with contextlib.suppress(Exception):
        return list(group)
    return []


def _opened(group: Any, name: bytes, where: str, found: References, seen: set[Any]) -> Any:
    """Returns the object behind a hard link that was not seen yet, with its attributes read; else None."""
    kind = group.links.get_info(name).type
    if kind == h5l.TYPE_EXTERNAL:
        found.append(("link", where, group.links.get_val(name)[0].decode(errors="replace")))
    if kind != h5l.TYPE_HARD:
        return None
    item = h5o.open(group, name)
    with contextlib.suppress(RuntimeError):  # the count of links may be damaged, and the object not
        if h5o.get_info(item).rc > 1:  # several links lead here, perhaps in a circle
            if item in seen:
                return None
            seen.add(item)
    _read_attributes(item)
    return item


def _read_attributes(item: Any) -> None:
    """Reads the attributes whose values lie in a heap; the others lie beside their names."""
    for number in range(h5a.get_num_attrs(item)):
        with contextlib.suppress(Exception):
            attribute = h5a.open(item, index=number)
            if _varies(attribute.get_type()):
                owner = h5py.Dataset(item) if isinstance(item, h5d.DatasetID) else h5py.Group(item)
                h5py.AttributeManager(owner)[attribute.name]


def _varies(kind: Any) -> bool:
    return kind.get_class() == h5t.VLEN or (kind.get_class() == h5t.STRING and kind.is_variable_str())


def _examine(dataset: Any, where: str, found: References, large: list[LargeChunk]) -> None:
    """Looks at type, storage and chunks of an array, and reads texts of variable length."""
    properties = dataset.get_create_plist()
    layout = properties.get_layout()
    if layout == h5d.VIRTUAL:
        names = {properties.get_virtual_filename(number) for number in range(properties.get_virtual_count())}
        found += [("virtual", where, name) for name in sorted(names)]
    elif layout == h5d.CHUNKED:
        dataset.get_num_chunks()
        if wrong := _wrong_chunk(dataset, properties, where, large):
            found.append(("chunk", where, wrong))
            return
        if math.prod(properties.get_chunk()) * dataset.dtype.itemsize <= LARGEST_CHUNK:
            h5py.Dataset(dataset)[(0,) * dataset.rank]  # through all filters, whose damaged settings can crash
    elif layout == h5d.CONTIGUOUS:
        for number in range(properties.get_external_count()):
            found.append(("raw", where, properties.get_external(number)[0].decode(errors="replace")))
    if _varies(dataset.get_type()) and dataset.get_space().get_simple_extent_npoints() <= MOST_TEXTS:
        h5py.Dataset(dataset)[()]


def _wrong_chunk(dataset: Any, properties: Any, where: str, large: list[LargeChunk]) -> str:
    """Returns what is wrong with the first chunk or the size of another; adds chunks that may inflate too far."""
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    if not filters:
        return ""
    inflates = [code for code in filters if code != h5z.FILTER_FLETCHER32][-1:] == [h5z.FILTER_DEFLATE]
    most, n_seen = 2 * math.prod(properties.get_chunk()) * dataset.get_type().get_size(), 0
    own: list[LargeChunk] = []

    def look(chunk: Any) -> bool | None:
        nonlocal n_seen
        n_seen += 1
        if inflates and chunk.size * MOST_RATIO > MOST_INFLATED:
            own.append(LargeChunk(where, dataset, chunk.chunk_offset, most))
        return chunk.size <= SMALLEST_CHUNK or n_seen > MOST_CHUNKS or None

    if dataset.chunk_iter(look) and n_seen <= MOST_CHUNKS:
        return "is empty"  # without room for a checksum, HDF5 reads far behind it
    if any(not any(chunk.offset) and _inflates_too_far(chunk) for chunk in own):  # the first chunk is read in a moment
        return BOMB
    large += own
    return ""


def _inflates_too_far(chunk: LargeChunk) -> bool:
    """Returns whether a chunk, which takes as much memory as it inflates to, inflates to more than it should."""
    with contextlib.suppress(Exception):  # whoever reads the chunk meets the same error
        _, stored = chunk.dataset.read_direct_chunk(chunk.offset)
        return len(zlib.decompressobj().decompress(stored, chunk.most + 1)) > chunk.most
    return False


def _read_matlab(path: str) -> References:
    """Reads all variables of a MATLAB file up to v7, which refers to no other files."""
    import scipy.io

    for name, _, _ in scipy.io.whosmat(path):
        try:
            scipy.io.loadmat(path, variable_names=[name])
        except MemoryError:  # with more memory, SciPy can crash on the same damage
            raise
        except Exception:  # whoever reads the variable meets the same error
            continue
    return []


def _limit(seconds: float, n_bytes: int) -> None:
    """Ends this process when it needs more time of the processor from now on, or more memory; not on Windows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        until = int(usage.ru_utime + usage.ru_stime + seconds) + 1
        for kind, limit in ((resource.RLIMIT_CPU, until), (resource.RLIMIT_AS, n_bytes), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    main()

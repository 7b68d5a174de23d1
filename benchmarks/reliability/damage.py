"""Damage to a file, drawn from a seed: flipped bits, overwritten ranges, truncation, swapped blocks, and bombs."""

from __future__ import annotations

import functools
import re
import zlib
from pathlib import Path

import h5py
import numpy as np

STRUCTURE = re.compile(
    rb"TREE|HEAP|SNOD|OHDR|OCHK|FRHP|FHDB|BTHD|BTLF|GCOL|FAHD|FADB|PK\x01\x02|PK\x03\x04|PK\x05\x06|NUMPY"
)
"""Marks of the structure of HDF5, ZIP and NPY files. Damage near them does more than damage to numbers."""

NEAR = 256
"""Bytes around a mark in which half of all places lie."""


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Returns a damaged copy of the bytes of a file, and in words what was done.

    Args:
        content: The intact bytes, at least one.
        rng: Source of kind, place and size of the damage.
    """
    marks = [match.start() for match in STRUCTURE.finditer(content)]
    found = bytearray(content)

    def place() -> int:
        if marks and rng.random() < 0.5:
            return min(len(content) - 1, int(rng.choice(marks)) + int(rng.integers(NEAR)))
        return int(rng.integers(len(content)))

    kind = rng.choice(["bit", "bits", "range", "truncation", "swap"], p=[0.35, 0.2, 0.25, 0.1, 0.1])
    if kind in ("bit", "bits"):
        places = [place() for _ in range(1 if kind == "bit" else int(rng.integers(2, 33)))]
        for where in places:
            found[where] ^= 1 << int(rng.integers(8))
        return bytes(found), f"flipped bits at {places[:4]}"
    if kind == "truncation":
        size = int(rng.integers(len(content)))
        return bytes(found[:size]), f"cut to {size} bytes"
    size = int(min(len(content), 2 ** rng.integers(11)))
    first = min(place(), len(content) - size)
    if kind == "range":
        filler = int(rng.integers(3))
        found[first : first + size] = rng.bytes(size) if filler == 2 else bytes([255 * filler]) * size
        return bytes(found), f"overwrote {size} bytes at {first} with {('0', '255', 'random bytes')[filler]}"
    second = min(place(), len(content) - size)
    found[first : first + size], found[second : second + size] = (
        content[second : second + size],
        content[first : first + size],
    )
    return bytes(found[: len(content)]), f"swapped {size} bytes at {first} and {second}"


BOMB = 2**31
"""Bytes that the chunk of a bomb inflates to."""


def with_bomb(path: Path, rng: np.random.Generator) -> str:
    """Replaces a chunk of an HDF5 file that is compressed by one that inflates to far more than the shape says.

    Returns:
        What was done, in words; "" if the file has no such chunk.
    """
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.compression == "gzip" and item.id.get_num_chunks():
            found.append(name)

    with h5py.File(path, "r+") as file:
        file.visititems(note)
        if not found:
            return ""
        item = file[str(rng.choice(found))]
        assert isinstance(item, h5py.Dataset)
        offset = item.id.get_chunk_info(int(rng.integers(item.id.get_num_chunks()))).chunk_offset
        filters = item.id.get_create_plist()
        codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
        unchecked = sum(1 << place for place, code in enumerate(codes) if code == h5py.h5z.FILTER_FLETCHER32)
        item.id.write_direct_chunk(offset, _bomb(), filter_mask=unchecked)
        return f"put a bomb into the chunk {offset} of {item.name}"


@functools.cache
def _bomb() -> bytes:
    """Returns `BOMB` zeros, compressed: after a full flush, the stream of a block can be repeated."""
    press, block = zlib.compressobj(9), bytes(2**24)
    first = press.compress(block) + press.flush(zlib.Z_FULL_FLUSH)
    checksum = (BOMB % 65521 << 16) | 1
    return first[:2] + first[2:] * (BOMB // len(block)) + b"\x03\x00" + checksum.to_bytes(4, "big")

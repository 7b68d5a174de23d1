"""Damage to a file, drawn from a seed: flipped bits, overwritten ranges, truncation, swapped blocks."""

from __future__ import annotations

import re

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

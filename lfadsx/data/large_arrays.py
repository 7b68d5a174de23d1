"""Arrays that are larger than memory as they are stored: room, and reading in blocks to the smallest type."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import h5py
import numpy as np

from lfadsx.errors import DataError

P = ParamSpec("P")
R = TypeVar("R")

BLOCK = 2**25
"""Bytes of a block, as stored."""

GIB = 2**30


def check_room(n_bytes: int, label: str) -> None:
    """Raises `DataError` when an array needs more memory than is free."""
    free = free_bytes()
    if free is not None and n_bytes > free:
        raise DataError(
            f"{label} needs {n_bytes / GIB:.3g} GiB of memory, and {free / GIB:.3g} GiB are free. Store fewer trials, "
            "bins or channels in a file, or free memory."
        )


def free_bytes() -> int | None:
    """Returns the bytes that this process may still use; None if the system does not tell."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            found.append(max(0, limit - used))
    return min(found) if found else None


def read_in_blocks(dataset: h5py.Dataset, label: str) -> np.ndarray:
    """Reads numbers block by block along the first axis, into the smallest type that holds them.

    Whole numbers from 0, also those stored as floats, become unsigned integers. Floats with a fraction, NaN or
    infinity become float32, as they do later in any case.

    Args:
        dataset: The array, with at least one axis.
        label: Name of the array in messages.
    """
    check_room(int(dataset.size or 0), label)
    n_rows = max(1, BLOCK // max(1, dataset.nbytes // max(1, len(dataset))))
    if dataset.chunks and dataset.chunks[0] <= n_rows:  # so that no chunk is decompressed twice
        n_rows -= n_rows % dataset.chunks[0]
    found = np.empty(dataset.shape, np.uint8)
    for first in range(0, len(dataset), n_rows):
        block = dataset[first : first + n_rows]
        kind = _smallest(block, found.dtype)
        if kind != found.dtype:
            check_room(found.size * kind.itemsize, label)
            wider = np.empty(dataset.shape, kind)
            wider[:first] = found[:first]
            found = wider
        found[first : first + len(block)] = block
    return found


def _smallest(block: np.ndarray, so_far: np.dtype) -> np.dtype:
    """Returns the smallest type that holds the numbers of a block and those of type `so_far`."""
    if not block.size:
        return so_far
    low, high = block.min(), block.max()
    if block.dtype.kind in "iu":
        return np.result_type(so_far, np.min_scalar_type(int(high)), np.min_scalar_type(int(low)))
    whole = np.isfinite(low) and np.isfinite(high) and low >= 0 and bool(np.all(block == np.floor(block)))
    if whole and high < 2**53:
        return np.result_type(so_far, np.min_scalar_type(int(high)))
    largest = np.nanmax(np.abs(block), initial=0, where=np.isfinite(block))
    return np.result_type(so_far, np.float32 if largest < np.finfo(np.float32).max else np.float64)


def enough_memory(read: Callable[P, R]) -> Callable[P, R]:
    """Makes a function that reads data say in words that the memory is too small for them."""

    @functools.wraps(read)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except MemoryError as error:
            raise DataError(
                f"The data need more memory than is free ({error}). Read fewer trials, bins or channels at once, or "
                "free memory."
            ) from error

    return inner

"""The process that reads damaged files: one line of JSON in for each file, one out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.reliability.damage import damaged, with_bomb
from benchmarks.reliability.originals import Original, originals
from lfadsx.errors import LfadsxError

BOMBS = 0.03
"""Share of HDF5 files that get a bomb instead of damage, if they are compressed."""

LARGEST_ADDRESS_SPACE = 12 * 2**30
"""Bytes that a worker may address, so that a reader that believes a wrong size fails here and not the machine."""


def main() -> None:
    """Answers requests, seed and format of a file, until the input ends. The first line names the originals."""
    folder = Path(sys.argv[1])
    reader = Reader(originals(folder, sys.argv[2:]), folder)
    warnings.simplefilter("ignore")
    _limit_memory()
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print does not reach the answers
    print(json.dumps({name: str(one.path) for name, one in reader.intact.items()}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(reader.answer(**json.loads(line))), file=out, flush=True)


class Reader:
    """Damages files and reads them.

    Args:
        intact: The originals by name.
        folder: Folder of damaged copies.
    """

    def __init__(self, intact: Mapping[str, Original], folder: Path) -> None:
        self.intact, self.folder = intact, folder
        # Reading all of them once also imports what they need, which is not part of the time of a file.
        self._known = {name: digest(original.read(original.path)) for name, original in intact.items()}
        self._contents: dict[Path, dict[str, tuple[str, str, bool]]] = {}

    def answer(self, seed: int, name: str) -> dict[str, Any]:
        """Damages one file and returns how reading it ended, in how many seconds and with how much memory.

        The end is "clean_errors", "read_correctly", "changed" (the damage changed what the file says),
        "silently_wrong" or "raw_errors".
        """
        original = self.intact[name]
        path, file, what = damaged_copy(original.path, self.folder, seed)
        started = _seconds()
        value = error = None
        try:
            value = original.read(path)
        except Exception as raised:
            error = raised
        seconds = _seconds() - started
        if isinstance(error, LfadsxError):
            end, said = "clean_errors", str(error)
        elif error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-6:]]
            end, said = "raw_errors", f"{type(error).__name__}: {error} at {' < '.join(places[::-1])}"
        else:
            end, said = self._compared(name, value, path, file), what
        return {"end": end, "said": said[:600], "file": str(file), "what": what, "s": seconds, "gib": peak_gib()}

    def _compared(self, name: str, value: Any, path: Path, file: Path) -> str:
        original = self.intact[name]
        if digest(value) == self._known[name]:
            return "read_correctly"
        if original.checked == "all":
            return "silently_wrong"
        whole = original.path / file.relative_to(path) if original.path.is_dir() else original.path
        if file.suffix not in (".h5", ".nwb", ".mat", ".nix") or not h5py.is_hdf5(file):
            return "changed"
        if whole not in self._contents:
            self._contents[whole] = contents(whole)
        before, after = self._contents[whole], contents(file)
        if before == after:
            return "silently_wrong"
        wrong = original.checked == "arrays" and any(
            after[key][0] == shape and after[key][1] != values
            for key, (shape, values, has_checksums) in before.items()
            if has_checksums and key in after
        )
        return "silently_wrong" if wrong and _seen_by_fletcher32(whole, file) else "changed"


def damaged_copy(original: Path, folder: Path, seed: int) -> tuple[Path, Path, str]:
    """Writes the damaged copy of a file or folder that belongs to a seed; returns it, the damaged file and the damage.

    Args:
        original: File or folder.
        folder: Where the copy is written; an earlier one is replaced.
        seed: Any number.
    """
    rng = np.random.default_rng([seed, zlib.crc32(original.name.encode())])
    path = folder / "damaged" / original.name
    if original.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original, path)
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
        file = files[int(rng.integers(len(files)))]
        content, what = damaged(file.read_bytes(), rng)
        what = f"{file.relative_to(path)}: {what}"
    else:
        path.parent.mkdir(exist_ok=True)
        file = path
        if h5py.is_hdf5(original) and rng.random() < BOMBS:
            shutil.copyfile(original, path)
            if what := with_bomb(path, rng):
                return path, file, what
        content, what = damaged(original.read_bytes(), rng)
    file.write_bytes(content)
    return path, file, what


def digest(value: Any) -> str:
    """Returns one number for all arrays and facts of a value, except its source, which has the SHA-256 of the file."""
    found = hashlib.sha256()
    for part in _parts(value):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterable[bytes]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {
            field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name != "source"
        }
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield str(len(value)).encode()
        for item in value:
            yield from _parts(item)
    elif hasattr(value, "shape"):
        array = np.asarray(value)
        yield f"{array.shape} {array.dtype}".encode()
        yield from _parts(array.tolist()) if array.dtype.hasobject else (array.tobytes(),)
    else:
        yield repr(value).encode()


def contents(path: Path) -> dict[str, tuple[str, str, bool]]:
    """Returns what h5py reads of a file: by name, shape and type, values, and whether its chunks have checksums."""
    found: dict[str, tuple[str, str, bool]] = {}

    def add(name: str, item: Any, depth: int = 0) -> None:
        for key in _attempt(lambda: list(item.attrs), []):
            found[f"{name}@{key}"] = ("", _attempt(lambda key=key: digest(item.attrs[key]), "error"), False)
        if isinstance(item, h5py.Dataset):
            small = item.size is None or item.size < 10**7
            shape = f"{item.shape} {item.dtype}"
            found[name] = (shape, _attempt(lambda: digest(item[()]), "error") if small else "large", item.fletcher32)
        elif depth < 8:
            for key in _attempt(lambda: list(item), []):
                _attempt(lambda key=key: add(f"{name}/{key}", item[key], depth + 1), None)

    with h5py.File(path, "r") as file:
        add("", file)
    return found


def _seen_by_fletcher32(before: Path, after: Path) -> bool:
    """Returns whether files differ in more than words of 0 and 65535, which are the same to a Fletcher-32 checksum."""
    sides = (np.frombuffer(path.read_bytes()[: before.stat().st_size // 2 * 2], "<u2") for path in (before, after))
    one, other = (np.where(words == 65535, 0, words) for words in sides)
    return not np.array_equal(one, other)


def _attempt(read: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return read()
    except Exception:  # the file is damaged, and h5py raises errors of many kinds
        return otherwise


def _seconds() -> float:
    """Returns the time of the processor of this process and of processes that it has ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def peak_gib() -> float:
    """Returns the largest memory that this process has used, in GiB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_ADDRESS_SPACE, LARGEST_ADDRESS_SPACE))


if __name__ == "__main__":
    main()

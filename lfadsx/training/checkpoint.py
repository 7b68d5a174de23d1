"""Checkpoints: arrays by Orbax, a JSON beside them, and a manifest of checksums."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from lfadsx import processes
from lfadsx.damaged_files import read_json
from lfadsx.errors import CheckpointError
from lfadsx.files import put_on_disk, writing

log = logging.getLogger("lfadsx")


class DamagedError(CheckpointError):
    """A checkpoint with files that are missing or differ from those that were written."""


RESTORE = "Restore the checkpoint from a copy."


def save(folder: Path, tree: Any, meta: dict[str, Any]) -> None:
    """Writes a checkpoint: all arrays of a pytree, a JSON, and the SHA-256 of every file.

    The folder appears only when it is complete; a checkpoint of the same name is replaced. Typed random keys are
    allowed as arrays. Arrays that are spread over several processes are written by all of these, which must then all
    call this function; other arrays are written by the first process alone.

    Raises:
        RunError: If the folder cannot be written; earlier checkpoints are then unchanged.
    """
    folder = Path(folder).absolute()
    together = any(isinstance(array, jax.Array) and not array.is_fully_addressable for array in jax.tree.leaves(tree))
    if not (together or processes.is_first()):
        return
    part = folder.with_name(f".{folder.name}.partial")
    is_first = processes.is_first()
    try:
        with writing(folder):
            if is_first:
                shutil.rmtree(part, ignore_errors=True)
                folder.parent.mkdir(exist_ok=True)  # not its parents: a run folder that was deleted stays so
                part.mkdir()
            _wait(together)
            _write_arrays(part / "arrays", by_name(tree), alone=not together)
            _wait(together)
            if is_first:
                (part / "meta.json").write_text(json.dumps(meta, indent=1))
                manifest = {"files": _checksums(part), "shapes": _shapes(by_name(tree))}
                (part / "manifest.json").write_text(json.dumps(manifest, indent=1))
                _move(part, folder)
    except BaseException:
        if is_first:
            shutil.rmtree(part, ignore_errors=True)  # it may have filled the disk
        raise
    _wait(together)


def _write_arrays(folder: Path, arrays: dict[str, Any], *, alone: bool) -> None:
    with _said_once(), _checkpointer(alone=alone) as checkpointer:
        checkpointer.save(folder, jax.tree.map(_one_copy, arrays))


@contextmanager
def _said_once() -> Iterator[None]:
    """Keeps the threads of Orbax and TensorStore from printing, with tracebacks, what Orbax raises.

    If one of several writes fails, the others end later, and find that Orbax has closed its event loop. So what they
    say is dropped from then on.
    """
    logger, report = logging.getLogger("absl"), sys.unraisablehook
    logger.addFilter(_has_no_traceback)
    sys.unraisablehook = partial(_unless_late, report)
    try:
        yield
        sys.unraisablehook = report
    finally:
        logger.removeFilter(_has_no_traceback)


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Drops the errors that the threads of Orbax log before it raises them: they would be said twice."""
    return not record.exc_info


def _unless_late(report: Callable[[Any], Any], unraisable: Any) -> None:
    """Reports an exception that nobody can catch, unless it comes from a write that ended after another one failed."""
    if str(unraisable.exc_value) != "Event loop is closed":
        report(unraisable)


def _move(partial: Path, folder: Path) -> None:
    """Gives a complete checkpoint its name. Whenever this is interrupted, `_whole` finds the old or the new one."""
    for path in (partial, *partial.rglob("*")):
        put_on_disk(path)
    replaced = _replaced(folder)
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    partial.rename(folder)
    put_on_disk(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _whole(folder: Path) -> Path:
    """Returns the absolute folder of a checkpoint, also of one that was being replaced when its process was killed."""
    folder = Path(folder).absolute()
    return _replaced(folder) if _replaced(folder).is_dir() and not folder.exists() else folder


def restore(folder: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Reads a checkpoint after checking every file; returns the pytree and the JSON.

    `like` is a pytree of arrays with the wanted shapes, dtypes and, for several devices, shardings.
    """
    folder = _whole(folder)
    manifest = check(folder)
    target = by_name(like)
    _compare(folder, manifest["shapes"], _shapes(target))
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    with _checkpointer(alone=True) as checkpointer:
        arrays = checkpointer.restore(folder / "arrays", jax.tree.map(ocp.utils.to_shape_dtype_struct, target))
    treedef = jax.tree.structure(like)
    return jax.tree.unflatten(treedef, [arrays[name] for name in target]), read_meta(folder)


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a checkpoint by name, except random keys, after checking every file."""
    folder = _whole(folder)
    check(folder)
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    # Where the devices that wrote an array are not there.
    elsewhere = ocp.args.StandardRestore(fallback_sharding=SingleDeviceSharding(jax.local_devices()[0]))
    with _checkpointer(alone=True) as checkpointer:
        arrays = ocp.AsyncCheckpointer.restore(checkpointer, folder / "arrays", args=elsewhere)
    return {name: np.asarray(array) for name, array in arrays.items() if not _is_key(array)}


def _one_copy(array: Any) -> Any:
    """Returns one device's copy of an array that all devices hold.

    Otherwise Orbax cuts the copies into shares of the devices, and compiles a program for each shape. With several
    processes it takes copies as NumPy arrays only.
    """
    if not isinstance(array, jax.Array) or not array.is_fully_replicated:
        return array
    if processes.count() > 1:
        return array if _is_key(array) else np.asarray(array)
    return array.addressable_data(0) if len(array.sharding.device_set) > 1 else array


def _checkpointer(*, alone: bool) -> Any:
    """Returns the writer and reader of arrays; `alone` if each process calls it for itself."""
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    if processes.count() == 1:
        return ocp.StandardCheckpointer()
    own = jax.process_index()
    how: Any = dict(primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"{own}") if alone else {}
    return ocp.StandardCheckpointer(multiprocessing_options=ocp.options.MultiprocessingOptions(**how))


def _is_key(array: Any) -> bool:
    return isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def read_meta(folder: Path) -> dict[str, Any]:
    """Reads the JSON of a checkpoint. Raises DamagedError if it is missing or damaged."""
    return read_json(_whole(folder) / "meta.json", RESTORE, error=DamagedError)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint: SHA-256 of `files` and `shapes` of arrays. The files are not checked."""
    folder = _whole(folder)
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise DamagedError(
            f"{folder} must be a complete checkpoint, but has no manifest.json. Give a folder that a run has written."
        )
    content = read_json(manifest, RESTORE, error=DamagedError)
    if not all(isinstance(content.get(part), dict) for part in ("files", "shapes")):
        raise DamagedError(f"The file {manifest} must name files and shapes, but is damaged. {RESTORE}")
    return content


def check(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint. Raises DamagedError if a file is missing or damaged."""
    folder = _whole(folder)
    content, found = read_manifest(folder), _checksums(folder)
    for name, checksum in content["files"].items():
        if found.get(name) != checksum:
            state = "is missing" if name not in found else "is damaged: its SHA-256 differs from the manifest"
            raise DamagedError(f"The file {name} of the checkpoint {folder} {state}. {RESTORE}")
    return content


def numbered(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder, whose names are their steps, oldest first."""
    found = [path for path in Path(folder).glob("[0-9]*") if path.name.isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def is_whole(folder: Path) -> bool:
    """Returns whether a checkpoint is there and undamaged."""
    try:
        check(folder)
    except DamagedError:
        return False
    return True


def restore_newest(folder: Path, like: Any) -> tuple[Any, dict[str, Any]] | None:
    """Reads the newest undamaged checkpoint of a folder as `restore` does; returns None if there is none at all.

    A damaged one is reported in the log, and the one before it is used.

    Raises:
        DamagedError: If all checkpoints are damaged.
    """
    found = numbered(folder)
    for path in reversed(found):
        try:
            return restore(path, like)
        except DamagedError as error:
            log.warning("%s The run resumes from the checkpoint before it, if there is one.", error)
    if found:
        raise DamagedError(
            f"At least one checkpoint in {folder} must be undamaged, but all {len(found)} are damaged. Restore one "
            "from a copy, or delete the folder to train from the start."
        )
    return None


def save_numbered(folder: Path, step: int, tree: Any, meta: dict[str, Any], *, keep: int) -> None:
    """Saves a checkpoint under its step, and deletes all but the newest `keep`."""
    own = Path(folder) / f"{step:08d}"
    save(own, tree, meta)
    if processes.is_first():
        found = numbered(folder)
        n_until = found.index(own) + 1
        # Checkpoints of later steps are damaged: the run would have resumed from them. Hidden ones are what killed
        # processes have left.
        for old in (*found[: max(0, n_until - keep)], *found[n_until:], *Path(folder).glob(".*")):
            shutil.rmtree(old, ignore_errors=True)
    processes.wait()


def by_name(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a pytree by their names in a checkpoint: their paths, joined by dots."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {".".join(_part(key) for key in path): leaf for path, leaf in leaves}


def _part(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _shapes(arrays: dict[str, Any]) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in arrays.items()}


def _compare(folder: Path, stored: dict[str, list[int]], wanted: dict[str, list[int]]) -> None:
    for name in sorted(stored.keys() | wanted.keys()):
        if stored.get(name) != wanted.get(name):
            raise CheckpointError(
                f"The checkpoint {folder} does not fit this model: `{name}` has shape {stored.get(name, 'none')} in "
                f"the checkpoint and {wanted.get(name, 'none')} in the model. Build the model that it was written for."
            )


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wait(together: bool) -> None:
    """Lets all processes that write together reach the same stage; files are moved by the first one only."""
    if together:
        processes.wait()

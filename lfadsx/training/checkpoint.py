"""Checkpoints: arrays by Orbax, a JSON beside them, and a manifest of checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from lfadsx.damaged_files import read_json
from lfadsx.errors import CheckpointError

RESTORE = "Delete this folder to resume from an earlier checkpoint, or restore it from a copy."


def save(folder: Path, tree: Any, meta: dict[str, Any]) -> None:
    """Writes a checkpoint: all arrays of a pytree, a JSON, and the SHA-256 of every file.

    The folder appears only when it is complete; a checkpoint of the same name is replaced. On several hosts all
    processes must call this. Typed random keys are allowed as arrays.
    """
    folder = Path(folder).absolute()
    partial = folder.with_name(f".{folder.name}.partial")
    is_first = jax.process_index() == 0
    if is_first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    _wait("made")
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(partial / "arrays", jax.tree.map(_one_copy, by_name(tree)))
    _wait("written")
    if is_first:
        (partial / "meta.json").write_text(json.dumps(meta, indent=1))
        manifest = {"files": _checksums(partial), "shapes": _shapes(by_name(tree))}
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=1))
        replaced = folder.with_name(f".{folder.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if folder.exists():
            folder.rename(replaced)
        partial.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    _wait("moved")


def restore(folder: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Reads a checkpoint after checking every file; returns the pytree and the JSON.

    `like` is a pytree of arrays with the wanted shapes, dtypes and, for several devices, shardings.
    """
    folder = Path(folder).absolute()
    manifest = check(folder)
    target = by_name(like)
    _compare(folder, manifest["shapes"], _shapes(target))
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore(folder / "arrays", jax.tree.map(ocp.utils.to_shape_dtype_struct, target))
    treedef = jax.tree.structure(like)
    return jax.tree.unflatten(treedef, [arrays[name] for name in target]), read_meta(folder)


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a checkpoint by name, except random keys, after checking every file."""
    folder = Path(folder).absolute()
    check(folder)
    import orbax.checkpoint as ocp  # takes as long as the rest of the library

    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore(folder / "arrays")
    return {name: np.asarray(array) for name, array in arrays.items() if not _is_key(array)}


def _one_copy(array: Any) -> Any:
    """Returns one device's copy of an array that all devices of this process hold.

    Otherwise Orbax cuts the copies into shares of the devices, and compiles a program for each shape.
    """
    several = isinstance(array, jax.Array) and jax.process_count() == 1 and len(array.sharding.device_set) > 1
    return array.addressable_data(0) if several and array.is_fully_replicated else array


def _is_key(array: Any) -> bool:
    return isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def read_meta(folder: Path) -> dict[str, Any]:
    """Reads the JSON of a checkpoint."""
    return read_json(Path(folder) / "meta.json", RESTORE, error=CheckpointError)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint: SHA-256 of `files` and `shapes` of arrays. The files are not checked."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise CheckpointError(
            f"{folder} must be a complete checkpoint, but has no manifest.json. Give a folder that a run has written."
        )
    content = read_json(manifest, RESTORE, error=CheckpointError)
    if not all(isinstance(content.get(part), dict) for part in ("files", "shapes")):
        raise CheckpointError(f"The file {manifest} must name files and shapes, but is damaged. {RESTORE}")
    return content


def check(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint. Raises CheckpointError if a file is missing or damaged."""
    content, found = read_manifest(folder), _checksums(folder)
    for name, checksum in content["files"].items():
        if found.get(name) != checksum:
            state = "is missing" if name not in found else "is damaged: its SHA-256 differs from the manifest"
            raise CheckpointError(f"The file {name} of the checkpoint {folder} {state}. {RESTORE}")
    return content


def numbered(folder: Path) -> list[Path]:
    """Returns the complete checkpoints of a folder, whose names are their steps, oldest first."""
    found = [path for path in Path(folder).glob("[0-9]*") if (path / "manifest.json").is_file()]
    return sorted(found, key=lambda path: int(path.name))


def restore_newest(folder: Path, like: Any) -> tuple[Any, dict[str, Any]] | None:
    """Reads the newest complete checkpoint of a folder as `restore` does; returns None if there is none."""
    found = numbered(folder)
    return restore(found[-1], like) if found else None


def save_numbered(folder: Path, step: int, tree: Any, meta: dict[str, Any], *, keep: int) -> None:
    """Saves a checkpoint under its step, and deletes all but the newest `keep`."""
    save(Path(folder) / f"{step:08d}", tree, meta)
    if jax.process_index() == 0:
        for old in numbered(folder)[:-keep]:
            shutil.rmtree(old)
    _wait("pruned")


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


def _wait(stage: str) -> None:
    """Lets all processes reach the same stage; files are moved by the first one only."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"lfadsx checkpoint {stage}")

"""Configuration files of lfads-torch (Hydra) and AutoLFADS (YACS) as one tree of values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lfadsx.damaged_files import readable, text_of
from lfadsx.errors import LfadsxError

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
"""A reference to another value of the tree, such as ${model.fac_dim}."""

MOST_VALUES = 10**5
"""Values of a configuration at most, with what aliases repeat."""


def read_settings(sources: Sequence[str | Path | Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the values of configuration files or their content, later ones over earlier ones, references replaced.

    A file may be a whole configuration, one whose `defaults` name files in folders beside it, or one of its parts:
    model, datamodule or callbacks. The parts are told by their `_target_`.

    Raises:
        OSError: If a file cannot be read.
        LfadsxError: If a file is not YAML or holds no settings.
    """
    found: dict[str, Any] = {}
    for source in sources:
        content = dict(source) if isinstance(source, Mapping) else _with_defaults(Path(source))
        found = _merged(found, _by_part(content))
    return _resolved(found, found)


def class_of(part: Any) -> str:
    """Returns the name of the class in `_target_` without its module; "" if there is none."""
    return str(part.get("_target_", "")).rpartition(".")[2] if isinstance(part, Mapping) else ""


def _with_defaults(path: Path) -> dict[str, Any]:
    """Returns the content of a file, over that of the files that its `defaults` name."""
    content = _content(path)
    for entry in content.pop("defaults", None) or ():
        for group, name in entry.items() if isinstance(entry, Mapping) else ():
            file = path.parent / str(group) / f"{name}.yaml"
            if ".." in f"{group}/{name}".split("/") or Path(str(group)).is_absolute() or str(name).startswith("/"):
                raise LfadsxError(
                    f"`defaults` of {str(path)!r} must name files in folders beside it, got {group}/{name}. Copy the "
                    "file there."
                )
            if file.is_file():  # others are on Hydra's search path, which is not known here
                content = _merged({group: _content(file)}, content)
    return content


def _by_part(content: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of a file by parts; a file of one part has no name for it."""
    kind = class_of(content)
    if kind:
        return {"model" if kind == "LFADS" else "datamodule": content}
    if content and all(class_of(part) for part in content.values()):
        return {"callbacks": content}
    return content


def _content(path: Path) -> dict[str, Any]:
    path.open("rb").close()  # a missing file is an OSError
    with readable(f"{str(path)!r} must be a YAML file", "Give a configuration as Hydra wrote it.", error=LfadsxError):
        found = yaml.safe_load(text_of(path))
    _check_size(found, path)
    if not isinstance(found, dict):
        raise LfadsxError(
            f"{str(path)!r} must hold settings by name. Give a configuration of lfads-torch or AutoLFADS."
        )
    return found


def _check_size(found: Any, path: Path) -> None:
    """Raises `LfadsxError` for a tree of too many values: aliases of YAML can repeat a part without end."""
    waiting, n_values = [found], 0
    while waiting and n_values <= MOST_VALUES:
        value = waiting.pop()
        n_values += 1
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if waiting:
        raise LfadsxError(f"{str(path)!r} must hold at most {MOST_VALUES} values, but holds more. Remove its aliases.")


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a tree with the values of two; those of the second count."""
    merged = dict(one)
    for name, value in other.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _resolved(value: Any, tree: Mapping[str, Any], depth: int = 0) -> Any:
    """Returns a value with references replaced; those that lead nowhere stay as they are."""
    if isinstance(value, Mapping):
        return {name: _resolved(item, tree, depth) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, tree, depth) for item in value]
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None or depth > 10:  # a reference to itself
        return value
    target: Any = tree
    for name in match[1].split("."):
        target = target.get(name) if isinstance(target, Mapping) else None
    return value if target is None else _resolved(target, tree, depth + 1)

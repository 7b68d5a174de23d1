"""Settings from a file (`--config`): a run's own `run.json`, or TOML; and from words NAME=VALUE (`--set`)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_origin

from lfadsx.aliases import ALIASES
from lfadsx.cli.command_flags import Flag
from lfadsx.damaged_files import readable, text_of
from lfadsx.errors import LfadsxError, nearest

GROUPS = ("model", "hyper", "train", "population", "reading")
"""Tables of a file; settings may also stand outside of tables."""


def from_file(path: Path, flags: Mapping[str, Flag]) -> dict[str, Any]:
    """Returns the settings of a file by name.

    Args:
        path: `run.json` of a run folder, the run folder, or a TOML file whose names are those of flags or settings.
        flags: The flags of the command.

    Raises:
        LfadsxError: If the file cannot be read or holds an unknown setting.
    """
    path = path / "run.json" if path.is_dir() else path
    is_json = path.suffix == ".json"
    form, remedy = "JSON" if is_json else "TOML", "Give run.json of a run, or a TOML file with settings."
    try:
        path.open("rb").close()
    except OSError as error:
        raise LfadsxError(f"`--config` must be a file that can be read, got {path} ({error.strerror}).") from error
    with readable(f"`--config` must be a {form} file, got {path}", remedy, error=LfadsxError):
        found = dict((json if is_json else tomllib).loads(text_of(path)))
    if is_json and "versions" in found:
        with readable(f"`--config` must hold the settings of a run, got {path}", remedy, error=LfadsxError):
            return _of_run(path, found, flags)
    values = {}
    for name, value in found.items():
        values |= value if name in GROUPS and isinstance(value, dict) else {name: value}
    return {name: flag.value(_words(value)) for name, (flag, value) in _known(values, flags, str(path)).items()}


def _of_run(path: Path, run: dict[str, Any], flags: Mapping[str, Flag]) -> dict[str, Any]:
    """The settings of a run folder: those that this command has."""
    config = run.get("notes", {}).get("model")
    if config is None:
        raise LfadsxError(
            f"`--config` must hold the settings of a model, but the model of {path} was composed in Python. Give a "
            "TOML file, or train that model further with `--start-from`."
        )
    values = config | run["hyper"] | run["train"] | run.get("population", {})
    known = {name: value for name, value in values.items() if name in flags and value is not None}
    return {name: flags[name].value(_words(value)) for name, value in known.items()}


def from_pairs(pairs: Iterable[str], flags: Mapping[str, Flag], prog: str) -> dict[str, Any]:
    """Returns the settings of words such as `ic_dim=8` by name; values of several numbers have commas.

    Raises:
        LfadsxError: If a word has another form, or names an unknown setting.
    """
    values = {}
    for pair in pairs:
        name, equals, word = pair.partition("=")
        if not equals:
            raise LfadsxError(f"`--set` must be followed by NAME=VALUE, got {pair!r}.")
        values[name] = word
    found = _known(values, flags, f"{prog} --set")
    return {
        name: flag.value(word.split(",") if get_origin(flag.kind) is tuple else word)
        for name, (flag, word) in found.items()
    }


def _words(value: Any) -> Any:
    """Numbers of a file as words, so that they are checked like those of a command line."""
    if isinstance(value, list):
        return [_words(part) for part in value]
    return value if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def _known(values: Mapping[str, Any], flags: Mapping[str, Flag], where: str) -> dict[str, tuple[Flag, Any]]:
    found = {}
    for typed, value in values.items():
        name = typed.replace("-", "_")
        name = ALIASES.get(name, name)
        if name not in flags or flags[name].metavar or name in ("config", "set"):
            raise LfadsxError(f"`{typed}` of {where} must be a setting{nearest(name, flags)}.")
        found[name] = flags[name], value
    return found

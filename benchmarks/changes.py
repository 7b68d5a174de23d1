"""Settings that are changed on a command line. Imports nothing, because other programs' environments use it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PARSERS = {bool: lambda text: {"true": True, "false": False}[text.lower()], tuple: lambda text: tuple(text.split(","))}
"""Function that reads the text of a setting, by type; other types are called themselves."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
"""Description of a valid value, by type of the setting."""


def changed(settings: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Returns settings with some of them set by "name=value"; values keep their type.

    Raises:
        ValueError: The setting is unknown, or its value has a wrong type.
    """
    found = dict(settings)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in settings:
            raise ValueError(f"There is no setting {name!r}. Give some of {', '.join(settings)}.")
        kind = type(settings[name])
        try:
            found[name] = PARSERS.get(kind, kind)(value)
        except (KeyError, ValueError):
            raise ValueError(
                f"The setting {name} is {value!r}. Give {KINDS.get(kind, 'a value')}, as in {name}={settings[name]}."
            ) from None
    return found

"""The command that translates flags of the TensorFlow LFADS: lfadsx translate."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.terminal import DONE
from lfadsx.errors import LfadsxError


@dataclasses.dataclass(kw_only=True)
class Translate(Command):
    """Print the flags of `lfadsx fit` that equal those of the TensorFlow LFADS."""

    examples = ("lfadsx fit day1.h5 --out runs/day1 $(lfadsx translate co_dim=1 gen_dim=99)",)

    flags: tuple[str, ...] = positional("NAME=VALUE", default=())
    """Flags without dashes, or the file hyperparameters-<step>.txt of that program. Other flags have its defaults."""

    def run(self) -> int:
        """Prints the flags in one line."""
        from lfadsx.interop.tensorflow import flags_of, settings_from_tensorflow

        is_file = len(self.flags) == 1 and "=" not in self.flags[0]
        settings = settings_from_tensorflow(Path(self.flags[0]) if is_file else dict(map(_pair, self.flags)))
        sys.stdout.write(" ".join(flags_of(settings)) + "\n")
        return DONE


def _pair(word: str) -> tuple[str, Any]:
    """Name and value of a word such as `gen_dim=200`; values that are neither numbers nor booleans stay text."""
    name, equals, text = word.lstrip("-").partition("=")
    if not equals:
        raise LfadsxError(f"Flags must have the form NAME=VALUE, as in gen_dim=200, got {word!r}.")
    try:
        return name, json.loads(text.lower())
    except json.JSONDecodeError:
        return name, text

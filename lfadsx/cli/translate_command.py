"""The command that translates settings of other LFADS programs: lfadsx translate."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.terminal import DONE, say
from lfadsx.errors import LfadsxError


@dataclasses.dataclass(kw_only=True)
class Translate(Command):
    """Print the flags of `lfadsx fit` that equal settings of the TensorFlow LFADS, lfads-torch or AutoLFADS."""

    examples = (
        "lfadsx fit day1.h5 --out runs/day1 $(lfadsx translate co_dim=1 gen_dim=99)",
        "lfadsx fit day1.h5 --out runs/day1 $(lfadsx translate model.yaml data.yaml)",
    )

    flags: tuple[str, ...] = positional("NAME=VALUE", default=())
    """Flags of the TensorFlow LFADS without dashes, or its file hyperparameters-<step>.txt; other flags have its
    defaults. Or YAML files of lfads-torch or AutoLFADS: a whole configuration, or model, datamodule and callbacks."""

    def run(self) -> int:
        """Prints the flags in one line; what has no counterpart goes to the standard error."""
        from lfadsx.interop.lfads_torch_settings import translated
        from lfadsx.interop.settings_flags import flags_of
        from lfadsx.interop.tensorflow import settings_from_tensorflow

        if self.flags and all(word.endswith((".yaml", ".yml")) for word in self.flags):
            settings, notes = translated(*map(Path, self.flags))
            for note in notes:
                say(note)
        else:
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

"""The command that translates flags of the TensorFlow LFADS: lfadsx translate."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from lfadsx.cli.terminal import DONE
from lfadsx.errors import LfadsxError


@dataclasses.dataclass
class Translate:
    """Print the flags of `lfadsx fit` that flags of the TensorFlow LFADS stand for.

    lfadsx fit data.h5 --out runs/first $(lfadsx translate co_dim=1 factors_dim=20)
    """

    flags: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Flags as name=value, without dashes, or the program's file hyperparameters-<step>.txt; others have its
    defaults."""

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
        raise LfadsxError(f"Flags must be given as name=value, as in gen_dim=200, got {word!r}.")
    try:
        return name, json.loads(text.lower())
    except json.JSONDecodeError:
        return name, text

"""The options that the examples share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def options(about: str, name: str, arguments: list[str] | None = None) -> dict[str, Any]:
    """Reads `--quick`, `--epochs` and `--out` from the command line, for the function `main` of an example.

    Example:
        >>> from example_tools.command_line import options
        >>> options("About it.", "lorenz", ["--quick"])
        {'quick': True, 'epochs': None, 'out': PosixPath('runs/lorenz/quick')}

    Args:
        about: The docstring of the example, whose first line is shown as help.
        name: Name of the folder in `runs`.
        arguments: The arguments; by default those of the command line.

    Returns:
        `quick`; `epochs`, None if not given; and `out`, which ends in the folder "quick" for a quick run.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink in proportion")
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="folder to write")
    given = vars(parser.parse_args(arguments))
    return given | ({"out": given["out"] / "quick"} if given["quick"] else {})

"""Parts of the user's own, from the Python file that `--parts` names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from flax import nnx

from lfadsx.errors import LfadsxError, PartError, nearest
from lfadsx.models.seams import SEAMS

MODULE = "own_parts"
"""Name under which the file is imported."""


def parts_in(file: Path | None) -> dict[str, type[nnx.Module]]:
    """Imports a Python file and returns the parts that it defines, by class name; none without a file.

    Raises:
        LfadsxError: If the file does not exist or defines no part.
        PartError: If the file raises an exception.
    """
    if file is None:
        return {}
    module = _imported(file)
    parts = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nnx.Module) and value.__module__ == MODULE
    }
    if not parts:
        raise LfadsxError(
            f"`parts` must be a Python file that defines parts, got {file} without any. Derive a class from one of the "
            "abstract classes in lfadsx.modules or lfadsx.distributions."
        )
    return parts


def parts_by_seam(file: Path | None) -> dict[str, type[nnx.Module]]:
    """Returns the parts that a new model is built with, by the name of their seam.

    They are those of the dictionary `PARTS` in the file; without it, the only class for each seam.

    Raises:
        LfadsxError: If `PARTS` names an unknown seam, or it is not clear which class belongs to a seam.
        PartError: If the file raises an exception.
    """
    parts = parts_in(file)
    chosen = getattr(sys.modules.get(MODULE), "PARTS", None) if file else {}
    if chosen is not None:
        for seam in chosen:
            if seam not in SEAMS:
                known = ", ".join(SEAMS)
                raise LfadsxError(f"PARTS of {file} must name seams ({known}), got {seam!r}{nearest(seam, SEAMS)}.")
        return dict(chosen)
    found: dict[str, Any] = {}
    for name, part in parts.items():
        seams = [seam for seam, (abstract, _) in SEAMS.items() if issubclass(part, abstract)]
        if len(seams) == 1 and seams[0] not in found:
            found[seams[0]] = part
        elif seams:
            raise LfadsxError(
                f"`parts` must say where {name} of {file} belongs, because it fits {' and '.join(seams)} or is the "
                f'second class for it. Add to the file: PARTS = {{"{seams[0]}": {name}}}.'
            )
    return found


def _imported(file: Path) -> Any:
    if not file.is_file():
        raise LfadsxError(f"`parts` must be a Python file, and {file} does not exist. Check the path.")
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise LfadsxError(f"`parts` must be a Python file, got {file}. Give a file that ends with .py.")
    module = sys.modules[MODULE] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except LfadsxError:
        raise
    except Exception as error:
        raise PartError(f"The file {file} of --parts cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module

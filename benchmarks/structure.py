"""The size of the library, and the number of functions between a data file and rates.

    python -m benchmarks.structure
    python -m benchmarks.structure --library /path/to/another/checkout/lfadsx --no-way

Counts files, lines, classes, settings, repeated file names, and public names. Also counts the functions of the
library, and their files, that `lfadsx fit FILE` enters before it writes `posterior.h5`, for a small simulated
file. Prints a table and then one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "lfadsx"
SETTINGS = ("ModelConfig", "HyperParams", "TrainConfig", "PopulationConfig")

# Runs in a separate process: the profile function must be set before the library is imported.
WALK = """
import inspect, sys, threading
from pathlib import Path
folder, library = Path(sys.argv[1]), sys.argv[2]
seen, done = set(), folder / "run" / "posterior.h5"
def enter(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(library) and not done.exists():
        if not code.co_name.startswith("<") and code.co_flags & inspect.CO_OPTIMIZED:  # the bodies of classes are not
            seen.add((code.co_filename, code.co_qualname))
    return None
from lfadsx.cli import main
for name in ("pipeline", "workflow"):  # what runs while modules are imported is not on the way
    try: __import__(f"lfadsx.{name}")
    except ImportError: pass
words = "--epochs 2 --kl-ramp-epochs 1 --l2-ramp-epochs 1 --factors 4 --generator-dim 8".split()
words += "--ic-encoder-dim 8 --controller-dim 8 --ic-dim 4 --samples 2 --devices 1".split()
sys.setprofile(enter)
threading.setprofile(enter)
code = main(["fit", str(folder / "data.h5"), "--out", str(folder / "run"), *words])
sys.setprofile(None)
files = {name for name, _ in seen}
print(f"way {len(seen)} {len(files)} {code}")
"""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, default=LIBRARY, help="folder of the library")
    parser.add_argument("--no-way", action="store_true", help="leave out the way from a file to rates")
    options = parser.parse_args()
    library = options.library.resolve()
    figures = size(library) | {"public names": public_names(library)}
    if not options.no_way:
        figures |= way(library)
    for name, value in figures.items():
        print(f"{name:<40} {value}")
    print(json.dumps(figures))


def size(library: Path) -> dict[str, int]:
    """Returns the counts that need no run of the library."""
    files = sorted(library.rglob("*.py"))
    trees = [ast.parse(file.read_text()) for file in files]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = Counter(file.name for file in files if not file.name.startswith("__"))
    settings = [
        statement
        for node in classes
        if node.name in SETTINGS
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    ]
    return {
        "files": len(files),
        "lines": sum(len(file.read_text().splitlines()) for file in files),
        "classes": len(classes),
        "settings": len(settings),
        "file names used more than once": sum(count > 1 for count in names.values()),
    }


def public_names(library: Path) -> int:
    """Returns how many names `import lfadsx` offers."""
    code = "import lfadsx; print(len([name for name in dir(lfadsx) if not name.startswith('_')]))"
    return int(_run(library, "-c", code).split()[-1])


def way(library: Path) -> dict[str, int]:
    """Returns functions and files that `lfadsx fit FILE` enters before the rates are written."""
    with tempfile.TemporaryDirectory() as folder:
        _run(library, "-c", SIMULATE, str(Path(folder) / "data.h5"))
        last = _run(library, "-c", WALK, folder, str(library)).strip().splitlines()[-1].split()
    return {"functions between file and rates": int(last[1]), "files between file and rates": int(last[2])}


SIMULATE = """
import sys, h5py, numpy as np
random = np.random.default_rng(0)
with h5py.File(sys.argv[1], "w") as file:
    for split, n in (("train", 24), ("valid", 8)):
        file[f"{split}_encod_data"] = random.poisson(0.5, (n, 10, 8)).astype(np.uint8)
        file[f"{split}_recon_data"] = file[f"{split}_encod_data"][:]
"""


def _run(library: Path, *arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, *arguments], cwd=library.parent, capture_output=True, text=True, env=_environment(library)
    )
    if process.returncode:
        raise RuntimeError(process.stderr)
    return process.stdout


def _environment(library: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(library.parent), "JAX_PLATFORMS": "cpu"}


if __name__ == "__main__":
    main()

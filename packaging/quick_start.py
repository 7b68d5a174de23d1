"""Runs the Python blocks of the quick start, and what an extra adds, with the installed package.

python packaging/quick_start.py [EXTRA]
"""

import importlib
import re
import sys
from pathlib import Path

import lfadsx

ROOT = Path(__file__).parents[1]
ADDS = {
    "plot": "matplotlib",
    "report": "plotly",
    "log": "tensorboardX",
    "xarray": "xarray",
    "nwb": "pynwb",
    "pynapple": "pynapple",
    "neo": "nixio",
}

if Path(lfadsx.__file__).is_relative_to(ROOT / "lfadsx"):
    sys.exit("lfadsx must be the installed package, but the one of the checkout was imported.")

extra = sys.argv[1] if len(sys.argv) > 1 else "none"
page = (ROOT / "docs" / "quick_start.md").read_text()
blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
names = {}
for block in blocks:
    if extra not in ("plot", "report", "all"):
        block = "\n".join(line for line in block.splitlines() if "plotting" not in line)
    exec(block, names)

for name in set(ADDS) - {"neo"} if extra == "all" else [extra] if extra in ADDS else []:
    importlib.import_module(ADDS[name])
if extra in ("xarray", "all"):
    print(names["post"].to_xarray())
if extra in ("log", "all"):
    lfadsx.TensorBoard("logs")
if extra in ("nwb", "all"):
    from lfadsx.recordings import nwb_file  # noqa: F401

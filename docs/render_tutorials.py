"""Runs the tutorials and writes them as notebooks with their figures, for the documentation site.

    python docs/render_tutorials.py                     # all that changed; some take minutes
    python docs/render_tutorials.py decoding stitching  # these
    python docs/render_tutorials.py --quick             # tiny sizes, to see that they run

A tutorial is a percent script, docs/tutorials/NAME.py, and becomes docs/tutorials/NAME.ipynb. A notebook that was
rendered from the same script with the same version of the library is kept. A tutorial whose recording is missing
becomes a notebook without results that says so. An exception in a cell ends the command with exit code 1.

Needs the extra `docs`: pip install "lfadsx[docs]".
"""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import lfadsx

FOLDER = Path(__file__).parent / "tutorials"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
RECORDINGS = {"decoding": FOLDER / "../../../shared/data/macaque_reach_day31/heldout6.h5"}
"""Recordings that do not come with the project, by tutorial."""


def main(names: list[str], quick: bool) -> int:
    """Renders the tutorials of these names, and returns the exit code."""
    if unknown := sorted(set(names) - set(NAMES)):
        print(f"The tutorials are {', '.join(NAMES)}, got {', '.join(unknown)}.", file=sys.stderr)
        return 2
    failed = [name for name in names or NAMES if not render(name, quick)]
    return 1 if failed else 0


def render(name: str, quick: bool) -> bool:
    """Renders one tutorial unless its notebook is up to date, and returns whether that went well."""
    script, page = FOLDER / f"{name}.py", FOLDER / f"{name}.ipynb"
    recorded = name not in RECORDINGS or RECORDINGS[name].exists()
    made_from = fingerprint(script, quick, recorded)
    if page.exists() and nbformat.read(page, as_version=4).metadata.get("lfadsx") == made_from:
        print(f"{name}: up to date")
        return True
    notebook, begin = jupytext.read(script), time.perf_counter()
    notebook.metadata["lfadsx"] = made_from
    for cell in notebook.cells:  # links between tutorials, which become pages of the site
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(".ipynb)", ".html)")
    if not recorded:
        says = "*This page shows no results, because its recording was not there when the page was made.*"
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(says))
        nbformat.write(notebook, page)
        print(f"{name}: without results, its recording is not at {RECORDINGS[name]}")
        return True
    # The kernel starts in the folder of the notebook, as in Jupyter, so that relative paths mean the same.
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    os.environ |= {"LFADSX_QUICK": "1" if quick else "0", "TQDM_DISABLE": "1"}
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"{name}: a cell failed\n{error}", file=sys.stderr)
        return False
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of the kernel, which differ in every rendering
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, page)
    print(f"{name}: {time.perf_counter() - begin:.0f} s")
    return True


def fingerprint(script: Path, quick: bool, recorded: bool) -> str:
    """Returns a hash of the script, of the library's version, of the form, and of whether the recording is there."""
    text = f"{script.read_text()}{lfadsx.__version__}{quick}{recorded}"
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Renders the tutorials as notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tutorials; by default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    sys.exit(main(**vars(parser.parse_args())))

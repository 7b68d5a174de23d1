"""Documents and docstrings are correct: their Python code runs, and linked files exist."""

import contextlib
import doctest
import importlib
import io
import os
import re
from pathlib import Path

import making
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))
DOCUMENTS = sorted([path.name for path in ROOT.glob("*.md")] + PAGES)
BLOCK = re.compile(r"^(?P<mark>[^\n]*)\n(?P<indent> *)```python\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
FIRST = "docs/quick_start.md"
"""The page whose values the blocks of all other pages under docs/ start from."""
ALONE = {"README.md", "docs/index.md", "docs/how_to/custom_parts.md", "docs/how_to/populations.md"}
"""Pages that make their own values."""


def blocks(text):
    """Yields the line number and the code of each Python block that is to run."""
    for match in BLOCK.finditer(text):
        if not NOT_RUN.fullmatch(match["mark"].strip()):
            yield text.count("\n", 0, match.start("code")), match["code"]


def run_blocks(name, namespace):
    """Runs the blocks of a document in one namespace, without their output."""
    with contextlib.redirect_stdout(io.StringIO()):
        for line, code in blocks((ROOT / name).read_text()):
            # Empty lines in front give errors the line numbers of the document.
            exec(compile("\n" * line + code, str(ROOT / name), "exec"), namespace)


def with_blocks():
    """Returns the documents that have blocks to run."""
    return [name for name in DOCUMENTS if any(blocks((ROOT / name).read_text()))]


def links(text):
    """Yields the files that a document links to, without anchors and addresses on the web."""
    for match in LINK.finditer(FENCE.sub("", text)):
        target = (match[1] or match[2]).split("#")[0]
        if target and not re.match(r"[a-z][a-z+.-]*:", target):
            yield target


def modules_with_examples():
    """Returns the names of the modules whose docstrings have examples."""
    found = []
    for root, folder in ((ROOT, "lfadsx"), (ROOT / "examples", "example_tools")):
        paths = [path for path in sorted((root / folder).rglob("*.py")) if ">>>" in path.read_text()]
        found += [".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return found


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory):
    """The values that the quick start makes: data, model, run, post and score."""
    namespace, before = {"__name__": "__main__"}, Path.cwd()
    os.chdir(tmp_path_factory.mktemp("quick_start"))
    try:
        run_blocks(FIRST, namespace)
    finally:
        os.chdir(before)
    return namespace


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted and not tried.failed


@pytest.mark.parametrize("name", making.each(with_blocks(), FIRST))
def test_python_blocks_run(name, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    shared = {"__name__": "__main__"} if name in ALONE else dict(request.getfixturevalue("quick_start"))
    if name != FIRST:
        run_blocks(name, shared)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_linked_files_exist(name):
    folder = (ROOT / name).parent
    missing = [target for target in links((ROOT / name).read_text()) if not (folder / target).exists()]
    assert not missing


def test_blocks_and_links_are_found():
    text = "See [a](b.md#c), [d](https://e.f) and [top](#here).\n\n```python\nx = 1\n```\n"
    text += "\n<!-- not run: it takes hours -->\n```python\nx = 2\n[g](h.md)\n```\n\n```bash\nx = 3\n```\n"
    text += "\n<!-- not run -->\n```python\nx = 4\n```\n"
    assert list(blocks(text)) == [(3, "x = 1\n"), (18, "x = 4\n")]  # without a reason a block runs
    assert list(links(text)) == ["b.md"]

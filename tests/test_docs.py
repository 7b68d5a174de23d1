"""Documents and docstrings are correct: their Python code runs, and linked files exist."""

import doctest
import importlib
import re
from pathlib import Path

import making
import pytest

ROOT = Path(__file__).parents[1]
RUN = ("README.md", "CONTRIBUTING.md", "docs/populations.md")
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
BLOCK = re.compile(r"^(?P<mark>[^\n]*)\n```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
NOT_RUN = "<!-- not run -->"


def blocks(text):
    """Yields the line number and the code of each Python block that is to run."""
    for match in BLOCK.finditer(text):
        if match["mark"].strip() != NOT_RUN:
            yield text.count("\n", 0, match.start("code")), match["code"]


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


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted and not tried.failed


@pytest.mark.parametrize("name", making.each(RUN, "README.md"))
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for line, code in blocks((ROOT / name).read_text()):
        # Empty lines in front give errors the line numbers of the document.
        exec(compile("\n" * line + code, str(ROOT / name), "exec"), namespace)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_linked_files_exist(name):
    folder = (ROOT / name).parent
    missing = [target for target in links((ROOT / name).read_text()) if not (folder / target).exists()]
    assert not missing


def test_blocks_and_links_are_found():
    text = "See [a](b.md#c), [d](https://e.f) and [top](#here).\n\n```python\nx = 1\n```\n"
    text += f"\n{NOT_RUN}\n```python\nx = 2\n[g](h.md)\n```\n\n```bash\nx = 3\n```\n"
    assert list(blocks(text)) == [(3, "x = 1\n")]
    assert list(links(text)) == ["b.md"]

"""The layout agrees with docs/developer/architecture.md: imports go one way, and file names are unique."""

import ast
import graphlib
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "lfadsx"
PAGE = ROOT / "docs" / "developer" / "architecture.md"


def room(parts):
    """The library folder of a module, or the module itself at the top level."""
    return parts[1] if len(parts) > 1 else "lfadsx"


def for_types_only(tree):
    """The statements below `if TYPE_CHECKING`, which never run."""
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {id(inner) for node in tests for statement in node.body for inner in ast.walk(statement)}


def imported(tree):
    """The modules and names that a file imports from the library when it runs."""
    skipped = for_types_only(tree)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lfadsx":
            for alias in node.names:
                yield f"{node.module}.{alias.name}".split(".")
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names if alias.name.split(".")[0] == "lfadsx")


def actual():
    """By folder or top-level file, those whose code it imports."""
    found = {}
    for file in LIBRARY.rglob("*.py"):
        parts = ("lfadsx", *file.relative_to(LIBRARY).with_suffix("").parts)
        own = room(parts)
        if own == "__init__":  # the table of contents
            continue
        imports = {room(names) for names in imported(ast.parse(file.read_text()))} - {"__version__"}
        found.setdefault(own, set()).update(imports - {own})
    return found


def claimed():
    """The same as the page says it: rows of the table whose last cell lists folders and files."""
    rows = re.findall(r"^\| `([a-z_]+)(?:\.py|/)?` \|.*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`([a-z_]+)(?:\.py|/)?`", cell)) for name, cell in rows}


def test_the_page_says_who_imports_whom():
    assert claimed() == actual()


def test_imports_point_one_way():
    graphlib.TopologicalSorter(actual()).prepare()  # raises CycleError with the circle


def test_data_and_metrics_know_no_models():
    models = {"models", "modules", "training", "inference", "pipeline", "cli"}
    assert not actual()["data"] & models
    for file in (LIBRARY / "evaluation" / "metrics").rglob("*.py"):
        assert not {room(names) for names in imported(ast.parse(file.read_text()))} & models


def test_a_file_name_stands_once():
    names = Counter(file.name for file in LIBRARY.rglob("*.py") if not file.name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_function_hides_the_module_that_it_comes_from():
    for package in LIBRARY.rglob("__init__.py"):
        modules = {file.stem for file in package.parent.glob("*.py")} | {f.name for f in package.parent.iterdir()}
        for node in ast.parse(package.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                hidden = {alias.asname or alias.name for alias in node.names} & modules
                whole = node.module == ".".join(("lfadsx", *package.parent.relative_to(LIBRARY).parts))
                assert whole or not hidden, (package, hidden)


def test_files_of_users_are_opened_in_one_place():
    readers = re.compile(
        r"\b(?:(?:np|numpy)\.load|(?:scipy\.io|sio)\.(?:loadmat|whosmat)|loadmat|h5py\.is_hdf5|"
        r"zipfile\.(?:ZipFile|is_zipfile))\("
    )
    found = set()
    for file in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node)
            writes = any(isinstance(word, ast.Constant) and word.value == "w" for word in node.args)
            if readers.match(call) or (call.startswith("h5py.File(") and not writes):
                assert "allow_pickle=True" not in call
                found.add(file.relative_to(LIBRARY).as_posix())
    assert found == {"data/opening.py", "data/probe_process.py"}  # the second one, in another process, for the first

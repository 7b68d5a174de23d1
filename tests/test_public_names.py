"""`import lfadsx` gives a lazy table of contents, the same for readers, editors and type checkers."""

import ast
import builtins
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

import lfadsx

ROOT = Path(__file__).parents[1]
SPIKES = SHARED / "data" / "macaque_reach_day31" / "heldout6.h5"
VERBS = ("read", "from_arrays", "autonomous", "inferred_input", "external_input", "fit", "population", "sweep")
VERBS += ("cross_validate", "infer", "generate", "evaluate", "compare", "load", "read_posterior", "concatenate")


def typed():
    """The table that type checkers see: by name the module that it comes from."""
    (block,) = (node for node in ast.parse(Path(lfadsx.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname: node.module for node in imports for alias in node.names}


def test_type_checkers_see_the_names_that_python_finds():
    assert typed() == {name: module for module, names in lfadsx.CONTENTS.items() for name in names}


@pytest.mark.parametrize("name", [name for names in lfadsx.CONTENTS.values() for name in names])
def test_every_name_is_there(name):
    value = getattr(lfadsx, name)
    assert value.__doc__
    assert getattr(value, "__module__", None) in (None, typed()[name])


def test_the_table_of_contents_is_all_that_a_reader_is_shown():
    import lfadsx.training.loop  # noqa: F401 - an internal module that is loaded stays out of the table

    assert set(dir(lfadsx)) == {*typed(), "__version__"}
    assert set(VERBS) <= set(dir(lfadsx))


def test_a_misspelt_name_names_the_nearest():
    with pytest.raises(AttributeError, match="has no name 'infered_input'.*'inferred_input'"):
        lfadsx.infered_input  # noqa: B018
    assert not hasattr(lfadsx, "fit_population")


def test_importing_the_library_imports_nothing_else():
    code = "import sys, lfadsx; dir(lfadsx); print([name for name in ('jax', 'numpy', 'flax') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"


def used(text):
    """Names after `lfadsx.` in Python code: of a call, a class or a folder."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "lfadsx"}


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_pages_use_public_names_only(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert {name for block in blocks for name in used(block)} <= set(dir(lfadsx))


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/**/*.py")), ids=lambda script: script.name)
def test_examples_use_public_names_only(script):
    assert used(script.read_text()) <= set(dir(lfadsx))


@pytest.mark.skipif(not SPIKES.is_file(), reason="the recorded spikes of shared/data are not here")
@pytest.mark.slow
def test_a_script_with_parts_of_its_own_needs_one_import(tmp_path, monkeypatch, capsys):
    script = ROOT / "tests" / "own_parts_script.py"
    lines = [line for line in script.read_text().splitlines() if line.strip()]
    assert len(lines) < 40
    assert [line for line in lines if "import" in line and "lfadsx" in line] == ["import lfadsx"]
    monkeypatch.setattr(sys, "argv", [str(script), str(SPIKES), str(tmp_path), "2"])
    found = runpy.run_path(str(script))
    capsys.readouterr()
    score, model, run = found["score"], found["model"], found["run"]
    assert score.scores["split"] == "test"
    assert np.isfinite(score.scores["co_bps"])
    assert len(found["members"].members) == 2
    one, two = (lfadsx.infer(of, found["data"], n_samples=2).rates["spikes"] for of in (run.model, model))
    np.testing.assert_array_equal(one, two)  # the loaded model equals the trained model
    read = lfadsx.read_posterior(tmp_path / "rates.h5")
    assert read.split == "test" and np.isfinite(read.rates["spikes"]).all()
    assert type(model.decoder.generator).__name__ == "Euler"


def test_no_public_name_hides_a_builtin():
    assert not set(dir(lfadsx)) & set(dir(builtins)) - {"__doc__"}

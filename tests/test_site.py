"""The documentation site: which pages the API reference has, and what is said in more than one place."""

import re
import sys
from pathlib import Path

import pytest

import lfadsx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "hooks"))
import api_contents  # noqa: E402 - the folder of the hooks is not a package


def test_every_public_name_is_on_one_page():
    documented = [name for _, names in api_contents.pages().values() for name in names]
    assert len(documented) == len(set(documented))
    public = {f"lfadsx.{name}" for module, names in lfadsx.CONTENTS.items() if module != "lfadsx" for name in names}
    assert public <= set(documented)
    for package in lfadsx.CONTENTS["lfadsx"]:
        of_package = [name for name in documented if name.startswith(f"lfadsx.{package}.")]
        assert of_package, package
        for name in of_package:
            assert hasattr(getattr(lfadsx, package), name.rpartition(".")[2]), name


def test_a_name_of_an_unknown_folder_is_refused():
    with pytest.raises(KeyError, match="lfadsx.new_folder.file must belong to a page"):
        api_contents.section_of("lfadsx.new_folder.file")


def test_other_files_have_the_version_of_the_library():
    for file, pattern in (("CITATION.cff", r"^version: (.+)$"), ("packaging/conda/meta.yaml", r'version = "(.+)"')):
        assert re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)[1] == lfadsx.__version__, file


def test_the_recipe_has_the_dependencies_of_the_package():
    tomllib = pytest.importorskip("tomllib")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    recipe = (ROOT / "packaging/conda/meta.yaml").read_text()
    assert [line for line in needed if f"- {line.replace('>=', ' >=')}\n" not in recipe] == []

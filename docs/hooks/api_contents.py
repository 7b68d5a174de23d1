"""The pages of the API reference, from the table of contents in `lfadsx/__init__.py`.

A new public name appears by itself. A name from a module that no section names raises `KeyError`.
"""

import ast
from pathlib import Path

import lfadsx

LIBRARY = Path(lfadsx.__file__).parent

SECTIONS = {
    "Data": ("lfadsx.data", "lfadsx.recordings", "lfadsx.types"),
    "Models and settings": ("lfadsx.models", "lfadsx.config", "lfadsx.settings_for_data"),
    "Training": ("lfadsx.training", "lfadsx.pipeline.tensorboard", "lfadsx.objective", "lfadsx.parallel"),
    "Inference and generation": ("lfadsx.inference", "lfadsx.results", "lfadsx.pipeline.export_job"),
    "Scores and model selection": (
        "lfadsx.pipeline",
        "lfadsx.evaluation.few_shot",
        "lfadsx.findings",
        "lfadsx.errors",
        "lfadsx.report",
    ),
}
"""By the title of a page, modules whose public names it documents; the longest match counts."""


def section_of(module):
    """Returns the title of the page that documents the names of a module."""
    found = {
        prefix: title
        for title, prefixes in SECTIONS.items()
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    }
    if not found:
        raise KeyError(f"{module} must belong to a page of the API reference: add it to SECTIONS in {__file__}.")
    return found[max(found, key=len)]


def names_of(package):
    """Returns the public names of a package or module of `lfadsx`, in the order of the file."""
    folder = LIBRARY / package / "__init__.py"
    tree = ast.parse((folder if folder.is_file() else LIBRARY / f"{package}.py").read_text())
    exported = [
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name and not (LIBRARY / package / f"{alias.name}.py").is_file()
    ]
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return exported or [name for name in defined if not name.startswith("_")]


def pages():
    """Returns the pages of the reference: file name -> (title, full names)."""
    found = {f"{title.lower().replace(' ', '_')}.md": (title, []) for title in SECTIONS}
    for module, names in lfadsx.CONTENTS.items():
        if module == "lfadsx":
            packages = names
        else:
            found[f"{section_of(module).lower().replace(' ', '_')}.md"][1].extend(f"lfadsx.{name}" for name in names)
    for package in packages:
        found[f"lfadsx_{package}.md"] = (f"lfadsx.{package}", [f"lfadsx.{package}.{n}" for n in names_of(package)])
    return found


def page(title, names):
    """Returns the Markdown of a page."""
    if not title.startswith("lfadsx."):
        text = [f"# {title}"]
    else:
        options = "    options:\n      heading_level: 1\n      members: false\n      show_root_toc_entry: false"
        text = [f"::: {title}\n{options}"]
    return "\n\n".join([*text, *(f"::: {name}" for name in names)]) + "\n"


def index():
    """Returns the Markdown of the first page: every public name, with a link."""
    lines = ["# API reference", "", "Every public name, by what it is for. Arrays are given by shape and unit.", ""]
    for file, (title, names) in pages().items():
        links = ", ".join(f"[`{name.rpartition('.')[2]}`][{name}]" for name in names)
        lines.append(f"* [**{title}**]({file}): {links}")
    return "\n".join(lines) + "\n"

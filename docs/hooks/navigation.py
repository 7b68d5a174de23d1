"""Fills the navigation: pages of the API reference, and the tutorials that have been rendered."""

import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import api_contents  # noqa: E402 - the folder of the hooks is not a package

TUTORIALS = (
    "first_look",
    "recording_to_figures",
    "decoding",
    "choosing_sizes",
    "custom_part",
    "jax_tutorial",
    "stitching",
    "lfads_in_one_page",
)
"""Tutorials in the order of reading; others follow by name."""


def tutorials(docs):
    """Returns the paths of the tutorials that have been rendered, in the order of reading."""
    found = {path.stem: f"tutorials/{path.name}" for path in sorted((docs / "tutorials").glob("*.ipynb"))}
    return [found[name] for name in sorted(found, key=lambda n: (*TUTORIALS, n).index(n))]


def on_config(config):
    """Puts the generated pages into the navigation."""
    reference = ["reference/index.md"]
    reference += [{title: f"reference/{file}"} for file, (title, _) in api_contents.pages().items()]
    filled = {
        "API reference": reference,
        "Tutorials": ["tutorials/index.md", *tutorials(Path(config.docs_dir))],
    }
    config.nav = [{name: filled.get(name, of) for name, of in entry.items()} for entry in config.nav]
    return config


def on_files(files, config):
    """Adds the pages of the API reference."""
    files.append(File.generated(config, "reference/index.md", content=api_contents.index()))
    for file, (title, names) in api_contents.pages().items():
        content = api_contents.page(title, names)
        files.append(File.generated(config, f"reference/{file}", content=content))
    return files
